"""Several syncs at once: at worst work is done twice, and the next sync has every row once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llama_batches_nb.dataset import stored_files
from llama_batches_nb.dataset.read import read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from tests.conftest import Serve
from tests.dataset.checks import (
    EVERY_CALL,
    assert_dataset_complete,
    assert_dataset_equal,
    assert_rows_unique,
    fetch_tables,
    sync_dataset,
)
from tests.dataset.test_sync_interrupted import STORE_CALLS, copy_of, restore
from tests.fake_api import FakeApi
from tests.servers import Request


class SteppedSync:
    """A sync in a thread that waits before each call of the store until it is let go."""

    _of_thread = threading.local()

    def __init__(self, path: str) -> None:
        self.error: BaseException | None = None
        self.is_done = False
        self._may_go = threading.Semaphore(0)
        self._waits: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=[path])
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Let one call of the store happen."""
        if not self.is_done:
            self._may_go.release()
            self._wait()

    def finish(self) -> None:
        while not self.is_done:
            self.step()
        self._thread.join()

    def before_call(self) -> None:
        self._waits.put(False)
        self._may_go.acquire()

    def _wait(self) -> None:
        self.is_done = self._waits.get(timeout=60)

    def _run(self, path: str) -> None:
        SteppedSync._of_thread.sync = self
        try:
            sync_dataset(path, jobs=True, progress=False)
        except BaseException as error:
            self.error = error
        self._waits.put(True)

    @classmethod
    def current(cls) -> SteppedSync | None:
        return getattr(cls._of_thread, "sync", None)


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each sync of a `SteppedSync` wait before its calls of the store."""
    create = Storage.__init__

    def init(self: Any, path: Any) -> None:
        create(self, path)
        self.sync = SteppedSync.current()

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
            if self.sync is not None:
                self.sync.before_call()
            return call(self, *arguments, **options)

        return wrapped

    monkeypatch.setattr(stored_files, "FILE_WORKERS", 1)
    monkeypatch.setattr(Storage, "__init__", init)
    for name in STORE_CALLS:
        monkeypatch.setattr(Storage, name, wrap(getattr(Storage, name)))


def change_project(api: FakeApi) -> None:
    """End a batch and add one on each of two days."""
    n = len(api.batches)
    api.end(next(id_ for id_, b in api.batches.items() if b["status"] == "RUNNING"))
    api.add("RUNNING", hours=23.6 + n / 50)
    api.add(hours=24.1 + n / 50)


def interleave(api: FakeApi, path: str, first_steps: int, second_steps: int) -> bool:
    """Run two syncs: the first stops for the second, that stops for the rest of the first."""
    change_project(api)
    first = SteppedSync(path)
    for _ in range(first_steps):
        first.step()
    was_done = first.is_done
    change_project(api)
    second = SteppedSync(path)
    for _ in range(second_steps):
        second.step()
    was_done |= second.is_done
    first.finish()
    second.finish()
    assert first.error is None
    assert second.error is None
    return was_done


@pytest.mark.usefixtures("stepped")
def test_interleaved_syncs_lose_and_double_nothing(api: FakeApi, sampled_store: str) -> None:
    store = sampled_store
    for hours in (0, 1, 23.5):
        api.add("RUNNING", hours=hours)
    sync_dataset(store, jobs=True)
    before, world = copy_of(store), {k: dict(b) for k, b in api.batches.items()}
    step = EVERY_CALL if store.startswith("memory:") else 3 * EVERY_CALL  # emulators are slow
    limits = range(1, 80, step or 24)
    n_tried = 0
    for first_steps in limits:
        for second_steps in limits:
            restore(store, before)
            api.batches = {k: dict(b) for k, b in world.items()}
            was_done = interleave(api, store, first_steps, second_steps)
            assert_rows_unique(store)
            sync_dataset(store, jobs=True)
            assert_dataset_equal(store, fetch_tables(jobs=True))
            n_tried += 1
            if was_done:
                break
    print(f"{n_tried} pairs of calls")
    assert n_tried >= len(limits)


def test_sync_whose_files_another_sync_replaces_is_incomplete(
    api: FakeApi, serve: Serve, path: str
) -> None:
    other = threading.Lock()

    def with_other_sync(request: Request) -> Any:
        if request.param("expand") and other.acquire(blocking=False):
            sync_dataset(path)
        return api(request)

    serve(api)
    api.add("RUNNING")
    sync_dataset(path)
    serve(with_other_sync)
    api.end("bat-000")
    assert not sync_dataset(path).complete
    assert sync_dataset(path).complete
    assert_dataset_complete(path)


def test_three_syncs_and_a_reader_at_once(api: FakeApi, tmp_path: Path) -> None:
    for _ in range(10):
        api.add()
    errors: list[BaseException] = []
    done = threading.Event()

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    def write() -> None:
        for _ in range(2):
            api.add()
            sync_dataset(tmp_path, jobs=True, progress=False)

    def read() -> None:
        while not done.is_set():
            try:
                batches = read_dataset(tmp_path, "batches")
            except (FileNotFoundError, DatasetError):
                continue
            assert batches.batch_id.is_unique

    writers = [threading.Thread(target=run, args=[write]) for _ in range(3)]
    reader = threading.Thread(target=run, args=[read])
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not errors
    sync_dataset(tmp_path, jobs=True)
    assert_dataset_complete(tmp_path, jobs=True)


def test_reader_sees_no_error_while_one_sync_runs(api: FakeApi, tmp_path: Path) -> None:
    api.add("RUNNING")
    sync_dataset(tmp_path, jobs=True)
    errors: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert read_dataset(tmp_path, "results").batch_id.notna().all()
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for _ in range(5):
        api.add()
        sync_dataset(tmp_path, jobs=True)
    done.set()
    for thread in readers:
        thread.join()
    assert not errors
