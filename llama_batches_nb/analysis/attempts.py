"""Which run of a file is which, when files were run again. Pure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.schema import STRING_DTYPE

_NAMES = ["file_id", "display_name"]


def attempts(results: Any, files: Any) -> pd.DataFrame:
    """Tell of each row which run of its file it is; one row is one file of one batch.

    A file that `retry_failed` adds to another directory has another ``source_directory_file_id``
    there, but the same ``file_id`` and name: by these its runs are known as runs of one file.
    Directories that retries made vanish after a while, so keep the frame.

    Parameters
    ----------
    results
        The frame of `fetch_results` or `outcomes`, over the first batches and those of retries.
    files
        The frame of `fetch_files` over their directories.

    Returns
    -------
    pandas.DataFrame
        `results`, and the columns

        ============= ======= ===============================================================
        file_id       string  of the stored file; missing where `files` does not have it
        display_name  string  the file's name
        attempt       Int64   1 for the first batch of the frame that ran the file, by
                              ``batch_created_at``, 2 for the second, …
        ============= ======= ===============================================================

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> batches = lb.fetch_batches(status="COMPLETED", limit=5)
    >>> runs = lb.attempts(lb.fetch_results(batches), lb.fetch_files(batches))
    >>> int(runs.attempt.min())
    1
    """
    engines.check_columns(results, "source_directory_file_id", "batch_id", "batch_created_at")
    names = engines.select_to_pandas(files, "source_directory_file_id", *_NAMES)
    names = names.drop_duplicates("source_directory_file_id", keep="last")
    frame = engines.frame_to_pandas(results).drop(columns=[*_NAMES, "attempt"], errors="ignore")
    found = names.set_index("source_directory_file_id").reindex(
        frame["source_directory_file_id"].astype(STRING_DTYPE)
    )
    frame = frame.assign(**{name: found[name].astype(STRING_DTYPE).array for name in _NAMES})
    run = pd.MultiIndex.from_arrays([file_identity(frame), frame["batch_id"].astype(STRING_DTYPE)])
    first = frame.set_axis(run)[["batch_created_at"]].sort_values("batch_created_at", kind="stable")
    first = first[~first.index.duplicated()]
    order = first.groupby(level=0, sort=False, dropna=False).cumcount() + 1
    return frame.assign(attempt=order.reindex(run).astype("Int64").array)


def file_identity(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return what is the same in all runs of a file: what is stored and its name, where known."""
    stored = frame["file_id"] + "\n" + frame["display_name"]
    return stored.fillna(frame["source_directory_file_id"].astype(STRING_DTYPE))
