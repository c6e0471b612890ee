"""Run the files that failed once more, and none that succeeded or still runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from typing import Any

import pandas as pd

from llama_batches_nb import endpoints, frames, inputs, listing, planning, preconditions, uploads
from llama_batches_nb.client import Client, current
from llama_batches_nb.creating import make_batch
from llama_batches_nb.directories import files_in
from llama_batches_nb.errors import (
    BatchesError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    carrying_partial,
    warn,
)
from llama_batches_nb.gathering import gather
from llama_batches_nb.jobs import fetch_jobs
from llama_batches_nb.lineage import attempts
from llama_batches_nb.outcomes import outcomes
from llama_batches_nb.paging import Record
from llama_batches_nb.progress import Progress, bar
from llama_batches_nb.rates import OUTCOMES
from llama_batches_nb.schema import BATCHES, DIRECTORIES, FILES
from llama_batches_nb.selection import scope_of
from llama_batches_nb.statuses import JOB_TYPES

_NEEDED = (
    "batch_id",
    "batch_created_at",
    "configuration_id",
    "source_directory_id",
    "source_directory_file_id",
    "job_type",
)


def retry_failed(
    results: pd.DataFrame,
    *,
    jobs: pd.DataFrame | None = None,
    files: pd.DataFrame | None = None,
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
    1,000 files of one configuration. What the frame shows to have succeeded, or still to run, under
    that configuration is not run again, nor is a file run twice because it failed twice.

    The directories are named after what is in them. So the same call over the same frame finds the
    batches that it made before and makes no others, and one that was interrupted goes on where it
    was. To run again what failed again, fetch the results of the new batches first.

    Parameters
    ----------
    results
        The frame of `fetch_results` or, better, of `outcomes`; with the results of earlier retries
        in it, if there were any.
    jobs
        The frame of `fetch_jobs`, if `results` are without outcomes; fetched if left out.
    files
        The frame of `fetch_files` over the directories of the results; fetched if left out.
    configuration_id
        Run them with this configuration instead of the one with which they failed.
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
        The new batches, in the columns of `fetch_batches`; none if no file is to be run again. To
        see which run of which file each result is, go on with `attempts`.

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
        If a frame lacks a column, or the job type can't be told; nothing was asked then.
    BatchesError
        If the configuration does not fit, or a directory or batch can't be made; `.partial` holds
        the batches that were.

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
    >>> lb.retry_failed(results).pipe(lb.wait_for_batches).status.isin(["COMPLETED"]).all()
    np.True_
    """
    known = "outcome" in inputs.column_names(results)
    inputs.check_columns(results, *_NEEDED, *(() if known else ("job_id", "error_message")))
    if job_type is not None:
        inputs.as_choice("job_type", job_type, JOB_TYPES)
    if configuration_id is not None:
        configuration_id = inputs.as_one_id("configuration_id", configuration_id)
    scope = scope_of(project_id, organization_id)
    client = current(client)
    if not known:
        if jobs is None:
            jobs = fetch_jobs(results, progress=progress, client=client, **scope)
        results = outcomes(results, jobs)
    gone: set[str] = set()
    if files is None:
        files = _files_of(results, gone, client, progress, scope)
    plan = planning.plan(attempts(results, files), gone, configuration_id, job_type)
    if dry_run:
        return plan
    _warn_of_impossible(plan)
    if configuration_id is not None:
        for each in plan["job_type"].dropna().unique():
            preconditions.check_configuration(client, configuration_id, each, scope)
    made: list[Record] = []
    with carrying_partial(lambda: frames.frame(BATCHES, made)):
        for _, group in plan.dropna(subset="new_batch").groupby("new_batch"):
            made += _run(group, client, progress, scope)
    return frames.frame(BATCHES, made)


