"""One writer at a time, and a lock that ends with its holder."""

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


@pytest.fixture(params=["disk", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, url: Storage) -> Storage:
    return Storage(tmp_path / "place") if request.param == "disk" else url


def held_by_another(storage: Storage, **changes: object) -> LockInfo:
    """Leave the lock of a process elsewhere."""
    holder = LockInfo("other", 7, "elsewhere", NOW, NOW)
    holder = msgspec.structs.replace(holder, **changes)
    storage.put(LOCK_INFO_FILE, msgspec.json.encode(holder))
    return holder


def test_second_in_one_thread_is_refused(storage: Storage) -> None:
    with acquire_lock(storage) as check:
        check()
        with pytest.raises(DatasetLockedError, match=r"written by process \d+ on .*, since"):
            acquire_lock(storage).__enter__()
    with acquire_lock(storage):
        pass


def test_only_one_of_many_threads_gets_it(storage: Storage) -> None:
    holding, refused = threading.Event(), threading.Semaphore(0)
    won = []

    def try_it() -> None:
        try:
            with acquire_lock(storage):
                won.append(1)
                assert holding.wait(30)
        except DatasetLockedError:
            refused.release()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(7):
        assert refused.acquire(timeout=30)
    holding.set()
    for thread in threads:
        thread.join()
    assert won == [1]


def test_it_is_given_back_after_an_error(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError), acquire_lock(storage):
        _ = 1 / 0
    with acquire_lock(storage):
        pass


@pytest.mark.parametrize("dies", [False, True])
def test_other_process_holds_it_until_it_ends(tmp_path: Path, dies: bool) -> None:
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
        if dies:
            other.kill()
        other.stdin.close()
        other.wait()
    with acquire_lock(storage):
        pass


def test_lease_of_another_is_respected_while_it_is_renewed(url: Storage) -> None:
    held_by_another(url, renewed=NOW - LEASE_DURATION / 2)
    with pytest.raises(DatasetLockedError, match=r"process 7 on elsewhere.*5 minutes"):
        acquire_lock(url, now=lambda: NOW).__enter__()


def test_lease_that_is_not_renewed_is_taken_over(url: Storage) -> None:
    held_by_another(url, renewed=NOW - LEASE_DURATION - timedelta(seconds=1))
    with acquire_lock(url, now=lambda: NOW) as check:
        check()
    assert url.names() == []


def test_lease_of_a_dead_process_of_this_machine_is_taken_over(url: Storage) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    with acquire_lock(url, now=lambda: NOW):
        mine = msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    held_by_another(url, host=mine.host, pid=dead.pid)
    with acquire_lock(url, now=lambda: NOW) as check:
        check()


def test_lease_of_a_container_that_looks_like_this_process_is_respected(url: Storage) -> None:
    with acquire_lock(url, now=lambda: NOW):
        mine = msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    held_by_another(url, host=mine.host, pid=mine.pid)
    with pytest.raises(DatasetLockedError, match=f"process {mine.pid} on"):
        acquire_lock(url, now=lambda: NOW).__enter__()


def test_interrupt_while_it_is_taken_leaves_nothing(
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


def test_lease_that_this_process_could_not_give_back_is_taken_over(
    url: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Storage, names: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), acquire_lock(url):
        monkeypatch.setattr(Storage, "remove", interrupted)
    monkeypatch.undo()
    assert url.names() == [LOCK_INFO_FILE]
    with acquire_lock(url) as check:
        check()


FORKED = """
import os, sys
from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.storage import Storage
holding = acquire_lock(Storage(sys.argv[1]))
holding.__enter__()
go, told = os.pipe()
child = os.fork()
if not child:
    os.read(go, 1)
    with acquire_lock(Storage(sys.argv[1])):
        print("held", flush=True)
    os._exit(0)
holding.__exit__(None, None, None)
os.write(told, b"x")
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_gets_it_once_its_parent_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path / "place")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "held\n", done.stderr


def test_who_lost_the_lease_is_told_before_a_commit(url: Storage) -> None:
    with acquire_lock(url) as check:
        taker = held_by_another(url)
        with pytest.raises(DatasetLockedError, match="process 7 on elsewhere"):
            check()
    assert (
        msgspec.json.decode(url.get(LOCK_INFO_FILE) or b"", type=LockInfo) == taker
    )  # it is not ours


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 1}'])
def test_lease_that_cannot_be_read_is_none(url: Storage, content: bytes) -> None:
    url.put(LOCK_INFO_FILE, content)
    with acquire_lock(url) as check:
        check()
