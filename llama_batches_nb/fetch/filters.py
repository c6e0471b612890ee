"""Which batches: the filters of the list, checked before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice, pairwise
from typing import Any, Self

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing, time_windows
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.tables.arguments import (
    format_time,
    parse_choices,
    parse_id,
    parse_int,
    parse_single_id,
)
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES
from llama_batches_nb.types import TimeLike


@dataclass(frozen=True)
class BatchFilters:
    """Batches by filter, as the API can be asked for them."""

    statuses: tuple[str, ...] | None
    filters: dict[str, Any]
    page_size: int | None
    limit: int | None

    @classmethod
    def validate(
        cls,
        *,
        status: str | Iterable[str] | None = None,
        source_directory_id: Any = None,
        created_at_on_or_after: TimeLike | None = None,
        created_at_on_or_before: TimeLike | None = None,
        project_id: str | None = None,
        organization_id: str | None = None,
        page_size: int | None = None,
        limit: int | None = None,
    ) -> Self:
        """Check filters as a person writes them, and make them exact."""
        after = format_time("created_at_on_or_after", created_at_on_or_after)
        before = format_time("created_at_on_or_before", created_at_on_or_before)
        directory = source_directory_id
        return cls(
            statuses=parse_choices("status", status, BATCH_STATUSES),
            filters={
                "source_directory_id": directory
                if directory is None
                else parse_single_id("source_directory_id", directory),
                "created_at_on_or_after": after,
                "created_at_on_or_before": before,
                **project_params(project_id, organization_id),
            },
            page_size=parse_int("page_size", page_size),
            limit=parse_int("limit", limit, minimum=0),
        )

    def records(
        self, client: Client, bar: ProgressBar | None = None, *, side_by_side: bool = False
    ) -> Iterator[BatchRecord]:
        """Yield the batches, each once, in the order of the API.

        Pages may be asked for `side_by_side` by who has nothing else to do meanwhile.
        """
        walk = partial(self._walk, client, side_by_side=side_by_side)
        if self.statuses is None or len(self.statuses) == 1:
            yield from walk(self.statuses and self.statuses[0], bar)
            return
        # The API takes one status. The walks go along a batch's life, so that one which moves on
        # meanwhile is met twice rather than never.
        walks: list[list[BatchRecord]] = []
        try:
            for status in self.statuses:
                walks.append([])
                for record in walk(status, None):
                    walks[-1].append(record)  # one by one, so that an error leaves the rest
        except (BatchesError, KeyboardInterrupt):
            yield from _merge_by_time(walks)
            raise
        yield from islice(_merge_by_time(walks), self.limit)

    def _walk(
        self, client: Client, status: str | None, bar: ProgressBar | None, *, side_by_side: bool
    ) -> Iterator[BatchRecord]:
        filters = {"status": status, **self.filters}
        size = listing.page_size_for(self.limit, self.page_size)
        if side_by_side and self.limit is None:
            pages = time_windows.pages(client, page_size=size, **filters)
        else:
            pages = endpoints.list_batches(client, page_size=size, **filters)
        return listing.iter_records(BATCHES, pages, limit=self.limit, bar=bar)


def project_params(project_id: str | None, organization_id: str | None) -> dict[str, Any]:
    """Return the checked parameters that say in which project to look."""
    given = {"project_id": project_id, "organization_id": organization_id}
    return {
        name: value if value is None else parse_id(name, value) for name, value in given.items()
    }


def _merge_by_time(walks: list[list[BatchRecord]]) -> Iterator[BatchRecord]:
    """Yield the records of several lists, each once, in the order that the lists have in common."""
    found = {listing.record_id(BATCHES, record): record for walk in walks for record in walk}
    times = [[_time(record) for record in walk] for walk in walks]
    if all(a >= b for walk in times for a, b in pairwise(walk)):
        return iter(sorted(found.values(), key=_time, reverse=True))
    if all(a <= b for walk in times for a, b in pairwise(walk)):
        return iter(sorted(found.values(), key=_time))
    return iter(found.values())


def _time(record: BatchRecord) -> datetime:
    return listing.created_at(record) or datetime.min.replace(tzinfo=UTC)
