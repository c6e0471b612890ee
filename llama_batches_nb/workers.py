"""Do one thing for many items at once, in threads that stop when they are told to."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

LONGEST_JOIN = 1.0  # seconds to see the workers off
TICK = 0.2  # seconds between two looks at how things stand while nothing arrives

_this_thread = threading.local()


class Stopped(BaseException):
    """Raised inside a worker whose result nobody waits for any more."""


class _Crew:
    """What the workers of one call share: whether to stop, and what to cut when they must."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.cuts: dict[int, Callable[[], None]] = {}
        self.threads: list[threading.Thread] = []

    def join(self) -> None:
        _this_thread.crew = self
        self.threads.append(threading.current_thread())

    def stop(self) -> None:
        """End every wait of the workers, and theirs with it; a second is enough for that."""
        self.stopping.set()
        for cut in list(self.cuts.values()):
            cut()
        until = time.monotonic() + LONGEST_JOIN
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))


def sleep(seconds: float) -> None:
    """Sleep; in a worker, wake up with `Stopped` as soon as its call is over."""
    crew: _Crew | None = getattr(_this_thread, "crew", None)
    if crew is None:
        time.sleep(seconds)
    elif crew.stopping.wait(seconds):
        raise Stopped


def go_on() -> None:
    """Raise `Stopped` in a worker whose call is over."""
    sleep(0)


def cut_when_stopped(cut: Callable[[], None]) -> None:
    """Register what ends this worker's wait on the network, to be called by another thread."""
    crew: _Crew | None = getattr(_this_thread, "crew", None)
    if crew is not None:
        crew.cuts[threading.get_ident()] = cut


@contextmanager
def on_the_network() -> Iterator[None]:
    """Forget at the end what was registered to be cut inside."""
    try:
        yield
    finally:
        crew: _Crew | None = getattr(_this_thread, "crew", None)
        if crew is not None:
            crew.cuts.pop(threading.get_ident(), None)


@contextmanager
def running(
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
    crew = _Crew()
    pool = ThreadPoolExecutor(
        max_workers, thread_name_prefix="llama_batches_nb", initializer=crew.join
    )
    try:
        yield _as_they_end(pool, work, enumerate(items), 4 * max_workers, tick)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        crew.stop()


def _report(
    done: queue.SimpleQueue[tuple[int, T, Future[R]]], position: int, item: T, future: Future[R]
) -> None:
    done.put((position, item, future))


def _as_they_end(
    pool: ThreadPoolExecutor,
    work: Callable[[T], R],
    items: Iterator[tuple[int, T]],
    ahead: int,
    tick: Callable[[], object],
) -> Iterator[tuple[int, T, Future[R]]]:
    done: queue.SimpleQueue[tuple[int, T, Future[R]]] = queue.SimpleQueue()
    n_open = 0
    while True:
        for position, item in itertools.islice(items, ahead - n_open):
            n_open += 1
            report = partial(_report, done, position, item)
            pool.submit(work, item).add_done_callback(report)
        if n_open == 0:
            return
        try:
            finished = done.get(timeout=TICK)
        except queue.Empty:
            tick()
            continue
        n_open -= 1
        yield finished
