"""Ctrl-C, as a real signal to a real process and as the interrupt of a real kernel.

The server does not respond for a minute; after Ctrl-C the call must end within ten seconds: enough
for a busy machine, far less than the server takes. `pytest -rP` shows the actual times.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.kernels import CellResult, Interpreter, Kernel, Process
from tests.servers import Request, Response, Script, Server, batch, mapping, page

HANG = 60.0  # seconds for which the server says nothing
SOON = 10.0  # seconds in which all must have stopped
WORKERS = 4

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client


class Slow(Server):
    """A server that says nothing to some requests, and knows whose client hung up."""

    def __init__(self, script: Callable[[Slow, Request], Any]) -> None:
        self._here = threading.local()
        self.hanging, self.hung_up = threading.Semaphore(0), threading.Semaphore(0)
        self.calm = False
        super().__init__(lambda request: script(self, request))

    def _respond(self, handler: BaseHTTPRequestHandler, script: Script) -> None:
        self._here.connection = handler.connection
        super()._respond(handler, script)

    def hang(self, first: bytes = b"") -> Response:
        """Say something or nothing, until the client hangs up."""
        connection: socket.socket = self._here.connection
        connection.sendall(first)
        self.hanging.release()
        has_come, _, _ = select.select([connection], [], [], HANG)
        with suppress(ConnectionResetError):  # that is a way to hang up, too
            assert has_come
            assert connection.recv(1, socket.MSG_PEEK) == b""
        self.hung_up.release()
        return Response(drop=True)


def _all(semaphore: threading.Semaphore, number: int) -> bool:
    """Wait until something has happened so many times."""
    return all(semaphore.acquire(timeout=SOON) for _ in range(number))


# --- what is interrupted ------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A line that the user types, and how far it comes before the server hangs."""

    line: str
    script: Callable[[Slow, Request], Any]
    hanging: int = 1  # requests under way
    partial: list[str] | None = None  # the first column of the rows that are there
    shown: str = ""  # to the person before they lose patience
    note: str = ""  # in what the person reads
    whole: int = 0  # rows that the line gives where nothing hangs


def _list(server: Slow, request: Request) -> Any:
    if request.param("page_token") is None:
        return page([batch("bat-0"), batch("bat-1")], "2", total_size=3)
    return page([batch("bat-2")]) if server.calm else server.hang()


