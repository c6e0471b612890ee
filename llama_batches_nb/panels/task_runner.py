"""Run a panel's work in background threads and update its widgets under one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from llama_batches_nb.http.workers import BackgroundTask, Cancelled
from llama_batches_nb.messages import redirect_warnings

OnError = Callable[[Exception | None], object]
"""Shows an error to the user; called with None, it removes the one shown."""


class TaskRunner:
    """Run named tasks in background threads; starting a name again replaces its earlier task.

    Which thread runs a widget's callback is not fixed, so everything that reads or changes a
    panel's state holds `lock`.

    Parameters
    ----------
    on_error
        Called with an exception that a task raised.
    on_warning
        Called with the text of each warning that a task issues.
    after_update
        Called after each `update_ui`.
    """

    def __init__(
        self,
        *,
        on_error: OnError,
        on_warning: Callable[[str], object],
        after_update: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_error, self._on_warning, self._after_update = on_error, on_warning, after_update
        self.lock = threading.RLock()
        self._tasks: dict[str, BackgroundTask] = {}
        self._latest: dict[str, object] = {}  # by name, the identity of the newest task
        self._current = threading.local()  # the name and identity of this thread's task
        self._closed = False

    def start(self, name: str, fn: Callable[[], None]) -> None:
        """Run `fn` in a thread and cancel the earlier task of this name."""
        with self.lock:
            if self._closed:
                return
            if name in self._tasks:
                self._tasks[name].stop()
            identity = self._latest[name] = object()
            self._tasks[name] = BackgroundTask(lambda: self._run(name, identity, fn))

    def cancel(self, name: str) -> None:
        """Cancel the task of this name; it may still show how it ended."""
        with self.lock:
            if name in self._tasks:
                self._tasks[name].stop()

    def cancel_all(self) -> None:
        """Cancel every task; what already runs on the server continues."""
        for task in list(self._tasks.values()):
            task.stop()

    def cancel_and_discard(self, name: str) -> None:
        """Cancel the task of this name and ignore its later updates."""
        with self.lock:
            self._latest.pop(name, None)
            self.cancel(name)

    def close(self) -> None:
        """Cancel every task, ignore later updates and start no more tasks."""
        self._closed = True
        self.cancel_all()

    def is_running(self, name: str) -> bool:
        """Return whether a task of this name is running."""
        return name in self._tasks and self._tasks[name].running

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all tasks have ended, at most `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while running := [task for task in list(self._tasks.values()) if task.running]:
            running[0].join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if deadline is not None and time.monotonic() >= deadline:
                return

    def update_ui(self, change: Callable[[], object]) -> None:
        """Call `change` under the lock.

        Raise `Cancelled` instead if this thread's task was replaced or the runner is closed.
        """
        with self.lock:
            name, identity = getattr(self._current, "task", ("", None))
            if self._closed or self._latest.get(name) is not identity:
                raise Cancelled
            change()
            self._after_update()

    def _run(self, name: str, identity: object, fn: Callable[[], None]) -> None:
        """Run a task and report its error, which a thread would otherwise lose."""
        self._current.task = name, identity
        try:
            with redirect_warnings(lambda text: self.update_ui(lambda: self._on_warning(text))):
                fn()
        except Exception as error:
            problem = error
            self.update_ui(lambda: self._on_error(problem))
