"""Create a batch, exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pandas as pd

from llama_batches_nb.errors import attach_partial
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.names_for_ids import directory_id_hint
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.hidden import Hidden
from llama_batches_nb.lifecycle import preflight
from llama_batches_nb.lifecycle.lost_response import (
    CreatedBatchFinder,
    note_on_interrupt,
    send_once,
)
from llama_batches_nb.lifecycle.webhooks import parse_hidden_webhooks
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import JOB_TYPES
from llama_batches_nb.types import DirectoryIds, Ids, JobType, Record


def create_batch(
    source_directory_id: DirectoryIds,
    configuration_id: Ids,
    *,
    job_type: JobType = "parse_v2",
    webhook_configurations: Iterable[Mapping[str, object]] | None = None,
    webhook_configuration_ids: Iterable[str] | None = None,
    check_directory: bool = True,
    check_configuration: bool = True,
    project_id: str | None = None,
    organization_id: str | None = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Create a batch from the files in a directory, or a batch for each of several directories.

    The request for a batch is sent once, because the API has no idempotency keys. If its response
    is lost, the batch is looked up among the directory's new batches; a second batch is never
    created. If you interrupt the call, a note on the `KeyboardInterrupt` explains how to check for
    the batch.

    Two calls, such as in two notebooks, are two batches, since running a directory again can be
    meant, and the API has no way to prevent it. A warning of the second one, or of both if they
    are sent at once, names the other batch while it runs.

    Parameters
    ----------
    source_directory_id
        Directory with the files: its id, or a frame with one, such as `upload_files` returns. For
        several directories, one batch is created per directory, after all have been checked.
    configuration_id
        Saved configuration or built-in preset for the job type: its id, or a frame with one.
    job_type
        ``"parse_v2"`` or ``"extract_v2"``.
    webhook_configurations
        Webhooks, each a dict with the keys ``webhook_url`` and, if you need them,
        ``webhook_events`` (such as ``["batch.success", "parse.error"]``; by default all),
        ``webhook_headers`` (a dict), ``webhook_output_format`` (``"string"`` or ``"json"``) and
        ``webhook_signing_secret``. No error message shows the values of headers and secrets.
    webhook_configuration_ids
        Ids of saved webhooks.
    check_directory
        Check first that the directory exists and has 1 to 1,000 files.
    check_configuration
        Check first that a saved configuration exists and is for the job type. Each check takes
        one or two requests.
    project_id, organization_id
        Overrides the client's project and organization.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row per directory, with the columns of `fetch_batches`.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    NotFoundError, InvalidRequestError
        If a check fails or the server rejects the request; no batch was created. If that happens
        after the first of several directories, a note names those that have no batch yet,
        and ``.partial`` holds the batches that were created; so do other errors.
    UnconfirmedCreateError
        If the response was lost and the batch could not be identified. It may have been created;
        ``.candidates`` holds the batches that match.

    Warns
    -----
    UserWarning
        If another batch of the directory has the same job type and configuration, and has not ended
        or was created at the same time.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> batch = lb.create_batch(directory, "cfg-PARSE_AGENTIC")
    >>> batch.status.tolist()
    ['PENDING']
    """
    has_webhooks, hidden_webhooks = (
        webhook_configurations is not None,
        Hidden(webhook_configurations),
    )
    del webhook_configurations  # tracebacks with locals must not show their secrets
    directories = arguments.parse_ids("source_directory_id", source_directory_id)
    if not directories:
        raise ValueError("Expected one source_directory_id or several, got 0.")
    configuration = arguments.parse_single_id("configuration_id", configuration_id)
    arguments.parse_choice("job_type", job_type, JOB_TYPES)
    arguments.parse_bool("check_directory", check_directory)
    arguments.parse_bool("check_configuration", check_configuration)
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    body: Record = {
        "config": {"job": {"type": job_type, "configuration_id": configuration}},
    }
    if has_webhooks:
        body["webhook_configurations"] = parse_hidden_webhooks(hidden_webhooks)
    if webhook_configuration_ids is not None:
        ids = arguments.parse_ids("webhook_configuration_ids", webhook_configuration_ids)
        body["webhook_configuration_ids"] = ids

    if check_directory:
        for directory in directories:
            with directory_id_hint(client, directory, scope):
                preflight.check_directory(client, directory, scope)
    if check_configuration:
        preflight.check_configuration(client, configuration, job_type, scope)
    created: list[BatchRecord] = []
    for n, directory in enumerate(directories):
        with _keep_created(created, directories[n:]):
            body_of_one = {"source_directory_id": directory, **body}
            created.append(create_once(client, body_of_one, scope))
    return records.to_pandas(BATCHES, created)


@contextmanager
def _keep_created(created: list[BatchRecord], rest: list[str]) -> Iterator[None]:
    """Of several directories, add to an exception the batches created and the directories left."""
    n_directories = len(created) + len(rest)
    if n_directories == 1:
        yield
        return
    with attach_partial(partial(records.to_pandas, BATCHES, created)):
        try:
            yield
        except BaseException as error:
            error.add_note(
                f"{len(created):,} of {format_count(n_directories, 'batch')} "
                f"{agree(len(created), 'was')} created before this error; "
                "see .partial. To avoid duplicates, check whether the first of the remaining "
                "directories has a batch, then call create_batch for those without one: "
                f"{', '.join(rest)}."
            )
            raise


def create_once(client: Client, body: Record, scope: Record) -> BatchRecord:
    """Create a batch, or find the created one if the response is lost."""
    finder = CreatedBatchFinder(client, body["source_directory_id"], body["config"]["job"], scope)

    def send() -> BatchRecord:
        batch = endpoints.create_batch(client, body, **scope)
        listing.record_id(BATCHES, batch)  # raises ResponseError if it is not a batch
        return batch

    with note_on_interrupt(finder.interrupt_note()):
        created = send_once(send, finder.find)
    if others := [*finder.running, *finder.find_others(created["id"])]:
        warn(
            f"Directory {body['source_directory_id']} has other batches with this configuration "
            f"that run or were created at the same time: {format_list(others)}. Each may be "
            f"billed. If you need only one, cancel {created['id']} with cancel_batch."
        )
    return created
