"""The rate limiter, with a simulated clock."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import workers
from llama_batches_nb.http.rate_limit import MAX_BACKOFF, MIN_RATE, REDUCTION, RateLimiter
from tests.conftest import Serve
from tests.servers import Request, Response, batch, mapping, page


class Clock:
    """A clock that advances only when `sleep` is called."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_limiter(clock: Clock, max_workers: int = 8) -> RateLimiter:
    return RateLimiter(max_workers, clock=clock, sleep=clock.sleep, rng=lambda: 1.0)


def throttle_many(limiter: RateLimiter, clock: Clock, retry_after: float) -> None:
    """Throttle more than the tolerated share of requests, all sent at once."""
    sent_at = clock()
    clock.sleep(0.001)
    for _ in range(32):
        limiter.on_throttled(sent_at, retry_after, is_retry=True)


def test_requests_do_not_wait_without_throttling(clock: Clock) -> None:
    with make_limiter(clock).acquire() as sent_at:
        assert sent_at == 100.0


def test_next_request_waits_for_retry_after(clock: Clock) -> None:
    limiter = make_limiter(clock)
    with limiter.acquire() as sent_at:
        pass
    limiter.on_throttled(sent_at, 7.0)
    assert limiter.pause_left() == 7.0
    with limiter.acquire() as sent_at:
        assert 107.0 <= sent_at <= 114.0
    assert limiter.pause_left() == 0


@pytest.mark.parametrize("random_value", [0.0, 1.0])
def test_five_pauses_without_retry_after_exceed_a_minute(clock: Clock, random_value: float) -> None:
    """Many limits are per minute."""
    limiter = RateLimiter(8, clock=clock, sleep=clock.sleep, rng=lambda: random_value)
    pauses = []
    for _ in range(6):
        limiter.on_throttled(clock(), None)
        pauses.append(limiter.pause_left())
        clock.sleep(pauses[-1])
    longest = [1.0, 3, 9, 27, MAX_BACKOFF, MAX_BACKOFF]
    assert pauses == pytest.approx([pause * (0.8 + random_value / 5) for pause in longest])
    assert sum(pauses[:5]) > 60


def test_requests_sent_together_are_one_round(clock: Clock) -> None:
    limiter = make_limiter(clock)
    sent_at = clock()
    clock.sleep(0.1)
    assert [limiter.on_throttled(sent_at, 1.0) for _ in range(8)] == [1] * 8
    clock.sleep(2)
    assert limiter.on_throttled(clock(), 1.0) == 2
    limiter.on_success()
    assert limiter.on_throttled(clock(), 1.0) == 1


def test_few_throttled_requests_do_not_limit_the_rate(clock: Clock) -> None:
    limiter = make_limiter(clock)
    for _ in range(20):
        limiter.on_throttled(clock(), 1.0)
        clock.sleep(1.0)
        for _ in range(6):
            limiter.on_success()
    assert limiter.rate == math.inf


def test_many_throttled_requests_limit_the_rate_below_the_goodput(clock: Clock) -> None:
    limiter = make_limiter(clock)
    for _ in range(10):
        with limiter.acquire():
            clock.sleep(0.1)
        limiter.on_success()
    assert limiter.rate == math.inf
    throttle_many(limiter, clock, 3.0)
    assert limiter.rate == pytest.approx(10 / (1.001 + 3) * REDUCTION)
    with limiter.acquire() as before, limiter.acquire() as sent_at:
        assert sent_at - before == pytest.approx(1 / limiter.rate)


def test_rate_grows_with_each_success_until_it_is_unlimited(clock: Clock) -> None:
    limiter = make_limiter(clock)
    limiter.on_success()
    throttle_many(limiter, clock, 1.0)
    rate = limiter.rate
    clock.sleep(1)
    limiter.on_success()
    assert rate < limiter.rate < 1.2 * rate
    for _ in range(200):
        limiter.on_success()
    assert limiter.rate == math.inf


