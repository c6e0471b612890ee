"""Combine all runs of a file into its final outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.attempts import (
    FILE_COLUMNS,
    find_files,
    stored_identity,
)
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE, missing_text
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES
from llama_batches_nb.types import IntoFrame

_ID_COLUMNS = ("batch_id", "job_id", "configuration_id", "source_directory_file_id")
_REQUIRED = (*_ID_COLUMNS, "outcome", "batch_created_at", "error_message")
_OPTIONAL = ("job_error_message", "credits", "batch_status", *FILE_COLUMNS)
_COLUMNS = [
    *FILE_COLUMNS,
    "outcome",
    "runs",
    "batch_id",
    "job_id",
    "configuration_id",
    "error_message",
    "credits",
    "source_directory_file_id",
    "batch_status",
]


def final_outcomes(runs: IntoFrame, files: IntoFrame | None = None) -> pd.DataFrame:
    """Return the final outcome of each file over all its runs; one row is one file.

    A file succeeded if any of its runs succeeded; otherwise its outcome is that of its last run.
    So each file counts once, however often it was retried. A run in a ``FAILED`` batch, whose
    results are unreliable, counts only if the file has no other.

    Parameters
    ----------
    runs
        The frame of `outcomes` for all batches that ran the files, including retries, of any
        engine that Narwhals supports.
    files
        The frame of `fetch_files` for the directories of the batches. It links the runs of a file
        in different directories, as `retry_failed` creates them: rows with the same ``file_id`` and
        name are one file. Without it the columns ``file_id`` and ``display_name`` of `runs` are
        used, which `attempts` adds. A file that neither knows, for example because its directory
        was deleted, is identified by its ``source_directory_file_id``; then its runs in other
        directories count as other files.

    Returns
    -------
    pandas.DataFrame
        One row per file, in the order of its first row in `runs`, with the columns

        ======================== ======== ======================================================
        file_id                  string   id of the stored file; missing if unknown
        display_name             string   name of the file; missing if unknown
        outcome                  category ``succeeded`` (or ``mapped``) if a run was; else the
                                          outcome of the last run by ``batch_created_at``
        runs                     int64    number of batches that ran the file
        batch_id                 string   batch of the run that gave the outcome
        job_id                   string   job of that run
        configuration_id         string   configuration of that run
        error_message            string   why that run failed, in its mapping or its job
        credits                  Float64  billed for all runs, each job once; missing if no run has
                                          known credits
        source_directory_file_id string   id of the file in the directory of that run
        batch_status             category status of the batch of that run; ``FAILED`` only if the
                                          file ran in no other batch; missing if unknown
        ======================== ======== ======================================================

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.
    TypeError
        If an argument is not a frame.

    Notes
    -----
    The files that still fail are those whose outcome is a failure, except files of ``FAILED``
    batches: ``failed`` in ``failure_rates(final_outcomes(runs))``. `retry_failed` retries them,
    except those with another run that may still be running. It also retries files that failed
    before their last run was cancelled, whose outcome here is ``job_cancelled`` or ``no_job``.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> runs = pd.DataFrame({
    ...     "source_directory_file_id": ["dfl-1", "dfl-2", "dfl-3", "dfl-3"],
    ...     "batch_id": ["bat-1", "bat-1", "bat-1", "bat-2"],
    ...     "batch_created_at": pd.to_datetime(["2026-08-01"] * 3 + ["2026-08-02"], utc=True),
    ...     "configuration_id": "cfg-1", "job_id": list("stuv"),
    ...     "outcome": ["succeeded", "job_failed", "job_failed", "succeeded"],
    ...     "error_message": None, "job_error_message": [None, "no pages", "timeout", None],
    ... })
    >>> files = lb.final_outcomes(runs)
    >>> print(files[["source_directory_file_id", "outcome", "runs"]].to_string(index=False))
    source_directory_file_id    outcome  runs
                       dfl-1  succeeded     1
                       dfl-2 job_failed     1
                       dfl-3  succeeded     2
    """
    given = engines.wrap_frame("runs", runs)
    frame = _read_runs(given)
    # Engines that scan files count in a fraction of the time that pandas needs to number the jobs.
    distinct_jobs = isinstance(given, nw.LazyFrame) and engines.is_distinct(given, "job_id")
    stored, of_run = frame, np.arange(len(frame))
    if files is not None:
        stored, of_run = find_files(frame, engines.wrap_frame("files", files))
    file = _number_files(frame, stored, of_run)
    batch = pd.factorize(frame["batch_id"], sort=True)[0]  # -1 if missing
    final = frame.iloc[_deciding_runs(frame, file, batch)].reset_index(drop=True)
    statuses = frame["batch_status"].dropna().unique().tolist()
    final = final.assign(
        runs=_count_batches(file, batch, len(final)),
        credits=_credits(frame, file, batch, len(final), distinct_jobs=distinct_jobs),
        outcome=_categorical(final["outcome"], OUTCOMES),
        error_message=final["error_message"].fillna(final["job_error_message"]),
        batch_status=_categorical(
            final["batch_status"],
            [*BATCH_STATUSES, *sorted({*map(str, statuses)} - {*BATCH_STATUSES})],
        ),
    )
    for name in FILE_COLUMNS:  # one run may know what another does not
        final[name] = _first_known(stored[name], of_run, file, len(final))
    return final[_COLUMNS]


def _number_files(
    frame: pd.DataFrame, stored: pd.DataFrame, of_run: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return the number of each run's file, in the order of the first rows.

    Run n has the stored file of row ``of_run[n]``. A row without any id is a file of its own.
    """
    known = np.append(pd.factorize(stored_identity(stored))[0], -1)  # for row -1
    number = known[of_run]
    unknown = np.flatnonzero(number < 0)
    other = pd.factorize(frame["source_directory_file_id"].iloc[unknown])[0]
    other = np.where(other >= 0, other, len(unknown) + np.arange(len(unknown)))
    number[unknown] = len(stored) + other
    return pd.factorize(number)[0]


