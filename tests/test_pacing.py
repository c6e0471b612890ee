"""One pace for all workers, with a clock that is handed in."""

from __future__ import annotations

import threading

import pytest

import llama_batches_nb as lb
from llama_batches_nb.pacing import LONGEST_BACKOFF, Pacing
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


def _pacing(clock: Clock, workers: int = 8) -> Pacing:
    return Pacing(workers, clock=clock, sleep=clock.sleep, chance=lambda: 1.0)


def test_without_refusals_nobody_waits(clock: Clock) -> None:
    pacing = _pacing(clock)
    with pacing.turn() as sent_at:
        assert sent_at == 100.0


def test_a_refusal_makes_the_next_one_wait_as_long_as_the_server_says(clock: Clock) -> None:
    pacing = _pacing(clock)
    with pacing.turn() as sent_at:
        pass
    pacing.refused(sent_at, 7.0)
    assert pacing.pause_left() == 7.0
    with pacing.turn() as sent_at:
        assert sent_at == pytest.approx(107.0)
    assert pacing.pause_left() == 0


def test_without_a_retry_after_the_pause_grows_up_to_a_limit(clock: Clock) -> None:
    pacing = _pacing(clock)
    pauses = []
    for _ in range(7):
        pacing.refused(clock(), None)
        pauses.append(pacing.pause_left())
        clock.sleep(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, LONGEST_BACKOFF, LONGEST_BACKOFF]


def test_refusals_of_requests_sent_together_count_once(clock: Clock) -> None:
    pacing = _pacing(clock)
    sent_at = clock()
    clock.sleep(0.1)
    assert [pacing.refused(sent_at, 1.0) for _ in range(8)] == [1] * 8
    clock.sleep(2)
    assert pacing.refused(clock(), 1.0) == 2
    pacing.answered()
    assert pacing.refused(clock(), 1.0) == 1


def test_after_a_refusal_fewer_go_at_once_and_answers_bring_them_back(clock: Clock) -> None:
    pacing = _pacing(clock, workers=8)
    assert pacing.most_at_once == 8
    pacing.refused(clock(), 0.0)
    assert pacing.most_at_once == 4
    clock.sleep(1)
    pacing.refused(clock(), 0.0)
    assert pacing.most_at_once == 2
    for _ in range(40):
        pacing.answered()
    assert pacing.most_at_once == 8


def test_a_request_waits_for_a_place_and_gets_it_when_one_is_freed(clock: Clock) -> None:
    pacing = _pacing(clock, workers=1)
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with pacing.turn():
            order.append("second")

    thread = threading.Thread(target=second)
    with pacing.turn():
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
        return batch("bat-1")

    serve(script, max_workers=2)
    lb.fetch_results([f"bat-{n}" for n in range(30)])
    early = [t for t in times if t < times[0] + 0.45]
    assert len(early) <= 4
