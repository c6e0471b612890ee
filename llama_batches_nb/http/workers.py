"""Do one thing for many items at once, in threads that stop when they are told to."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

JOIN_TIMEOUT = 0.8  # seconds to see the workers off: an interrupt is to be over within one
TICK = 0.2  # seconds between two looks at how things stand while nothing arrives
COALESCE_DELAY = (
    0.02  # seconds to let results gather: whenever we wake up, the workers have to wait
)

_this_thread = threading.local()


class Cancelled(BaseException):
    """Raised inside a worker whose result nobody waits for any more."""

    partial: Any = None  # the rows that were there, as of an error


class _WorkerPool:
    """What the workers of one call share: whether to stop, and what to cut when they must."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.cuts: dict[int, Callable[[], None]] = {}
        self.threads: list[threading.Thread] = []

    def start(self, target: Callable[[], None]) -> None:
        def run() -> None:
            _this_thread.crew = self
            target()

        # A daemon: what hangs in the network must not keep the interpreter from ending.
        name = f"llama_batches_nb_{len(self.threads)}"
        self.threads.append(threading.Thread(target=run, name=name, daemon=True))
        self.threads[-1].start()

    def tell_to_stop(self) -> None:
        """End every wait of the workers."""
        self.stopping.set()
        for cut in list(self.cuts.values()):
            cut()

    def stop(self) -> None:
        """Tell the workers to stop, and see them off; a second is enough for that."""
        self.tell_to_stop()
        until = time.monotonic() + JOIN_TIMEOUT
        for thread in self.threads:
            with suppress(RuntimeError):  # it was about to start, and ends by itself
                thread.join(max(0.0, until - time.monotonic()))


class BackgroundTask:
    """One thing done in a thread of its own, so that this one is free.

    When it is told to stop, its next step on the network raises `Stopped`, and so does `go_on`.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._crew = _WorkerPool()

        def run() -> None:
            with suppress(Cancelled):
                work()

        self._crew.start(run)

    @property
    def running(self) -> bool:
        """Whether it is not over yet."""
        return self._crew.threads[0].is_alive()

    def stop(self) -> None:
        """Tell it to stop, and don't wait for that."""
        self._crew.tell_to_stop()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is over."""
        self._crew.threads[0].join(timeout)


def _crew() -> _WorkerPool | None:
    return getattr(_this_thread, "crew", None)


def sleep(seconds: float) -> None:
    """Sleep; in a worker, wake up with `Stopped` as soon as its call is over."""
    crew = _crew()
    if crew is None:
        time.sleep(seconds)
    elif crew.stopping.wait(seconds):
        raise Cancelled


def check_cancelled() -> None:
    """Raise `Stopped` in a worker whose call is over."""
    crew = _crew()
    if crew is not None and crew.stopping.is_set():
        raise Cancelled


def run_detached(work: Callable[[], R]) -> R:
    """Return what `work` gives, which nothing can end: when we stop, it is left alone."""
    future: Future[R] = Future()
    target = partial(_run_into_future, future, work)
    threading.Thread(target=target, name="llama_batches_nb_aside", daemon=True).start()
    while not futures.wait([future], TICK).done:
        check_cancelled()
    return future.result()


def _run_into_future(future: Future[R], work: Callable[[], R]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # whatever it is, it is for the one who waits
        future.set_exception(error)


def on_cancel(cut: Callable[[], None]) -> None:
    """Register what ends this worker's wait on the network, to be called by another thread."""
    if (crew := _crew()) is not None:
        crew.cuts[threading.get_ident()] = cut


@contextmanager
def cancellable_io() -> Iterator[None]:
    """Forget at the end what was registered to be cut inside."""
    try:
        yield
    finally:
        if (crew := _crew()) is not None:
            crew.cuts.pop(threading.get_ident(), None)


@contextmanager
def wait_listener(tell: Callable[[float], None]) -> Iterator[None]:
    """Have this thread's waits for the server's permission told to `tell`, in seconds left."""
    before = getattr(_this_thread, "tell", None)
    _this_thread.tell = tell
    try:
        yield
    finally:
        _this_thread.tell = before


def report_wait(seconds: float) -> None:
    """Tell whoever wants to know that this thread waits."""
    tell: Callable[[float], None] | None = getattr(_this_thread, "tell", None)
    if tell is not None:
        tell(seconds)


@contextmanager
def imap_unordered(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    max_workers: int,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Iterator[tuple[int, T, Future[R]]]]:
    """Give an iterator over `(position, item, future)`, each as its work ends, in any order.

    `items` may be a generator: no more of it is taken than the workers can soon use. `tick` is
    called about five times a second while nothing arrives. Leaving the block early, by an error or
    an interrupt too, stops the workers at once.
    """
    crew = _WorkerPool()
    todo: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()
    try:
        yield _as_completed(crew, todo, work, enumerate(items), max_workers, tick)
    finally:
        for _ in crew.threads:
            todo.put(None)
        crew.stop()


def _as_completed(
    crew: _WorkerPool,
    todo: queue.SimpleQueue[tuple[int, T] | None],
    work: Callable[[T], R],
    items: Iterator[tuple[int, T]],
    max_workers: int,
    tick: Callable[[], object],
) -> Iterator[tuple[int, T, Future[R]]]:
    done: queue.SimpleQueue[tuple[int, T, Future[R]]] = queue.SimpleQueue()
    n_open = 0
    while True:
        for numbered in itertools.islice(items, 4 * max_workers - n_open):
            n_open += 1
            todo.put(numbered)
            if len(crew.threads) < min(n_open, max_workers):
                crew.start(lambda: _worker_loop(crew, work, todo, done))
        if n_open == 0:
            return
        try:
            yield done.get(timeout=TICK)
        except queue.Empty:
            check_cancelled()  # should this thread itself be a worker of another call
            tick()
            continue
        n_open -= 1
        if n_open > max_workers:
            time.sleep(COALESCE_DELAY)
        while not done.empty():
            yield done.get()
            n_open -= 1


def _worker_loop(
    crew: _WorkerPool,
    work: Callable[[T], R],
    todo: queue.SimpleQueue[tuple[int, T] | None],
    done: queue.SimpleQueue[tuple[int, T, Future[R]]],
) -> None:
    """Work off what there is to do, until there is no more or the call is over."""
    while (numbered := todo.get()) is not None and not crew.stopping.is_set():
        position, item = numbered
        future: Future[R] = Future()
        _run_into_future(future, partial(work, item))
        done.put((position, item, future))
