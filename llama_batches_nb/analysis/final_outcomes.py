"""Combine all runs of a file into its final outcome."""

from __future__ import annotations

from typing import Any

import pandas as pd

from llama_batches_nb.analysis.attempts import (
    FILE_COLUMNS,
    RUN_ORDER,
    add_file_columns,
    file_identity,
)
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE
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
    frame = _read_runs(engines.wrap_frame("runs", runs))
    if files is not None:
        frame = add_file_columns(frame, engines.wrap_frame("files", files))
    frame["_file"] = _identify(frame)
    ordered = frame.sort_values(RUN_ORDER, kind="stable")
    ordered["_reliable"] = ordered["batch_status"] != "FAILED"
    ordered["_succeeded"] = ordered["outcome"].isin(OUTCOMES_KIND.successes)
    ordered = ordered.sort_values(["_reliable", "_succeeded"], kind="stable")
    last = ordered.drop_duplicates("_file", keep="last")
    final = last.set_index("_file").reindex(frame["_file"].drop_duplicates())
    final["runs"] = frame.groupby("_file")["batch_id"].nunique()
    final["credits"] = _credits(frame)
    for name in FILE_COLUMNS:  # one run may know what another does not
        final[name] = frame.groupby("_file")[name].first()
    return final[_COLUMNS].reset_index(drop=True)


def _read_runs(runs: Frame) -> pd.DataFrame:
    """Return the columns that are needed, with the dtypes of the result."""
    existing = engines.column_names(runs)
    if "outcome" not in existing:
        raise ValueError("The frame has no column 'outcome': pass outcomes(results, jobs).")
    optional = [name for name in _OPTIONAL if name in existing]
    frame = engines.select_to_pandas(runs, *_REQUIRED, *optional).reset_index(drop=True)
    frame = frame.reindex(columns=[*_REQUIRED, *_OPTIONAL])
    text = [*_ID_COLUMNS, *FILE_COLUMNS, "error_message", "job_error_message"]
    frame = frame.astype({**dict.fromkeys(text, STRING_DTYPE), "credits": "Float64"})
    statuses = frame["batch_status"].dropna().astype(str).unique()
    message = frame["error_message"].mask(frame["error_message"] == "")
    return frame.assign(
        outcome=pd.Categorical(frame["outcome"].astype(object), categories=OUTCOMES),
        batch_status=pd.Categorical(
            frame["batch_status"].astype(object),
            categories=[*BATCH_STATUSES, *sorted({*statuses} - {*BATCH_STATUSES})],
        ),
        batch_created_at=engines.to_utc(frame["batch_created_at"]),
        error_message=message.fillna(frame["job_error_message"]),
    )


def _identify(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the key of each row's file; a row without any id is a file of its own."""
    row = "row " + frame.index.to_series().astype(STRING_DTYPE)
    return file_identity(frame).fillna(row)


def _credits(frame: pd.DataFrame) -> pd.Series[Any]:
    """Sum the known credits per file, counting each job once; missing if none is known."""
    known = frame.dropna(subset="credits")
    job = known["job_id"].fillna("of " + known["batch_id"])
    per_job = known.groupby(["_file", job])["credits"].max()
    return per_job.groupby(level="_file").sum()
