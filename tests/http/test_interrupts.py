"""Ctrl-C pressed more than once, as signals to this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from llama_batches_nb.http import interrupts
from llama_batches_nb.http.interrupts import ignore_repeated_interrupts


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def test_second_interrupt_does_not_break_into_cleanup() -> None:
    cleaned_up = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            cleaned_up.append(True)

    with pytest.raises(KeyboardInterrupt), ignore_repeated_interrupts():
        work()
    assert cleaned_up


def test_interrupt_ends_cleanup_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "GRACE_PERIOD", 0.0)
    with ignore_repeated_interrupts():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_handler_is_restored() -> None:
    with ignore_repeated_interrupts(), ignore_repeated_interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda number, frame: None])
def test_handler_of_the_program_is_kept(own: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, own)
    with ignore_repeated_interrupts():
        assert signal.getsignal(signal.SIGINT) is own


def test_handler_set_inside_the_block_is_kept() -> None:
    def own(number: int, frame: FrameType | None) -> None: ...

    with ignore_repeated_interrupts():
        signal.signal(signal.SIGINT, own)
    assert signal.getsignal(signal.SIGINT) is own


def test_other_threads_leave_the_handler_alone() -> None:
    seen: list[object] = []

    def look() -> None:
        with ignore_repeated_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
