"""When Ctrl-C takes effect."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_PERIOD = 5.0  # seconds after an interrupt in which others are ignored: clean-up takes one


@contextmanager
def ignore_repeated_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for `GRACE_PERIOD` seconds after the first, so that clean-up is completed.

    Python raises `KeyboardInterrupt` between any two instructions, also inside ``finally``. A
    second one there would leave workers in their requests and rows out of ``.partial``. As in
    `asyncio.Runner`, the handler is replaced only where it is Python's own: in the main thread.
    """
    ignored_until = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal ignored_until
        if time.monotonic() >= ignored_until:
            ignored_until = time.monotonic() + GRACE_PERIOD
            signal.default_int_handler(number, frame)

    with _handler(handle):
        yield


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of a short block, such as an import.

    A module of another package that is interrupted while it is imported may not be importable
    again. The handler is replaced only where it is Python's own: in the main thread.
    """
    interrupted: list[tuple[int, FrameType | None]] = []

    def handle(number: int, frame: FrameType | None) -> None:
        interrupted.append((number, frame))

    try:
        with _handler(handle):
            yield
    finally:
        for number, frame in interrupted[:1]:
            signal.default_int_handler(number, frame)


@contextmanager
def _handler(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGINT in the block, if Python's own handler would, in the main thread."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
