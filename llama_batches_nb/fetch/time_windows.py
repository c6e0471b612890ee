"""Fetch the pages of a long list of batches in parallel, by splitting its period into windows.

No batch is lost however the server compares times: neighbouring windows share an instant, and
callers drop duplicates. If the windows hold fewer batches than the first page announces, the list
is also fetched page by page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.pagination import Page
from llama_batches_nb.tables.arguments import format_time
from llama_batches_nb.tables.schema import BATCHES

MIN_PAGES = 4  # remaining pages; for fewer, windows cost more requests than they save

Window = dict[str, Any]


def pages(
    client: Client, *, page_size: int | None = None, **filters: Any
) -> Iterator[Page[BatchRecord]]:
    """Yield the pages of a list in the server's order, fetched in parallel if it is long enough.

    That needs the filter ``created_at_on_or_after`` and a list with the newest batches first:
    otherwise the period to split is unknown, and the pages are fetched one by one.
    """
    sequential = endpoints.list_batches(client, page_size=page_size, **filters)
    first = next(sequential)
    yield first
    windows = _split_period(first, filters["created_at_on_or_after"], client.max_workers)
    if windows:
        ids = _ids(first)
        for page in _fetch_parallel(client, page_size, filters, windows):
            yield page
            ids |= _ids(page)
        if first.total_size is not None and len(ids) >= first.total_size:
            return
    yield from sequential


def _split_period(first: Page[BatchRecord], after: str | None, max_windows: int) -> list[Window]:
    """Split the period after the first page into windows, newest first; none if unsuitable."""
    times = [time for item in first.items if (time := listing.created_at(item)) is not None]
    if after is None or first.total_size is None or not len(times) == len(first.items) > 0:
        return []
    n_pages = math.ceil(first.total_size / len(times)) - 1
    start = datetime.fromisoformat(after)
    stop = times[-1] + timedelta(microseconds=1)  # the server's times may be finer than ours
    n = min(n_pages, max_windows, (stop - start) // timedelta(seconds=1))
    if n_pages < MIN_PAGES or n < 2 or times != sorted(times, reverse=True):
        return []
    width = (stop - start) / n
    boundaries = [(stop - k * width).replace(microsecond=0) for k in range(1, n)]
    return [
        {
            "created_at_on_or_after": format_time("since", since),
            "created_at_on_or_before": format_time("until", until),
        }
        for until, since in pairwise([stop, *boundaries, start])
    ]


def _fetch_parallel(
    client: Client,
    page_size: int | None,
    filters: dict[str, Any],
    windows: list[Window],
) -> Iterator[Page[BatchRecord]]:
    """Yield the pages of all windows in order, those of each window once it is complete."""
    window_pages: list[list[Page[BatchRecord]]] = [[] for _ in windows]

    def fetch_window(index: int) -> None:
        window = {**filters, **windows[index]}
        for page in endpoints.list_batches(client, page_size=page_size, **window):
            if not _is_within(page, window):
                return  # the server does not apply the time filter
            window_pages[index].append(page)

    completed: set[int] = set()
    n_yielded = 0
    with workers.imap_unordered(
        fetch_window,
        range(len(windows)),
        max_workers=client.max_workers,
        tick=lambda: workers.report_wait(client.rate_limit_delay()),
    ) as finished:
        try:
            for index, _, future in finished:
                future.result()
                completed.add(index)
                while n_yielded in completed:
                    n_yielded += 1
                    yield from window_pages[n_yielded - 1]
        except (BatchesError, KeyboardInterrupt):
            for remaining in window_pages[n_yielded:]:
                yield from list(remaining)
            raise


def _is_within(page: Page[BatchRecord], window: Window) -> bool:
    """Whether all batches of a page are in the window, within one second."""
    since, until = (
        datetime.fromisoformat(window[f"created_at_on_or_{end}"]) for end in ("after", "before")
    )
    tolerance = timedelta(seconds=1)
    times = filter(None, map(listing.created_at, page.items))
    return all(since - tolerance <= time <= until + tolerance for time in times)


def _ids(page: Page[BatchRecord]) -> set[str]:
    return {listing.record_id(BATCHES, item) for item in page.items}
