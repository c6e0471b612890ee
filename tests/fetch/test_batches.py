"""fetch_batches and get_batch: every page, each row once, validated filters."""

from __future__ import annotations

import datetime as dt
import json
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Request, Response, Script, batch, interrupt, page, responses_in_turn

COLUMNS = [
    "batch_id",
    "status",
    "job_type",
    "configuration_id",
    "source_directory_id",
    "project_id",
    "created_at",
    "updated_at",
]


def paged(pages: list[list[dict[str, Any]]], **first: Any) -> Script:
    """Serve pages whose tokens are their numbers."""

    def script(request: Request) -> Any:
        number = int(request.param("page_token") or 0)
        token = str(number + 1) if number + 1 < len(pages) else None
        return page(pages[number], token, **(first if number == 0 else {}))

    return script


def test_all_pages_are_fetched_in_the_order_of_the_api(serve: Serve) -> None:
    ids = [f"bat-{n}" for n in (5, 3, 9, 1, 7)]
    serve(paged([[batch(i) for i in ids[:2]], [], [batch(i) for i in ids[2:4]], [batch(ids[4])]]))
    frame = lb.fetch_batches()
    assert frame.batch_id.tolist() == ids
    assert frame.columns.tolist() == COLUMNS
    assert isinstance(frame.index, pd.RangeIndex)


def test_empty_list_has_the_same_columns(serve: Serve) -> None:
    serve(paged([[batch("bat-1")]]))
    full = lb.fetch_batches()
    serve(lambda request: {"items": [], "next_page_token": "", "total_size": 0})
    empty = lb.fetch_batches()
    assert len(empty) == 0
    assert (empty.dtypes == full.dtypes).all()


def test_repeated_token_raises_with_partial_rows(serve: Serve) -> None:
    serve(
        responses_in_turn([page([batch("bat-1")], "a"), page([batch("bat-2")], "b"), page([], "a")])
    )
    with pytest.raises(lb.PaginationError) as caught:
        lb.fetch_batches()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1", "bat-2"]


def test_failed_page_raises_with_partial_rows(serve: Serve) -> None:
    serve(responses_in_turn([page([batch("bat-1")], "a"), Response({"detail": "Expired"}, 400)]))
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.fetch_batches()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


@pytest.mark.parametrize("status", [None, "FAILED", ["FAILED", "RUNNING"]])
def test_limit_zero_returns_an_empty_frame_without_a_request(serve: Serve, status: Any) -> None:
    server = serve(lambda request: page([batch("bat-1")]))
    assert lb.fetch_batches(status=status, limit=0).columns.tolist() == COLUMNS
    assert lb.fetch_results(status=status, limit=0).empty
    assert lb.fetch_results(["bat-1"], limit=0).empty
    assert lb.fetch_directories(limit=0).empty
    assert lb.fetch_configurations(limit=0).empty
    assert not server.requests


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9])
def test_limit_bounds_rows_and_requests(serve: Serve, limit: int) -> None:
    server = serve(paged([[batch("bat-1"), batch("bat-2")], [batch("bat-3"), batch("bat-4")]]))
    assert len(lb.fetch_batches(limit=limit)) == min(limit, 4)
    assert len(server.requests) == (1 if limit <= 2 else 2)
    assert server.requests[0].param("page_size") == str(limit)


def test_rejected_page_size_is_retried_without_one(serve: Serve) -> None:
    detail = [{"loc": ["query", "page_size"], "msg": "not supported", "type": "x"}]

    def script(request: Request) -> Any:
        if request.param("page_size"):
            return Response({"detail": detail}, 422)
        return page([batch("bat-1")])

    server = serve(script)
    assert len(lb.fetch_batches()) == 1
    assert [request.param("page_size") for request in server.requests] == ["1000", "100", None]


def test_fewer_rows_than_total_size_warn(serve: Serve) -> None:
    serve(paged([[batch("bat-1")], [batch("bat-2")]], total_size=3))
    with pytest.warns(UserWarning, match=r"Expected 3 batches but received 2") as warned:
        lb.fetch_batches()
    assert warned[0].filename == __file__
    serve(paged([[batch("bat-1")], [batch("bat-2")]], total_size=2))
    lb.fetch_batches()
    lb.fetch_batches(limit=1)


