"""Detect leaked threads, sockets and temporary files."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLEANUP_TIME = 20.0  # seconds in which threads and sockets must end on a loaded machine


def threads() -> set[str]:
    """Return this process's threads, without those of the test servers."""
    return {f"{t.name} {t.ident}" for t in threading.enumerate() if t.name != "peer"}


def sockets() -> set[str]:
    """Return this process's open sockets."""
    return {name for name in _open_files() if name.startswith("socket:")}


def _open_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())


def temporary_files() -> set[str]:
    """Return the names of temporary files."""
    return {path.name for path in Path(tempfile.gettempdir()).rglob("*")}


COUNTERS: dict[str, Callable[[], set[str]]] = {
    "threads": threads,
    "sockets": sockets,
    "temporary files": temporary_files,
}


@contextmanager
def no_leaks() -> Iterator[None]:
    """Raise `AssertionError` if the block leaves something behind."""
    before = {what: count() for what, count in COUNTERS.items()}
    yield
    until = time.monotonic() + CLEANUP_TIME
    while (left := _more_than(before)) and time.monotonic() < until:
        time.sleep(0.02)
    few = {what: (len(found), sorted(found)[:5]) for what, found in left.items()}
    assert not left, f"left behind: {few}"


def _more_than(before: dict[str, set[str]]) -> dict[str, set[str]]:
    more = {what: count() - before[what] for what, count in COUNTERS.items()}
    return {what: found for what, found in more.items() if found}
