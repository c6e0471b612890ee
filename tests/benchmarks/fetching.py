"""How fast both frames are fetched, beside the same requests alone and beside the official SDK.

Run `python -m tests.benchmarks.fetching` from the root of the repository. Case A has the latency of
a network, case B none; `growth` shows what one row costs as the batches become more. Everyone is
served the same cached bytes by a sandbox in its own process, over connections of their own. What is
timed goes from the first request to the last frame, without the making of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd
import requests
from llama_cloud import AsyncLlamaCloud, LlamaCloud
from llama_cloud.types import BatchGetResponse, BatchListResponse
from requests.adapters import HTTPAdapter

import llama_batches_nb as lb
from llama_batches_nb.sandbox.options import Options
from llama_batches_nb.sandbox.server import Server

WORKERS = 16
PAGE_SIZE = 1000
PATH = "/api/v2/batches"
EXPAND = {"expand": "results"}
GROWTH = (10, 100, 1_000, 3_000)  # batches
GROWTH_FILES = 50
IMPORTS = 5


@dataclass(frozen=True)
class Run:
    """One contestant in one round."""

    seconds: float
    rows: int


@dataclass(frozen=True)
class Task:
    """A warm server and what there is to be fetched from it, learned while warming it."""

    server: Server
    pages: list[dict[str, Any]]
    ids: list[str]
    rows: int
    size: int  # bytes of all bodies


@dataclass(frozen=True)
class Target:
    """What our time must be, as a share of another's."""

    other: str
    at_most: float

    def __str__(self) -> str:
        if self.at_most >= 1:
            return f"ours <= {self.at_most:g} x this"
        return f"ours >= {1 / self.at_most:g} x faster"


@dataclass(frozen=True)
class Case:
    """A history, who competes over it, and our targets; the first contestant is the floor."""

    options: Options
    contestants: dict[str, Callable[[Task], Run]]
    targets: tuple[Target, ...]
    once: tuple[str, ...] = ()


# Contestants


def ours(task: Task) -> Run:
    with lb.connect(task.server.api_key, base_url=task.server.url, max_workers=WORKERS) as client:
        started = time.perf_counter()
        batches = lb.fetch_batches(client=client, progress=False)
        results = lb.fetch_results(batches, client=client, progress=False)
        return Run(time.perf_counter() - started, len(results))


def raw(task: Task) -> Run:
    """Make the same requests and throw the bodies away."""
    seconds, sizes = _requests(task, len)
    return Run(seconds, task.rows if sum(sizes) == task.size else -1)


def loaded(task: Task) -> Run:
    """Make the same requests, parse each body and throw it away."""
    seconds, counts = _requests(task, lambda body: len(json.loads(body).get("results") or ()))
    return Run(seconds, sum(counts))


def sdk_asyncio(task: Task) -> Run:
    async def fetch() -> Run:
        async with AsyncLlamaCloud(api_key=task.server.api_key, base_url=task.server.url) as client:
            free = asyncio.Semaphore(WORKERS)

            async def get(batch_id: str) -> BatchGetResponse:
                async with free:
                    return await client.batches.get(batch_id, expand=["results"])

            started = time.perf_counter()
            listed = [batch async for batch in client.batches.list(page_size=PAGE_SIZE)]
            got = await asyncio.gather(*(get(batch.id) for batch in listed))
            rows = _sdk_frames(listed, got)
            return Run(time.perf_counter() - started, rows)

    return asyncio.run(fetch())


def sdk_loop(task: Task) -> Run:
    with LlamaCloud(api_key=task.server.api_key, base_url=task.server.url) as client:
        started = time.perf_counter()
        listed = list(client.batches.list(page_size=PAGE_SIZE))
        got = [client.batches.get(batch.id, expand=["results"]) for batch in listed]
        rows = _sdk_frames(listed, got)
        return Run(time.perf_counter() - started, rows)


def _sdk_frames(listed: Sequence[BatchListResponse], got: Sequence[BatchGetResponse]) -> int:
    """Make both frames as a user of the SDK would, and return the rows of the second."""
    pd.json_normalize([batch.model_dump() for batch in listed])
    results = pd.json_normalize(
        [
            {
                "batch_id": batch.id,
                "batch_status": batch.status,
                "batch_created_at": batch.created_at,
                "configuration_id": batch.config.job.configuration_id,
                "source_directory_id": batch.source_directory_id,
                **result.model_dump(),
            }
            for batch in got
            for result in batch.results or ()
        ]
    )
    return len(results)


def _requests(task: Task, use: Callable[[bytes], int]) -> tuple[float, list[int]]:
    """Make our requests with nothing but `requests` and threads, and use each body."""
    with _session(task.server) as session, ThreadPoolExecutor(WORKERS) as pool:

        def get(path: str, params: dict[str, Any]) -> int:
            return use(session.get(task.server.url + path, params=params).content)

        started = time.perf_counter()
        used = [get(PATH, page) for page in task.pages]
        used += pool.map(lambda batch_id: get(f"{PATH}/{batch_id}", EXPAND), task.ids)
        return time.perf_counter() - started, used


