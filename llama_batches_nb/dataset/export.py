"""Keep frames as Parquet: written whole or not at all, and read back as they were."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset.atomic import remove_path
from llama_batches_nb.dataset.storage import local_path
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables import arguments, engines, schema
from llama_batches_nb.types import PathLike

COMPRESSION = "zstd"
SCHEMA_FILE = "_common_metadata"  # where Parquet datasets keep the schema that their files share
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # names the sub-folder of missing values
METADATA_KEY = b"llama_batches_nb"
_PART = re.compile(r"([^/=]+=[^/]*/)+part-\d+\.parquet")  # in a sub-folder per value


def export_parquet(
    frame: Any, path: PathLike, *, partition_by: str | Sequence[str] | None = None
) -> Any:
    """Write a frame as one Parquet file, or as a folder of them by the values of columns.

    What was there before is replaced in one step; if anything fails, it is still there.

    Parameters
    ----------
    frame
        Any frame. Times keep their unit (microseconds in the frames of this package), text and
        categories are written as text, compressed with zstd, for DuckDB, Polars, Spark and others
        to read.
    path
        Where: a path, or a URL that fsspec knows, such as ``"s3://bucket/results.parquet"``. There
        the file is uploaded when it is complete.
    partition_by
        Text, whole-number or date columns: write a folder with a sub-folder per value
        (``status=FAILED/…``), as DuckDB, Spark and others understand. Row order is kept within a
        sub-folder only.

    Returns
    -------
    The frame, for the next step.

    Raises
    ------
    OSError
        If the place can't be written, such as a folder that does not exist.
    FileExistsError
        If a folder is to be written where something else is.
    ValueError
        If the frame has no such column, or it can't be partitioned by.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(limit=10).pipe(lb.export_parquet, "batches.parquet")
    >>> lb.read_parquet("batches.parquet").equals(batches)
    True
    """
    keys = arguments.parse_column_names("partition_by", partition_by)
    engines.check_columns(frame, *keys)
    table = _to_arrow(engines.frame_to_pandas(frame))
    _check_partitions(table, keys)
    place = local_path(path)
    if place is None:
        _upload(table, str(path), keys)
    elif keys:
        with replace_atomically(place, folder=True) as temporary:
            _write_folder(table, temporary, keys)
    else:
        with replace_atomically(place) as temporary:
            _write_file(table, temporary)
    return frame


def read_parquet(path: PathLike) -> pd.DataFrame:
    """Read what `export_parquet` wrote.

    Parameters
    ----------
    path
        A Parquet file or folder, or a URL of one that fsspec knows.

    Returns
    -------
    pandas.DataFrame
        The frame that was written: the same columns in the same order, with their dtypes.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    DatasetError
        If it is not Parquet.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.fetch_batches().pipe(lb.export_parquet, "by-status", partition_by="status").shape[1]
    8
    >>> lb.read_parquet("by-status").status.dtype.name
    'category'
    """
    import pyarrow.parquet as pq

    if not os.fspath(path):
        raise ValueError("The path is empty: name a Parquet file or folder.")
    filesystem, root = fsspec.url_to_fs(os.fspath(path))
    if not filesystem.exists(root):
        raise FileNotFoundError(f"There is no file or folder {os.fspath(path)!r}.")
    try:
        if filesystem.isdir(root):
            table = _read_folder(filesystem, root)
        else:
            with filesystem.open(root, "rb") as file:
                table = pq.read_table(file)
        return _to_pandas(table)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # what strangers wrote makes readers stumble over anything
        if isinstance(error, OSError) and (error.errno or type(error) is not OSError):
            raise  # it is of the place; what Arrow says of the contents is a bare OSError
        raise DatasetError(f"{os.fspath(path)!r} is not Parquet, or damaged: {error}") from error


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Return the frame as Arrow, categories as text, with what is needed to get it back."""
    categories: dict[str, list[str]] = {}
    plain = frame.copy(deep=False)
    plain.attrs = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(name, str) and isinstance(dtype, pd.CategoricalDtype):
            words = dtype.categories.tolist()
            if all(isinstance(word, str) for word in words):
                categories[name] = words
                plain[name] = frame[name].astype(schema.STRING_DTYPE)
    numbered = frame.index.equals(pd.RangeIndex(len(frame)))
    table = pa.Table.from_pandas(plain, preserve_index=None if numbered else True)
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):  # nothing but missing values: readable only with a type
            table = table.set_column(place, field.with_type(pa.string()), table[place].cast("str"))
    ordered = [name for name in categories if frame[name].cat.ordered]
    ours = json.dumps({"categories": categories, "ordered": ordered}).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: ours})


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    ours = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    texts = {pa.string(): schema.STRING_DTYPE, pa.large_string(): schema.STRING_DTYPE}
    frame: pd.DataFrame = table.to_pandas(types_mapper=texts.get)
    for name, words in ours.get("categories", {}).items():
        category = schema.to_categorical(table[name], words)
        ordered = name in ours.get("ordered", ())
        frame[name] = category.as_ordered() if ordered else category
    return frame


