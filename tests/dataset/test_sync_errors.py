"""Errors of a sync: failed requests, missing batches, and folders that cannot be synced to."""

from __future__ import annotations

import json
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from tests.conftest import Serve
from tests.dataset.checks import (
    assert_dataset_complete,
    assert_dataset_equal,
    assert_rows_unique,
    fetch_tables,
    sync_dataset,
)
from tests.fake_api import START, FakeApi
from tests.servers import Request, Response, page

# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "results/desktop.ini"])
def test_folder_of_system_files_is_empty(api: FakeApi, each_path: str, name: str) -> None:
    filesystem, root = fsspec.url_to_fs(each_path)
    filesystem.makedirs(f"{root}/results", exist_ok=True)
    filesystem.pipe_file(f"{root}/{name}", b"not Parquet")
    with pytest.raises(FileNotFoundError, match="No dataset"):
        read_dataset(each_path)
    api.add()
    for _ in range(2):
        sync_dataset(each_path)
        assert_dataset_complete(each_path)


# --- failed requests ----------------------------------------------------------------------------

BROKEN = Response({"detail": "broken"}, 400)


def test_error_keeps_batches_fetched_before(api: FakeApi, each_path: str) -> None:
    for _ in range(40):
        api.add()
    api.faults = {"bat-003": BROKEN}
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(each_path)
    n_stored = len(read_dataset(each_path, "batches"))
    assert 0 < n_stored < 40
    assert read_dataset(each_path).batch_id.nunique() == n_stored
    api.faults.clear()
    api.requests.clear()
    sync_dataset(each_path)
    assert api.requests["GET batch"] == 40 - n_stored
    assert_dataset_complete(each_path)


@pytest.mark.parametrize("status", [400, 500])
def test_failed_batch_does_not_affect_others(api: FakeApi, path: str, status: int) -> None:
    api.add("RUNNING")
    for _ in range(40):
        api.add()
    broken = Response({"detail": "broken"}, status)
    api.faults = {"bat-000": broken, "bat-039": broken}
    for n_stored in (39, 42):
        with pytest.raises(lb.BatchesError, match="broken") as caught:
            sync_dataset(path, jobs=True)
        assert caught.value.status_code == status
        assert "bat-000" in caught.value.__notes__[0]
        assert_rows_unique(path)
        assert len(read_dataset(path, "batches")) == n_stored
        assert len(read_dataset(path, "jobs")) == 2 * n_stored
        api.requests.clear()
        for _ in range(3):
            api.add()
    api.faults.clear()
    sync_dataset(path, jobs=True)
    assert api.requests["GET batch"] == 5
    assert_dataset_complete(path, jobs=True)


def test_sync_stops_after_a_few_failed_requests(api: FakeApi, path: str) -> None:
    for _ in range(120):
        api.add()
    api.faults = dict.fromkeys(api.batches, BROKEN)
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(path)
    assert api.requests["GET batch"] < 100
    api.faults.clear()
    sync_dataset(path)
    assert_dataset_complete(path)


def test_failed_job_request_does_not_affect_other_requests(
    api: FakeApi, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_batches_nb.fetch.jobs.JOB_IDS_PER_REQUEST", 4)
    for _ in range(10):
        api.add()
    api.jobs["pjb-4-1"]["status"] = "RUNNING"
    api.faults = {"pjb-1-1": BROKEN, "pjb-7-0": BROKEN}
    with pytest.raises(lb.InvalidRequestError, match="broken") as caught:
        sync_dataset(path, jobs=True)
    (note,) = caught.value.__notes__
    assert note.startswith("2 requests failed, for 4 parse_v2 jobs such as pjb-")
    assert len(read_dataset(path, "jobs")) == 12
    api.jobs["pjb-4-1"]["status"] = "COMPLETED"
    api.faults = {"pjb-7-0": BROKEN}
    api.requests.clear()
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(path, jobs=True)
    assert api.requests["job IDs"] == 8 + 1
    assert len(read_dataset(path, "jobs")) == 16
    api.faults.clear()
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)


def test_failed_request_keeps_stored_running_job(api: FakeApi, path: str) -> None:
    api.add()
    api.jobs["pjb-0-1"]["status"] = "RUNNING"
    sync_dataset(path, jobs=True)
    api.jobs["pjb-0-1"]["status"] = "COMPLETED"
    api.faults = {"pjb-0-1": BROKEN}
    with pytest.raises(lb.InvalidRequestError):
        sync_dataset(path, jobs=True)
    assert read_dataset(path, "jobs").status.tolist() == ["COMPLETED", "RUNNING"]
    api.faults.clear()
    sync_dataset(path, jobs=True)
    assert_dataset_complete(path, jobs=True)


def test_invalid_response_does_not_affect_other_batches(api: FakeApi, path: str) -> None:
    for _ in range(20):
        api.add()
    record = api.batches["bat-007"]
    results, record["results"] = record["results"], [{}]
    with pytest.raises(lb.ResponseError):
        sync_dataset(path)
    assert set(api.batches) - set(read_dataset(path, "batches").batch_id) == {"bat-007"}
    record["results"] = results
    sync_dataset(path)
    assert_dataset_complete(path)


