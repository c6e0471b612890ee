"""Create the batches of a retry, and find those of earlier ones.

A retry directory is named after the failed runs that it retries, and each file in it has the key of
its failed run as `unique_id`. So a repeated or interrupted call finds what exists.
"""

from __future__ import annotations

import hashlib
from functools import partial

import pandas as pd

from llama_batches_nb.errors import (
    BatchesError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.endpoints import BatchRecord, FileRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.create import create_once
from llama_batches_nb.lifecycle.ephemeral_directory import (
    add_file,
    create_directory,
    files_by_name,
    find_directories,
    unique_name,
)
from llama_batches_nb.lifecycle.retry_plan import run_key
from llama_batches_nb.messages import format_count, format_list, warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, DIRECTORIES, FILES
from llama_batches_nb.types import Record

DIRECTORY_PREFIX = "retry "  # of the names of retry directories


def find_earlier_retries(client: Client, scope: Record) -> dict[str, BatchRecord]:
    """Return the batches of earlier retries, by the key of each failed run that they retry."""
    pages = endpoints.list_directories(client, types=["ephemeral"], **scope)
    retries: dict[str, BatchRecord] = {}
    for directory in listing.iter_records(DIRECTORIES, pages):
        if not str(directory.get("name")).startswith(DIRECTORY_PREFIX):
            continue
        batches = _list_batches(directory["id"], client, scope)
        batch = next(filter(_is_valid_retry, batches), None)
        if batch is not None:
            for file in files_by_name(client, directory["id"], scope).values():
                retries[str(file.get("unique_id"))] = batch
    return retries


def create_retry_batch(
    files: pd.DataFrame, client: Client, progress: Progress, scope: Record
) -> list[BatchRecord]:
    """Create the batch for rows of a plan, or continue an interrupted call.

    Returns the batch, or those that exist already, or none if no file can be added.
    """
    directory_id, batches = _get_or_create_directory(_directory_name(files), client, scope)
    if batches:
        return batches
    existing = files_by_name(client, directory_id, scope)
    missing = files[~files["display_name"].isin(list(existing))]
    if _add_stored_files(missing, directory_id, client, progress, scope) + len(existing) == 0:
        return []
    if batches := _list_batches(directory_id, client, scope):  # created by a concurrent call
        return batches
    job = {
        "type": files["job_type"].iloc[0],
        "configuration_id": files["configuration_id"].iloc[0],
    }
    body = {"source_directory_id": directory_id, "config": {"job": job}}
    return [create_once(client, body, scope)]


def _is_valid_retry(batch: BatchRecord) -> bool:
    return batch.get("status") not in ("FAILED", "CANCELLED")


def _list_batches(directory_id: str, client: Client, scope: Record) -> list[BatchRecord]:
    pages = endpoints.list_batches(client, source_directory_id=directory_id, **scope)
    return list(listing.iter_records(BATCHES, pages))


def _get_or_create_directory(
    name: str, client: Client, scope: Record
) -> tuple[str, list[BatchRecord]]:
    """Return the id of the directory for a retry, and its batches that are valid retries."""
    found, unused, ended = find_directories(client, name, scope), [], []
    for directory_id in found:
        batches = _list_batches(directory_id, client, scope)
        if valid := [batch for batch in batches if _is_valid_retry(batch)]:
            return directory_id, valid
        ended += batches
        unused += [] if batches else [directory_id]
    if unused:  # an earlier call was interrupted
        return unused[0], []
    if ended:
        return _get_or_create_directory(f"{name} after {ended[0]['id']}", client, scope)
    try:
        return create_directory(client, name, scope), []
    except ConflictError:  # the name of a deleted directory that is not free yet
        return create_directory(client, unique_name(name), scope), []


def _add_stored_files(
    files: pd.DataFrame, directory_id: str, client: Client, progress: Progress, scope: Record
) -> int:
    """Add stored files to a directory and return how many; warn about those that cannot be."""
    rejected: dict[str, BatchesError] = {}

    def add_one(body: Record) -> FileRecord:
        def send() -> FileRecord:
            record: FileRecord = endpoints.add_directory_file(client, directory_id, body, **scope)
            return record

        return add_file(client, directory_id, body["display_name"], send, scope)

    def skip_rejected(body: Record, error: BatchesError) -> bool:
        rejected[body["display_name"]] = error
        return isinstance(error, NotFoundError | InvalidRequestError)

    runs = map(run_key, files["source_directory_file_id"], files["batch_id"])
    bodies = [
        {"file_id": file_id, "display_name": name, "unique_id": run}
        for file_id, name, run in zip(files["file_id"], files["display_name"], runs, strict=True)
    ]
    with progress_bar(progress, "adding", unit="file", total=len(bodies)) as shown:
        added = fetch_concurrently(
            add_one,
            bodies,
            partial(records.to_pandas, FILES),
            client=client,
            progress=shown,
            on_error=skip_rejected,
        )
    if rejected:
        warn(
            f"{len(rejected):,} of {format_count(len(files), 'failed file')} could not be added to "
            f"directory {directory_id} and will not be retried: {format_list(rejected)}. "
            f"The first error was: {next(iter(rejected.values()))}"
        )
    return len(added)


def _directory_name(files: pd.DataFrame) -> str:
    """Return the directory name for rows of a plan, which depends on nothing else."""
    parts = sorted(map(run_key, files["source_directory_file_id"], files["batch_id"]))
    parts += [files["configuration_id"].iloc[0], files["job_type"].iloc[0]]
    digest = hashlib.blake2s("\n".join(parts).encode(), digest_size=8)
    return f"{DIRECTORY_PREFIX}{digest.hexdigest()}"
