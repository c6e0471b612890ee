"""Killed and interrupted syncs: no row is lost or doubled, and the next sync completes them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

import llama_batches_nb as lb
from llama_batches_nb.dataset import writer
from llama_batches_nb.dataset.read import TableName, open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import sync_dataset
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.dataset.checks import (
    assert_dataset_complete,
    assert_dataset_equal,
    assert_no_other_files,
    assert_rows_unique,
    fetch_tables,
)
from tests.fake_api import START, TERMINAL, FakeApi
from tests.servers import Request, Server, interrupt, mapping


def test_interrupted_sync_leaves_last_commit(api: FakeApi, serve: Serve, path: str) -> None:
    for _ in range(5):
        api.add()
    interrupted = threading.Event()

    def interrupting(request: Request) -> Any:
        if request.param("expand") and not interrupted.is_set():
            interrupted.set()
            interrupt()
        return api(request)

    serve(interrupting, max_workers=1)
    with pytest.raises(KeyboardInterrupt):
        sync_dataset(path)
    assert read_dataset(path).batch_id.isin(list(api.batches)).all()
    sync_dataset(path)
    assert_dataset_complete(path)


# --- killed before any change -------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of a process."""


class KillingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A file system in memory whose writer is killed before the n-th change."""

    protocol = "killing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    NEVER = -1000
    changes_left = NEVER

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        self._count_change()
        super().pipe_file(path, value, **kwargs)

    def rm_file(self, path: str) -> None:
        self._count_change()
        super().rm_file(path)

    def _count_change(self) -> None:
        type(self).changes_left -= 1
        if self.NEVER < self.changes_left <= 0:  # once killed, no cleanup can change anything
            raise Killed

    @classmethod
    def reset(cls) -> None:
        cls.changes_left = cls.NEVER
        cls.store.clear()
        cls.pseudo_dirs[:] = [""]


@pytest.fixture
def killing_url() -> Iterator[str]:
    fsspec.register_implementation("killing", KillingFileSystem, clobber=True)
    yield "killing://dataset"
    KillingFileSystem.reset()


def release_lock(path: str) -> None:
    """Delete the lease of a killed sync, which this process, still alive, seems to hold."""
    Storage(path).remove(["_lock.json"])


def test_sync_killed_before_any_change_loses_and_doubles_nothing(
    api: FakeApi, killing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_SMALL_CHUNKS", 2)
    api.add("RUNNING")
    for _ in range(writer.MAX_SMALL_CHUNKS):
        api.add()
        sync_dataset(killing_url, jobs=True)
    before = {path: file.getvalue() for path, file in KillingFileSystem.store.items()}
    n_before = len(read_dataset(killing_url, "batches"))
    api.end("bat-000")
    api.add("RUNNING")
    api.add()
    expected = fetch_tables(jobs=True)
    for n in range(1, 100):
        KillingFileSystem.store.clear()
        for path, content in before.items():
            MemoryFileSystem.pipe_file(KillingFileSystem(), path, content)
        KillingFileSystem.changes_left = n
        try:
            sync_dataset(killing_url, jobs=True)
            break
        except Killed:
            KillingFileSystem.changes_left = KillingFileSystem.NEVER
        assert_rows_unique(killing_url)
        assert len(read_dataset(killing_url, "batches")) >= n_before
        release_lock(killing_url)
        sync_dataset(killing_url, jobs=True)
        assert_dataset_equal(killing_url, expected)
    assert n > 20


# --- killed at any time -------------------------------------------------------------------------

SYNC_IN_CHILDREN = """
import os, sys
import llama_batches_nb as lb
from llama_batches_nb.dataset import lock, read, sync, writer
import filelock, fsspec, pyarrow.dataset, pyarrow.fs, pyarrow.parquet
writer.CHUNK_ROWS = 100
for path in sys.stdin:
    child = os.fork()
    if not child:
        lb.connect("llx-sandbox", base_url=sys.argv[1])
        sync.sync_dataset(path.strip(), jobs=True, progress=False)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_process_killed_at_random_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(4)
    options = Options(batches=50, files=(1, 30), speed=0, latency=0.002)
    with (
        SandboxServer.start(options, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
        subprocess.Popen(
            [sys.executable, "-c", SYNC_IN_CHILDREN, server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent,
    ):
        assert parent.stdin is not None
        assert parent.stdout is not None
        exit_statuses = Counter[int]()
        for turn in range(12):
            path = tmp_path / f"dataset-{turn // 4}"
            parent.stdin.write(f"{path}\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            threading.Event().wait(rng.uniform(0, 0.5))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            exit_statuses[int(parent.stdout.readline())] += 1
            if (path / "_manifest.json").exists():
                assert_rows_unique(path)
            if turn % 4 == 3:
                server.advance(600)
                sync_dataset(path, jobs=True)
                assert_dataset_complete(path, jobs=True)
        assert exit_statuses[signal.SIGKILL]


def test_sync_deletes_files_of_killed_syncs_and_no_others(api: FakeApi, tmp_path: Path) -> None:
    api.add()
    sync_dataset(tmp_path)
    leftovers = [
        "results/part-0123456789ab.parquet",
        "jobs/.part-0123456789ab.parquet.01234567.tmp",
        "._manifest.json.01234567.tmp",
    ]
    others = ["results/part-1.parquet", "notes.txt"]
    for name in [*leftovers, *others]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    sync_dataset(tmp_path)
    names = set(Storage(tmp_path).names())
    assert names.isdisjoint(leftovers)
    assert names.issuperset(others)


# --- any sequence of changes, syncs and kills ---------------------------------------------------


def sorted_rows(path: str, table: TableName) -> pa.Table:
    rows = open_dataset(path, table).to_table()
    return rows.sort_by([(name, "ascending") for name in rows.column_names])


FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "FAILED"},
    {"status": ("RUNNING", "COMPLETED")},
    {"source_directory_id": "dir-1"},
    {"created_at_on_or_after": START + timedelta(hours=2)},
    {"created_at_on_or_before": START + timedelta(hours=4)},
    {"source_directory_id": "dir-0", "status": "COMPLETED"},
]
filters = st.sampled_from(FILTERS)


class SyncMachine(RuleBasedStateMachine):
    """Create, run and end batches, with syncs in between, of which some are killed."""

    def __init__(self) -> None:
        super().__init__()
        fsspec.register_implementation("killing", KillingFileSystem, clobber=True)
        self.path = "killing://dataset"
        self.limits = pytest.MonkeyPatch()  # so that few rows make many commits
        self.limits.setattr(writer, "CHUNK_ROWS", 10)
        self.limits.setattr(writer, "MIN_CHUNK_ROWS", 16)
        self.limits.setattr(writer, "MAX_SMALL_CHUNKS", 2)
        self.api = FakeApi(page_size=3)
        self.server = Server(self.api)
        self.client = lb.connect("llx-secret", base_url=self.server.url, max_retries=0)

    def sync(self, path: str, **arguments: Any) -> None:
        sync_dataset(path, client=self.client, progress=False, **arguments)

    @rule(
        new=st.lists(st.sampled_from(["RUNNING", "COMPLETED", "FAILED"]), min_size=1, max_size=4),
        changes=st.lists(st.sampled_from([None, "RUNNING", *TERMINAL]), min_size=8, max_size=8),
        job_status=st.sampled_from(TERMINAL),
    )
    def change_project(self, new: list[str], changes: list[str | None], job_status: str) -> None:
        """Change the status of some batches and jobs, and create new batches."""
        is_open = [b for b in self.api.batches.values() if b["status"] not in TERMINAL]
        for record, status in zip(is_open, changes, strict=False):
            record["status"] = status or record["status"]
            if status == "CANCELLED":  # files that were not started have no job
                files = [each["source_directory_file_id"] for each in record["results"][1:]]
                record["results"][1:] = map(mapping, files)
        running = [job for job in self.api.jobs.values() if job["status"] == "RUNNING"]
        for job in running[::2]:
            job["status"] = job_status
        for n, status in enumerate(new):
            name = self.api.add(status, hours=len(self.api.batches) / 2)
            self.api.jobs[f"pjb-{int(name[4:])}-{n % 2}"]["status"] = "RUNNING"

    @rule(jobs=st.booleans(), filters=filters)
    def sync_filtered(self, jobs: bool, filters: dict[str, Any]) -> None:
        self.sync(self.path, jobs=jobs, **filters)
        expected = lb.fetch_batches(client=self.client, progress=False, **filters)
        assert_rows_unique(self.path)
        stored = read_dataset(self.path, "batches")
        matching = stored[stored.batch_id.isin(expected.batch_id)]
        pd.testing.assert_frame_equal(
            matching.sort_values("batch_id", ignore_index=True),
            expected.sort_values("batch_id", ignore_index=True),
        )

    @rule(jobs=st.booleans(), filters=filters, changes=st.integers(1, 24))
    def sync_until_killed(self, jobs: bool, filters: dict[str, Any], changes: int) -> None:
        KillingFileSystem.changes_left = changes
        try:
            with suppress(Killed):
                self.sync(self.path, jobs=jobs, **filters)
        finally:
            KillingFileSystem.changes_left = KillingFileSystem.NEVER
        release_lock(self.path)
        if Storage(self.path).get("_manifest.json") is not None:
            assert_rows_unique(self.path)

    @rule(jobs=st.booleans())
    def sync_all(self, jobs: bool) -> None:
        """A sync without filters gives the same rows as a sync to a new dataset."""
        self.sync(self.path, jobs=jobs)
        self.sync("memory://new", jobs=jobs)
        tables: list[TableName] = ["batches", "results", "jobs"] if jobs else ["batches", "results"]
        for table in tables:
            assert sorted_rows(self.path, table).equals(sorted_rows("memory://new", table))
        assert_no_other_files(self.path)
        fsspec.filesystem("memory").rm("/new", recursive=True)

    def teardown(self) -> None:
        self.client.close()
        self.server.close()
        self.limits.undo()
        KillingFileSystem.reset()


TestSyncMachine = SyncMachine.TestCase
TestSyncMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
