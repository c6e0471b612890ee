"""Start a batch, once; and cancel batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from llama_batches_nb.errors import ConnectionFailedError, ResponseError, ServerError
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.lifecycle import preflight
from llama_batches_nb.lifecycle.lost_response import LostResponseRecovery
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import JOB_TYPES
from llama_batches_nb.types import Record


def create_batch(
    source_directory_id: Any,
    configuration_id: Any,
    *,
    job_type: str = "parse_v2",
    webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
    webhook_configuration_ids: Sequence[str] | None = None,
    check_directory: bool = True,
    check_configuration: bool = True,
    project_id: str | None = None,
    organization_id: str | None = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Start a batch over the files of a directory.

    The API has no idempotency key, so the request is sent once. If its answer is lost, the batch
    that it may have made is looked for among those of the directory that were not there before;
    no second one is made. If you interrupt it, a note on the `KeyboardInterrupt` says where to
    look.

    Parameters
    ----------
    source_directory_id
        The directory whose files are run: its id, or a frame with one, such as `upload_files`
        returns.
    configuration_id
        A saved configuration or a built-in preset that fits the job type.
    job_type
        ``"parse_v2"`` or ``"extract_v2"``.
    webhook_configurations, webhook_configuration_ids
        As the API takes them.
    check_directory
        Whether to look first that the directory is there and has 1 to 1,000 files.
    check_configuration
        Whether to look first that a saved configuration is there and is for the job type. Each
        check costs a request or two.
    project_id, organization_id
        Instead of those of the client.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        One row, in the columns of `fetch_batches`.

    Raises
    ------
    NotFoundError, InvalidRequestError
        If a check fails, or the server refuses; no batch was made then.
    UnconfirmedCreateError
        If the answer was lost and it can't be told which batch it made, if any; `.candidates`
        holds those that it may be.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> batch = lb.create_batch(directory, "cfg-PARSE_AGENTIC")
    >>> batch.status.tolist()
    ['PENDING']
    """
    directory = arguments.parse_single_id("source_directory_id", source_directory_id)
    configuration = arguments.parse_single_id("configuration_id", configuration_id)
    arguments.parse_choice("job_type", job_type, JOB_TYPES)
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    body: Record = {
        "source_directory_id": directory,
        "config": {"job": {"type": job_type, "configuration_id": configuration}},
    }
    if webhook_configurations is not None:
        body["webhook_configurations"] = _validate_dicts(
            "webhook_configurations", webhook_configurations
        )
    if webhook_configuration_ids is not None:
        ids = arguments.parse_ids("webhook_configuration_ids", webhook_configuration_ids)
        body["webhook_configuration_ids"] = ids

    if check_directory:
        preflight.check_directory(client, directory, scope)
    if check_configuration:
        preflight.check_configuration(client, configuration, job_type, scope)
    return records.to_pandas(BATCHES, [create_once(client, body, scope)])


def _validate_dicts(name: str, value: Any) -> list[Record]:
    if isinstance(value, Mapping | str) or not all(isinstance(one, Mapping) for one in value):
        raise TypeError(f"{name} must be a list of dicts, not {value!r:.80}.")
    given = [dict(one) for one in value]
    json.dumps(given, allow_nan=False)  # raises what there is to say, before anything is sent
    return given


def create_once(client: Client, body: Record, scope: Record) -> BatchRecord:
    """Make a batch, and find it if the answer is lost."""
    attempt = LostResponseRecovery(
        client, body["source_directory_id"], body["config"]["job"], scope
    )
    with attempt.note_on_interrupt():
        try:
            record = endpoints.create_batch(client, body, **scope)
            records.to_arrow(BATCHES, [record])  # raises if it is no batch
        except (ConnectionFailedError, ServerError, ResponseError) as error:
            return attempt.recover(error)
    return record
