"""The command `sync`, each time in a process of its own, whose stderr is mostly a pipe."""

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
from llama_batches_nb.cli.sync import DONE, FAILED, INTERRUPTED, LOCKED, PARTIAL, TERMINATED
from llama_batches_nb.dataset.lock import LOCK_INFO_FILE, acquire_lock
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.servers import Answer, Asked, Script, batch, mapping, page

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
def kept(tmp_path: Path) -> Path:
    """Where the dataset is to be."""
    return tmp_path / "kept"


@pytest.fixture
def run_sync(serve: Serve, kept: Path) -> Sync:
    """Run the command against a script; to the dataset it is always the same server."""
    scripts: list[Script] = []
    server = serve(lambda asked: scripts[-1](asked))

    def run(script: Script, *arguments: str) -> subprocess.CompletedProcess[str]:
        scripts.append(script)
        return subprocess.run(
            [*COMMAND, str(kept), *arguments],
            env=_environment(server.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _serving(*batches: dict[str, Any], jobs: Any = (), **first: Any) -> Script:
    """Serve batches, of which those without results are not found, and jobs."""

    def script(asked: Asked) -> Any:
        name = asked.path.rsplit("/", 1)[1]
        if name == "parse":
            return jobs if isinstance(jobs, Answer) else page(list(jobs))
        if name == "batches":
            return page([{**one, "results": None} for one in batches], **first)
        (found,) = (one for one in batches if one["id"] == name)
        return found if "results" in found else Answer({"detail": "not here"}, 404)

    return script


NEW_KIND = {**mapping("dfl-1"), "job_reference": {"id": "spl-1", "type": "split_v1"}}
WHOLE = batch("bat-1", results=[mapping("dfl-1", "pjb-1"), mapping("dfl-2", None, "no such file")])


def test_all_of_a_history_is_success(kept: Path) -> None:
    with SandboxServer.start(Options(batches=20, files=(1, 9), speed=0), thread=True) as server:
        environment = _environment(server.url, server.api_key)
        arguments = [str(kept), "--jobs", "--status", "COMPLETED", "FAILED"]
        done = subprocess.run(
            [*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        with lb.connect(server.api_key, base_url=server.url):
            batches = lb.fetch_batches(status=["COMPLETED", "FAILED"])
            jobs = lb.fetch_jobs(lb.fetch_results(batches))
    assert done.returncode == DONE, done.stderr
    assert set(lb.read_dataset(kept, "batches").batch_id) == set(batches.batch_id)
    assert set(lb.read_dataset(kept, "jobs").job_id) == set(jobs.job_id)


def test_the_log_has_a_line_at_the_start_and_one_at_the_end(run_sync: Sync, kept: Path) -> None:
    done = run_sync(_serving(WHOLE))
    assert done.returncode == DONE
    assert done.stdout == ""
    first, last = done.stderr.splitlines()
    assert LINE.match(first)
    assert LINE.match(last)
    assert f"Syncing '{kept}' with http://127.0.0.1" in first
    assert "1 batches new" in last
    assert "results: 2 rows (+2)" in last
    assert "\r" not in done.stderr


def test_quiet_says_nothing_of_success(run_sync: Sync) -> None:
    done = run_sync(_serving(WHOLE), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (DONE, "", "")


def test_in_a_terminal_the_report_is_shown_and_no_log(serve: Serve, kept: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, str(kept)],
        env=_environment(serve(_serving(WHOLE)).url),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
        check=False,
    )
    os.write(theirs, b".")  # or there might be nothing to read
    said = os.read(ours, 10_000)
    for end in (ours, theirs):
        os.close(end)
    assert done.returncode == DONE
    assert done.stdout.startswith(f"Synced '{kept}' in ")
    assert b"INFO" not in said


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (_serving(WHOLE, total_size=5), "but received 1"),
        (_serving(WHOLE, batch("bat-2")), "not known to the API any more: bat-2"),
        (_serving(WHOLE, jobs=[]), "1 jobs are not known to the API"),
        (_serving(WHOLE, jobs=Answer({"detail": "no jobs today"}, 400)), "no jobs today"),
        (_serving(batch("bat-1", results=[NEW_KIND])), "split_v1"),
    ],
    ids=["list cut short", "batch gone", "job unknown", "error after a commit", "type unknown"],
)
def test_what_is_not_whole_is_partial(
    run_sync: Sync, kept: Path, script: Script, words: str
) -> None:
    done = run_sync(script, "--jobs", "--quiet")
    assert done.returncode == PARTIAL, done.stderr
    assert words in done.stderr
    assert all(map(LINE.match, done.stderr.splitlines()))
    assert lb.read_dataset(kept, "batches").batch_id.tolist() == ["bat-1"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"detail": "who are you"}, 401),
        Answer({"detail": "not so"}, 400),
        Answer({"not": "a page"}),
    ],
    ids=["key refused", "request refused", "another server"],
)
def test_nothing_kept_is_failure(run_sync: Sync, kept: Path, answer: Answer) -> None:
    done = run_sync(lambda asked: answer)
    assert done.returncode == FAILED, done.stderr
    assert " ERROR " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert run_sync(_serving(WHOLE)).returncode == DONE
    assert (
        run_sync(lambda asked: answer).returncode == FAILED
    )  # what was there is none of its doing
    assert len(lb.read_dataset(kept, "batches")) == 1


