"""The pages of a long list of batches side by side: its time is cut into windows, each walked.

It never hangs on how the server cuts: two windows have an instant in common, and whatever comes
twice is one row to whoever reads the pages. If there is less in all than the first page promised,
the list is walked to its end page after page as well.
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

MIN_PAGES = 4  # to come, before windows are worth the requests that they may cost more

Window = dict[str, Any]


def pages(
    client: Client, *, page_size: int | None = None, **filters: Any
) -> Iterator[Page[BatchRecord]]:
    """Yield the pages of a list, in the server's order; side by side if it is long enough.

    There must be a time of creation on or after which batches are wanted, and the newest must come
    first: only then it is known where the windows are to lie.
    """
    one_by_one = endpoints.list_batches(client, page_size=page_size, **filters)
    first = next(one_by_one)
    yield first
    if windows := _windows(first, filters["created_at_on_or_after"], client.max_workers):
        ids = _ids(first)
        for page in _fetch_parallel(client, page_size, filters, windows):
            yield page
            ids |= _ids(page)
        if first.total_size is not None and len(ids) >= first.total_size:
            return
    yield from one_by_one


def _windows(first: Page[BatchRecord], after: str | None, most: int) -> list[Window]:
    """Return the windows of what comes after the first page, the newest first; none if unfit."""
    times = [time for item in first.items if (time := listing.created_at(item)) is not None]
    if after is None or first.total_size is None or not len(times) == len(first.items) > 0:
        return []
    n_pages = math.ceil(first.total_size / len(times)) - 1
    start = datetime.fromisoformat(after)
    stop = times[-1] + timedelta(microseconds=1)  # the server's may be finer than ours
    n = min(n_pages, most, (stop - start) // timedelta(seconds=1))
    if n_pages < MIN_PAGES or n < 2 or times != sorted(times, reverse=True):
        return []
    width = (stop - start) / n
    cuts = [(stop - k * width).replace(microsecond=0) for k in range(1, n)]
    return [
        {
            "created_at_on_or_after": format_time("since", since),
            "created_at_on_or_before": format_time("until", until),
        }
        for until, since in pairwise([stop, *cuts, start])
    ]


def _fetch_parallel(
    client: Client,
    page_size: int | None,
    filters: dict[str, Any],
    windows: list[Window],
) -> Iterator[Page[BatchRecord]]:
    """Yield the pages of all windows in order, each window's as soon as it can be."""
    found: list[list[Page[BatchRecord]]] = [[] for _ in windows]

    def walk(place: int) -> None:
        window = {**filters, **windows[place]}
        for page in endpoints.list_batches(client, page_size=page_size, **window):
            if not _is_within(page, window):
                return  # the server has its own idea of time, or none
            found[place].append(page)

    done: set[int] = set()
    n_given = 0
    with workers.imap_unordered(
        walk,
        range(len(windows)),
        max_workers=client.max_workers,
        tick=lambda: workers.report_wait(client.rate_limit_delay()),
    ) as finished:
        try:
            for place, _, future in finished:
                future.result()
                done.add(place)
                while n_given in done:
                    n_given += 1
                    yield from found[n_given - 1]
        except (BatchesError, KeyboardInterrupt):
            for given in found[n_given:]:
                yield from list(given)
            raise


def _is_within(page: Page[BatchRecord], window: Window) -> bool:
    """Whether the batches of a page are of a window, a second more or less."""
    since, until = (
        datetime.fromisoformat(window[f"created_at_on_or_{end}"]) for end in ("after", "before")
    )
    slack = timedelta(seconds=1)
    times = filter(None, map(listing.created_at, page.items))
    return all(since - slack <= time <= until + slack for time in times)


def _ids(page: Page[BatchRecord]) -> set[str]:
    return {listing.record_id(BATCHES, item) for item in page.items}
