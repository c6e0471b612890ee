"""Write the files that a sync changes, and replace them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.parquet_files import FileVersion, FileWriter, StoredRows
from llama_batches_nb.dataset.state import DATASET_TABLES, State, file_name, save, split_name
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import StoredFiles, batch_keys
from llama_batches_nb.tables import extractions
from llama_batches_nb.tables.schema import Table

MAX_BUFFERED_BYTES = 48 * 2**20  # of new rows in memory
BYTES_PER_COLUMN = 500  # of memory that Arrow needs for a column of a small table
MAX_ARRAYS_OF_KEYS = 1000  # a small array needs more memory than its keys


class NewFile:
    """The next content of a file: new rows, then the stored rows that they do not replace."""

    def __init__(self, storage: Storage, name: str, folder: Path) -> None:
        self.name = name
        self.version: FileVersion | None = None
        self._table, self._storage, self._folder = table_of(name), storage, folder
        self._rows: list[tuple[int, pa.Table]] = []
        self._replaced: list[pa.Array] = []
        self._writer: FileWriter | None = None

    def add(self, rows: pa.Table, keys: pa.Array, position: int = 0) -> None:
        """Append rows that replace the stored rows with some keys; `position` orders them."""
        self._rows.append((position, rows))
        self._replaced.append(keys)
        if len(self._replaced) > MAX_ARRAYS_OF_KEYS:
            self._replaced = [pa.concat_arrays(self._replaced)]

    def flush(self) -> None:
        """Move the new rows from memory to a temporary file."""
        if self._rows:
            self._rows.sort(key=itemgetter(0))
            rows = [rows for _, rows in self._rows]
            self._write(extractions.concat(rows))
            self._rows = []

    def finish(self, stored_files: StoredFiles) -> FileVersion:
        """Complete the temporary file with the stored rows that stay; return its version."""
        if self.version is not None:
            return self.version
        self.flush()
        replaced = pa.concat_arrays(self._replaced) if self._replaced else pa.array([], pa.string())
        with stored_files.open(self.name) as stored:
            self._writer_for(stored.schema if stored else self._table.arrow_schema)
            for rows in stored.groups() if stored else ():
                ids = rows[self._table.key]
                keys = batch_keys(ids) if self._table.key == "batch_id" else ids
                is_replaced = pc.is_in(keys, value_set=replaced, skip_nulls=True)
                self._write(rows.filter(pc.invert(is_replaced)))
            self.version = self._writer_for(self._table.arrow_schema).close()
        return self.version

    def rows(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows of the finished file."""
        if self._writer is not None:
            yield from self._read(self._writer.path, columns)

    def publish(self) -> None:
        """Replace the file in one step."""
        if self._writer is not None:
            self._storage.replace(self.name, self._writer.path)

    def discard(self) -> None:
        """Delete the temporary file, unless it was published."""
        if self._writer is not None:
            self._writer.abort()

    def _write(self, rows: pa.Table) -> None:
        writer = self._writer_for(rows.schema)
        writer.write(extractions.conform(rows, writer.schema))

    def _writer_for(self, schema: pa.Schema) -> FileWriter:
        """Return the writer; if it lacks columns, it begins a new file with all rows so far."""
        before = self._writer
        known = self._table.arrow_schema if before is None else before.schema
        wanted = extractions.unify([schema], known)
        if before is not None and wanted.equals(before.schema, check_metadata=True):
            return before
        path = self._storage.temporary_path(self.name, self._folder)
        self._writer = FileWriter(path, wanted)
        if before is not None:
            try:
                before.close()
                for rows in self._read(before.path):
                    self._writer.write(extractions.conform(rows, wanted))
            finally:
                before.abort()
        return self._writer

    def _read(self, path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
        with path.open("rb") as file:
            written = StoredRows(file, self._table)
            yield from written.groups(columns)
        if written.lost:
            raise OSError(f"{str(path)!r} cannot be read as it was written. Check the disk.")


class Changes:
    """The files that a sync has new rows for, until it replaces those of some days."""

    def __init__(self, storage: Storage, state: State, stored: StoredFiles, folder: Path) -> None:
        self._storage, self._state, self._stored, self._folder = storage, state, stored, folder
        self._files: dict[str, NewFile] = {}
        self._n_bytes = 0  # in memory

    def rewrite(self, table: Table, day: str | None) -> NewFile:
        """Return the next content of a file, which is written even if nothing is added."""
        name = file_name(table.name, day)
        if name not in self._files:
            self._files[name] = NewFile(self._storage, name, self._folder)
        return self._files[name]

    def add(
        self, table: Table, day: str | None, rows: pa.Table, keys: pa.Array, position: int = 0
    ) -> None:
        """Add rows to a file, as `NewFile.add`."""
        self.rewrite(table, day).add(rows, keys, position)
        self._n_bytes += rows.nbytes + BYTES_PER_COLUMN * rows.num_columns
        if self._n_bytes > MAX_BUFFERED_BYTES:
            for new in self._files.values():
                new.flush()
            self._n_bytes = 0

    def rows(self, table: Table, day: str, columns: list[str]) -> Iterable[pa.Table]:
        """Return the rows of a file as they will be, by row group; none can be added then."""
        name = file_name(table.name, day)
        if name not in self._files:
            return self._stored.rows(name, columns)
        self._files[name].finish(self._stored)
        return self._files[name].rows(columns)

    def commit(self, days: Iterable[str | None]) -> set[str | None]:
        """Replace the changed files of some days, those of the batches last.

        Return the days that are as recorded then. The others mix what two syncs have read, so they
        stay as they are, and the next sync fetches them again.
        """
        names = {day: [file_name(table, day) for table in DATASET_TABLES] for day in days}
        for day in self._stored.outdated & set(names):
            for name in self._stored.names.intersection(names[day]):
                self.rewrite(table_of(name), day)
        changed = [self._files[n] for day in names for n in names[day] if n in self._files]
        versions = {new.name: new.finish(self._stored) for new in changed}
        committed = names.keys() - self._stored.overtaken
        recorded = {name for day in committed for name in names[day]}
        self._state.next_files = {n: v for n, v in versions.items() if n in recorded}
        if self._state.next_files:
            save(self._storage, self._state)
        for new in changed:
            if new.name in recorded:
                new.publish()
        self._stored.replaced(self._state.next_files)
        self._state.files |= self._state.next_files
        for name in recorded - self._stored.names:
            self._state.files.pop(name, None)
        self._state.next_files = {}
        for new in changed:
            self._files.pop(new.name).discard()
        return committed

    def discard(self) -> None:
        """Delete the temporary files."""
        for new in self._files.values():
            new.discard()
        self._files = {}


def table_of(name: str) -> Table:
    """Return the table of a file."""
    return DATASET_TABLES[split_name(name)[0]]
