"""One pace for all workers of a client: after a refusal all of them wait, then go on more slowly.

Nobody is held back before the first refusal. From then on requests are sent at a rate: that which
the server let through lately, reduced, growing with answers and with time until the next refusal.
As it changes by factors, few are refused whatever the limit is and however many clients share it.
The idea is that of TCP's congestion avoidance (Jacobson 1988, doi:10.1145/52324.52356), by rate
instead of by window; the factors were chosen by simulation (tests/test_pacing.py).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llama_batches_nb import workers

LONGEST_BACKOFF = 30.0  # seconds to pause when the server does not say how long
TICK = 0.5  # seconds between two looks at whether to go on waiting
REDUCTION = 0.7  # of the rate that was let through, after a refusal
NEAR = 1.5  # times the rate that was let through, to which it grows slowly
SLOW_GROWTH = 1.02, 1.03  # factors: with each answer, with each second
FAST_GROWTH = 1.1, 1.1  # the same, beyond: others may have left
SLOWEST, FASTEST = 1 / 16, 1000.0  # requests a second; whoever may send more is not held back
IDLE = 5.0  # seconds without a request after which a rate is out of date


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
        self._under_way = 0
        self._resume_at = self._next_at = clock()  # by the server's word; by our own rate
        self._refused_at = float("-inf")
        self._refusals = 0
        self._forget()

    def _forget(self) -> None:
        """Go at any rate, until refused."""
        self._rate = self._let_through = math.inf
        self._start_measuring(self._clock())

    def _start_measuring(self, at: float) -> None:
        self._measured_since = self._grown_at = at
        self._answers = 0

    @property
    def rate(self) -> float:
        """Requests a second that may be sent; infinite where nothing was refused."""
        return self._rate

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait until a request may be sent, and give the time at which it is."""
        while (wait := self.try_to_start()) > 0:
            workers.tell_wait(self.pause_left())
            self._sleep(min(wait, TICK))
            workers.tell_wait(self.pause_left())
        try:
            yield self._clock()
        finally:
            self.ended()

    def try_to_start(self) -> float:
        """Take a place among the requests under way, or return how long to wait before."""
        with self._freed:
            while (wait := self._wait()) <= 0:
                if self._under_way < self._most:
                    if not self._under_way and wait < -IDLE:
                        self._forget()
                    self._under_way += 1
                    self._next_at = self._clock() + 1 / self._rate
                    return 0.0
                self._freed.wait(TICK)
                workers.go_on()
            return wait

    def ended(self) -> None:
        """Give the place to another request."""
        with self._freed:
            self._under_way -= 1
            self._freed.notify()

    def hold(self, seconds: float) -> None:
        """Make all workers wait, as a server asked that is not refusing but unwell."""
        with self._lock:
            self._resume_at = max(self._resume_at, self._clock() + seconds)

    def answered(self) -> None:
        """Note that a request was let through."""
        with self._lock:
            self._refusals = 0
            self._answers += 1
            now = self._clock()
            seconds, self._grown_at = max(0.0, now - self._grown_at), max(now, self._grown_at)
            is_near = self._rate < NEAR * self._let_through
            by_answer, by_second = SLOW_GROWTH if is_near else FAST_GROWTH
            self._rate *= by_answer * by_second**seconds
            if self._rate > FASTEST:
                self._rate = math.inf

    def refused(self, sent_at: float, retry_after: float | None) -> int:
        """Make all workers wait, and return how often in a row we were refused.

        Refusals of requests that were sent before the last refusal came are part of that one.
        """
        with self._lock:
            now = self._clock()
            is_another = sent_at >= self._refused_at
            if is_another:
                self._refusals += 1
                self._refused_at = now
            backoff = 2.0 ** min(self._refusals - 1, 9)
            if retry_after is None:
                retry_after = min(backoff, LONGEST_BACKOFF) * (0.5 + self._chance() / 2)
            self._resume_at = max(self._resume_at, now + retry_after)
            if is_another:
                self._slow_down()
                spread = min(1 / self._rate, retry_after * backoff)  # not all clients at once
                self._next_at = self._resume_at + self._chance() * spread
            return self._refusals

    def _slow_down(self) -> None:
        """Reduce the rate, and measure anew from the end of the pause."""
        seconds = max(self._resume_at - self._measured_since, 1 / FASTEST)
        if self._answers:
            self._let_through = min(self._rate, self._answers / seconds)
            rate = REDUCTION * self._let_through
        else:
            self._let_through = 0.0  # as far as we know
            rate = min(self._rate, 1 / seconds) / 2
        self._rate = max(rate, SLOWEST)
        self._start_measuring(self._resume_at)

    def pause_left(self) -> float:
        """Seconds for which the server makes us wait; 0 when it does not."""
        return max(0.0, self._resume_at - self._clock())

    def wait_left(self) -> float:
        """Seconds until a request may be sent, by our own rate as well."""
        return max(0.0, self._wait())

    def _wait(self) -> float:
        return max(self._resume_at, self._next_at) - self._clock()
