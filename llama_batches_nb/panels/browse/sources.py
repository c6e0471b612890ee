"""Where a panel's frames come from, the API or a synced folder, and the code for the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import pandas as pd

from llama_batches_nb.dataset.manifest import Manifest
from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.panels.browse.query import FetchedFrames, Query
from llama_batches_nb.panels.widgets.code import call
from llama_batches_nb.types import PathLike

DEPTHS = ("batches", "results", "jobs")  # what may be fetched, one after the other
LAST = "T23:59:59.999999Z"  # of a day that is meant to its end


class Source(Protocol):
    """What a panel fetches from."""

    name: str
    live: bool  # whether more can be asked of it

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield what is there after each step, and before an error what there was."""

    def code(self, query: Query, found: FetchedFrames) -> list[str]:
        """Return the lines that give the same frames, by the same names."""


class Api:
    """The API. It can't filter by configuration and job type: that is done with its answer."""

    name = "the API"
    live = True

    def __init__(self, client: Client, *, named: bool) -> None:
        self._client = client
        self._given = ["client=client"] if named else []

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield what is there after each step, and before an error what there was."""
        found = FetchedFrames()
        for step in DEPTHS[: DEPTHS.index(depth) + 1]:
            try:
                frame = self._step(step, query, found, progress)
            except (BatchesError, Cancelled) as error:
                if error.partial is not None and step != "jobs":  # of some jobs come wrong rates
                    rest = error.partial if step == "results" else _chosen(query, error.partial)
                    yield found.with_frame(step, rest, partial=True)
                raise
            found = found.with_frame(step, frame)
            yield found

    def code(self, query: Query, found: FetchedFrames) -> list[str]:
        """Return the lines that give the same frames, by the same names."""
        arguments = [f"{name}={value!r}" for name, value in _filters(query).items()]
        lines = [call("batches", "fetch_batches", [*arguments, *self._given])]
        if _client_side_filters(query):
            tests = [
                f"(batches[{name!r}] == {value!r})"
                for name, value in _client_side_filters(query).items()
            ]
            head = f".head({query.limit})" if query.limit else ""
            lines.append(f"batches = batches[{' & '.join(tests)}]{head}.reset_index(drop=True)")
        if found.results is not None:
            lines.append(call("results", "fetch_results", ["batches", *self._given]))
        if found.jobs is not None:
            lines.append(call("jobs", "fetch_jobs", ["results", *self._given]))
        return lines

    def _step(
        self, step: str, query: Query, found: FetchedFrames, progress: Progress
    ) -> pd.DataFrame:
        where: dict[str, Any] = {"client": self._client, "progress": progress}
        if step == "batches":
            return _chosen(query, fetch_batches(**_filters(query), **where))
        if step == "results":
            return fetch_results(found.batches, **where)
        return fetch_jobs(cast("pd.DataFrame", found.results), **where)


class Folder:
    """A folder that `sync_dataset` keeps. Its newest batches come first, as from the API."""

    live = False

    def __init__(self, path: PathLike) -> None:
        self.name = f"dataset {str(path)!r}"
        self._path = path
        open_dataset(path, "batches")  # raises if it is none

    def fetch(self, query: Query, depth: str, progress: Progress) -> Iterator[FetchedFrames]:
        """Yield what is there after each step."""
        batches = read_dataset(self._path, "batches", filter=_conditions(query) or None)
        batches = batches.sort_values("created_at", ascending=False, ignore_index=True)
        found = FetchedFrames(batches.head(query.limit or len(batches)))
        yield found
        if depth != "batches":
            results = read_dataset(self._path)
            mine = results["batch_id"].isin(found.batches["batch_id"])
            found = found.with_frame("results", results[mine].reset_index(drop=True))
            yield found
        if depth == "jobs" and self._has_jobs():
            yield found.with_frame("jobs", read_dataset(self._path, "jobs"))

    def code(self, query: Query, found: FetchedFrames) -> list[str]:
        """Return the lines that give the same frames, by the same names."""
        path = repr(str(self._path))
        conditions = [
            f"({name!r}, {sign!r}, {_in_code(value)})" for name, sign, value in _conditions(query)
        ]
        filters = [f"filter=[{', '.join(conditions)}]"] if conditions else []
        head = f".head({query.limit})" if query.limit else ""
        lines = [
            call("batches", "read_dataset", [path, repr("batches"), *filters]),
            'batches = batches.sort_values("created_at", ascending=False, ignore_index=True)'
            + head,
        ]
        if found.results is not None:
            lines.append(f"results = lb.read_dataset({path})")
            lines.append(
                "results = results[results.batch_id.isin(batches.batch_id)].reset_index(drop=True)"
            )
        if found.jobs is not None:
            lines.append(f"jobs = lb.read_dataset({path}, 'jobs')")
        return lines

    def _has_jobs(self) -> bool:
        manifest = Manifest.read(Storage(self._path))
        return manifest is not None and manifest.jobs


def _filters(query: Query) -> dict[str, Any]:
    """Return the arguments of `fetch_batches`; the limit is for what is left of its answer."""
    given = {
        "status": list(query.status) if len(query.status) > 1 else "".join(query.status),
        "source_directory_id": query.source_directory_id,
        "created_at_on_or_after": query.since and query.since.isoformat(),
        "created_at_on_or_before": query.until and query.until.isoformat() + LAST,
        "limit": None if _client_side_filters(query) else query.limit,
    }
    return {name: value for name, value in given.items() if value}


def _client_side_filters(query: Query) -> dict[str, str]:
    """Return the filters that the API does not know."""
    given = {"configuration_id": query.configuration_id, "job_type": query.job_type}
    return {name: value for name, value in given.items() if value}


def _chosen(query: Query, batches: pd.DataFrame) -> pd.DataFrame:
    """Return those of the API's answer that are meant."""
    if not _client_side_filters(query):
        return batches
    for name, value in _client_side_filters(query).items():
        batches = batches[batches[name] == value]
    return batches.head(query.limit or len(batches)).reset_index(drop=True)


def _conditions(query: Query) -> list[tuple[str, str, Any]]:
    """Return the filters as `read_dataset` takes them."""
    equal = {"source_directory_id": query.source_directory_id, **_client_side_filters(query)}
    conditions: list[tuple[str, str, Any]] = [("status", "in", list(query.status))]
    conditions += [(name, "==", value) for name, value in equal.items()]
    if query.since:
        conditions.append(("created_at", ">=", pd.Timestamp(query.since, tz="UTC")))
    if query.until:
        conditions.append(("created_at", "<=", pd.Timestamp(query.until.isoformat() + LAST)))
    return [condition for condition in conditions if condition[2]]


def _in_code(value: Any) -> str:
    return (
        f"pd.Timestamp({value.isoformat()!r})" if isinstance(value, pd.Timestamp) else repr(value)
    )
