"""Rate limiter shared by all workers of a client.

After HTTP 429 all workers pause for as long as the server asks. If many requests are throttled,
they are also sent at a limited rate that increases with each success and decreases multiplicatively
when throttled again (AIMD, Chiu and Jain 1989, doi:10.1016/0169-7552(89)90019-6). If a lower rate
does not help, because the server throttles at random, the limit on the rate is dropped. The
constants were chosen by simulation (tests/http/test_rate_limit.py).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llama_batches_nb.errors import RateLimitError
from llama_batches_nb.http import workers

BACKOFF_FACTOR = 3.0  # growth of the pause per consecutive 429 without Retry-After
MAX_BACKOFF = 40.0  # seconds; five pauses exceed the one-minute window of many limits
POLL_INTERVAL = 0.5  # seconds between checks for cancellation
SHARE_WINDOW = 80  # responses in the moving average of the throttled share
MAX_THROTTLED_SHARE = 0.25  # above it, the rate is limited
MAX_INEFFECTIVE_SHARE = 0.8  # the same, after a lower rate did not help
REDUCTION = 0.6  # of the measured or current rate
GROWTH = 1.05, 0.03  # with each success: factor, then requests per second
MIN_RATE, MAX_RATE = 1 / 16, 1000.0  # requests per second; above MAX_RATE there is no limit
MIN_SAMPLE = 20  # responses before a lower rate is judged
IDLE_RESET = 5.0  # seconds without a request after which the measurements are outdated


class RateLimiter:
    """Decide when the next request may be sent."""

    def __init__(
        self,
        max_workers: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._max_workers, self._clock, self._sleep, self._rng = max_workers, clock, sleep, rng
        self._lock = threading.Lock()
        self._slot_freed = threading.Condition(self._lock)
        self._in_flight = 0
        self._resume_at = self._next_at = clock()  # set by the server; set by our own rate
        self._throttled_at = -math.inf
        self._consecutive = 0  # throttled rounds without a success between them
        self._can_slow_down = True  # once per round
        self._reset(MAX_THROTTLED_SHARE)

    def _reset(self, max_share: float) -> None:
        self._rate = math.inf
        self._max_share = max_share
        self._throttled_share = 0.0
        self._unlimited_goodput = 0.0  # successes per second before the rate was limited
        self._depends_on_rate = False
        self._start_measuring(self._clock())

    def _start_measuring(self, at: float) -> None:
        self._measured_since, self._successes, self._responses = at, 0, 0

    @property
    def rate(self) -> float:
        """Requests per second that may be sent; infinite without a limit."""
        return self._rate

    @contextmanager
    def acquire(self, timeout: float = math.inf) -> Iterator[float]:
        """Wait until a request may be sent, and yield the time at which it is sent.

        Raises `RateLimitError` if it may not be sent within `timeout` seconds.
        """
        deadline = self._clock() + timeout
        while (wait := self.try_acquire(deadline)) > 0:
            if self._clock() + wait > deadline:
                raise RateLimitError(
                    f"Not sent within {timeout:g} s: the rate limit allows the next request "
                    f"in {max(wait, 0):.0f} s. Try again later."
                    if wait < math.inf
                    else f"Not sent within {timeout:g} s: all {self._max_workers} workers of the "
                    "client are waiting for responses. Try again later."
                )
            workers.report_wait(self.pause_left())
            self._sleep(min(wait, POLL_INTERVAL))
            workers.report_wait(self.pause_left())
        try:
            yield self._clock()
        finally:
            self.release()

    def try_acquire(self, deadline: float = math.inf) -> float:
        """Take a slot and return 0, or return the seconds to wait before the next attempt."""
        with self._lock:
            while (wait := self._wait()) <= 0:
                if self._in_flight < self._max_workers:
                    if not self._in_flight and wait < -IDLE_RESET:
                        self._reset(MAX_THROTTLED_SHARE)
                    self._in_flight += 1
                    self._next_at = self._clock() + 1 / self._rate
                    return 0.0
                if (left := deadline - self._clock()) <= 0:
                    return math.inf
                self._slot_freed.wait(min(POLL_INTERVAL, left))
                workers.check_cancelled()
            return wait

    def release(self) -> None:
        """Free the slot for another request."""
        with self._lock:
            self._in_flight -= 1
            self._slot_freed.notify()

    def pause(self, seconds: float) -> None:
        """Pause all workers, as after a 503 with Retry-After."""
        with self._lock:
            self._resume_at = max(self._resume_at, self._clock() + seconds)

    def on_success(self, *, is_retry: bool = False) -> None:
        """Record a response other than 429; `is_retry` if the request was throttled before."""
        with self._lock:
            self._depends_on_rate |= not is_retry and self._throttled_share > 0
            self._consecutive = 0
            self._successes += 1
            self._responses += 1
            self._throttled_share -= self._throttled_share / SHARE_WINDOW
            factor, step = GROWTH
            self._rate = factor * self._rate + step
            if self._rate > MAX_RATE:
                self._rate = math.inf

    def on_throttled(
        self, sent_at: float, retry_after: float | None, *, is_retry: bool = False
    ) -> int:
        """Pause all workers after a 429, and return the number of consecutive throttled rounds.

        Requests sent before the last 429 arrived belong to the same round. `is_retry` means that
        this request was throttled before.
        """
        with self._lock:
            # A server that throttles each new request once, and no retry, ignores the rate.
            self._depends_on_rate |= is_retry
            now = self._clock()
            is_new_round = sent_at >= self._throttled_at
            if is_new_round:
                self._consecutive += 1
                self._throttled_at, self._can_slow_down = now, True
            self._responses += 1
            self._throttled_share += (1 - self._throttled_share) / SHARE_WINDOW
            pause, spread = self._backoff(retry_after)
            self._resume_at = max(self._resume_at, now + pause)
            if slows_down := self._can_slow_down and self._is_too_fast():
                self._can_slow_down = False
                self._slow_down()
            if is_new_round or slows_down:  # spread the clients that share a limit
                spread = min(1 / self._rate, pause) if self._consecutive == 1 else spread
                self._next_at = self._resume_at + self._rng() * spread
            return self._consecutive

    def _backoff(self, retry_after: float | None) -> tuple[float, float]:
        """Return the pause for all workers, and the seconds over which clients spread after it."""
        n = min(self._consecutive - 1, 9)
        if retry_after is not None:
            return retry_after, retry_after * 2.0**n
        backoff = min(BACKOFF_FACTOR**n, MAX_BACKOFF) * (0.8 + self._rng() / 5)
        return backoff, backoff

    def _is_too_fast(self) -> bool:
        if not self._depends_on_rate:
            return False
        is_limited_and_repeated = self._rate < math.inf and self._consecutive > 1
        return self._throttled_share > self._max_share or is_limited_and_repeated

    def _slow_down(self) -> None:
        """Limit the rate below the measured one, reduce the limit, or drop it if it is no help."""
        seconds = max(self._resume_at - self._measured_since, 1 / MAX_RATE)
        goodput = self._successes / seconds
        success_share = self._successes / self._responses
        if self._rate == math.inf:
            self._unlimited_goodput = goodput if success_share > 0.25 else 0.0
            self._rate = max(MIN_RATE, REDUCTION * (self._successes or 0.5) / seconds)
            self._start_measuring(self._resume_at)
        elif (
            self._responses >= MIN_SAMPLE
            and success_share < 2 / 3
            and goodput < self._unlimited_goodput / 2
        ):
            self._reset(MAX_INEFFECTIVE_SHARE)
        else:
            self._rate = max(MIN_RATE, REDUCTION * self._rate)

    def pause_left(self) -> float:
        """Return the seconds until the pause that the server requested ends, else 0."""
        return max(0.0, self._resume_at - self._clock())

    def _wait(self) -> float:
        return max(self._resume_at, self._next_at) - self._clock()
