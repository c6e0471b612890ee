"""Run the files that failed once more, and none that succeeded or still runs."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.attempts import attempts
from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import OUTCOMES_KIND
from llama_batches_nb.errors import (
    BatchesError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    attach_partial,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.directories import fetch_directory_files
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.endpoints import BatchRecord, FileRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle import preflight, retry_plan, upload
from llama_batches_nb.lifecycle.create import create_once
from llama_batches_nb.messages import format_list, warn
from llama_batches_nb.tables import arguments, engines, records
from llama_batches_nb.tables.schema import BATCHES, DIRECTORIES, FILES
from llama_batches_nb.tables.statuses import JOB_TYPES
from llama_batches_nb.types import Record

PREFIX = "retry "  # of the names of the directories made here

_REQUIRED_COLUMNS = (
    "batch_id",
    "batch_created_at",
    "configuration_id",
    "source_directory_id",
    "source_directory_file_id",
    "job_type",
)


def retry_failed(
    results: Any,
    *,
    jobs: Any = None,
    files: Any = None,
    configuration_id: Any = None,
    job_type: str | None = None,
    dry_run: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Run the files that failed once more, in new batches over fresh ephemeral directories.

    The stored files are added to the directories; nothing is uploaded again. A batch takes up to
    1,000 files of one configuration. A file is run again if none of its runs in the frame has
    succeeded or still runs, under whatever configuration, and once however often it failed.

    What an earlier call has run again is not run once more: the directories are named and the files
    marked after the runs that failed. Such batches are returned beside the new ones, and a call
    that was interrupted goes on where it was. To run again what failed again, add the results of
    the new batches to the frame first. Retries that were cancelled, or `FAILED` as a whole, do not
    count; neither is a `FAILED` batch, whose files are not reliably known, made up for by this: run
    its directory again with `create_batch`.

    Parameters
    ----------
    results
        The frame of `fetch_results` or, better, of `outcomes`; with the results of earlier retries
        in it, if there were any.
    jobs
        The frame of `fetch_jobs` over the results; fetched if it is needed and left out.
    files
        The frame of `fetch_files` over the directories of the results; fetched if left out.
    configuration_id
        Run them with this configuration instead of the one with which each failed last.
    job_type
        That of `configuration_id`, if it is another than that with which they failed.
    dry_run
        Make nothing, and return what would be done.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show bars; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        The batches that run the files again, in the columns of `fetch_batches`; no rows if there is
        nothing to run. To see which run of which file each result is, go on with `attempts`.

        With ``dry_run=True``, one row per failed file:

        ========================= ======== =====================================================
        source_directory_file_id  string   the file, as in `results`
        display_name              string
        batch_id                  string   in which it failed last
        outcome                   category how
        attempt                   Int64    number of the run that it would be, 2 for the second
        action                    category ``retry``; ``skip``, for it has succeeded or still
                                           runs; ``impossible``, for it can't be added
        reason                    string   why, unless ``retry``
        new_batch                 Int64    number of the new batch, from 1
        configuration_id          string   with which it would be run
        job_type                  string
        file_id                   string   of the stored file
        source_directory_id       string   where it is now
        ========================= ======== =====================================================

    Raises
    ------
    ValueError
        If a frame lacks a column, or an argument makes no sense; nothing was asked then.
    BatchesError
        If a configuration is not there or is for another type of job (nothing was made then), or a
        directory or batch can't be made; `.partial` holds the batches that were.

    Warns
    -----
    UserWarning
        If failed files can't be run again; they are named. If files were run again already.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=2)
    >>> plan = lb.retry_failed(results, dry_run=True)
    >>> set(plan.outcome) <= {"job_failed", "mapping_error"}
    True
    >>> again = lb.retry_failed(results).pipe(lb.wait_for_batches)
    >>> set(again.status) <= {"COMPLETED"}
    True
    """
    known = "outcome" in engines.column_names(results)
    engines.check_columns(
        results, *_REQUIRED_COLUMNS, *(() if known else ("job_id", "error_message"))
    )
    if job_type is not None:
        arguments.parse_choice("job_type", job_type, JOB_TYPES)
    if configuration_id is not None:
        configuration_id = arguments.parse_single_id("configuration_id", configuration_id)
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    frame = engines.frame_to_pandas(results)
    if jobs is None and (not known or frame["outcome"].isin(["mapped"]).any()):
        jobs = fetch_jobs(frame, progress=progress, client=client, **scope)
    if jobs is not None:
        frame = outcomes(frame, engines.frame_to_pandas(jobs))
    gone: set[str] = set()
    rerun: dict[str, BatchRecord] = {}
    if frame["outcome"].isin(OUTCOMES_KIND.failures).any():
        rerun = _find_earlier_retries(client, scope)
        if files is None:
            files = _files_of(frame, gone, client, progress, scope)
    runs = attempts(frame, records.to_pandas(FILES, []) if files is None else files)
    plan = retry_plan.plan_retries(
        runs, gone, {name: one["id"] for name, one in rerun.items()}, configuration_id, job_type
    )
    chosen = plan.dropna(subset="new_batch")
    for _, job in chosen[["configuration_id", "job_type"]].drop_duplicates().iterrows():
        preflight.check_configuration(client, job.iloc[0], job.iloc[1], scope)
    if dry_run:
        return plan
    _warn_of_impossible(plan)
    made = _reuse_earlier_batches(plan, rerun)
    with attach_partial(lambda: records.to_pandas(BATCHES, made)):
        for _, group in chosen.groupby("new_batch"):
            made += _retry_group(group, client, progress, scope)
    return records.to_pandas(BATCHES, made)


