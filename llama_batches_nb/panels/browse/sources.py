"""Where a panel's frames come from, the API or a dataset, and the code that returns the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import pandas as pd

from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.state import State
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.pagination import MAX_PAGE_SIZE
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.panels.browse.query import FetchedFrames, Query
from llama_batches_nb.panels.widgets.code import call
from llama_batches_nb.types import PathLike

TABLE_NAMES = ("batches", "results", "jobs")  # in the order in which they are fetched
END_OF_DAY = "T23:59:59.999999Z"


class Source(Protocol):
    """What a panel loads its frames from."""

    name: str
    is_live: bool  # whether more can be fetched later

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield the frames after each table up to `depth`, and before an error those so far."""

    def code(self, query: Query, frames: FetchedFrames) -> list[str]:
        """Return code that returns the same frames under the same names."""


class ApiSource:
    """The API. It cannot filter by configuration and job type, so this class does."""

    name = "the API"
    is_live = True

    def __init__(self, client: Client | None) -> None:
        self._client = get_client(client)
        self._client_argument = [] if client is None else ["client=client"]

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield the frames after each table up to `depth`, and before an error those so far."""
        frames = FetchedFrames()
        for table in TABLE_NAMES[: TABLE_NAMES.index(depth) + 1]:
            try:
                if table == "batches":
                    frame, is_whole = self._fetch_first_page(query, progress)
                    if not is_whole:
                        yield frames.with_frame(table, frame, partial=True)
                        frame = self._fetch_table(table, query, frames, progress)
                else:
                    frame = self._fetch_table(table, query, frames, progress)
            except (BatchesError, Cancelled) as error:
                # Some jobs without the others would give wrong failure rates.
                if error.partial is not None and table != "jobs":
                    partial = error.partial
                    rows = _filter_batches(query, partial) if table == "batches" else partial
                    yield frames.with_frame(table, rows, partial=True)
                raise
            frames = frames.with_frame(table, frame)
            yield frames

    def code(self, query: Query, frames: FetchedFrames) -> list[str]:
        """Return code that returns the same frames under the same names."""
        arguments = [f"{name}={value!r}" for name, value in _api_filters(query).items()]
        lines = [call("batches", "fetch_batches", [*arguments, *self._client_argument])]
        if client_side := _client_side_filters(query):
            tests = [f"(batches[{name!r}] == {value!r})" for name, value in client_side.items()]
            head = f".head({query.limit})" if query.limit else ""
            lines.append(f"batches = batches[{' & '.join(tests)}]{head}.reset_index(drop=True)")
        if frames.results is not None:
            lines.append(call("results", "fetch_results", ["batches", *self._client_argument]))
        if frames.jobs is not None:
            usage = ["usage=True"] if frames.usage else []
            lines.append(call("jobs", "fetch_jobs", ["results", *usage, *self._client_argument]))
        return lines

    def _fetch_first_page(self, query: Query, progress: Progress) -> tuple[pd.DataFrame, bool]:
        """Return the newest batches, as one page of the list, and whether these are all."""
        filters = _api_filters(query)
        wanted = filters.pop("limit", None)
        limit = min(wanted or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        page = fetch_batches(**filters, limit=limit, client=self._client, progress=progress)
        return _filter_batches(query, page), len(page) < limit or limit == wanted

    def _fetch_table(
        self, table: str, query: Query, frames: FetchedFrames, progress: Progress
    ) -> pd.DataFrame:
        options: dict[str, Any] = {"client": self._client, "progress": progress}
        if table == "batches":
            return _filter_batches(query, fetch_batches(**_api_filters(query), **options))
        if table == "results":
            return fetch_results(frames.batches, **options)
        return fetch_jobs(cast("pd.DataFrame", frames.results), **options)


class DatasetSource:
    """A dataset written by `sync_dataset`. Its newest batches come first, as from the API."""

    is_live = False

    def __init__(self, path: PathLike) -> None:
        self.name = f"dataset {str(path)!r}"
        self._path = path
        open_dataset(path, "batches")  # raises if there is no dataset

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield the frames after each table up to `depth`."""
        batches = read_dataset(self._path, "batches", filter=_dataset_filters(query) or None)
        batches = batches.sort_values("created_at", ascending=False, ignore_index=True)
        frames = FetchedFrames(batches.head(query.limit or len(batches)))
        yield frames
        if depth != "batches":
            results = read_dataset(self._path)
            is_of_batches = results["batch_id"].isin(frames.batches["batch_id"])
            frames = frames.with_frame("results", results[is_of_batches].reset_index(drop=True))
            yield frames
        if depth == "jobs" and self._has_jobs():
            yield frames.with_frame("jobs", read_dataset(self._path, "jobs"))

    def code(self, query: Query, frames: FetchedFrames) -> list[str]:
        """Return code that returns the same frames under the same names."""
        path = repr(str(self._path))
        filters = [
            f"({name!r}, {operator!r}, {_value_code(value)})"
            for name, operator, value in _dataset_filters(query)
        ]
        filter_argument = [f"filter=[{', '.join(filters)}]"] if filters else []
        head = f".head({query.limit})" if query.limit else ""
        lines = [
            call("batches", "read_dataset", [path, repr("batches"), *filter_argument]),
            'batches = batches.sort_values("created_at", ascending=False, ignore_index=True)'
            + head,
        ]
        if frames.results is not None:
            lines.append(f"results = lb.read_dataset({path})")
            lines.append(
                "results = results[results.batch_id.isin(batches.batch_id)].reset_index(drop=True)"
            )
        if frames.jobs is not None:
            lines.append(f"jobs = lb.read_dataset({path}, 'jobs')")
        return lines

    def _has_jobs(self) -> bool:
        state = State.read(Storage(self._path))
        return state is not None and "jobs" in state.tables


