"""One pace for all workers, with a clock that is handed in."""

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
from llama_batches_nb.http.rate_limit import MAX_BACKOFF, REDUCTION, SLOWEST, RateLimiter
from tests.conftest import Serve
from tests.servers import Answer, Asked, batch, mapping, page


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _pacing(clock: Clock, workers: int = 8) -> RateLimiter:
    return RateLimiter(workers, clock=clock, sleep=clock.sleep, chance=lambda: 1.0)


def test_without_refusals_nobody_waits(clock: Clock) -> None:
    pacing = _pacing(clock)
    with pacing.acquire() as sent_at:
        assert sent_at == 100.0


def test_a_refusal_makes_the_next_one_wait_as_long_as_the_server_says(clock: Clock) -> None:
    pacing = _pacing(clock)
    with pacing.acquire() as sent_at:
        pass
    pacing.on_throttled(sent_at, 7.0)
    assert pacing.pause_left() == 7.0
    with pacing.acquire() as sent_at:
        assert 107.0 <= sent_at <= 114.0
    assert pacing.pause_left() == 0


def test_without_a_retry_after_five_pauses_are_longer_than_a_minute(clock: Clock) -> None:
    """Many limits are so many a minute."""
    for chance in (0.0, 1.0):
        pacing = RateLimiter(8, clock=clock, sleep=clock.sleep, chance=partial(float, chance))
        pauses = []
        for _ in range(6):
            pacing.on_throttled(clock(), None)
            pauses.append(pacing.pause_left())
            clock.sleep(pauses[-1])
        most = [1.0, 3, 9, 27, MAX_BACKOFF, MAX_BACKOFF]
        assert pauses == pytest.approx([pause * (0.8 + chance / 5) for pause in most])
        assert sum(pauses[:5]) > 60


def test_refusals_of_requests_sent_together_count_once(clock: Clock) -> None:
    pacing = _pacing(clock)
    sent_at = clock()
    clock.sleep(0.1)
    assert [pacing.on_throttled(sent_at, 1.0) for _ in range(8)] == [1] * 8
    clock.sleep(2)
    assert pacing.on_throttled(clock(), 1.0) == 2
    pacing.on_success()
    assert pacing.on_throttled(clock(), 1.0) == 1


def test_a_few_refusals_cost_no_more_than_their_pause(clock: Clock) -> None:
    pacing = _pacing(clock)
    for _ in range(20):
        pacing.on_throttled(clock(), 1.0)
        clock.sleep(1.0)
        for _ in range(6):
            pacing.on_success()
    assert pacing.rate == math.inf


def _refuse_many(pacing: RateLimiter, clock: Clock, retry_after: float) -> None:
    """Refuse as many requests as are sent together."""
    sent_at = clock()
    clock.sleep(0.001)
    for _ in range(16):
        pacing.on_throttled(sent_at, retry_after)


def test_after_many_it_is_somewhat_slower_than_what_was_let_through(clock: Clock) -> None:
    pacing = _pacing(clock)
    for _ in range(10):
        with pacing.acquire():
            clock.sleep(0.1)
        pacing.on_success()
    assert pacing.rate == math.inf
    _refuse_many(pacing, clock, 3.0)
    assert pacing.rate == pytest.approx(10 / (1.001 + 3) * REDUCTION)
    with pacing.acquire() as before, pacing.acquire() as sent_at:
        assert sent_at - before == pytest.approx(1 / pacing.rate)


def test_answers_and_time_bring_the_rate_back(clock: Clock) -> None:
    pacing = _pacing(clock)
    pacing.on_success()
    _refuse_many(pacing, clock, 1.0)
    slow = pacing.rate
    clock.sleep(1)
    pacing.on_success()
    assert slow < pacing.rate < 1.1 * slow
    for _ in range(200):
        pacing.on_success()
    assert pacing.rate == math.inf


def test_refusals_without_an_answer_between_them_halve_the_rate(clock: Clock) -> None:
    pacing = _pacing(clock)
    rates = []
    for _ in range(4):
        _refuse_many(pacing, clock, 0.5)
        rates.append(pacing.rate)
        clock.sleep(0.5)
    assert rates == pytest.approx([1, 0.5, 0.25, 0.125], rel=0.01)


def test_where_slower_is_no_better_it_is_given_up(clock: Clock) -> None:
    pacing = _pacing(clock)
    rates = []
    for _ in range(40):
        pacing.on_throttled(clock(), 1.0)
        rates.append(pacing.rate)
        clock.sleep(1.0)
        pacing.on_success()
    slowest = min(rates)
    assert SLOWEST <= slowest < 1
    assert rates[-10:] == [math.inf] * 10


def test_a_rate_is_forgotten_when_nobody_asks(clock: Clock) -> None:
    pacing = _pacing(clock)
    _refuse_many(pacing, clock, 1.0)
    assert pacing.rate < math.inf
    clock.sleep(60)
    with pacing.acquire():
        assert pacing.rate == math.inf


@pytest.mark.parametrize(("share", "seconds"), [(0.02, 5), (0.1, 20), (0.2, 60), (0.5, 200)])
def test_refusals_at_random_cost_little_more_than_their_pauses(share: float, seconds: int) -> None:
    server = Whim(share)
    assert Simulation(server, 1, 300).run() < seconds
    assert server.answered == 300