def _files_of(
    results: pd.DataFrame, gone: set[str], client: Client, progress: Progress, scope: Record
) -> pd.DataFrame:
    """Return the files of all directories that are still there."""

    def leave_out(directory_id: str, error: BatchesError) -> bool:
        gone.add(directory_id)
        return isinstance(error, NotFoundError)

    return fetch_directory_files(
        arguments.parse_ids(
            "source_directory_id", results["source_directory_id"].dropna().unique()
        ),
        leave_out,
        client=client,
        progress=progress,
        **scope,
    )


def _find_earlier_retries(client: Client, scope: Record) -> dict[str, BatchRecord]:
    """Return the batches of earlier retries, by the failed runs that they ran again.

    A retry that failed as a whole, or was cancelled, is none.
    """
    pages = endpoints.list_directories(client, types=["ephemeral"], **scope)
    found: dict[str, BatchRecord] = {}
    for directory in listing.iter_records(DIRECTORIES, pages):
        if str(directory.get("name")).startswith(PREFIX):
            batches = [
                b for b in _batches_over(directory["id"], client, scope) if _is_valid_retry(b)
            ]
            if batches:
                for file in upload.files_by_name(client, directory["id"], scope).values():
                    found[str(file.get("unique_id"))] = batches[0]
    return found


def _is_valid_retry(batch: BatchRecord) -> bool:
    return batch.get("status") not in ("FAILED", "CANCELLED")


def _batches_over(directory_id: str, client: Client, scope: Record) -> list[BatchRecord]:
    pages = endpoints.list_batches(client, source_directory_id=directory_id, **scope)
    return list(listing.iter_records(BATCHES, pages))


def _reuse_earlier_batches(plan: pd.DataFrame, rerun: dict[str, BatchRecord]) -> list[BatchRecord]:
    """Return the batches of earlier calls that run these files, each once, and tell of them."""
    names = map(retry_plan.run_key, plan["source_directory_file_id"], plan["batch_id"])
    batches = [rerun[name] for name in names if name in rerun]
    if batches:
        warn(
            f"{len(batches):,} files were run again already, in "
            f"{', '.join(dict.fromkeys(batch['id'] for batch in batches))}: these batches are "
            "returned too. To run again what failed in them, add their results to the frame."
        )
    return list({batch["id"]: batch for batch in batches}.values())


