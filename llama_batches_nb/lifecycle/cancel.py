"""Cancel batches."""

from __future__ import annotations

from functools import partial

import pandas as pd

from llama_batches_nb.errors import BatchesError, ConflictError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.messages import format_count, format_list
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.types import BatchIds


def cancel_batch(
    batches: BatchIds,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Request the cancellation of batches; files that have finished keep their results.

    The call returns at once. A batch becomes ``CANCELLED`` only when its processing has stopped:
    use `wait_for_batches` to wait for that.

    Parameters
    ----------
    batches
        A batch id, an iterable of ids, or a frame with the column ``batch_id``.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        Current state of the batches, one row each, with the columns of `fetch_batches`.

    Raises
    ------
    ConflictError
        If some batches have already finished. All others are cancelled; ``.partial`` holds them.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batch = lb.create_batch(lb.fetch_directories(limit=1), "cfg-PARSE_AGENTIC")
    >>> lb.cancel_batch(batch).pipe(lb.wait_for_batches).status.tolist()
    ['CANCELLED']
    """
    ids = arguments.parse_ids("batch_id", batches)
    scope = project_params(project_id, organization_id)
    client = get_client(client)

    def cancel_one(batch_id: str) -> BatchRecord:
        record = endpoints.cancel_batch(client, batch_id, **scope)
        records.check_response_id(batch_id, listing.record_id(BATCHES, record))
        return record

    conflicts: dict[str, BatchesError] = {}

    def skip_finished(batch_id: str, error: BatchesError) -> bool:
        if isinstance(error, ConflictError):
            conflicts[batch_id] = error
        return batch_id in conflicts

    to_frame = partial(records.to_pandas, BATCHES)
    with progress_bar(progress, "cancelling", unit="batch", total=len(ids)) as shown:
        cancelled = fetch_concurrently(
            cancel_one, ids, to_frame, client=client, progress=shown, on_error=skip_finished
        )
    if conflicts:
        first = next(iter(conflicts.values()))
        conflict = ConflictError(
            f"{len(conflicts):,} of {format_count(len(ids), 'batch')} had already finished and "
            f"could not be cancelled: {format_list(conflicts)} ({first}). "
            "The cancellation of the others was requested; .partial holds their current state.",
            status_code=first.status_code,
        )
        conflict.partial = cancelled
        raise conflict from first
    return cancelled
