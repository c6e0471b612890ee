"""What became of each file of many batches, asked for concurrently."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

import pandas as pd

from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchFilters, project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from llama_batches_nb.types import TimeLike

Errors = Literal["raise", "warn"]


def fetch_results(
    batches: Any = None,
    *,
    status: str | Iterable[str] | None = None,
    source_directory_id: Any = None,
    created_at_on_or_after: TimeLike | None = None,
    created_at_on_or_before: TimeLike | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    progress: Progress = None,
    errors: Errors = "raise",
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch which job each file of the batches was mapped to; one row is one file of one batch.

    Each batch is asked for with its results, many at once. To know what became of the job, go on
    with `fetch_jobs` and `outcomes`.

    Parameters
    ----------
    batches
        A batch id, several, or a frame with the column ``batch_id``. If left out, the batches
        that the filters choose.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, page_size
        Filters as of `fetch_batches`, if no `batches` are given.
    project_id, organization_id
        Instead of those of the client.
    limit
        The most batches wanted.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    errors
        ``"raise"`` stops at the first batch that can't be had; ``"warn"`` returns the others with
        a warning that names those left out. A refused key, or a rate limit that stays, is raised
        in any case.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        In the order of the batches, and in each in the order of the API, with the columns

        ========================= =================== =============================
        batch_id                  string
        batch_status              category
        batch_created_at          datetime64[us, UTC]
        configuration_id          string
        source_directory_id       string
        source_directory_file_id  string
        job_type                  category            the job's, else the batch's
        job_id                    string              missing where none was made
        error_message             string              why none was made
        ========================= =================== =============================

        A batch without results, as one that still runs, has no rows.

    Raises
    ------
    ValueError, TypeError
        If an argument makes no sense; nothing was asked then.
    BatchesError
        If a batch can't be had; `.partial` holds the rows of the others, as it does on the
        `KeyboardInterrupt` of a person who had enough.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=3)
    >>> results.batch_id.nunique()
    3
    """
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    limit = arguments.parse_int("limit", limit, minimum=0)
    scope = project_params(project_id, organization_id)
    filters = {
        "status": status,
        "source_directory_id": source_directory_id,
        "created_at_on_or_after": created_at_on_or_after,
        "created_at_on_or_before": created_at_on_or_before,
        "page_size": page_size,
    }
    chosen = _resolve_batches(batches, filters, scope, limit)
    client = get_client(client)
    left_out: SkippedItems[str] = SkippedItems(allowed=errors == "warn")

    def fetch_one(batch_id: str) -> bytes:
        decode = partial(records.validate_batch_json, batch_id)
        return endpoints.get_batch_with_results(client, batch_id, decode, **scope)

    with progress_bar(progress, "results", unit="batch") as shown:
        ids = _batch_ids(chosen, client, shown)
        results = fetch_concurrently(
            fetch_one,
            ids,
            partial(records.concat_to_pandas, RESULTS),
            pack=records.parse_results,
            client=client,
            shown=shown,
            bear=left_out,
        )
    left_out.warn_skipped("batches")
    return results


def _resolve_batches(
    batches: Any, filters: dict[str, Any], scope: dict[str, Any], limit: int | None
) -> BatchFilters | list[str]:
    """Return which batches are meant: the ids given, or what the filters choose."""
    if batches is None:
        return BatchFilters.validate(limit=limit, **filters, **scope)
    if unfit := [name for name, value in filters.items() if value is not None]:
        raise TypeError(
            f"fetch_results takes {', '.join(unfit)} only without batches: filter the frame of "
            "batches instead."
        )
    return arguments.parse_ids("batch_id", batches)[:limit]


def _batch_ids(
    chosen: BatchFilters | list[str], client: Client, shown: ProgressBar
) -> Iterable[str]:
    """Return the ids; those that filters choose come while the pages are walked."""
    if isinstance(chosen, BatchFilters):
        return (listing.record_id(BATCHES, record) for record in chosen.records(client, shown))
    shown.set_total(len(chosen))
    return chosen