def _retry_group(
    group: pd.DataFrame, client: Client, progress: Progress, scope: Record
) -> list[BatchRecord]:
    """Make the batch over some files; go on where an earlier call was cut short."""
    directory_id, batches = _get_or_create_directory(_directory_name(group), client, scope)
    if batches:
        return batches
    there = upload.files_by_name(client, directory_id, scope)
    missing = group[~group["display_name"].isin(list(there))]
    if _add_stored_files(missing, directory_id, client, progress, scope) + len(there) == 0:
        return []
    if batches := _batches_over(directory_id, client, scope):  # of another call, at this moment
        return batches
    job = {
        "type": group["job_type"].iloc[0],
        "configuration_id": group["configuration_id"].iloc[0],
    }
    body = {"source_directory_id": directory_id, "config": {"job": job}}
    return [create_once(client, body, scope)]


def _get_or_create_directory(
    name: str, client: Client, scope: Record
) -> tuple[str, list[BatchRecord]]:
    """Return a directory for the files, and the batches over it that count."""
    try:
        return upload.create_directory_once(client, name, scope), []
    except ConflictError:
        found = upload.find_directory(client, name, scope)
    if found is None:  # it was deleted, and its name is not free yet
        return upload.create_directory_once(client, upload.unique_name(name), scope), []
    batches = _batches_over(found, client, scope)
    counting = [batch for batch in batches if _is_valid_retry(batch)]
    if batches and not counting:
        return _get_or_create_directory(f"{name} after {batches[0]['id']}", client, scope)
    return found, counting


def _add_stored_files(
    group: pd.DataFrame, directory_id: str, client: Client, progress: Progress, scope: Record
) -> int:
    """Add stored files to a directory, and return how many there were; name those that can't be."""
    refused: dict[str, BatchesError] = {}

    def add_one(file: tuple[str, str, str]) -> FileRecord:
        name, file_id, unique_id = file
        body = {"file_id": file_id, "display_name": name, "unique_id": unique_id}

        def send() -> FileRecord:
            record: FileRecord = endpoints.add_directory_file(client, directory_id, body, **scope)
            return record

        return upload.put_once(client, directory_id, name, send, scope)

    def leave_out(file: tuple[str, str, str], error: BatchesError) -> bool:
        refused[file[0]] = error
        return isinstance(error, NotFoundError | InvalidRequestError)

    origins = map(retry_plan.run_key, group["source_directory_file_id"], group["batch_id"])
    files = list(zip(group["display_name"], group["file_id"], origins, strict=True))
    with progress_bar(progress, "adding", unit="file", total=len(files)) as shown:
        added = fetch_concurrently(
            add_one,
            files,
            partial(records.to_pandas, FILES),
            client=client,
            shown=shown,
            bear=leave_out,
        )
    if refused:
        warn(
            f"{len(refused):,} failed files could not be added and are not run again: "
            f"{format_list(refused)}. The first error was: {next(iter(refused.values()))}"
        )
    return len(added)


def _directory_name(group: pd.DataFrame) -> str:
    """Return the name of the directory for these files after these runs: always the same one."""
    parts = sorted(map(retry_plan.run_key, group["source_directory_file_id"], group["batch_id"]))
    parts += [group["configuration_id"].iloc[0], group["job_type"].iloc[0]]
    digest = hashlib.blake2s("\n".join(parts).encode(), digest_size=8)
    return f"{PREFIX}{digest.hexdigest()}"


def _warn_of_impossible(plan: pd.DataFrame) -> None:
    left = plan[plan["action"] == "impossible"]
    if len(left):
        names = left["display_name"].fillna(left["source_directory_file_id"])
        warn(
            f"{len(left):,} failed files can't be run again: {format_list(names)} "
            f"({left['reason'].iloc[0]}). retry_failed(…, dry_run=True) tells why of each."
        )
