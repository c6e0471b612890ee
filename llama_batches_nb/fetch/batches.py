"""Fetch batches as frames: all that match filters, or one by id."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchQuery, project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import parse_bool, parse_single_id
from llama_batches_nb.tables.schema import BATCHES, with_raw
from llama_batches_nb.types import BatchIds, BatchStatus, DirectoryIds, TimeLike


def fetch_batches(
    *,
    status: BatchStatus | Iterable[BatchStatus] | None = None,
    source_directory_id: DirectoryIds | None = None,
    created_at_on_or_after: TimeLike | None = None,
    created_at_on_or_before: TimeLike | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    raw: bool = False,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch all batches of a project that match the filters; one row is one batch.

    Parameters
    ----------
    status
        One or several of ``PENDING``, ``THROTTLED``, ``RUNNING``, ``COMPLETED``, ``FAILED``,
        ``CANCELLED``.
    source_directory_id
        Only batches over this directory: its id, or a frame with one directory.
    created_at_on_or_after, created_at_on_or_before
        Only batches created in this period: ISO 8601 text, date, datetime or Timestamp. A time
        without a zone is UTC, and a date is its midnight. With `created_at_on_or_after`, the pages
        of a long list are fetched in parallel.
    project_id, organization_id
        Overrides the client's project and organization.
    page_size
        Rows per request. Defaults to the largest size that the API allows.
    limit
        Maximum number of rows. ``0`` returns an empty frame without a request.
    raw
        Add a column ``raw`` with the JSON text of each batch, for fields without a column.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        In the order of the API (newest first), with the columns

        ==================== ============================ ===========================
        batch_id             string
        status               category                     status of the batch
        job_type             category                     ``parse_v2``, ``extract_v2``
        configuration_id     string
        source_directory_id  string
        project_id           string
        created_at           datetime64[us, UTC]
        updated_at           datetime64[us, UTC]          missing if the API sends none
        ==================== ============================ ===========================

        Without batches, the frame is empty and has the same columns.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    BatchesError
        If a page cannot be fetched; ``.partial`` holds the rows fetched so far.

    Warns
    -----
    UserWarning
        If the list has fewer rows than the server announced.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status=["FAILED", "CANCELLED"], limit=5)
    >>> len(batches)
    5
    >>> set(batches.status) <= {"FAILED", "CANCELLED"}
    True
    """
    table = with_raw(BATCHES, parse_bool("raw", raw))
    query = BatchQuery.from_filters(
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
        table, lambda bar: query.records(client, bar, parallel=True), progress
    )


def get_batch(
    batch_id: BatchIds,
    *,
    raw: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch one batch.

    Parameters
    ----------
    batch_id
        The id of the batch, or a frame with one batch.
    raw, project_id, organization_id, client
        As in `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        One row, with the columns of `fetch_batches`.

    Raises
    ------
    NotFoundError
        If the project has no such batch.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.get_batch(lb.fetch_batches(limit=1)).shape
    (1, 8)
    """
    table = with_raw(BATCHES, parse_bool("raw", raw))
    requested_id = parse_single_id("batch_id", batch_id)
    scope = project_params(project_id, organization_id)
    record = endpoints.get_batch(get_client(client), requested_id, **scope)
    records.check_response_id(requested_id, listing.record_id(BATCHES, record))
    return records.to_pandas(table, [record])
