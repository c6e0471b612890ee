"""fetch_extractions: the objects of extract jobs, and what is left out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.output_api import OutputApi
from tests.servers import Response, Server


@pytest.fixture
def api() -> OutputApi:
    return OutputApi()


@pytest.fixture
def server(api: OutputApi, serve: Serve) -> Server:
    return serve(api, max_retries=0)


def test_jobs_share_one_schema(api: OutputApi, server: Server) -> None:
    api.add_extract_job("ejb-1", {"vendor": "Société ж", "total": 12, "paid": True})
    api.add_extract_job("ejb-2", [{"vendor": "B", "total": 0.5}, {"lines": [{"n": 1}]}])
    frame = lb.fetch_extractions(["ejb-1", "ejb-2"])
    assert frame.columns.tolist() == ["job_id", "row", "vendor", "total", "paid", "lines"]
    assert frame.row.tolist() == [0, 0, 1]
    assert frame.total.tolist() == [12.0, 0.5, pd.NA]
    assert frame.paid.tolist() == [True, pd.NA, pd.NA]
    assert frame.lines.tolist()[2] == '[{"n": 1}]'
    assert sorted(server.paths()) == ["/api/v2/extract/ejb-1", "/api/v2/extract/ejb-2"]


def test_empty_answer_has_the_fixed_columns(server: Server) -> None:
    assert lb.fetch_extractions([]).columns.tolist() == ["job_id", "row"]
    assert not server.requests


def test_jobs_without_result_are_left_out_and_counted(api: OutputApi, server: Server) -> None:
    api.add_extract_job("ejb-1", {"a": 1})
    api.add_extract_job("ejb-2", None, "RUNNING")
    api.add_extract_job("ejb-3", None)
    jobs = pd.DataFrame(
        {
            "job_id": ["ejb-1", "ejb-2", "ejb-3", "ejb-4", "pjb-1"],
            "job_type": ["extract_v2"] * 4 + ["parse_v2"],
            "status": ["COMPLETED", "RUNNING", "COMPLETED", "FAILED", "COMPLETED"],
        }
    )
    with pytest.warns(UserWarning, match="4 jobs are left out") as caught:
        assert lb.fetch_extractions(jobs).job_id.tolist() == ["ejb-1"]
    for reason in ("1 FAILED", "1 RUNNING", "1 without a result", "1 of type parse_v2"):
        assert reason in str(caught[0].message)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", ["RUNNING", "THROTTLED", "FAILED", "CANCELLED"])
def test_result_of_a_job_that_has_not_completed_is_left_out(
    api: OutputApi, server: Server, status: str
) -> None:
    api.add_extract_job("ejb-1", {"a": 1}, status)
    with pytest.warns(UserWarning, match=f"1 job is left out: 1 {status}"):
        assert lb.fetch_extractions("ejb-1").empty


def test_id_in_capitals_gets_the_id_of_the_api(api: OutputApi, server: Server) -> None:
    api.add_extract_job("EJB-1", {"a": 1})
    api.extract_jobs["EJB-1"]["id"] = "ejb-1"
    assert lb.fetch_extractions("EJB-1").job_id.tolist() == ["ejb-1"]


def test_skipped_jobs_are_counted_and_the_first_are_named(api: OutputApi, server: Server) -> None:
    with pytest.warns(UserWarning, match=r"9 jobs could not .*: ('ejb-.', ){5}…\. The first"):
        assert lb.fetch_extractions([f"ejb-{n}" for n in range(9)], errors="warn").empty


def test_response_with_another_job_raises(api: OutputApi, server: Server) -> None:
    api.add_extract_job("ejb-1", {"a": 1})
    api.extract_jobs["ejb-1"]["id"] = "ejb-2"
    with pytest.raises(lb.ResponseError, match=r"Expected job 'ejb-1'.*'ejb-2'"):
        lb.fetch_extractions("ejb-1")


def test_expired_job_raises_with_the_rows_fetched_so_far(api: OutputApi, server: Server) -> None:
    api.add_extract_job("ejb-1", {"a": 1})
    with pytest.raises(lb.NotFoundError, match="48 hours") as caught:
        lb.fetch_extractions(["ejb-1", "ejb-9"])
    assert caught.value.partial is not None
    with pytest.warns(UserWarning, match="ejb-9"):
        assert len(lb.fetch_extractions(["ejb-1", "ejb-9"], errors="warn")) == 1


@pytest.mark.parametrize("body", [[], "text", {"data": []}])
def test_unexpected_structure_is_a_response_error(serve: Serve, body: Any) -> None:
    serve(lambda request: body, max_retries=0)
    with pytest.raises(lb.ResponseError):
        lb.fetch_extractions("ejb-1")


def test_broken_text_is_a_response_error(serve: Serve) -> None:
    body = b'{"status": "COMPLETED", "extract_result": {"a": ["\xff"]}}'
    serve(lambda request: Response(raw=body), max_retries=0)
    with pytest.raises(lb.ResponseError):
        lb.fetch_extractions("ejb-1")
