"""Read a synced dataset: as a pyarrow dataset for any engine, or as a pandas frame."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset.parquet_files import dataset_format, raise_if_system_error
from llama_batches_nb.dataset.state import (
    DATASET_TABLES,
    STATE_FILE,
    DamagedStateError,
    State,
    check_folder,
    parse_name,
    split_name,
)
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import find_unrecorded, observe_files
from llama_batches_nb.errors import DatasetError, TableNotSyncedError
from llama_batches_nb.messages import did_you_mean
from llama_batches_nb.tables import extractions, schema
from llama_batches_nb.tables.arguments import format_time, parse_choice, parse_column_names
from llama_batches_nb.tables.schema import EXTRACTIONS, Table
from llama_batches_nb.types import PathLike

if TYPE_CHECKING:
    import pyarrow.dataset as ds

TableName: TypeAlias = Literal[
    "batches", "results", "jobs", "pages", "extractions", "files", "directories", "configurations"
]
Condition: TypeAlias = tuple[str, str, Any]
"""Column, operator and value, as in ``("status", "==", "FAILED")``."""

MAX_READ_ATTEMPTS = 3  # a sync may replace files while they are read
RETRY_DELAY = 0.1  # seconds before the second attempt, twice as many before the next
OPTIONS = {"jobs": "jobs=True", "pages": 'outputs="markdown"', "extractions": 'outputs="markdown"'}


def open_dataset(path: PathLike, table: TableName = "results") -> ds.Dataset:
    """Open a table of a synced dataset without reading its rows.

    The footers of the files are compared with the record of the last sync. Their pages are
    verified when they are read. A sync replaces files: open the dataset again after one.

    Parameters
    ----------
    path
        Folder or URL that was passed to `sync_dataset`.
    table
        ``"batches"``, ``"results"``, ``"jobs"``, ``"pages"``, ``"extractions"``, ``"files"``,
        ``"directories"`` or ``"configurations"``.

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
        If the folder is not a dataset or of another version, was synced without the table, or has
        a file that is damaged or not as recorded.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("history")
    >>> lb.open_dataset("history", "batches").count_rows() == report.total["batches"]
    True
    """
    storage, chosen = Storage(path), _table(table)
    return _to_dataset(storage, chosen, _checked_files(storage, chosen))


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
        ``"batches"``, ``"results"``, ``"jobs"``, ``"pages"``, ``"extractions"``, ``"files"``,
        ``"directories"`` or ``"configurations"``.
    columns
        Columns to read, in this order. By default all.
    filter
        Rows to read: an expression such as ``pyarrow.dataset.field("status") == "FAILED"``, or a
        list of conditions such as ``[("status", "==", "FAILED")]``, where times may be ISO 8601
        text. Files are skipped if their statistics show that no row matches.

    Returns
    -------
    pandas.DataFrame
        The columns and dtypes of `fetch_batches`, `fetch_results` or `fetch_jobs`, also when there
        are no rows. The newest days come first.

    Raises
    ------
    FileNotFoundError, DatasetError
        As `open_dataset`. The `DatasetError` of a damaged file names it.
    ValueError, TypeError
        If there is no such table or column, or a filter compares a column to another type.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("history")
    >>> done = lb.read_dataset("history", "batches", filter=[("status", "==", "COMPLETED")])
    >>> done.status.unique().tolist()
    ['COMPLETED']
    """
    storage, chosen = Storage(path), _table(table)
    conditions = _parse_filter(chosen, filter)
    try:
        return _read(storage, chosen, columns, conditions)
    except (pa.ArrowException, OSError) as error:
        raise_if_system_error(error)
        _raise_if_damaged(storage, chosen)
        return _read(storage, chosen, columns, conditions)  # a file was replaced while it was read


def _read(
    storage: Storage, table: Table, columns: str | Sequence[str] | None, rows: ds.Expression | None
) -> pd.DataFrame:
    opened = _to_dataset(storage, table, _checked_files(storage, table))
    if table is EXTRACTIONS:
        opened = _with_equal_types(opened)
    names = _column_names(table, opened.schema, columns)
    if rows is not None:
        _check_filter(table, opened.schema, rows)
    read = opened.to_table(columns=names, filter=rows)
    return schema.to_pandas(read, [c for c in table.columns if c.name in names])


