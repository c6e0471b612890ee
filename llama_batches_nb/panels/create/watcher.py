"""Wait for a batch and report its status about once a second."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from llama_batches_nb.http import progress, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.lifecycle.wait import BatchPoller

OnStatus = Callable[[pd.DataFrame, str], object]
"""Receives the batch as last polled, and a note about delays."""


def watch_batch(client: Client, batch_id: str, on_status: OnStatus) -> pd.DataFrame:
    """Return a batch once it has finished; call `on_status` while waiting."""
    poller = _StatusPoller(client, [batch_id], {})
    bar = progress.progress_bar(
        lambda **_: _ProgressAdapter(poller, on_status), "waiting", unit="batch", total=1
    )
    with bar:
        poller.wait(None, None, bar)
    return poller.frame()


class _StatusPoller(BatchPoller):
    """A poller that records whether its last request was answered."""

    answered = True

    def poll(self, *, within: float, bear_unknown: bool) -> None:
        self.answered = False
        super().poll(within=within, bear_unknown=bear_unknown)
        self.answered = True


class _ProgressAdapter:
    """The part of tqdm's interface that `ProgressBar` needs."""

    def __init__(self, poller: _StatusPoller, on_status: OnStatus) -> None:
        self._poller, self._on_status, self._rate_limit = poller, on_status, ""
        self.n, self.total = 0, 1

    def update(self, n: float = 1) -> None:
        self.n += int(n)

    def set_postfix_str(self, text: str) -> None:
        self._rate_limit = text.partition(" · ")[2]  # the first part is the status
        self.refresh()

    def refresh(self) -> None:
        workers.check_cancelled()
        unanswered = "" if self._poller.answered else "no response, retrying"
        note = " · ".join(filter(None, (unanswered, self._rate_limit)))
        self._on_status(self._poller.frame(), note)

    def close(self) -> None:
        """Keep the last status."""
