"""The command line: each command runs in a separate process."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.__main__ import COMMANDS, build_parser
from tests.servers import Request, Server, batch, mapping, page

PNG = b"\x89PNG"


def _run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LLAMA_")}
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::DeprecationWarning",
            "-m",
            "llama_batches_nb",
            *arguments,
        ],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_demo_runs_batch_and_writes_files(tmp_path: Path) -> None:
    done = _run("demo", "--out", "new/folder", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "new/folder"
    frames = {n: lb.read_parquet(out / f"{n}.parquet") for n in ("batches", "results", "jobs")}
    assert {name: len(frame) > 0 for name, frame in frames.items()} == dict.fromkeys(frames, True)
    assert (out / "failure-rates.png").read_bytes().startswith(PNG)
    rates = lb.failure_rates(lb.outcomes(frames["results"], frames["jobs"]), by="configuration_id")
    worst = rates.nlargest(1, "failure_rate").iloc[0]
    files = f"({worst.failed:,} of {worst.decided:,} files in {worst.batches:,} batches; "
    assert files in done.stdout
    assert "7 succeeded, 1 job_failed" in done.stdout
    assert str(out) in done.stdout
    assert "lb.plot_failure_rates" in done.stdout


def test_live_demo_without_key_raises(tmp_path: Path) -> None:
    done = _run("demo", "--live", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("AuthenticationError: No API key.")
    assert not list(tmp_path.iterdir())


def test_live_demo_creates_nothing(tmp_path: Path) -> None:
    with lb.sandbox(batches=10, files=5, thread=True) as box:
        environment = {"LLAMA_CLOUD_API_KEY": "llx-sandbox", "LLAMA_CLOUD_BASE_URL": box.url}
        before = lb.fetch_batches(), lb.fetch_directories()
        done = _run("demo", "--live", "--limit", "8", cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
        assert (len(before[0]), len(before[1])) == (
            len(lb.fetch_batches()),
            len(lb.fetch_directories()),
        )
    assert len(lb.read_parquet(tmp_path / "demo/batches.parquet")) == 8


def test_demo_escapes_control_characters_in_names(tmp_path: Path) -> None:
    name = "\x1b]0;mine\x07\x9b2J"

    def script(request: Request) -> Any:
        if request.path.endswith("bat-1"):
            return batch("bat-1", source_directory_id="dir-1", results=[mapping("dfl-1", "pjb-1")])
        return page(
            {
                "batches": [batch("bat-1", source_directory_id="dir-1", results=None)],
                "parse": [{"id": "pjb-1", "status": "COMPLETED"}],
                "directories": [{"id": "dir-1", "name": name}],
                "configurations": [],
            }[request.path.rpartition("/")[2]]
        )

    with Server(script) as server:
        environment = {"LLAMA_CLOUD_API_KEY": "llx-secret", "LLAMA_CLOUD_BASE_URL": server.url}
        done = _run("demo", "--live", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert r"\x1b]0;mine\x07\x9b2J" in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout)


def test_demo_reports_unwritable_folder_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _run("demo", "--out", "file/below", cwd=tmp_path)
    assert done.returncode == 1
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sandbox_serves_until_signal(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "llama_batches_nb", "sandbox", "--port", "0", "--batches", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        url, key = words[2], words[-1]
        request = urllib.request.Request(
            f"{url}/api/v2/batches", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request) as response:
            assert b'"items"' in response.read()
        process.send_signal(number)
        assert process.wait(10) == 0


def test_help_lists_all_commands(tmp_path: Path) -> None:
    done = _run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout
    assert _run(cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_help(command: str) -> None:
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    parser = commands.choices[command]
    assert parser.description
    assert [action.dest for action in parser._actions if not action.help] == []
