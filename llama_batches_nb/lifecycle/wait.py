"""Wait until batches end: one list request for many of them, and patience with a bad connection."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd

from llama_batches_nb.errors import (
    BatchesError,
    ConnectionFailedError,
    NotFoundError,
    PaginationError,
    RateLimitError,
    ResponseError,
    ServerError,
    WaitTimeoutError,
    attach_partial,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.http.transport import MAX_RETRY_AFTER
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES, TERMINAL_STATUSES
from llama_batches_nb.types import Record

MIN_INTERVAL, MAX_INTERVAL = 0.5, 30.0  # seconds between polls
SHARE_OF_WAIT = 0.1  # an interval is this share of the wait so far: what a poll may come too late
MIN_POLL, MAX_POLL = 0.2, 30.0  # seconds that one request of a poll may take
MIN_LIST_TIMEOUT = (
    2.0  # seconds that a poll may take for the pages of a list, even past the timeout
)
MAX_DIRECT_POLLS = 3  # up to so many batches are asked for one by one, more by the list
MAX_DIRECT_POLLS_PER_TICK = 10  # of the batches that the list does not show, so many a poll
MARGIN = timedelta(seconds=1)  # around times of creation, which a server may round
MAX_POLL_OUTAGE = 300.0  # seconds for which polls may fail one after another
NOT_FOUND_GRACE = 30.0  # seconds for which a batch may be unknown to the server

_TRANSIENT_ERRORS = (
    ConnectionFailedError,
    ServerError,
    RateLimitError,
    ResponseError,
    PaginationError,
)


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
    ids = arguments.parse_ids("batch_id", batches)
    timeout = arguments.parse_seconds("timeout", timeout)
    poll_interval = arguments.parse_seconds("poll_interval", poll_interval, positive=True)
    watch = BatchPoller(get_client(client), ids, project_params(project_id, organization_id))
    with (
        progress_bar(progress, "waiting", unit="batch", total=len(ids)) as shown,
        attach_partial(watch.frame),
    ):
        watch.wait(timeout, poll_interval, shown)
    return watch.frame()


class BatchPoller:
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
        self._records: dict[str, BatchRecord | None] = dict.fromkeys(ids)
        self._unlisted: set[str] = set()
        self._turn = 0  # where to go on with those, if they are many
        self._until = float("inf")  # when the walk along a list is to end
        self._failed: BatchesError | None = None  # why the last poll did

    def frame(self) -> pd.DataFrame:
        """Return the batches as they last stood, those never seen left out."""
        return records.to_pandas(BATCHES, [r for r in self._records.values() if r is not None])

    def open_ids(self) -> list[str]:
        """Return the batches that are not known to have ended."""
        return [
            i
            for i, r in self._records.items()
            if r is None or r.get("status") not in TERMINAL_STATUSES
        ]

    def wait(self, timeout: float | None, poll_interval: float | None, shown: ProgressBar) -> None:
        """Poll until no batch is open, or raise what keeps us from it."""
        started = last_answer = self._clock()
        deadline = float("inf") if timeout is None else started + timeout
        while self.open_ids():
            asked = self._clock()
            self._until = max(deadline, asked + MIN_LIST_TIMEOUT)
            try:
                self.poll(
                    within=max(MIN_POLL, min(MAX_POLL, deadline - asked)),
                    bear_unknown=asked < started + NOT_FOUND_GRACE,
                )
                last_answer, self._failed = self._clock(), None
            except _TRANSIENT_ERRORS as error:
                self._failed = error
                too_long = (error.retry_after or 0) > MAX_RETRY_AFTER
                if too_long or self._clock() >= last_answer + MAX_POLL_OUTAGE:
                    raise
            self._show(shown)
            now = self._clock()
            if not self.open_ids():
                return
            if now >= deadline:
                raise self._timed_out(timeout)
            growing = max(MIN_INTERVAL, min((now - started) * SHARE_OF_WAIT, MAX_INTERVAL))
            pause = max(poll_interval or growing, self._client.rate_limit_delay())
            self._pause(min(pause, deadline - now), shown)

    def poll(self, *, within: float, bear_unknown: bool) -> None:
        """Ask once how the open batches stand, in requests of at most `within` seconds."""
        wanted = self.open_ids()
        listed = set(wanted) - self._unlisted
        if len(listed) > MAX_DIRECT_POLLS:
            self._poll_list(listed, within)
        else:
            self._unlisted |= listed
        alone = [batch_id for batch_id in wanted if batch_id in self._unlisted]
        for batch_id in (alone * 2)[
            self._turn : self._turn + min(len(alone), MAX_DIRECT_POLLS_PER_TICK)
        ]:
            try:
                record = endpoints.get_batch(self._client, batch_id, timeout=within, **self._scope)
            except NotFoundError:
                if not bear_unknown:
                    raise
            else:
                records.check_response_id(batch_id, listing.record_id(BATCHES, record))
                self._update({batch_id: record})
        self._turn = (
            (self._turn + MAX_DIRECT_POLLS_PER_TICK) % len(alone)
            if len(alone) > MAX_DIRECT_POLLS_PER_TICK
            else 0
        )

    def _update(self, found: dict[str, BatchRecord]) -> None:
        """Keep how batches stand, or raise if they are not what the API promises."""
        records.to_arrow(BATCHES, list(found.values()))
        self._records.update(found)

    def _poll_list(self, wanted: set[str], within: float) -> None:
        """Find batches in the list, no further than needed; those not in it are asked for alone."""
        known = [listing.created_at(self._records[batch_id]) for batch_id in wanted]
        times = [time for time in known if time is not None]
        window: Record = {}
        if len(times) == len(wanted):
            window = {
                "created_at_on_or_after": arguments.format_time("created_at", min(times) - MARGIN),
                "created_at_on_or_before": arguments.format_time("created_at", max(times) + MARGIN),
            }
        pages = endpoints.list_batches(self._client, timeout=within, **window, **self._scope)
        for page in pages:
            by_id = {listing.record_id(BATCHES, record): record for record in page.items}
            found = {batch_id: by_id[batch_id] for batch_id in wanted & by_id.keys()}
            self._update(found)
            wanted -= found.keys()
            if not wanted or self._clock() >= self._until:
                return
        self._unlisted |= wanted

    def _show(self, shown: ProgressBar) -> None:
        counts = Counter(
            str(r.get("status", "unknown")) if r else "unknown" for r in self._records.values()
        )
        ordered = sorted(
            counts, key=lambda s: BATCH_STATUSES.index(s) if s in BATCH_STATUSES else 9
        )
        shown.set_postfix(" · ".join(f"{counts[status]:,} {status}" for status in ordered))
        shown.set_count(len(self._records) - len(self.open_ids()))

    def _pause(self, seconds: float, shown: ProgressBar) -> None:
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self._sleep(min(left, 1.0))
            shown.show_rate_limit_wait(self._client.rate_limit_delay())
            shown.refresh()

    def _timed_out(self, timeout: float | None) -> BatchesError:
        open_ids = self.open_ids()
        named = ", ".join(open_ids[:5]) + (" …" if len(open_ids) > 5 else "")
        return WaitTimeoutError(
            f"{len(open_ids):,} of {len(self._records):,} batches had not ended after {timeout:g} s"
            f" ({named}). They go on: wait again, or cancel them. .partial holds all as they stand."
            + (f" The last poll failed: {self._failed}" if self._failed else "")
        )
