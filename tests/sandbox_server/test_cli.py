from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llama_batches_nb.sandbox_server import cli
from llama_batches_nb.sandbox_server.cli import (
    API_KEY_VARIABLE,
    add_arguments,
    format_arguments,
    main,
)
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import START_TIMEOUT, Server
from tests.servers import interrupt

from .conftest import END, connect, stopped_clock_options, total

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MAIN = Path(cli.__file__).with_name("__main__.py")
COMMAND = [sys.executable, str(MAIN), "--batches=5", "--files=3"]


@contextmanager
def running(
    *arguments: str, key: str | None = None
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the command and yield the process and the two lines that it prints."""
    environment = dict(os.environ) | ({API_KEY_VARIABLE: key} if key else {})
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [process.stdout.readline().rstrip() for _ in range(2)]
        finally:
            process.kill()


def alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(pid) for text in lists for pid in text.split()]


def sandboxes() -> dict[int, str]:
    """Return the command lines of the sandboxes that this process started, by process id."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children(os.getpid())}
    return {pid: line for pid, line in lines.items() if "--until-stdin-closes" in line}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start(
        stopped_clock_options(batches=12, files=4, api_key="llx-secret-key")
    ) as started:
        yield started


def test_process_serves_with_the_given_options(server: Server) -> None:
    with connect(server) as api:
        assert total(api.batches.list()) == 12
        created_at = api.batches.list().items[0].created_at
        assert created_at is not None
        assert created_at < END
        server.advance(86400)
        assert {batch.status for batch in api.batches.list()} <= {
            "COMPLETED",
            "FAILED",
            "CANCELLED",
        }


@linux
def test_api_key_is_not_on_the_command_line(server: Server) -> None:
    assert server.api_key == "llx-secret-key"
    assert sandboxes()
    assert not any("secret-key" in line for line in sandboxes().values())


@linux
def test_process_is_in_its_own_process_group(server: Server) -> None:
    assert server.url
    assert os.getpgid(0) not in {os.getpgid(pid) for pid in sandboxes()}


@linux
def test_close_stops_process_quickly_with_open_connections() -> None:
    before = set(sandboxes())
    with (
        Server.start(stopped_clock_options(batches=1, files=1)) as started,
        connect(started) as api,
    ):
        api.batches.list()
        assert len(set(sandboxes()) - before) == 1
        began = time.monotonic()
        started.close()
        started.close()
        assert time.monotonic() - began < 2
        assert set(sandboxes()) == before


@linux
def test_interrupted_start_leaves_no_process() -> None:
    before = set(sandboxes())
    timer = threading.Timer(0.1, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        Server.start(stopped_clock_options(batches=1, files=1))
    timer.join()
    assert caught.traceback  # keeps the frames, and so the process object, alive
    assert set(sandboxes()) == before


def test_interrupted_start_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class InterruptingEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout == START_TIMEOUT:
                interrupt()
            return super().wait(timeout)

    threads = set(threading.enumerate())
    monkeypatch.setattr(threading, "Event", InterruptingEvent)
    with pytest.raises(KeyboardInterrupt) as caught:
        Server.start(stopped_clock_options(batches=1, files=1), thread=True)
    assert caught.traceback
    assert set(threading.enumerate()) == threads


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_command_prints_url_and_key_and_stops_on_signal(signal_number: signal.Signals) -> None:
    with running(key="llx-k") as (process, (first, second)):
        found = re.fullmatch(r"Sandbox at (http://127\.0\.0\.1:\d+) with key llx-k", first)
        assert found
        assert second == f"export LLAMA_CLOUD_BASE_URL={found[1]} LLAMA_CLOUD_API_KEY=llx-k"
        process.send_signal(signal_number)
        assert process.wait(5) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_printed_export_line_quotes_the_key() -> None:
    key = "llx-'$(id)`id`;id&#\\\"*~!"
    with running(key=key) as (_, (_, line)):
        assert shlex.split(line)[-1] == f"LLAMA_CLOUD_API_KEY={key}"


PARENT = f"""
import sys, time, types
folder = {str(MAIN.parent)!r}
for name, path in ("llama_batches_nb", folder + "/.."), ("llama_batches_nb.sandbox_server", folder):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]  # do not import the toolkit
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
server = Server.start(Options(batches=1, files=1))
print("started", flush=True)
time.sleep(60)
"""


@linux
def test_process_exits_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        (child,) = children(parent.pid)
        assert alive(child)
        parent.kill()
        parent.wait()
        until = time.monotonic() + 5
        while alive(child) and time.monotonic() < until:
            time.sleep(0.02)
        assert not alive(child)


def test_port_in_use_raises_with_error_of_the_process(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=rf"Cannot listen on 127\.0\.0\.1:{port}: \w+"):
        Server.start(Options(port=port))


def test_invalid_option_exits_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--batches=-3"]) == 2
    assert "batches=-3" in capsys.readouterr().err


def test_command_line_round_trips_every_option_but_the_key() -> None:
    options = Options(
        seed=-4,
        api_key="llx-secret",
        port=1,
        batches=2,
        days=3,
        files=(4, 5),
        now=END,
        speed=6.5,
        job_delay=8.5,
        results_delay=9.0,
        billing_delay=10.0,
        failed_pages=0.5,
        url_lifetime=60.0,
        usage_in_lists=False,
        bill_failed_jobs=False,
        retention=48.0,
        plan="free",
        usage_limit=11,
        max_page_size=12,
        total_size="missing",
        object_details=True,
        latency=0.25,
        rate_limit=7,
        error_rate=0.1,
        drop_rate=0.2,
        throttle_rate=0.3,
        retry_after=0.5,
    )
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = vars(parser.parse_args(format_arguments(options)))
    assert not arguments.pop("until_stdin_closes")
    assert Options(api_key="llx-secret", **arguments) == options
    assert not any("llx-secret" in each for each in format_arguments(options))


def test_help_describes_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = " ".join(capsys.readouterr().out.split()).partition(" options: ")[2]
    names = [field.name for field in dataclasses.fields(Options) if field.name != "api_key"]
    descriptions = re.split(r" --[a-z-]+(?:, --no-[a-z-]+| [A-Z_]+) ", output)[1:]
    assert len(descriptions) == len(names) == 26
    assert all(re.search(r"\w{3,}.*default", text) for text in descriptions)


def test_missing_requirement_raises_with_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "REQUIRED_MODULES", ("no_such_module",))
    with pytest.raises(ImportError, match=r"no_such_module.*llama_batches_nb\[sandbox\]"):
        Server.start(Options())


def test_script_imports_nothing_outside_the_sandbox() -> None:
    program = (
        "import runpy, sys; sys.argv = ['sandbox', '--batches=-1']\n"
        f"try: runpy.run_path({str(MAIN)!r}, run_name='__main__')\n"
        "except SystemExit: print(*(n for n in sys.modules if n.startswith('llama_batches')))"
    )
    loaded = subprocess.check_output(
        [sys.executable, "-c", program], text=True, stderr=subprocess.DEVNULL
    ).split()
    assert "llama_batches_nb.sandbox_server.cli" in loaded
    assert set(loaded) - {"llama_batches_nb"} == {
        name for name in loaded if f"{name}.".startswith("llama_batches_nb.sandbox_server.")
    }


def test_process_module_does_not_import_the_server() -> None:
    source = Path(cli.__file__).with_name("process.py").read_text()
    top = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert not any(name in line for line in top for name in ("fastapi", "uvicorn", "app.server"))
