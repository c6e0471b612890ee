"""Wait for a batch and then for its jobs, reporting what has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http import progress, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.lifecycle.wait import BatchPoller

MIN_JOB_INTERVAL, MAX_JOB_INTERVAL = 1.0, 30.0  # seconds between polls of running jobs
MAX_JOB_WAIT = 600.0  # seconds to poll jobs that are still running after their batch

OnStatus = Callable[[pd.DataFrame, str], object]
"""Receives the batch as last polled, and a note about delays."""


def watch_batch(client: Client, batch_id: str, on_status: OnStatus) -> pd.DataFrame:
    """Return a batch once it has finished; call `on_status` about once a second."""
    poller = _StatusPoller(client, [batch_id], {})
    bar = progress.progress_bar(
        lambda **_: _ProgressAdapter(poller, on_status), "waiting", unit="batch", total=1
    )
    with bar:
        poller.wait(None, None, bar)
    return poller.frame()


def watch_files(
    client: Client, batch: pd.DataFrame, progress: Progress
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the results and jobs of a finished batch, again while jobs are still running.

    The jobs of a ``COMPLETED`` batch may run for longer than the batch.
    """
    batch_id, status = batch["batch_id"].iloc[0], batch["status"].iloc[0]
    results = fetch_results(batch_id, client=client, progress=progress)
    jobs = fetch_jobs(results, client=client, progress=progress)
    yield results, jobs
    deadline, interval = time.monotonic() + MAX_JOB_WAIT, MIN_JOB_INTERVAL
    while status == "COMPLETED" and _any_running(results, jobs) and time.monotonic() < deadline:
        workers.sleep(interval)
        interval = min(2 * interval, MAX_JOB_INTERVAL)
        jobs = fetch_jobs(results, client=client, progress=False)
        yield results, jobs


def _any_running(results: pd.DataFrame, jobs: pd.DataFrame) -> bool:
    return bool((outcomes(results, jobs)["outcome"] == "job_running").any())


class _StatusPoller(BatchPoller):
    """A poller that records whether its last request was answered."""

    answered = True

    def poll(self, *, deadline: float, elapsed: float) -> None:
        self.answered = False
        super().poll(deadline=deadline, elapsed=elapsed)
        self.answered = True


class _ProgressAdapter:
    """The part of tqdm's interface that `ProgressBar` needs."""

    def __init__(self, poller: _StatusPoller, on_status: OnStatus) -> None:
        self._poller, self._on_status, self._rate_limit = poller, on_status, ""
        self.n, self.total = 0, 1

    def update(self, n: float = 1) -> None:
        self.n += int(n)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        self._rate_limit = text.partition(" · ")[2]  # the first part is the status
        if refresh:
            self.refresh()

    def refresh(self) -> None:
        workers.check_cancelled()
        unanswered = "" if self._poller.answered else "no response, retrying"
        note = " · ".join(filter(None, (unanswered, self._rate_limit)))
        self._on_status(self._poller.frame(), note)

    def close(self) -> None:
        """Keep the last status."""
