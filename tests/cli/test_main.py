"""The commands, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import llama_batches_nb as lb
from tests.servers import Asked, Server, batch, mapping, page

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


def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    done = _run("demo", "--out", "here/there", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "here/there"
    frames = {n: lb.read_parquet(out / f"{n}.parquet") for n in ("batches", "results", "jobs")}
    assert {name: len(frame) > 0 for name, frame in frames.items()} == dict.fromkeys(frames, True)
    assert (out / "failure-rates.png").read_bytes().startswith(PNG)
    rates = lb.failure_rates(lb.outcomes(frames["results"], frames["jobs"]), by="configuration_id")
    worst = rates.nlargest(1, "failure_rate").iloc[0]
    assert f"({worst.failed:,} of {worst.decided:,}; " in done.stdout
    assert "7 succeeded, 1 job_failed" in done.stdout
    assert str(out) in done.stdout
    assert "lb.plot_failure_rates" in done.stdout


def test_live_without_a_key_says_what_to_do(tmp_path: Path) -> None:
    done = _run("demo", "--live", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("AuthenticationError: No API key.")
    assert not list(tmp_path.iterdir())


def test_live_reads_and_creates_nothing(tmp_path: Path) -> None:
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


def test_live_says_names_and_does_not_obey_them(tmp_path: Path) -> None:
    name = "\x1b]0;mine\x07\x9b2J"

    def script(asked: Asked) -> Any:
        if asked.path.endswith("bat-1"):
            return batch("bat-1", source_directory_id="dir-1", results=[mapping("dfl-1", "pjb-1")])
        return page(
            {
                "batches": [batch("bat-1", source_directory_id="dir-1", results=None)],
                "parse": [{"id": "pjb-1", "status": "COMPLETED"}],
                "directories": [{"id": "dir-1", "name": name}],
                "configurations": [],
            }[asked.path.rpartition("/")[2]]
        )

    with Server(script) as server:
        environment = {"LLAMA_CLOUD_API_KEY": "llx-secret", "LLAMA_CLOUD_BASE_URL": server.url}
        done = _run("demo", "--live", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert r"\x1b]0;mine\x07\x9b2J" in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _run("demo", "--out", "file/below", cwd=tmp_path)
    assert done.returncode == 1
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_serves_until_it_is_told_to_stop(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "llama_batches_nb", "sandbox", "--port", "0", "--batches", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        url, key = words[2], words[-1]
        request = urllib.request.Request(
            f"{url}/api/v2/batches", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request) as answer:
            assert b'"items"' in answer.read()
        process.send_signal(how)
        assert process.wait(10) == 0


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = _run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "sandbox" in done.stdout
    assert _run(cwd=tmp_path).returncode == 2
