"""Export frames to Parquet and read them back with the same dtypes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrameT

from llama_batches_nb.dataset.atomic import atomic_replace, explain_full_disk, open_fsynced
from llama_batches_nb.dataset.export_folders import (
    is_replaceable,
    read_folder,
    upload_folder,
    write_folder,
)
from llama_batches_nb.dataset.parquet_files import COMPRESSION
from llama_batches_nb.dataset.storage import local_path, open_filesystem, path_text
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables import arguments, engines, schema
from llama_batches_nb.types import PathLike

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # the folder name for missing values
METADATA_KEY = b"llama_batches_nb"
_DTYPES = {pa.string(): schema.STRING_DTYPE, pa.large_string(): schema.STRING_DTYPE}


def export_parquet(
    frame: IntoFrameT, path: PathLike, *, partition_by: str | Sequence[str] | None = None
) -> IntoFrameT:
    """Write a frame to a Parquet file, or to a folder partitioned by columns.

    An existing file is replaced in one step. An existing partitioned folder keeps its files until
    the new ones are complete, and `read_parquet` sees the old or the new ones. Both stay unchanged
    if the export fails.

    Parameters
    ----------
    frame
        Any frame. Text and categories are written as text, times keep their unit (microseconds in
        the frames of this package). Files are compressed with zstd and can be read by DuckDB,
        Polars, Spark and others.
    path
        File or folder to write, or a URL that fsspec supports, such as
        ``"s3://bucket/results.parquet"``. A file for a URL is completed locally, then uploaded.
    partition_by
        Text, integer or date columns. Writes a folder with a sub-folder per value
        (``status=FAILED/…``, Hive partitioning). Row order is kept only within a sub-folder.

    Returns
    -------
    frame
        The same frame, so that calls can be chained with ``.pipe``.

    Raises
    ------
    OSError
        If the path cannot be written, because its folder does not exist or the disk is full.
    FileExistsError
        If `partition_by` is given and the path exists, but was not written by `export_parquet`; if
        it is a URL and exists; or if another process exports to the same folder at that time.
    ValueError
        If the frame has no such column, or cannot be partitioned by it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(limit=10).pipe(lb.export_parquet, "batches.parquet")
    >>> lb.read_parquet("batches.parquet").equals(batches)
    True
    """
    text = path_text(path, to_write=True)
    keys = arguments.parse_column_names("partition_by", partition_by)
    wrapped = engines.wrap_frame("frame", frame, keep_types=True)
    engines.check_columns(wrapped, *keys)
    pandas = frame if isinstance(frame, pd.DataFrame) else engines.frame_to_pandas(wrapped)
    table = _to_arrow(pandas)
    _check_partitions(table, keys)
    local = local_path(text)
    with explain_full_disk(local or tempfile.gettempdir(), "Free some space, then export again"):
        if local is None:
            if keys:
                upload_folder(table, text, keys)
            else:
                _upload_file(table, text)
            return frame
        _check_target(local, is_folder=bool(keys))
        if keys:
            write_folder(table, local, keys)
        else:
            with atomic_replace(local) as temporary:
                _write_file(table, temporary)
    return frame


def read_parquet(path: PathLike) -> pd.DataFrame:
    """Read a file or folder that `export_parquet` wrote.

    Parameters
    ----------
    path
        Parquet file or folder, or a URL that fsspec supports.

    Returns
    -------
    pandas.DataFrame
        The exported frame, with its columns in the same order and with the same dtypes, and its
        index. Only the ``freq`` of an index of times is lost, as in pandas.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    DatasetError
        If the path is not Parquet, is damaged or incomplete, holds files of different tables, or
        is a folder of `sync_dataset`, which `read_dataset` reads.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.fetch_batches().pipe(lb.export_parquet, "by-status", partition_by="status").shape[1]
    8
    >>> lb.read_parquet("by-status").status.dtype.name
    'category'
    """
    import pyarrow.parquet as pq

    name = path_text(path)
    filesystem, root = open_filesystem(name)
    if not filesystem.exists(root):
        raise FileNotFoundError(f"No file or folder {name!r}.")
    try:
        if filesystem.isdir(root):
            table = read_folder(filesystem, root, name)
        else:
            with filesystem.open(root, "rb") as file:
                table = pq.read_table(file)
        return _to_pandas(table)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # invalid content can raise any type
        if isinstance(error, OSError) and (error.errno or type(error) is not OSError):
            # an error of the file system; for invalid content Arrow raises a bare OSError
            if str(error):
                raise
            raise type(error)(f"{name!r} cannot be read: {type(error).__name__}") from error
        raise DatasetError(f"{name!r} is not Parquet or is damaged: {error}") from error


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Convert a frame to Arrow: categories become text, metadata restores them on reading."""
    categories: dict[str, list[str]] = {}
    plain = frame.copy(deep=False)
    plain.attrs = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(name, str) and isinstance(dtype, pd.CategoricalDtype):
            values = dtype.categories.tolist()
            if all(isinstance(value, str) for value in values):
                categories[name] = values
                plain[name] = frame[name].astype(schema.STRING_DTYPE)
    has_default_index = frame.index.equals(pd.RangeIndex(len(frame)))
    table = pa.Table.from_pandas(plain, preserve_index=None if has_default_index else True)
    for index, field in enumerate(table.schema):
        if pa.types.is_null(field.type):  # other readers need a type, even if all is missing
            values = table[index].cast("str")
            table = table.set_column(index, field.with_type(pa.string()), values)
    ordered = [name for name in categories if frame[name].cat.ordered]
    metadata = json.dumps({"categories": categories, "ordered": ordered}).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: metadata})


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    frame: pd.DataFrame = table.to_pandas(types_mapper=_DTYPES.get)
    _restore_index(frame, table)
    for name, values in metadata.get("categories", {}).items():
        category = schema.to_categorical(table[name], values)
        is_ordered = name in metadata.get("ordered", ())
        frame[name] = category.as_ordered() if is_ordered else category
    return frame


