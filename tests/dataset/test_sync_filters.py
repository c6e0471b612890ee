"""Filters of a sync: later syncs add to a dataset, and list only what was not listed before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from llama_batches_nb.dataset.sync import sync_dataset
from tests.dataset.fake_project import START, FakeProject, assert_dataset_complete


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
    project: FakeProject, path: str, filters: dict[str, Any]
) -> None:
    for n in range(12):
        project.add(["COMPLETED", "FAILED", "RUNNING"][n % 3])
    sync_dataset(path, **filters)
    assert_dataset_complete(path, **filters)
    project.end("bat-002", "FAILED")
    project.end("bat-005", "COMPLETED")
    project.add("FAILED")
    sync_dataset(path, **filters)
    assert_dataset_complete(path, **filters)
    sync_dataset(path)
    assert_dataset_complete(path)
    project.requests.clear()
    sync_dataset(path, **filters)  # the wider listing covers this one
    assert project.requests["list"] <= 1
    assert project.requests["get"] == 2
    assert_dataset_complete(path)


def test_moving_start_time_lists_only_unlisted_ranges(project: FakeProject, path: str) -> None:
    for _ in range(40):
        project.add()
    sync_dataset(path, created_at_on_or_after=hours_after_start(20))
    project.requests.clear()
    for hours in (21, 22, 38):
        sync_dataset(path, created_at_on_or_after=hours_after_start(hours))
    assert project.requests == {"list": 3}
    sync_dataset(path, created_at_on_or_after=hours_after_start(10))
    assert_dataset_complete(path, created_at_on_or_after=hours_after_start(10))
    project.add(hours=100)
    sync_dataset(path, created_at_on_or_after=hours_after_start(90))
    project.add(hours=50)  # in the gap between the listed ranges
    sync_dataset(path, created_at_on_or_after=hours_after_start(10))
    assert_dataset_complete(path, created_at_on_or_after=hours_after_start(10))


def test_listed_range_in_the_past_needs_no_request(project: FakeProject, path: str) -> None:
    for _ in range(9):
        project.add()
    sync_dataset(path)
    project.requests.clear()
    sync_dataset(path, created_at_on_or_before=START)
    assert not project.requests
