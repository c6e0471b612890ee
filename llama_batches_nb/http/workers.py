"""Run a function for many items in threads that can be cancelled."""

from __future__ import annotations

import atexit
import itertools
import math
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http import threads
from llama_batches_nb.http.deadlines import check_deadline

T = TypeVar("T")
R = TypeVar("R")

JOIN_TIMEOUT = 0.8  # seconds for all workers of a pool, so that an interrupt takes less than one
EXIT_TIMEOUT = 5.0  # seconds for all threads at the exit of the interpreter
TICK = 0.2  # seconds between two calls of `tick` while no result arrives
COALESCE_DELAY = 0.02  # seconds to collect results: each wake-up takes the GIL from the workers


class Cancelled(BaseException):
    """Raised in a worker thread whose pool has been stopped."""

    partial: Any = None  # the rows fetched so far, as on `BatchesError`


class _WorkerPool:
    """Threads that are stopped together, with the callbacks that abort their network waits.

    `wake_idle` is called so that threads that wait for work see that they are stopped.
    """

    def __init__(self, wake_idle: Callable[[], None] = lambda: None) -> None:
        self._wake_idle = wake_idle
        self.stopping = threading.Event()
        self.abort_callbacks: dict[int, Callable[[], None]] = {}  # by thread identifier
        self.threads: list[threading.Thread] = []
        _pools.add(self)

    def start(self, target: Callable[[], None]) -> None:
        def run() -> None:
            _current_pool.set(self)  # a new thread has its own context
            target()

        self.threads.append(threads.daemon_thread(run, str(len(self.threads))))
        if self.stopping.is_set():  # at exit
            return
        try:
            threads.start(self.threads[-1])
        except BatchesError:
            self.threads.pop()
            raise

    def cancel(self) -> None:
        """End every wait of the workers; do not wait for the threads."""
        self.stopping.set()
        for abort in list(self.abort_callbacks.values()):
            abort()
        self._wake_idle()

    def stop(self, timeout: float = JOIN_TIMEOUT) -> None:
        """Cancel the workers and join their threads for at most `timeout` seconds."""
        self.cancel()
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            with suppress(RuntimeError):  # not started
                thread.join(max(0.0, deadline - time.monotonic()))


_pools: weakref.WeakSet[_WorkerPool] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop the threads before the interpreter kills them.

    A thread that is killed inside Arrow or pandas can block the exit.
    """
    deadline = time.monotonic() + EXIT_TIMEOUT
    pools = list(_pools)
    for pool in pools:
        pool.cancel()
    for pool in pools:
        pool.stop(max(0.0, deadline - time.monotonic()))


if hasattr(os, "register_at_fork"):  # the child has none of the threads, but their connections
    os.register_at_fork(after_in_child=_pools.clear)


# A thread starts with an empty context and so inherits neither.
_current_pool: ContextVar[_WorkerPool | None] = ContextVar("_current_pool", default=None)
_wait_callback: ContextVar[Callable[[float], None] | None] = ContextVar(
    "_wait_callback", default=None
)


class BackgroundTask:
    """A function that runs in its own thread.

    After `stop`, its next request, `sleep` or `check_cancelled` raises `Cancelled`.
    """

    def __init__(self, fn: Callable[[], object]) -> None:
        self._pool = _WorkerPool()
        # An interrupted `Thread.join` would leave `is_alive` false (CPython issue 90882).
        self._ended = threading.Event()

        def run() -> None:
            try:
                with suppress(Cancelled):
                    fn()
            finally:
                self._ended.set()

        self._pool.start(run)

    @property
    def running(self) -> bool:
        """Whether the function has not ended."""
        return not self._ended.is_set()

    def stop(self) -> None:
        """Cancel the function; do not wait for its thread."""
        self._pool.cancel()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the function has ended, or for `timeout` seconds."""
        self._ended.wait(timeout)


def sleep(seconds: float) -> None:
    """Sleep; in a worker, raise `Cancelled` as soon as its pool is stopped."""
    pool = _current_pool.get()
    if pool is None:
        time.sleep(seconds)
    elif pool.stopping.wait(seconds):
        raise Cancelled


def check_cancelled() -> None:
    """Raise `Cancelled` in a worker whose pool has been stopped."""
    pool = _current_pool.get()
    if pool is not None and pool.stopping.is_set():
        raise Cancelled


