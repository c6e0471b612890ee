"""A batch's wait, shown in its row: how it stands, and whether the server answers."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from llama_batches_nb.http import progress, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.lifecycle.wait import BatchPoller

Show = Callable[[pd.DataFrame, str], object]
"""Shows a batch as it stands, with a note; called about once a second."""


def watch_batch(client: Client, batch_id: str, show: Show) -> pd.DataFrame:
    """Return a batch once it has ended, and show meanwhile how it stands."""
    watch = _Watch(client, [batch_id], {})
    shown = progress.progress_bar(
        lambda **_: _ProgressAdapter(watch, show), "waiting", unit="batch", total=1
    )
    with shown:
        watch.wait(None, None, shown)
    return watch.frame()


class _Watch(BatchPoller):
    """One that knows whether its last question was answered."""

    answered = True

    def poll(self, *, within: float, bear_unknown: bool) -> None:
        self.answered = False
        super().poll(within=within, bear_unknown=bear_unknown)
        self.answered = True


class _ProgressAdapter:
    """What `progress.Bar` asks of a bar of tqdm."""

    def __init__(self, watch: _Watch, show: Show) -> None:
        self._watch, self._show, self._pause = watch, show, ""
        self.n, self.total = 0, 1

    def update(self, n: float = 1) -> None:
        self.n += int(n)

    def set_postfix_str(self, note: str) -> None:
        self._pause = note.partition(" · ")[2]  # before it comes the status
        self.refresh()

    def refresh(self) -> None:
        workers.check_cancelled()
        unanswered = "" if self._watch.answered else "no answer, asking again"
        self._show(self._watch.frame(), " · ".join(filter(None, (unanswered, self._pause))))

    def close(self) -> None:
        """Leave the last picture."""
