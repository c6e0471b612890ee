"""Folders of Parquet files that `export_parquet` partitioned.

An export lists its files, with their checksums, in the file of the common schema. At a URL that
list is written first: the export that creates it owns the folder, and a reader knows which files
must be there. On a disk the list is replaced in one step, when the new files are complete.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import fsspec
import pyarrow as pa

from llama_batches_nb.dataset.atomic import fsync_folder, open_fsynced, temporary_path
from llama_batches_nb.dataset.parquet_files import COMPRESSION
from llama_batches_nb.dataset.state import DATASET_TABLES, STATE_FILE
from llama_batches_nb.dataset.storage import make_parent, open_filesystem, write_bytes
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.messages import agree, format_count
from llama_batches_nb.system_files import ARROW_IGNORED_PREFIXES, is_system_file

SCHEMA_FILE = "_common_metadata"  # the Parquet convention for the schema that all files share
FILES_KEY = b"llama_batches_nb.files"
PARTITIONS_KEY = b"llama_batches_nb.partitions"
MAX_READ_ATTEMPTS = 3  # an export may replace the files while they are read
LEFTOVER_AGE = 3600.0  # seconds; older files that are not listed were left by killed processes
_PART_NAME = re.compile(r"([^/=]+=[^/]*/)+part-([0-9a-f]{8}-)?\d+\.parquet")


def is_replaceable(path: Path) -> bool:
    """Return whether a folder holds only exported files, or is a link, which is replaced itself.

    Files of the operating system do not count.
    """
    if path.is_symlink() or not path.is_dir():
        return path.is_dir()
    files = {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if not file.is_dir() and not is_system_file(file.name)
    }
    parts = files - {SCHEMA_FILE}
    return not files or (SCHEMA_FILE in files and all(map(_PART_NAME.fullmatch, parts)))


def write_folder(table: pa.Table, path: Path, keys: Sequence[str]) -> None:
    """Create a folder in one step, or exchange the files of an earlier export."""
    with temporary_path(path) as new:
        new.mkdir()
        files = _write_parts(table, new, keys)
        if path.is_symlink():
            path.unlink()
        elif path.is_dir() and (path / SCHEMA_FILE).exists():
            _exchange_files(new, path, files)
            return
        elif path.is_dir():
            _remove_empty_folders(path, new)
        try:
            new.rename(path)
        except OSError as error:
            if path.is_dir():
                raise FileExistsError(_raced(path)) from error
            raise
    fsync_folder(path.parent)


def _exchange_files(new: Path, path: Path, files: dict[str, str]) -> None:
    """Add new files, replace the list of files in one step, then delete the old files."""
    list_file = path / SCHEMA_FILE
    before = list_file.read_bytes()
    old = _removable_files(path, before)
    try:
        for name in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).rename(path / name)
            fsync_folder((path / name).parent)
        fsync_folder(path)
        if list_file.read_bytes() != before:
            raise FileExistsError(_raced(path))
        (new / SCHEMA_FILE).replace(list_file)
        fsync_folder(path)
    except BaseException as error:
        if (new / SCHEMA_FILE).exists():  # the list was not replaced
            _remove_files(path, files)
        if isinstance(error, FileNotFoundError):  # another process removed a folder
            raise FileExistsError(_raced(path)) from error
        raise
    _remove_files(path, old)


def _removable_files(path: Path, content: bytes) -> list[str]:
    """Return the listed files, and those that killed processes left long ago."""
    import pyarrow.parquet as pq

    with suppress(pa.ArrowException):
        listed = _listed_files(pq.read_schema(pa.BufferReader(content)))
        oldest = time.time() - LEFTOVER_AGE
        return [
            name
            for file in path.rglob("part-*.parquet")
            if (name := file.relative_to(path).as_posix()) in (listed or ())
            or listed is None
            or file.stat().st_mtime < oldest
        ]
    return []


def _remove_files(folder: Path, names: Iterable[str]) -> None:
    """Delete files of an export, and the folders that become empty."""
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
            for parent in (folder / name).relative_to(folder).parents[:-1]:
                (folder / parent).rmdir()


def _remove_empty_folders(path: Path, new: Path) -> None:
    """Remove a folder without files, and move those of the operating system to the new one."""
    with suppress(OSError):
        for file in path.rglob("*"):
            if is_system_file(file.name) and not file.is_dir():
                moved = new / file.relative_to(path)
                moved.parent.mkdir(parents=True, exist_ok=True)
                file.rename(moved)
        for folder in sorted(path.rglob("*"), reverse=True):
            folder.rmdir()
        path.rmdir()


def _write_parts(table: pa.Table, folder: Path, keys: Sequence[str]) -> dict[str, str]:
    """Write a file for each combination of keys, and their list; return the list."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    parquet = ds.ParquetFileFormat()
    n_folders = len(table.group_by(list(keys)).aggregate([]))
    ds.write_dataset(
        table,
        folder,
        format=parquet,
        file_options=parquet.make_write_options(compression=COMPRESSION),
        basename_template=f"part-{secrets.token_hex(4)}-{{i}}.parquet",
        partitioning=ds.partitioning(pa.schema([table.field(key) for key in keys]), flavor="hive"),
        max_partitions=n_folders + 1,
        use_threads=False,  # keeps the row order
    )
    files = {}
    for file in sorted(folder.rglob("*.parquet")):
        with file.open("rb+") as opened:
            files[file.relative_to(folder).as_posix()] = hashlib.file_digest(
                opened, "sha256"
            ).hexdigest()
            os.fsync(opened.fileno())
        fsync_folder(file.parent)
    metadata = {
        **table.schema.metadata,
        PARTITIONS_KEY: json.dumps(list(keys)).encode(),
        FILES_KEY: json.dumps(files).encode(),
    }
    with open_fsynced(folder / SCHEMA_FILE) as list_file:
        pq.write_metadata(table.schema.with_metadata(metadata), list_file)
    fsync_folder(folder)
    return files