def test_filters_are_sent_in_the_format_of_the_api(serve: Serve) -> None:
    server = serve(lambda request: page([]))
    lb.fetch_batches(
        status="failed",  # type: ignore[arg-type]  # case is ignored
        source_directory_id=pd.DataFrame({"source_directory_id": ["dir-1"]}),
        created_at_on_or_after="2026-08-01",
        created_at_on_or_before=pd.Timestamp("2026-08-02 02:00", tz="Europe/Berlin"),
        page_size=50,
    )
    assert {name: values[0] for name, values in server.requests[0].query.items()} == {
        "status": "FAILED",
        "source_directory_id": "dir-1",
        "created_at_on_or_after": "2026-08-01T00:00:00Z",
        "created_at_on_or_before": "2026-08-02T00:00:00Z",
        "page_size": "50",
    }


@pytest.mark.parametrize(
    "time",
    [
        "2026-08-01T12:00:00",
        "2026-08-01 14:00+02:00",
        dt.datetime(2026, 8, 1, 12),
        dt.datetime(2026, 8, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        pd.Timestamp("2026-08-01 12:00"),
        np.datetime64("2026-08-01T12:00"),
    ],
)
def test_times_are_accepted_in_many_types(serve: Serve, time: Any) -> None:
    server = serve(lambda request: page([]))
    lb.fetch_batches(created_at_on_or_after=time)
    assert server.requests[0].param("created_at_on_or_after") == "2026-08-01T12:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"status": "COMPLTED"}, ValueError, "Did you mean 'COMPLETED'"),
        ({"status": ["FAILED", 5]}, ValueError, "status=5"),
        ({"status": []}, ValueError, "status is empty"),
        ({"created_at_on_or_after": "yesterdayish"}, ValueError, "created_at_on_or_after"),
        ({"created_at_on_or_before": 1754006400}, TypeError, "created_at_on_or_before"),
        ({"created_at_on_or_before": pd.NaT}, ValueError, "created_at_on_or_before"),
        ({"source_directory_id": ""}, ValueError, "source_directory_id"),
        (
            {"source_directory_id": ["dir-1", "dir-2"]},
            ValueError,
            "Expected one source_directory_id",
        ),
        ({"project_id": ".."}, ValueError, "project_id"),
        ({"limit": -1}, ValueError, "limit"),
        ({"limit": 2.5}, TypeError, "limit"),
        ({"page_size": -1}, ValueError, "page_size"),
        ({"progress": "yes"}, TypeError, "progress"),
    ],
)
def test_invalid_filter_raises_before_any_request(
    serve: Serve, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    server = serve(lambda request: page([]))
    with pytest.raises(error, match=words):
        lb.fetch_batches(**arguments)
    assert not server.requests


def _by_status(records: list[dict[str, Any]]) -> Script:
    def script(request: Request) -> Any:
        status = request.param("status")
        return page([r for r in records if status in (None, r["status"])])

    return script


@pytest.mark.parametrize("newest_first", [True, False])
def test_several_statuses_keep_the_order_of_the_api(serve: Serve, newest_first: bool) -> None:
    statuses = ["FAILED", "RUNNING", "COMPLETED", "FAILED", "PENDING", "RUNNING"]
    days = range(6, 0, -1) if newest_first else range(1, 7)
    records = [
        batch(f"bat-{n}", status, created_at=f"2026-08-0{day}T00:00:00Z")
        for n, (status, day) in enumerate(zip(statuses, days, strict=True))
    ]
    server = serve(_by_status(records))
    given: Any = ["RUNNING", "FAILED", "failed"]
    chosen = lb.fetch_batches(status=given)
    assert chosen.batch_id.tolist() == ["bat-0", "bat-1", "bat-3", "bat-5"]
    assert lb.fetch_batches(status=["RUNNING", "FAILED"], limit=2).batch_id.tolist() == [
        "bat-0",
        "bat-1",
    ]
    assert [request.param("status") for request in server.requests[:2]] == ["RUNNING", "FAILED"]


def test_several_statuses_are_sorted_by_time_not_by_text(serve: Serve) -> None:
    times = ["2026-08-01T23:30:00Z", "2026-08-02T01:00:00+02:00", "2026-08-01T22:59:59.5", None]
    statuses = ["FAILED", "RUNNING", "FAILED", "RUNNING"]
    records = [
        batch(f"bat-{n}", status, created_at=time)
        for n, (status, time) in enumerate(zip(statuses, times, strict=True))
    ]
    serve(_by_status(records))
    chosen = lb.fetch_batches(status=["RUNNING", "FAILED"])
    assert chosen.batch_id.tolist() == ["bat-0", "bat-1", "bat-2", "bat-3"]


def test_batch_that_changes_status_while_listing_is_one_row(serve: Serve) -> None:
    serve(lambda request: page([batch("bat-1", request.param("status") or "")]))
    assert len(lb.fetch_batches(status=["PENDING", "RUNNING", "COMPLETED"])) == 1


def test_unknown_statuses_types_and_fields_are_accepted(serve: Serve) -> None:
    new = batch("bat-1", "PAUSED", config={"job": {"type": "split_v1"}}, colour="red")
    serve(lambda request: page([new, {"id": "bat-2"}]))
    frame = lb.fetch_batches()
    assert frame.status.tolist()[0] == "PAUSED"
    assert frame.job_type.tolist()[0] == "split_v1"
    assert frame.loc[1].drop("batch_id").isna().all()


def test_get_batch_returns_one_row(serve: Serve) -> None:
    server = serve(lambda request: batch("bat-1"))
    frame = lb.get_batch("bat-1", project_id="prj-9")
    assert frame.columns.tolist() == COLUMNS
    assert frame.batch_id.tolist() == ["bat-1"]
    assert server.requests[0].path == "/api/v2/batches/bat-1"
    assert server.requests[0].param("project_id") == "prj-9"
    assert len(lb.get_batch(frame)) == len(lb.get_batch(frame.iloc[0])) == 1


@pytest.mark.parametrize("odd", ["", " ", ".", "..", "a\nb", "a\x00"])
def test_invalid_id_raises_before_any_request(serve: Serve, odd: str) -> None:
    server = serve(lambda request: batch("bat-1"))
    for function in (lb.get_batch, lb.fetch_results, lb.cancel_batch, lb.wait_for_batches):
        with pytest.raises(ValueError, match="batch_id"):
            function(odd)
    assert not server.requests


@pytest.mark.parametrize("odd", ["a b", "a?b", "a#b", "a%2fb", "ü", "../x", "a/b", "a\\b"])
def test_id_is_quoted_in_the_path(serve: Serve, odd: str) -> None:
    server = serve(lambda request: batch(odd))
    lb.get_batch(odd)
    assert server.requests[0].path == f"/api/v2/batches/{odd}"
    assert not server.requests[0].query


def test_interrupt_carries_partial_rows(serve: Serve) -> None:
    release = threading.Event()

    def script(request: Request) -> Any:
        if request.param("page_token"):
            interrupt()
            release.wait(20)
        return page([batch("bat-1")], "a")

    serve(script)
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.fetch_batches()
    release.set()
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]  # type: ignore[attr-defined]


