"""Create the batches of a retry, one call at a time, and find those of earlier calls.

A retry directory is named after the failed runs that it retries, and each file in it has the key of
its failed run as `unique_id`. So a repeated call finds what exists.

Each call makes its own directory and waits until those that older calls made have a batch, or have
not changed for `TAKEOVER_DELAY`: their calls were interrupted. Then it looks for the runs in the
batches that exist, and once more just before it creates its own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import pandas as pd

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    UsageLimitError,
)
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.endpoints import BatchRecord, FileRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.create import create_once
from llama_batches_nb.lifecycle.earlier_retries import DIRECTORY_PREFIX, EarlierRetries
from llama_batches_nb.lifecycle.ephemeral_directory import (
    add_file,
    create_directory,
    unique_name,
)
from llama_batches_nb.lifecycle.retry_plan import run_key
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import FILES
from llama_batches_nb.types import Record

TAKEOVER_DELAY = 20.0  # seconds without a change, for each directory of an older call
REFUSALS = (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    UsageLimitError,
)
"""Errors after which it is certain that no batch was created."""
SETTLE_TIME = 1.0  # seconds until directories that were created at the same time are all listed
POLL_INTERVAL = 1.0  # seconds


def create_retry_batches(
    files: pd.DataFrame, earlier: EarlierRetries, client: Client, progress: Progress, scope: Record
) -> list[BatchRecord]:
    """Create the batch for rows of a plan, and return it, or none if no file can be added.

    Runs that another call retries meanwhile are left out; its batches are returned with it.
    """
    name = directory_name(files)
    runs = [*map(run_key, files["source_directory_file_id"], files["batch_id"])]
    if not (found := earlier.find(name, runs)):
        directory_id = _create_directory(name, client, scope)
        try:
            n_files = _prepare(files, directory_id, earlier, client, progress, scope)
        except BatchesError:
            _delete(directory_id, client, scope)
            raise
        found = earlier.find(name, runs)
        if n_files and not found:
            try:
                return [_create_batch(files, directory_id, runs, earlier, client, scope)]
            except REFUSALS:  # a later call would wait for the batch of the directory
                _delete(directory_id, client, scope)
                raise
        _delete(directory_id, client, scope)
    if not found:
        return []
    warn_reused(len(found), len(files), found.values())
    batches = [*{batch["id"]: batch for batch in found.values()}.values()]
    rest = files[[run not in found for run in runs]]
    if len(rest):
        batches += create_retry_batches(rest, earlier, client, progress, scope)
    return batches


def _create_directory(name: str, client: Client, scope: Record) -> str:
    try:
        return create_directory(client, name, scope)
    except ConflictError:  # of another call, where the service requires unique names
        return create_directory(client, unique_name(name), scope)


def _prepare(
    files: pd.DataFrame,
    directory_id: str,
    earlier: EarlierRetries,
    client: Client,
    progress: Progress,
    scope: Record,
) -> int:
    """Add the files in this call's turn, unless others retry them, and return how many."""
    _wait_for_older_calls(directory_id, earlier)
    runs = map(run_key, files["source_directory_file_id"], files["batch_id"])
    if earlier.find(directory_name(files), [*runs]):
        return 0
    n_files = _add_stored_files(files, directory_id, client, progress, scope)
    earlier.update()
    return n_files


def _create_batch(
    files: pd.DataFrame,
    directory_id: str,
    runs: list[str],
    earlier: EarlierRetries,
    client: Client,
    scope: Record,
) -> BatchRecord:
    job = {
        "type": files["job_type"].iloc[0],
        "configuration_id": files["configuration_id"].iloc[0],
    }
    body = {"source_directory_id": directory_id, "config": {"job": job}}
    batch = create_once(client, body, scope)
    _warn_created_twice(batch, runs, earlier)
    return batch


def warn_reused(n_runs: int, n_files: int, batches: Iterable[BatchRecord]) -> None:
    """Warn that failed runs are not retried, because these batches already do."""
    ids = dict.fromkeys(batch["id"] for batch in batches)
    warn(
        f"{n_runs:,} of {format_count(n_files, 'failed file')} {agree(n_runs, 'was')} already "
        f"retried, in {', '.join(ids)}. These batches are returned, and no new ones are created "
        "for these files. To retry files that failed again, add the results of these batches to "
        "the frame."
    )


def _wait_for_older_calls(directory_id: str, earlier: EarlierRetries) -> None:
    """Wait until older calls that prepare a batch have created it, or make no progress."""
    workers.sleep(SETTLE_TIME)
    seen: dict[str, int] = {}
    since = time.monotonic()
    while True:
        earlier.update()
        older = earlier.unfinished_before(directory_id)
        if older != seen:
            seen, since = older, time.monotonic()
        if time.monotonic() - since >= TAKEOVER_DELAY * len(older):
            return
        workers.sleep(POLL_INTERVAL)


def _warn_created_twice(created: BatchRecord, runs: list[str], earlier: EarlierRetries) -> None:
    """Warn if another call created a batch for the same runs between our check and our request."""
    try:
        found = earlier.update()
    except BatchesError:
        return  # the batch exists: an error would hide it
    wanted = set(runs)
    others = {batch["id"] for run, batch in found if run in wanted} - {created["id"]}
    if others:
        warn(
            f"Another call created {format_list(sorted(others))} for files of {created['id']} at "
            "the same time. Both may be billed: cancel one of them with cancel_batch."
        )


def _delete(directory_id: str, client: Client, scope: Record) -> None:
    """Delete a directory without a batch, if possible; the service deletes it in the end."""
    with suppress(BatchesError):
        endpoints.delete_directory(client, directory_id, **scope)


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


def directory_name(files: pd.DataFrame) -> str:
    """Return the directory name for rows of a plan, which depends on nothing else."""
    parts = sorted(map(run_key, files["source_directory_file_id"], files["batch_id"]))
    parts += [files["configuration_id"].iloc[0], files["job_type"].iloc[0]]
    digest = hashlib.blake2s("\n".join(parts).encode(), digest_size=8)
    return f"{DIRECTORY_PREFIX}{digest.hexdigest()}"
