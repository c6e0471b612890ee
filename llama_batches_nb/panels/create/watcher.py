"""Wait for a batch and then for its jobs, reporting what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from llama_batches_nb.errors import NotFoundError
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.wait import BatchPoller
from llama_batches_nb.lifecycle.wait_jobs import JobPoller, results_to_come

OnStatus = Callable[[pd.DataFrame, str], object]
"""Receives the batch as last polled, and a note about delays."""


def watch_batch(client: Client, batch_id: str, on_status: OnStatus) -> pd.DataFrame:
    """Return a batch once it has finished; call `on_status` about once a second."""
    poller = _StatusPoller(client, [batch_id], {})
    bar = progress_bar(
        lambda **_: _ProgressAdapter(poller, on_status), "waiting", unit="batch", total=1
    )
    with bar:
        poller.wait(None, None, bar)
    return poller.frame()


def watch_files(
    client: Client, batch: pd.DataFrame, progress: Progress
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the results and jobs of a finished batch, again after each poll of running jobs.

    The jobs of a ``COMPLETED`` batch may run for longer than the batch, and its results may appear
    later. The files of a ``FAILED`` batch are not reliable, so its jobs are polled only once.
    """
    batch_id = str(batch["batch_id"].iloc[0])
    poller = JobPoller(client, results_to_come([batch_id]), {})
    with progress_bar(progress, "waiting", unit="job", total=1) as bar:
        for _ in poller.iter_polls(None, None, bar):
            if batch_id in poller.refetched:
                yield poller.refetched[batch_id], poller.frame()
                if batch["status"].iloc[0] == "FAILED":
                    return
    if batch_id not in poller.refetched:
        raise NotFoundError(f"The batch {batch_id} has expired: the API has no results of it.")
    poller.warn_missing()


class _StatusPoller(BatchPoller):
    """A poller that records whether its last request was answered."""

    answered = True

    def poll(self, *, deadline: float) -> None:
        self.answered = False
        super().poll(deadline=deadline)
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