def _parse_filter(table: Table, given: object) -> ds.Expression | None:
    """Return a filter as an expression; one condition may stand without a list."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if given is None or isinstance(given, pc.Expression):
        return given
    is_condition = isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], str)
    conditions = [given] if is_condition else given
    parsed = _parse_value(table, conditions)
    try:
        return pq.filters_to_expression(parsed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            'filter must be a list of conditions such as ("status", "==", "COMPLETED"), or a '
            f"pyarrow expression, not {given!r:.80}."
        ) from error


def _table(name: str) -> Table:
    return DATASET_TABLES[parse_choice("table", name, tuple(DATASET_TABLES))]


def _column_names(
    table: Table, opened: pa.Schema, columns: str | Sequence[str] | None
) -> list[str]:
    existing = opened.names if table is EXTRACTIONS else table.names
    if columns is None:
        return existing
    names = parse_column_names("columns", columns)
    if missing := [name for name in names if name not in existing]:
        raise ValueError(
            f"The table {table.name!r} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, existing))}.{did_you_mean(missing[0], existing)}"
        )
    return names


def _check_filter(table: Table, opened: pa.Schema, rows: ds.Expression) -> None:
    """Raise `ValueError` if a filter names no column of the table, or a value of another type."""
    import pyarrow.dataset as ds

    try:
        ds.dataset(opened.empty_table()).to_table(filter=rows)
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).partition(" in ")[0].splitlines()[0]
        raise ValueError(
            f"filter cannot be applied to the table {table.name!r}, which has "
            f"{', '.join(f'{field.name} ({field.type})' for field in opened)}: {reason}."
        ) from error


def _parse_value(table: Table, condition: Any) -> Any:
    """Return a condition of a filter, or a list of them, with times as Arrow compares them."""
    if isinstance(condition, list):
        return [_parse_value(table, each) for each in condition]
    if not isinstance(condition, tuple) or len(condition) != 3:
        return condition
    name, operator, value = condition
    existing = table.arrow_schema
    is_time = name in existing.names and pa.types.is_timestamp(existing.field(name).type)
    if not is_time:
        return condition
    if isinstance(value, str | date | np.datetime64):
        return name, operator, pd.Timestamp(format_time(name, value) or "")
    if isinstance(value, Collection) and all(
        isinstance(each, str | date | np.datetime64) for each in value
    ):
        return name, operator, [pd.Timestamp(format_time(name, each) or "") for each in value]
    return condition


def _checked_files(storage: Storage, table: Table) -> list[str]:
    """Return the files of a table, the newest day first, if all are as the last sync recorded."""
    unrecorded: dict[str, str] = {}
    for attempt in range(MAX_READ_ATTEMPTS):
        if attempt:
            time.sleep(RETRY_DELAY * 2 ** (attempt - 1))  # a sync may be replacing them
        state, names = _read_state(storage)
        if table.name not in state.tables:
            option = OPTIONS.get(table.name, "names=True")
            raise TableNotSyncedError(
                f"{storage.name!r} has no {table.name} yet. Fetch them with "
                f"sync_dataset({storage.name!r}, {option})."
            )
        known = {*state.files, *filter(parse_name, names)}
        own = sorted((name for name in known if split_name(name)[0] == table.name), reverse=True)
        seen = observe_files(storage, own, whole=False)
        unrecorded = find_unrecorded(seen, state.files, state.next_files)
        if not unrecorded:
            return own
    name, reason = next(iter(unrecorded.items()))
    raise DatasetError(
        f"{name!r} in {storage.name!r} {reason}. Run sync_dataset, which fetches again what the "
        "API still has and deletes no other rows."
    )


def _read_state(storage: Storage) -> tuple[State, list[str]]:
    names = storage.names()
    check_folder(storage, names)
    state = State.read(storage)
    if state is None and any(map(parse_name, names)):
        raise DamagedStateError(
            f"{storage.name!r} has no {STATE_FILE!r}. Run sync_dataset, which rebuilds it and "
            "fetches again what the API still has; no row is deleted."
        )
    if state is None:
        raise FileNotFoundError(
            f"No dataset in {storage.name!r}. Create it with sync_dataset({storage.name!r})."
        )
    return state, names


def _to_dataset(storage: Storage, table: Table, names: Sequence[str]) -> ds.Dataset:
    import pyarrow.dataset as ds

    paths = [storage.path(name) for name in names]
    options: Any = {"format": dataset_format(), "filesystem": storage.arrow_filesystem}
    known = table.arrow_schema
    if table is EXTRACTIONS:
        parts = [ds.dataset([path], **options).schema for path in paths]
        known = extractions.unify(parts).remove_metadata()
    return ds.FileSystemDataset.from_paths(paths, schema=known, **options)


def _with_equal_types(extracted: ds.Dataset) -> ds.Dataset:
    """Read a dataset of extractions; a column whose types differ between days is JSON text."""
    import pyarrow.dataset as ds

    parts = [
        extractions.conform(part.to_table(schema=part.physical_schema), extracted.schema)
        for part in extracted.get_fragments()
    ]
    return ds.dataset(pa.concat_tables([extracted.schema.empty_table(), *parts]))


def _raise_if_damaged(storage: Storage, table: Table) -> None:
    """Raise a `DatasetError` that names the first unreadable file, if there is one."""
    for name in _checked_files(storage, table):
        try:
            _to_dataset(storage, table, [name]).to_table()
        except (pa.ArrowException, OSError) as error:
            raise_if_system_error(error)
            first = "Run" if storage.local is not None else "Delete the file and run"
            raise DatasetError(
                f"{name!r} in {storage.name!r} is damaged: {error}. {first} sync_dataset, which "
                "fetches again what the API still has."
            ) from error
