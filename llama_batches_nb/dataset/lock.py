"""Lock a dataset for one writer: a file lock locally, a renewable lease on object stores.

The operating system releases a file lock when its process ends. Object stores have no locks, so
the lease is a file that its owner renews. Another writer takes over a lease that was not renewed
for a while, and the first one notices before its next commit. Leases assume that the clocks of
the machines differ by less than a few minutes.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetLockedError

LOCK_FILE = "_lock"
LOCK_INFO_FILE = "_lock.json"  # the owner, for error messages; on an object store, the lease
LEASE_DURATION = timedelta(minutes=5)  # since the last renewal
LEASE_RENEW_INTERVAL = 30.0  # seconds

VerifyLock = Callable[[], None]
Clock = Callable[[], datetime]


class LockInfo(msgspec.Struct, frozen=True):
    """The owner of a lock, and when it acquired and last renewed it."""

    token: str
    pid: int
    host: str
    since: datetime
    renewed: datetime


_issued: set[tuple[int, str]] = set()
"""Process ids and tokens issued here; a lease with such a token that is not held is stale."""

_held: dict[tuple[int, str], LockInfo] = {}
"""Locks held in this process, by process id, so that a fork does not inherit them, and folder."""


def utc_now() -> datetime:
    """Return the current time of this machine."""
    return datetime.now(UTC)


@contextmanager
def acquire_lock(storage: Storage, *, now: Clock = utc_now) -> Iterator[VerifyLock]:
    """Hold the lock of a folder, or raise `DatasetLockedError` at once.

    Yields a function to call before each commit: it raises if another process took the lock over.
    """
    own = LockInfo(secrets.token_hex(8), os.getpid(), socket.gethostname(), now(), now())
    _issued.add((own.pid, own.token))
    with _process_lock(storage, own), _external_lock(storage, own, now) as verify_lock:
        yield verify_lock


def _external_lock(
    storage: Storage, own: LockInfo, now: Clock
) -> AbstractContextManager[VerifyLock]:
    if storage.local is None:
        return _lease_lock(storage, own, now)
    return _file_lock(storage, storage.local, own)


@contextmanager
def _process_lock(storage: Storage, own: LockInfo) -> Iterator[None]:
    """Lock a folder among the threads of this process."""
    key = own.pid, f"{type(storage.filesystem).__name__} {storage.path('')}"
    try:
        if _held.setdefault(key, own) is not own:
            raise _locked_error(storage, _read_owner(storage))
        yield
    finally:
        if _held.get(key) is own:
            del _held[key]


@contextmanager
def _file_lock(storage: Storage, folder: Path, own: LockInfo) -> Iterator[VerifyLock]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _locked_error(storage, _read_owner(storage)) from None
    try:
        _write_owner(storage, own)
        yield lambda: None
    finally:
        with suppress(OSError):  # the file is only for error messages
            storage.remove([LOCK_INFO_FILE])
        lock.release()


@contextmanager
def _lease_lock(storage: Storage, own: LockInfo, now: Clock) -> Iterator[VerifyLock]:
    def verify_lock() -> None:
        owner = _read_owner(storage)
        if owner is None or owner.token != own.token:
            raise _locked_error(storage, owner)

    def renew() -> None:
        while not released.wait(LEASE_RENEW_INTERVAL):
            with suppress(Exception):  # the next commit verifies the lock and raises
                verify_lock()
                _write_owner(storage, msgspec.structs.replace(own, renewed=now()))

    owner = _read_owner(storage)
    if owner is not None and _is_active(owner, now()):
        raise _locked_error(storage, owner)
    released = threading.Event()
    renewal = threading.Thread(target=renew, name="llama_batches_nb_lease", daemon=True)
    try:
        _write_owner(storage, own)
        verify_lock()  # another writer may have written its lease at the same time
        renewal.start()
        yield verify_lock
    finally:
        released.set()
        with suppress(RuntimeError):  # the thread was not started
            renewal.join()
        if (owner := _read_owner(storage)) is not None and owner.token == own.token:
            storage.remove([LOCK_INFO_FILE])


def _is_active(owner: LockInfo, now: datetime) -> bool:
    """Return whether the owner of a lease may still write."""
    if (os.getpid(), owner.token) in _issued:
        return False
    if owner.host == socket.gethostname() and os.name == "posix" and not _pid_exists(owner.pid):
        return False
    return abs(now - owner.renewed) < LEASE_DURATION


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _read_owner(storage: Storage) -> LockInfo | None:
    """Return the owner of the lock, or None if the file is missing or unreadable."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(storage.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    return None


def _write_owner(storage: Storage, owner: LockInfo) -> None:
    storage.put(LOCK_INFO_FILE, msgspec.json.encode(owner))


def _locked_error(storage: Storage, owner: LockInfo | None) -> DatasetLockedError:
    who = "another process"
    if owner is not None:
        who = f"process {owner.pid} on {owner.host}, since {owner.since:%Y-%m-%d %H:%M:%S} UTC"
    hint = "Wait until it has finished."
    if storage.local is None:
        minutes = int(LEASE_DURATION.total_seconds() // 60)
        hint += f" If that process was killed, its lock expires {minutes} minutes later."
    return DatasetLockedError(f"{storage.name!r} is being written by {who}. {hint}")
