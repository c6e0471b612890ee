"""What a dataset holds: its files compared with the record of the last sync, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.parquet_files import (
    DamagedFileError,
    FileVersion,
    FileWriter,
    StoredRows,
    conform,
    read_version,
)
from llama_batches_nb.dataset.state import DATASET_TABLES, State, parse_name
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import extractions
from llama_batches_nb.tables.schema import EXTRACTIONS

MISSING = "is missing"
MAX_BUFFERED_BYTES = 48 * 2**20  # of new rows in memory
BYTES_PER_COLUMN = 500  # of memory that Arrow needs for a column of a small table
MAX_ARRAYS_OF_KEYS = 1000  # a small array needs more memory than its keys
FILE_WORKERS = 8  # files that are checked at once


def batch_key(batch_id: str) -> str:
    """Return what identifies a batch, however the API writes its id."""
    return batch_id.encode(errors="replace").lower().decode()


def batch_keys(ids: pa.ChunkedArray) -> pa.Array:
    """Return `batch_key` of each id."""
    return pc.ascii_lower(ids.cast(pa.string())).combine_chunks()


def observe_files(
    storage: Storage, names: Iterable[str], *, whole: bool
) -> dict[str, FileVersion | str]:
    """Return the version of each file, or what is wrong with it."""

    def observe_file(name: str) -> FileVersion | str:
        with storage.open(name, download=False) as file:
            return observe(file, whole=whole)

    with ThreadPoolExecutor(FILE_WORKERS) as pool:
        names = sorted(names)
        return dict(zip(names, pool.map(observe_file, names), strict=True))


def observe(file: BinaryIO | None, *, whole: bool) -> FileVersion | str:
    """Return the version of an open file, or what is wrong with it."""
    if file is None:
        return MISSING
    try:
        return read_version(file, whole=whole)
    except DamagedFileError as error:
        return f"is damaged: {error}"


def find_unrecorded(seen: Mapping[str, FileVersion | str], state: State) -> dict[str, str]:
    """Return the files that are not as recorded, each with the reason."""
    unrecorded = {}
    for name, version in seen.items():
        if isinstance(version, str):
            unrecorded[name] = version
            continue
        recorded = [v for v in (state.files.get(name), state.next_files.get(name)) if v]
        same = [v for v in recorded if v[:2] == version[:2]]
        if not same:
            unrecorded[name] = "is damaged, or is not the file that the last sync wrote"
        elif version.crc32 is not None and version.crc32 not in [v.crc32 for v in same]:
            unrecorded[name] = "is damaged: its checksum is wrong"
    return unrecorded


class StoredFiles:
    """The files of a dataset as a sync finds them.

    `outdated` days have a file that is not as recorded: all their batches are fetched again, and a
    row stays until the API has answered about its batch.
    """

    def __init__(self, storage: Storage, state: State, names: Iterable[str]) -> None:
        self._storage, self._is_local = storage, storage.local is not None
        own = {name for name in names if parse_name(name)}
        self._seen = observe_files(storage, {*own, *state.files}, whole=self._is_local)
        unrecorded = find_unrecorded(self._seen, State(files=state.files))
        self.names = own
        self.outdated = {_parse(name)[1] for name in unrecorded}
        self.overtaken: set[str | None] = set()
        """Days with a file that another sync has replaced meanwhile."""
        self.project_ids: set[str] = set()
        self._keys: dict[str, pa.Array] = {}
        self.outdated_ids: dict[str, dict[str, str]] = {day: {} for day in self.outdated if day}
        """By outdated day: the ids of its batches by their keys."""
        for name in sorted(own):
            table, day = _parse(name)
            if day and (table == "batches" or (table == "results" and day in self.outdated)):
                columns = ["batch_id", *(["project_id"] if table == "batches" else [])]
                parts = list(self.rows(name, columns))
                keys = [batch_keys(part["batch_id"]) for part in parts]
                self._keys[day] = pa.concat_arrays([self._keys.get(day, _NO_KEYS), *keys]).unique()
                if day in self.outdated:
                    ids = [id_ for part in parts for id_ in part["batch_id"].to_pylist()]
                    self.outdated_ids[day] |= {batch_key(id_): id_ for id_ in ids}
                for part in parts:
                    if "project_id" in part.column_names:
                        self.project_ids |= set(part["project_id"].unique().to_pylist()) - {None}

    def locate(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return the days that have each batch."""
        wanted = pa.array(list(keys), pa.string())
        days: dict[str, list[str]] = {}
        for day, stored in self._keys.items():
            for key in stored.filter(pc.is_in(stored, value_set=wanted)).to_pylist():
                days.setdefault(key, []).append(day)
        return days

    def rows(self, name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows of a file by row group; of a damaged one, those that can be read."""
        with self.open(name) as stored:
            if stored is not None:
                have = [c for c in columns or stored.schema.names if c in stored.schema.names]
                yield from stored.groups(have)

    def replaced(self, versions: Mapping[str, FileVersion]) -> None:
        """Note that this sync has replaced files."""
        self.names |= set(versions)
        self._seen |= versions

    @contextmanager
    def open(self, name: str) -> Iterator[StoredRows | None]:
        """Open a file to read its rows, or yield None if there is none or it is unreadable."""
        table, day = _parse(name)
        with self._storage.open(name) as file:
            seen, before = observe(file, whole=self._is_local), self._seen.get(name, MISSING)
            if seen[:2] != before[:2]:
                self.overtaken.add(day)
            try:
                stored = None if file is None else StoredRows(file, salvage=True)
            except DamagedFileError as error:
                warn(f"{name!r} in {self._storage.name!r} is damaged and is rebuilt: {error}")
                stored = None
            if stored is not None and not stored.fits(DATASET_TABLES[table].arrow_schema):
                warn(f"{name!r} in {self._storage.name!r} has other column types and is rebuilt.")
                stored = None
            yield stored
            if stored is not None and stored.lost:
                warn(f"{stored.lost:,} rows of {name!r} are damaged; they are fetched again.")


class NewFile:
    """The next content of a file: new rows, then the stored rows that they do not replace."""

    def __init__(self, storage: Storage, name: str, folder: Path) -> None:
        self.name, self.nbytes, self.added = name, 0, 0
        self.replaced: list[pa.Array] = []  # keys of stored rows that are left out
        self.is_wanted = False  # also without new rows
        self.version: FileVersion | None = None
        self.table, self._storage, self._folder = DATASET_TABLES[_parse(name)[0]], storage, folder
        self._rows: list[tuple[int, pa.Table]] = []
        self._spooled: list[Path] = []
        self._writer: FileWriter | None = None

    def add(self, rows: pa.Table, keys: pa.Array, position: int = 0) -> None:
        """Append rows that replace the stored rows with some keys; `position` orders them."""
        self._rows.append((position, rows))
        self.replaced.append(keys)
        if len(self.replaced) > MAX_ARRAYS_OF_KEYS:
            self.replaced = [pa.concat_arrays(self.replaced)]
        self.nbytes += rows.nbytes + BYTES_PER_COLUMN * rows.num_columns
        self.added += len(rows)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.is_wanted or self.replaced)

    def flush(self, schema: pa.Schema | None = None) -> None:
        """Move the new rows from memory to a temporary file."""
        if not self._rows:
            return
        self._rows.sort(key=lambda item: item[0])
        parts = [rows for _, rows in self._rows]
        self._rows, self.nbytes = [], 0
        if self.table is EXTRACTIONS:  # its columns are known only at the end
            merged = extractions.concat(parts)
            spool = FileWriter(self._new_path(), merged.schema)
            self._spooled.append(spool.path)
            spool.write(merged)
            spool.close()
            return
        if self._writer is None:
            self._writer = FileWriter(self._new_path(), schema or self.table.arrow_schema)
        self._writer.write(conform(pa.concat_tables(parts), self._writer.schema))

    def finish(self, stored_files: StoredFiles) -> FileVersion:
        """Complete the temporary file with the stored rows that stay; return its version."""
        with stored_files.open(self.name) as stored:
            schema = self._schema(stored)
            self.flush(schema)
            if self._writer is None:
                self._writer = FileWriter(self._new_path(), schema)
            for path in self._spooled:
                with path.open("rb") as file:
                    for rows in StoredRows(file).groups():
                        self._writer.write(extractions.conform(rows, schema))
            for rows in stored.groups() if stored else ():
                self._writer.write(self._conform(self._without_replaced(rows)))
        self.version = self._writer.close()
        return self.version

    def rows(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows of the finished file, before or after it was published."""
        if self._writer is not None:
            with self._writer.path.open("rb") as file:
                yield from StoredRows(file).groups(columns)

    def publish(self) -> None:
        """Replace the file in one step."""
        if self._writer is not None:
            self._storage.replace(self.name, self._writer.path)

    def discard(self) -> None:
        """Delete what is left of the temporary files."""
        if self._writer is not None:
            self._writer.abort()
        for path in self._spooled:
            path.unlink(missing_ok=True)

    def _schema(self, stored: StoredRows | None) -> pa.Schema:
        schemas = [] if stored is None else [stored.schema]
        if self.table is EXTRACTIONS:
            for path in self._spooled:
                with path.open("rb") as file:
                    schemas.append(StoredRows(file).schema)
            return extractions.unify([*schemas, *(rows.schema for _, rows in self._rows)])
        known = self.table.arrow_schema
        if self._writer is not None:
            return self._writer.schema
        return pa.schema([*known, *(f for s in schemas for f in s if f.name not in known.names)])

    def _conform(self, rows: pa.Table) -> pa.Table:
        convert = extractions.conform if self.table is EXTRACTIONS else conform
        return convert(rows, self._writer.schema) if self._writer else rows

    def _without_replaced(self, rows: pa.Table) -> pa.Table:
        if not self.replaced:
            return rows
        if len(self.replaced) > 1:
            self.replaced = [pa.concat_arrays(self.replaced)]
        ids = rows[self.table.key]
        keys = batch_keys(ids) if self.table.key == "batch_id" else ids
        return rows.filter(pc.invert(pc.is_in(keys, value_set=self.replaced[0], skip_nulls=True)))

    def _new_path(self) -> Path:
        return self._storage.temporary_path(self.name, self._folder)


_NO_KEYS = pa.array([], pa.string())


def _parse(name: str) -> tuple[str, str | None]:
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"{name!r} is not a file of a dataset.")
    return parsed
