"""Speed of fetching batches and results, beside the bare requests and the official SDK.

Run `python -m tests.benchmarks.fetching` from the root of the repository. Case A has network
latency, case B none. `growth` shows the time per row as the number of batches grows, `listing` the
effect of fetching the pages of a long list in parallel, `first` the time of a new process until its
first frame. A sandbox in a separate process serves the same cached bytes to all contestants. Times
of the cases run from the first request to the last frame, without creating the client. Memory is
the peak of a fresh process beyond its memory after the imports.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
import requests
from llama_cloud import AsyncLlamaCloud, LlamaCloud
from requests.adapters import HTTPAdapter

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.benchmarks import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_cloud.types import BatchGetResponse, BatchListResponse

WORKERS = 16
PAGE_SIZE = 1000
PATH = "/api/v2/batches"
EXPAND = {"expand": "results"}
GROWTH_FILES, GROWTH_BATCHES = 20, (10, 100, 1_000, 10_000)
LISTING, LISTING_PAGES = Options(batches=10_000, files=1, latency=0.05, speed=0), (1_000, 100)
FIRST_PAGE, FIRST_ROUNDS = Options(batches=300, files=1, speed=0), 15
TIMED = """
import sys, time
started = time.perf_counter()
url, key = sys.argv[1:]
{}
print(time.perf_counter() - started)
"""
FIRST_REQUEST = {
    "pandas and requests": TIMED.format("""
import json, pandas, requests
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = f"Bearer {key}"
response = session.get(f"{url}/api/v2/batches", params={"page_size": 1000})
pandas.DataFrame(json.loads(response.content)["items"])
"""),
    "llama_batches_nb": TIMED.format("""
