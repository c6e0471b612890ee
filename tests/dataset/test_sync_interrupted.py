"""Killed and interrupted syncs: no row is lost or doubled, and the next sync completes them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

import llama_batches_nb as lb
from llama_batches_nb.dataset import plan, stored_files
from llama_batches_nb.dataset.read import TableName, open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.dataset.checks import (
    EVERY_CALL,
    assert_dataset_complete,
    assert_dataset_equal,
    assert_no_other_files,
    assert_rows_unique,
    fetch_tables,
    full_disk,
    read_files,
    sync_dataset,
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


# --- killed or failed at any call of the store --------------------------------------------------


class Killed(BaseException):
    """Stands for the end of a process."""


STORE_CALLS = ("names", "get", "put", "open", "replace")


@contextmanager
def fail_at(
    n: int, error: type[BaseException], counted: Sequence[str] = STORE_CALLS
) -> Iterator[list[int]]:
    """Let the n-th of the counted calls of the store fail, and all later calls if killed."""
    calls = [0]

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            is_counted = call.__name__ in counted
            calls[0] += is_counted
            if (calls[0] == n and is_counted) or (calls[0] >= n and error is Killed):
                raise error
            return call(*arguments, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_files, "FILE_WORKERS", 1)
        for name in STORE_CALLS:
            patch.setattr(Storage, name, wrap(getattr(Storage, name)))
        yield calls


def copy_of(path: str) -> dict[str, bytes]:
    storage = Storage(path)
    return {name: storage.get(name) or b"" for name in storage.names()}


def restore(path: str, files: dict[str, bytes]) -> None:
    storage = Storage(path)
    for name in storage.names():
        storage.filesystem.rm_file(storage.path(name))
    for name, content in files.items():
        storage.put(name, content)


@pytest.mark.parametrize(("error", "first"), [(Killed, 1), (OSError, 2)])
def test_sync_stopped_at_any_call_of_the_store_loses_and_doubles_nothing(
    api: FakeApi, sampled_store: str, error: type[BaseException], first: int
) -> None:
    stopped = stop_at(api, sampled_store, error, range(first, 200, EVERY_CALL or 12))
    print(f"{len(stopped)} syncs were stopped")
    assert stopped[-1] > 20


def test_sync_killed_between_two_files_of_a_day_loses_and_doubles_nothing(
    api: FakeApi, store: str
) -> None:
    assert stop_at(api, store, Killed, range(2, 4), ["replace"]) == [2, 3]


def stop_at(
    api: FakeApi,
    store: str,
    error: type[BaseException],
    calls_to_try: range,
    counted: Sequence[str] = STORE_CALLS,
) -> list[int]:
    """Stop syncs at counted calls of the store; return the calls at which one was stopped."""
    for hours in (0, 1, 30):
        api.add("RUNNING", hours=hours)
    sync_dataset(store, outputs="markdown")
    before = copy_of(store)
    api.end("bat-000")
    api.add(hours=31)
    api.add(hours=60)
    expected = fetch_tables(jobs=True, pages=True)
    stopped = []
    for n in calls_to_try:
        restore(store, before)
        with fail_at(n, error, counted) as calls, suppress(error):
            sync_dataset(store, outputs="markdown")
        if calls[0] < n:
            break
        stopped.append(n)
        assert_rows_unique(store)
        assert len(read_files(store, "batches")) >= 3
        read_dataset(store)  # the old and the new files are recorded
        sync_dataset(store, outputs="markdown")
        assert_dataset_equal(store, expected)
    return stopped


def test_older_copy_of_any_file_is_noticed_and_replaced(api: FakeApi, sampled_store: str) -> None:
    store = sampled_store
    copies = []
    for n in range(3):
        api.add("RUNNING", hours=8 * n)
        api.add(hours=8 * n + 1)
        if n:
            api.end(f"bat-{2 * n - 2:03}")
        sync_dataset(store, jobs=True)
        copies.append(copy_of(store))
    expected = fetch_tables(jobs=True)
    newest = copies[-1]
    put_back = [item for older in copies[:-1] for item in older.items()]
    changed = [(name, content) for name, content in put_back if content != newest[name]]
    for name, content in changed[:: EVERY_CALL or 4]:
        restore(store, newest | {name: content})
        with pytest.raises(DatasetError, match="Run sync_dataset"):
            read_tables(store)
        sync_dataset(store, jobs=True)
        assert_dataset_equal(store, expected)


def read_tables(path: str) -> list[pd.DataFrame]:
    return [read_dataset(path, table) for table in ("batches", "results", "jobs")]


def read_or_error(path: Path, table: TableName) -> pd.DataFrame | DatasetError:
    try:
        return read_dataset(path, table)
    except DatasetError as error:
        return error


def test_no_flipped_bit_is_silent(api: FakeApi, tmp_path: Path) -> None:
    for n in range(40):
        api.add("RUNNING" if n % 7 == 0 else "COMPLETED")
    sync_dataset(tmp_path, jobs=True)
    rng, n_flips, n_noticed = random.Random(7), 250 if EVERY_CALL else 60, 0
    tables: list[TableName] = ["batches", "results", "jobs"]
    expected = {table: read_dataset(tmp_path, table) for table in tables}
    files = [name for name in Storage(tmp_path).names() if name.endswith(".parquet")]
    for _ in range(n_flips):
        name = rng.choice(files)
        original = (tmp_path / name).read_bytes()
        content = bytearray(original)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (tmp_path / name).write_bytes(content)
        table = tables[["batches", "results", "jobs"].index(name.split("/")[0])]
        frame = read_or_error(tmp_path, table)
        if isinstance(frame, DatasetError):
            assert name in str(frame)
            n_noticed += 1
        else:
            pd.testing.assert_frame_equal(frame, expected[table])
        (tmp_path / name).write_bytes(original)
    print(f"{n_noticed} of {n_flips} flipped bits were noticed, and the others changed no value")
    assert n_noticed > n_flips * 0.6  # how many change no value depends on Arrow


def test_full_disk_keeps_stored_rows_and_next_sync_completes(api: FakeApi, path: str) -> None:
    for hours in (0, 1, 30):
        api.add("RUNNING", hours=hours)
    sync_dataset(path, outputs="markdown")
    before = copy_of(path)
    api.end("bat-000")
    api.add(hours=31)
    expected = fetch_tables(jobs=True, pages=True)
    sync_dataset(path, outputs="markdown")
    assert_dataset_equal(path, expected)
    sizes = sorted({len(content) for name, content in copy_of(path).items() if "=" in name})
    for free in (0, *(size - 1 for size in sizes[::3])):
        restore(path, before)
        with pytest.raises(OSError, match="sync again") as error, full_disk(free):
            sync_dataset(path, outputs="markdown")
        assert path in str(error.value)
        assert not [name for name in Storage(path).names() if name.endswith(".tmp")]
        assert_rows_unique(path)
        assert len(read_dataset(path, "batches")) >= 3
        sync_dataset(path, outputs="markdown")
        assert_dataset_equal(path, expected)


# --- killed at any time -------------------------------------------------------------------------

SYNC_IN_CHILDREN = """
import os, sys
import llama_batches_nb as lb
from llama_batches_nb.dataset import read, sync
import fsspec, pyarrow.dataset, pyarrow.fs, pyarrow.parquet
for path in sys.stdin:
    child = os.fork()
    if not child:
        lb.connect("llx-sandbox", base_url=sys.argv[1])
        sync.sync_dataset(path.strip(), outputs="markdown", names=False, progress=False)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_process_killed_at_random_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(4)
    options = Options(batches=20, files=(1, 12), speed=0, latency=0.002)
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
        for turn in range(60 if EVERY_CALL else 4):
            path = tmp_path / f"dataset-{turn // 4}"
            parent.stdin.write(f"{path}\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            threading.Event().wait(rng.uniform(0, 1.0))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            exit_statuses[int(parent.stdout.readline())] += 1
            if (path / "_sync.json").exists():
                assert_rows_unique(path)
            if turn % 4 == 3:
                server.advance(600)
                sync_dataset(path, outputs="markdown")
                for left in path.rglob(".*.tmp"):  # the syncs of the next day delete them
                    left.unlink()
                assert_dataset_complete(path, jobs=True, pages=True)
        assert exit_statuses[signal.SIGKILL]


def test_sync_deletes_old_files_of_killed_syncs_and_no_others(api: FakeApi, tmp_path: Path) -> None:
    api.add()
    sync_dataset(tmp_path)
    folder = "results/created=2025-08-01"
    old = [f"{folder}/.data.parquet.01234567.tmp", "._sync.json.01234567.tmp"]
    others = [f"{folder}/.data.parquet.12345678.tmp", f"{folder}/other.parquet", "notes.txt"]
    for name in [*old, *others]:
        (tmp_path / name).write_text("x")
    for name in [*old, others[1]]:
        os.utime(tmp_path / name, (0, 0))
    sync_dataset(tmp_path)
    names = set(Storage(tmp_path).names())
    assert names.isdisjoint(old)
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
        self.path = "memory://tests/machine"
        self.limits = pytest.MonkeyPatch()  # so that few rows make many groups
        self.limits.setattr(plan, "MAX_GROUP_BATCHES", 3)
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
            name = self.api.add(status, hours=len(self.api.batches) * 5)
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

    @rule(jobs=st.booleans(), filters=filters, calls=st.integers(1, 60))
    def sync_until_killed(self, jobs: bool, filters: dict[str, Any], calls: int) -> None:
        with suppress(Killed), fail_at(calls, Killed):
            self.sync(self.path, jobs=jobs, **filters)
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
        filesystem = fsspec.filesystem("memory")
        if filesystem.exists("/tests"):
            filesystem.rm("/tests", recursive=True)


TestSyncMachine = SyncMachine.TestCase
TestSyncMachine.settings = settings(
    max_examples=100 if EVERY_CALL else 4, stateful_step_count=20, deadline=None
)
