"""The command `sync`: its exit codes, and its output to a pipe and to a terminal."""

from __future__ import annotations

import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.cli import sync
from llama_batches_nb.cli.sync import DONE, FAILED, INTERRUPTED, PARTIAL, TERMINATED
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.servers import Request, Response, Script, batch, mapping, page

KEY = "llx-only-for-the-server"
COMMAND = [
    *(sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"),
    *("-m", "llama_batches_nb", "sync"),
]
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING|ERROR) \S")

Sync = Callable[..., subprocess.CompletedProcess[str]]


def _environment(url: str, key: str = KEY) -> dict[str, str]:
    return {**os.environ, "LLAMA_CLOUD_API_KEY": key, "LLAMA_CLOUD_BASE_URL": url}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return the path of a dataset that does not exist yet."""
    return tmp_path / "dataset"


@pytest.fixture
def run_sync(serve: Serve, dataset: Path) -> Sync:
    """Run the command against a script, always at the same URL."""
    scripts: list[Script] = []
    server = serve(lambda request: scripts[-1](request))

    def run(script: Script, *arguments: str) -> subprocess.CompletedProcess[str]:
        scripts.append(script)
        return subprocess.run(
            [*COMMAND, str(dataset), *arguments],
            env=_environment(server.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _serving(*batches: dict[str, Any], jobs: Any = (), **first: Any) -> Script:
    """Serve jobs and batches; a batch without results is listed, but not found."""

    def script(request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        if name in ("directories", "configurations", "files"):
            return page([])
        if name == "parse":
            return jobs if isinstance(jobs, Response) else page(list(jobs))
        if name == "batches":
            return page([{**one, "results": None} for one in batches], **first)
        (found,) = (one for one in batches if one["id"] == name)
        return found if "results" in found else Response({"detail": "not here"}, 404)

    return script


UNKNOWN_JOB_TYPE = {**mapping("dfl-1"), "job_reference": {"id": "spl-1", "type": "split_v1"}}
COMPLETE_BATCH = batch(
    "bat-1", results=[mapping("dfl-1", "pjb-1"), mapping("dfl-2", None, "no such file")]
)


def test_complete_sync_exits_0(dataset: Path) -> None:
    with SandboxServer.start(Options(batches=20, files=(1, 9), speed=0), thread=True) as server:
        environment = _environment(server.url, server.api_key)
        arguments = [str(dataset), "--jobs", "--status", "COMPLETED", "FAILED"]
        done = subprocess.run(
            [*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        with lb.connect(server.api_key, base_url=server.url):
            batches = lb.fetch_batches(status=["COMPLETED", "FAILED"])
            jobs = lb.fetch_jobs(lb.fetch_results(batches))
    assert done.returncode == DONE, done.stderr
    assert set(lb.read_dataset(dataset, "batches").batch_id) == set(batches.batch_id)
    assert set(lb.read_dataset(dataset, "jobs").job_id) == set(jobs.job_id)


def test_log_has_first_and_last_line(run_sync: Sync, dataset: Path) -> None:
    done = run_sync(_serving(COMPLETE_BATCH))
    assert done.returncode == DONE
    assert done.stdout == ""
    first, last = done.stderr.splitlines()
    assert LINE.match(first)
    assert LINE.match(last)
    assert f"Syncing '{dataset}' with http://127.0.0.1" in first
    assert "1 new batches" in last
    assert "results: 2 rows (+2)" in last
    assert "\r" not in done.stderr


def test_quiet_success_prints_nothing(run_sync: Sync) -> None:
    done = run_sync(_serving(COMPLETE_BATCH), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (DONE, "", "")


def test_terminal_shows_report_instead_of_log(serve: Serve, dataset: Path) -> None:
    reader, writer = pty.openpty()
    done = subprocess.run(
        [*COMMAND, str(dataset)],
        env=_environment(serve(_serving(COMPLETE_BATCH)).url),
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        timeout=60,
        check=False,
    )
    os.write(writer, b".")  # so that the read returns
    output = os.read(reader, 10_000)
    for end in (reader, writer):
        os.close(end)
    assert done.returncode == DONE
    assert done.stdout.startswith(f"Synced '{dataset}' in ")
    assert b"INFO" not in output


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (_serving(COMPLETE_BATCH, total_size=5), "but received 1"),
        (_serving(COMPLETE_BATCH, batch("bat-2")), "1 not found"),
        (_serving(COMPLETE_BATCH, jobs=[]), "1 jobs not found"),
        (
            _serving(COMPLETE_BATCH, jobs=Response({"detail": "no jobs today"}, 400)),
            "no jobs today",
        ),
        (_serving(batch("bat-1", results=[UNKNOWN_JOB_TYPE])), "split_v1"),
    ],
    ids=[
        "incomplete list",
        "unknown batch",
        "unknown job",
        "error after a commit",
        "unknown job type",
    ],
)
def test_incomplete_sync_exits_3(
    run_sync: Sync, dataset: Path, script: Script, message: str
) -> None:
    done = run_sync(script, "--jobs", "--quiet")
    assert done.returncode == PARTIAL, done.stderr
    assert message in done.stderr
    assert all(map(LINE.match, done.stderr.splitlines()))
    assert lb.read_dataset(dataset, "batches").batch_id.tolist() == ["bat-1"]


@pytest.mark.parametrize(
    "response",
    [
        Response({"detail": "who are you"}, 401),
        Response({"detail": "not so"}, 400),
        Response({"not": "a page"}),
    ],
    ids=["key refused", "request refused", "another server"],
)
def test_failed_sync_without_commit_exits_1(
    run_sync: Sync, dataset: Path, response: Response
) -> None:
    done = run_sync(lambda request: response)
    assert done.returncode == FAILED, done.stderr
    assert " ERROR " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert run_sync(_serving(COMPLETE_BATCH)).returncode == DONE
    assert run_sync(lambda request: response).returncode == FAILED  # the dataset is unchanged
    assert len(lb.read_dataset(dataset, "batches")) == 1


def test_folder_with_other_files_exits_1(run_sync: Sync, dataset: Path) -> None:
    dataset.mkdir()
    (dataset / "thesis.tex").touch()
    done = run_sync(_serving(COMPLETE_BATCH))
    assert done.returncode == FAILED
    assert "thesis.tex" in done.stderr


def test_missing_key_exits_1(dataset: Path) -> None:
    done = subprocess.run(
        [*COMMAND, str(dataset)], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == FAILED
    assert "LLAMA_CLOUD_API_KEY" in done.stderr
    assert not dataset.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--status", "COMPLTED"], "Did you mean 'COMPLETED'"),
        (["--since", "soon"], "'soon' is not a time"),
        (["--directory", ".."], "'..' is not an id"),
        (["--much"], "--much"),
    ],
)
def test_invalid_argument_exits_2(
    run_sync: Sync, dataset: Path, arguments: list[str], message: str
) -> None:
    done = run_sync(_serving(COMPLETE_BATCH), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not dataset.exists()


def test_invalid_path_exits_2(serve: Serve) -> None:
    environment = _environment(serve(_serving(COMPLETE_BATCH)).url)
    for path in ("nowhere://bucket/dataset", ""):
        done = subprocess.run(
            [*COMMAND, path], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "path" in done.stderr


def test_filters_are_sent_to_server(serve: Serve, dataset: Path) -> None:
    server = serve(_serving(COMPLETE_BATCH))
    arguments = ["--since", "2026-08-01", "--until", "2026-08-02T02:00+02:00"]
    arguments += ["--directory", "dir-1", "--project-id", "prj-1", "--status", "completed"]
    subprocess.run([*COMMAND, str(dataset), *arguments], env=_environment(server.url), check=True)
    request = server.requests[0]
    assert {name: request.param(name) for name in request.query if name != "page_size"} == {
        "created_at_on_or_after": "2026-08-01T00:00:00Z",
        "created_at_on_or_before": "2026-08-02T00:00:00Z",
        "source_directory_id": "dir-1",
        "project_id": "prj-1",
    }


def test_key_is_never_printed_or_stored(run_sync: Sync, dataset: Path) -> None:
    done = run_sync(
        lambda request: Response({"detail": f"no: {request.headers['authorization']}"}, 403)
    )
    assert "no: Bearer ***" in done.stderr
    done = run_sync(_serving(COMPLETE_BATCH))
    assert KEY not in done.stderr
    assert not any(KEY.encode() in p.read_bytes() for p in dataset.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)]
)
def test_signal_stops_sync_cleanly(
    serve: Serve, dataset: Path, number: signal.Signals, code: int
) -> None:
    requested, may_respond = threading.Event(), threading.Event()

    def script(request: Request) -> Any:
        if request.path.endswith("bat-1"):
            requested.set()
            may_respond.wait(30)
        return _serving(COMPLETE_BATCH)(request)

    url = serve(script).url
    with subprocess.Popen(
        [*COMMAND, str(dataset)], env=_environment(url), stderr=subprocess.PIPE, text=True
    ) as process:
        assert requested.wait(30)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        may_respond.set()
    assert process.returncode == code
    assert "WARNING Stopped." in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    again = subprocess.run([*COMMAND, str(dataset)], env=_environment(url), check=False)
    assert again.returncode == DONE


def test_long_sync_logs_progress_at_intervals(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    bar = sync.LogProgress(desc="sync", unit="batch")
    bar.update(500)
    assert not caplog.messages
    monkeypatch.setattr(sync, "LOG_INTERVAL", 0.0)
    bar = sync.LogProgress(desc="sync", unit="batch")
    bar.update(500)
    bar.total = 10_000
    bar.update(700)
    bar.set_postfix_str("rate limit, waiting 9 s")
    assert caplog.messages == [
        "sync: batch 500",
        "sync: batch 1,200 of 10,000",
        "sync: batch 1,200 of 10,000, rate limit, waiting 9 s",
    ]
