"""Deadlines of whole requests.

The timeout of a socket limits each wait for bytes. It never ends a response whose bytes keep
coming: a head, chunk sizes or interim responses that arrive slowly, or compressed data without
content. So a thread shuts down the connections of requests that take too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http import threads

ABORT_INTERVAL = 0.1  # seconds between aborts of an expired request, which may connect again
MAX_OVERDUE = 10.0  # seconds after a deadline for which its request is aborted


class Deadline:
    """The time at which a request must have ended."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds
        self.abort: Callable[[], None] | None = None
        self.has_aborted = False

    @property
    def passed(self) -> bool:
        """Whether the request has taken too long."""
        return time.monotonic() >= self.at

    def abort_if_passed(self) -> float:
        """Abort the request if it has taken too long; return when to call this again."""
        if not self.passed:
            return self.at
        if self.abort is not None:
            self.has_aborted = True
            self.abort()
        return time.monotonic() + ABORT_INTERVAL


_current: ContextVar[Deadline | None] = ContextVar("_current", default=None)


def on_expiry(abort: Callable[[], None]) -> None:
    """Register the callback that aborts this thread's request at its deadline."""
    if (deadline := _current.get()) is not None:
        deadline.abort = abort


def check_deadline() -> None:
    """Raise `TimeoutError` if this thread's request has taken too long."""
    if (deadline := _current.get()) is not None and deadline.passed:
        raise TimeoutError(f"no response within {deadline.seconds:g} s")


class Watchdog:
    """A thread that aborts requests at their deadlines; it ends when no request is sent."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: set[Deadline] = set()
        self._is_running = False
        self._wakes_at = 0.0

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Deadline]:
        """Limit the time of the request that the block sends."""
        deadline = Deadline(seconds)
        previous = _current.get()
        _current.set(deadline)
        try:
            self._watch(deadline)
            yield deadline
        finally:
            with self._changed:
                self._deadlines.discard(deadline)
                if not self._deadlines:
                    self._changed.notify()
            _current.set(previous)

    def _watch(self, deadline: Deadline) -> None:
        with self._changed:
            self._deadlines.add(deadline)
            if not self._is_running:
                with suppress(BatchesError):  # no further thread: timeouts apply, deadlines do not
                    threads.start(threads.daemon_thread(self._run, "watchdog"))
                    self._is_running = True
            elif deadline.at < self._wakes_at:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._deadlines:
                self._wakes_at = min(deadline.abort_if_passed() for deadline in self._deadlines)
                self._changed.wait(max(0.0, self._wakes_at - time.monotonic()))
                oldest = time.monotonic() - MAX_OVERDUE
                self._deadlines = {one for one in self._deadlines if one.at > oldest}
            self._is_running = False
