"""Read what `sync_dataset` keeps: as a dataset for any engine, or as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset import part_files
from llama_batches_nb.dataset.manifest import MANIFEST, Manifest, PartFile
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table
from llama_batches_nb.types import PathLike

TABLES = {table.name: table for table in (BATCHES, RESULTS, JOBS)}
MAX_READ_ATTEMPTS = 3  # how often to begin again because a sync replaced files meanwhile


def open_dataset(path: PathLike, table: str = "results") -> Any:
    """Open one table of a synced folder as a dataset, without reading it.

    It is what the last commit of a sync made it, also while another sync runs and after one was
    killed. A sync that ends removes the files that it replaced: open it again after that.

    Parameters
    ----------
    path
        The folder of `sync_dataset`, or its URL.
    table
        ``"batches"``, ``"results"`` or ``"jobs"``.

    Returns
    -------
    pyarrow.dataset.Dataset
        With text for categories, and times in microseconds UTC. DuckDB and Polars
        (``scan_pyarrow_dataset``) take it as it is; its ``.files`` are plain Parquet for Dask,
        Spark and others.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    DatasetError
        If that is no dataset, was synced without jobs, was written by a newer version, or files of
        it are missing.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("kept")
    >>> lb.open_dataset("kept", "batches").count_rows() == report.total["batches"]
    True
    """
    storage, chosen = Storage(path), _table(table)
    return part_files.dataset(storage, chosen, _current_part_files(storage, chosen))


def read_dataset(
    path: PathLike,
    table: str = "results",
    columns: Sequence[str] | None = None,
    filter: Any = None,  # noqa: A002
) -> pd.DataFrame:
    """Read one table of a synced folder, or the part of it that is wanted.

    Parameters
    ----------
    path
        The folder of `sync_dataset`, or its URL.
    table
        ``"batches"``, ``"results"`` or ``"jobs"``.
    columns
        Which columns, in this order; None for all.
    filter
        Which rows: an expression such as ``pyarrow.dataset.field("status") == "FAILED"``, or a
        list of conditions such as ``[("status", "==", "FAILED")]``. What the statistics of a file
        rule out is not read.

    Returns
    -------
    pandas.DataFrame
        The columns and dtypes of `fetch_batches`, `fetch_results` or `fetch_jobs`, also when there
        are no rows. The order is that in which the batches were synced.

    Raises
    ------
    FileNotFoundError, DatasetError
        As `open_dataset`; and a `DatasetError` that names the file if one is damaged.
    ValueError
        If there is no such table or column.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("kept")
    >>> done = lb.read_dataset("kept", "batches", filter=[("status", "==", "COMPLETED")])
    >>> done.status.unique().tolist()
    ['COMPLETED']
    """
    import pyarrow.parquet as pq

    storage, chosen = Storage(path), _table(table)
    names = _columns(chosen, columns)
    if isinstance(filter, list | tuple):
        filter = pq.filters_to_expression(filter)  # noqa: A001
    for reading in range(1, MAX_READ_ATTEMPTS + 1):
        wanted = _current_part_files(storage, chosen)
        try:
            rows = part_files.dataset(storage, chosen, wanted).to_table(
                columns=names, filter=filter
            )
            return schema.to_pandas(rows, [c for c in chosen.columns if c.name in names])
        except (pa.ArrowException, OSError) as error:
            if not isinstance(error, FileNotFoundError) or reading == MAX_READ_ATTEMPTS:
                part_files.raise_if_unreadable(storage, chosen, wanted)
                raise
    raise AssertionError("the last reading returns or raises")


def _table(name: str) -> Table:
    if name not in TABLES:
        raise ValueError(f"table={name!r} must be one of {', '.join(map(repr, TABLES))}.")
    return TABLES[name]


def _columns(table: Table, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return table.names
    chosen = [columns] if isinstance(columns, str) else list(columns)
    if missing := [name for name in chosen if name not in table.names]:
        raise ValueError(
            f"The table {table.name!r} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, table.names))}."
        )
    return list(dict.fromkeys(chosen))


def _current_part_files(storage: Storage, table: Table) -> list[PartFile]:
    """Return the files of a table, which are all there."""
    for _ in range(MAX_READ_ATTEMPTS):
        manifest = Manifest.read(storage)
        if manifest is None:
            raise FileNotFoundError(
                f"There is no dataset in {storage.name!r}: make one with "
                f"sync_dataset({storage.name!r})."
            )
        if table is JOBS and not manifest.jobs:
            raise DatasetError(
                f"{storage.name!r} has no jobs yet: sync_dataset({storage.name!r}, jobs=True) "
                "fetches them."
            )
        wanted = manifest.parts(table.name)
        there = set(storage.names())
        if missing := [part.name for part in wanted if part.name not in there]:
            continue
        return wanted
    raise DatasetError(
        f"{storage.name!r} lacks {', '.join(missing)}, which its {MANIFEST!r} names: restore it "
        "from a copy, or delete the folder and sync again."
    )
