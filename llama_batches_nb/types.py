"""Type aliases of public parameters, of the API's own values, and of its records."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pyarrow.dataset as pa_ds
    from narwhals.typing import IntoFrame as IntoFrame

    Series: TypeAlias = pd.Series[Any]
else:  # Narwhals is imported when a frame is passed
    IntoFrame, Series = Any, pd.Series

Ids: TypeAlias = str | Iterable[str] | Series | IntoFrame
"""An id, an iterable of ids, or a frame with a column (or index level) of ids.

A frame is any that Narwhals reads: pandas, Polars, PyArrow, DuckDB, Dask or PySpark. One row of a
pandas frame is accepted too.
"""

BatchIds: TypeAlias = Ids
"""Batches: `Ids` whose column in a frame is ``batch_id``."""

JobIds: TypeAlias = Ids
"""Jobs: `Ids` whose column in a frame is ``job_id``."""

DirectoryIds: TypeAlias = Ids
"""Directories: `Ids` whose column in a frame is ``source_directory_id``."""

BatchStatus: TypeAlias = Literal[
    "PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"
]
"""Status of a batch, in the order of its life. A frame keeps statuses that are not listed here."""

JobStatus: TypeAlias = Literal[
    "PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"
]
"""Status of a job, in the order of its life. A frame keeps statuses that are not listed here."""

JobType: TypeAlias = Literal["parse_v2", "extract_v2"]
"""Type of a job. A frame keeps types that are not listed here."""

ProductType: TypeAlias = Literal[
    "parse_v2", "extract_v2", "classify_v2", "split_v1", "spreadsheet_v1", "unknown"
]
"""Type of a saved configuration. Batches run the first two."""

DirectoryType: TypeAlias = Literal["user", "ephemeral", "index"]
"""Type of a directory. The service deletes ``ephemeral`` directories after some time."""

Outcome: TypeAlias = Literal[
    "succeeded",
    "partial",
    "mapped",
    "mapping_error",
    "job_failed",
    "job_cancelled",
    "job_running",
    "job_unknown",
    "no_job",
]
"""Outcome of one file in one batch; `outcomes` describes each value."""

PageContent: TypeAlias = Literal["markdown", "text", "items"]
"""Kind of content of a parsed page."""

ErrorMode: TypeAlias = Literal["raise", "warn"]
"""Whether the first failed item raises, or is skipped with a warning."""

TimeLike: TypeAlias = str | date | pd.Timestamp | np.datetime64
"""A time: ISO 8601 text, date, datetime or Timestamp. A time without a zone is UTC."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A file path, or the URL of a file system that fsspec knows."""

History: TypeAlias = "IntoFrame | PathLike | pa_ds.Dataset"
"""Earlier batches: a frame, or a dataset as its path or as opened."""

Record: TypeAlias = dict[str, Any]
"""A JSON object of the API, as decoded. `http.endpoints` lists the fields of each kind."""
