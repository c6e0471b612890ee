"""What a sync costs: rows a second, memory as the rows become more, and requests at a refresh.

Run `python -m tests.benchmarks.syncing` from the root of the repository. Each sync runs in its own
process, whose peak of resident memory the system counts; a sandbox in another serves it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import llama_batches_nb as lb
from llama_batches_nb.sandbox.options import Options
from llama_batches_nb.sandbox.server import Server
from llama_batches_nb.syncing import sync_dataset

FILES = 1000
SIZES = (200, 2000)  # batches of so many files: 200 thousand and 2 million rows
MOST_GROWTH, MOST_MIB = 1.5, 400
SMALL_BATCHES = 10_000


def measure(url: str, key: str, path: str, jobs: bool) -> dict[str, Any]:
    """Sync in a fresh process, and return the report with its peak of memory."""
    command = [sys.executable, "-m", __spec__.name, "--child", url, key, path, str(int(jobs))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def child(url: str, key: str, path: str, jobs: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with lb.connect(key, base_url=url):
        started = time.perf_counter()
        report = sync_dataset(path, jobs=bool(int(jobs)), progress=False)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak": peak / 1024,
                "before": before / 1024,
                "requests": report.requests,
                "rows": sum(report.added.values()),
            }
        )
    )


def show(what: str, run: dict[str, Any]) -> None:
    seconds, rows = run["seconds"], run["rows"]
    print(
        f"{what:<28} {rows:>10,} rows {run['requests']:>7,} requests {seconds:>7.2f} s"
        f" {rows / seconds:>9,.0f} rows/s {run['peak']:>5.0f} MiB, imports {run['before']:.0f}",
        flush=True,
    )


def memory(jobs: bool, folder: Path) -> None:
    """Compare the peaks at both sizes."""
    peaks = []
    for n in SIZES:
        options = Options(batches=n, files=FILES, speed=0)
        path = str(folder / f"{n}-{jobs}")
        with Server.start(options) as server:
            run = measure(server.url, server.api_key, path, jobs)
            show(f"{n:,} batches{' with jobs' if jobs else ''}", run)
            peaks.append(run["peak"])
            show("  again", measure(server.url, server.api_key, path, jobs))
    growth = peaks[1] / peaks[0]
    print(f"  peak × {growth:.2f} (at most {MOST_GROWTH}), {peaks[1]:.0f} of {MOST_MIB} MiB")


def refresh(folder: Path) -> None:
    """Count the requests for a few new batches beside many old ones."""
    path = str(folder / "refresh")
    with Server.start(Options(batches=SMALL_BATCHES, files=(1, 5), speed=0)) as server:
        show(f"{SMALL_BATCHES:,} small batches", measure(server.url, server.api_key, path, False))
        with lb.connect(server.api_key, base_url=server.url):
            server.advance(24 * 3600)
            show("  a day later", measure(server.url, server.api_key, path, False))
            directory = lb.fetch_directories(name="Invoices 2026")
            for _ in range(10):
                lb.create_batch(directory, "cfg-PARSE_AGENTIC")
            server.advance(24 * 3600)
            show("  and 10 new ones", measure(server.url, server.api_key, path, False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--only", choices=["memory", "jobs", "refresh"])
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.only in (None, "refresh"):
            refresh(Path(scratch))
        if arguments.only in (None, "memory"):
            memory(False, Path(scratch))
        if arguments.only in (None, "jobs"):
            memory(True, Path(scratch))


if __name__ == "__main__":
    main()
