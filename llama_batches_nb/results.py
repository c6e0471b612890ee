"""What became of each file of many batches, asked for concurrently."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

import pandas as pd

from llama_batches_nb import endpoints, frames, inputs, listing
from llama_batches_nb.client import Client, current
from llama_batches_nb.gathering import LeftOut, gather
from llama_batches_nb.inputs import TimeLike
from llama_batches_nb.progress import Bar, Progress, bar
from llama_batches_nb.schema import BATCHES, RESULTS
from llama_batches_nb.selection import Selection, scope_of

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
    inputs.as_choice("errors", errors, ("raise", "warn"))
    limit = inputs.as_count("limit", limit, least=0)
    scope = scope_of(project_id, organization_id)
    filters = {
        "status": status,
        "source_directory_id": source_directory_id,
        "created_at_on_or_after": created_at_on_or_after,
        "created_at_on_or_before": created_at_on_or_before,
        "page_size": page_size,
    }
    chosen = _chosen(batches, filters, scope, limit)
    client = current(client)
    left_out: LeftOut[str] = LeftOut(allowed=errors == "warn")

    def fetch_one(batch_id: str) -> bytes:
        body: bytes = endpoints.get_batch(
            client,
            batch_id,
            expand="results",
            decode=partial(frames.sound_batch, batch_id),
            **scope,
        )
        return body

    with bar(progress, "results", unit="batch") as shown:
        ids = _batch_ids(chosen, client, shown)
        results = gather(
            fetch_one,
            ids,
            partial(frames.concat, RESULTS),
            pack=frames.read_results,
            client=client,
            shown=shown,
            bear=left_out,
        )
    left_out.tell("batches")
    return results


def _chosen(
    batches: Any, filters: dict[str, Any], scope: dict[str, Any], limit: int | None
) -> Selection | list[str]:
    """Return which batches are meant: the ids given, or what the filters choose."""
    if batches is None:
        return Selection.of(limit=limit, **filters, **scope)
    if unfit := [name for name, value in filters.items() if value is not None]:
        raise TypeError(
            f"fetch_results takes {', '.join(unfit)} only without batches: filter the frame of "
            "batches instead."
        )
    return inputs.as_ids("batch_id", batches)[:limit]


def _batch_ids(chosen: Selection | list[str], client: Client, shown: Bar) -> Iterable[str]:
    """Return the ids; those that filters choose come while the pages are walked."""
    if isinstance(chosen, Selection):
        return (listing.key_of(BATCHES, record) for record in chosen.records(client, shown))
    shown.expect(len(chosen))
    return chosen