def test_rate_decreases_while_requests_are_throttled_again(clock: Clock) -> None:
    limiter = make_limiter(clock)
    rates = []
    for _ in range(40):
        throttle_many(limiter, clock, 0.5)
        rates.append(limiter.rate)
        clock.sleep(0.5)
    assert all(after < before for before, after in itertools.pairwise(rates[:4]))
    assert rates[-1] == MIN_RATE


def test_rate_limit_is_reset_after_an_idle_period(clock: Clock) -> None:
    limiter = make_limiter(clock)
    throttle_many(limiter, clock, 1.0)
    assert limiter.rate < math.inf
    clock.sleep(60)
    with limiter.acquire():
        assert limiter.rate == math.inf


@pytest.mark.parametrize(("share", "seconds"), [(0.02, 5), (0.1, 20), (0.2, 60), (0.5, 200)])
def test_random_throttling_costs_little_more_than_its_pauses(share: float, seconds: int) -> None:
    server = RandomServer(share)
    assert Simulation(server, 1, 300).run() < seconds
    assert server.answered == 300


class RandomServer:
    """A server that throttles a share of the requests at random."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._rng = random.Random(2).random
        self.answered = 0

    def ask(self, now: float, request: object) -> bool:
        is_accepted = self._rng() >= self._share
        self.answered += is_accepted
        return is_accepted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clients", "requests", "rate"), [(1, 500, 20), (3, 300, 20), (200, 100, 100)]
)
def test_clients_of_one_limit_finish_with_few_throttled_requests(
    clients: int, requests: int, rate: int
) -> None:
    """Simulated time; the limit is a token bucket."""
    server = TokenBucketServer(rate)
    seconds = Simulation(server, clients, requests).run()
    assert server.answered == clients * requests
    assert server.throttled < server.answered / 2
    assert seconds < 2 * clients * requests / rate


@pytest.mark.parametrize(("requests", "seconds"), [(20, 8), (200, 60)])
def test_throttling_each_request_once_costs_little_more_than_the_pauses(
    requests: int, seconds: int
) -> None:
    server = ThrottleOnceServer()
    assert Simulation(server, 1, requests).run() < seconds
    assert server.answered == requests


class ThrottleOnceServer:
    """A server that throttles each request once and accepts its retry."""

    def __init__(self) -> None:
        self._seen: set[object] = set()
        self.answered = 0

    def ask(self, now: float, request: object) -> bool:
        is_accepted = request in self._seen
        self._seen.add(request)
        self.answered += is_accepted
        return is_accepted


class TokenBucketServer:
    """A server that accepts `rate` requests per second, and bursts of that size."""

    def __init__(self, rate: float) -> None:
        self.rate = self.tokens = float(rate)
        self.updated_at = 0.0
        self.answered = self.throttled = 0

    def ask(self, now: float, request: object) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self.updated_at) * self.rate)
        self.updated_at = now
        is_accepted = self.tokens >= 1
        self.tokens -= is_accepted
        self.answered += is_accepted
        self.throttled += not is_accepted
        return is_accepted


class Simulation:
    """Clients with 8 workers each, which send requests until all have succeeded."""

    def __init__(
        self,
        server: TokenBucketServer | ThrottleOnceServer | RandomServer,
        clients: int,
        requests: int,
    ) -> None:
        self.now = 0.0
        self._server = server
        self._rng = random.Random(1).random
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        for _ in range(clients):
            limiter = RateLimiter(8, clock=lambda: self.now, rng=self._rng)
            left = iter(range(requests))
            for _ in range(8):
                self._later(0.5 * self._rng(), partial(self._next, limiter, left))

    def run(self) -> float:
        """Run to the end and return the simulated seconds."""
        while self._due:
            self.now, _, do = heapq.heappop(self._due)
            do()
        return self.now

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), do))

    def _next(self, limiter: RateLimiter, left: Iterator[int]) -> None:
        if next(left, None) is not None:
            self._ask(limiter, partial(self._next, limiter, left))

    def _ask(
        self, limiter: RateLimiter, then: Callable[[], None], *, is_retry: bool = False
    ) -> None:
        if wait := limiter.try_acquire():
            self._later(wait + 1e-6, partial(self._ask, limiter, then, is_retry=is_retry))
        else:
            latency = 0.02 * (0.5 + self._rng())
            self._later(latency, partial(self._answer, limiter, self.now, then, is_retry=is_retry))

    def _answer(
        self, limiter: RateLimiter, sent_at: float, then: Callable[[], None], *, is_retry: bool
    ) -> None:
        limiter.release()
        if self._server.ask(self.now, then):
            limiter.on_success(is_retry=is_retry)
            then()
        else:
            rounds = limiter.on_throttled(sent_at, 1.0, is_retry=is_retry)
            assert rounds <= 5, "a client would raise RateLimitError"
            self._ask(limiter, then, is_retry=True)


def test_request_waits_for_a_free_slot(clock: Clock) -> None:
    limiter = make_limiter(clock, max_workers=1)
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with limiter.acquire():
            order.append("second")

    thread = threading.Thread(target=second)
    with limiter.acquire():
        thread.start()
        waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


@pytest.mark.parametrize("n_free_slots", [0, 1])
def test_cancelled_worker_stops_waiting_for_its_turn(n_free_slots: int) -> None:
    limiter = RateLimiter(1 + n_free_slots)
    with limiter.acquire():
        limiter.pause(60.0 * n_free_slots)
        task = workers.BackgroundTask(lambda: limiter.acquire().__enter__())
        task.stop()
        task.join(5)
        assert not task.running


def test_workers_share_one_pause(serve: Serve) -> None:
    """With 40 batches and a limit of 10 at a time, few requests are throttled and none is lost."""
    import time

    lock, started = threading.Lock(), time.monotonic()
    spent: dict[int, int] = {}

    def limited(request: Request) -> object:
        window = int((time.monotonic() - started) / 0.25)
        with lock:
            spent[window] = spent.get(window, 0) + 1
            if spent[window] > 10:
                return Response({"detail": "Slow down"}, 429, {"Retry-After": "0.25"})
        return batch("bat-" + request.path[-2:], results=[mapping("dfl-" + request.path[-2:])])

    server = serve(limited)
    results = lb.fetch_results([f"bat-{n:02}" for n in range(40)])
    assert results.source_directory_file_id.tolist() == [f"dfl-{n:02}" for n in range(40)]
    throttled = len(server.requests) - 40
    assert 0 < throttled < 40


def test_list_request_waits_too(serve: Serve) -> None:
    answers = iter([Response(status=429, headers={"Retry-After": "0"}), page([batch("bat-1")])])
    serve(lambda request: next(answers))
    assert len(lb.fetch_batches()) == 1


def test_503_with_retry_after_pauses_all_workers(serve: Serve) -> None:
    import time

    times: list[float] = []

    def script(request: Request) -> object:
        times.append(time.monotonic())
        if len(times) == 1:
            return Response(status=503, headers={"Retry-After": "0.5"})
        time.sleep(0.02)
        return batch(request.path.rsplit("/", 1)[1], results=[mapping("dfl-1", "pjb-1")])

    serve(script, max_workers=2)
    lb.fetch_results([f"bat-{n}" for n in range(30)])
    early = [t for t in times if t < times[0] + 0.45]
    assert len(early) <= 4


@pytest.mark.parametrize(("n_free_slots", "words"), [(0, "1 workers"), (1, "request in 60 s")])
def test_request_with_a_timeout_does_not_wait_longer_for_its_turn(
    n_free_slots: int, words: str
) -> None:
    limiter = RateLimiter(1 + n_free_slots)
    with limiter.acquire():
        limiter.pause(60.0 * n_free_slots)
        with pytest.raises(lb.RateLimitError, match=words), limiter.acquire(0.05):
            raise AssertionError("it has a turn")
