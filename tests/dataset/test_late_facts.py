"""Facts that are missing when a batch ends are requested until 24 hours later."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llama_batches_nb.dataset.read import TableName, read_dataset
from llama_batches_nb.dataset.sync import SyncReport
from tests.dataset.checks import assert_dataset_complete, sync_dataset
from tests.fake_api import FakeApi
from tests.servers import mapping

HOURS = (0, 1, 23, 25, 26, 50)  # of the syncs


class LateBatch:
    """A batch that has ended, of which something is still missing."""

    def __init__(self, api: FakeApi, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api, self.path, self._monkeypatch = api, path, monkeypatch
        self.start = datetime.now(UTC)
        api.add()
        self.record = api.batches["bat-000"]
        self.warnings: list[str] = []

    def sync(self, hours: float, **options: Any) -> SyncReport:
        later = self.start + timedelta(hours=hours)
        self._monkeypatch.setattr("llama_batches_nb.dataset.sync.utc_now", lambda: later)
        self.api.requests.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            report = sync_dataset(self.path, **options)
        self.warnings += [str(warning.message) for warning in caught]
        return report


@pytest.fixture
def late_batch(api: FakeApi, path: str, monkeypatch: pytest.MonkeyPatch) -> LateBatch:
    return LateBatch(api, path, monkeypatch)


def withhold(batch: LateBatch, fact: str) -> Callable[[], object]:
    """Let the API leave out one fact of the batch; return a function that lets it arrive."""
    record, job = batch.record, batch.api.jobs["pjb-0-0"]
    complete = {"results": record["results"], "usage": job["usage"]}
    if fact == "results":
        record["results"] = None
    elif fact == "reference":
        record["results"] = [mapping("dfl-0-0", None), *record["results"][1:]]
    elif fact == "job":
        del batch.api.jobs["pjb-0-0"]
    elif fact == "credits":
        job["usage"] = {"credits": None}
    else:
        batch.api.faults["pjb-0-0"] = lambda answer: (
            {"job": answer["job"]} if "job" in answer else answer
        )

    def arrive() -> None:
        record["results"], job["usage"] = complete["results"], complete["usage"]
        batch.api.jobs["pjb-0-0"] = job
        batch.api.faults.clear()

    return arrive


@pytest.mark.parametrize("arrives", [1, 25, None], ids=["second", "last", "never"])
@pytest.mark.parametrize(
    ("fact", "given_up"),
    [
        ("results", "1 batch still without results or jobs"),
        ("reference", "1 batch still without results or jobs"),
        ("job", "1 job still unknown to the API"),
        ("credits", "1 job still without credits"),
        ("output", "1 job still without output"),
    ],
)
def test_late_fact_is_kept_or_given_up_after_a_day_with_a_warning(
    late_batch: LateBatch, tmp_path: Path, fact: str, given_up: str, arrives: int | None
) -> None:
    for job in late_batch.api.jobs.values():
        job["usage"] = {"credits": 3.0}
    arrive = withhold(late_batch, fact)
    options: dict[str, Any] = {"usage": True, "outputs": "markdown"}
    for hours in (0, 1, 25):
        if hours == arrives:
            arrive()
        late_batch.sync(hours, **options)
        assert late_batch.api.requests.total() > 1 or hours == 25
    late_batch.sync(26, **options)
    assert late_batch.api.requests == {"GET batches": 1}
    if arrives is None:
        (warning,) = late_batch.warnings
        assert warning.startswith(f"{given_up} after 24 hours")
        assert "bat-000" in warning
    else:
        assert not late_batch.warnings
    sync_dataset(tmp_path / "again", **options)
    tables: list[TableName] = ["batches", "results", "jobs", "pages"]
    for table in tables:  # as in a dataset that is synced only now
        expected = read_dataset(tmp_path / "again", table)
        by = [str(name) for name in expected.columns[:2]]
        pd.testing.assert_frame_equal(
            read_dataset(late_batch.path, table).sort_values(by, ignore_index=True),
            expected.sort_values(by, ignore_index=True),
        )


def test_empty_answer_does_not_remove_results(late_batch: LateBatch) -> None:
    complete = late_batch.record["results"]
    late_batch.record["results"] = [*complete, mapping("dfl-0-9", None)]
    late_batch.sync(0)
    stored = read_dataset(late_batch.path)
    late_batch.record["results"] = None
    late_batch.sync(1)
    pd.testing.assert_frame_equal(read_dataset(late_batch.path), stored)
    late_batch.record["results"] = complete
    late_batch.sync(2)
    assert_dataset_complete(late_batch.path)


def test_unknown_jobs_arrive_or_are_given_up(late_batch: LateBatch) -> None:
    late = late_batch.api.jobs.pop("pjb-0-0")
    gone = late_batch.api.jobs.pop("pjb-0-1")
    asked = []
    for hours in HOURS:
        if hours == 23:
            late_batch.api.jobs["pjb-0-0"] = late
        late_batch.sync(hours, jobs=True)
        asked.append(late_batch.api.requests["job IDs"])
    assert asked == [2, 2, 2, 1, 0, 0]
    assert read_dataset(late_batch.path, "jobs").job_id.tolist() == ["pjb-0-0"]
    (warning,) = late_batch.warnings
    assert warning.startswith("1 job still unknown to the API after 24 hours")
    late_batch.api.jobs["pjb-0-1"] = gone


def test_running_job_that_expires_keeps_its_row(late_batch: LateBatch) -> None:
    late_batch.api.jobs["pjb-0-1"]["status"] = "RUNNING"
    late_batch.sync(0, jobs=True)
    stored = read_dataset(late_batch.path, "jobs")
    del late_batch.api.jobs["pjb-0-1"]
    asked = []
    for hours in HOURS[1:]:
        late_batch.sync(hours, jobs=True)
        asked.append(late_batch.api.requests["job IDs"])
    assert asked == [1, 1, 1, 0, 0]
    pd.testing.assert_frame_equal(read_dataset(late_batch.path, "jobs"), stored)


def test_open_batch_that_is_deleted_keeps_its_row(late_batch: LateBatch) -> None:
    late_batch.record["status"] = "RUNNING"
    late_batch.api.add()
    late_batch.sync(0)
    stored = read_dataset(late_batch.path, "batches")
    del late_batch.api.batches["bat-000"]
    asked = []
    for hours in HOURS[1:]:
        late_batch.sync(hours)
        asked.append(late_batch.api.requests["GET batch"])
    assert asked == [1, 1, 1, 0, 0] or asked == [1, 1, 1, 1, 0]
    pd.testing.assert_frame_equal(read_dataset(late_batch.path, "batches"), stored)


def test_ids_that_differ_in_case_are_one_batch(late_batch: LateBatch) -> None:
    listed = dict(late_batch.record, id="BAT-000", results=None)
    late_batch.api.faults["GET batches"] = lambda response: response | {"items": [listed]}
    late_batch.api.batches["BAT-000"] = late_batch.record
    for hours in (0, 1):
        late_batch.sync(hours)
    assert read_dataset(late_batch.path, "batches").batch_id.tolist() == ["bat-000"]
    assert len(read_dataset(late_batch.path)) == 3


def test_job_id_that_cannot_be_requested_is_left_out(late_batch: LateBatch) -> None:
    late_batch.record["results"][0]["job_reference"]["id"] = "pjb-\u200b0"
    late_batch.sync(0, jobs=True)
    assert read_dataset(late_batch.path, "jobs").job_id.tolist() == ["pjb-0-1"]
    assert "because of an invalid id" in late_batch.warnings[0]
