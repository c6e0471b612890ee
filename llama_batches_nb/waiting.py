"""Wait until batches end: one list request for many of them, and patience with a bad connection."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd

from llama_batches_nb import endpoints, frames, inputs, listing, workers
from llama_batches_nb.client import Client, current
from llama_batches_nb.errors import (
    BatchesError,
    ConnectionFailedError,
    NotFoundError,
    PaginationError,
    RateLimitError,
    ResponseError,
    ServerError,
    WaitTimeoutError,
    carrying_partial,
)
from llama_batches_nb.paging import Record
from llama_batches_nb.progress import Bar, Progress, bar
from llama_batches_nb.schema import BATCHES
from llama_batches_nb.selection import scope_of
from llama_batches_nb.statuses import BATCH_STATUSES, ENDED
from llama_batches_nb.transport import LONGEST_RETRY_AFTER

SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.5, 30.0  # seconds between polls
SHARE_OF_WAIT = 0.1  # an interval is this share of the wait so far: what a poll may come too late
SHORTEST_POLL, LONGEST_POLL = 0.2, 30.0  # seconds that one request of a poll may take
SHORTEST_WALK = 2.0  # seconds that a poll may take for the pages of a list, even past the timeout
SINGLY = 3  # up to so many batches are asked for one by one, more by the list
MOST_SINGLY = 10  # of the batches that the list does not show, so many a poll
MARGIN = timedelta(seconds=1)  # around times of creation, which a server may round
PATIENCE = 300.0  # seconds for which polls may fail one after another
PATIENCE_FOR_NEW = 30.0  # seconds for which a batch may be unknown to the server

_PASSING = (ConnectionFailedError, ServerError, RateLimitError, ResponseError, PaginationError)


def wait_for_batches(
    batches: Any,
    *,
    timeout: float | timedelta | None = None,
    poll_interval: float | timedelta | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Wait until all batches are ``COMPLETED``, ``FAILED`` or ``CANCELLED``.

    A poll that fails is borne for five minutes, and a batch that the server does not know yet for
    half a minute. An interrupt stops the waiting, not the batches.

    Parameters
    ----------
    batches
        A batch id, several, or a frame with the column ``batch_id``.
    timeout
        The most seconds to wait; None for as long as it takes.
    poll_interval
        Seconds between two polls. If left out, a tenth of the time waited so far, between half a
        second and half a minute.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show a bar (the batches that have ended, and a count per status); None for in a
        notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        The batches as they ended, in the order given and in the columns of `fetch_batches`.
        ``COMPLETED`` says that every file was mapped to a job, not that the jobs succeeded.

    Raises
    ------
    WaitTimeoutError
        If some have not ended after `timeout` seconds. Its `.partial`, as that of any other error
        and of a `KeyboardInterrupt`, holds the batches as they last stood.
    NotFoundError
        If there is no such batch.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> batch = lb.create_batch(directory, "cfg-PARSE_AGENTIC").pipe(lb.wait_for_batches)
    >>> batch.status.tolist()
    ['COMPLETED']
    """
    ids = inputs.as_ids("batch_id", batches)
    timeout = inputs.as_seconds("timeout", timeout)
    poll_interval = inputs.as_seconds("poll_interval", poll_interval, positive=True)
    watch = Watch(current(client), ids, scope_of(project_id, organization_id))
    with (
        bar(progress, "waiting", unit="batch", total=len(ids)) as shown,
        carrying_partial(watch.frame),
    ):
        watch.wait(timeout, poll_interval, shown)
    return watch.frame()


