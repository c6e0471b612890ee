"""A synced dataset equals what fetching returns, with few requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset import new_files, parquet_files, plan
from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.sync import SyncReport
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.dataset.checks import (
    assert_dataset_complete,
    assert_rows_unique,
    sync_dataset,
)
from tests.fake_api import START, FakeApi
from tests.servers import Request, page


def test_sync_matches_fetched_frames(each_path: str) -> None:
    options = Options(batches=20, files=(1, 60), speed=0)
    with (
        SandboxServer.start(options, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        report = sync_dataset(each_path, jobs=True)
        assert report.new == report.total["batches"] == 20
        assert_dataset_complete(each_path, jobs=True)
        server.advance(24 * 3600)
        report = sync_dataset(each_path, jobs=True)
        assert report.new == report.open == 0
        assert_dataset_complete(each_path, jobs=True)


def test_sync_of_empty_project_creates_empty_dataset(api: FakeApi, path: str) -> None:
    report = sync_dataset(path, jobs=True)
    assert report.total == {"batches": 0, "results": 0, "jobs": 0}
    assert_dataset_complete(path, jobs=True)


def test_sync_accepts_path_object(api: FakeApi, tmp_path: Path) -> None:
    api.add()
    assert sync_dataset(tmp_path / "a" / "b").path == str(tmp_path / "a" / "b")
    assert_dataset_complete(tmp_path / "a" / "b")


def test_rows_keep_order_of_list(api: FakeApi, path: str) -> None:
    for _ in range(30):
        api.add()
    sync_dataset(path)
    pd.testing.assert_frame_equal(read_dataset(path, "batches"), lb.fetch_batches())
    pd.testing.assert_frame_equal(read_dataset(path), lb.fetch_results())


@pytest.mark.parametrize("invalid", [{"limit": 3}, {"colour": "red"}, {"jobs": 1}])
def test_invalid_argument_raises_before_any_request(
    api: FakeApi, tmp_path: Path, invalid: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        sync_dataset(tmp_path / "dataset", **invalid)
    assert not api.requests
    assert not (tmp_path / "dataset").exists()


# --- what a sync requests -----------------------------------------------------------------------


def test_second_sync_fetches_only_new_batches(api: FakeApi, each_path: str) -> None:
    for _ in range(30):
        api.add()
    assert sync_dataset(each_path, jobs=True).requests == 8 + 30 + 1
    assert api.requests == {"GET batches": 8, "GET batch": 30, "job IDs": 60, "GET jobs": 1}
    api.requests.clear()
    sync_dataset(each_path, jobs=True)
    assert api.requests == {"GET batches": 1}
    api.add()
    api.add("FAILED", files=0)
    api.requests.clear()
    report = sync_dataset(each_path, jobs=True)
    assert api.requests == {"GET batches": 1, "GET batch": 2, "job IDs": 2, "GET jobs": 1}
    assert (report.new, report.requests) == (2, 4)
    assert report.added == {"batches": 2, "results": 4, "jobs": 2}
    assert_dataset_complete(each_path, jobs=True)


def test_open_batches_are_fetched_again_until_they_end(api: FakeApi, path: str) -> None:
    api.add("RUNNING")
    for _ in range(9):
        api.add()
    api.add("PAUSED")
    assert sync_dataset(path).open == 2
    assert_dataset_complete(path)
    api.requests.clear()
    assert sync_dataset(path).open == 2
    assert api.requests == {"GET batches": 1, "GET batch": 2}
    api.end("bat-000")
    report = sync_dataset(path)
    assert (report.new, report.ended, report.open) == (0, 1, 1)
    assert_dataset_complete(path)
    api.end("bat-010", "CANCELLED")
    sync_dataset(path)
    api.requests.clear()
    sync_dataset(path)
    assert api.requests == {"GET batches": 1}
    assert_dataset_complete(path)


def test_batch_created_half_an_hour_before_newest_is_found(api: FakeApi, path: str) -> None:
    api.add(hours=10)
    sync_dataset(path)
    api.add(hours=9.5)
    assert sync_dataset(path).new == 1
    assert_dataset_complete(path)


def test_creation_time_in_future_does_not_hide_later_batches(api: FakeApi, path: str) -> None:
    hours_to_now = (datetime.now(UTC) - START) / timedelta(hours=1)
    api.add()
    api.add(hours=hours_to_now + 10_000)
    sync_dataset(path)
    api.add(hours=hours_to_now)
    assert sync_dataset(path).new == 1
    assert_dataset_complete(path)


def test_list_that_ignores_times_adds_no_duplicates(api: FakeApi, path: str) -> None:
    api.ignores_times = True
    for _ in range(12):
        api.add()
    sync_dataset(path)
    api.requests.clear()
    api.add()
    assert sync_dataset(path).new == 1
    assert api.requests["GET batch"] == 1
    assert_dataset_complete(path)


def test_batch_whose_creation_time_differs_in_list_is_stored_once(
    api: FakeApi, serve: Serve, path: str
) -> None:
    def with_other_time(request: Request) -> Any:
        response = api(request)
        return (
            {**response, "created_at": "2020-01-01T00:00:00Z"}
            if request.param("expand")
            else response
        )

    serve(with_other_time)
    for _ in range(5):
        api.add()
    sync_dataset(path)
    api.add()
    for n_new in (1, 0):
        assert sync_dataset(path).new == n_new
        assert_rows_unique(path)
    assert len(read_dataset(path, "batches")) == 6


def test_batch_without_creation_time_is_stored_once(api: FakeApi, path: str) -> None:
    api.add()
    api.batches[api.add()]["created_at"] = None
    api.faults["GET batches"] = lambda response: page([*api.batches.values()])
    sync_dataset(path)
    assert sync_dataset(path).new == 0
    assert_dataset_complete(path)


# --- jobs ---------------------------------------------------------------------------------------


def test_jobs_of_earlier_syncs_are_fetched_on_request(api: FakeApi, path: str) -> None:
    for _ in range(5):
        api.add()
    sync_dataset(path)
    with pytest.raises(DatasetError, match="jobs=True"):
        open_dataset(path, "jobs")
    api.requests.clear()
    assert sync_dataset(path, jobs=True).added["jobs"] == 10
    assert api.requests == {"GET batches": 1, "job IDs": 10, "GET jobs": 1}
    assert_dataset_complete(path, jobs=True)


def test_jobs_are_fetched_again_until_they_end(api: FakeApi, path: str) -> None:
    api.add()
    api.add("RUNNING")
    api.jobs["pjb-0-1"]["status"] = "RUNNING"
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)
    api.requests.clear()
    sync_dataset(path, jobs=True)
    assert api.requests["job IDs"] == 1
    assert_dataset_complete(path, jobs=True)
    api.jobs["pjb-0-1"]["status"] = "FAILED"
    api.end("bat-001")
    api.requests.clear()
    sync_dataset(path, jobs=True)
    assert api.requests["job IDs"] == 2  # the running job, and the second job of bat-001
    assert_dataset_complete(path, jobs=True)
    api.requests.clear()
    sync_dataset(path, jobs=True)
    assert api.requests["job IDs"] == 0


def test_sync_without_jobs_keeps_stored_jobs(api: FakeApi, path: str) -> None:
    api.add("RUNNING")
    sync_dataset(path, jobs=True)
    api.end("bat-000")
    sync_dataset(path)
    assert read_dataset(path, "jobs").job_id.tolist() == ["pjb-0-0"]
    api.requests.clear()
    sync_dataset(path, jobs=True)
    assert api.requests["job IDs"] == 1
    assert_dataset_complete(path, jobs=True)


# --- files --------------------------------------------------------------------------------------


def test_many_syncs_keep_one_file_per_table_and_day(api: FakeApi, path: str) -> None:
    for n in range(10):
        api.add("RUNNING" if n % 5 == 4 else "COMPLETED", hours=4 * n)
        sync_dataset(path, jobs=n % 3 == 0)
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)
    assert len(open_dataset(path).files) == 2


def test_rows_that_exceed_memory_limits_are_stored_once(
    api: FakeApi, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_files, "MAX_BUFFERED_BYTES", 2_000)
    monkeypatch.setattr(plan, "MAX_GROUP_BATCHES", 20)
    monkeypatch.setattr(parquet_files, "ROW_GROUP_BYTES", 500)
    for n in range(60):
        api.add("RUNNING" if n % 2 else "COMPLETED")
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)
    for n in range(0, 60, 3):
        api.end(f"bat-{n:03}")
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)


# --- progress and report ------------------------------------------------------------------------


def test_progress_bar_shows_rows_and_requests(api: FakeApi, tmp_path: Path) -> None:
    notes: list[str] = []

    class RecordingBar:
        def __init__(self, *, desc: str, unit: str, total: int | None = None) -> None:
            self.n, self.total = 0, total

        def update(self, n: int) -> None:
            self.n += n

        def set_postfix_str(self, note: str) -> None:
            notes.append(note)

        def close(self) -> None:
            pass

    for _ in range(3):
        api.add()
    sync_dataset(tmp_path, jobs=True, progress=RecordingBar)
    shown = list(dict.fromkeys(notes))
    assert shown == ["0 rows, 1 request", "9 rows, 4 requests", "9 rows, 5 requests"]


def test_report_repr() -> None:
    report = SyncReport(
        path="dataset",
        new=1200,
        ended=3,
        open=4,
        gone=1,
        unknown_jobs=0,
        added={"batches": 1199, "results": 40000},
        total={"batches": 5000, "results": 123456},
        requests=1250,
        seconds=3.25,
        complete=True,
    )
    assert str(report) == (
        "Synced 'dataset' in 3.2 s with 1,250 requests.\n"
        "  1,200 new batches, 3 ended, 4 still open, 1 not found\n"
        "  batches: 5,000 rows (+1,199)\n"
        "  results: 123,456 rows (+40,000)"
    )