def test_response_with_other_batch_id_raises(api: FakeApi, serve: Serve, path: str) -> None:
    api.add()

    def with_other_id(request: Request) -> Any:
        response = api(request)
        return {**response, "id": "bat-9"} if request.param("expand") else response

    serve(with_other_id)
    with pytest.raises(lb.ResponseError) as caught:
        sync_dataset(path)
    assert "'bat-9'" in str(caught.value)
    assert "'bat-000'" in str(caught.value)
    assert read_dataset(path).empty


# --- missing batches ----------------------------------------------------------------------------


def test_new_batch_that_is_not_found_is_fetched_by_next_sync(api: FakeApi, path: str) -> None:
    api.add()
    record = api.batches.pop(api.add())
    api.faults["GET batches"] = lambda response: page([record, *response["items"]])
    assert sync_dataset(path).gone == 1
    api.faults.clear()
    api.batches["bat-001"] = record
    assert sync_dataset(path).new == 1
    assert_dataset_complete(path)


@pytest.mark.parametrize("until", [None, START])
def test_server_that_answers_only_404_removes_nothing(
    api: FakeApi, serve: Serve, path: str, until: datetime | None
) -> None:
    is_wrong_server = False
    not_found = Response({"detail": "no such place"}, 404)
    serve(lambda request: not_found if is_wrong_server else api(request))
    for n in range(6):
        api.add("RUNNING" if n < 3 else "COMPLETED")
    sync_dataset(path)
    expected = fetch_tables()
    is_wrong_server = True
    with pytest.raises(lb.NotFoundError):
        sync_dataset(path, created_at_on_or_before=until)
    assert_dataset_equal(path, expected)


def test_incomplete_list_is_listed_again(api: FakeApi, path: str) -> None:
    for _ in range(6):
        api.add()
    api.faults["GET batches"] = lambda response: response | {"total_size": 8}
    with pytest.warns(UserWarning, match="Expected 8 batches but received 6"):
        report = sync_dataset(path)
    assert not report.complete
    assert "sync again" in str(report)
    api.faults.clear()
    api.requests.clear()
    assert sync_dataset(path).complete
    assert api.requests == {"GET batches": 2}
    assert_dataset_complete(path)


# --- folders that cannot be synced to -----------------------------------------------------------


def test_folder_with_other_files_is_unchanged(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds other files \('notes.txt'\)"):
        sync_dataset(tmp_path)
    with pytest.raises(DatasetError, match="is a file"):
        sync_dataset(tmp_path / "notes.txt")
    assert Storage(tmp_path).names() == ["notes.txt"]
    assert not api.requests


def test_key_of_another_project_is_refused_and_changes_nothing(
    api: FakeApi, each_path: str
) -> None:
    api.add("RUNNING")
    api.add()
    sync_dataset(each_path, jobs=True)
    expected = fetch_tables(jobs=True)
    own = dict(api.batches)
    api.batches.clear()
    for old in (False, True):  # a new batch, and only one that is older than those listed
        api.batches["bat-x"] = own["bat-001"] | {"id": "bat-x", "project_id": "prj-2"}
        if old:
            api.batches["bat-x"]["created_at"] = "2020-01-01T00:00:00Z"
        with pytest.raises(DatasetError, match=r"holds batches of project prj-1.*project prj-2"):
            sync_dataset(each_path)
        assert_dataset_equal(each_path, expected)
    Storage(each_path).filesystem.rm_file(Storage(each_path).path("_sync.json"))
    with pytest.raises(DatasetError, match="holds batches of project prj-1"):
        sync_dataset(each_path)
    api.batches = own
    sync_dataset(each_path, jobs=True)
    assert_dataset_equal(each_path, expected)


def test_newer_format_raises_and_unknown_fields_are_ignored(api: FakeApi, path: str) -> None:
    sync_dataset(path)
    storage = Storage(path)
    state = json.loads(storage.get("_sync.json") or b"")
    storage.put("_sync.json", json.dumps({"format": 99, "files": "?"}).encode())
    for function in (sync_dataset, open_dataset, read_dataset):
        with pytest.raises(DatasetError, match="Upgrade"):
            function(path)
    storage.put("_sync.json", json.dumps({**state, "tomorrow": 1}).encode())
    sync_dataset(path)


def test_dataset_of_the_old_format_is_left_alone(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "_manifest.json").write_text("{}")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "part-0123456789ab.parquet").write_text("old")
    for function in (sync_dataset, open_dataset, read_dataset):
        with pytest.raises(DatasetError, match=r"older version.*Sync to a new folder"):
            function(tmp_path)
    assert len(Storage(tmp_path).names()) == 2
    assert not api.requests


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"format": 2, "files": {"../x": ["", 1]}}', None]
)
def test_damaged_or_missing_record_is_restored_by_a_sync(
    api: FakeApi, path: str, content: bytes | None
) -> None:
    for status in ("COMPLETED", "FAILED", "RUNNING"):
        api.add(status)
    sync_dataset(path, jobs=True)
    deleted = api.batches.pop("bat-000")
    if content is None:
        Storage(path).filesystem.rm_file(Storage(path).path("_sync.json"))
    else:
        Storage(path).put("_sync.json", content)
    for read in (open_dataset, read_dataset):
        with pytest.raises(DatasetError, match=r"_sync.json'.*Run sync_dataset"):
            read(path)
    api.end("bat-002")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sync_dataset(path)
    assert len(read_dataset(path, "jobs")) == 5  # the table is known from its files
    sync_dataset(path, jobs=True)
    api.batches["bat-000"] = deleted  # its rows stayed
    assert_dataset_complete(path, jobs=True)
