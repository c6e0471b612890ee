"""Waiting for batches: few requests, much patience, a deadline, and a clock that is handed in."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import progress
from llama_batches_nb.http.client import get_client
from llama_batches_nb.lifecycle import wait
from llama_batches_nb.lifecycle.wait import BatchPoller
from tests.conftest import Serve
from tests.http.test_rate_limit import Clock
from tests.servers import Answer, Asked, Script, Server, batch, in_turn, interrupt, page


def _wait(
    ids: list[str], clock: Clock, timeout: float | None = None, every: float | None = None
) -> pd.DataFrame:
    watch = BatchPoller(get_client(), ids, {}, clock=clock, sleep=clock.sleep)
    with progress.progress_bar(False, "waiting", unit="batch", total=len(ids)) as shown:
        watch.wait(timeout, every, shown)
    return watch.frame()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_batch_is_waited_for_through_all_its_statuses(serve: Serve, clock: Clock) -> None:
    words = ["PENDING", "THROTTLED", "RUNNING", "THROTTLED", "PAUSED", "RUNNING", "COMPLETED"]
    server = serve(in_turn([batch("bat-1", word) for word in words]))
    assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]
    assert len(server.asked) == len(words)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_an_ended_batch_is_asked_for_once(serve: Serve, status: str) -> None:
    server = serve(lambda asked: batch("bat-1", status))
    assert lb.wait_for_batches("bat-1").status.tolist() == [status]
    assert len(server.asked) == 1


def test_the_interval_grows_with_the_wait(serve: Serve, clock: Clock) -> None:
    started = clock()

    def script(asked: Asked) -> Any:
        polls.append(clock() - started)
        return batch("bat-1", "COMPLETED" if polls[-1] > 2000 else "RUNNING")

    polls: list[float] = []
    serve(script)
    _wait(["bat-1"], clock)
    pauses = [round(b - a, 6) for a, b in pairwise(polls)]
    assert pauses[0] == wait.MIN_INTERVAL
    assert pauses[-1] == wait.MAX_INTERVAL
    assert pauses == sorted(pauses)


def test_or_is_what_is_asked_for(serve: Serve, clock: Clock) -> None:
    server = serve(in_turn([batch("bat-1", "RUNNING")] * 4 + [batch("bat-1")]))
    started = clock()
    _wait(["bat-1"], clock, every=7)
    assert len(server.asked) == 5
    assert clock() - started == pytest.approx(28)


def _world(n_polls: int, n_batches: int) -> Script:
    """Batches that end one after the other, listed newest first in pages of ten."""
    polls = 0

    def script(asked: Asked) -> Any:
        nonlocal polls
        assert asked.path == "/api/v2/batches"
        start = int(asked.one("page_token") or 0)
        polls += start == 0
        items = [
            batch(
                f"bat-{n}",
                "COMPLETED" if n * n_polls < polls * n_batches else "RUNNING",
                created_at=f"2026-08-01T12:00:{59 - n:02}Z",
            )
            for n in range(start, start + 10)
        ]
        return page(items, str(start + 10))

    return script


def test_many_are_polled_by_the_list_no_further_than_needed(serve: Serve, clock: Clock) -> None:
    server = serve(_world(n_polls=5, n_batches=25))
    ids = [f"bat-{n}" for n in range(24, -1, -1)]
    ended = _wait(ids, clock)
    assert ended.batch_id.tolist() == ids
    assert set(ended.status) == {"COMPLETED"}
    assert len(server.asked) <= 5 * 3
    assert server.asked[0].one("created_at_on_or_after") is None
    assert server.asked[3].one("created_at_on_or_after") == "2026-08-01T12:00:34Z"
    assert server.asked[3].one("created_at_on_or_before") == "2026-08-01T12:00:55Z"


def test_a_failing_poll_is_no_failed_batch(serve: Serve, clock: Clock) -> None:
    faults = [Answer(status=500), Answer(drop=True), Answer(raw=b"{"), Answer(status=502)]
    serve(in_turn([batch("bat-1", "RUNNING"), *faults, batch("bat-1")]))
    assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]


def test_but_not_for_ever(serve: Serve, clock: Clock) -> None:
    serve(in_turn([batch("bat-1", "RUNNING"), Answer(status=500)]))
    started = clock()
    with pytest.raises(lb.ServerError):
        _wait(["bat-1"], clock)
    assert wait.MAX_POLL_OUTAGE <= clock() - started < 1.3 * wait.MAX_POLL_OUTAGE


def test_a_refused_key_is_raised_at_once(serve: Serve) -> None:
    server = serve(lambda asked: Answer({"detail": "No"}, 401))
    with pytest.raises(lb.AuthenticationError):
        lb.wait_for_batches("bat-1")
    assert len(server.asked) == 1


def test_a_batch_may_be_unknown_just_after_its_creation(serve: Serve, clock: Clock) -> None:
    serve(in_turn([Answer(status=404), Answer(status=404), batch("bat-1")]))
    assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]


def test_but_not_for_long(serve: Serve, clock: Clock) -> None:
    serve(lambda asked: Answer(status=404))
    started = clock()
    with pytest.raises(lb.NotFoundError):
        _wait(["bat-1"], clock)
    assert clock() - started < 2 * wait.NOT_FOUND_GRACE


def test_past_the_timeout_the_batches_are_given_as_they_stand(serve: Serve, clock: Clock) -> None:
    serve(lambda asked: batch(asked.path[-5:], "RUNNING" if asked.path[-1] == "1" else "FAILED"))
    started = clock()
    with pytest.raises(lb.WaitTimeoutError, match=r"1 of 2 .* 60 s .*bat-1"):
        _wait(["bat-1", "bat-2"], clock, timeout=60)
    assert clock() - started == pytest.approx(60)
    with pytest.raises(lb.WaitTimeoutError) as caught:
        lb.wait_for_batches(["bat-1", "bat-2"], timeout=0)
    assert caught.value.partial is not None
    assert caught.value.partial.status.tolist() == ["RUNNING", "FAILED"]


def test_a_timeout_tells_if_it_was_the_polls_that_failed(serve: Serve, clock: Clock) -> None:
    serve(lambda asked: Answer({"detail": "maintenance"}, 500))
    with pytest.raises(lb.WaitTimeoutError, match=r"The last poll failed: .*maintenance"):
        _wait(["bat-1"], clock, timeout=60)


def test_another_batch_is_not_the_one_that_is_waited_for(serve: Serve, clock: Clock) -> None:
    serve(in_turn([batch("bat-2"), batch("bat-1", "FAILED")]))
    assert _wait(["bat-1"], clock).status.tolist() == ["FAILED"]


def test_an_interrupt_stops_the_waiting_and_not_the_batches(serve: Serve) -> None:
    def script(asked: Asked) -> Any:
        interrupt()
        return batch("bat-1", "RUNNING")

    server = serve(script)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.wait_for_batches("bat-1", poll_interval=60)
    assert time.monotonic() - started < 5
    assert {asked.method for asked in server.asked} == {"GET"}
    assert "partial" in vars(caught.value)


@pytest.mark.parametrize(
    "arguments", [{"timeout": -1}, {"poll_interval": 0}, {"timeout": float("nan")}]
)
def test_times_that_make_no_sense_are_refused(serve: Serve, arguments: dict[str, Any]) -> None:
    server = serve(lambda asked: batch("bat-1"))
    with pytest.raises(ValueError, match=next(iter(arguments))):
        lb.wait_for_batches("bat-1", **arguments)
    assert not server.asked


def test_no_batches_have_ended_already(serve: Serve) -> None:
    server = serve(lambda asked: batch("bat-1"))
    assert lb.wait_for_batches([]).empty
    assert not server.asked


def test_the_bar_counts_what_has_ended_and_names_the_statuses(
    serve: Serve, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(serve(in_turn([batch("bat-1", "RUNNING"), batch("bat-1")])), Server)
    lb.wait_for_batches("bat-1", progress=True)
    shown = capsys.readouterr().err
    assert "1 RUNNING" in shown
    assert "1/1" in shown


def test_on_the_sandbox_a_batch_ends_and_a_cancelled_one_too(on_sandbox: lb.Client) -> None:
    directory = lb.fetch_directories(name="Invoices 2026")
    first = lb.create_batch(directory, "cfg-PARSE_AGENTIC")
    second = lb.create_batch(directory, "cfg-PARSE_AGENTIC").pipe(lb.cancel_batch)
    ended = lb.wait_for_batches([first.batch_id[0], second.batch_id[0]], timeout=60)
    assert ended.status.tolist() == ["COMPLETED", "CANCELLED"]
    assert len(lb.fetch_results(first)) == len(lb.fetch_files(directory))


@pytest.mark.parametrize(
    "answer", [Answer(status=429, headers={"Retry-After": "8"}), Answer(status=503)]
)
def test_no_retry_goes_past_the_timeout(serve: Serve, answer: Answer) -> None:
    serve(lambda asked: answer)
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=1)
    assert time.monotonic() - started < 3


def test_nor_does_a_server_that_hangs(serve: Serve) -> None:
    end = threading.Event()
    serve(lambda asked: end.wait(20))
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=1)
    end.set()
    assert time.monotonic() - started < 4


def test_a_retry_after_of_minutes_is_raised(serve: Serve) -> None:
    serve(lambda asked: Answer(status=429, headers={"Retry-After": "600"}))
    with pytest.raises(lb.RateLimitError) as caught:
        lb.wait_for_batches("bat-1")
    assert caught.value.retry_after == 600


def test_batches_that_the_list_does_not_show_are_asked_for_alone(
    serve: Serve, clock: Clock
) -> None:
    asked_for: dict[str, int] = {}

    def script(asked: Asked) -> Any:
        if asked.path == "/api/v2/batches":
            return page([batch("bat-other")])
        name = asked.path.rsplit("/", 1)[1]
        asked_for[name] = asked_for.get(name, 0) + 1
        return batch(name, "RUNNING" if asked_for[name] < 3 else "COMPLETED")

    server = serve(script)
    ended = _wait([f"bat-{n}" for n in range(25)], clock)
    assert set(ended.status) == {"COMPLETED"}
    assert set(asked_for.values()) == {3}
    assert server.paths().count("/api/v2/batches") == 1


@pytest.mark.parametrize("other", [None, "", "2026-08-01", "2026-08-01T12:00:00+02:00"])
def test_times_of_creation_may_be_of_several_forms(
    serve: Serve, clock: Clock, other: str | None
) -> None:
    times = ["2026-08-01T12:00:00Z", other]
    ids = [f"bat-{n}" for n in range(4)]

    def script(asked: Asked) -> Any:
        status = "RUNNING" if len(server.asked) < 3 else "COMPLETED"
        return page([batch(i, status, created_at=times[n % 2]) for n, i in enumerate(ids)])

    server = serve(script)
    assert _wait(ids, clock).batch_id.tolist() == ids
    assert len(server.asked) == 3


@pytest.mark.parametrize("wrong", [{"status": ["COMPLETED"]}, {"created_at": "yesterday"}])
def test_what_is_no_batch_is_borne_for_a_while_and_then_told(
    serve: Serve, clock: Clock, wrong: dict[str, Any]
) -> None:
    ids = [f"bat-{n}" for n in range(4)]
    serve(lambda asked: page([batch(i, **{"status": "RUNNING", **wrong}) for i in ids]))
    started = clock()
    with pytest.raises(lb.ResponseError, match=next(iter(wrong))):
        _wait(ids, clock)
    assert clock() - started >= wait.MAX_POLL_OUTAGE


def test_a_list_without_an_end_does_not_outlast_the_timeout(serve: Serve) -> None:
    def script(asked: Asked) -> Any:
        return page([batch(f"bat-{len(server.asked)}")], f"token-{len(server.asked)}")

    server = serve(script)
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches(["a", "b", "c", "d"], timeout=0.3)
    assert time.monotonic() - started < wait.MIN_LIST_TIMEOUT + 2
