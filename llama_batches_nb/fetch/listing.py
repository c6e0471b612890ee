"""From the pages of a list to one frame: each row once, with a warning if rows are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import pandas as pd

from llama_batches_nb.errors import PaginationError, ResponseError, attach_partial
from llama_batches_nb.http.pagination import MAX_PAGE_SIZE, Page
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import Table

R = TypeVar("R", bound=Mapping[str, Any])

MAX_PAGES_WITHOUT_PROGRESS = 1000  # pages


def iter_records(
    table: Table,
    pages: Iterable[Page[R]],
    *,
    limit: int | None = None,
    bar: ProgressBar | None = None,
    on_truncated: Callable[[str], None] = warn,
) -> Iterator[R]:
    """Yield each record of a list once, in the server's order, at most `limit` of them.

    If there are fewer records than the server's ``total_size``, call `on_truncated` with a message.
    """
    if limit == 0:
        return
    seen: set[str] = set()
    total = None
    n_idle = 0  # consecutive pages without a new record
    for page in pages:
        n_before = len(seen)
        if total is None and page.total_size is not None:
            total = page.total_size
            if bar is not None:
                bar.set_total(min(total, limit or total))
        for item in page.items:
            key = record_id(table, item)
            if key not in seen:
                seen.add(key)
                yield item
                if len(seen) == limit:
                    return
        n_idle = 0 if len(seen) > n_before else n_idle + 1
        if n_idle == MAX_PAGES_WITHOUT_PROGRESS:
            raise PaginationError(
                f"The server returned {n_idle:,} consecutive pages without a new {table.row}, so "
                "the list may never end. The rows fetched so far are in .partial; try again later."
            )
    if total is not None and len(seen) < total:
        on_truncated(
            f"Expected {total:,} {table.name} but received {len(seen):,}: rows may be missing or "
            "were deleted while listing. Fetch again to check."
        )


def records_to_frame(
    table: Table,
    list_records: Callable[[ProgressBar], Iterable[Mapping[str, Any]]],
    progress: Progress,
) -> pd.DataFrame:
    """Return all records as one frame; errors carry the rows fetched so far."""
    received: list[Mapping[str, Any]] = []
    with (
        progress_bar(progress, table.name, unit=table.row) as bar,
        attach_partial(lambda: records.to_pandas(table, _valid_records(table, received))),
    ):
        for record in list_records(bar):
            received.append(record)  # an error keeps the records before it
            bar.advance()
        return records.to_pandas(table, received)


def _valid_records(table: Table, received: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records that can become rows."""

    def is_valid(record: Mapping[str, Any]) -> bool:
        try:
            return len(records.to_arrow(table, [record])) == 1
        except ResponseError:
            return False

    return [record for record in received if is_valid(record)]


def page_size_for(limit: int | None, page_size: int | None) -> int | None:
    """Return the page size to request, which is at most `limit`."""
    return min(page_size or MAX_PAGE_SIZE, limit) if limit else page_size


def record_id(table: Table, record: object) -> str:
    """Return a record's id, or raise `ResponseError` if it has none."""
    (name,) = table.columns[0].path
    key = record.get(name) if isinstance(record, dict) else None
    if not (isinstance(key, str) and key):
        raise ResponseError(f"The server returned a {table.row} without {name!r}: {record!r:.80}.")
    return key


def created_at(record: Mapping[str, Any] | None) -> datetime | None:
    """Return a record's creation time, or None if it has no valid one."""
    try:
        time = datetime.fromisoformat((record or {})["created_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