def _deciding_runs(
    frame: pd.DataFrame, file: npt.NDArray[np.intp], batch: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return the position of the run that gives the outcome of each file, by its number.

    Reliability, success, time and batch make one number. A run without a time or a batch comes
    last; of equal runs the last row counts.
    """
    time = pd.factorize(frame["batch_created_at"], sort=True)[0]
    last_time, last_batch = time.max(initial=-1) + 1, batch.max(initial=-1) + 1
    in_failed_batch = frame["batch_status"].isin(["FAILED"]).to_numpy("int64")
    succeeded = frame["outcome"].isin(OUTCOMES_KIND.successes).to_numpy("int64")
    rank: npt.NDArray[np.int64] = 2 * (1 - in_failed_batch) + succeeded
    rank = rank * (last_time + 1) + np.where(time < 0, last_time, time)
    rank = rank * (last_batch + 1) + np.where(batch < 0, last_batch, batch)
    highest = pd.Series(rank).groupby(file).transform("max").to_numpy()
    decides = np.flatnonzero(rank == highest)
    runs = np.empty(file.max(initial=-1) + 1, "intp")
    runs[file[decides]] = decides  # the last one stays
    return runs


def _count_batches(
    file: npt.NDArray[np.intp], batch: npt.NDArray[np.intp], count: int
) -> npt.NDArray[np.int64]:
    """Return the number of batches that ran each file."""
    n_batches = batch.max(initial=0) + 1
    pairs = np.sort(file[batch >= 0] * n_batches + batch[batch >= 0])
    distinct = pairs[np.diff(pairs, prepend=-1) != 0]
    return np.bincount(distinct // n_batches, minlength=count).astype("int64")


def _first_known(
    values: pd.Series[Any],
    of_run: npt.NDArray[np.intp],
    file: npt.NDArray[np.intp],
    count: int,
) -> Any:
    """Return the first value that a run of each file has; run n has that of row ``of_run[n]``."""
    is_known = np.append(values.notna().to_numpy(), False)  # for row -1
    runs = np.flatnonzero(is_known[of_run])
    row = np.full(count, -1)
    row[file[runs[::-1]]] = of_run[runs[::-1]]  # the first one stays
    return values.array.take(row, allow_fill=True)


def _read_runs(runs: Frame) -> pd.DataFrame:
    """Return the columns that are needed, text with the dtype of the result."""
    existing = engines.column_names(runs)
    if "outcome" not in existing:
        raise ValueError("The frame has no column 'outcome': pass outcomes(results, jobs).")
    optional = [name for name in _OPTIONAL if name in existing]
    frame = engines.select_to_pandas(runs, *_REQUIRED, *optional).reset_index(drop=True)
    nothing = missing_text(len(frame))
    frame = frame.assign(**{name: nothing for name in _OPTIONAL if name not in existing})
    text = [*_ID_COLUMNS, *FILE_COLUMNS, "error_message", "job_error_message"]
    dtypes = {**dict.fromkeys(text, STRING_DTYPE), "credits": "Float64"}
    for name in ("credits", *text):
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            frame[name] = engines.clear_empty(frame[name])
    return frame.astype(dtypes).assign(batch_created_at=engines.to_utc(frame["batch_created_at"]))


def _categorical(values: pd.Series[Any], categories: Sequence[str]) -> Any:
    items: Any = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype(object)
    return pd.Categorical(items, categories=pd.Index(categories))


def _credits(
    frame: pd.DataFrame,
    file: npt.NDArray[np.intp],
    batch: npt.NDArray[np.intp],
    count: int,
    *,
    distinct_jobs: bool,
) -> pd.Series[Any]:
    """Sum the known credits per file, counting each job once; missing if none is known."""
    has_job = frame["job_id"].notna().to_numpy()
    is_known = frame["credits"].notna().to_numpy() & (has_job | (batch >= 0))
    owner, cost = file[is_known], frame["credits"].to_numpy("float64", na_value=0)[is_known]
    all_have_jobs = bool(has_job[is_known].all())
    if not (distinct_jobs and all_have_jobs):
        job, jobs = pd.factorize(frame["job_id"])
        item = np.where(has_job, job, len(jobs) + batch)[is_known]  # without a job: the batch
        if has_job.sum() > len(jobs) or not all_have_jobs:
            highest = pd.Series(cost).groupby([owner, item]).max()
            owner, cost = highest.index.get_level_values(0).to_numpy(), highest.to_numpy()
    return pd.Series(cost).groupby(owner).sum().astype("Float64").reindex(range(count))
