"""Estimate what a batch will cost and how long it will take, from earlier batches."""

from __future__ import annotations

import os

import pandas as pd

from llama_batches_nb.analysis import estimates
from llama_batches_nb.dataset.read import read_dataset
from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.fetch.directories import fetch_files
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.names_for_ids import check_configuration_exists
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.messages import redirect_warnings
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.tables.statuses import JOB_TYPES, TERMINAL_STATUSES
from llama_batches_nb.types import DirectoryIds, History, Ids, JobType, PathLike, Record

MAX_LISTED_BATCHES = 1000  # newest ones among which those of the configuration are looked for
MAX_FETCHED_BATCHES = 20  # newest ones of the configuration whose jobs are fetched
MAX_USAGE_PER_BATCH = 5  # jobs of each whose credits are requested

_FILE_COLUMNS = ("job_id", "error_message", "credits", "batch_created_at", "updated_at")
_SUMMARY_COLUMNS = ("n_files", "credits", "duration")
_JOB_COLUMNS = ["job_id", "status", "credits", "updated_at"]


def estimate_batch(
    source_directory_id: DirectoryIds,
    configuration_id: Ids,
    *,
    history: History | None = None,
    job_type: JobType = "parse_v2",
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Estimate the credits and the duration of a batch before it is created.

    Parameters
    ----------
    source_directory_id
        Directory with the files: its id, or a frame with one. Its files are counted.
    configuration_id
        Configuration or preset: its id, or a frame with one.
    history
        Earlier batches; those with this configuration and job type that are ``COMPLETED`` are used.
        One of

        - a frame of `outcomes` with jobs, or any frame with one row per file and the columns
          ``batch_id``, ``configuration_id``, ``job_id`` and ``credits``; durations are known if
          it also has ``batch_created_at`` and ``updated_at`` of the jobs;
        - a frame of `summarize`, one row per batch;
        - the folder or URL of a dataset of `sync_dataset`, or a `pyarrow.dataset.Dataset` of such
          rows.

        By default the newest 20 batches of the configuration are fetched, with their jobs. Where
        lists do not show credits, up to 5 jobs of each batch are requested one by one.
    job_type
        ``"parse_v2"`` or ``"extract_v2"``.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show progress bars. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row, with the columns

        ==================== ======= =============================================================
        source_directory_id  string
        configuration_id     string
        files                Int64   files in the directory
        credits              Float64 expected credits for all files
        credits_low          Float64 90 % prediction interval of the credits
        credits_high         Float64
        minutes              Float64 expected time until the last job has ended
        minutes_low          Float64 90 % prediction interval of the minutes
        minutes_high         Float64
        batches              Int64   earlier batches of the configuration
        batches_with_credits Int64   of these, batches with known credits
        batches_with_minutes Int64   of these, batches with a known duration
        ==================== ======= =============================================================

        Expected values are missing without an earlier batch, and intervals with fewer than two. The
        duration of a batch is known if each of its jobs says when it ended (``updated_at``), and
        its credits if any job answers with its usage; the last two columns count these batches.
        A file without a job counts as free; a file whose credits are not known is left out.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid or `history` lacks a column; no request is sent.
    NotFoundError
        If the directory does not exist, or a name is passed where an id belongs.
    FileNotFoundError, DatasetError
        If there is no readable dataset at the path `history`, or it has no jobs.

    Notes
    -----
    Credits per file differ between batches more than between files of a batch. The interval is
    therefore one for the total of a new batch, whose variance per file is τ² + σ²/n for n files:
    τ² between batches, σ² within (J. Hartung and G. Knapp 2001, Statistics in Medicine 20:3875; see
    `analysis/estimates.py` for the formula). Minutes come from a regression of log(minutes) on
    log(files) (D. C. Montgomery, E. A. Peck and G. G. Vining 2012, "Introduction to Linear
    Regression Analysis", section 2.5).

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> estimate = lb.estimate_batch(directory, "cfg-PARSE_AGENTIC").iloc[0]
    >>> bool(estimate.credits_low <= estimate.credits <= estimate.credits_high)
    True
    """
    directory = arguments.parse_single_id("source_directory_id", source_directory_id)
    configuration = arguments.parse_single_id("configuration_id", configuration_id)
    arguments.parse_choice("job_type", job_type, JOB_TYPES)
    given = None if history is None else read_history(history, configuration, job_type)
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    n_files = len(fetch_files(directory, **scope, progress=progress, client=client))
    if given is None:
        given = fetch_history(configuration, job_type, scope, progress=progress, client=client)
    if given.empty:
        check_configuration_exists(client, configuration, scope)
    return estimate_files(directory, configuration, n_files, given)


def estimate_files(
    directory_id: str, configuration_id: str, n_files: int, history: pd.DataFrame
) -> pd.DataFrame:
    """Return the frame of `estimate_batch` for a number of files and the history of batches."""
    billed = estimates.estimate_credits(history, n_files)
    minutes = estimates.estimate_minutes(history, n_files)
    numbers = {
        "credits": billed.expected,
        "credits_low": billed.low,
        "credits_high": billed.high,
        "minutes": minutes.expected,
        "minutes_low": minutes.low,
        "minutes_high": minutes.high,
    }
    counts = {
        "batches": len(history),
        "batches_with_credits": int((history["known"] > 0).sum()),
        "batches_with_minutes": int((history["minutes"] > 0).sum()),
    }
    return pd.DataFrame(
        {
            "source_directory_id": pd.Series([directory_id], dtype=STRING_DTYPE),
            "configuration_id": pd.Series([configuration_id], dtype=STRING_DTYPE),
            "files": pd.Series([n_files], dtype="Int64"),
            **{name: pd.Series([value]).astype("Float64") for name, value in numbers.items()},
            **{name: pd.Series([value], dtype="Int64") for name, value in counts.items()},
        }
    )


def fetch_history(
    configuration_id: str,
    job_type: str,
    scope: Record,
    *,
    progress: Progress,
    client: Client,
) -> pd.DataFrame:
    """Fetch the newest batches of a configuration, as `estimates.batch_history` returns them."""
    options = {**scope, "progress": progress, "client": client}
    with redirect_warnings(lambda _: None):  # what is missing is left out, and counted
        listed = fetch_batches(status="COMPLETED", limit=MAX_LISTED_BATCHES, **options)
        batches = listed[_is_wanted(listed, configuration_id, job_type)].head(MAX_FETCHED_BATCHES)
        results = fetch_results(batches, errors="warn", **options)
        jobs = fetch_jobs(results, errors="warn", **options)
        if jobs["credits"].isna().any():
            sample = results[results["job_id"].isin(jobs["job_id"][jobs["credits"].isna()])]
            billed = fetch_jobs(_sample(sample), usage=True, errors="warn", **options)
            known = billed.set_index("job_id")["credits"]
            jobs["credits"] = jobs["credits"].fillna(jobs["job_id"].map(known))
    return estimates.batch_history(_with_jobs(results, jobs, batches))


def read_history(history: History, configuration_id: str, job_type: str) -> pd.DataFrame:
    """Return the earlier batches in `history`, as `estimates.batch_history` returns them."""
    from pyarrow.dataset import Dataset

    if isinstance(history, str | os.PathLike):
        return estimates.batch_history(_read_dataset(history, configuration_id, job_type))
    native = history.to_table() if isinstance(history, Dataset) else history
    frame = engines.wrap_frame("history", native)
    engines.check_columns(frame, "batch_id", "configuration_id")
    existing = engines.column_names(frame)
    is_summary = "n_files" in existing
    if not is_summary:
        engines.check_columns(frame, "job_id", "credits")
    values = _SUMMARY_COLUMNS if is_summary else _FILE_COLUMNS
    filters = ("job_type", "status" if is_summary else "batch_status")
    names = ["batch_id", "configuration_id", *(n for n in (*values, *filters) if n in existing)]
    rows = engines.select_to_pandas(frame, *names)
    rows = rows[_is_wanted(rows, configuration_id, job_type)]
    if is_summary:
        return _history_of_summary(rows)
    for name in {"batch_created_at", "updated_at"} & set(rows):
        rows[name] = engines.to_utc(rows[name])
    return estimates.batch_history(rows)


def _read_dataset(path: PathLike, configuration_id: str, job_type: str) -> pd.DataFrame:
    batches = read_dataset(path, "batches", filter=[("configuration_id", "==", configuration_id)])
    batches = batches[_is_wanted(batches, configuration_id, job_type)]
    results = read_dataset(path, filter=[("configuration_id", "==", configuration_id)])
    results = results[results["batch_id"].isin(batches["batch_id"])]
    jobs = read_dataset(path, "jobs", columns=_JOB_COLUMNS)
    return _with_jobs(results, jobs, batches)


def _is_wanted(rows: pd.DataFrame, configuration_id: str, job_type: str) -> pd.Series[bool]:
    """Return the rows of COMPLETED batches of the configuration."""
    wanted = rows["configuration_id"] == configuration_id
    if "job_type" in rows:
        type_ = rows["job_type"].astype(object)
        wanted &= type_.isna() | (type_ == job_type)
    for name in {"status", "batch_status"} & set(rows):
        wanted &= rows[name].astype(object) == "COMPLETED"
    return wanted.fillna(False).astype(bool)


def _sample(results: pd.DataFrame) -> pd.DataFrame:
    """Return some results of each batch, chosen at random but reproducibly."""
    shuffled = results.sample(frac=1, random_state=0)
    return shuffled.groupby("batch_id", sort=False).head(MAX_USAGE_PER_BATCH)


def _with_jobs(results: pd.DataFrame, jobs: pd.DataFrame, batches: pd.DataFrame) -> pd.DataFrame:
    """Return the results with the credits and the end of each job, not before its batch's end."""
    is_open = ~jobs["status"].isin(list(TERMINAL_STATUSES))
    ended = jobs.assign(updated_at=jobs["updated_at"].mask(is_open))[_JOB_COLUMNS]
    if results.empty:
        return results
    files = results.merge(ended.drop(columns="status"), on="job_id", how="left")
    batch_end = files["batch_id"].map(batches.set_index("batch_id")["updated_at"])
    has_no_job = files["job_id"].isna()
    is_earlier = (files["updated_at"] < batch_end) | (has_no_job & files["updated_at"].isna())
    files["updated_at"] = files["updated_at"].mask(is_earlier, batch_end)
    return files


def _history_of_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the history of batches whose totals are known, but not the credits of each file."""
    summary = summary[summary["n_files"].fillna(0) > 0]
    n = summary["n_files"].astype("int64")
    totals = summary["credits"] if "credits" in summary else pd.Series(float("nan"), n.index)
    billed = totals.astype("Float64").astype("float64")
    duration = summary["duration"] if "duration" in summary else pd.Series(pd.NaT, n.index)
    return pd.DataFrame(
        {
            "files": n,
            "known": n.where(billed.notna(), 0),
            "mean": billed / n,
            "within": float("nan"),
            "minutes": pd.to_timedelta(duration).dt.total_seconds() / 60,
        }
    ).set_axis(summary["batch_id"])
