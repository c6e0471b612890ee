"""Fetch the results of many batches concurrently."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple, Unpack

import pandas as pd
import pyarrow as pa

from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import (
    BatchFilters,
    BatchQuery,
    check_filter_names,
    list_filters_in_signature,
    project_params,
)
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import format_list, warn
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES, RESULTS, with_raw
from llama_batches_nb.types import BatchIds, ErrorMode


@list_filters_in_signature
def fetch_results(
    batches: BatchIds | None = None,
    *,
    limit: int | None = None,
    errors: ErrorMode = "raise",
    raw: bool = False,
    progress: Progress = None,
    client: Client | None = None,
    **filters: Unpack[BatchFilters],
) -> pd.DataFrame:
    """Fetch the files of batches and the job of each file; one row is one file of one batch.

    Sends one request per batch, several at a time. `fetch_jobs` and `outcomes` then show how each
    job ended.

    Parameters
    ----------
    batches
        A batch id, several ids, or a frame with a ``batch_id`` column. By default all batches that
        match the filters.
    limit
        Maximum number of batches.
    errors
        ``"raise"`` stops at the first batch that cannot be fetched; ``"warn"`` skips it and lists
        the skipped batches in a warning. A rejected API key and a persistent rate limit always
        raise.
    raw
        Add a column ``raw`` with the JSON text of each result, for fields without a column.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, page_size
        Filters as in `fetch_batches`; only without `batches`.
    project_id, organization_id
        Overrides the client's project and organization.

    Returns
    -------
    pandas.DataFrame
        Ordered by batch, then as returned by the API, with the columns

        ========================= =================== =============================
        batch_id                  string
        batch_status              category
        batch_created_at          datetime64[us, UTC]
        configuration_id          string
        source_directory_id       string
        source_directory_file_id  string
        job_type                  category            the job's, else the batch's
        job_id                    string              missing if no job was created
        error_message             string              why no job was created
        ========================= =================== =============================

        A batch without results, such as a running one, has no rows.

    Warns
    -----
    UserWarning
        If ``COMPLETED`` batches have no results: how many, and the first ids. Their results may
        appear some time after the batch has ended. With ``errors="warn"``, also if batches are
        left out.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    BatchesError
        If a batch cannot be fetched; ``.partial`` holds the rows fetched so far, also when
        interrupted (`KeyboardInterrupt`).

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=3)
    >>> results.batch_id.nunique()
    3
    """
    check_filter_names("fetch_results", filters)
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    raw = arguments.parse_bool("raw", raw)
    limit = arguments.parse_int("limit", limit, minimum=0)
    scope = project_params(filters.get("project_id"), filters.get("organization_id"))
    selected = _select_batches(batches, filters, limit)
    client = get_client(client)
    skipped: SkippedItems[str] = SkippedItems(allowed=errors == "warn")
    reader = _ResultsReader(raw)

    def fetch_one(batch_id: str) -> bytes:
        decode = partial(records.validate_batch_json, batch_id)
        return endpoints.get_batch_with_results(client, batch_id, decode, **scope)

    with progress_bar(progress, "results", unit="batch") as bar:
        ids = _iter_ids(selected, client, bar)
        results = fetch_concurrently(
            fetch_one,
            ids,
            reader.to_frame,
            decode_batch=reader.decode,
            client=client,
            progress=bar,
            on_error=skipped,
        )
    skipped.warn_skipped("batch")
    reader.warn_without_results()
    return results


class _BatchResults(NamedTuple):
    batch_id: str
    status: str | None
    rows: pa.Table


class _ResultsReader:
    """Decode the results of batches, and note which ``COMPLETED`` batches have none."""

    def __init__(self, raw: bool) -> None:
        self._raw, self._without_results = raw, list[str]()

    def decode(self, bodies: list[bytes]) -> list[_BatchResults]:
        batches, results = records.parse_batches_with_results(bodies, raw=self._raw)
        ids, statuses = batches["batch_id"].to_pylist(), batches["status"].to_pylist()
        return [_BatchResults(*batch) for batch in zip(ids, statuses, results, strict=True)]

    def to_frame(self, parts: list[_BatchResults]) -> pd.DataFrame:
        """Return the rows of all batches; the parts are in the order of the batches."""
        self._without_results = [
            part.batch_id for part in parts if part.status == "COMPLETED" and not len(part.rows)
        ]
        rows = (part.rows for part in parts)
        return records.concat_to_pandas(with_raw(RESULTS, self._raw), rows)

    def warn_without_results(self) -> None:
        if self._without_results:
            warn(
                f"COMPLETED batches without results: {len(self._without_results):,} "
                f"({format_list(self._without_results)}). If they ended a short time ago, their "
                "results may follow: wait_for_jobs(batches) waits for them; then fetch them again."
            )


def _select_batches(
    batches: BatchIds | None, filters: BatchFilters, limit: int | None
) -> BatchQuery | list[str]:
    """Return the ids given, or the query of the filters."""
    if batches is None:
        return BatchQuery.from_filters(limit=limit, **filters)
    scope_names = project_params(None, None)
    arguments_given: dict[str, Any] = {**filters}
    conflicts = [
        name
        for name, value in arguments_given.items()
        if value is not None and name not in scope_names
    ]
    if conflicts:
        raise TypeError(
            f"fetch_results takes {', '.join(conflicts)} only without batches: filter the frame of "
            "batches instead."
        )
    return arguments.parse_ids("batch_id", batches)[:limit]


def _iter_ids(selected: BatchQuery | list[str], client: Client, bar: ProgressBar) -> Iterable[str]:
    """Return the ids; those of a query are listed while results are fetched."""
    if isinstance(selected, BatchQuery):
        return (listing.record_id(BATCHES, record) for record in selected.records(client, bar))
    bar.set_total(len(selected))
    return selected