def read_folder(filesystem: fsspec.AbstractFileSystem, root: str, name: str) -> pa.Table:
    """Read the files that the list names, or any Parquet files of a folder without a list."""
    import pyarrow.parquet as pq

    root = root.rstrip("/")
    parent, _, last = root.rpartition("/")
    is_table = last in DATASET_TABLES
    for folder in [root, parent] if is_table else [root]:
        if filesystem.exists(f"{folder}/{STATE_FILE}"):
            raise DatasetError(
                f"{name!r} was written by sync_dataset, which keeps several tables and replaces "
                "files. Read a table with read_dataset or open_dataset."
            )
    files: dict[str, str] | None = {}
    missing: list[str] = []
    for _ in range(MAX_READ_ATTEMPTS):
        content = _content(filesystem, f"{root}/{SCHEMA_FILE}")
        common = None if content is None else pq.read_schema(pa.BufferReader(content))
        files = None if common is None else _listed_files(common)
        if common is None or files is None:
            return _read_unlisted_files(filesystem, root, name)
        tables, missing = _read_listed_files(filesystem, root, common, files)
        if not missing:
            return pa.concat_tables(tables).replace_schema_metadata(common.metadata)
        if _content(filesystem, f"{root}/{SCHEMA_FILE}") == content:
            break
    shown = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
    raise DatasetError(
        f"{name!r} is incomplete: {len(missing)} of {format_count(len(files or ()), 'file')} "
        f"{agree(len(missing), 'is')} missing ({shown}). "
        "Its export was interrupted, or a copy lost them. Export or copy it again."
    )


def _read_listed_files(
    filesystem: fsspec.AbstractFileSystem, root: str, common: pa.Schema, files: dict[str, str]
) -> tuple[list[pa.Table], list[str]]:
    """Return the rows of each file, and the names of files that do not exist."""
    import pyarrow.dataset as ds

    keys = json.loads(common.metadata[PARTITIONS_KEY])
    partitioning = ds.partitioning(pa.schema([common.field(key) for key in keys]), flavor="hive")
    tables, missing = [common.empty_table()], []
    for name, checksum in files.items():
        content = _content(filesystem, f"{root}/{name}")
        if content is None:
            missing.append(name)
        elif hashlib.sha256(content).hexdigest() != checksum:
            raise DatasetError(f"{root}/{name} is damaged: its checksum is wrong.")
        elif not missing:
            fragment = ds.ParquetFileFormat().make_fragment(
                pa.py_buffer(content), partition_expression=partitioning.parse(name)
            )
            tables.append(fragment.to_table(schema=common))
    return tables, missing


