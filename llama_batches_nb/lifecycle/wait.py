"""Wait until batches have finished, by polling."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pandas as pd

from llama_batches_nb.errors import NotFoundError, attach_partial
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.polling import (
    MAX_OVERRUN,
    Poller,
    check_statuses,
    count_statuses,
)
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES, TERMINAL_STATUSES
from llama_batches_nb.types import BatchIds, Record

MAX_DIRECT_POLLS = 3  # batches; more are polled with list requests
MAX_DIRECT_POLLS_PER_TICK = 10  # batches that the list does not contain
CREATED_AT_MARGIN = timedelta(seconds=1)  # a server may round times


def wait_for_batches(
    batches: BatchIds,
    *,
    timeout: float | timedelta | None = None,
    poll_interval: float | timedelta | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Wait until all batches are ``COMPLETED``, ``FAILED`` or ``CANCELLED``.

    Failed polls are tolerated for up to five minutes, as is a batch that the server no longer
    knows, such as one of a frame; an id that it never knew, for ten seconds. An interrupt or a
    timeout ends the wait, not the batches: stop them with `cancel_batch`.

    Parameters
    ----------
    batches
        A batch id, an iterable of ids, or a frame with the column ``batch_id``.
    timeout
        Maximum time to wait, in seconds. A poll that is under way then ends within two seconds. By
        default there is no limit.
    poll_interval
        Time between two polls, in seconds. Defaults to a tenth of the time waited so far, between
        0.5 and 30 seconds.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar with the finished batches and a count per status. By default only in
        notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row per finished batch, in the given order, with the columns of `fetch_batches`.
        ``COMPLETED`` means that each file was mapped to a job, not that the jobs succeeded.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    WaitTimeoutError
        If some batches have not finished before the timeout. Its ``.partial``, like that of any
        other error and of a `KeyboardInterrupt`, holds the batches as last polled.
    NotFoundError
        If a batch does not exist.

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
    scope = project_params(project_id, organization_id)
    is_known = isinstance(batches, pd.DataFrame | pd.Series) and "status" in batches
    poller = BatchPoller(get_client(client), ids, scope, is_known=is_known)
    with (
        progress_bar(progress, "waiting", unit="batch", total=len(ids)) as bar,
        attach_partial(poller.frame),
    ):
        poller.wait(timeout, poll_interval, bar)
    return poller.frame()


class BatchPoller(Poller):
    """Poll batches, and keep each as last polled.

    A few batches are fetched one by one; many are found in the list of batches. Those that the
    list does not contain are fetched one by one, too, in turn.
    """

    noun = "batch"
    timeout_advice = (
        "They keep running and may be billed: wait again, or stop them with cancel_batch."
    )

    def __init__(
        self,
        client: Client,
        ids: list[str],
        scope: Record,
        *,
        is_known: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
    ) -> None:
        super().__init__(client, scope, clock=clock, sleep=sleep)
        self._records: dict[str, BatchRecord | None] = dict.fromkeys(ids)
        self._is_known = is_known  # the server has returned these batches
        self._direct_ids: dict[str, None] = {}  # fetched one by one, the next ones first

    def frame(self) -> pd.DataFrame:
        """Return the batches as last polled, without those that were never found."""
        return records.to_pandas(BATCHES, [r for r in self._records.values() if r is not None])

    def ids(self) -> list[str]:
        """Return the ids of all batches."""
        return list(self._records)

    def open_ids(self) -> list[str]:
        """Return the batches that are not known to have finished."""
        return [
            batch_id
            for batch_id, record in self._records.items()
            if record is None or str(record.get("status")) not in TERMINAL_STATUSES
        ]

    def statuses(self) -> Counter[str]:
        """Count the statuses, as last polled."""
        return count_statuses(self._records.values(), BATCH_STATUSES)

    def poll(self, *, deadline: float) -> None:
        """Fetch the open batches once; a new batch may be unknown to the server for a while."""
        open_ids = dict.fromkeys(self.open_ids())
        listed_ids = [batch_id for batch_id in open_ids if batch_id not in self._direct_ids]
        if len(listed_ids) > MAX_DIRECT_POLLS:
            self._poll_list(set(listed_ids), max(deadline, self._clock() + MAX_OVERRUN))
        else:
            self._direct_ids |= dict.fromkeys(listed_ids)
        open_direct_ids = [batch_id for batch_id in self._direct_ids if batch_id in open_ids]
        for batch_id in open_direct_ids[:MAX_DIRECT_POLLS_PER_TICK]:
            self._direct_ids[batch_id] = self._direct_ids.pop(batch_id)  # move to the end
            timeout = self._request_timeout(deadline)
            try:
                record = endpoints.get_batch(self._client, batch_id, timeout=timeout, **self._scope)
            except NotFoundError:
                seen = self._is_known or self._records[batch_id] is not None
                if self._is_gone(batch_id, seen=seen):
                    raise
            else:
                self._missing_since.pop(batch_id, None)
                records.check_response_id(batch_id, listing.record_id(BATCHES, record))
                self._update({batch_id: record})

    def _update(self, batches: dict[str, BatchRecord]) -> None:
        """Keep batches as polled, or raise `ResponseError` if one has no usable status."""
        check_statuses(BATCHES, batches.values())
        self._records.update(batches)

    def _poll_list(self, ids: set[str], deadline: float) -> None:
        """Read the list of batches until all are found; the others are fetched one by one."""
        created_at = [listing.created_at(self._records[batch_id]) for batch_id in ids]
        times = [time for time in created_at if time is not None]
        window: Record = {}
        if len(times) == len(ids):
            start, end = min(times) - CREATED_AT_MARGIN, max(times) + CREATED_AT_MARGIN
            window = {
                "created_at_on_or_after": arguments.format_time("created_at", start),
                "created_at_on_or_before": arguments.format_time("created_at", end),
            }
        timeout = self._request_timeout(deadline)
        pages = endpoints.list_batches(self._client, timeout=timeout, **window, **self._scope)
        for page in pages:
            by_id = {listing.record_id(BATCHES, record): record for record in page.items}
            found = {batch_id: by_id[batch_id] for batch_id in ids & by_id.keys()}
            self._update(found)
            ids -= found.keys()
            if not ids or self._clock() >= deadline:
                return
        self._direct_ids |= dict.fromkeys(sorted(ids))
