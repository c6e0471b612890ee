"""Batches as frames: all of them by filter, or one by id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchFilters
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import parse_single_id
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.types import TimeLike


def fetch_batches(
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
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the batches of a project, every page of them; one row is one batch.

    Parameters
    ----------
    status
        One of ``PENDING``, ``THROTTLED``, ``RUNNING``, ``COMPLETED``, ``FAILED``, ``CANCELLED``,
        or several of them.
    source_directory_id
        Only batches over this directory: an id, or a frame with one.
    created_at_on_or_after, created_at_on_or_before
        Only batches created in this time; text, date, datetime or Timestamp. Without a time zone
        it is UTC, and a date is its first instant. With the first of them, the pages of a long
        list are asked for side by side.
    project_id, organization_id
        Instead of those of the client.
    page_size
        Rows to ask for at a time; the largest that the API gives if left out.
    limit
        The most rows wanted; with 0, as with pandas' ``nrows``, nothing is asked.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        In the order of the API (newest first), with the columns

        ==================== ============================ ===========================
        batch_id             string
        status               category                     what the batch came to
        job_type             category                     ``parse_v2``, ``extract_v2``
        configuration_id     string
        source_directory_id  string
        project_id           string
        created_at           datetime64[us, UTC]
        updated_at           datetime64[us, UTC]          missing where not given
        ==================== ============================ ===========================

    Raises
    ------
    ValueError, TypeError
        If a filter makes no sense; nothing was asked then.
    BatchesError
        If a page can't be had; `.partial` holds the rows before it. Not if there is no batch:
        the frame is empty then, with the same columns.

    Warns
    -----
    UserWarning
        If the list ends with fewer rows than the size that the server gave.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status=["FAILED", "CANCELLED"], limit=5)
    >>> len(batches)
    5
    >>> set(batches.status) <= {"FAILED", "CANCELLED"}
    True
    """
    chosen = BatchFilters.validate(
        status=status,
        source_directory_id=source_directory_id,
        created_at_on_or_after=created_at_on_or_after,
        created_at_on_or_before=created_at_on_or_before,
        project_id=project_id,
        organization_id=organization_id,
        page_size=page_size,
        limit=limit,
    )
    client = get_client(client)
    return listing.records_to_frame(
        BATCHES, lambda bar: chosen.records(client, bar, side_by_side=True), progress
    )


def get_batch(
    batch_id: Any,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch one batch.

    Parameters
    ----------
    batch_id
        Its id, or a frame with one.
    project_id, organization_id, client
        As for `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        One row, in the columns of `fetch_batches`.

    Raises
    ------
    NotFoundError
        If there is no such batch in the project.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.get_batch(lb.fetch_batches(limit=1)).shape
    (1, 8)
    """
    asked = parse_single_id("batch_id", batch_id)
    record = endpoints.get_batch(
        get_client(client), asked, project_id=project_id, organization_id=organization_id
    )
    records.check_response_id(asked, listing.record_id(BATCHES, record))
    return records.to_pandas(BATCHES, [record])
