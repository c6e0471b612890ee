"""Number the runs of files that were run more than once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE, text_array
from llama_batches_nb.types import IntoFrame

FILE_COLUMNS = ["file_id", "display_name"]
RUN_ORDER = ["batch_created_at", "batch_id"]  # of the runs of a file


def attempts(results: IntoFrame, files: IntoFrame) -> pd.DataFrame:
    """Add the run number of each file; one row is one file of one batch.

    `retry_failed` adds files to another directory, where they get another
    ``source_directory_file_id`` but keep their ``file_id`` and name. Rows with the same ``file_id``
    and name are runs of one file. Directories that retries create are deleted after a while, so
    keep the frame of files.

    Parameters
    ----------
    results
        The frame of `fetch_results` or `outcomes` for the first batches and the retries.
    files
        The frame of `fetch_files` for their directories.

    Returns
    -------
    pandas.DataFrame
        `results` with the columns

        ============= ======= ===============================================================
        file_id       string  id of the stored file; missing if the file is not in `files`
        display_name  string  name of the file
        attempt       Int64   1 for the first batch of the frame that ran the file, by
                              ``batch_created_at``, 2 for the second, …
        ============= ======= ===============================================================

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.
    TypeError
        If an argument is not a frame.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status="COMPLETED", limit=5)
    >>> runs = lb.attempts(lb.fetch_results(batches), lb.fetch_files(batches))
    >>> int(runs.attempt.min())
    1
    """
    rows = engines.wrap_frame("results", results)
    engines.check_columns(rows, "source_directory_file_id", "batch_id", "batch_created_at")
    frame = engines.frame_to_pandas(rows).drop(columns="attempt", errors="ignore")
    frame = add_file_columns(frame, engines.wrap_frame("files", files))
    run = pd.MultiIndex.from_arrays(
        [file_identity(frame), frame["batch_id"].astype(STRING_DTYPE)], names=[None, None]
    )
    first = frame.set_axis(run)[RUN_ORDER].sort_values(RUN_ORDER, kind="stable")
    first = first[~first.index.duplicated()]
    order = first.groupby(level=0, sort=False, dropna=False).cumcount() + 1
    frame = frame.assign(attempt=order.reindex(run).astype("Int64").array)
    return engines.restore_index(frame, results) if isinstance(results, pd.DataFrame) else frame


def add_file_columns(runs: pd.DataFrame, files: Frame) -> pd.DataFrame:
    """Add the id and name of each row's stored file, missing if it is not in `files`."""
    names, rows = find_files(runs, files)
    found = {name: names[name].array.take(rows, allow_fill=True) for name in FILE_COLUMNS}
    return runs.drop(columns=FILE_COLUMNS, errors="ignore").assign(**found)


def find_files(runs: pd.DataFrame, files: Frame) -> tuple[pd.DataFrame, npt.NDArray[np.intp]]:
    """Return the stored files, and the row of that of each run, -1 if it is not there."""
    names = engines.select_to_pandas(files, "source_directory_file_id", *FILE_COLUMNS)
    names = names.drop_duplicates("source_directory_file_id", keep="last", ignore_index=True)
    names = names.astype(dict.fromkeys(FILE_COLUMNS, STRING_DTYPE))
    ids, known = (text_array(frame["source_directory_file_id"]) for frame in (runs, names))
    # a missing id in both is not a match
    rows = pc.index_in(ids, value_set=known, skip_nulls=True).fill_null(-1)
    return names, rows.to_numpy().astype("intp")


def file_identity(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return a key that all runs of a file share: ``file_id`` and name, where known."""
    key = stored_identity(frame)
    return key.fillna(frame["source_directory_file_id"].astype(STRING_DTYPE))


def stored_identity(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return ``file_id`` and name; missing if one of them is unknown."""
    key: pd.Series[Any] = frame["file_id"] + "\n" + frame["display_name"]
    return key
