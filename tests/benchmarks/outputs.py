"""Speed of fetching pages and of saving outputs, beside the bare requests.

Run `python -m tests.benchmarks.outputs` from the root of the repository. A server in another
process answers each request after a latency. The bare requests are sent with `requests` and as many
threads, and their bodies are dropped. The limit of `save_outputs` is the time that the requests
need at this latency; the disk may not add to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

import pandas as pd
import requests
from requests.adapters import HTTPAdapter

import llama_batches_nb as lb
from tests.benchmarks import memory
from tests.benchmarks.serving import Link, serving

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 16
LATENCY = 0.05  # seconds
PAGES, PAGE_SIZE = 10, 2_000  # pages of a job, characters of a page
FETCHED, SAVED = 2_000, 10_000  # jobs
JOB_ID = "pjb-00000"
MAX_RATIO = 1.25  # to the bare requests


def body_of(job_id: str, n_pages: int = PAGES, page_size: int = PAGE_SIZE) -> bytes:
    """Return the response for a parse job with its Markdown."""
    table = "# Invoice\n\n| item | price |\n| --- | --: |\n| Größe ✓ | 1.50 |\n\n"
    text = (table * (page_size // len(table) + 1))[:page_size]
    pages = [{"page_number": n, "success": True, "markdown": text} for n in range(1, n_pages + 1)]
    job = {"id": job_id, "project_id": "prj-1", "status": "COMPLETED"}
    return json.dumps({"job": job, "markdown": {"pages": pages}}).encode()


def job_id(n: int) -> str:
    return f"pjb-{n:05}"


class PagesOfJobs:
    """Respond with the pages of the requested job."""

    def __init__(self) -> None:
        self.before_id, self.after_id = body_of(JOB_ID).split(JOB_ID.encode())

    def __call__(self, path: str) -> bytes:
        wanted = path.partition("/parse/")[2][: len(JOB_ID)]
        return b"".join((self.before_id, wanted.encode(), self.after_id))


def bare(url: str, n_jobs: int) -> int:
    """Send the requests and drop the bodies."""
    with requests.Session() as session, ThreadPoolExecutor(WORKERS) as pool:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_maxsize=WORKERS, pool_block=True))

        def get(n: int) -> int:
            params = {"expand": "markdown"}
            return len(session.get(f"{url}/api/v2/parse/{job_id(n)}", params=params).content)

        return sum(pool.map(get, range(n_jobs)))


def fetched(url: str, n_jobs: int) -> int:
    with lb.connect("llx-secret", base_url=url, max_workers=WORKERS) as client:
        jobs = [job_id(n) for n in range(n_jobs)]
        pages = lb.fetch_pages(jobs, client=client, progress=False)
        return int(pages.content.str.len().sum())


def saved(url: str, n_jobs: int) -> int:
    files = pd.DataFrame(
        {
            "display_name": [f"invoice {n}.pdf" for n in range(n_jobs)],
            "job_id": [job_id(n) for n in range(n_jobs)],
            "job_type": "parse_v2",
        }
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        lb.connect("llx-secret", base_url=url, max_workers=WORKERS) as client,
    ):
        return len(lb.save_outputs(files, folder, client=client, progress=False))


def seconds(run: Callable[[str, int], int], url: str, n_jobs: int) -> float:
    started = time.perf_counter()
    assert run(url, n_jobs) >= n_jobs
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saved", type=int, default=SAVED, help="files for save_outputs")
    given = parser.parse_args()
    with serving(PagesOfJobs(), Link(latency=LATENCY)) as url:
        for name, run, n_jobs in (
            ("fetch_pages", fetched, FETCHED),
            ("save_outputs", saved, given.saved),
        ):
            before = memory.peak()
            pairs = [
                (seconds(bare, url, n_jobs), seconds(run, url, n_jobs)) for _ in range(given.rounds)
            ]
            floor, ours = (median(times) for times in zip(*pairs, strict=True))
            latency = n_jobs / WORKERS * LATENCY
            print(
                f"{name:<12} {n_jobs:>6,} jobs of {PAGES} pages, {LATENCY * 1000:g} ms: "
                f"{ours:6.2f} s, bare requests {floor:6.2f} s, latency alone {latency:6.2f} s; "
                f"ratio {ours / floor:.2f} ({'met' if ours <= MAX_RATIO * floor else 'NOT MET'}: "
                f"{MAX_RATIO}), {memory.peak() - before:.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
