"""Filters of a sync: later syncs add to a dataset, and list only what was not listed before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.dataset.checks import (
    assert_dataset_complete,
    sync_dataset,
)
from tests.fake_api import START, FakeApi


def hours_after_start(hours: float) -> Any:
    return START + timedelta(hours=hours)


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "FAILED"},
        {"status": ["COMPLETED", "RUNNING"]},
        {"source_directory_id": "dir-1"},
        {"created_at_on_or_after": hours_after_start(3)},
        {"created_at_on_or_before": hours_after_start(3)},
    ],
    ids=str,
)
def test_sync_without_filters_adds_to_filtered_dataset(
    api: FakeApi, path: str, filters: dict[str, Any]
) -> None:
    for n in range(12):
        api.add(["COMPLETED", "FAILED", "RUNNING"][n % 3])
    sync_dataset(path, **filters)
    assert_dataset_complete(path, **filters)
    api.end("bat-002", "FAILED")
    api.end("bat-005", "COMPLETED")
    api.add("FAILED")
    sync_dataset(path, **filters)
    assert_dataset_complete(path, **filters)
    sync_dataset(path)
    assert_dataset_complete(path)
    api.requests.clear()
    sync_dataset(path, **filters)  # the wider listing covers this one
    assert api.requests["GET batches"] <= 1
    assert api.requests["GET batch"] == 2
    assert_dataset_complete(path)


def test_moving_start_time_lists_only_unlisted_ranges(api: FakeApi, path: str) -> None:
    for _ in range(40):
        api.add()
    sync_dataset(path, created_at_on_or_after=hours_after_start(20))
    api.requests.clear()
    for hours in (21, 22, 38):
        sync_dataset(path, created_at_on_or_after=hours_after_start(hours))
    assert api.requests == {"GET batches": 3}
    sync_dataset(path, created_at_on_or_after=hours_after_start(10))
    assert_dataset_complete(path, created_at_on_or_after=hours_after_start(10))
    api.add(hours=100)
    sync_dataset(path, created_at_on_or_after=hours_after_start(90))
    api.add(hours=50)  # in the gap between the listed ranges
    sync_dataset(path, created_at_on_or_after=hours_after_start(10))
    assert_dataset_complete(path, created_at_on_or_after=hours_after_start(10))


def test_listed_range_in_the_past_needs_no_request(api: FakeApi, path: str) -> None:
    for _ in range(9):
        api.add()
    sync_dataset(path)
    api.requests.clear()
    sync_dataset(path, created_at_on_or_before=START)
    assert not api.requests
