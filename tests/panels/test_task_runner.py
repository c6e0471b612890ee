"""TaskRunner replaces, cancels, waits for and closes background tasks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from llama_batches_nb import messages
from llama_batches_nb.http import workers
from llama_batches_nb.panels.task_runner import TaskRunner
from tests.threads import SOON, threads_left


class Log:
    """What a runner reported."""

    def __init__(self) -> None:
        self.errors: list[Exception | None] = []
        self.warnings: list[str] = []
        self.n_updates = 0

    def count_update(self) -> None:
        self.n_updates += 1


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def runner(log: Log) -> Iterator[TaskRunner]:
    runner = TaskRunner(
        on_error=log.errors.append,
        on_warning=log.warnings.append,
        after_update=log.count_update,
    )
    yield runner
    runner.close()
    assert not threads_left()


def _blocked(runner: TaskRunner, update: Callable[[], object]) -> threading.Event:
    """Start a task that updates the UI once the returned event is set."""
    started, proceed = threading.Event(), threading.Event()

    def wait_then_update() -> None:
        started.set()
        proceed.wait(10)
        runner.update_ui(update)

    runner.start("work", wait_then_update)
    assert started.wait(10)
    return proceed


def test_error_of_a_task_is_reported(runner: TaskRunner, log: Log) -> None:
    error = ValueError("no")

    def fail() -> None:
        raise error

    runner.start("work", fail)
    runner.wait()
    assert log.errors == [error]
    assert log.n_updates == 1


def test_warnings_of_a_task_are_reported(runner: TaskRunner, log: Log) -> None:
    runner.start("work", lambda: messages.warn("careful"))
    runner.wait()
    assert log.warnings == ["careful"]


def test_newer_task_of_the_same_name_replaces_the_earlier_one(runner: TaskRunner) -> None:
    shown: list[str] = []
    proceed = _blocked(runner, lambda: shown.append("first"))
    runner.start("other", lambda: runner.update_ui(lambda: shown.append("other")))
    runner.start("work", lambda: runner.update_ui(lambda: shown.append("second")))
    runner.wait()
    proceed.set()
    assert not threads_left()
    assert sorted(shown) == ["other", "second"]
    runner.update_ui(lambda: shown.append("main thread"))
    assert shown[-1] == "main thread"


def test_discarded_task_does_not_update_the_ui(runner: TaskRunner) -> None:
    shown: list[str] = []
    proceed = _blocked(runner, lambda: shown.append("late"))
    runner.cancel_and_discard("work")
    runner.cancel_and_discard("never started")
    proceed.set()
    runner.wait()
    assert not shown


def test_cancelled_task_may_show_how_it_ended(runner: TaskRunner) -> None:
    shown: list[str] = []
    proceed = _blocked(runner, lambda: shown.append("stopped"))
    runner.cancel("work")
    proceed.set()
    runner.wait()
    assert shown == ["stopped"]


def test_wait_includes_tasks_started_by_tasks(runner: TaskRunner) -> None:
    done: list[str] = []

    def second() -> None:
        workers.sleep(0.05)
        done.append("second")

    runner.start("work", lambda: runner.start("more", second))
    runner.wait()
    assert done == ["second"]


def test_wait_ends_with_its_timeout(runner: TaskRunner) -> None:
    runner.start("work", lambda: workers.sleep(60))
    runner.wait(0.01)
    assert runner.is_running("work")
    assert not runner.is_running("nothing")
    runner.cancel_all()
    runner.wait()
    assert not runner.is_running("work")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no POSIX signals")
def test_interrupted_wait_leaves_the_task_running(runner: TaskRunner) -> None:
    shown: list[str] = []
    proceed = _blocked(runner, lambda: shown.append("done"))
    here = threading.get_ident()
    interrupt = threading.Timer(0.2, lambda: signal.pthread_kill(here, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        runner.wait(SOON)
    assert runner.is_running("work")
    proceed.set()
    runner.wait()
    assert shown == ["done"]


def test_closed_runner_starts_and_updates_nothing(runner: TaskRunner) -> None:
    runner.start("work", lambda: workers.sleep(60))
    runner.close()
    assert not threads_left()
    runner.start("work", lambda: None)
    assert not threads_left()
    with pytest.raises(workers.Cancelled):
        runner.update_ui(lambda: None)