def test_invalid_record_raises_with_the_valid_rows(serve: Serve) -> None:
    serve(lambda request: page([batch("bat-1"), {"id": 2}]))
    with pytest.raises(lb.ResponseError, match="'id'") as caught:
        lb.fetch_batches()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


def test_failed_status_raises_with_the_rows_of_earlier_statuses(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if request.param("status") == "RUNNING":
            return Response({"detail": "No"}, 400)
        return page([batch("bat-1", "PENDING")])

    serve(script)
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.fetch_batches(status=["PENDING", "RUNNING"])
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


def test_raw_is_the_json_of_each_batch(serve: Serve) -> None:
    sent = [batch("bat-1", tomorrow={"ключ": [1.5, None]}), batch("bat-2", "PAUSED")]
    serve(lambda request: page(sent) if request.path.endswith("batches") else sent[0])
    batches = lb.fetch_batches(raw=True)
    assert batches.columns[-1] == "raw"
    assert [json.loads(text) for text in batches.raw] == sent
    assert json.loads(lb.get_batch("bat-1", raw=True).raw[0]) == sent[0]
    assert lb.fetch_batches(limit=0, raw=True).columns.tolist() == batches.columns.tolist()


def test_raw_that_is_not_a_bool_raises_before_any_request(serve: Serve) -> None:
    server = serve(lambda request: page([]))
    with pytest.raises(TypeError, match="raw must be True or False"):
        lb.fetch_batches(raw=1)  # type: ignore[arg-type]
    assert not server.requests