def _check_partitions(table: pa.Table, keys: Sequence[str]) -> None:
    for key in keys:
        if key.startswith((".", "_")) or not set(key).isdisjoint("/=%\0"):
            raise ValueError(f"partition_by={key!r} can't name a folder: rename the column.")
        kind = table.schema.field(key).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            if pa.types.is_integer(kind) or pa.types.is_date32(kind):
                continue
            raise ValueError(
                f"partition_by={key!r} holds {kind}, whose values make no good folder names: "
                f"use text, whole numbers or dates, such as frame[{key!r}].dt.date."
            )
        for word in table[key].unique().to_pylist():
            if word in ("", HIVE_NULL) or "\0" in (word or ""):
                raise ValueError(f"partition_by={key!r} holds {word!r}, which can't name a folder.")
    if keys and len(keys) == table.num_columns:
        raise ValueError("partition_by must leave at least one column for the files.")


def _write_file(table: pa.Table, place: Path) -> None:
    import pyarrow.parquet as pq

    with place.open("wb") as file:
        pq.write_table(table, file, compression=COMPRESSION)
        file.flush()
        os.fsync(file.fileno())


def _write_folder(table: pa.Table, place: Path, keys: Sequence[str]) -> None:
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    place.mkdir()
    parquet = ds.ParquetFileFormat()
    n_folders = len(table.group_by(list(keys)).aggregate([]))
    ds.write_dataset(
        table,
        place,
        format=parquet,
        file_options=parquet.make_write_options(compression=COMPRESSION),
        partitioning=ds.partitioning(pa.schema([table.field(key) for key in keys]), flavor="hive"),
        max_partitions=n_folders + 1,
        use_threads=False,  # keeps the order of rows
    )
    partitions = json.dumps(list(keys)).encode()
    metadata = {**table.schema.metadata, METADATA_KEY + b".partitions": partitions}
    pq.write_metadata(table.schema.with_metadata(metadata), place / SCHEMA_FILE)


def _read_folder(filesystem: Any, root: str) -> pa.Table:
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    if not filesystem.exists(f"{root}/{SCHEMA_FILE}"):
        found = ds.dataset(root, filesystem=filesystem, format="parquet", partitioning="hive")
        if not found.files:
            raise DatasetError(f"The folder {root!r} holds no Parquet files.")
        return found.to_table()
    with filesystem.open(f"{root}/{SCHEMA_FILE}", "rb") as file:
        whole = pq.read_schema(file)
    keys = json.loads((whole.metadata or {}).get(METADATA_KEY + b".partitions", b"[]"))
    partitioning = ds.partitioning(pa.schema([whole.field(key) for key in keys]), flavor="hive")
    dataset = ds.dataset(
        root, schema=whole, filesystem=filesystem, format="parquet", partitioning=partitioning
    )
    return dataset.to_table().replace_schema_metadata(whole.metadata)


@contextmanager
def replace_atomically(place: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a temporary name next to `place`, which it replaces if all goes well."""
    if not place.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(place.parent)!r} to write to: create it.")
    if not folder and place.is_dir():
        raise IsADirectoryError(f"{str(place)!r} is a folder: name a file in it.")
    if not folder and place.exists() and not place.is_file():
        raise FileExistsError(f"{str(place)!r} is no ordinary file: name another place.")
    if folder and place.exists() and not _is_replaceable(place):
        raise FileExistsError(f"{str(place)!r} holds something else: name a new folder.")
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if folder and place.exists():
            old = temporary.with_suffix(".old")
            place.rename(old)
            try:
                temporary.rename(place)
            except BaseException:
                old.rename(place)
                raise
            old.unlink() if old.is_symlink() else shutil.rmtree(old)
        else:
            temporary.replace(place)
    except BaseException:
        remove_path(temporary)
        raise


def _is_replaceable(place: Path) -> bool:
    """Whether a folder holds only what `_write_folder` writes, or is a link, which alone goes."""
    if place.is_symlink() or not place.is_dir():
        return place.is_dir()
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}
    return not files or (SCHEMA_FILE in files and all(map(_PART.fullmatch, files - {SCHEMA_FILE})))


def _upload(table: pa.Table, url: str, keys: Sequence[str]) -> None:
    """Write to a temporary place, then upload; a folder is complete with its schema, the last."""
    filesystem, target = fsspec.url_to_fs(url)
    with tempfile.TemporaryDirectory(prefix="llama_batches_nb-") as scratch:
        whole = Path(scratch, "whole")
        if not keys:
            _write_file(table, whole)
            filesystem.put_file(str(whole), target)
            return
        if filesystem.exists(target):
            raise FileExistsError(f"{url!r} exists already: name a new folder.")
        _write_folder(table, whole, keys)
        try:
            files = sorted(f for f in whole.rglob("*") if f.is_file() and f.name != SCHEMA_FILE)
            for file in [*files, whole / SCHEMA_FILE]:
                goal = f"{target}/{file.relative_to(whole).as_posix()}"
                filesystem.makedirs(goal.rsplit("/", 1)[0], exist_ok=True)
                filesystem.put_file(str(file), goal)
        except BaseException:
            if filesystem.exists(target):
                filesystem.rm(target, recursive=True)
            raise
