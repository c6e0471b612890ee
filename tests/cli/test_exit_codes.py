"""Exit codes and output are true whatever the type of an error and the words of a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

import llama_batches_nb as lb
from llama_batches_nb.__main__ import main
from llama_batches_nb.cli import check, report, sync
from tests.conftest import Serve
from tests.servers import Request, Response, batch, mapping, page

FORGED = "no\n2026-01-01T00:00:00Z INFO Synced all\r\x1b[2J\u2028##[error]x"
ERRORS = [RuntimeError, KeyError, RecursionError, MemoryError, AssertionError, TypeError]


def _answer(request: Request) -> Any:
    if request.path.endswith("/batches"):
        return page([batch("bat-1")])
    if request.path.endswith(("directories", "configurations", "files")):
        return page([])
    return batch("bat-1", results=[mapping("dfl-1", None, "no such file")])


@pytest.mark.parametrize("kind", ERRORS)
def test_sync_exits_3_after_any_error_if_data_was_added(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[Exception],
) -> None:
    serve(_answer)
    is_first = True

    def sync_then_fail(*arguments: Any, **more: Any) -> Any:
        nonlocal is_first
        if is_first:
            lb.sync_dataset(*arguments, **more)
        is_first = False
        raise kind(FORGED)

    monkeypatch.setattr(sync, "sync_dataset", sync_then_fail)
    monkeypatch.setattr(sync, "connect", lambda: lb.connect("llx-key", base_url=serve(_answer).url))
    assert main(["sync", str(tmp_path / "kept")]) == sync.PARTIAL
    assert main(["sync", str(tmp_path / "kept")]) == sync.FAILED  # the second one adds nothing
    lines = capsys.readouterr().err.splitlines()
    assert all("Z INFO " in line or f"Z ERROR {kind.__name__}: " in line for line in lines)
    assert not [line for line in lines if line.startswith("2026-01-01T00:00:00Z")]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("command", ["check", "report"])
def test_commands_exit_6_after_any_error_of_reading(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[Exception],
    command: str,
) -> None:
    def fail(*_: Any) -> Any:
        raise kind(FORGED)

    monkeypatch.setattr(check, "read_outcomes", fail)
    monkeypatch.setattr(report, "dataset_content", fail)
    options = ["--rising"] if command == "check" else []
    assert main([command, str(tmp_path), *options]) == check.UNREADABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{command}: {kind.__name__}: ")
    assert "test_exit_codes.py, line" in line


def test_words_of_the_server_forge_no_line_of_the_log(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    client = serve(lambda request: Response({"detail": FORGED}, 400))
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "llx-key")
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", client.url)
    for command in (
        ["sync", str(tmp_path / "kept"), "--quiet"],
        ["demo", "--live", "--out", str(tmp_path)],
    ):
        assert main(command) == 1
        err = capfd.readouterr().err
        assert len(err.splitlines()) == 1
        assert "\x1b" not in err


@contextmanager
def _unwritable(kind: str) -> Iterator[TextIO | None]:
    """Yield a stream that is full, that nobody reads, or that was closed from the start."""
    if kind == "closed":
        yield None
        return
    reader, writer = os.pipe()
    os.close(reader)
    if kind == "full":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(writer, "w", encoding="ascii") as stream:
        yield stream
        stream.flush()  # as at exit, where an error would change the exit code


def _exit_code(arguments: list[str]) -> object:
    try:
        return main(arguments)
    except SystemExit as exit_:
        return exit_.code


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, "check kept --max-failure-rate 99.9%"),
        (0, "report kept --out report.html"),
        (0, "sync kept --no-names"),
        (0, "--help"),
        (1, "report kept --out ."),
        (2, "check kept"),
        (2, "nothing"),
        (check.ALERT, "check kept --max-failure-rate 5% --json"),
        (check.UNREADABLE, "check none --rising"),
    ],
)
@pytest.mark.parametrize("kind", ["full", "unread", "closed"])
def test_unwritable_output_does_not_change_the_exit_code(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    code: int,
    arguments: str,
) -> None:
    if kind == "full" and not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    server = serve(_answer)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "llx-key")
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", server.url)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    monkeypatch.chdir(tmp_path)
    lb.sync_dataset("kept", names=False, progress=False)
    with _unwritable(kind) as out, _unwritable(kind) as err, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        assert _exit_code(arguments.split()) == code
