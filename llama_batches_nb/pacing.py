"""One pace for all workers of a client: after a refusal all of them wait, then start gently.

The number of requests under way follows TCP's rule (additive increase, multiplicative decrease;
Chiu and Jain 1989, doi:10.1016/0169-7552(89)90019-6): a refusal halves it, answers let it grow.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llama_batches_nb import workers

LONGEST_BACKOFF = 30.0  # seconds to pause when the server does not say how long
TICK = 0.5  # seconds between two looks at whether to go on waiting
LONGEST_EXTRA = 8.0  # seconds added at random to what it says when it refuses again and again


class Pacing:
    """Decides when the next request may be sent."""

    def __init__(
        self,
        max_workers: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._most = max_workers
        self._allowed = float(max_workers)
        self._under_way = 0
        self._resume_at = clock()
        self._refused_at = float("-inf")
        self._refusals = 0

    @property
    def most_at_once(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self._allowed))

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait until a request may be sent, and give the time at which it is."""
        while (pause := self._try_to_start()) > 0:
            workers.tell_wait(pause)
            self._sleep(min(pause, TICK))
            workers.tell_wait(self.pause_left())
        try:
            yield self._clock()
        finally:
            with self._freed:
                self._under_way -= 1
                self._freed.notify()

    def _try_to_start(self) -> float:
        """Take a place among the requests under way, or return how long all have to pause."""
        with self._freed:
            while (pause := self._resume_at - self._clock()) <= 0:
                if self._under_way < self.most_at_once:
                    self._under_way += 1
                    return 0.0
                self._freed.wait(TICK)
                workers.go_on()
            return pause

    def hold(self, seconds: float) -> None:
        """Make all workers wait, as a server asked that is not refusing but unwell."""
        with self._lock:
            self._resume_at = max(self._resume_at, self._clock() + seconds)

    def answered(self) -> None:
        """Note that a request was let through."""
        with self._lock:
            self._refusals = 0
            self._allowed = min(self._most, self._allowed + 1 / self._allowed)

    def refused(self, sent_at: float, retry_after: float | None) -> int:
        """Make all workers wait, and return how often in a row we were refused.

        Refusals of requests that were sent before the last refusal came are part of that one.
        """
        with self._lock:
            now = self._clock()
            if sent_at >= self._refused_at:
                self._refusals += 1
                self._allowed = max(1.0, self._allowed / 2)
                self._refused_at = now
            backoff = 2.0 ** (self._refusals - 1)
            if retry_after is None:
                pause = min(backoff, LONGEST_BACKOFF) * (0.5 + self._chance() / 2)
            else:
                pause = retry_after + self._chance() * min(backoff - 1, LONGEST_EXTRA)
            self._resume_at = max(self._resume_at, now + pause)
            return self._refusals

    def pause_left(self) -> float:
        """Seconds until requests go on; 0 when nothing holds them up."""
        return max(0.0, self._resume_at - self._clock())
