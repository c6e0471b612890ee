"""One pace for all workers of a client: after a refusal all of them wait as long as they are told.

Few refusals in between cost no more than that. Once they are many, requests are sent at a rate:
that which the server let through lately, reduced, growing with answers and with time. So few are
refused, whatever the limit is and however many clients share it. Should a lower rate not help, as
when a server refuses at random, it is given up again; and where a server refuses what it has not
seen before and nothing else, the rate is not to blame. The idea is that of TCP's congestion control
by the share of marks (Alizadeh et al. 2010, doi:10.1145/1851182.1851192), by rate instead of by
window; the factors were chosen by simulation (tests/http/test_rate_limit.py).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llama_batches_nb.http import workers

BACKOFF = 3.0  # times as long with each refusal in a row, where the server does not say how long;
MAX_BACKOFF = 40.0  # seconds; so that five pauses are longer than the minute of many limits
POLL_INTERVAL = 0.5  # seconds between two looks at whether to go on waiting
SHARE_WINDOW = 32  # requests over which the share of refusals is taken
MAX_THROTTLED_SHARE = 0.25  # share of refusals, above which we go more slowly;
MAX_TOLERATED_SHARE = 0.8  # even if that does not help
REDUCTION = 0.7  # of the rate that was let through
INEFFECTIVE_SLOWDOWN = (
    4.0,
    0.75,
)  # times slower, and still this much of the share of refusals: it does not help
NEAR = 1.5  # times the rate that was let through, to which it grows slowly
SLOW_GROWTH = 1.02, 1.03  # factors: with each answer, with each second
FAST_GROWTH = 1.1, 1.1  # the same, beyond: others may have left
FIRST_GROWTH = 1.3, 1.1  # the same, as long as nothing is known of what is let through
RATE_INDEPENDENT_GROWTH = 3.0, 1.1  # the same, where the rate is not to blame
SLOWEST, FASTEST = 1 / 16, 1000.0  # requests a second; whoever may send more is not held back
IDLE = 5.0  # seconds without a request after which a rate is out of date


class RateLimiter:
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
        self._refused_at = -math.inf
        self._refusals = 0
        self._may_slow_down = True  # once for refusals of requests that were sent together
        self._tolerated = MAX_THROTTLED_SHARE
        self._reset()

    def _reset(self) -> None:
        """Go at any rate, until too many are refused."""
        self._rate = self._let_through = math.inf
        self._share = 0.0
        self._slowed: tuple[float, float] | None = None
        self._n_repeated = 0  # let through, after they were refused
        self._may_be_blameless = True
        self._start_measuring(self._clock())

    def _start_measuring(self, at: float) -> None:
        self._measured_since = self._grown_at = at
        self._answers = 0

    @property
    def rate(self) -> float:
        """Requests a second that may be sent; infinite where few are refused."""
        return self._rate

    @contextmanager
    def acquire(self) -> Iterator[float]:
        """Wait until a request may be sent, and give the time at which it is."""
        while (wait := self.try_acquire()) > 0:
            workers.report_wait(self.pause_left())
            self._sleep(min(wait, POLL_INTERVAL))
            workers.report_wait(self.pause_left())
        try:
            yield self._clock()
        finally:
            self.release()

    def try_acquire(self) -> float:
        """Take a place among the requests under way, or return how long to wait before."""
        with self._freed:
            while (wait := self._wait()) <= 0:
                if self._under_way < self._most:
                    if not self._under_way and wait < -IDLE:
                        self._reset()
                    self._under_way += 1
                    self._next_at = self._clock() + 1 / self._rate
                    return 0.0
                self._freed.wait(POLL_INTERVAL)
                workers.check_cancelled()
            return wait

    def release(self) -> None:
        """Give the place to another request."""
        with self._freed:
            self._under_way -= 1
            self._freed.notify()

    def pause(self, seconds: float) -> None:
        """Make all workers wait, as a server asked that is not refusing but unwell."""
        with self._lock:
            self._resume_at = max(self._resume_at, self._clock() + seconds)

    def on_success(self, *, repeated: bool = False) -> None:
        """Note that a request was let through, `repeated` if it was refused before."""
        with self._lock:
            if repeated:
                self._n_repeated += 1
            elif self._share:
                self._may_be_blameless = False
            self._refusals = 0
            self._answers += 1
            self._share -= self._share / SHARE_WINDOW
            now = self._clock()
            seconds, self._grown_at = max(0.0, now - self._grown_at), max(now, self._grown_at)
            by_answer, by_second = self._growth_factors()
            self._rate *= by_answer * by_second**seconds
            if self._rate > FASTEST:
                self._rate = math.inf

    def _growth_factors(self) -> tuple[float, float]:
        if self._throttling_is_rate_independent():
            return RATE_INDEPENDENT_GROWTH
        if not self._let_through:
            return FIRST_GROWTH
        return SLOW_GROWTH if self._rate < NEAR * self._let_through else FAST_GROWTH

    def on_throttled(
        self, sent_at: float, retry_after: float | None, *, repeated: bool = False
    ) -> int:
        """Make all workers wait, and return how often in a row we were refused.

        A request is `repeated` if it was refused before. Refusals of requests that were sent before
        the last refusal came are part of that one.
        """
        with self._lock:
            self._may_be_blameless &= not repeated
            now = self._clock()
            is_another = sent_at >= self._refused_at
            if is_another:
                self._refusals += 1
                self._refused_at, self._may_slow_down = now, True
            self._share += (1 - self._share) / SHARE_WINDOW
            pause, spread = self._backoff(retry_after)
            self._resume_at = max(self._resume_at, now + pause)
            is_slower = self._may_slow_down and self._share > self._tolerated
            is_slower &= not self._throttling_is_rate_independent()
            if is_slower:
                self._may_slow_down = False
                self._slow_down()
            if is_another or is_slower:  # not all clients at once
                spread = min(1 / self._rate, pause) if self._refusals == 1 else spread
                self._next_at = self._resume_at + self._chance() * spread
            return self._refusals

    def _backoff(self, retry_after: float | None) -> tuple[float, float]:
        """Return for how long all wait, and over how long clients spread then if refused again."""
        times = self._refusals - 1
        if retry_after is not None:
            return retry_after, retry_after * 2.0 ** min(times, 9)
        backoff = min(BACKOFF ** min(times, 9), MAX_BACKOFF) * (0.8 + self._chance() / 5)
        return backoff, backoff

    def _slow_down(self) -> None:
        """Reduce the rate, and measure anew from the end of the pause."""
        if self._slowdown_is_ineffective():
            self._tolerated = min(1.25 * self._share, MAX_TOLERATED_SHARE)
            self._reset()
            return
        seconds = max(self._resume_at - self._measured_since, 1 / FASTEST)
        if self._answers:
            self._let_through = min(self._rate, self._answers / seconds)
            rate = REDUCTION * self._let_through
        else:
            self._let_through = 0.0  # as far as we know
            rate = min(self._rate, 1 / seconds) / 2
        self._rate = max(rate, SLOWEST)
        self._slowed = self._slowed or (self._rate, self._share)
        self._start_measuring(self._resume_at)

    def _slowdown_is_ineffective(self) -> bool:
        """Whether we went much more slowly already, and as many were refused."""
        if self._slowed is None:
            return False
        (rate, share), (slower, as_many) = self._slowed, INEFFECTIVE_SLOWDOWN
        return self._rate < rate / slower and self._share > as_many * share

    def _throttling_is_rate_independent(self) -> bool:
        """Whether our rate is not to blame: all that is new is refused, and nothing else.

        One worker alone can't tell this from a limit of one at a time, and just keeps the pauses.
        """
        return self._may_be_blameless and self._n_repeated > 0

    def pause_left(self) -> float:
        """Seconds for which the server makes us wait; 0 when it does not."""
        return max(0.0, self._resume_at - self._clock())

    def wait_left(self) -> float:
        """Seconds until a request may be sent, by our own rate as well."""
        return max(0.0, self._wait())

    def _wait(self) -> float:
        return max(self._resume_at, self._next_at) - self._clock()
