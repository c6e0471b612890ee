"""Count what a call may leave behind: threads, sockets, temporary files."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SOON = 20.0  # seconds in which what is told to end does, on a loaded machine


def threads() -> set[str]:
    """Return this process's threads, without those of the tests' own servers."""
    return {f"{t.name} {t.ident}" for t in threading.enumerate() if t.name != "peer"}


def sockets() -> set[str]:
    """Return this process's open sockets."""
    return {name for name in _open_files() if name.startswith("socket:")}


def _open_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())


def temporary_files() -> set[str]:
    """Return what lies in the folder for temporary files."""
    return {path.name for path in Path(tempfile.gettempdir()).rglob("*")}


COUNTED: dict[str, Callable[[], set[str]]] = {
    "threads": threads,
    "sockets": sockets,
    "temporary files": temporary_files,
}


@contextmanager
def nothing_left() -> Iterator[None]:
    """Raise `AssertionError` if there is more at the end than there was."""
    before = {what: count() for what, count in COUNTED.items()}
    yield
    until = time.monotonic() + SOON
    while (left := _more_than(before)) and time.monotonic() < until:
        time.sleep(0.02)
    few = {what: (len(found), sorted(found)[:5]) for what, found in left.items()}
    assert not left, f"left behind: {few}"


def _more_than(before: dict[str, set[str]]) -> dict[str, set[str]]:
    more = {what: count() - before[what] for what, count in COUNTED.items()}
    return {what: found for what, found in more.items() if found}
