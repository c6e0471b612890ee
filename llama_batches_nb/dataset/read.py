"""Read a synced dataset: as a pyarrow dataset for any engine, or as a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset import part_files
from llama_batches_nb.dataset.manifest import DATASET_TABLES, MANIFEST_FILE, Manifest, PartFile
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError, TableNotSyncedError
from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import JOBS, Table
from llama_batches_nb.types import PathLike

if TYPE_CHECKING:
    import pyarrow.dataset as ds

TableName: TypeAlias = Literal["batches", "results", "jobs"]
Condition: TypeAlias = tuple[str, str, Any]
"""Column, operator and value, as in ``("status", "==", "FAILED")``."""

MAX_READ_ATTEMPTS = 3  # a sync may replace files while they are read
_TABLES = {table.name: table for table in DATASET_TABLES}


def open_dataset(path: PathLike, table: TableName = "results") -> ds.Dataset:
    """Open a table of a synced dataset without reading its rows.

    The table is as the last commit left it, even while a sync runs or after one was killed. When a
    sync ends, it deletes the files that it replaced: open the dataset again afterwards.

    Parameters
    ----------
    path
        Folder or URL that was passed to `sync_dataset`.
    table
        ``"batches"``, ``"results"`` or ``"jobs"``.

    Returns
    -------
    pyarrow.dataset.Dataset
        Categories are text, and times are in microseconds UTC. DuckDB and Polars
        (``scan_pyarrow_dataset``) can query it directly; its ``.files`` are plain Parquet for
        Dask, Spark and others.

    Raises
    ------
    FileNotFoundError
        If there is no dataset at `path`.
    DatasetError
        If the folder is not a dataset, was synced without jobs, was written by a newer version, or
        lacks files.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("history")
    >>> lb.open_dataset("history", "batches").count_rows() == report.total["batches"]
    True
    """
    storage, chosen = Storage(path), _table(table)
    return part_files.to_dataset(storage, chosen, _current_part_files(storage, chosen))


def read_dataset(
    path: PathLike,
    table: TableName = "results",
    columns: str | Sequence[str] | None = None,
    filter: ds.Expression | Sequence[Condition] | None = None,  # noqa: A002
) -> pd.DataFrame:
    """Read a table of a synced dataset, optionally only some columns and rows.

    Parameters
    ----------
    path
        Folder or URL that was passed to `sync_dataset`.
    table
        ``"batches"``, ``"results"`` or ``"jobs"``.
    columns
        Columns to read, in this order. By default all.
    filter
        Rows to read: an expression such as ``pyarrow.dataset.field("status") == "FAILED"``, or a
        list of conditions such as ``[("status", "==", "FAILED")]``. Files are skipped if their
        statistics show that no row matches.

    Returns
    -------
    pandas.DataFrame
        The columns and dtypes of `fetch_batches`, `fetch_results` or `fetch_jobs`, also when there
        are no rows. Rows are in the order in which their batches were synced.

    Raises
    ------
    FileNotFoundError, DatasetError
        As `open_dataset`. The `DatasetError` of a damaged file names it.
    ValueError
        If there is no such table or column.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("history")
    >>> done = lb.read_dataset("history", "batches", filter=[("status", "==", "COMPLETED")])
    >>> done.status.unique().tolist()
    ['COMPLETED']
    """
    import pyarrow.parquet as pq

    storage, chosen = Storage(path), _table(table)
    names = _column_names(chosen, columns)
    if isinstance(filter, list | tuple):
        filter = pq.filters_to_expression(filter)  # noqa: A001
    for attempt in range(1, MAX_READ_ATTEMPTS + 1):
        parts = _current_part_files(storage, chosen)
        try:
            rows = part_files.to_dataset(storage, chosen, parts).to_table(
                columns=names, filter=filter
            )
            return schema.to_pandas(rows, [c for c in chosen.columns if c.name in names])
        except (pa.ArrowException, OSError) as error:
            if not isinstance(error, FileNotFoundError) or attempt == MAX_READ_ATTEMPTS:
                part_files.raise_if_unreadable(storage, chosen, parts)
                raise
    raise AssertionError("the last attempt returns or raises")


def _table(name: str) -> Table:
    if name not in _TABLES:
        raise ValueError(f"table={name!r} must be one of {', '.join(map(repr, _TABLES))}.")
    return _TABLES[name]


def _column_names(table: Table, columns: str | Sequence[str] | None) -> list[str]:
    if columns is None:
        return table.names
    names = [columns] if isinstance(columns, str) else list(columns)
    if missing := [name for name in names if name not in table.names]:
        raise ValueError(
            f"The table {table.name!r} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, table.names))}."
        )
    return list(dict.fromkeys(names))


def _current_part_files(storage: Storage, table: Table) -> list[PartFile]:
    """Return the files of a table, or raise `DatasetError` if one does not exist."""
    for _ in range(MAX_READ_ATTEMPTS):
        manifest = Manifest.read(storage)
        if manifest is None:
            raise FileNotFoundError(
                f"No dataset in {storage.name!r}. Create it with sync_dataset({storage.name!r})."
            )
        if table is JOBS and not manifest.jobs:
            raise TableNotSyncedError(
                f"{storage.name!r} has no jobs yet. Fetch them with "
                f"sync_dataset({storage.name!r}, jobs=True)."
            )
        parts = manifest.parts(table.name)
        existing = set(storage.names())
        missing = [part.name for part in parts if part.name not in existing]
        if not missing:
            return parts
    raise DatasetError(
        f"{storage.name!r} lacks {', '.join(missing)}, which its {MANIFEST_FILE!r} lists. Restore "
        "the files from a backup, or delete the folder and sync again."
    )