class Whim:
    """A server that refuses a share of the requests, however often it is asked."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._chance = random.Random(2).random
        self.answered = 0

    def ask(self, now: float, request: object) -> bool:
        is_let_through = self._chance() >= self._share
        self.answered += is_let_through
        return is_let_through


@pytest.mark.parametrize(
    ("clients", "requests", "rate"), [(1, 500, 20), (3, 300, 20), (200, 100, 100)]
)
def test_all_clients_of_a_limited_server_finish_with_few_refusals(
    clients: int, requests: int, rate: int
) -> None:
    """A simulation, by the clock of its own; a bucket that refills is the limit."""
    server = Bucket(rate)
    seconds = Simulation(server, clients, requests).run()
    assert server.answered == clients * requests
    assert server.refused < server.answered / 2
    assert seconds < 2 * clients * requests / rate


@pytest.mark.parametrize(("requests", "seconds"), [(20, 8), (200, 60)])
def test_what_is_refused_once_each_costs_little_more_than_the_pauses(
    requests: int, seconds: int
) -> None:
    server = Warming()
    assert Simulation(server, 1, requests).run() < seconds
    assert server.answered == requests


class Warming:
    """A server that refuses each request once, and lets it through when it comes again."""

    def __init__(self) -> None:
        self._seen: set[object] = set()
        self.answered = 0

    def ask(self, now: float, request: object) -> bool:
        is_let_through = request in self._seen
        self._seen.add(request)
        self.answered += is_let_through
        return is_let_through


class Bucket:
    """A server that answers so many requests a second, and as many at once."""

    def __init__(self, rate: float) -> None:
        self.rate = self.left = float(rate)
        self.looked = 0.0
        self.answered = self.refused = 0

    def ask(self, now: float, request: object) -> bool:
        self.left = min(self.rate, self.left + (now - self.looked) * self.rate)
        self.looked = now
        is_let_through = self.left >= 1
        self.left -= is_let_through
        self.answered += is_let_through
        self.refused += not is_let_through
        return is_let_through


class Simulation:
    """Clients of 8 workers each, which ask a server until each has its answers."""

    def __init__(self, server: Bucket | Warming | Whim, clients: int, requests: int) -> None:
        self.now = 0.0
        self._server = server
        self._chance = random.Random(1).random
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        for _ in range(clients):
            pacing = RateLimiter(8, clock=lambda: self.now, chance=self._chance)
            left = iter(range(requests))
            for _ in range(8):
                self._later(0.5 * self._chance(), partial(self._next, pacing, left))

    def run(self) -> float:
        """Return how many seconds it took."""
        while self._due:
            self.now, _, do = heapq.heappop(self._due)
            do()
        return self.now

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), do))

    def _next(self, pacing: RateLimiter, left: Iterator[int]) -> None:
        if next(left, None) is not None:
            self._ask(pacing, partial(self._next, pacing, left))

    def _ask(
        self, pacing: RateLimiter, then: Callable[[], None], *, repeated: bool = False
    ) -> None:
        if wait := pacing.try_acquire():
            self._later(wait + 1e-6, partial(self._ask, pacing, then, repeated=repeated))
        else:
            latency = 0.02 * (0.5 + self._chance())
            self._later(latency, partial(self._answer, pacing, self.now, then, repeated=repeated))

    def _answer(
        self, pacing: RateLimiter, sent_at: float, then: Callable[[], None], *, repeated: bool
    ) -> None:
        pacing.release()
        if self._server.ask(self.now, then):
            pacing.on_success(repeated=repeated)
            then()
        else:
            refusals = pacing.on_throttled(sent_at, 1.0, repeated=repeated)
            assert refusals <= 5, "a client would give up"
            self._ask(pacing, then, repeated=True)


def test_a_request_waits_for_a_place_and_gets_it_when_one_is_freed(clock: Clock) -> None:
    pacing = _pacing(clock, workers=1)
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with pacing.acquire():
            order.append("second")

    thread = threading.Thread(target=second)
    with pacing.acquire():
        thread.start()
        waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_workers_share_one_slow_down(serve: Serve) -> None:
    """Of 40 batches and a limit of 10 at a time, few requests are refused, and none is lost."""
    import time

    lock, started = threading.Lock(), time.monotonic()
    spent: dict[int, int] = {}

    def limited(asked: Asked) -> object:
        window = int((time.monotonic() - started) / 0.25)
        with lock:
            spent[window] = spent.get(window, 0) + 1
            if spent[window] > 10:
                return Answer({"detail": "Slow down"}, 429, {"Retry-After": "0.25"})
        return batch("bat-" + asked.path[-2:], results=[mapping("dfl-" + asked.path[-2:])])

    server = serve(limited)
    results = lb.fetch_results([f"bat-{n:02}" for n in range(40)])
    assert results.source_directory_file_id.tolist() == [f"dfl-{n:02}" for n in range(40)]
    refused = len(server.asked) - 40
    assert 0 < refused < 40


def test_a_page_waits_too(serve: Serve) -> None:
    answers = iter([Answer(status=429, headers={"Retry-After": "0"}), page([batch("bat-1")])])
    serve(lambda asked: next(answers))
    assert len(lb.fetch_batches()) == 1


def test_an_unwell_server_that_names_a_time_is_left_alone_by_all(serve: Serve) -> None:
    import time

    times: list[float] = []

    def script(asked: Asked) -> object:
        times.append(time.monotonic())
        if len(times) == 1:
            return Answer(status=503, headers={"Retry-After": "0.5"})
        time.sleep(0.02)
        return batch(asked.path.rsplit("/", 1)[1])

    serve(script, max_workers=2)
    lb.fetch_results([f"bat-{n}" for n in range(30)])
    early = [t for t in times if t < times[0] + 0.45]
    assert len(early) <= 4