def _one_of_ten(server: Slow, request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "batches":
        return page([batch(f"bat-{n}", results=None) for n in range(10)])
    if server.calm or name in ("bat-0", "bat-1", "bat-2"):
        return batch(name, results=[mapping("dfl-1", f"pjb-{name}")])
    return server.hang()


def _jobs(server: Slow, request: Request) -> Any:
    ids = request.query["job_ids"]
    if server.calm or "pjb-0" in ids:
        return page([{"id": id_, "status": "COMPLETED"} for id_ in ids])
    return server.hang()


def _outputs(server: Slow, request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if server.calm or name in ("pjb-0", "pjb-1", "pjb-2"):
        pages = [{"page_number": 1, "success": True, "markdown": "text"}]
        return {"job": {"id": name, "status": "COMPLETED"}, "markdown": {"pages": pages}}
    return server.hang()


def _extractions(server: Slow, request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if server.calm or name in ("pjb-0", "pjb-1", "pjb-2"):
        return {"id": name, "status": "COMPLETED", "extract_result": {"total": 1}}
    return server.hang()


def _credits(server: Slow, request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "parse":
        return page([{"id": id_, "status": "COMPLETED"} for id_ in request.query["job_ids"]])
    if server.calm or name in ("pjb-0", "pjb-1", "pjb-2"):
        return {"job": {"id": name, "status": "COMPLETED", "usage": {"credits": 1}}}
    return server.hang()


def _names(server: Slow, request: Request) -> Any:
    if request.path.endswith("/directories"):
        return page([{"id": "dir-0", "name": "Invoices"}])
    return page([]) if server.calm else server.hang()


def _running_jobs(server: Slow, request: Request) -> Any:
    """Answer the first poll only."""
    if not server.calm and len(server.requests) > 1:
        return server.hang()
    status = "COMPLETED" if server.calm else "RUNNING"
    return page([{"id": id_, "status": status} for id_ in request.query["job_ids"]])


def _running(server: Slow, request: Request) -> Any:
    """Answer the first poll only."""
    if not server.calm and len(server.requests) > 1:
        return server.hang()
    status = "COMPLETED" if server.calm else "RUNNING"
    if request.path.endswith("/batches"):
        return page([batch(f"bat-{n}", status) for n in range(5)])
    return batch("bat-0", status)


def _upload(server: Slow, request: Request) -> Any:
    if request.path.endswith("/directories"):
        return {"id": "dir-up"}
    if request.method == "GET":
        return page([])
    name = next(n for n in range(7) if f'filename="{n}.txt"'.encode() in request.body)
    if server.calm or name < 3:
        return {"id": f"dfl-{name}", "directory_id": "dir-up", "display_name": f"{name}.txt"}
    return server.hang()


def _directory(server: Slow, request: Request) -> Any:
    if request.path.endswith("/directories") and request.method == "POST" and not server.calm:
        return server.hang()
    return _upload(server, request)


def _create(server: Slow, request: Request) -> Any:
    if request.method == "GET":
        return page([batch("bat-old")])
    return batch("bat-new") if server.calm else server.hang()


def _lost(server: Slow, request: Request) -> Any:
    """Lose the answer to the create, and say nothing to the look for it."""
    if request.method == "POST":
        return batch("bat-new") if server.calm else Response(drop=True)
    has_been_sent = any(one.method == "POST" for one in server.requests)
    return server.hang() if has_been_sent and not server.calm else page([batch("bat-old")])


def _cancel(server: Slow, request: Request) -> Any:
    name = request.path.split("/")[-2]
    return batch(name, "RUNNING") if server.calm or name < "bat-3" else server.hang()


def _refused(status: int) -> Callable[[Slow, Request], Any]:
    def script(server: Slow, request: Request) -> Any:
        if server.calm:
            return _one_of_ten(server, request)
        return Response(status=status, headers={"Retry-After": f"{HANG:.0f}"})

    return script


def _in_a_body(head: bytes) -> Callable[[Slow, Request], Any]:
    def script(server: Slow, request: Request) -> Any:
        if server.calm:
            return _one_of_ten(server, request)
        return server.hang(b"HTTP/1.1 200 OK\r\n" + head + b'\r\n\r\n{"id": "bat-')

    return script


NOTED = "A batch from directory dir-1 may have been created"
WAITING = "rate limit, waiting"
FUNCTIONS = {
    "list": Case("lb.fetch_batches(progress=True)", _list, 1, ["bat-0", "bat-1"], whole=3),
    "results": Case(
        "lb.fetch_results(TEN, progress=True)",
        _one_of_ten,
        WORKERS,
        ["bat-0", "bat-1", "bat-2"],
        whole=10,
    ),
    "jobs": Case(
        "lb.fetch_jobs(MAPPED, progress=True)",
        _jobs,
        WORKERS,
        [f"pjb-{n}" for n in range(100)],
        whole=450,
    ),
    "pages": Case(
        "lb.fetch_pages(MAPPED[:10], progress=True)",
        _outputs,
        WORKERS,
        ["pjb-0", "pjb-1", "pjb-2"],
        whole=10,
    ),
    "extractions": Case(
        "lb.fetch_extractions(IDS[:10], progress=True)",
        _extractions,
        WORKERS,
        ["pjb-0", "pjb-1", "pjb-2"],
        whole=10,
    ),
    "credits": Case(
        "lb.fetch_jobs(MAPPED[:10], usage=True, progress=True)",
        _credits,
        WORKERS,
        [f"pjb-{n}" for n in range(10)],
        whole=10,
    ),
    "names": Case(
        "lb.add_names(DIRECTORIES, progress=True)",
        _names,
        WORKERS,
        [],
        whole=10,
    ),
    "wait for jobs": Case(
        "lb.wait_for_jobs(MAPPED[:1], progress=True)", _running_jobs, 1, ["pjb-0"], whole=1
    ),
    "wait": Case("lb.wait_for_batches('bat-0', progress=True)", _running, 1, ["bat-0"], whole=1),
    "upload": Case(
        "lb.upload_files(FOLDER, progress=True)",
        _upload,
        WORKERS,
        ["dfl-0", "dfl-1", "dfl-2"],
        note="upload_files(paths, source_directory_id='dir-up')",
        whole=7,
    ),
    "create": Case("lb.create_batch('dir-1', 'cfg-1', **UNCHECKED)", _create, note=NOTED, whole=1),
    "cancel": Case(
        "lb.cancel_batch(TEN, progress=True)",
        _cancel,
        WORKERS,
        ["bat-0", "bat-1", "bat-2"],
        whole=10,
    ),
}
PLACES = {
    "list, in a body": Case(
        "lb.fetch_batches(progress=True)", _in_a_body(b"Content-Length: 99"), 1, [], whole=10
    ),
    "list, rate limited": Case(
        "lb.fetch_batches(progress=Bar)", _refused(429), 0, [], WAITING, whole=10
    ),
    "results, while listed": Case(
        "lb.fetch_results(progress=True)",
        _one_of_ten,
        WORKERS,
        ["bat-0", "bat-1", "bat-2"],
        whole=10,
    ),
    "results, in a body": Case(
        "lb.fetch_results(TEN, progress=True)",
        _in_a_body(b"Content-Length: 99"),
        WORKERS,
        [],
        whole=10,
    ),
    "results, in a body of any length": Case(
        "lb.fetch_results(TEN, progress=True)",
        _in_a_body(b"Connection: close"),
        WORKERS,
        [],
        whole=10,
    ),
    "results, rate limited": Case(
        "lb.fetch_results(TEN, progress=Bar)", _refused(429), 0, [], WAITING, whole=10
    ),
    "results, of a server unwell": Case(
        "lb.fetch_results(TEN, progress=Bar)", _refused(503), 0, [], WAITING, whole=10
    ),
    "saved outputs": Case(
        "lb.save_outputs(MAPPED[:10], FOLDER + '/out', progress=True)",
        _outputs,
        WORKERS,
        ["pjb-0", "pjb-1", "pjb-2"],
        whole=10,
    ),
    "wait, asleep": Case(
        "lb.wait_for_batches('bat-0', poll_interval=60, progress=Bar)",
        lambda server, request: batch("bat-0", "COMPLETED" if server.calm else "RUNNING"),
        0,
        ["bat-0"],
        "1 RUNNING",
        whole=1,
    ),
    "wait for many": Case(
        "lb.wait_for_batches(TEN[:5], progress=True)",
        _running,
        1,
        [f"bat-{n}" for n in range(5)],
        whole=5,
    ),
    "upload, of the directory": Case(
        "lb.upload_files(FOLDER, progress=False)", _directory, 1, whole=7
    ),
    "create, looking for it": Case(
        "lb.create_batch('dir-1', 'cfg-1', **UNCHECKED)", _lost, note=NOTED, whole=1
    ),
}

NAMES = """
    import json
    import pandas as pd
    import llama_batches_nb as lb
    from llama_batches_nb.http import progress as bars
    from tqdm.std import tqdm
    class Bar(tqdm):
        monitor_interval = 0
    bars.DELAY = 0
    client = lb.connect("llx-any", base_url={url!r}, max_workers={workers})
    TEN = [f"bat-{{n}}" for n in range(10)]
    MAPPED = pd.DataFrame({{"job_id": [f"pjb-{{n}}" for n in range(450)], "job_type": "parse_v2"}})
    IDS = MAPPED.job_id.tolist()
    DIRECTORIES = pd.DataFrame({{
        "source_directory_id": [f"dir-{{n}}" for n in range(10)],
        "source_directory_file_id": [f"dfl-{{n}}" for n in range(10)],
    }})
    FOLDER = {folder!r}
    UNCHECKED = {{"check_directory": False, "check_configuration": False}}
"""

LEFT = """
    import gc, socket, sys, threading
    from tqdm.std import tqdm
    stop = sys.last_value
    for thread in threading.enumerate():
        if thread.name == "llama_batches_nb_watchdog":  # it ends at its own time
            thread.join(10)
    partial = getattr(stop, "partial", None)
    print(json.dumps({
        "partial": None if partial is None else partial.iloc[:, 0].tolist(),
        "bars": len(tqdm._instances),
        "threads": [t.name for t in threading.enumerate() if t.name.startswith("llama_batches")],
        "sockets": sum(
            issubclass(type(one), socket.socket) and one.family == socket.AF_INET
            and one.fileno() != -1
            for one in gc.get_objects()
        ),
    }))
"""


@pytest.fixture(scope="module")
def took() -> Iterator[dict[str, float]]:
    """Keep how many seconds it took to stop, and show that at the end."""
    seconds: dict[str, float] = {}
    yield seconds
    for name, value in seconds.items():
        print(f"{value:6.3f} s  {name}")


@pytest.fixture(scope="module")
def process() -> Iterator[Interpreter]:
    """Start Python in a process, which all tests share."""
    with Process() as process:
        yield process


@pytest.fixture(scope="module")
def kernel() -> Iterator[Interpreter]:
    """Start a kernel, which all tests share."""
    with Kernel() as kernel:
        yield kernel


@pytest.fixture(params=["process", pytest.param("kernel", marks=pytest.mark.notebook)])
def person(request: pytest.FixtureRequest) -> Interpreter:
    """Be in the one, or in the other."""
    interpreter: Interpreter = request.getfixturevalue(request.param)
    return interpreter


Stop = Callable[[Interpreter], CellResult]


@pytest.fixture
def stop(request: pytest.FixtureRequest, took: dict[str, float]) -> Stop:
    """Press Ctrl-C, measure, and return what the person reads then."""

    def press(person: Interpreter) -> CellResult:
        pressed = time.monotonic()
        person.interrupt()
        result = person.result()
        assert result.error == "KeyboardInterrupt", result.trace
        took[request.node.name] = result.at - pressed
        assert result.at - pressed < SOON
        return result

    return press


def _prepare(person: Interpreter, url: str, folder: Path) -> None:
    names = NAMES.format(url=url, workers=WORKERS, folder=str(folder))
    done = person.run(dedent(names))
    assert not done.error, done.trace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(7):
        (tmp_path / f"{n}.txt").write_text("content")
    return tmp_path


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_interrupted_call_has_partial_rows_and_client_works_again(
    person: Interpreter, stop: Stop, folder: Path, name: str
) -> None:
    _interrupt(FUNCTIONS[name], person, stop, folder)


@pytest.mark.parametrize("name", list(PLACES))
def test_call_can_be_interrupted_in_any_phase(
    process: Interpreter, stop: Stop, folder: Path, name: str
) -> None:
    _interrupt(PLACES[name], process, stop, folder)


def _interrupt(case: Case, person: Interpreter, stop: Stop, folder: Path) -> None:
    with Slow(case.script) as server:
        _prepare(person, server.url, folder)
        person.start(case.line)
        assert _all(server.hanging, case.hanging)
        person.wait_for(case.shown)
        has_bar = "progress=True" in case.line and isinstance(person, Process)
        result = stop(person)
        assert _all(server.hung_up, case.hanging)
        left = person.run(dedent(LEFT)).json
        assert left["partial"] == case.partial
        assert left["threads"] == []
        assert left["bars"] == 0
        assert case.note in result.trace
        assert "wait" not in case.line or {request.method for request in server.requests} == {"GET"}
        if "progress=Bar" in case.line or has_bar:
            assert "\r" in result.err
            assert result.err.endswith("\n"), "a bar that is not closed"
        server.calm = True
        if case.shown == WAITING:  # the client waits as the server requests
            assert person.run("print(client.rate_limit_delay()); client.close()").json > HANG / 2
            _prepare(person, server.url, folder)
        assert person.run(f"print(len({case.line}))").json == case.whole
        assert person.run("client.close()\n" + dedent(LEFT)).json["sockets"] == 0


def test_interrupted_sync_leaves_a_dataset_that_the_next_sync_completes(
    person: Interpreter, stop: Stop, tmp_path: Path
) -> None:
    n_listed = 3

    def script(server: Slow, request: Request) -> Any:
        if request.path.endswith("/batches"):
            return page([batch(f"bat-{n}", results=None) for n in range(n_listed)])
        return _one_of_ten(server, request)

    with Slow(script) as server:
        _prepare(person, server.url, tmp_path)
        sync = "lb.sync_dataset(FOLDER, names=False, progress=Bar).total['batches']"
        assert person.run(f"print({sync})").json == 3
        n_listed = 10
        person.start(sync)
        assert _all(server.hanging, WORKERS)
        result = stop(person)
        assert result.err.endswith("\n")
        assert _all(server.hung_up, WORKERS)
        left = person.run(dedent(LEFT)).json
        assert (left["threads"], left["bars"]) == ([], 0)
        kept = "lb.read_dataset(FOLDER).batch_id.tolist()"
        assert person.run(f"print(json.dumps({kept}))").json == ["bat-0", "bat-1", "bat-2"]
        server.calm = True
        assert person.run(f"print({sync})").json == 10
        whole = f"sorted({kept}) == lb.fetch_results().batch_id.tolist()"
        assert person.run(f"print(json.dumps({whole}))").json is True
        person.run("client.close()")


SYN_SENT = "02"  # in Linux's list of sockets
ON_LINUX = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="/proc is Linux's")


def _connecting(port: int) -> int:
    """Return how many sockets wait for a connection to a port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    sockets = [line.split()[2:4] for line in lines]
    return sockets.count([f"0100007F:{port:04X}", SYN_SENT])


@ON_LINUX
@pytest.mark.parametrize(("line", "n"), [("lb.fetch_batches()", 1), ("lb.fetch_results(TEN)", 4)])
def test_interrupt_while_connecting(
    process: Interpreter, stop: Stop, tmp_path: Path, line: str, n: int
) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = full.getsockname()[1]
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))  # and no more
        _prepare(process, f"http://127.0.0.1:{port}", tmp_path)
        process.start(line)
        until = time.monotonic() + SOON
        while _connecting(port) < n:
            assert time.monotonic() < until
            time.sleep(0.01)
        stop(process)
        left = process.run(dedent(LEFT)).json
        assert (left["threads"], left["sockets"]) == ([], 0)
        assert _connecting(port) == 0
    result = process.run(
        f"client = lb.connect('llx', base_url=client.base_url, max_retries=0); {line}"
    )
    assert result.error == "ConnectionFailedError"


@pytest.mark.parametrize(("line", "n"), [("lb.fetch_batches()", 1), ("lb.fetch_results(TEN)", 4)])
def test_interrupt_during_tls_handshake(
    process: Interpreter, stop: Stop, tmp_path: Path, line: str, n: int
) -> None:
    with ExitStack() as stack:
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        mute.settimeout(SOON)
        _prepare(process, f"https://127.0.0.1:{mute.getsockname()[1]}", tmp_path)
        process.start(line)
        connections = [stack.enter_context(mute.accept()[0]) for _ in range(n)]
        for connection in connections:
            connection.settimeout(SOON)
            assert connection.recv(1)
        stop(process)
        left = process.run(dedent(LEFT)).json
        assert (left["threads"], left["sockets"]) == ([], 0)
        for connection in connections:
            while connection.recv(65536):
                pass  # until it is closed


NO_NAMES = """
    import ctypes, socket
    wait, held = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)

    def look_up(*arguments):
        print("begun", file=sys.stderr, flush=True)
        wait(held)
        wait(held)  # as a look-up does that nobody answers, it heeds no signal

    socket.getaddrinfo = look_up
"""


@ON_LINUX
def test_interrupt_during_name_lookup(tmp_path: Path, stop: Stop) -> None:
    with Process() as person:
        _prepare(person, "https://api.test", tmp_path)
        person.run("import sys" + dedent(NO_NAMES))
        for line in ("lb.fetch_batches()", "lb.fetch_results(TEN)"):
            person.start(line)
            person.wait_for("begun")
            stop(person)
            left = person.run(dedent(LEFT)).json["threads"]
            assert set(left) == {"llama_batches_nb_detached"}  # nothing can end it


def test_second_interrupt_changes_nothing(tmp_path: Path, took: dict[str, float]) -> None:
    case = FUNCTIONS["results"]
    with Process() as person, Slow(case.script) as server:
        _prepare(person, server.url, tmp_path)
        person.start(case.line)
        assert _all(server.hanging, WORKERS)
        pressed = time.monotonic()
        hammering = threading.Event()

        def hammer() -> None:
            while not hammering.wait(0.002):
                person.interrupt()

        impatient = threading.Thread(target=hammer)
        impatient.start()
        result = person.result()
        hammering.set()
        impatient.join()
        assert result.error == "KeyboardInterrupt"
        took["pressed again and again"] = result.at - pressed
        assert result.at - pressed < SOON
        assert result.err.endswith("\n")
        assert _all(server.hung_up, WORKERS)
        server.calm = True
        assert person.run(f"print(len({case.line}))").json == case.whole
        left = person.run("client.close()\n" + dedent(LEFT)).json
        assert (left["threads"], left["bars"], left["sockets"]) == ([], 0, 0)


SCRIPT = """
    import llama_batches_nb as lb
    lb.connect("llx-any", base_url={url!r}, max_workers=4)
    lb.fetch_batches(progress=True)
    print(lb.fetch_results(progress=True))
"""


def test_interrupt_ends_a_script(took: dict[str, float]) -> None:
    with Slow(_one_of_ten) as server:
        command = [sys.executable, "-c", dedent(SCRIPT.format(url=server.url))]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert _all(server.hanging, WORKERS)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SOON)
            took["a script, to its end"] = time.monotonic() - pressed
        assert process.returncode == -signal.SIGINT
        assert out == ""
        assert err.endswith("\nKeyboardInterrupt\n")
        assert _all(server.hung_up, WORKERS)


@pytest.mark.notebook
def test_sandbox_survives_interrupt(kernel: Interpreter, stop: Stop, tmp_path: Path) -> None:
    _prepare(kernel, "http://127.0.0.1:9", tmp_path)
    start = """
        box = lb.sandbox(batches=3, files=3, speed=0)
        batch = lb.create_batch(lb.fetch_directories(limit=1), "cfg-PARSE_AGENTIC")
    """
    assert not kernel.run(dedent(start)).error
    kernel.start("lb.wait_for_batches(batch, progress=Bar)")
    kernel.wait_for("PENDING")
    stop(kernel)
    look = "print(json.dumps(lb.get_batch(batch.batch_id[0]).status.tolist()))"
    assert kernel.run(look).json == ["PENDING"]
    kernel.run("box.advance(3600)")
    assert kernel.run("print(len(lb.wait_for_batches(batch)))").json == 1
    assert not kernel.run("box.close()").error
