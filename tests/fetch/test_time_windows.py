"""A long list is fetched in parallel time windows and has the same rows as page by page."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.fake_api import START, FakeApi, parse_time
from tests.servers import Request, Response, batch, page

AFTER: dict[str, Any] = {"created_at_on_or_after": START}


@pytest.fixture
def api(serve: Serve) -> FakeApi:
    """Return a project with ten pages of batches, created one hour apart."""
    api = FakeApi(page_size=4)
    serve(api, max_retries=0)
    for _ in range(40):
        api.add()
    return api


def check_list(api: FakeApi, **filters: Any) -> None:
    """Compare the fetched list with the server's batches, in the server's order."""
    names = [
        name
        for name, one in sorted(api.batches.items(), key=lambda b: b[1]["created_at"])[::-1]
        if parse_time(one["created_at"]) >= filters["created_at_on_or_after"]
        and one["status"] == filters.get("status", one["status"])
    ]
    assert lb.fetch_batches(**filters).batch_id.tolist() == names


def test_windows_are_fetched_in_parallel(serve: Serve) -> None:
    api = FakeApi(page_size=4)
    for _ in range(40):
        api.add()
    all_requested = threading.Barrier(8)

    def script(request: Request) -> Any:
        if request.param("created_at_on_or_before") and not request.param("page_token"):
            all_requested.wait(30)  # no response before all windows are requested
        return api(request)

    serve(script, max_workers=8)
    check_list(api, **AFTER)


def test_each_window_costs_at_most_one_extra_request(api: FakeApi) -> None:
    check_list(api, **AFTER)
    assert api.requests["GET batches"] <= 10 + 9


@pytest.mark.parametrize(
    "filters",
    [
        {**AFTER, "status": "FAILED"},
        {"created_at_on_or_after": START + timedelta(hours=3, microseconds=1)},
        {"created_at_on_or_after": START - timedelta(days=3000)},
        {"created_at_on_or_after": START + timedelta(days=3000)},
    ],
    ids=str,
)
def test_other_filters_apply_to_each_window(api: FakeApi, filters: dict[str, Any]) -> None:
    for name in list(api.batches)[::2]:
        api.end(name, "FAILED")
    check_list(api, **filters)


def test_end_of_the_period_is_respected(api: FakeApi) -> None:
    before = START + timedelta(hours=30, minutes=30)
    found = lb.fetch_batches(**AFTER, created_at_on_or_before=before)
    assert found.batch_id.tolist() == [f"bat-{n:03}" for n in range(30, -1, -1)]


@pytest.mark.slow
def test_windows_return_the_list_of_sequential_pages(serve: Serve) -> None:
    rng = random.Random(5)
    for _ in range(20):
        api = FakeApi(page_size=rng.choice([1, 3, 7]))
        for _ in range(rng.randrange(60)):
            api.add(hours=rng.choice([0, 1, rng.uniform(0, 1e-3), rng.uniform(0, 1000)]))
        serve(api)
        plain = lb.fetch_batches()
        found = lb.fetch_batches(**AFTER)
        assert sorted(found.batch_id) == sorted(plain.batch_id)
        pd.testing.assert_series_equal(found.created_at, plain.created_at)


def test_server_that_rounds_times_loses_no_batch(api: FakeApi, serve: Serve) -> None:
    def to_the_day(request: Request) -> Any:
        for name in ("created_at_on_or_after", "created_at_on_or_before"):
            if times := request.query.get(name):
                times[:] = [times[0][:10] + "T00:00:00+00:00"]
        return api(request)

    serve(to_the_day)
    assert set(lb.fetch_batches(**AFTER).batch_id) == set(api.batches)


def test_server_that_ignores_times_gets_one_request_per_window(api: FakeApi) -> None:
    api.ignores_times = True
    check_list(api, **AFTER)
    assert api.requests["GET batches"] <= 10 + 9


def test_list_shorter_than_total_size_warns(api: FakeApi) -> None:
    api.faults["GET batches"] = lambda response: (
        response | {"total_size": response["total_size"] + 2}
    )
    with pytest.warns(UserWarning, match="Expected 42 batches but received 40"):
        assert len(lb.fetch_batches(**AFTER)) == 40


@pytest.mark.parametrize("reason", ["short", "limit", "oldest first", "no size", "no time"])
def test_unsuitable_list_is_fetched_page_by_page(api: FakeApi, serve: Serve, reason: str) -> None:
    upper_bounds: list[str] = []

    def script(request: Request) -> Any:
        upper_bounds.extend(request.query.get("created_at_on_or_before", []))
        response = api(request)
        if reason == "oldest first":
            response["items"].reverse()
        elif reason == "no size":
            response["total_size"] = None
        elif reason == "no time":
            response["items"][0]["created_at"] = None
        return response

    serve(script)
    if reason == "short":
        for name in list(api.batches)[16:]:
            del api.batches[name]
    limit = 30 if reason == "limit" else None
    api.requests.clear()
    assert len(lb.fetch_batches(**AFTER, limit=limit)) == (limit or len(api.batches))
    assert api.requests["GET batches"] == -(-(limit or len(api.batches)) // 4)
    assert not upper_bounds


def test_failed_window_raises_with_the_rows_of_the_others(api: FakeApi, serve: Serve) -> None:
    first = parse_time(api.batches["bat-000"]["created_at"])

    def script(request: Request) -> Any:
        since = request.param("created_at_on_or_after")
        if request.param("created_at_on_or_before") and since and parse_time(since) == first:
            return Response({"detail": "broken"}, 400)
        return api(request)

    serve(script, max_workers=3)
    with pytest.raises(lb.InvalidRequestError, match="broken") as caught:
        lb.fetch_batches(**AFTER)
    assert caught.value.partial is not None
    names = caught.value.partial.batch_id.tolist()
    assert names == sorted(set(names), reverse=True)
    assert names[:4] == list(api.batches)[:-5:-1]
    assert len(names) < 40


def test_nanosecond_times_fall_into_a_window(serve: Serve) -> None:
    """Use a total_size that is too small to reveal missing rows."""
    stamps = [f"2025-03-01T13:00:00.1234560{n:02}Z" for n in range(60, 48, -1)]
    stamps += [f"2025-03-01T12:{n:02}:00.123456000Z" for n in range(59, 19, -1)]
    items = [batch(f"bat-{n:03}", created_at=stamp) for n, stamp in enumerate(stamps)]

    def script(request: Request) -> Any:
        after, before = (
            (request.param(f"created_at_on_or_{end}") or default).replace("Z", "")
            for end, default in (("after", "0"), ("before", "9"))
        )
        found = [one for one in items if after <= one["created_at"][:-1] <= before]
        start = int(request.param("page_token") or 0)
        token = str(start + 4) if start + 4 < len(found) else None
        return page(found[start : start + 4], token, total_size=len(found) - 8)

    serve(script)
    found = lb.fetch_batches(created_at_on_or_after="2025-03-01")
    assert set(found.batch_id) == {one["id"] for one in items}
