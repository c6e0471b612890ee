"""Many at once: everything comes, nothing stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from llama_batches_nb.http import workers


def _ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("llama_batches_nb")]


def test_every_item_comes_once_with_its_position() -> None:
    with workers.imap_unordered(lambda n: n * n, range(100), max_workers=4) as finished:
        found = {position: (item, future.result()) for position, item, future in finished}
    assert found == {n: (n, n * n) for n in range(100)}
    assert not _ours()


def test_no_more_items_are_taken_than_can_soon_be_used() -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n

    with workers.imap_unordered(lambda n: n, items(), max_workers=2) as finished:
        next(finished)
        assert len(taken) <= 8


def test_an_error_stays_with_its_item() -> None:
    def work(n: int) -> float:
        return 1 / n

    with workers.imap_unordered(work, [1, 0, 2], max_workers=2) as finished:
        errors = {item: future.exception() for _, item, future in finished}
    assert isinstance(errors.pop(0), ZeroDivisionError)
    assert set(errors.values()) == {None}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_early_stops_those_who_sleep(error: type[BaseException]) -> None:
    def work(n: int) -> None:
        if n:
            workers.sleep(60)

    started = time.monotonic()
    with pytest.raises(error):  # noqa: SIM117, PT012
        with workers.imap_unordered(work, range(10), max_workers=4) as finished:
            next(finished)
            raise error
    assert time.monotonic() - started < 5
    assert not _ours()


def test_an_interrupt_while_a_worker_is_about_to_start_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes as `Thread.start` waits for the thread, which then can't be joined yet."""

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        workers.imap_unordered(lambda n: n, range(3), max_workers=2) as finished,
    ):
        next(finished)


def test_tick_is_called_while_nothing_arrives() -> None:
    ticks: list[int] = []
    arrived = threading.Event()

    def tick() -> None:
        ticks.append(1)
        arrived.set()

    with workers.imap_unordered(
        lambda n: arrived.wait(10), [0], max_workers=1, tick=tick
    ) as finished:
        assert [future.result() for _, _, future in finished] == [True]
    assert ticks


def test_outside_a_worker_sleep_is_sleep() -> None:
    started = time.monotonic()
    workers.sleep(0.01)
    assert time.monotonic() - started >= 0.01


def test_background_task_runs_beside_this_thread() -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        done.set()

    task = workers.BackgroundTask(work)
    task.join(0.01)
    under_way = task.running
    go.set()
    task.join(10)
    assert (under_way, done.is_set(), task.running) == (True, True, False)
    assert not _ours()


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


def test_what_is_cut_when_a_task_stops() -> None:
    begun, cut = threading.Event(), threading.Event()

    def work() -> None:
        with workers.cancellable_io():
            workers.on_cancel(cut.set)
            begun.set()
            cut.wait(10)
        workers.check_cancelled()

    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    assert cut.is_set()
    task.join(10)
    assert not task.running


def test_a_task_may_have_workers_of_its_own_which_stop_with_it() -> None:
    begun = threading.Event()

    def one(n: int) -> None:
        begun.set()
        workers.sleep(60)

    def work() -> None:
        with workers.imap_unordered(one, range(3), max_workers=2) as finished:
            list(finished)

    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    task.join(10)
    assert not task.running
    assert not _ours()
