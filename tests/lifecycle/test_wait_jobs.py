"""Wait for jobs: late references, expired jobs, outages and timeouts, with a fake clock."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import progress
from llama_batches_nb.http.client import get_client
from llama_batches_nb.lifecycle import polling, wait_jobs
from llama_batches_nb.lifecycle.wait_jobs import JobPoller, results_to_come
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.http.test_rate_limit import Clock
from tests.servers import Request, Response, batch, interrupt, mapping, page

NOW = datetime(2026, 8, 1, 12, 5, tzinfo=UTC)


def _wait(
    results: pd.DataFrame,
    clock: Clock,
    timeout: float | None = None,
    poll_interval: float | None = None,
) -> JobPoller:
    poller = JobPoller(get_client(), results, {}, clock=clock, sleep=clock.sleep, now=lambda: NOW)
    with progress.progress_bar(False, "waiting", unit="job") as bar:
        poller.wait(timeout, poll_interval, bar)
    return poller


def _results(api: FakeApi, *mappings: Any, status: str = "COMPLETED") -> pd.DataFrame:
    """Add a batch with these results to the API, and fetch them."""
    api.batches["bat-1"] = batch("bat-1", status, results=list(mappings))
    return lb.fetch_results("bat-1")


@pytest.fixture
def api(serve: Serve) -> FakeApi:
    """Serve a fake API."""
    fake = FakeApi()
    serve(fake, max_retries=0)
    return fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_wait_polls_until_all_jobs_have_ended(api: FakeApi, clock: Clock) -> None:
    api.add_job("pjb-1", ["PENDING", "RUNNING", "THROTTLED", "PAUSED", "FAILED"])
    api.add_job("pjb-2")
    results = _results(
        api, mapping("dfl-1", "pjb-1"), mapping("dfl-2", "pjb-2"), mapping("x", None, "e")
    )
    jobs = _wait(results, clock).frame()
    assert jobs.job_id.tolist() == ["pjb-1", "pjb-2"]
    assert jobs.status.tolist() == ["FAILED", "COMPLETED"]
    assert jobs.job_type.tolist() == ["parse_v2", "parse_v2"]
    assert api.requests["GET jobs"] == 5
    assert api.requests["job IDs"] == 6
    assert api.requests["GET batch"] == 1


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_ended_jobs_are_polled_once(api: FakeApi, status: str) -> None:
    api.add_job("pjb-1", status, usage={"credits": 3})
    results = _results(api, mapping("dfl-1", "pjb-1"))
    jobs = lb.wait_for_jobs(results)
    assert jobs.status.tolist() == [status]
    pd.testing.assert_frame_equal(jobs, lb.fetch_jobs(results))
    assert api.requests["GET jobs"] == 2


def test_results_without_jobs_send_no_request(api: FakeApi) -> None:
    results = _results(api, mapping("dfl-1", None, "too long"))
    jobs = lb.wait_for_jobs(results)
    pd.testing.assert_frame_equal(jobs, lb.fetch_jobs(results))
    assert api.requests["GET jobs"] == 0
    assert api.requests["GET batch"] == 1


def test_poll_interval_can_be_set(api: FakeApi, clock: Clock) -> None:
    api.add_job("pjb-1", ["RUNNING"] * 4 + ["COMPLETED"])
    started = clock()
    _wait(_results(api, mapping("dfl-1", "pjb-1")), clock, poll_interval=7)
    assert clock() - started == pytest.approx(28)


def test_references_that_appear_late_are_waited_for(api: FakeApi, clock: Clock) -> None:
    results = _results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2"))
    api.add_job("pjb-1")
    api.add_job("pjb-2", ["RUNNING", "COMPLETED"])
    late = [mapping("dfl-1", "pjb-1"), mapping("dfl-2", "pjb-2")]
    responses = [lambda old: old] * 3 + [lambda old: old | {"results": late}]
    api.faults["bat-1"] = [*responses]
    poller = _wait(results, clock)
    assert poller.frame().job_id.tolist() == ["pjb-1", "pjb-2"]
    assert poller.frame().status.tolist() == ["COMPLETED"] * 2
    assert poller.refetched["bat-1"].job_id.tolist() == ["pjb-1", "pjb-2"]
    with pytest.warns(UserWarning, match="1 file got a job after these results"):
        poller.warn_late()


def test_batches_are_accepted_and_their_late_results_waited_for(api: FakeApi, clock: Clock) -> None:
    for n in (1, 2):
        api.add_job(f"pjb-{n}", ["RUNNING", "COMPLETED"])
        api.batches[f"bat-{n}"] = batch(
            f"bat-{n}", "COMPLETED", results=[mapping(f"dfl-{n}", f"pjb-{n}")]
        )

    def null(old: Any) -> Any:
        return old | {"results": None}

    running: Any = {"status": "RUNNING"}
    empty: Any = {"results": []}
    api.faults |= {"bat-1": [lambda old: old | running, null, lambda old: old | empty]}
    poller = _wait(results_to_come(["bat-1", "bat-2"]), clock)
    assert set(poller.frame().job_id) == {"pjb-1", "pjb-2"}
    api.faults["bat-1"] = [null]
    batches = pl.DataFrame({"batch_id": ["bat-1", "bat-2"]})
    for given in (batches, ["bat-1", "bat-2"], batches.to_pandas().set_index("batch_id")):
        jobs = lb.wait_for_jobs(given)
        assert sorted(jobs.job_id) == ["pjb-1", "pjb-2"]
        assert jobs.status.tolist() == ["COMPLETED"] * 2


def test_results_that_never_appear_and_unknown_batches_are_named(
    api: FakeApi, clock: Clock
) -> None:
    api.batches["bat-1"] = batch("bat-1", "COMPLETED", results=[])
    poller = _wait(results_to_come(["bat-1", "bat-2"]), clock)
    assert poller.frame().empty
    with (
        pytest.warns(UserWarning, match="does not know 1 batch: 'bat-2'"),
        pytest.warns(UserWarning, match="COMPLETED batches without results: 'bat-1'"),
    ):
        poller.warn_missing()


def test_running_batch_is_polled_until_it_has_ended(api: FakeApi, clock: Clock) -> None:
    results = _results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2", "pjb-2"), status="RUNNING")
    assert len(results) == 1
    api.add_job("pjb-1")
    api.add_job("pjb-2")

    def end(response: Any) -> Any:
        api.end("bat-1")
        return api.batches["bat-1"]

    api.faults["bat-1"] = [None, None, None, end]
    assert _wait(results, clock).frame().job_id.tolist() == ["pjb-1", "pjb-2"]


def test_reference_that_never_appears_is_given_up(api: FakeApi, clock: Clock) -> None:
    results = _results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2"))
    api.add_job("pjb-1")
    started = clock()
    poller = _wait(results, clock)
    waited = clock() - started
    assert wait_jobs.MAX_REFERENCE_WAIT <= waited <= wait_jobs.MAX_REFERENCE_WAIT + 60
    assert poller.frame().job_id.tolist() == ["pjb-1"]
    with pytest.warns(UserWarning, match="1 file has neither a job nor an error message"):
        poller.warn_missing()


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_batch_that_ended_long_ago_is_not_waited_for(
    api: FakeApi, clock: Clock, status: str
) -> None:
    results = _results(api, mapping("dfl-1"), status=status)
    api.batches["bat-1"]["updated_at"] = "2026-07-01T12:00:00Z"
    started = clock()
    _wait(results, clock)
    assert clock() == started
    assert api.requests["GET batch"] == (2 if status == "COMPLETED" else 1)


def test_batch_that_has_expired_is_not_waited_for(api: FakeApi, clock: Clock) -> None:
    results = _results(api, mapping("dfl-1"))
    del api.batches["bat-1"]
    assert _wait(results, clock).frame().empty


def test_job_unknown_to_the_list_is_given_up_with_a_warning(api: FakeApi, clock: Clock) -> None:
    api.add_job("pjb-1")
    started = clock()
    poller = _wait(_results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2", "pjb-2")), clock)
    assert polling.NEW_GRACE <= clock() - started < 2 * polling.NEW_GRACE
    assert poller.frame().job_id.tolist() == ["pjb-1"]
    with pytest.warns(UserWarning, match=r"does not know 1 of 2 jobs: 'pjb-2'"):
        poller.warn_missing()


def test_list_that_answers_not_found_is_given_up(api: FakeApi, clock: Clock) -> None:
    api.faults["GET jobs"] = Response({"detail": "Not found"}, 404)
    assert _wait(_results(api, mapping("dfl-1", "pjb-1")), clock).frame().empty


def test_job_that_expires_while_it_is_polled_keeps_its_last_status(
    api: FakeApi, clock: Clock
) -> None:
    api.add_job("pjb-1", "RUNNING")
    results = _results(api, mapping("dfl-1", "pjb-1"))
    api.faults["GET jobs"] = [None, *([Response(page([]))] * 100)]
    assert _wait(results, clock).frame().status.tolist() == ["RUNNING"]


@pytest.mark.parametrize("what", ["GET jobs", "GET batch"])
def test_not_found_in_a_long_wait_is_tolerated(api: FakeApi, clock: Clock, what: str) -> None:
    api.add_job("pjb-1", ["RUNNING"] * 9 + ["COMPLETED"])
    results = _results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2"))
    api.faults[what] = [None, *([Response({"detail": "Not found"}, 404)] * 4)]
    poller = _wait(results, clock)
    assert poller.frame().status.tolist() == ["COMPLETED"]
    assert len(poller.refetched) == 1


def test_outage_is_tolerated_for_a_while(api: FakeApi, clock: Clock) -> None:
    api.add_job("pjb-1", ["RUNNING", "COMPLETED"])
    api.faults["GET jobs"] = [None, *([Response(status=500)] * 8)]
    results = _results(api, mapping("dfl-1", "pjb-1"))
    assert _wait(results, clock).frame().status.tolist() == ["COMPLETED"]


def test_persistent_outage_raises(api: FakeApi, clock: Clock) -> None:
    api.faults["GET jobs"] = Response(status=500)
    started = clock()
    with pytest.raises(lb.ServerError):
        _wait(_results(api, mapping("dfl-1", "pjb-1")), clock)
    assert polling.MAX_POLL_OUTAGE <= clock() - started < 1.3 * polling.MAX_POLL_OUTAGE


def test_rejected_key_raises_at_once(api: FakeApi, clock: Clock) -> None:
    api.faults["GET jobs"] = Response({"detail": "Invalid"}, 401)
    with pytest.raises(lb.AuthenticationError):
        _wait(_results(api, mapping("dfl-1", "pjb-1")), clock)
    assert api.requests["GET jobs"] == 1


def test_timeout_raises_with_all_jobs_as_partial(api: FakeApi) -> None:
    api.add_job("pjb-1")
    api.add_job("pjb-2", "RUNNING")
    results = _results(api, mapping("dfl-1", "pjb-1"), mapping("dfl-2", "pjb-2"))
    with pytest.raises(lb.WaitTimeoutError, match=r"1 of 2 jobs .* 'pjb-2'\.") as caught:
        lb.wait_for_jobs(results, timeout=0)
    assert caught.value.partial is not None
    assert caught.value.partial.status.tolist() == ["COMPLETED", "RUNNING"]


def test_interrupt_keeps_the_jobs_as_last_polled(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if len(server.requests) > 1:
            interrupt()
        return page([{"id": "pjb-1", "status": "RUNNING"}])

    server = serve(script)
    results = pd.DataFrame({"job_id": ["pjb-1"], "job_type": ["parse_v2"]})
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.wait_for_jobs(results)
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert partial.status.tolist() == ["RUNNING"]


def test_many_jobs_are_polled_a_hundred_per_request(api: FakeApi, clock: Clock) -> None:
    ids = [api.add_job(f"pjb-{n}", ["RUNNING", "COMPLETED"]) for n in range(250)]
    jobs = _wait(_results(api, *(mapping(f"dfl-{i}", i) for i in ids)), clock).frame()
    assert jobs.job_id.tolist() == ids
    assert api.requests["GET jobs"] == 6


def test_frame_of_another_engine_is_accepted(api: FakeApi) -> None:
    api.add_job("pjb-1")
    results = pl.DataFrame({"job_id": ["pjb-1", None], "job_type": ["parse_v2", "parse_v2"]})
    assert lb.wait_for_jobs(results).job_id.tolist() == ["pjb-1"]


def test_unsupported_job_type_is_skipped_with_one_warning(api: FakeApi) -> None:
    results = pd.DataFrame({"job_id": ["sjb-1"], "job_type": ["split_v1"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert lb.wait_for_jobs(results).empty
    assert ["split_v1" in str(each.message) for each in caught] == [True]


def test_value_that_is_neither_results_nor_batches_raises(api: FakeApi) -> None:
    for value in (3, None, {"batch_id": ["bat-1"]}):
        with pytest.raises(TypeError, match="batch_id: pass an id, several ids, or a frame"):
            lb.wait_for_jobs(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no column 'job_id'"):
        lb.wait_for_jobs(pd.DataFrame({"error_message": [None], "batch_id": ["bat-1"]}))
    assert not api.requests


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"poll_interval": 0}, ValueError),
        ({"client": "llx-1"}, TypeError),
    ],
)
def test_invalid_argument_raises_before_any_request(
    api: FakeApi, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        lb.wait_for_jobs(pd.DataFrame({"job_id": ["a"], "job_type": ["parse_v2"]}), **arguments)
    assert not api.requests