def _files_of(
    results: pd.DataFrame, gone: set[str], client: Client, progress: Progress, scope: Record
) -> pd.DataFrame:
    """Return the files of all directories that are still there, if any file failed."""
    failed = results["outcome"].isin(OUTCOMES.failures).any()
    ids = results["source_directory_id"].dropna().unique() if failed else ()

    def leave_out(directory_id: str, error: BatchesError) -> bool:
        gone.add(directory_id)
        return isinstance(error, NotFoundError)

    return files_in(
        inputs.as_ids("source_directory_id", ids),
        leave_out,
        client=client,
        progress=progress,
        **scope,
    )


def _run(group: pd.DataFrame, client: Client, progress: Progress, scope: Record) -> list[Record]:
    """Make the batch over some files, or find the one that an earlier call made."""
    name = _name(group)
    try:
        directory_id = uploads.make_directory(client, name, scope)
        there: dict[str, Record] = {}
    except ConflictError as error:
        directory_id = _directory_named(name, client, scope, error)
        pages = endpoints.list_batches(client, source_directory_id=directory_id, **scope)
        if before := list(listing.records(BATCHES, pages)):
            warn(
                f"{len(group):,} files were run again already, in "
                f"{', '.join(batch['id'] for batch in before)}: that is returned. Fetch its "
                "results to run again what failed again."
            )
            return before
        there = uploads.files_by_name(client, directory_id, scope)
    missing = group[~group["display_name"].isin(list(there))]
    if _add(missing, directory_id, client, progress, scope) + len(there) == 0:
        return []
    job = {
        "type": group["job_type"].iloc[0],
        "configuration_id": group["configuration_id"].iloc[0],
    }
    body = {"source_directory_id": directory_id, "config": {"job": job}}
    return [make_batch(client, body, scope)]


def _add(
    group: pd.DataFrame, directory_id: str, client: Client, progress: Progress, scope: Record
) -> int:
    """Add stored files to a directory, and return how many there were; name those that can't be."""
    refused: dict[str, BatchesError] = {}

    def add_one(file: tuple[str, str]) -> Record:
        name, file_id = file
        body = {"file_id": file_id, "display_name": name}

        def send() -> Record:
            record: Record = endpoints.add_directory_file(client, directory_id, body, **scope)
            return record

        return uploads.put(client, directory_id, name, send, scope)

    def leave_out(file: tuple[str, str], error: BatchesError) -> bool:
        refused[file[0]] = error
        return isinstance(error, NotFoundError | InvalidRequestError)

    files = list(zip(group["display_name"], group["file_id"], strict=True))
    with bar(progress, "adding", unit="file", total=len(files)) as shown:
        added = gather(
            add_one,
            files,
            partial(frames.frame, FILES),
            client=client,
            shown=shown,
            bear=leave_out,
        )
    if refused:
        warn(
            f"{len(refused):,} failed files could not be added and are not run again: "
            f"{_listed(refused)}. The first error was: {next(iter(refused.values()))}"
        )
    return len(added)


def _name(group: pd.DataFrame) -> str:
    """Return the name of the directory for these files after these runs: always the same one."""
    parts = sorted(group["file_id"] + " " + group["batch_id"])
    parts += [group["configuration_id"].iloc[0], group["job_type"].iloc[0]]
    digest = hashlib.blake2s("\n".join(parts).encode(), digest_size=8)
    return f"retry {digest.hexdigest()}"


def _directory_named(name: str, client: Client, scope: Record, error: ConflictError) -> str:
    for page in endpoints.list_directories(client, name=name, **scope):
        for record in page.items:
            if record.get("name") == name:
                return listing.key_of(DIRECTORIES, record)
    raise error


def _warn_of_impossible(plan: pd.DataFrame) -> None:
    left = plan[plan["action"] == "impossible"]
    if len(left):
        names = left["display_name"].fillna(left["source_directory_file_id"])
        warn(
            f"{len(left):,} failed files can't be run again: {_listed(names)} "
            f"({left['reason'].iloc[0]}). retry_failed(…, dry_run=True) tells why of each."
        )


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(map(repr, shown[:5])) + (", …" if len(shown) > 5 else "")
