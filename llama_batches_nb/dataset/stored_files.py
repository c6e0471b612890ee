"""What a dataset holds: its files compared with the record of the last sync, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.parquet_files import (
    DamagedFileError,
    FileVersion,
    StoredRows,
    read_version,
)
from llama_batches_nb.dataset.state import DATASET_TABLES, State, parse_name, split_name
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.messages import warn
from llama_batches_nb.tables.schema import BATCHES, RESULTS

MISSING = "is missing"
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


def find_unrecorded(
    seen: Mapping[str, FileVersion | str], *records: Mapping[str, FileVersion]
) -> dict[str, str]:
    """Return the files that are not as in any of the records, each with the reason."""
    unrecorded = {}
    for name, version in seen.items():
        if isinstance(version, str):
            unrecorded[name] = version
            continue
        recorded = [record[name] for record in records if name in record]
        same = [each for each in recorded if each[:2] == version[:2]]
        if not same:
            unrecorded[name] = "is damaged, or is not the file that the last sync wrote"
        elif version.crc32 is not None and version.crc32 not in [each.crc32 for each in same]:
            unrecorded[name] = "is damaged: its checksum is wrong"
    return unrecorded


class StoredFiles:
    """The files of a dataset as a sync finds them.

    `outdated` days have a file that is not as recorded: all their batches are fetched again, and a
    row stays until the API has answered about its batch. The day of the files of names is None.
    """

    def __init__(self, storage: Storage, state: State, names: Iterable[str]) -> None:
        self._storage = storage
        self.names = {name for name in names if parse_name(name)}
        is_local = storage.local is not None
        self._seen = observe_files(storage, {*self.names, *state.files}, whole=is_local)
        unrecorded = find_unrecorded(self._seen, state.files)
        self.outdated = {split_name(name)[1] for name in unrecorded}
        self.overtaken: set[str | None] = set()
        """Days with a file that another sync has replaced meanwhile."""
        self.project_ids: set[str] = set()
        self.outdated_ids: dict[str, dict[str, str]] = {day: {} for day in self.outdated if day}
        """By outdated day: the ids of its batches by their keys."""
        self._keys: dict[str, pa.Array] = {}
        for name in sorted(self.names):
            table, day = split_name(name)
            if day and (table == BATCHES.name or (table == RESULTS.name and day in self.outdated)):
                self._add_batches(name, day)

    def _add_batches(self, name: str, day: str) -> None:
        """Remember the batches and the projects that a file has rows of."""
        keys = [self._keys.get(day, pa.array([], pa.string()))]
        for rows in self.rows(name, ["batch_id", "project_id"]):
            keys.append(batch_keys(rows["batch_id"]))
            if day in self.outdated:
                ids = rows["batch_id"].unique().to_pylist()
                self.outdated_ids[day] |= {batch_key(batch_id): batch_id for batch_id in ids}
            if "project_id" in rows.column_names:
                self.project_ids |= set(rows["project_id"].drop_null().unique().to_pylist())
        self._keys[day] = pa.concat_arrays(keys).unique()

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
        table, day = split_name(name)
        where, stored = f"{name!r} in {self._storage.name!r}", None
        with self._storage.open(name) as file:
            if observe(file, whole=False)[:2] != self._seen.get(name, MISSING)[:2]:
                self.overtaken.add(day)
            if file is not None:
                try:
                    stored = StoredRows(file, DATASET_TABLES[table])
                except DamagedFileError as error:
                    warn(f"{where} is damaged and is rebuilt: {error}")
            yield stored
            if stored is not None and stored.lost:
                warn(f"{stored.lost:,} rows of {name!r} are damaged; they are fetched again.")