def _read_unlisted_files(filesystem: fsspec.AbstractFileSystem, root: str, name: str) -> pa.Table:
    import pyarrow.dataset as ds

    dataset = ds.dataset(
        root,
        filesystem=filesystem,
        format="parquet",
        partitioning="hive",
        ignore_prefixes=ARROW_IGNORED_PREFIXES,
    )
    if not dataset.files:
        raise DatasetError(f"The folder {root!r} contains no Parquet files.")
    first, *others = dataset.get_fragments()
    for other in others:
        if set(other.physical_schema.names) != set(first.physical_schema.names):
            raise DatasetError(
                f"{name!r} holds files of different tables: {first.path!r} and {other.path!r} do "
                "not have the same columns. Read one file or sub-folder."
            )
    return dataset.to_table()


def _content(filesystem: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    """Return the content of a file, or None if it does not exist."""
    try:
        content: bytes = filesystem.cat_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return content


def _listed_files(common: pa.Schema) -> dict[str, str] | None:
    """Return the files of an export and their checksums, or None if there is no list."""
    listed = (common.metadata or {}).get(FILES_KEY)
    files = None if listed is None else json.loads(listed)
    if files is not None and not all(map(_PART_NAME.fullmatch, files)):
        raise DatasetError(f"The list of files in {SCHEMA_FILE!r} is damaged.")
    return files


def upload_folder(table: pa.Table, url: str, keys: Sequence[str]) -> None:
    """Upload the list of files, then the files; on an error, delete only those of this export."""
    filesystem, target = open_filesystem(url)
    if filesystem.exists(target) and not _is_empty(filesystem, target):
        raise FileExistsError(f"{url!r} already exists; choose a new folder.")
    with tempfile.TemporaryDirectory(prefix="llama_batches_nb-") as scratch:
        local = Path(scratch)
        files = _write_parts(table, local, keys)
        own, list_file = (local / SCHEMA_FILE).read_bytes(), f"{target}/{SCHEMA_FILE}"
        uploaded: list[str] = []
        try:
            _create(filesystem, list_file, own, url)
            for name in files:
                make_parent(filesystem, f"{target}/{name}")
                uploaded.append(f"{target}/{name}")
                filesystem.put_file(str(local / name), uploaded[-1])
            if _content(filesystem, list_file) != own:
                raise FileExistsError(_raced(url))
        except BaseException:
            for path in uploaded:
                with suppress(OSError):
                    filesystem.rm_file(path)
            with suppress(OSError):
                if _content(filesystem, list_file) == own:
                    filesystem.rm_file(list_file)
            raise


def _is_empty(filesystem: fsspec.AbstractFileSystem, folder: str) -> bool:
    """Return whether a path is a folder that holds no file but those of the operating system."""
    if not filesystem.isdir(folder):
        return False
    own = folder.strip("/")
    names = (str(name) for name in filesystem.ls(folder, detail=False))
    return all(is_system_file(name) or name.strip("/") == own for name in names)


def _create(filesystem: fsspec.AbstractFileSystem, path: str, content: bytes, url: str) -> None:
    """Create a file; raise `FileExistsError` if it exists, if the store supports that."""
    parameters = inspect.signature(
        getattr(filesystem, "_pipe_file", filesystem.pipe_file)
    ).parameters
    condition: dict[str, object] = {}
    if "mode" in parameters:
        condition = {"mode": "create"}
    elif "overwrite" in parameters:
        condition = {"overwrite": False}
    try:
        write_bytes(filesystem, path, content, **condition)
    except OSError as error:
        conflict = re.search("precondition|conflict|conditionNotMet", str(error), re.IGNORECASE)
        if conflict or isinstance(error, FileExistsError):
            raise FileExistsError(_raced(url)) from error
        raise


def _raced(path: Path | str) -> str:
    return f"Another process has exported to {str(path)!r} meanwhile; choose another folder."
