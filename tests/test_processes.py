"""Real processes: exits while something works, other processes, few threads and descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from llama_batches_nb.cli import sync
from tests.servers import Request, Server, batch, mapping, page
from tests.test_interrupts import FUNCTIONS, Slow

SOON = 20.0  # seconds, on a busy machine; a hanging exit lasts for ever
N_BATCHES = 40


def _answer(request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "batches":
        return page([batch(f"bat-{n}", results=None) for n in range(N_BATCHES)])
    if name == "parse":
        return page([{"id": one, "status": "COMPLETED"} for one in request.query["job_ids"]])
    return batch(name, results=[mapping("dfl-1", f"pjb-{name}")])


@pytest.fixture
def api() -> Iterator[Server]:
    with Server(_answer) as server:
        yield server


def _popen(script: str, url: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(script), *arguments],
        env={**os.environ, "LLAMA_CLOUD_API_KEY": "llx-any", "LLAMA_CLOUD_BASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def _run(script: str, url: str, *arguments: str, **more: Any) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr."""
    with _popen(script, url, *arguments, **more) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out.strip(), err


# --- exit ---------------------------------------------------------------------------------------

EXIT = """
    import atexit, sys, threading

    @atexit.register  # before the import, so that it runs last
    def show():
        print(sorted(t.name for t in threading.enumerate() if t.name[-1:].isdigit()))

    import llama_batches_nb as lb

    def start(fn, *arguments, **options):
        threading.Thread(
            target=fn, name="the user's", args=arguments, kwargs=options, daemon=True
        ).start()

    {line}
    sys.stdin.readline()
"""
BUSY = {
    "panel": "panel = lb.filter_panel()",
    "fetch": "start(lb.fetch_results, progress=False)",
    "sync": "start(lb.sync_dataset, sys.argv[1], progress=False)",
}


@pytest.mark.parametrize("busy", BUSY)
def test_script_exits_while_requests_are_open(busy: str, tmp_path: Path) -> None:
    with Slow(FUNCTIONS["results"].script) as server:
        script = dedent(EXIT).format(line=BUSY[busy])
        with _popen(script, server.url, str(tmp_path / "kept"), stdin=subprocess.PIPE) as process:
            assert server.hanging.acquire(timeout=SOON)
            started = time.monotonic()
            out, err = process.communicate("\n", timeout=SOON)
        assert (process.returncode, out.strip(), err) == (0, "[]", "")
        assert time.monotonic() - started < SOON


# --- other processes ----------------------------------------------------------------------------

SPAWN = """
    import multiprocessing, sys
    import llama_batches_nb as lb

    if __name__ == "__main__":
        lb.fetch_batches(limit=1)  # this process has a client, too
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print([len(frame) for frame in pool.map(lb.fetch_results, ["bat-1", "bat-2"])])
            client = lb.connect()
            try:
                pool.apply(lb.fetch_results, ("bat-1",), {"client": client})
            except TypeError as error:
                print(error)
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_workers_connect_from_the_environment(api: Server, tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(dedent(SPAWN))  # spawn imports it
    run = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    code, out, err = _run(run, api.url, str(tmp_path / "script.py"), method)
    assert code == 0, err
    lengths, refusal = out.splitlines()
    assert lengths == "[1, 1]"
    assert "call lb.connect() where it is used" in refusal


@pytest.mark.dask
def test_dask_workers_connect_from_the_environment(api: Server) -> None:
    script = """
        import dask
        import llama_batches_nb as lb

        if __name__ == "__main__":
            calls = [dask.delayed(lb.fetch_results)(f"bat-{n}") for n in range(3)]
            print([len(f) for f in dask.compute(*calls, scheduler="processes", num_workers=2)])
    """
    assert _run(script, api.url)[:2] == (0, "[1, 1, 1]")


# --- limits of the system -----------------------------------------------------------------------

FETCH = """
    import threading
    import llama_batches_nb as lb

    start, allowed = threading.Thread.start, {n_threads}

    def refuse(thread):
        if sum(t.name.startswith("llama") for t in threading.enumerate()) >= allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = refuse
    try:
        print(len(lb.fetch_results(progress=False)))
    except lb.BatchesError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_fetch_with_few_descriptors_is_whole(api: Server) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    code, out, err = _run(FETCH.format(n_threads=99), api.url, preexec_fn=limit)
    assert (code, out, err) == (0, str(N_BATCHES), "")


@pytest.mark.parametrize(("n_threads", "text"), [(3, str(N_BATCHES)), (0, "ulimit -u")])
def test_fetch_with_few_threads_is_whole_or_says_why(
    api: Server, n_threads: int, text: str
) -> None:
    code, out, err = _run(FETCH.format(n_threads=n_threads), api.url)
    assert (code, err) == (0, "")
    assert text in out


# --- signals ------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, sync.INTERRUPTED), (signal.SIGTERM, sync.TERMINATED)],
)
def test_three_signals_end_a_sync_like_one(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with Slow(FUNCTIONS["results"].script) as server:
        script = "import sys; from llama_batches_nb.__main__ import main; sys.exit(main())"
        with _popen(script, server.url, "sync", str(tmp_path / "kept"), "--no-names") as process:
            assert server.hanging.acquire(timeout=SOON)
            for _ in range(3):
                process.send_signal(number)
                time.sleep(0.05)
            _, err = process.communicate(timeout=SOON)
    assert process.returncode in (code, -number), err  # a shell shows both as `code`
    # a second Ctrl-C may end the clean-up before it has logged; a second SIGTERM does not
    expected = ("Stopped.", "KeyboardInterrupt") if number == signal.SIGINT else ("Stopped.",)
    assert any(text in err.splitlines()[-1] for text in expected), err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    """As in ``nohup … &``, where the shell ignores SIGINT for the command."""
    with Slow(FUNCTIONS["results"].script) as server:
        script = "import sys; from llama_batches_nb.__main__ import main; sys.exit(main())"
        with _popen(
            script,
            server.url,
            "sync",
            str(tmp_path / "kept"),
            "--no-names",
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        ) as process:
            assert server.hanging.acquire(timeout=SOON)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SOON)
    assert process.returncode == sync.TERMINATED
