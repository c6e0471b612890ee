"""fetch_jobs: each job once, 100 per request, one endpoint per type."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
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
