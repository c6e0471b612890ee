"""Load test: fetch and sync ten million rows, and share one rate limit among 200 clients.

Run `python -m tests.reliability.soak` from the root of the repository; it takes some minutes and
writes the load table of the documentation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import open_dataset
from tests.benchmarks.memory import peak
from tests.reliability import page
from tests.reliability.load_server import LoadServer, RunningLoadServer, start_load_server

NAME = "load"
COLUMNS = ("load", "rows", "lost", "duplicated", "requests", "refused", "seconds", "peak MiB")
BATCHES, FILES = 10_000, 1_000
MAX_MIB = 400
PROCESSES, CLIENTS, EACH, RATE = 8, 25, 50, 100  # clients of a process, batches of each, a second
KEY = "llx-secret"
COLUMNS_OF_A_ROW = ("batch_id", "source_directory_file_id")


@dataclass
class Run:
    """The result of one process."""

    rows: int
    lost: int
    duplicated: int
    peak: float
    """MiB"""


def check(rows: pa.Table, batches: int, files: int) -> tuple[int, int]:
    """Return the numbers of missing and of duplicated rows."""
    once = rows.group_by(list(COLUMNS_OF_A_ROW)).aggregate([([], "count_all")])
    ids = pa.array([f"bat-{n:07}" for n in range(batches)], pa.string())
    known = once.filter(pc.is_in(once["batch_id"].cast(pa.string()), ids))
    return batches * files - len(known), len(rows) - len(once)


def fetch(url: str, n_batches: str, n_files: str) -> Run:
    """Fetch the results of all batches into one frame."""
    with lb.connect(KEY, base_url=url):
        results = lb.fetch_results(lb.fetch_batches(progress=False), progress=False)
    highest = peak()
    rows = pa.Table.from_pandas(results[list(COLUMNS_OF_A_ROW)], preserve_index=False)
    return Run(len(rows), *check(rows, int(n_batches), int(n_files)), highest)


def sync(url: str, folder: str) -> Run:
    """Update a dataset; another process checks its rows."""
    with lb.connect(KEY, base_url=url):
        report = lb.sync_dataset(folder, names=False, progress=False)
    return Run(report.added["results"], 0, 0, peak())


def crowd(url: str, clients: str, n_batches: str, n_files: str) -> Run:
    """Fetch some batches with several clients at once, as several notebooks do."""
    ids = [f"bat-{n:07}" for n in range(int(n_batches))]

    def one(_: int) -> tuple[int, int, int]:
        with lb.connect(KEY, base_url=url) as client:
            results = lb.fetch_results(ids, progress=False, client=client)
        rows = pa.Table.from_pandas(results[list(COLUMNS_OF_A_ROW)], preserve_index=False)
        return len(rows), *check(rows, int(n_batches), int(n_files))

    with ThreadPoolExecutor(int(clients)) as pool:
        rows, lost, duplicated = zip(*pool.map(one, range(int(clients))), strict=True)
    return Run(sum(rows), sum(lost), sum(duplicated), peak())


CHILDREN: dict[str, Callable[..., Run]] = {"fetch": fetch, "sync": sync, "crowd": crowd}


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Run one of `CHILDREN` in a new process."""
    command = [sys.executable, "-m", __spec__.name, "--child", name, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> Run:
    """Wait for a process and return its result."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"A process failed: {process.args!r}")
    return Run(**json.loads(out))


def row(what: str, server: RunningLoadServer, work: Callable[[], Run]) -> list[object]:
    """Run a load and return its row of the table."""
    before = server.counts()
    started = time.monotonic()
    run = work()
    seconds = time.monotonic() - started
    done, not_done = (now - then for now, then in zip(server.counts(), before, strict=True))
    values = [
        what,
        run.rows,
        run.lost,
        run.duplicated,
        done,
        not_done,
        round(seconds),
        round(run.peak),
    ]
    print(*values, sep=" | ", flush=True)
    return values


def fetch_and_sync() -> Iterator[list[object]]:
    """Fetch and sync ten million rows."""
    size = f"{BATCHES:,} batches × {FILES:,} files"
    with (
        start_load_server(LoadServer(BATCHES, FILES)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):

        def synced() -> Run:
            run = result_of(start("sync", server.url, folder))
            kept = open_dataset(folder).to_table(list(COLUMNS_OF_A_ROW))
            run.lost, run.duplicated = check(kept, BATCHES, FILES)
            if run.peak > MAX_MIB:
                raise RuntimeError(f"{run.peak:.0f} MiB exceed the limit of {MAX_MIB} MiB")
            return run

        fetched = partial(start, "fetch", server.url, BATCHES, FILES)
        yield row(f"{size}, fetched", server, lambda: result_of(fetched()))
        yield row(f"{size}, synced", server, synced)
        yield row(f"{size}, synced again", server, synced)


def share_rate_limit() -> Iterator[list[object]]:
    """Share one server's rate limit among 200 clients."""
    n_clients = PROCESSES * CLIENTS
    with start_load_server(LoadServer(EACH, files=2, rate=RATE)) as server:

        def run_crowds() -> Run:
            crowds = [start("crowd", server.url, CLIENTS, EACH, 2) for _ in range(PROCESSES)]
            runs = [result_of(process) for process in crowds]
            rows, lost, duplicated = (
                sum(getattr(run, name) for run in runs) for name in ("rows", "lost", "duplicated")
            )
            return Run(rows, lost, duplicated, max(run.peak for run in runs))

        what = f"{n_clients} clients, {EACH} batches each, {RATE} requests a second in all"
        values = row(what, server, run_crowds)
        answered, refused = server.counts()
        if refused >= answered:
            raise RuntimeError(f"{refused:,} refusals are not fewer than {answered:,} answers")
        yield values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *rest = arguments.child
        print(json.dumps(asdict(CHILDREN[name](*rest))))
        return
    rows = [*fetch_and_sync(), *share_rate_limit()]
    if any(values[2] or values[3] for values in rows):
        raise RuntimeError("rows were lost or duplicated")
    page.write(NAME, page.table(COLUMNS, rows))


if __name__ == "__main__":
    main()