class Watch:
    """Batches that are waited for, as they last stood."""

    def __init__(
        self,
        client: Client,
        ids: list[str],
        scope: Record,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
    ) -> None:
        self._client, self._scope, self._clock, self._sleep = client, scope, clock, sleep
        self._records: dict[str, Record | None] = dict.fromkeys(ids)
        self._unlisted: set[str] = set()
        self._turn = 0  # where to go on with those, if they are many
        self._until = float("inf")  # when the walk along a list is to end
        self._failed: BatchesError | None = None  # why the last poll did

    def frame(self) -> pd.DataFrame:
        """Return the batches as they last stood, those never seen left out."""
        return frames.frame(BATCHES, [r for r in self._records.values() if r is not None])

    def open_ids(self) -> list[str]:
        """Return the batches that are not known to have ended."""
        return [i for i, r in self._records.items() if r is None or r.get("status") not in ENDED]

    def wait(self, timeout: float | None, poll_interval: float | None, shown: Bar) -> None:
        """Poll until no batch is open, or raise what keeps us from it."""
        started = last_answer = self._clock()
        deadline = float("inf") if timeout is None else started + timeout
        while self.open_ids():
            asked = self._clock()
            self._until = max(deadline, asked + SHORTEST_WALK)
            try:
                self.poll(
                    within=max(SHORTEST_POLL, min(LONGEST_POLL, deadline - asked)),
                    bear_unknown=asked < started + PATIENCE_FOR_NEW,
                )
                last_answer, self._failed = self._clock(), None
            except _PASSING as error:
                self._failed = error
                too_long = (error.retry_after or 0) > LONGEST_RETRY_AFTER
                if too_long or self._clock() >= last_answer + PATIENCE:
                    raise
            self._show(shown)
            now = self._clock()
            if not self.open_ids():
                return
            if now >= deadline:
                raise self._timed_out(timeout)
            growing = max(SHORTEST_INTERVAL, min((now - started) * SHARE_OF_WAIT, LONGEST_INTERVAL))
            pause = max(poll_interval or growing, self._client.pause_left())
            self._pause(min(pause, deadline - now), shown)

    def poll(self, *, within: float, bear_unknown: bool) -> None:
        """Ask once how the open batches stand, in requests of at most `within` seconds."""
        wanted = self.open_ids()
        listed = set(wanted) - self._unlisted
        if len(listed) > SINGLY:
            self._list(listed, within)
        else:
            self._unlisted |= listed
        alone = [batch_id for batch_id in wanted if batch_id in self._unlisted]
        for batch_id in (alone * 2)[self._turn : self._turn + min(len(alone), MOST_SINGLY)]:
            try:
                record = endpoints.get_batch(self._client, batch_id, within=within, **self._scope)
            except NotFoundError:
                if not bear_unknown:
                    raise
            else:
                frames.check_id(batch_id, listing.key_of(BATCHES, record))
                self._keep({batch_id: record})
        self._turn = (self._turn + MOST_SINGLY) % len(alone) if len(alone) > MOST_SINGLY else 0

    def _keep(self, found: dict[str, Record]) -> None:
        """Keep how batches stand, or raise if they are not what the API promises."""
        frames.rows(BATCHES, list(found.values()))
        self._records.update(found)

    def _list(self, wanted: set[str], within: float) -> None:
        """Find batches in the list, no further than needed; those not in it are asked for alone."""
        known = [listing.created_at(self._records[batch_id]) for batch_id in wanted]
        times = [time for time in known if time is not None]
        window: Record = {}
        if len(times) == len(wanted):
            window = {
                "created_at_on_or_after": inputs.as_time("created_at", min(times) - MARGIN),
                "created_at_on_or_before": inputs.as_time("created_at", max(times) + MARGIN),
            }
        pages = endpoints.list_batches(self._client, within=within, **window, **self._scope)
        for page in pages:
            records = {listing.key_of(BATCHES, record): record for record in page.items}
            found = {batch_id: records[batch_id] for batch_id in wanted & records.keys()}
            self._keep(found)
            wanted -= found.keys()
            if not wanted or self._clock() >= self._until:
                return
        self._unlisted |= wanted

    def _show(self, shown: Bar) -> None:
        counts = Counter(str((r or {}).get("status", "unknown")) for r in self._records.values())
        ordered = sorted(
            counts, key=lambda s: BATCH_STATUSES.index(s) if s in BATCH_STATUSES else 9
        )
        shown.note(" · ".join(f"{counts[status]:,} {status}" for status in ordered))
        shown.set_done(len(self._records) - len(self.open_ids()))

    def _pause(self, seconds: float, shown: Bar) -> None:
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self._sleep(min(left, 1.0))
            shown.show_pause(self._client.pause_left())
            shown.refresh()

    def _timed_out(self, timeout: float | None) -> BatchesError:
        open_ids = self.open_ids()
        named = ", ".join(open_ids[:5]) + (" …" if len(open_ids) > 5 else "")
        return WaitTimeoutError(
            f"{len(open_ids):,} of {len(self._records):,} batches had not ended after {timeout:g} s"
            f" ({named}). They go on: wait again, or cancel them. .partial holds all as they stand."
            + (f" The last poll failed: {self._failed}" if self._failed else "")
        )
