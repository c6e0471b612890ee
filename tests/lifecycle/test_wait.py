"""Wait for batches: few requests, tolerance of faults, and timeouts, with a fake clock."""

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
from llama_batches_nb.lifecycle import polling
from llama_batches_nb.lifecycle.wait import BatchPoller
from tests.conftest import Serve
from tests.http.test_rate_limit import Clock
from tests.servers import Request, Response, Script, batch, interrupt, page, responses_in_turn


def _wait(
    ids: list[str],
    clock: Clock,
    timeout: float | None = None,
    poll_interval: float | None = None,
) -> pd.DataFrame:
    poller = BatchPoller(get_client(), ids, {}, clock=clock, sleep=clock.sleep)
    with progress.progress_bar(False, "waiting", unit="batch", total=len(ids)) as bar:
        poller.wait(timeout, poll_interval, bar)
    return poller.frame()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_wait_polls_through_all_statuses(serve: Serve, clock: Clock) -> None:
    statuses = ["PENDING", "THROTTLED", "RUNNING", "THROTTLED", "PAUSED", "RUNNING", "COMPLETED"]
    server = serve(responses_in_turn([batch("bat-1", status) for status in statuses]))
    assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]
    assert len(server.requests) == len(statuses)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_finished_batch_is_polled_once(serve: Serve, status: str) -> None:
    server = serve(lambda request: batch("bat-1", status))
    assert lb.wait_for_batches("bat-1").status.tolist() == [status]
    assert len(server.requests) == 1


def test_wait_for_no_batches_sends_no_request(serve: Serve) -> None:
    server = serve(lambda request: batch("bat-1"))
    assert lb.wait_for_batches([]).empty
    assert not server.requests


def test_poll_interval_grows_with_elapsed_time(serve: Serve, clock: Clock) -> None:
    started = clock()
    polls: list[float] = []

    def script(request: Request) -> Any:
        polls.append(clock() - started)
        return batch("bat-1", "COMPLETED" if polls[-1] > 2000 else "RUNNING")

    serve(script)
    _wait(["bat-1"], clock)
    intervals = [round(b - a, 6) for a, b in pairwise(polls)]
    assert intervals[0] == polling.MIN_INTERVAL
    assert intervals[-1] == polling.MAX_INTERVAL
    assert intervals == sorted(intervals)


def test_poll_interval_can_be_set(serve: Serve, clock: Clock) -> None:
    server = serve(responses_in_turn([batch("bat-1", "RUNNING")] * 4 + [batch("bat-1")]))
    started = clock()
    _wait(["bat-1"], clock, poll_interval=7)
    assert len(server.requests) == 5
    assert clock() - started == pytest.approx(28)


def _finish_in_turn(n_polls: int, n_batches: int) -> Script:
    """List batches in pages of ten, newest first; they finish one after the other."""
    polls = 0

    def script(request: Request) -> Any:
        nonlocal polls
        assert request.path == "/api/v2/batches"
        start = int(request.param("page_token") or 0)
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


def test_many_batches_are_polled_with_few_list_requests(serve: Serve, clock: Clock) -> None:
    server = serve(_finish_in_turn(n_polls=5, n_batches=25))
    ids = [f"bat-{n}" for n in range(24, -1, -1)]
    batches = _wait(ids, clock)
    assert batches.batch_id.tolist() == ids
    assert set(batches.status) == {"COMPLETED"}
    assert len(server.requests) <= 5 * 3
    assert server.requests[0].param("created_at_on_or_after") is None
    assert server.requests[3].param("created_at_on_or_after") == "2026-08-01T12:00:34Z"
    assert server.requests[3].param("created_at_on_or_before") == "2026-08-01T12:00:55Z"


def test_batches_missing_from_list_are_polled_one_by_one(serve: Serve, clock: Clock) -> None:
    polled: list[str] = []

    def script(request: Request) -> Any:
        if request.path == "/api/v2/batches":
            return page([batch("bat-other")])
        batch_id = request.path.rsplit("/", 1)[1]
        polled.append(batch_id)
        return batch(batch_id, "RUNNING" if polled.count(batch_id) < 3 else "COMPLETED")

    server = serve(script)
    ids = [f"bat-{n}" for n in range(25)]
    batches = _wait(ids, clock)
    assert set(batches.status) == {"COMPLETED"}
    assert [sorted(polled[n : n + 25]) for n in (0, 25, 50)] == [sorted(ids)] * 3
    assert len(polled) == 75
    assert server.paths().count("/api/v2/batches") == 1


