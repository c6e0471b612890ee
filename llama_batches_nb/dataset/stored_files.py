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
        self.outdated = {split_name(name)[1] for name in unrecorded}
        self.overtaken: set[str | None] = set()
        """Days with a file that another sync has replaced meanwhile."""
        self.project_ids: set[str] = set()
        self._keys: dict[str, pa.Array] = {}
        self.outdated_ids: dict[str, dict[str, str]] = {day: {} for day in self.outdated if day}
        """By outdated day: the ids of its batches by their keys."""
        for name in sorted(own):
            table, day = split_name(name)
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
        table, day = split_name(name)
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


_NO_KEYS = pa.array([], pa.string())