def test_a_place_that_is_taken_is_failure(run_sync: Sync, kept: Path) -> None:
    kept.mkdir()
    (kept / "thesis.tex").touch()
    done = run_sync(_serving(WHOLE))
    assert done.returncode == FAILED
    assert "thesis.tex" in done.stderr


def test_no_key_is_failure(kept: Path) -> None:
    done = subprocess.run(
        [*COMMAND, str(kept)], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == FAILED
    assert "LLAMA_CLOUD_API_KEY" in done.stderr
    assert not kept.exists()


def test_a_dataset_that_another_writes_is_told_apart(run_sync: Sync, kept: Path) -> None:
    with acquire_lock(Storage(kept)):
        done = run_sync(_serving(WHOLE))
    assert done.returncode == LOCKED
    assert f"process {os.getpid()}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--status", "COMPLTED"], "Did you mean 'COMPLETED'"),
        (["--since", "soon"], "'soon' is not a time"),
        (["--directory", ".."], "'..' is not an id"),
        (["--much"], "--much"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    run_sync: Sync, kept: Path, arguments: list[str], words: str
) -> None:
    done = run_sync(_serving(WHOLE), *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not kept.exists()


def test_a_place_that_nobody_knows_is_refused(serve: Serve) -> None:
    environment = _environment(serve(_serving(WHOLE)).url)
    for path in ("nowhere://bucket/kept", ""):
        done = subprocess.run(
            [*COMMAND, path], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "path" in done.stderr


def test_filters_are_passed_on(serve: Serve, kept: Path) -> None:
    server = serve(_serving(WHOLE))
    arguments = ["--since", "2026-08-01", "--until", "2026-08-02T02:00+02:00"]
    arguments += ["--directory", "dir-1", "--project-id", "prj-1", "--status", "completed"]
    subprocess.run([*COMMAND, str(kept), *arguments], env=_environment(server.url), check=True)
    asked = server.asked[0]
    assert {name: asked.one(name) for name in asked.query if name != "page_size"} == {
        "created_at_on_or_after": "2026-08-01T00:00:00Z",
        "created_at_on_or_before": "2026-08-02T00:00:00Z",
        "source_directory_id": "dir-1",
        "project_id": "prj-1",
    }


def test_the_key_is_not_said_even_if_the_server_does(run_sync: Sync, kept: Path) -> None:
    done = run_sync(lambda asked: Answer({"detail": f"no: {asked.headers['authorization']}"}, 403))
    assert "no: Bearer ***" in done.stderr
    done = run_sync(_serving(WHOLE))
    assert KEY not in done.stderr
    assert not any(KEY.encode() in p.read_bytes() for p in kept.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)]
)
def test_a_signal_stops_it_cleanly(
    serve: Serve, kept: Path, number: signal.Signals, code: int
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def script(asked: Asked) -> Any:
        if asked.path.endswith("bat-1"):
            is_asked.set()
            may_answer.wait(30)
        return _serving(WHOLE)(asked)

    url = serve(script).url
    with subprocess.Popen(
        [*COMMAND, str(kept)], env=_environment(url), stderr=subprocess.PIPE, text=True
    ) as process:
        assert is_asked.wait(30)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        may_answer.set()
    assert process.returncode == code
    assert "WARNING Stopped." in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not (kept / LOCK_INFO_FILE).exists()
    again = subprocess.run([*COMMAND, str(kept)], env=_environment(url), check=False)
    assert again.returncode == DONE


def test_a_long_run_says_now_and_then_how_far_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    lines = sync.LogProgress(desc="sync", unit="batch")
    lines.update(500)
    assert not caplog.messages
    monkeypatch.setattr(sync, "LOG_INTERVAL", 0.0)
    lines = sync.LogProgress(desc="sync", unit="batch")
    lines.update(500)
    lines.total = 10_000
    lines.update(700)
    lines.set_postfix_str("rate limit, waiting 9 s")
    assert caplog.messages == [
        "sync: batch 500",
        "sync: batch 1,200 of 10,000",
        "sync: batch 1,200 of 10,000, rate limit, waiting 9 s",
    ]
