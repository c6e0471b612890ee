"""Read a synced dataset as outcomes of files, with the names that it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.dataset.read import TableName, read_dataset
from llama_batches_nb.errors import TableNotSyncedError
from llama_batches_nb.fetch.names import unique_names
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.types import PathLike

Column: TypeAlias = tuple[str, Literal["directories", "configurations", "files"], str, str]

ADDED_COLUMNS: list[Column] = [
    ("directory", "directories", "source_directory_id", "name"),
    ("configuration", "configurations", "configuration_id", "name"),
    ("display_name", "files", "source_directory_file_id", "display_name"),
    ("file_id", "files", "source_directory_file_id", "file_id"),
]
"""Columns that are added to outcomes: name, and the table, key and column they are taken from."""


@dataclass(frozen=True)
class DatasetOutcomes:
    """The files of a dataset, one row per file of a batch, and what is known of the dataset.

    Without jobs, the outcomes only show whether files were mapped to jobs.
    """

    files: pd.DataFrame
    batches: pd.DataFrame
    jobs: pd.DataFrame | None

    @property
    def as_of(self) -> pd.Timestamp | None:
        """The latest time at which a batch or job of the dataset changed; None without any."""
        frames = [self.batches] if self.jobs is None else [self.batches, self.jobs]
        times = pd.concat([frame["updated_at"].dropna() for frame in frames])
        return times.max() if len(times) else None


def read_outcomes(path: PathLike) -> DatasetOutcomes:
    """Read the outcomes of all files of a dataset; raise the errors of `read_dataset`.

    The files have the columns of `add_names` and ``file_id``, from the tables that were synced.
    """
    batches = read_dataset(path, "batches")
    results = read_dataset(path, "results")
    jobs = _read_if_synced(path, "jobs")
    files = outcomes(results) if jobs is None else outcomes(results, jobs)
    return DatasetOutcomes(_add_columns(files, path), batches, jobs)


def _add_columns(files: pd.DataFrame, path: PathLike) -> pd.DataFrame:
    """Add names, which are the ids where none is known, and the ids of the files' content."""
    added = {}
    for name, table, key, column in ADDED_COLUMNS:
        known = _read_if_synced(path, table)
        values: dict[str, Any] = {}
        if known is not None:
            texts = known[column].str.strip().astype(object)
            values = dict(zip(known[key], texts.where(texts.notna(), None), strict=True))
        if column == "name":
            values = unique_names(values)
        added[name] = files[key].map(values).astype(STRING_DTYPE)
        if name != "file_id":
            added[name] = added[name].fillna(files[key])
    return files.assign(**added)


def _read_if_synced(path: PathLike, table: TableName) -> pd.DataFrame | None:
    try:
        return read_dataset(path, table)
    except TableNotSyncedError:
        return None
