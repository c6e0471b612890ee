"""Retry failed files in new batches, without uploading them again."""

from __future__ import annotations

import pandas as pd

from llama_batches_nb.analysis.attempts import attempts, file_identity
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.errors import BatchesError, NotFoundError, attach_partial
from llama_batches_nb.fetch.directories import fetch_directory_files
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.lifecycle import preflight
from llama_batches_nb.lifecycle.earlier_retries import EarlierRetries
from llama_batches_nb.lifecycle.lost_response import note_on_interrupt
from llama_batches_nb.lifecycle.retry_batches import (
    create_retry_batches,
    directory_name,
    warn_reused,
)
from llama_batches_nb.lifecycle.retry_plan import is_reliable, plan_retries, run_key
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import arguments, engines, records
from llama_batches_nb.tables.schema import BATCHES, FILES
from llama_batches_nb.tables.statuses import JOB_TYPES
from llama_batches_nb.types import Ids, IntoFrame, JobType, Record

_REQUIRED_COLUMNS = (
    "batch_id",
    "batch_created_at",
    "configuration_id",
    "source_directory_id",
    "source_directory_file_id",
    "job_type",
)


def retry_failed(
    results: IntoFrame,
    *,
    jobs: IntoFrame | None = None,
    files: IntoFrame | None = None,
    configuration_id: Ids | None = None,
    job_type: JobType | None = None,
    dry_run: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Retry failed files in new batches, without uploading them again.

    The stored files are added to new ephemeral directories. A batch takes up to 1,000 files of one
    configuration. A file is retried once, however often it failed, and only if no run of it in
    the frame succeeded or may still be running, under any configuration.

    Calling the function again with the same frame creates no second batch: it returns the batches
    of the earlier call, and creates those that an interrupted call did not. To retry files that
    failed again, add the results of the new batches to the frame. A retry whose batch was cancelled
    or is ``FAILED`` does not count, and its files are retried.

    Of several calls at once, also in other processes, the one that began first creates the batch;
    the others wait for it and return it. A call that makes no progress for 20 seconds is taken for
    interrupted. The API cannot make the last check and the creation one step: if two calls pass
    the check within one request's time, both create a batch, and a warning names them. Once the
    directory of a retry has been deleted, which files it retried is known only if the frame has the
    same failures; a warning names the batches that cannot be judged.

    Files of other ``FAILED`` batches are not retried, because their results are unreliable; create
    a new batch from their directory with `create_batch`.

    Parameters
    ----------
    results
        Frame of `fetch_results` or, better, of `outcomes`, including the results of earlier
        retries.
    jobs
        Frame of `fetch_jobs` for the results. Fetched if needed and not given.
    files
        Frame of `fetch_files` for the directories of the results. Fetched if not given.
    configuration_id
        Configuration to use. Defaults to that of each file's last failed run.
    job_type
        Job type of `configuration_id`, if it differs from that of the failed runs.
    dry_run
        Create nothing, and return the plan.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show progress bars. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row per batch that retries the files, with the columns of `fetch_batches`; empty if
        there is nothing to retry. Use `attempts` to number the runs of each file.

        With ``dry_run=True``, one row per failed file:

        ========================= ======== =====================================================
        source_directory_file_id  string   id of the file, as in `results`
        display_name              string   name of the file
        batch_id                  string   batch of its last failed run
        outcome                   category outcome of that run
        attempt                   Int64    number of the next run; 2 is the second
        action                    category ``retry``; ``skip`` if it succeeded, may still be
                                           running or was already retried; ``impossible`` if it
                                           cannot be added
        reason                    string   reason, unless ``retry``
        new_batch                 Int64    number of the new batch, from 1
        configuration_id          string   configuration of the next run
        job_type                  string   job type of the next run
        file_id                   string   id of the stored file
        source_directory_id       string   current directory of the file
        ========================= ======== =====================================================

    Raises
    ------
    ValueError, TypeError
        If a frame lacks a column or an argument is invalid; no request is sent.
    NotFoundError, InvalidRequestError
        If a configuration does not exist or is for another job type; nothing was created.
    BatchesError
        If a directory or batch cannot be created. ``.partial`` holds the batches created so far;
        call the function again to continue.

    Warns
    -----
    UserWarning
        If failed files cannot be retried, were already retried, or are in ``FAILED`` batches; if
        earlier batches may be retries of them, or two calls created a batch at the same time.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=2)
    >>> plan = lb.retry_failed(results, dry_run=True)
    >>> set(plan.outcome) <= {"job_failed", "mapping_error"}
    True
    >>> retries = lb.retry_failed(results).pipe(lb.wait_for_batches)
    >>> set(retries.status) <= {"COMPLETED"}
    True
    """
    result_frame = engines.wrap_frame("results", results)
    has_outcome = "outcome" in engines.column_names(result_frame)
    engines.check_columns(
        result_frame, *_REQUIRED_COLUMNS, *(() if has_outcome else ("job_id", "error_message"))
    )
    arguments.parse_bool("dry_run", dry_run)
    if job_type is not None:
        arguments.parse_choice("job_type", job_type, JOB_TYPES)
    configuration = (
        None
        if configuration_id is None
        else arguments.parse_single_id("configuration_id", configuration_id)
    )
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    frame = engines.frame_to_pandas(result_frame)
    if jobs is None and (not has_outcome or frame["outcome"].isin(["mapped"]).any()):
        jobs = fetch_jobs(frame, progress=progress, client=client, **scope)
    if jobs is not None:
        frame = outcomes(frame, engines.frame_to_pandas(engines.wrap_frame("jobs", jobs)))
    deleted_directories: set[str] = set()
    earlier: EarlierRetries | None = None
    if frame["outcome"].isin(OUTCOMES_KIND.failures).any():
        earlier = EarlierRetries(client, scope)
        if files is None:
            files = _fetch_files(frame, deleted_directories, client, progress, scope)
    runs = attempts(frame, records.to_pandas(FILES, []) if files is None else files)
    plan = plan_retries(
        runs,
        deleted_directories,
        {run: batch["id"] for run, batch in earlier.batches.items()} if earlier else {},
        configuration,
        job_type,
    )
    to_retry = plan.dropna(subset="new_batch")
    for _, job in to_retry[["configuration_id", "job_type"]].drop_duplicates().iterrows():
        preflight.check_configuration(client, job["configuration_id"], job["job_type"], scope)
    if dry_run:
        return plan
    _warn_impossible(plan)
    _warn_unreliable(runs)
    if earlier is None:
        return records.to_pandas(BATCHES, [])
    batches = _reuse_earlier_batches(plan, earlier)
    _warn_unaccounted(to_retry, frame, earlier)
    with (
        attach_partial(lambda: records.to_pandas(BATCHES, batches)),
        note_on_interrupt(
            "To continue, call retry_failed again with the same frame; it reuses the batches that "
            "were created."
        ),
    ):
        for _, group in to_retry.groupby("new_batch"):
            batches += create_retry_batches(group, earlier, client, progress, scope)
    return records.to_pandas(BATCHES, {batch["id"]: batch for batch in batches}.values())


def _fetch_files(
    results: pd.DataFrame,
    deleted_directories: set[str],
    client: Client,
    progress: Progress,
    scope: Record,
) -> pd.DataFrame:
    """Return the files of all directories; add those that no longer exist to the set."""

    def skip_deleted(directory_id: str, error: BatchesError) -> bool:
        deleted_directories.add(directory_id)
        return isinstance(error, NotFoundError)

    return fetch_directory_files(
        arguments.parse_ids(
            "source_directory_id", results["source_directory_id"].dropna().unique()
        ),
        skip_deleted,
        client=client,
        progress=progress,
        **scope,
    )


def _reuse_earlier_batches(plan: pd.DataFrame, earlier: EarlierRetries) -> list[BatchRecord]:
    """Return the batches that already retry files of the plan, each once, and warn about them."""
    runs = map(run_key, plan["source_directory_file_id"], plan["batch_id"])
    batches = [earlier.batches[run] for run in runs if run in earlier.batches]
    if batches:
        warn_reused(len(batches), len(plan), batches)
    return list({batch["id"]: batch for batch in batches}.values())


def _warn_unaccounted(to_retry: pd.DataFrame, runs: pd.DataFrame, earlier: EarlierRetries) -> None:
    """Warn about batches that may have retried the same files, if that is not known any more."""
    deleted = {
        number: earlier.of_deleted_directory(directory_name(group))
        for number, group in to_retry.groupby("new_batch")
    }
    known = {batch["id"] for batch in deleted.values() if batch}
    to_retry = to_retry[to_retry["new_batch"].map(lambda number: deleted[number] is None)]
    if to_retry.empty:
        return
    created = runs["batch_created_at"][runs["batch_id"].isin(to_retry["batch_id"])].min()
    since = None if pd.isna(created) else arguments.format_time("batch_created_at", created)
    jobs = set(zip(to_retry["job_type"], to_retry["configuration_id"], strict=True))
    ids = set(earlier.unaccounted(since, jobs)) - set(runs["batch_id"]) - known
    if ids:
        warn(
            f"These files may already have been retried: {format_count(len(ids), 'batch')} with "
            "the same configuration ran over directories that no longer exist, so the files of "
            f"{format_list(sorted(ids))} are unknown. If they include these files, cancel the new "
            "batches with cancel_batch."
        )


def _warn_impossible(plan: pd.DataFrame) -> None:
    impossible = plan[plan["action"] == "impossible"]
    if len(impossible):
        names = impossible["display_name"].fillna(impossible["source_directory_file_id"])
        warn(
            f"{len(impossible):,} of {format_count(len(plan), 'failed file')} cannot be retried: "
            f"{format_list(names)} ({impossible['reason'].iloc[0]}). "
            "retry_failed(…, dry_run=True) lists all reasons."
        )


def _warn_unreliable(runs: pd.DataFrame) -> None:
    """Warn about failures of files that ran in ``FAILED`` batches only."""
    files, reliable = file_identity(runs), is_reliable(runs)
    only_unreliable = ~files.isin(files[reliable]) & runs["outcome"].isin(OUTCOMES_KIND.failures)
    if only_unreliable.any():
        batches = runs["batch_id"][only_unreliable].unique()
        n = files[only_unreliable].nunique()
        warn(
            f"{format_count(n, 'file')} of FAILED batches {agree(n, 'is')} not retried: "
            f"{format_list(batches)}. Their results are unreliable. To run these files again, "
            "create new batches from their directories with create_batch."
        )
