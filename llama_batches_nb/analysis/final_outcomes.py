"""Combine all runs of a file into its final outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.attempts import (
    FILE_COLUMNS,
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
    frame["_file"] = pd.factorize(_identify(frame))[0]  # in the order of their first rows
    frame["_batch"] = pd.factorize(frame["batch_id"], sort=True)[0]  # -1 if missing
    final = frame.iloc[_deciding_runs(frame)].set_index("_file")
    batches = frame.loc[frame["_batch"] >= 0, ["_file", "_batch"]].drop_duplicates()
    final["runs"] = batches["_file"].value_counts()
    final["runs"] = final["runs"].fillna(0).astype("int64")
    final["credits"] = _credits(frame)
    for name in FILE_COLUMNS:  # one run may know what another does not
        known = frame.loc[frame[name].notna(), ["_file", name]].drop_duplicates("_file")
        final[name] = known.set_index("_file")[name]
    return final[_COLUMNS].reset_index(drop=True)


def _deciding_runs(frame: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Return the position of the run that gives the outcome of each file, by its number.

    Numbers are compared instead of text. A run without a time or a batch comes last.
    """
    last = np.iinfo("int64").max
    time = frame["batch_created_at"].astype("int64").where(frame["batch_created_at"].notna(), last)
    batch = frame["_batch"].where(frame["_batch"] >= 0, last)
    succeeded = frame["outcome"].isin(OUTCOMES_KIND.successes)
    reliable = frame["batch_status"] != "FAILED"
    order = np.lexsort((batch, time, succeeded, reliable))
    of_file = pd.Series(order).groupby(frame["_file"].to_numpy()[order]).last()
    return of_file.to_numpy()


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
    statuses = {*map(str, frame["batch_status"].dropna().unique())}
    message = frame["error_message"].mask(frame["error_message"] == "")
    return frame.assign(
        outcome=_categorical(frame["outcome"], OUTCOMES),
        batch_status=_categorical(
            frame["batch_status"], [*BATCH_STATUSES, *sorted(statuses - {*BATCH_STATUSES})]
        ),
        batch_created_at=engines.to_utc(frame["batch_created_at"]),
        error_message=message.fillna(frame["job_error_message"]),
    )


def _categorical(values: pd.Series[Any], categories: Sequence[str]) -> Any:
    items: Any = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype(object)
    return pd.Categorical(items, categories=pd.Index(categories))


def _identify(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the key of each row's file; a row without any id is a file of its own."""
    row = "row " + frame.index.to_series().astype(STRING_DTYPE)
    return file_identity(frame).fillna(row)


def _credits(frame: pd.DataFrame) -> pd.Series[Any]:
    """Sum the known credits per file, counting each job once; missing if none is known."""
    job = pd.Series(pd.factorize(frame["job_id"])[0], frame.index)
    job = job.where(job >= 0, -2 - frame["_batch"])  # without a job: one item per batch
    is_known = frame["credits"].notna() & (job != -1)
    known = frame.loc[is_known, ["_file", "credits"]].assign(_job=job[is_known])
    return known.groupby(["_file", "_job"])["credits"].max().groupby(level="_file").sum()
