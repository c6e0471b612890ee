"""Cost of a sync: rows per second, memory as the rows grow, and requests of a refresh.

Run `python -m tests.benchmarks.syncing` from the root of the repository. Each sync runs in a
fresh process, whose peak resident memory is measured; a sandbox in another process serves it. With
`--large`, jobs and names are fetched for two million rows too, which takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import llama_batches_nb as lb
from llama_batches_nb.dataset.sync import sync_dataset
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.benchmarks.memory import peak

FILES = 1000
SIZES = (200, 2000)  # batches of so many files: 200 thousand and 2 million rows
SIZES_WITH_JOBS = (50, 200)  # the sandbox makes up jobs more slowly than batches
GROWTH_FILES, GROWTH = 20, (10, 100, 1_000, 10_000)
MAX_GROWTH, MAX_MIB = 1.5, 400
SMALL_BATCHES = 10_000


def measure(url: str, key: str, path: str, jobs: bool) -> dict[str, Any]:
    """Sync in a fresh process and return the report with the peak memory."""
    command = [sys.executable, "-m", __spec__.name, "--child", url, key, path, str(int(jobs))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def child(url: str, key: str, path: str, jobs: str) -> None:
    before = peak()
    with lb.connect(key, base_url=url):
        started = time.perf_counter()
        more = bool(int(jobs))
        report = sync_dataset(path, jobs=more, names=more, progress=False)
        seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak": peak(),
                "before": before,
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


def growth(folder: Path) -> None:
    """Print the time per batch for growing numbers of batches."""
    for n in GROWTH:
        with Server.start(Options(batches=n, files=GROWTH_FILES, speed=0)) as server:
            run = measure(server.url, server.api_key, str(folder / f"growth-{n}"), False)
        show(f"{n:,} batches of {GROWTH_FILES}", run)
        print(f"  {run['seconds'] / n * 1000:.2f} ms/batch", flush=True)


def memory(sizes: tuple[int, ...], jobs: bool, folder: Path) -> None:
    """Print the peak memory at both sizes."""
    peaks = []
    for n in sizes:
        options = Options(batches=n, files=FILES, speed=0)
        path = str(folder / f"{n}-{jobs}")
        with Server.start(options) as server:
            run = measure(server.url, server.api_key, path, jobs)
            show(f"{n:,} batches{' with jobs, names' if jobs else ''}", run)
            peaks.append(run["peak"])
            show("  again", measure(server.url, server.api_key, path, jobs))
    print(
        f"  peak × {peaks[1] / peaks[0]:.2f} (at most {MAX_GROWTH}), "
        f"{peaks[1]:.0f} of {MAX_MIB} MiB",
        flush=True,
    )


def refresh(folder: Path) -> None:
    """Print the number of requests for a few new batches beside many old ones."""
    path = str(folder / "refresh")
    with Server.start(Options(batches=SMALL_BATCHES, files=(1, 5), speed=0)) as server:
        show(f"{SMALL_BATCHES:,} small batches", measure(server.url, server.api_key, path, False))
        with lb.connect(server.api_key, base_url=server.url):
            server.advance(24 * 3600)
            show("  a day later", measure(server.url, server.api_key, path, False))
            directory = lb.fetch_directories(name="Invoices 2026")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Directory .* has other batches", UserWarning)
                for _ in range(10):
                    lb.create_batch(directory, "cfg-PARSE_AGENTIC")
            server.advance(24 * 3600)
            show("  and 10 new ones", measure(server.url, server.api_key, path, False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["growth", "memory", "jobs", "refresh"])
    parser.add_argument("--large", action="store_true", help="jobs and names of two million rows")
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.only in (None, "refresh"):
            refresh(Path(scratch))
        if arguments.only in (None, "growth"):
            growth(Path(scratch))
        if arguments.only in (None, "memory"):
            memory(SIZES, False, Path(scratch))
        if arguments.only in (None, "jobs"):
            memory(SIZES if arguments.large else SIZES_WITH_JOBS, True, Path(scratch))


if __name__ == "__main__":
    main()
