"""Only one writer holds the lock of a dataset, and it is released when the writer ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import msgspec
import pytest

from llama_batches_nb.dataset.lock import LEASE_DURATION, LOCK_INFO_FILE, LockInfo, acquire_lock
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetLockedError

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)

HOLD = """
import sys
from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.storage import Storage
with acquire_lock(Storage(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url() -> Iterator[Storage]:
    yield Storage("memory://locked/place")
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/locked"):
        filesystem.rm("/locked", recursive=True)


@pytest.fixture(params=["local", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, url: Storage) -> Storage:
    return Storage(tmp_path / "place") if request.param == "local" else url


def write_other_lease(storage: Storage, **changes: object) -> LockInfo:
    """Write the lease of a process on another host, and return it."""
    holder = msgspec.structs.replace(LockInfo("other", 7, "elsewhere", NOW, NOW), **changes)
    storage.put(LOCK_INFO_FILE, msgspec.json.encode(holder))
    return holder


def lease_holder(storage: Storage) -> int:
    """Return the process that holds the lease."""
    return msgspec.json.decode(storage.get(LOCK_INFO_FILE) or b"", type=LockInfo).pid


def test_second_lock_in_same_thread_raises(storage: Storage) -> None:
    with acquire_lock(storage) as verify_lock:
        verify_lock()
        with pytest.raises(DatasetLockedError, match=r"written by process \d+ on .*, since"):
            acquire_lock(storage).__enter__()
    with acquire_lock(storage):
        pass


def test_only_one_of_many_threads_acquires_lock(storage: Storage) -> None:
    holding, refused = threading.Event(), threading.Semaphore(0)
    acquired: list[int] = []

    def try_to_acquire() -> None:
        try:
            with acquire_lock(storage):
                acquired.append(1)
                assert holding.wait(30)
        except DatasetLockedError:
            refused.release()

    threads = [threading.Thread(target=try_to_acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(7):
        assert refused.acquire(timeout=30)
    holding.set()
    for thread in threads:
        thread.join()
    assert acquired == [1]


def test_lock_is_released_after_error(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError), acquire_lock(storage):
        _ = 1 / 0
    with acquire_lock(storage):
        pass


@pytest.mark.parametrize("is_killed", [False, True])
def test_other_process_holds_file_lock_until_it_ends(tmp_path: Path, is_killed: bool) -> None:
    storage = Storage(tmp_path / "place")
    command = [sys.executable, "-c", HOLD, storage.name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DatasetLockedError, match=f"process {other.pid} on"):
            acquire_lock(storage).__enter__()
        if is_killed:
            other.kill()
        other.stdin.close()
        other.wait()
    with acquire_lock(storage):
        pass


def test_active_lease_of_other_host_raises(url: Storage) -> None:
    write_other_lease(url, renewed=NOW - LEASE_DURATION / 2)
    with pytest.raises(DatasetLockedError, match=r"process 7 on elsewhere.*5 minutes"):
        acquire_lock(url, now=lambda: NOW).__enter__()


def test_expired_lease_is_taken_over(url: Storage) -> None:
    write_other_lease(url, renewed=NOW - LEASE_DURATION - timedelta(seconds=1))
    with acquire_lock(url, now=lambda: NOW) as verify_lock:
        verify_lock()
    assert url.names() == []


def test_lease_of_dead_local_process_is_taken_over(url: Storage) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    with acquire_lock(url, now=lambda: NOW):
        own = msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    write_other_lease(url, host=own.host, pid=dead.pid)
    with acquire_lock(url, now=lambda: NOW) as verify_lock:
        verify_lock()
        assert lease_holder(url) == own.pid


def test_active_lease_with_same_host_and_pid_raises(url: Storage) -> None:
    with acquire_lock(url, now=lambda: NOW):
        own = msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    write_other_lease(url, host=own.host, pid=own.pid)
    with pytest.raises(DatasetLockedError, match=f"process {own.pid} on"):
        acquire_lock(url, now=lambda: NOW).__enter__()


def test_interrupt_while_acquiring_releases_lease(
    url: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    def interrupted(self: Storage, name: str, content: bytes) -> None:
        put(self, name, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(Storage, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        acquire_lock(url).__enter__()
    monkeypatch.undo()
    assert url.names() == []
    with acquire_lock(url):
        pass


def test_lease_that_this_process_failed_to_release_is_taken_over(
    url: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Storage, names: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), acquire_lock(url):
        monkeypatch.setattr(Storage, "remove", interrupted)
    monkeypatch.undo()
    assert url.names() == [LOCK_INFO_FILE]
    with acquire_lock(url) as verify_lock:
        verify_lock()


FORKED = """
import os, sys
from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.storage import Storage
holding = acquire_lock(Storage(sys.argv[1]))
holding.__enter__()
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.read(reader, 1)
    with acquire_lock(Storage(sys.argv[1])):
        print("held", flush=True)
    os._exit(0)
holding.__exit__(None, None, None)
os.write(writer, b"x")
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_acquires_lock_after_parent_releases_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path / "place")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "held\n", done.stderr


def test_verification_raises_after_lease_is_lost(url: Storage) -> None:
    with acquire_lock(url) as verify_lock:
        other = write_other_lease(url)
        with pytest.raises(DatasetLockedError, match="process 7 on elsewhere"):
            verify_lock()
    assert (
        msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo) == other
    )  # the other lease is kept


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 1}'])
def test_unreadable_lease_is_ignored(url: Storage, content: bytes) -> None:
    url.put(LOCK_INFO_FILE, content)
    with acquire_lock(url) as verify_lock:
        verify_lock()
        assert lease_holder(url) == os.getpid()
