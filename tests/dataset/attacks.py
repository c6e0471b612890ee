"""Syncs that are stopped at operations on files, and what is then missing or doubled."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from llama_batches_nb.dataset.read import TableName
from tests.dataset.checks import assert_no_other_files, fetch_tables, read_files, sync_dataset
from tests.dataset.sync_processes import COMPLETED, FAILED, Action, SyncProcesses
from tests.fake_api import FakeApi

TABLES: dict[TableName, list[str]] = {
    "batches": ["batch_id"],
    "results": ["batch_id", "source_directory_file_id"],
    "jobs": ["job_id"],
}
Keys = dict[TableName, set[tuple[str, ...]]]
KILLED, SUSPENDED = -9, -1


class Damage(NamedTuple):
    """What is wrong with a dataset, as plain files, right after an attack and a sync later."""

    missing: int
    """Rows that were stored before and are not in the files until the next sync."""
    lost: int
    """Rows of the server that are not in the files after the next sync."""
    doubled: int
    unexpected: int
    """Rows that differ from those of the server, and processes that ended with another error."""


def create_dataset(api: FakeApi, path: Path) -> None:
    """Sync batches of two days, of which most run; later ones are of the second and a third."""
    for hours in (0, 1, 23, 23.5, 47):
        api.add("RUNNING", hours=hours)
    api.add(hours=47.1)
    sync_dataset(path, jobs=True)


def change_project(api: FakeApi) -> None:
    """End a batch and add one on each of two days."""
    n = len(api.batches)
    running = [id_ for id_, record in api.batches.items() if record["status"] == "RUNNING"]
    if running:
        api.end(running[0])
    api.add("RUNNING", hours=47.2 + n / 50)
    api.add(hours=47.8 + n / 50)


class Attacks:
    """Attack a dataset on a local disk again and again, each time as it was at first."""

    def __init__(self, api: FakeApi, processes: SyncProcesses, folder: Path) -> None:
        self.path, self._before = folder / "dataset", folder / "before"
        self._api, self._processes = api, processes
        create_dataset(api, self._before)
        self._world = _copy(api)

    def stop_one(self, action: Action, operations: Iterable[int]) -> Iterator[Damage]:
        """Kill a sync at each of these operations, or let the operation fail."""
        for n in operations:
            self._restore()
            stored = _keys(self.path)
            change_project(self._api)
            _, status = self._processes.start(self.path, n, action)
            if status not in (KILLED, COMPLETED, FAILED):
                if status > FAILED:
                    return
                raise AssertionError(f"operation {n}: {status}")
            yield self._damage(stored, [])

    def suspend(
        self, points: Iterable[tuple[int, ...]], hours: tuple[float, ...] = (0,)
    ) -> Iterator[Damage]:
        """Suspend syncs at operations; another sync runs; they continue in random order.

        The clocks of the syncs differ by `hours`.
        """
        rng = random.Random(5)
        for operations in points:
            self._restore()
            stored = _keys(self.path)
            suspended = []
            for place, n in enumerate(operations):
                change_project(self._api)
                process, status = self._processes.start(
                    self.path, n, "suspend", hours[place % len(hours)]
                )
                suspended += [process] if status == SUSPENDED else []
            if not suspended:
                return
            change_project(self._api)
            sync_dataset(self.path, jobs=True)
            stored = {table: stored[table] | keys for table, keys in _keys(self.path).items()}
            rng.shuffle(suspended)
            yield self._damage(stored, [self._processes.resume(process) for process in suspended])

    def _restore(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self._before, self.path)
        self._api.batches = {key: dict(record) for key, record in self._world.items()}

    def _damage(self, stored: Keys, statuses: list[int]) -> Damage:
        """Compare the files with what they had, and after a sync with the server's truth."""
        now = damage_of_keys(self.path, stored)
        change_project(self._api)
        sync_dataset(self.path, jobs=True)
        later = compare(self.path, fetch_tables(jobs=True))
        for left in self.path.rglob(".*.tmp"):  # the syncs of the next day delete them
            left.unlink()
        assert_no_other_files(self.path)
        failed = sum(status % 10 not in (COMPLETED, FAILED) for status in statuses)
        return Damage(
            now.missing,
            later.lost,
            now.doubled + later.doubled,
            later.unexpected + failed,
        )


def damage_of_keys(path: Path, stored: Keys) -> Damage:
    """Return the rows that the files had and have no more, and those that are doubled."""
    missing = doubled = 0
    for table, keys in stored.items():
        rows = _rows(read_files(path, table), TABLES[table])
        missing += len(keys - set(rows))
        doubled += len(rows) - len(set(rows))
    return Damage(missing, 0, doubled, 0)


def compare(path: Path, expected: dict[TableName, pd.DataFrame]) -> Damage:
    """Compare the files of a dataset with what the server has, value by value."""
    lost = doubled = unexpected = 0
    for table, frame in expected.items():
        columns = [str(name) for name in frame]
        stored = read_files(path, table)
        rows, right = _rows(stored, columns), set(_rows(frame, columns))
        lost += len(right - set(rows))
        unexpected += len(set(rows) - right)
        doubled += int(stored.duplicated(TABLES[table]).sum())
    return Damage(0, lost, doubled, unexpected)


def _keys(path: Path) -> Keys:
    return {table: set(_rows(read_files(path, table), by)) for table, by in TABLES.items()}


def _rows(frame: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    text = frame[columns].astype(object)
    return [
        tuple("" if pd.isna(value) else str(value) for value in row)
        for row in text.itertuples(index=False)
    ]


def _copy(api: FakeApi) -> dict[str, dict[str, object]]:
    return {key: dict(record) for key, record in api.batches.items()}
