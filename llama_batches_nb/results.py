"""What became of each file of many batches, asked for concurrently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pandas as pd

from llama_batches_nb import endpoints, frames, inputs, listing
from llama_batches_nb.client import Client, current
from llama_batches_nb.errors import AuthenticationError, BatchesError, RateLimitError, warn
from llama_batches_nb.frames import BatchResults
from llama_batches_nb.gathering import gather
from llama_batches_nb.progress import Bar, Progress, bar
from llama_batches_nb.schema import BATCHES
from llama_batches_nb.selection import Selection, scope_of

Errors = Literal["raise", "warn"]


def fetch_results(
    batches: Any = None,
    *,
    limit: int | None = None,
    progress: Progress = None,
    errors: Errors = "raise",
    client: Client | None = None,
    **filters: Any,
) -> pd.DataFrame:
    """Fetch which job each file of the batches was mapped to; one row is one file of one batch.

    Each batch is asked for with its results, many at once. To know what became of the job, go on
    with `fetch_jobs` and `outcomes`.

    Parameters
    ----------
    batches
        A batch id, several, or a frame with the column ``batch_id``. If left out, the batches
        that the filters choose.
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
    **filters
        Those of `fetch_batches`, if no `batches` are given; else ``project_id`` and
        ``organization_id``.

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
    inputs.as_choice("errors", errors, ("raise", "warn"))
    limit = inputs.as_count("limit", limit)
    client = current(client)
    scope = scope_of(filters.get("project_id"), filters.get("organization_id"))
    left_out: dict[str, BatchesError] = {}

    def fetch_one(batch_id: str) -> BatchResults:
        results: BatchResults = endpoints.get_batch(
            client, batch_id, expand="results", decode=frames.read_batch_results, **scope
        )
        return results

    def leave_out(batch_id: str, error: BatchesError) -> bool:
        left_out[batch_id] = error
        return errors == "warn" and not isinstance(error, AuthenticationError | RateLimitError)

    with bar(progress, "results", unit="batch") as shown:
        ids = _batch_ids(batches, limit, filters, client, shown)
        results = gather(
            fetch_one, ids, frames.results_frame, client=client, shown=shown, bear=leave_out
        )
    _warn_of(left_out)
    return results


def _batch_ids(
    batches: Any, limit: int | None, filters: dict[str, Any], client: Client, shown: Bar
) -> Iterable[str]:
    """Return the ids that are meant; those of a filter come while its pages are walked."""
    if batches is None:
        chosen = Selection.of(limit=limit, **filters)
        return (listing.key_of(BATCHES, record) for record in chosen.records(client, shown))
    if unfit := filters.keys() - {"project_id", "organization_id"}:
        raise TypeError(
            f"fetch_results takes {', '.join(sorted(unfit))} only without batches: filter the "
            "frame of batches instead."
        )
    ids = inputs.as_ids("batch_id", batches)[:limit]
    shown.expect(len(ids))
    return ids


def _warn_of(left_out: dict[str, BatchesError]) -> None:
    if left_out:
        warn(
            f"{len(left_out):,} batches could not be fetched and are left out: "
            f"{', '.join(left_out)}. The first error was: {next(iter(left_out.values()))}",
        )
