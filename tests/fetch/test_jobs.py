"""fetch_jobs: each job once, 100 per request, one endpoint per type."""

from __future__ import annotations

import json
import time
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.servers import Request, Response, page


def _job(name: str, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    return {"id": name, "project_id": "prj-1", "status": status, **more}


def _requested_jobs(request: Request) -> Any:
    """Serve the requested jobs in pages of sixty, in reverse order."""
    ids = request.query["job_ids"][::-1]
    start = int(request.param("page_token") or 0)
    items = [_job(i, usage={"credits": 3}) for i in ids[start : start + 60]]
    return page(items, str(start + 60) if start + 60 < len(ids) else None)


def _results(*ids: str | None, job_type: str | None = "parse_v2") -> pd.DataFrame:
    return pd.DataFrame({"job_id": list(ids), "job_type": job_type}).astype({"job_id": "object"})


def test_each_job_is_fetched_once_in_requests_of_a_hundred(serve: Serve) -> None:
    server = serve(_requested_jobs)
    ids = [f"pjb-{n}" for n in range(250)]
    jobs = lb.fetch_jobs(_results(*ids, *ids, None))
    assert sorted(jobs.job_id) == sorted(ids)
    assert {len(request.query["job_ids"]) for request in server.requests} == {100, 50}
    assert (jobs.credits == 3).all()
    assert set(server.paths()) == {"/api/v2/parse"}


def test_each_job_type_uses_its_endpoint(serve: Serve) -> None:
    server = serve(_requested_jobs)
    both = pd.concat([_results("pjb-1"), _results("exj-1", job_type="extract_v2")])
    jobs = lb.fetch_jobs(both)
    assert dict(zip(jobs.job_id, jobs.job_type, strict=True)) == {
        "pjb-1": "parse_v2",
        "exj-1": "extract_v2",
    }
    assert set(server.paths()) == {"/api/v2/parse", "/api/v2/extract"}


@pytest.mark.parametrize("job_type", ["split_v1", None])
def test_unsupported_job_type_is_skipped_with_a_warning(serve: Serve, job_type: str | None) -> None:
    server = serve(_requested_jobs)
    with pytest.warns(UserWarning, match=job_type or "none"):
        jobs = lb.fetch_jobs(_results("job-1", job_type=job_type))
    assert jobs.empty
    assert not server.requests


def test_jobs_unknown_to_the_api_warn(serve: Serve) -> None:
    serve(lambda request: page([_job("pjb-1")]))
    with pytest.warns(UserWarning, match="1 of 2 jobs"):
        assert len(lb.fetch_jobs(_results("pjb-1", "pjb-2"))) == 1


def test_jobs_that_were_not_requested_are_dropped(serve: Serve) -> None:
    serve(lambda request: page([_job("pjb-9"), _job("pjb-1")]))
    assert lb.fetch_jobs(_results("pjb-1")).job_id.tolist() == ["pjb-1"]


def test_results_without_jobs_send_no_request(serve: Serve) -> None:
    server = serve(_requested_jobs)
    jobs = lb.fetch_jobs(_results(None, None))
    assert jobs.empty
    assert jobs.columns.tolist()[:3] == ["job_id", "job_type", "status"]
    assert not server.requests


def test_failed_request_raises_with_the_other_jobs_as_partial(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if "pjb-150" in request.query["job_ids"]:
            time.sleep(0.5)  # let the other responses arrive first
            return Response({"detail": "Broken"}, 400)
        return _requested_jobs(request)

    serve(script)
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.fetch_jobs(_results(*(f"pjb-{n}" for n in range(300))))
    assert caught.value.partial is not None
    assert len(caught.value.partial) == 200


@pytest.mark.parametrize("frame", [pd.DataFrame({"job_id": ["pjb-1"]}), ["pjb-1"], None])
def test_invalid_results_raise_before_any_request(serve: Serve, frame: Any) -> None:
    server = serve(_requested_jobs)
    with pytest.raises((ValueError, TypeError), match=r"job_type|frame"):
        lb.fetch_jobs(frame)
    assert not server.requests


# --- credits and raw JSON -------------------------------------------------------------------------


def _billed(api: FakeApi, *names: str, billed: float | None = 3.0) -> pd.DataFrame:
    """Add ended parse jobs, and return their results."""
    for name in names:
        api.add_job(name, usage={"credits": billed})
    return _results(*names)


def test_credits_are_missing_without_usage(serve: Serve) -> None:
    api = FakeApi()
    serve(api)
    jobs = lb.fetch_jobs(_billed(api, "pjb-1", "pjb-2"))
    assert jobs.credits.isna().all()
    assert api.requests == {"GET jobs": 1, "job IDs": 2}


def test_usage_asks_each_job_that_does_not_run_once(serve: Serve) -> None:
    api = FakeApi()
    serve(api)
    results = _billed(api, *(f"pjb-{n}" for n in range(150)))
    api.add_job("pjb-open", "RUNNING", usage={"credits": 9})
    api.add_job("pjb-new", "NEW_STATUS", usage={"credits": 7})
    results = pd.concat([results, results, _results("pjb-open", None, "pjb-new")])
    jobs = lb.fetch_jobs(results, usage=True)
    assert jobs.job_id.tolist() == [*(f"pjb-{n}" for n in range(150)), "pjb-open", "pjb-new"]
    assert (jobs.credits[:150] == 3).all()
    assert pd.isna(jobs.credits[150])
    assert jobs.credits[151] == 7
    assert api.requests["GET jobs"] == 2
    assert api.requests["GET job"] == 151


def test_usage_gives_the_parts_of_an_extract_jobs_credits(serve: Serve) -> None:
    api = FakeApi()
    server = serve(api)
    api.add_job(
        "ejb-1",
        usage={"credits": 8, "extract_credits": 5, "parse_credits": 3},
        metadata={"usage": {"num_pages_billed": 4}},
        extract_metadata={"parse_job_id": "pjb-1", "parse_tier": "fast"},
        file_input="file-1",
    )
    results = _results("ejb-1", job_type="extract_v2")
    listed, asked = lb.fetch_jobs(results).iloc[0], lb.fetch_jobs(results, usage=True).iloc[0]
    costs = ["credits", "extract_credits", "parse_credits"]
    assert listed[costs].isna().all()
    assert asked[costs].tolist() == [8, 5, 3]
    for job in (listed, asked):
        assert job[["pages_billed", "parse_job_id", "tier"]].tolist() == [4, "pjb-1", "fast"]
    assert server.requests[-1].query["expand"] == ["usage", "extract_metadata"]


def test_credits_that_are_not_billed_yet_stay_missing(serve: Serve) -> None:
    api = FakeApi()
    serve(api)
    jobs = lb.fetch_jobs(_billed(api, "pjb-1", billed=None), usage=True)
    assert jobs.credits.isna().all()
    assert jobs.credits.dtype == "Float64"


def test_credits_of_expired_jobs_stay_missing_with_a_warning(serve: Serve) -> None:
    api = FakeApi()
    serve(api)
    results = _billed(api, "pjb-1", "pjb-2")
    api.faults["pjb-2"] = [None, Response({"detail": "Job pjb-2 not found"}, 404)]
    with pytest.warns(UserWarning, match=r"no longer knows 1 of the jobs.*'pjb-2'"):
        jobs = lb.fetch_jobs(results, usage=True)
    assert jobs.set_index("job_id").credits.dropna().to_dict() == {"pjb-1": 3}


def test_failed_usage_request_raises_with_all_jobs_as_partial(serve: Serve) -> None:
    api = FakeApi()
    serve(api, max_retries=0)
    results = _billed(api, "pjb-1", "pjb-2", "pjb-3")
    api.faults["pjb-2"] = [None, Response({"detail": "Broken"}, 400)]
    with pytest.raises(lb.InvalidRequestError, match="Broken") as caught:
        lb.fetch_jobs(results, usage=True)
    partial = caught.value.partial
    assert partial is not None
    assert partial.job_id.tolist() == ["pjb-1", "pjb-2", "pjb-3"]
    assert pd.isna(partial.credits[1])


def test_failed_usage_request_can_be_skipped(serve: Serve) -> None:
    api = FakeApi()
    serve(api, max_retries=0)
    results = _billed(api, "pjb-1", "pjb-2", "pjb-3")
    api.faults["pjb-2"] = [None, Response({"detail": "Broken"}, 400)]
    with pytest.warns(UserWarning, match="pjb-2.*Broken"):
        jobs = lb.fetch_jobs(results, usage=True, errors="warn")
    assert jobs.credits.isna().tolist() == [False, True, False]


def test_failed_list_request_can_be_skipped(serve: Serve) -> None:
    api = FakeApi()
    serve(api, max_retries=0)
    results = _billed(api, *(f"pjb-{n}" for n in range(120)))
    api.faults["pjb-110"] = Response({"detail": "Broken"}, 400)
    with pytest.warns(
        UserWarning, match="20 jobs could not be fetched.*'pjb-100', 'pjb-101'"
    ) as warned:
        jobs = lb.fetch_jobs(results, errors="warn")
    assert len(warned) == 1
    assert len(jobs) == 100


def test_response_with_another_job_raises(serve: Serve) -> None:
    api = FakeApi()
    serve(api)
    results = _billed(api, "pjb-1")
    api.faults["GET job"] = Response({"job": {"id": "pjb-2", "status": "COMPLETED"}})
    with pytest.raises(lb.ResponseError, match=r"Expected job 'pjb-1'.*'pjb-2'"):
        lb.fetch_jobs(results, usage=True)


@pytest.mark.parametrize("job_type", ["parse_v2", "extract_v2"])
def test_usage_of_no_jobs_sends_no_request(serve: Serve, job_type: str) -> None:
    server = serve(FakeApi())
    results = _results(None, job_type=job_type)
    jobs = lb.fetch_jobs(results, usage=True, raw=True)
    assert jobs.empty
    assert jobs.columns[-1] == "raw"
    pd.testing.assert_series_equal(jobs.dtypes, lb.fetch_jobs(results[:0], raw=True).dtypes)
    assert not server.requests


@pytest.mark.parametrize("usage", [False, True])
def test_raw_is_the_json_of_each_job(serve: Serve, usage: bool) -> None:
    api = FakeApi()
    serve(api)
    results = _billed(api, "pjb-1")
    api.jobs["pjb-1"]["tomorrow"] = {"ключ": [1, None]}
    (text,) = lb.fetch_jobs(results, usage=usage, raw=True).raw
    assert json.loads(text) == api.jobs["pjb-1"] | {"usage": {"credits": 3.0} if usage else None}


@pytest.mark.parametrize("argument", ["usage", "raw"])
def test_flag_that_is_not_a_bool_raises_before_any_request(serve: Serve, argument: str) -> None:
    server = serve(FakeApi())
    wrong: dict[str, Any] = {argument: "yes"}
    with pytest.raises(TypeError, match=f"{argument} must be True or False"):
        lb.fetch_jobs(_results("pjb-1"), **wrong)
    assert not server.requests


@pytest.mark.parametrize("status", [414, 431, 422])
def test_request_for_too_many_jobs_is_split(serve: Serve, status: int) -> None:
    problem = {"loc": ["query", "job_ids"], "msg": "at most 30 items", "type": "too_long"}
    body = json.dumps({"detail": [problem]}) if status == 422 else "<html>too long</html>"

    def script(request: Request) -> Any:
        if len(request.query["job_ids"]) > 30:
            return Response(raw=body.encode(), status=status)
        return _requested_jobs(request)

    server = serve(script)
    ids = [f"pjb-{n}" for n in range(100)]
    assert sorted(lb.fetch_jobs(_results(*ids)).job_id) == sorted(ids)
    assert [len(request.query["job_ids"]) for request in server.requests][:3] == [100, 50, 25]
    assert len(server.requests) == 7


def test_url_of_one_job_that_is_too_long_raises(serve: Serve) -> None:
    serve(lambda request: Response({"detail": "URI too long"}, 414))
    with pytest.raises(lb.InvalidRequestError, match="414"):
        lb.fetch_jobs(_results("pjb-1", "pjb-2"))