def _session(server: Server) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {server.api_key}"
    session.trust_env = False  # no look for proxies and .netrc at each request
    session.mount("http://", HTTPAdapter(pool_maxsize=WORKERS, pool_block=True))
    return session


# Rounds


def warmed(server: Server) -> Task:
    """Fetch all once, so that the server has every body at hand."""
    pages, ids, rows, size = [], [], 0, 0
    page: dict[str, Any] = {"page_size": PAGE_SIZE}
    with _session(server) as session:
        while True:
            body = session.get(server.url + PATH, params=page).content
            answer = json.loads(body)
            pages.append(page)
            ids += [batch["id"] for batch in answer["items"]]
            size += len(body)
            if not answer["next_page_token"]:
                break
            page = {"page_size": PAGE_SIZE, "page_token": answer["next_page_token"]}
        for batch_id in ids:
            body = session.get(f"{server.url}{PATH}/{batch_id}", params=EXPAND).content
            rows += len(json.loads(body)["results"] or ())
            size += len(body)
    return Task(server, pages, ids, rows, size)


def compete(case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant in each round, interleaved."""
    times = defaultdict(list)
    with Server.start(case.options) as server:
        task = warmed(server)
        print(
            f"{len(task.ids):,} batches, {task.rows:,} rows, {task.size / 1e6:.1f} MB, "
            f"{case.options.latency * 1000:g} ms latency, {WORKERS} connections, {rounds} rounds"
        )
        for each in range(rounds):
            for name, contestant in case.contestants.items():
                if each and name in case.once:
                    continue
                gc.collect()
                run = contestant(task)
                if run.rows != task.rows:
                    raise AssertionError(f"{name} got {run.rows} rows, not {task.rows}")
                times[name].append(run.seconds)
        _report(case, times, task.rows)
    return times


def _report(case: Case, times: dict[str, list[float]], rows: int) -> None:
    targets = {target.other: target for target in case.targets}
    floor, mine = next(iter(case.contestants)), times["ours"]
    lines = []
    for name, seconds in times.items():
        middle, least = median(seconds), min(seconds)
        line = {
            "contestant": name,
            "median s": f"{middle:.3f}",
            "min s": f"{least:.3f}",
            "rows/s": f"{rows / middle:,.0f}",
            "x floor": f"{middle / median(times[floor]):.2f}",
            "ours / this": f"{median(mine) / middle:.3f}",
            "by min": f"{min(mine) / least:.3f}",
            "target": "",
            "met": "",
        }
        if name in targets:
            line["target"] = str(targets[name])
            line["met"] = "yes" if median(mine) / middle <= targets[name].at_most else "NO"
        lines.append(line)
    print(pd.DataFrame(lines).to_string(index=False), end="\n\n")


CASES = {
    "A": Case(
        Options(batches=200, files=500, latency=0.05, speed=0),
        {"floor": raw, "ours": ours, "SDK asyncio": sdk_asyncio, "SDK loop": sdk_loop},
        (Target("floor", 1.25), Target("SDK asyncio", 1 / 2.5), Target("SDK loop", 1 / 10)),
        once=("SDK loop",),
    ),
    "B": Case(
        Options(batches=300, files=1000, speed=0),
        {"json.loads": loaded, "raw": raw, "ours": ours, "SDK asyncio": sdk_asyncio},
        (Target("json.loads", 2), Target("SDK asyncio", 1 / 10)),
    ),
}


def growth(rounds: int) -> None:
    """Print what a row costs us, at more and more batches."""
    print(f"growth: {GROWTH_FILES} files a batch, no latency, ours")
    for batches in GROWTH:
        options = Options(batches=batches, files=GROWTH_FILES, speed=0)
        with Server.start(options) as server:
            task = warmed(server)
            runs = [ours(task) for _ in range(rounds)]
        seconds = median(run.seconds for run in runs)
        print(
            f"{batches:>6,} batches {task.rows:>8,} rows {seconds:>8.3f} s "
            f"{seconds / task.rows * 1e6:>7.2f} us/row {seconds / batches * 1e3:>6.2f} ms/batch"
        )
    print()


def imports() -> None:
    """Print how long our import takes, beside that of pandas alone."""
    program = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def once(module: str) -> float:
            command = [sys.executable, "-c", program.format(module)]
            return float(subprocess.check_output(command, env=environment))

        for module in ("pandas", "llama_batches_nb"):
            once(module)  # fills the cache
            seconds = [once(module) for _ in range(IMPORTS)]
            print(f"import {module:<16} median {median(seconds):.3f} s, min {min(seconds):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[*CASES, "growth"], help="one of them; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name, case in CASES.items():
        if given.case in (None, name):
            print(f"case {name}: ", end="")
            compete(case, given.rounds)
    if given.case in (None, "growth"):
        growth(given.rounds)
    imports()


if __name__ == "__main__":
    main()