def run_detached(fn: Callable[[], R]) -> R:
    """Return the result of a blocking call that cannot be aborted.

    It runs in its own daemon thread, which is abandoned when this thread is interrupted or
    cancelled, or at the deadline of its request.
    """
    future: Future[R] = Future()
    target = partial(_run_into_future, future, fn)
    try:
        threads.start(threads.daemon_thread(target, "detached"))
    except BatchesError:
        return fn()  # the system allows no further thread
    while not futures.wait([future], TICK).done:
        check_cancelled()
        check_deadline()
    return future.result()


def _run_into_future(future: Future[R], fn: Callable[[], R]) -> None:
    try:
        future.set_result(fn())
    except BaseException as error:  # any exception belongs to the thread that reads the future
        future.set_exception(error)


def on_cancel(abort: Callable[[], None]) -> None:
    """Register a callback that aborts this worker's network wait from another thread."""
    if (pool := _current_pool.get()) is not None:
        pool.abort_callbacks[threading.get_ident()] = abort


@contextmanager
def cancellable_io() -> Iterator[None]:
    """Unregister the callback of `on_cancel` at the end of the block."""
    try:
        yield
    finally:
        if (pool := _current_pool.get()) is not None:
            pool.abort_callbacks.pop(threading.get_ident(), None)


@contextmanager
def wait_listener(callback: Callable[[float], None]) -> Iterator[None]:
    """Pass the seconds that this thread still waits for the rate limit to a callback."""
    previous = _wait_callback.get()
    _wait_callback.set(callback)
    try:
        yield
    finally:
        _wait_callback.set(previous)  # a generator may end in another context: no token


def report_wait(seconds: float) -> None:
    """Pass the seconds that this thread still waits to its `wait_listener`, if any."""
    if (callback := _wait_callback.get()) is not None:
        callback(seconds)


@contextmanager
def imap_unordered(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    max_workers: int,
    tick: Callable[[], object] = lambda: None,
    max_open: Callable[[], float] = lambda: math.inf,
) -> Iterator[Iterator[tuple[int, T, Future[R]]]]:
    """Return an iterator over `(index, item, future)`, in the order in which calls complete.

    `items` may be a generator: at most `4 * max_workers` items are read ahead, and fewer if
    `max_open` returns less. `tick` is called about five times a second while no result arrives.
    Leaving the block, also by an exception or an interrupt, stops the workers.
    """
    pending: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()

    def wake_idle() -> None:
        for _ in pool.threads:
            pending.put(None)

    pool = _WorkerPool(wake_idle)
    try:
        yield _as_completed(pool, pending, fn, enumerate(items), max_workers, tick, max_open)
    finally:
        pool.stop()


def _as_completed(
    pool: _WorkerPool,
    pending: queue.SimpleQueue[tuple[int, T] | None],
    fn: Callable[[T], R],
    indexed_items: Iterator[tuple[int, T]],
    max_workers: int,
    tick: Callable[[], object],
    max_open: Callable[[], float],
) -> Iterator[tuple[int, T, Future[R]]]:
    completed: queue.SimpleQueue[tuple[int, T, Future[R]]] = queue.SimpleQueue()
    n_open = 0
    while True:
        read_ahead = max(1, int(min(max_open(), 4 * max_workers)))
        for indexed_item in itertools.islice(indexed_items, max(0, read_ahead - n_open)):
            n_open += 1
            pending.put(indexed_item)
            if len(pool.threads) < min(n_open, max_workers):
                try:
                    pool.start(lambda: _worker_loop(pool, fn, pending, completed))
                except BatchesError:
                    if not pool.threads:
                        raise
                    max_workers = len(pool.threads)  # the system allows no more
        if n_open == 0:
            return
        try:
            yield completed.get(timeout=TICK)
        except queue.Empty:
            check_cancelled()  # this thread may be a worker of another pool
            tick()
            continue
        n_open -= 1
        if n_open > max_workers:
            time.sleep(COALESCE_DELAY)
        while not completed.empty():
            yield completed.get()
            n_open -= 1


def _worker_loop(
    pool: _WorkerPool,
    fn: Callable[[T], R],
    pending: queue.SimpleQueue[tuple[int, T] | None],
    completed: queue.SimpleQueue[tuple[int, T, Future[R]]],
) -> None:
    """Process pending items until `None` arrives or the pool is stopped."""
    while (indexed_item := pending.get()) is not None and not pool.stopping.is_set():
        index, item = indexed_item
        future: Future[R] = Future()
        _run_into_future(future, partial(fn, item))
        if pool.stopping.is_set():
            return  # nobody reads the result, or at exit, must see that it was cancelled
        completed.put((index, item, future))
