"""Cancel batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from llama_batches_nb.errors import BatchesError, ConflictError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES


def cancel_batch(
    batches: Any,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Ask the service to stop batches; files that are finished keep their results.

    It answers at once, and a batch is `CANCELLED` only when its processing has stopped: go on with
    `wait_for_batches` to see that.

    Parameters
    ----------
    batches
        A batch id, several, or a frame with the column ``batch_id``.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        The batches as they now stand, in the columns of `fetch_batches`.

    Raises
    ------
    ConflictError
        If some have ended already; all others were asked to stop, and are in `.partial`.

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

    ended: dict[str, BatchesError] = {}

    def has_ended(batch_id: str, error: BatchesError) -> bool:
        if isinstance(error, ConflictError):
            ended[batch_id] = error
        return batch_id in ended

    to_frame = partial(records.to_pandas, BATCHES)
    with progress_bar(progress, "cancelling", unit="batch", total=len(ids)) as shown:
        stands = fetch_concurrently(
            cancel_one, ids, to_frame, client=client, shown=shown, bear=has_ended
        )
    if ended:
        first = next(iter(ended.values()))
        conflict = ConflictError(
            f"Could not be cancelled, having ended already: {', '.join(ended)} ({first}). The "
            f"{len(stands):,} others were asked to stop, and are in .partial.",
            status_code=first.status_code,
        )
        conflict.partial = stands
        raise conflict from first
    return stands