import llama_batches_nb as lb
lb.connect(key, base_url=url)
lb.fetch_batches(progress=False)
"""),
}


@dataclass(frozen=True)
class Task:
    """A server with warm caches, and its data."""

    url: str
    api_key: str
    pages: list[dict[str, Any]]
    ids: list[str]
    rows: int
    size: int  # bytes of all bodies


@dataclass(frozen=True)
class Case:
    """Sample data, the contestants, and the target ratio to each of them."""

    options: Options
    contestants: dict[str, Callable[[Task], Run]]  # the first is the floor
    targets: dict[str, float]
    once: str = ""  # a contestant that is slow


Run = tuple[float, int]  # seconds and rows


def ours(task: Task) -> Run:
    with lb.connect(task.api_key, base_url=task.url, max_workers=WORKERS) as client:
        started = time.perf_counter()
        batches = lb.fetch_batches(client=client, progress=False)
        results = lb.fetch_results(batches, client=client, progress=False)
        return time.perf_counter() - started, len(results)


def raw(task: Task) -> Run:
    """Send the same requests and discard the bodies."""
    seconds, sizes = _requests(task, len)
    return seconds, task.rows if sum(sizes) == task.size else -1


def loaded(task: Task) -> Run:
    """Send the same requests, parse each body and discard it."""
    seconds, counts = _requests(task, lambda body: len(json.loads(body).get("results") or ()))
    return seconds, sum(counts)


def sdk_asyncio(task: Task) -> Run:
    async def fetch() -> Run:
        async with AsyncLlamaCloud(api_key=task.api_key, base_url=task.url) as client:
            free = asyncio.Semaphore(WORKERS)

            async def get(batch_id: str) -> BatchGetResponse:
                async with free:
                    return await client.batches.get(batch_id, expand=["results"])

            started = time.perf_counter()
            listed = [batch async for batch in client.batches.list(page_size=PAGE_SIZE)]
            got = await asyncio.gather(*(get(batch.id) for batch in listed))
            rows = _sdk_frames(listed, got)
            return time.perf_counter() - started, rows

    return asyncio.run(fetch())


def sdk_loop(task: Task) -> Run:
    with LlamaCloud(api_key=task.api_key, base_url=task.url) as client:
        started = time.perf_counter()
        listed = list(client.batches.list(page_size=PAGE_SIZE))
        got = [client.batches.get(batch.id, expand=["results"]) for batch in listed]
        rows = _sdk_frames(listed, got)
        return time.perf_counter() - started, rows


def _sdk_frames(listed: Sequence[BatchListResponse], got: Sequence[BatchGetResponse]) -> int:
    """Build both frames with fewer columns than ours; return the number of results."""
    pd.json_normalize([batch.model_dump() for batch in listed])
    rows = []
    for batch in got:
        dumped = batch.model_dump()
        results = dumped.pop("results") or ()
        rows += [{"batch_id": batch.id, "batch_status": batch.status, **row} for row in results]
    return len(pd.json_normalize(rows))


def _requests(task: Task, use: Callable[[bytes], int]) -> tuple[float, list[int]]:
    """Send our requests with `requests` and threads only, and pass each body to a function."""
    with _session(task.api_key) as session, ThreadPoolExecutor(WORKERS) as pool:

        def get(path: str, params: dict[str, Any]) -> int:
            return use(session.get(task.url + path, params=params).content)

        started = time.perf_counter()
        used = [get(PATH, page) for page in task.pages]
        used += pool.map(lambda batch_id: get(f"{PATH}/{batch_id}", EXPAND), task.ids)
        return time.perf_counter() - started, used


def _session(api_key: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {api_key}"
    session.trust_env = False  # no look for proxies and .netrc at each request
    session.mount("http://", HTTPAdapter(pool_maxsize=WORKERS, pool_block=True))
    return session


def warmed(server: Server) -> Task:
    """Fetch everything once, so that the server caches every body."""
    pages, ids, rows, size = [], [], 0, 0
    page: dict[str, Any] | None = {"page_size": PAGE_SIZE}
    with _session(server.api_key) as session:
        while page:
            body = session.get(server.url + PATH, params=page).content
            answer = json.loads(body)
            pages.append(page)
            ids += [batch["id"] for batch in answer["items"]]
            size += len(body)
            token = answer["next_page_token"]
            page = {"page_size": PAGE_SIZE, "page_token": token} if token else None
        for batch_id in ids:
            body = session.get(f"{server.url}{PATH}/{batch_id}", params=EXPAND).content
            rows += len(json.loads(body)["results"] or ())
            size += len(body)
    return Task(server.url, server.api_key, pages, ids, rows, size)


def compete(case: Case, rounds: int) -> None:
    """Run the contestants in turn and print the results."""
    times: dict[str, list[float]] = {name: [] for name in case.contestants}
    with Server.start(case.options) as server:
        task = warmed(server)
        for each in range(rounds):
            for name, contestant in case.contestants.items():
                if each and name == case.once:
                    continue
                gc.collect()
                seconds, rows = contestant(task)
                if rows != task.rows:
                    raise AssertionError(f"{name} got {rows} rows, not {task.rows}")
                times[name].append(seconds)
        peaks = {name: measure(task, name)[1] for name in times}
    print(
        f"{len(task.ids):,} batches, {task.rows:,} rows, {task.size / 1e6:.1f} MB, "
        f"{case.options.latency * 1000:g} ms latency, {WORKERS} connections, {rounds} rounds"
    )
    print(pd.DataFrame(_lines(case, times, peaks, task.rows)).to_string(index=False), end="\n\n")


def _lines(
    case: Case, times: dict[str, list[float]], peaks: dict[str, float], rows: int
) -> list[dict[str, str]]:
    middle = {name: median(seconds) for name, seconds in times.items()}
    least = {name: min(seconds) for name, seconds in times.items()}
    floor, lines = next(iter(times)), []
    for name in times:
        faster, target = middle[name] / middle["ours"], case.targets.get(name, 0)
        line = {
            "contestant": name,
            "median s": f"{middle[name]:.3f}",
            "min s": f"{least[name]:.3f}",
            "rows/s": f"{rows / middle[name]:,.0f}",
            "x floor": f"{middle[name] / middle[floor]:.2f}",
            "by min": f"{least[name] / least[floor]:.2f}",
            "ours is faster": f"{faster:.2f} x",
            "by min ": f"{least[name] / least['ours']:.2f} x",
            "target": f"{target:.2f} x" if target else "",
            "met": ("NO", "yes")[faster >= target] if target else "",
            "peak MiB": f"{peaks[name]:.0f}",
        }
        lines.append(line)
    return lines


CASES = {
    "A": Case(
        Options(batches=200, files=500, latency=0.05, speed=0),
        {"raw": raw, "ours": ours, "SDK asyncio": sdk_asyncio, "SDK loop": sdk_loop},
        {"raw": 1 / 1.25, "SDK asyncio": 2.5, "SDK loop": 10},
        once="SDK loop",
    ),
    "B": Case(
        Options(batches=300, files=1000, speed=0),
        {"json.loads": loaded, "raw": raw, "ours": ours, "SDK asyncio": sdk_asyncio},
        {"json.loads": 1 / 2, "SDK asyncio": 10},
    ),
}


CONTESTANTS = {name: run for case in CASES.values() for name, run in case.contestants.items()}


def measure(task: Task, name: str) -> tuple[float, float]:
    """Run one contestant in a fresh process; return its seconds and its peak in MiB."""
    command = [sys.executable, "-m", __spec__.name, "--child", name]
    task_json = json.dumps(asdict(task))
    done = subprocess.run(command, input=task_json, check=True, stdout=subprocess.PIPE, text=True)
    seconds, mebibytes = json.loads(done.stdout)
    return seconds, mebibytes


def child(name: str) -> None:
    """Run one contestant for `measure`."""
    task = Task(**json.load(sys.stdin))
    before = memory.peak()
    seconds, _ = CONTESTANTS[name](task)
    print(json.dumps([seconds, memory.peak() - before]))


def growth(rounds: int) -> None:
    """Print the time per row for growing numbers of batches."""
    for batches in GROWTH_BATCHES:
        with Server.start(Options(batches=batches, files=GROWTH_FILES, speed=0)) as server:
            task = warmed(server)
            runs = [measure(task, "ours") for _ in range(rounds)]
        seconds = median(seconds for seconds, _ in runs)
        print(
            f"{batches:>6,} batches {task.rows:>8,} rows {seconds:>8.3f} s "
            f"{seconds / task.rows * 1e6:>7.2f} us/row {seconds / batches * 1e3:>6.2f} ms/batch "
            f"{max(mebibytes for _, mebibytes in runs):>5.0f} MiB",
            flush=True,
        )


def listing(rounds: int) -> None:
    """Print how long a long list takes, with and without time windows."""
    with Server.start(LISTING) as server, lb.connect(server.api_key, base_url=server.url):
        oldest = lb.fetch_batches(progress=False).created_at.min()
        for page_size in LISTING_PAGES:
            for after in (None, oldest):
                times = []
                for _ in range(rounds):
                    started = time.perf_counter()
                    frame = lb.fetch_batches(
                        created_at_on_or_after=after, page_size=page_size, progress=False
                    )
                    times.append(time.perf_counter() - started)
                print(
                    f"pages of {page_size:>5,}, {'one by one' if after is None else 'windows':<10}"
                    f" {len(frame):>7,} batches {median(times):>7.2f} s",
                    flush=True,
                )


def first_request(rounds: int) -> None:
    """Print how long a new process takes until it has a frame, beside pandas and requests alone."""
    times: dict[str, list[float]] = {name: [] for name in FIRST_REQUEST}
    with Server.start(FIRST_PAGE) as server, tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(1 + rounds):  # the first fills the cache
            for name, program in FIRST_REQUEST.items():
                command = [sys.executable, "-c", program, server.url, server.api_key]
                times[name].append(float(subprocess.check_output(command, env=environment)))
    floor = median(times["pandas and requests"][1:])
    for name, (_, *taken) in times.items():
        print(
            f"{name:<20} median {median(taken):.3f} s, min {min(taken):.3f} s, "
            f"{(median(taken) - floor) * 1000:+.0f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--case", choices=[*CASES, "growth", "listing", "first"], help="one of them; default: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=CONTESTANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    for name, case in CASES.items():
        if given.case in (None, name):
            print(f"case {name}: ", end="", flush=True)
            compete(case, given.rounds)
    if given.case in (None, "growth"):
        print(f"growth: {GROWTH_FILES} files a batch, no latency, ours")
        growth(given.rounds)
    if given.case in (None, "listing"):
        print(f"listing: {LISTING.latency * 1000:g} ms latency, ours")
        listing(given.rounds)
    if given.case in (None, "first"):
        print("first: import, connect, and the first page of 300 batches as a frame, no latency")
        first_request(FIRST_ROUNDS)


if __name__ == "__main__":
    main()