@pytest.mark.parametrize("other", [None, "", "2026-08-01", "2026-08-01T12:00:00+02:00"])
def test_wait_accepts_creation_times_of_several_formats(
    serve: Serve, clock: Clock, other: str | None
) -> None:
    times = ["2026-08-01T12:00:00Z", other]
    ids = [f"bat-{n}" for n in range(4)]

    def script(request: Request) -> Any:
        status = "RUNNING" if len(server.requests) < 3 else "COMPLETED"
        return page([batch(i, status, created_at=times[n % 2]) for n, i in enumerate(ids)])

    server = serve(script)
    assert _wait(ids, clock).batch_id.tolist() == ids
    assert len(server.requests) == 3


# --- faults -------------------------------------------------------------------------------------


def test_failed_polls_are_tolerated(serve: Serve, clock: Clock) -> None:
    faults = [Response(status=500), Response(drop=True), Response(raw=b"{"), Response(status=502)]
    serve(responses_in_turn([batch("bat-1", "RUNNING"), *faults, batch("bat-1")]))
    assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]


def test_long_outage_is_raised(serve: Serve, clock: Clock) -> None:
    serve(responses_in_turn([batch("bat-1", "RUNNING"), Response(status=500)]))
    started = clock()
    with pytest.raises(lb.ServerError):
        _wait(["bat-1"], clock)
    assert polling.MAX_POLL_OUTAGE <= clock() - started < 1.3 * polling.MAX_POLL_OUTAGE


def test_status_that_is_no_text_is_raised_after_outage(serve: Serve, clock: Clock) -> None:
    ids = [f"bat-{n}" for n in range(4)]
    serve(lambda request: page([batch(i) | {"status": ["COMPLETED"]} for i in ids]))
    started = clock()
    with pytest.raises(lb.ResponseError, match="'status'"):
        _wait(ids, clock)
    assert clock() - started >= polling.MAX_POLL_OUTAGE


def test_authentication_error_is_raised_at_once(serve: Serve) -> None:
    server = serve(lambda request: Response({"detail": "No"}, 401))
    with pytest.raises(lb.AuthenticationError):
        lb.wait_for_batches("bat-1")
    assert len(server.requests) == 1


def test_retry_after_of_minutes_is_raised(serve: Serve) -> None:
    serve(lambda request: Response(status=429, headers={"Retry-After": "600"}))
    with pytest.raises(lb.RateLimitError) as caught:
        lb.wait_for_batches("bat-1")
    assert caught.value.retry_after == 600


def test_batch_of_a_frame_may_be_unknown_to_the_server_for_longer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "NEW_GRACE", 0.0)
    created = pd.DataFrame({"batch_id": ["bat-1"], "status": ["PENDING"]})
    missing = Response(status=404)
    serve(responses_in_turn([missing, missing, batch("bat-1", "COMPLETED")]))
    assert lb.wait_for_batches(created).status.tolist() == ["COMPLETED"]
    serve(responses_in_turn([missing, batch("bat-1", "COMPLETED")]))
    with pytest.raises(lb.NotFoundError):
        lb.wait_for_batches(created.batch_id)


@pytest.mark.parametrize("fault", [Response(status=404), Response(status=500), Response(drop=True)])
@pytest.mark.parametrize("seconds", [250, 400])
def test_fault_in_a_long_wait_is_tolerated_for_minutes(
    serve: Serve, clock: Clock, fault: Response, seconds: float
) -> None:
    started = clock()

    def script(request: Request) -> Any:
        elapsed = clock() - started
        is_faulty = 1000 < elapsed < 1000 + seconds
        return fault if is_faulty else batch("bat-1", "COMPLETED" if elapsed > 2000 else "RUNNING")

    serve(script, max_retries=0)
    if seconds < polling.MAX_POLL_OUTAGE:
        assert _wait(["bat-1"], clock).status.tolist() == ["COMPLETED"]
    else:
        with pytest.raises(lb.BatchesError):
            _wait(["bat-1"], clock)
        assert clock() - started < 1000 + 1.3 * polling.MAX_POLL_OUTAGE


