"""Poll until something has ended: intervals, deadline, and tolerance of failed polls."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from llama_batches_nb.errors import (
    ConnectionFailedError,
    PaginationError,
    RateLimitError,
    ResponseError,
    ServerError,
    WaitTimeoutError,
)
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.http.transport import MAX_RETRY_AFTER
from llama_batches_nb.messages import format_count, format_list, plural
from llama_batches_nb.tables.schema import Table
from llama_batches_nb.types import Record

MIN_INTERVAL, MAX_INTERVAL = 0.5, 30.0  # seconds between polls
INTERVAL_PER_ELAPSED = 0.1  # seconds between polls, per second waited so far
MIN_REQUEST_TIMEOUT, MAX_REQUEST_TIMEOUT = 0.2, 30.0  # seconds
MAX_POLL_OUTAGE = 300.0  # seconds for which consecutive polls may fail, or find nothing
NEW_GRACE = 10.0  # seconds for which something never seen so far may be unknown to the server
MAX_OVERRUN = 2.0  # seconds for which a poll of many requests may continue after the deadline

_TRANSIENT_ERRORS = (
    ConnectionFailedError,
    ServerError,
    RateLimitError,
    ResponseError,
    PaginationError,
)


class Poller(ABC):
    """Poll things until all have ended, and keep each as last polled."""

    noun: str
    timeout_advice: str
    _bar: ProgressBar  # of the wait

    def __init__(
        self,
        client: Client,
        scope: Record,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
    ) -> None:
        self._client, self._scope, self._clock, self._sleep = client, scope, clock, sleep
        self._missing_since: dict[str, float] = {}

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """Return what is polled as last polled."""

    @abstractmethod
    def ids(self) -> list[str]:
        """Return the ids of all that is polled."""

    @abstractmethod
    def open_ids(self) -> list[str]:
        """Return the ids of what is not known to have ended."""

    @abstractmethod
    def poll(self, *, deadline: float) -> None:
        """Poll once, in requests that end at the deadline or soon after."""

    @abstractmethod
    def statuses(self) -> Counter[str]:
        """Count the statuses, as last polled."""

    def wait(self, timeout: float | None, poll_interval: float | None, bar: ProgressBar) -> None:
        """Poll until all has ended, or raise."""
        for _ in self.iter_polls(timeout, poll_interval, bar):
            pass

    def iter_polls(
        self, timeout: float | None, poll_interval: float | None, bar: ProgressBar
    ) -> Iterator[None]:
        """Poll until all has ended, or raise; yield after each poll."""
        self._bar = bar
        started = last_success = self._clock()
        deadline = float("inf") if timeout is None else started + timeout
        last_error: Exception | None = None
        while self.open_ids():
            try:
                self.poll(deadline=deadline)
                last_success, last_error = self._clock(), None
            except _TRANSIENT_ERRORS as error:
                last_error = error
                must_wait_too_long = (error.retry_after or 0) > MAX_RETRY_AFTER
                if must_wait_too_long or self._clock() >= last_success + MAX_POLL_OUTAGE:
                    raise
            self._update_bar(bar)
            yield
            now = self._clock()
            if not self.open_ids():
                return
            if now >= deadline:
                raise self._timeout_error(timeout, last_error)
            elapsed = now - started
            interval = max(MIN_INTERVAL, min(elapsed * INTERVAL_PER_ELAPSED, MAX_INTERVAL))
            pause = max(poll_interval or interval, self._client.rate_limit_delay())
            self._pause(min(pause, deadline - now), bar)

    def _is_gone(self, name: str, *, seen: bool) -> bool:
        """Note that the server does not know something; return whether that is final.

        What was seen before is given up as late as after an outage.
        """
        since = self._missing_since.setdefault(name, self._clock())
        return self._clock() >= since + (MAX_POLL_OUTAGE if seen else NEW_GRACE)

    def _request_timeout(self, deadline: float) -> float:
        return max(MIN_REQUEST_TIMEOUT, min(MAX_REQUEST_TIMEOUT, deadline - self._clock()))

    def _update_bar(self, bar: ProgressBar) -> None:
        """Show how many have ended, and a count per status."""
        bar.set_postfix(" · ".join(f"{n:,} {status}" for status, n in self.statuses().items() if n))
        bar.set_total(len(self.ids()))
        bar.set_count(len(self.ids()) - len(self.open_ids()))

    def _pause(self, seconds: float, bar: ProgressBar) -> None:
        """Sleep, and refresh the bar every second."""
        end = self._clock() + seconds
        while (remaining := end - self._clock()) > 0:
            self._sleep(min(remaining, 1.0))
            bar.show_rate_limit_wait(self._client.rate_limit_delay())
            bar.refresh()

    def _timeout_error(
        self, timeout: float | None, last_error: Exception | None
    ) -> WaitTimeoutError:
        open_ids = self.open_ids()
        return WaitTimeoutError(
            f"{len(open_ids):,} of {format_count(len(self.ids()), self.noun)} had not finished "
            f"after {timeout:g} s: {format_list(open_ids)}. {self.timeout_advice} .partial holds "
            f"all {plural(self.noun)} as last polled."
            + (f" The last poll failed: {last_error}" if last_error else "")
        )


def count_statuses(
    records: Iterable[Mapping[str, Any] | None], order: Iterable[str]
) -> Counter[str]:
    """Count the statuses of records in an order; others follow."""
    counts = Counter(str(r.get("status", "unknown")) if r else "unknown" for r in records)
    known = [*order]
    return Counter({status: counts[status] for status in dict.fromkeys([*known, *counts])})


def check_statuses(table: Table, records: Iterable[Mapping[str, Any]]) -> None:
    """Raise `ResponseError` for a status that is not text: a wait for it would not end."""
    for record in records:
        if not isinstance(record.get("status"), str | None):
            raise ResponseError(
                f"The server sent {table.row} {record['id']} whose 'status' is not text: "
                f"{record['status']!r:.80}."
            )