def _restore_index(frame: pd.DataFrame, table: pa.Table) -> None:
    """Restore periods, intervals and nullable numbers of the index, as Arrow does for columns."""
    described = table.schema.pandas_metadata or {}
    fields = [name for name in described.get("index_columns", ()) if isinstance(name, str)]
    if not fields:
        return
    as_columns = {b"pandas": json.dumps({**described, "index_columns": []}).encode()}
    columns = table.select(fields).replace_schema_metadata(as_columns)
    levels = [values for _, values in columns.to_pandas(types_mapper=_DTYPES.get).items()]
    if all(isinstance(level.dtype, np.dtype) for level in levels):
        return
    names = frame.index.names
    if len(levels) == 1:
        frame.index = pd.Index(levels[0]).rename(names[0])
    else:
        frame.index = pd.MultiIndex.from_arrays(levels, names=names)


def _check_partitions(table: pa.Table, keys: Sequence[str]) -> None:
    """Raise `ValueError` if reading the folders back would not give the same values."""
    for key in keys:
        if key.startswith((".", "_")) or not set(key).isdisjoint("/=%\0"):
            raise ValueError(
                f"partition_by={key!r} cannot be part of a folder name; rename the column."
            )
        dtype = table.schema.field(key).type
        if pa.types.is_integer(dtype) or pa.types.is_date32(dtype):
            continue
        if not (pa.types.is_string(dtype) or pa.types.is_large_string(dtype)):
            raise ValueError(
                f"partition_by={key!r} has type {dtype}. Use text, integers or dates, such as "
                f"frame[{key!r}].dt.date."
            )
        for value in table[key].unique().to_pylist():
            if value in ("", HIVE_NULL) or "\0" in (value or ""):
                raise ValueError(
                    f"partition_by={key!r} contains {value!r}, which cannot be a folder name."
                )
    if keys and len(keys) == table.num_columns:
        raise ValueError("partition_by must leave at least one column for the files.")


def _check_target(path: Path, *, is_folder: bool) -> None:
    """Raise an `OSError` if a local path cannot be replaced by a file or a folder."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"No folder {str(path.parent)!r}. Create it first.")
    if not path.exists():
        return
    if is_folder:
        if not is_replaceable(path):
            raise FileExistsError(
                f"{str(path)!r} exists and was not written by export_parquet; choose another "
                "folder."
            )
    elif path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; choose a file name.")
    elif not path.is_file():
        raise FileExistsError(f"{str(path)!r} is not a regular file; choose another path.")


def _write_file(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    with open_fsynced(path) as file:
        pq.write_table(table, file, compression=COMPRESSION)


def _upload_file(table: pa.Table, url: str) -> None:
    filesystem, target = open_filesystem(url)
    if filesystem.isdir(target):
        raise IsADirectoryError(f"{url!r} is a folder; choose a file name.")
    with tempfile.TemporaryDirectory(prefix="llama_batches_nb-") as scratch:
        local = Path(scratch, "export")
        _write_file(table, local)
        filesystem.put_file(str(local), target)
