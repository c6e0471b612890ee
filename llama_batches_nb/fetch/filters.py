"""Filters of the list of batches: what users pass, and the validated query."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice, pairwise
from typing import Any, Self, TypedDict, TypeVar, Unpack

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing, time_windows
from llama_batches_nb.fetch.names_for_ids import check_directory_exists
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.tables.arguments import (
    check_time_order,
    format_time,
    parse_choices,
    parse_id,
    parse_int,
    parse_single_id,
)
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES
from llama_batches_nb.types import BatchStatus, DirectoryIds, TimeLike

F = TypeVar("F", bound=Callable[..., Any])


class BatchFilters(TypedDict, total=False):
    """Filters that every function over the batches of a project takes; see `fetch_batches`."""

    status: BatchStatus | Iterable[BatchStatus] | None
    source_directory_id: DirectoryIds | None
    created_at_on_or_after: TimeLike | None
    created_at_on_or_before: TimeLike | None
    project_id: str | None
    organization_id: str | None
    page_size: int | None


def list_filters_in_signature(function: F) -> F:
    """Let `help` and completion in a notebook show each filter instead of ``**filters``."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    filters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in BatchFilters.__annotations__.items()
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*parameters, *filters]
    )
    return function


def check_filter_names(function_name: str, filters: BatchFilters) -> None:
    """Raise `TypeError` for a filter that does not exist, as Python does for a parameter."""
    for name in filters:
        if name not in BatchFilters.__annotations__:
            raise TypeError(f"{function_name}() got an unexpected keyword argument {name!r}")


@dataclass(frozen=True)
class BatchQuery:
    """Validated filters, in the form that the API takes."""

    statuses: tuple[str, ...] | None
    params: dict[str, Any]
    page_size: int | None
    limit: int | None

    @classmethod
    def from_filters(cls, *, limit: int | None = None, **filters: Unpack[BatchFilters]) -> Self:
        """Validate filters as users pass them."""
        after, before = "created_at_on_or_after", "created_at_on_or_before"
        directory = filters.get("source_directory_id")
        start = format_time(after, filters.get("created_at_on_or_after"))
        end = format_time(before, filters.get("created_at_on_or_before"))
        check_time_order(after, start, before, end)
        return cls(
            statuses=parse_choices("status", filters.get("status"), BATCH_STATUSES),
            params={
                "source_directory_id": None
                if directory is None
                else parse_single_id("source_directory_id", directory),
                after: start,
                before: end,
                **project_params(filters.get("project_id"), filters.get("organization_id")),
            },
            page_size=parse_int("page_size", filters.get("page_size")),
            limit=parse_int("limit", limit, minimum=0),
        )

    def records(
        self, client: Client, bar: ProgressBar | None = None, *, parallel: bool = False
    ) -> Iterator[BatchRecord]:
        """Yield the matching batches, each once, in the order of the API.

        With `parallel`, the pages of a long list are fetched concurrently where possible. Raises
        `NotFoundError` if there are none because the directory does not exist.
        """
        found = False
        for record in self._records(client, bar, parallel=parallel):
            found = True
            yield record
        directory = self.params["source_directory_id"]
        if not found and directory is not None and self.limit != 0:
            check_directory_exists(client, directory, self.params)

    def _records(
        self, client: Client, bar: ProgressBar | None, *, parallel: bool
    ) -> Iterator[BatchRecord]:
        list_status = partial(self._list_status, client, parallel=parallel)
        if self.statuses is None or len(self.statuses) == 1:
            yield from list_status(self.statuses and self.statuses[0], bar)
            return
        # The API takes one status per request. The statuses are listed in the order of a batch's
        # life, so a batch that changes status while listing is found twice rather than never.
        lists: list[list[BatchRecord]] = []
        try:
            for status in self.statuses:
                lists.append([])
                for record in list_status(status, None):
                    lists[-1].append(record)  # an error keeps the records before it
        except (BatchesError, KeyboardInterrupt):
            yield from _merge_by_time(lists)
            raise
        yield from islice(_merge_by_time(lists), self.limit)

    def _list_status(
        self, client: Client, status: str | None, bar: ProgressBar | None, *, parallel: bool
    ) -> Iterator[BatchRecord]:
        params = {"status": status, **self.params}
        size = listing.page_size_for(self.limit, self.page_size)
        if parallel and self.limit is None:
            pages = time_windows.pages(client, page_size=size, **params)
        else:
            pages = endpoints.list_batches(client, page_size=size, **params)
        return listing.iter_records(BATCHES, pages, limit=self.limit, bar=bar)


def project_params(project_id: str | None, organization_id: str | None) -> dict[str, Any]:
    """Validate and return the request parameters that select the project."""
    values = {"project_id": project_id, "organization_id": organization_id}
    return {
        name: None if value is None else parse_id(name, value) for name, value in values.items()
    }


def _merge_by_time(lists: list[list[BatchRecord]]) -> Iterator[BatchRecord]:
    """Yield the records of several lists, each once, in the time order that the lists share."""
    unique = {listing.record_id(BATCHES, record): record for one in lists for record in one}
    times = [[_sort_time(record) for record in one] for one in lists]
    if all(a >= b for one in times for a, b in pairwise(one)):
        return iter(sorted(unique.values(), key=_sort_time, reverse=True))
    if all(a <= b for one in times for a, b in pairwise(one)):
        return iter(sorted(unique.values(), key=_sort_time))
    return iter(unique.values())


def _sort_time(record: BatchRecord) -> datetime:
    return listing.created_at(record) or datetime.min.replace(tzinfo=UTC)