def _api_filters(query: Query) -> dict[str, Any]:
    """Return the arguments for `fetch_batches`.

    With client-side filters the limit is left out: it applies to the rows that they keep.
    """
    arguments = {
        "status": list(query.status) if len(query.status) > 1 else "".join(query.status),
        "source_directory_id": query.source_directory_id,
        "created_at_on_or_after": query.since and query.since.isoformat(),
        "created_at_on_or_before": query.until and query.until.isoformat() + END_OF_DAY,
        "limit": None if _client_side_filters(query) else query.limit,
    }
    return {name: value for name, value in arguments.items() if value}


def _client_side_filters(query: Query) -> dict[str, str]:
    """Return the filters that the API lacks."""
    filters = {"configuration_id": query.configuration_id, "job_type": query.job_type}
    return {name: value for name, value in filters.items() if value}


def _filter_batches(query: Query, batches: pd.DataFrame) -> pd.DataFrame:
    """Apply the filters that the API lacks, then the limit."""
    if not _client_side_filters(query):
        return batches
    for name, value in _client_side_filters(query).items():
        batches = batches[batches[name] == value]
    return batches.head(query.limit or len(batches)).reset_index(drop=True)


def _dataset_filters(query: Query) -> list[tuple[str, str, Any]]:
    """Return the filters in the form that `read_dataset` takes."""
    equal = {"source_directory_id": query.source_directory_id, **_client_side_filters(query)}
    filters: list[tuple[str, str, Any]] = [("status", "in", list(query.status))]
    filters += [(name, "==", value) for name, value in equal.items()]
    if query.since:
        filters.append(("created_at", ">=", pd.Timestamp(query.since, tz="UTC")))
    if query.until:
        filters.append(("created_at", "<=", pd.Timestamp(query.until.isoformat() + END_OF_DAY)))
    return [(name, operator, value) for name, operator, value in filters if value]


def _value_code(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"pd.Timestamp({value.isoformat()!r})"
    return repr(value)
