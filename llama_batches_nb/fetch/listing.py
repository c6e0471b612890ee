"""From the pages of a list to one frame: each row once, and a warning if some are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from llama_batches_nb.errors import PaginationError, ResponseError, attach_partial
from llama_batches_nb.http.pagination import MAX_PAGE_SIZE, Page
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import Table
from llama_batches_nb.types import Record

MAX_PAGES_WITHOUT_PROGRESS = 1000  # pages


def iter_records(
    table: Table,
    pages: Iterable[Page],
    *,
    limit: int | None = None,
    bar: ProgressBar | None = None,
    tell_short: Callable[[str], None] = warn,
) -> Iterator[Record]:
    """Yield each record of a list once, in the server's order, at most `limit` of them.

    A list that ends with fewer rows than the size the server gave for it is warned about, or
    told to `tell_short`.
    """
    if limit == 0:
        return
    seen: set[str] = set()
    total = None
    n_idle = 0  # pages in a row that brought nothing new
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
                f"The server gave {n_idle:,} pages in a row without a new {table.row}, so the list "
                "seems to have no end. The rows so far are in .partial; try again later."
            )
    if total is not None and len(seen) < total:
        tell_short(
            f"The list of {table.name} ended after {len(seen):,} rows, though the server said that "
            f"it has {total:,}: some are missing, or were deleted meanwhile. Fetch again to see.",
        )


def records_to_frame(
    table: Table, records_for: Callable[[ProgressBar], Iterable[Record]], progress: Progress
) -> pd.DataFrame:
    """Return all records as one frame, with a bar; what there is goes with an error."""
    found: list[Record] = []
    with (
        progress_bar(progress, table.name, unit=table.row) as shown,
        attach_partial(lambda: records.to_pandas(table, _valid_records(table, found))),
    ):
        for record in records_for(shown):
            found.append(record)  # one by one, so that an error leaves the rest
            shown.advance()
        return records.to_pandas(table, found)


def _valid_records(table: Table, found: Iterable[Record]) -> list[Record]:
    """Return the records that can be rows."""

    def is_sound(record: Record) -> bool:
        try:
            return len(records.to_arrow(table, [record])) == 1
        except ResponseError:
            return False

    return [record for record in found if is_sound(record)]


def page_size_for(limit: int | None, page_size: int | None) -> int | None:
    """Return the page size to ask for: no larger than the rows that are wanted."""
    return min(page_size or MAX_PAGE_SIZE, limit) if limit else page_size


def record_id(table: Table, item: object) -> str:
    """Return a record's id, or raise `ResponseError` if it has none."""
    (name,) = table.columns[0].path
    key = item.get(name) if isinstance(item, dict) else None
    if not (isinstance(key, str) and key):
        raise ResponseError(f"The server listed a {table.row} without {name!r}: {item!r:.80}.")
    return key


def created_at(record: Any) -> datetime | None:
    """Return when a record's thing was created, if that can be read."""
    try:
        time = datetime.fromisoformat(record["created_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
