from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llama_batches_nb.sandbox import requirements
from llama_batches_nb.sandbox.command import KEY_VARIABLE, add_arguments, arguments_of, main
from llama_batches_nb.sandbox.options import Options
from llama_batches_nb.sandbox.server import Server

from .conftest import END, connect, still

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = [sys.executable, "-m", "llama_batches_nb.sandbox", "--batches=5", "--files=3"]


@contextmanager
def running(
    *more: str, key: str | None = None
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, with the two lines that it prints."""
    environment = dict(os.environ) | ({KEY_VARIABLE: key} if key else {})
    with subprocess.Popen(
        [*MODULE, *more], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [process.stdout.readline().rstrip() for _ in range(2)]
        finally:
            process.kill()


def gone(pid: int, seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start(still(batches=12, files=4, api_key="llx-told-quietly")) as started:
        yield started


def child_of_this() -> psutil.Process:
    (child,) = (
        each for each in psutil.Process().children() if "llama_batches_nb.sandbox" in each.cmdline()
    )
    return child


def test_a_process_serves_what_it_was_told(server: Server) -> None:
    with connect(server) as api:
        assert api.batches.list().total_size == 12
        created_at = api.batches.list().items[0].created_at
        assert created_at is not None
        assert created_at < END
        server.advance(86400)
        assert {it.status for it in api.batches.list()} <= {"COMPLETED", "FAILED", "CANCELLED"}


def test_the_key_is_not_on_the_command_line(server: Server) -> None:
    assert "llx-told-quietly" not in " ".join(child_of_this().cmdline())


def test_the_process_is_out_of_reach_of_our_groups_interrupts(server: Server) -> None:
    assert os.getpgid(child_of_this().pid) != os.getpgid(0)


def test_close_ends_the_process_quickly_with_connections_open() -> None:
    with Server.start(still(batches=1, files=1)) as started, connect(started) as api:
        api.batches.list()
        before = {each.pid for each in psutil.Process().children()}
        began = time.monotonic()
        started.close()
        started.close()
        assert time.monotonic() - began < 2
        assert before - {each.pid for each in psutil.Process().children()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_url_and_key_and_stops_on_a_signal(number: signal.Signals) -> None:
    with running(key="llx-k") as (process, (first, second)):
        found = re.fullmatch(r"Sandbox at (http://127\.0\.0\.1:\d+) with key llx-k", first)
        assert found
        assert second == f"export LLAMA_CLOUD_BASE_URL={found[1]} LLAMA_CLOUD_API_KEY=llx-k"
        process.send_signal(number)
        assert process.wait(5) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_it_ends_when_its_parent_is_killed() -> None:
    program = (
        "from llama_batches_nb.sandbox.server import Server, Options\n"
        "import os, psutil, time\n"
        "server = Server.start(Options(batches=1, files=1))\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    ).replace(
        "server import Server, Options",
        "server import Server\nfrom llama_batches_nb.sandbox.options import Options",
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
        parent.wait()
        assert gone(child)


def test_a_taken_port_is_told_in_the_childs_words(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=rf"Cannot listen on 127\.0\.0\.1:{port}: \w+"):
        Server.start(Options(port=port))


def test_a_bad_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--batches=-3"]) == 2
    assert "batches=-3" in capsys.readouterr().err


def test_arguments_carry_every_option_but_the_key() -> None:
    options = Options(
        seed=-4,
        api_key="llx-secret",
        port=1,
        batches=2,
        days=3,
        files=(4, 5),
        now=END,
        speed=6.5,
        latency=0.25,
        rate_limit=7,
        error_rate=0.1,
        drop_rate=0.2,
        throttle_rate=0.3,
        retry_after=0.5,
    )
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = vars(parser.parse_args(arguments_of(options)))
    assert not arguments.pop("until_stdin_closes")
    assert Options(api_key="llx-secret", **arguments) == options
    assert not any("llx-secret" in each for each in arguments_of(options))


def test_missing_requirements_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "NEEDED", ("no_such_module",))
    with pytest.raises(ImportError, match=r"no_such_module.*llama_batches_nb\[sandbox\]"):
        Server.start(Options())


def test_the_sandbox_imports_nothing_else_of_the_package() -> None:
    folder = Path(requirements.__file__).parent
    for each in folder.rglob("*.py"):
        for name in re.findall(
            r"^\s*(?:from|import) (llama_batches_nb\S*)", each.read_text(), re.M
        ):
            assert name.startswith("llama_batches_nb.sandbox")


def test_the_handle_is_light_to_import() -> None:
    program = "import sys, llama_batches_nb.sandbox.server; print('fastapi' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
