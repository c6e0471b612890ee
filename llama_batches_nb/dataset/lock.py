"""One writer at a time.

On a disk of this machine the kernel keeps the lock, so that it ends with its process. An object
store has no locks: there a file says who writes, and its writer renews it. Once it has not been
renewed for a while, another takes it over; the first notices that before its next commit. It is as
good as the clocks of the machines agree, to a few minutes.
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

LOCK = "_lock"
LOCK_INFO_FILE = "_lock.json"  # who holds it; on an object store this is the lock
LEASE_DURATION = timedelta(minutes=5)  # for how long a sign of life is one
LEASE_RENEW_INTERVAL = 30.0  # seconds between two of them

Check = Callable[[], None]
Clock = Callable[[], datetime]


class LockInfo(msgspec.Struct, frozen=True):
    """Who writes, since when, and when it last said so."""

    token: str
    pid: int
    host: str
    since: datetime
    renewed: datetime


_issued: set[tuple[int, str]] = set()
"""The tokens of this process: a lease with one that is not held could not be given back."""

_held: dict[tuple[int, str], LockInfo] = {}
"""Who writes where in this process; what is there of another is of the one that forked it."""


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


@contextmanager
def acquire_lock(storage: Storage, *, now: Clock = utc_now) -> Iterator[Check]:
    """Hold the lock of a folder, or raise `DatasetLockedError` at once.

    What it gives is called before something is made final: it raises if the lock was lost.
    """
    me = LockInfo(secrets.token_hex(8), os.getpid(), socket.gethostname(), now(), now())
    _issued.add((me.pid, me.token))
    with _process_lock(storage, me), _external_lock(storage, me, now) as check:
        yield check


def _external_lock(storage: Storage, me: LockInfo, now: Clock) -> AbstractContextManager[Check]:
    if storage.local is None:
        return _lease_lock(storage, me, now)
    return _file_lock(storage, storage.local, me)


@contextmanager
def _process_lock(storage: Storage, me: LockInfo) -> Iterator[None]:
    place = me.pid, f"{type(storage.filesystem).__name__} {storage.path('')}"
    try:
        if _held.setdefault(place, me) is not me:
            raise _locked_error(storage, _holder(storage))
        yield
    finally:
        if _held.get(place) is me:
            del _held[place]


@contextmanager
def _file_lock(storage: Storage, folder: Path, me: LockInfo) -> Iterator[Check]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _locked_error(storage, _holder(storage)) from None
    try:
        _write(storage, me)
        yield lambda: None
    finally:
        with suppress(OSError):  # it is only for the message to others
            storage.remove([LOCK_INFO_FILE])
        lock.release()


@contextmanager
def _lease_lock(storage: Storage, me: LockInfo, now: Clock) -> Iterator[Check]:
    def check() -> None:
        found = _holder(storage)
        if found is None or found.token != me.token:
            raise _locked_error(storage, found)

    def renew() -> None:
        while not done.wait(LEASE_RENEW_INTERVAL):
            with suppress(Exception):  # a commit will tell
                check()
                _write(storage, msgspec.structs.replace(me, renewed=now()))

    found = _holder(storage)
    if found is not None and _is_active(found, now()):
        raise _locked_error(storage, found)
    done = threading.Event()
    renewing = threading.Thread(target=renew, name="llama_batches_nb_lease", daemon=True)
    try:
        _write(storage, me)
        check()  # another may have come at the same moment
        renewing.start()
        yield check
    finally:
        done.set()
        with suppress(RuntimeError):  # it was not started
            renewing.join()
        if (found := _holder(storage)) is not None and found.token == me.token:
            storage.remove([LOCK_INFO_FILE])


def _is_active(holder: LockInfo, now: datetime) -> bool:
    """Whether a holder is to be reckoned with; of one on this machine we can be sure."""
    if (os.getpid(), holder.token) in _issued:
        return False
    if holder.host == socket.gethostname() and os.name == "posix" and not _pid_exists(holder.pid):
        return False
    return abs(now - holder.renewed) < LEASE_DURATION


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _holder(storage: Storage) -> LockInfo | None:
    """Return who says to hold the lock, if anyone can be read."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(storage.get(LOCK_INFO_FILE) or b"", type=LockInfo)
    return None


def _write(storage: Storage, holder: LockInfo) -> None:
    storage.put(LOCK_INFO_FILE, msgspec.json.encode(holder))


def _locked_error(storage: Storage, holder: LockInfo | None) -> DatasetLockedError:
    who = "another process"
    if holder is not None:
        who = f"process {holder.pid} on {holder.host}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC"
    hint = "Wait until it is done."
    if storage.local is None:
        minutes = int(LEASE_DURATION.total_seconds() // 60)
        hint += f" If that process is dead, its lock ends {minutes} minutes after it."
    return DatasetLockedError(f"{storage.name!r} is being written by {who}. {hint}")
