"""Worker threads: every result arrives, and no thread stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from llama_batches_nb.http import workers
from tests.threads import threads_left


def test_each_item_is_returned_once_with_its_index() -> None:
    with workers.imap_unordered(lambda n: n * n, range(100), max_workers=4) as completed:
        results = {index: (item, future.result()) for index, item, future in completed}
    assert results == {n: (n, n * n) for n in range(100)}
    assert not threads_left()


def test_items_are_read_only_slightly_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n

    with workers.imap_unordered(lambda n: n, items(), max_workers=2) as completed:
        next(completed)
        assert len(taken) <= 8


def test_exception_is_returned_with_its_item() -> None:
    def work(n: int) -> float:
        return 1 / n

    with workers.imap_unordered(work, [1, 0, 2], max_workers=2) as completed:
        errors = {item: future.exception() for _, item, future in completed}
    assert isinstance(errors.pop(0), ZeroDivisionError)
    assert set(errors.values()) == {None}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_the_block_wakes_sleeping_workers(error: type[BaseException]) -> None:
    def work(n: int) -> None:
        if n:
            workers.sleep(60)

    started = time.monotonic()
    with pytest.raises(error):  # noqa: SIM117, PT012
        with workers.imap_unordered(work, range(10), max_workers=4) as completed:
            next(completed)
            raise error
    assert time.monotonic() - started < 5
    assert not threads_left()


def test_interrupt_while_a_worker_starts_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`Thread.start` waits for the new thread, which cannot be joined yet."""

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        workers.imap_unordered(lambda n: n, range(3), max_workers=2) as completed,
    ):
        next(completed)


def test_tick_is_called_while_no_result_arrives() -> None:
    ticks: list[int] = []
    arrived = threading.Event()

    def tick() -> None:
        ticks.append(1)
        arrived.set()

    with workers.imap_unordered(
        lambda n: arrived.wait(10), [0], max_workers=1, tick=tick
    ) as completed:
        assert [future.result() for _, _, future in completed] == [True]
    assert ticks


def test_sleep_outside_a_worker_sleeps() -> None:
    started = time.monotonic()
    workers.sleep(0.01)
    assert time.monotonic() - started >= 0.01


def test_background_task_runs_in_its_own_thread() -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        done.set()

    task = workers.BackgroundTask(work)
    task.join(0.01)
    was_running = task.running
    go.set()
    task.join(10)
    assert (was_running, done.is_set(), task.running) == (True, True, False)
    assert not threads_left()


def test_stopped_task_ends_at_its_next_step() -> None:
    begun, go = threading.Event(), threading.Event()
    steps = []

    def work() -> None:
        workers.check_cancelled()
        steps.append("first")
        begun.set()
        go.wait(10)
        workers.check_cancelled()
        steps.append("second")

    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    task.stop()
    go.set()
    task.join(10)
    assert steps == ["first"]


def test_stopped_task_wakes_from_sleep() -> None:
    task = workers.BackgroundTask(lambda: workers.sleep(60))
    task.stop()
    task.join(10)
    assert not task.running


def test_stopping_a_task_calls_its_on_cancel_callback() -> None:
    begun, aborted = threading.Event(), threading.Event()

    def work() -> None:
        with workers.cancellable_io():
            workers.on_cancel(aborted.set)
            begun.set()
            aborted.wait(10)
        workers.check_cancelled()

    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    assert aborted.is_set()
    task.join(10)
    assert not task.running


def test_stopping_a_task_stops_its_workers() -> None:
    begun = threading.Event()

    def wait_long(n: int) -> None:
        begun.set()
        workers.sleep(60)

    def work() -> None:
        with workers.imap_unordered(wait_long, range(3), max_workers=2) as completed:
            list(completed)

    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    task.join(10)
    assert not task.running
    assert not threads_left()