def test_response_with_another_batch_is_ignored(serve: Serve, clock: Clock) -> None:
    serve(responses_in_turn([batch("bat-2"), batch("bat-1", "FAILED")]))
    assert _wait(["bat-1"], clock).status.tolist() == ["FAILED"]


def test_interrupt_ends_wait_and_not_batch(serve: Serve) -> None:
    def script(request: Request) -> Any:
        interrupt()
        return batch("bat-1", "RUNNING")

    server = serve(script)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.wait_for_batches("bat-1", poll_interval=60)
    assert time.monotonic() - started < 5
    assert {request.method for request in server.requests} == {"GET"}
    assert "partial" in vars(caught.value)


# --- timeouts -----------------------------------------------------------------------------------


def test_timeout_error_has_batches_as_last_polled(serve: Serve, clock: Clock) -> None:
    serve(
        lambda request: batch(request.path[-5:], "RUNNING" if request.path[-1] == "1" else "FAILED")
    )
    started = clock()
    with pytest.raises(
        lb.WaitTimeoutError, match=r"1 of 2 .* 60 s: 'bat-1'\. They keep running and may be billed"
    ):
        _wait(["bat-1", "bat-2"], clock, timeout=60)
    assert clock() - started == pytest.approx(60)
    with pytest.raises(lb.WaitTimeoutError) as caught:
        lb.wait_for_batches(["bat-1", "bat-2"], timeout=0)
    assert caught.value.partial is not None
    assert caught.value.partial.status.tolist() == ["RUNNING", "FAILED"]


def test_timeout_error_has_error_of_last_poll(serve: Serve, clock: Clock) -> None:
    serve(lambda request: Response({"detail": "maintenance"}, 500))
    with pytest.raises(lb.WaitTimeoutError, match=r"The last poll failed: .*maintenance"):
        _wait(["bat-1"], clock, timeout=60)


@pytest.mark.parametrize(
    "response", [Response(status=429, headers={"Retry-After": "8"}), Response(status=503)]
)
def test_retries_end_at_timeout(serve: Serve, response: Response) -> None:
    serve(lambda request: response)
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=1)
    assert time.monotonic() - started < 3


def test_request_without_response_ends_at_timeout(serve: Serve) -> None:
    end = threading.Event()
    serve(lambda request: end.wait(20))
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=1)
    end.set()
    assert time.monotonic() - started < 4


def test_endless_list_ends_soon_after_timeout(serve: Serve) -> None:
    def script(request: Request) -> Any:
        return page([batch(f"bat-{len(server.requests)}")], f"token-{len(server.requests)}")

    server = serve(script)
    started = time.monotonic()
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches(["a", "b", "c", "d"], timeout=0.3)
    assert time.monotonic() - started < polling.MAX_OVERRUN + 2


@pytest.mark.parametrize(
    "arguments", [{"timeout": -1}, {"poll_interval": 0}, {"timeout": float("nan")}]
)
def test_wait_rejects_invalid_times_without_request(
    serve: Serve, arguments: dict[str, Any]
) -> None:
    server = serve(lambda request: batch("bat-1"))
    with pytest.raises(ValueError, match=next(iter(arguments))):
        lb.wait_for_batches("bat-1", **arguments)
    assert not server.requests


# --- the progress bar, and the sandbox ----------------------------------------------------------


def test_bar_counts_finished_batches_and_statuses(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(responses_in_turn([batch("bat-1", "RUNNING"), batch("bat-1")]))
    lb.wait_for_batches("bat-1", progress=True)
    output = capsys.readouterr().err
    assert "1 RUNNING" in output
    assert "1/1" in output


@pytest.mark.filterwarnings("ignore:Directory dir-.* has other batches")
def test_completed_and_cancelled_batches_finish_on_sandbox(on_sandbox: lb.Client) -> None:
    directory = lb.fetch_directories(name="Invoices 2026")
    first = lb.create_batch(directory, "cfg-PARSE_AGENTIC")
    second = lb.create_batch(directory, "cfg-PARSE_AGENTIC").pipe(lb.cancel_batch)
    batches = lb.wait_for_batches([first.batch_id[0], second.batch_id[0]], timeout=60)
    assert batches.status.tolist() == ["COMPLETED", "CANCELLED"]
    assert len(lb.fetch_results(first)) == len(lb.fetch_files(directory))
