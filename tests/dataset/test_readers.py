"""Other programs read the files while syncs run and are killed: each row once, at any time."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from llama_batches_nb.dataset.read import read_dataset
from tests.conftest import Serve
from tests.dataset.attacks import change_project, create_dataset
from tests.dataset.sync_processes import SyncProcesses
from tests.fake_api import FakeApi

KEY = ["batch_id", "source_directory_file_id"]
REPLACED = (duckdb.Error, pl.exceptions.ComputeError, pl.exceptions.PanicException)
"""Errors of readers that look at a file twice, when it is replaced in between."""
N_READS = int(os.environ.get("DATASET_READS", "40"))  # `make reliability` reads more


def read_duckdb(folder: Path) -> list[tuple[Any, ...]]:
    files = folder / "results" / "**" / "*.parquet"
    with duckdb.connect() as connection:
        return connection.sql(f"select {', '.join(KEY)} from '{files}'").fetchall()


def read_polars(folder: Path) -> list[tuple[Any, ...]]:
    files = folder / "results" / "**" / "*.parquet"
    return pl.scan_parquet(files).select(KEY).collect().rows()


def read_pandas(folder: Path) -> list[tuple[Any, ...]]:
    frame = pd.read_parquet(folder / "results", columns=KEY)
    return list(frame.itertuples(index=False, name=None))


def read_own(folder: Path) -> list[tuple[Any, ...]]:
    return list(read_dataset(folder, columns=KEY).itertuples(index=False, name=None))


READERS: dict[str, Callable[[Path], list[tuple[Any, ...]]]] = {
    "duckdb": read_duckdb,
    "polars": read_polars,
    "pandas": read_pandas,
    "own": read_own,
}


class Writer:
    """Change a project and sync it again and again; each third sync is killed."""

    def __init__(self, api: FakeApi, processes: SyncProcesses, path: Path) -> None:
        self.complete: set[tuple[Any, ...]] = set()
        """Rows that the files had after the last sync that was not killed."""
        self.syncs = self.killed = 0
        self._api, self._processes, self._path = api, processes, path
        self._done = threading.Event()
        create_dataset(api, path)
        self.complete = set(read_own(path))

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _run(self) -> None:
        rng = random.Random(8)
        while not self._done.is_set():
            change_project(self._api)
            stop_at = 0 if self.syncs % 3 else rng.randrange(5, 70)
            _, status = self._processes.start(self._path, stop_at, "kill")
            self.syncs += 1
            self.killed += status == -signal.SIGKILL
            if status >= 0:
                self.complete = set(read_own(self._path))


@pytest.mark.slow
def test_each_reader_finds_each_row_once_while_syncs_run_and_are_killed(
    serve: Serve, tmp_path: Path
) -> None:
    api = FakeApi(page_size=20)
    server = serve(api, max_retries=0)
    with SyncProcesses(server.url) as processes:
        writer = Writer(api, processes, tmp_path / "dataset")
        errors = dict.fromkeys(READERS, 0)
        with writer.running():
            for name in READERS:
                for _ in range(N_READS // len(READERS)):
                    complete = writer.complete
                    try:
                        rows = READERS[name](tmp_path / "dataset")
                    except REPLACED:
                        errors[name] += 1
                        continue
                    assert len(rows) == len(set(rows)), name
                    assert complete <= set(rows), name
    print(f"{N_READS} reads, {writer.syncs} syncs, {writer.killed} of them killed; {errors}")
    assert writer.killed
    assert sum(errors.values()) < N_READS / 10
