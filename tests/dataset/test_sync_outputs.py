"""Credits, outputs and names in a dataset: equal to what the fetch functions return."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.dataset.checks import assert_no_other_files
from tests.servers import Request, Response, batch, mapping, page


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    options = Options(batches=14, files=(1, 5), days=2, speed=0)
    with (
        SandboxServer.start(options, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        yield server


def assert_same_rows(left: pd.DataFrame, right: pd.DataFrame, by: list[str]) -> None:
    pd.testing.assert_frame_equal(
        left.sort_values(by, ignore_index=True),
        right[left.columns].sort_values(by, ignore_index=True),
    )


@pytest.mark.filterwarnings("ignore:.*left out:UserWarning")
def test_outputs_credits_and_names_equal_fetched_ones(
    server: SandboxServer, tmp_path: Path
) -> None:
    lb.sync_dataset(tmp_path, names=False)
    lb.sync_dataset(tmp_path, jobs=True)
    lb.sync_dataset(tmp_path, usage=True, outputs="markdown")
    server.advance(24 * 3600)
    lb.sync_dataset(tmp_path, usage=True, outputs="markdown")
    jobs = lb.fetch_jobs(lb.fetch_results(), usage=True)
    assert_same_rows(lb.read_dataset(tmp_path, "jobs"), jobs, ["job_id"])
    pages, data = lb.fetch_pages(jobs), lb.fetch_extractions(jobs)
    assert_same_rows(lb.read_dataset(tmp_path, "pages"), pages, ["job_id", "page_number"])
    assert_same_rows(lb.read_dataset(tmp_path, "extractions"), data, ["job_id", "row"])
    batches = lb.read_dataset(tmp_path, "batches")
    names = lb.read_dataset(tmp_path, "directories")
    assert set(batches.source_directory_id) <= set(names.source_directory_id)
    files = lb.read_dataset(tmp_path, "files")
    assert set(lb.read_dataset(tmp_path).source_directory_file_id) <= set(
        files.source_directory_file_id
    )
    assert_same_rows(
        lb.read_dataset(tmp_path, "configurations"), lb.fetch_configurations(), ["configuration_id"]
    )
    assert_no_other_files(tmp_path)
    again = lb.sync_dataset(tmp_path, usage=True, outputs="markdown")
    assert again.requests < 10
    assert not any(again.added.values())
    with pytest.raises(DatasetError, match="holds pages as 'markdown', not 'text'"):
        lb.sync_dataset(tmp_path, outputs="text")


def test_late_credits_and_expired_outputs_are_requested_again(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Any] = {"credits": None, "output": Response({"detail": "expired"}, 404)}
    record = batch("bat-1", results=[mapping("dfl-1", "pjb-1")])

    def script(request: Request) -> Any:
        if request.path.endswith("/batches"):
            return page([record | {"results": None}])
        if request.path.endswith("/bat-1"):
            return record
        job = {"id": "pjb-1", "status": "COMPLETED"}
        if request.path.endswith("/parse"):
            return page([job])
        if request.param("expand") == "usage":
            return {"job": job | {"usage": {"credits": answers["credits"]}}}
        return answers["output"]

    serve(script, max_retries=0)
    start = datetime.fromisoformat(record["created_at"]) + timedelta(hours=1)

    def sync(hours: float) -> list[str]:
        later = start + timedelta(hours=hours)
        monkeypatch.setattr("llama_batches_nb.dataset.sync.utc_now", lambda: later)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lb.sync_dataset(tmp_path, usage=True, outputs="text", names=False)
        return [str(one.message) for one in caught]

    (warning,) = sync(0)
    assert warning.startswith("1 outputs have expired")
    assert lb.read_dataset(tmp_path, "jobs").credits.isna().all()
    answers["credits"] = 3
    sync(1)
    assert lb.read_dataset(tmp_path, "jobs").credits.tolist() == [3]
    answers["output"] = {
        "job": {"id": "pjb-1", "status": "COMPLETED"},
        "text": {"pages": [{"page_number": 1, "text": "x" * 1_000_000}]},
    }
    assert not sync(2)
    assert lb.read_dataset(tmp_path, "pages").content.str.len().tolist() == [1_000_000]
    assert lb.read_dataset(tmp_path, "jobs").credits.tolist() == [3]
    answers["output"] = Response({"detail": "expired"}, 404)
    assert not sync(3)
    assert len(lb.read_dataset(tmp_path, "pages")) == 1


def test_pages_have_the_job_id_of_the_results_whatever_its_case(
    serve: Serve, tmp_path: Path
) -> None:
    record = batch("bat-1", results=[mapping("dfl-1", "PJB-1")])

    def script(request: Request) -> Any:
        if request.path.endswith("/batches"):
            return page([record | {"results": None}])
        if request.path.endswith("/parse"):
            return page([{"id": "PJB-1", "status": "COMPLETED"}])
        text = {"pages": [{"page_number": 1, "text": "x"}]}
        job = {"job": {"id": "pjb-1", "status": "COMPLETED"}, "text": text}
        return record if request.path.endswith("/bat-1") else job

    serve(script)
    for _ in range(2):
        lb.sync_dataset(tmp_path, outputs="text", names=False)
        assert lb.read_dataset(tmp_path, "pages").job_id.tolist() == ["PJB-1"]


def test_names_that_cannot_be_listed_are_left_out_with_a_warning(
    serve: Serve, tmp_path: Path
) -> None:
    record = batch("bat-1", results=[mapping("dfl-1", "pjb-1")])

    def script(request: Request) -> Any:
        if request.path.endswith("/batches"):
            return page([record | {"results": None}])
        return record if request.path.endswith("/bat-1") else Response({"detail": "no"}, 403)

    serve(script, max_retries=0)
    with pytest.warns(UserWarning, match="names=False"):
        lb.sync_dataset(tmp_path)
    assert len(lb.read_dataset(tmp_path)) == 1


def test_usage_is_requested_for_batches_of_syncs_without_it(
    server: SandboxServer, tmp_path: Path
) -> None:
    middle = lb.fetch_batches().created_at.sort_values().iloc[7]
    lb.sync_dataset(tmp_path, usage=True, names=False, created_at_on_or_before=middle)
    lb.sync_dataset(tmp_path, outputs="markdown", names=False)  # other batches, of the same days
    lb.sync_dataset(tmp_path, usage=True, names=False)
    jobs = lb.read_dataset(tmp_path, "jobs")
    expected = lb.fetch_jobs(lb.fetch_results(), usage=True)
    assert_same_rows(jobs, expected, ["job_id"])
