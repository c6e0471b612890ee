"""Retry failed files: each once, without an upload, and no other files."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import retry_batches
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.fake_api import START, FakeApi
from tests.servers import Request, Response, batch, interrupt, mapping

FAILURES = ["job_failed", "mapping_error"]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_batches, "SETTLE_TIME", 0.1)
    monkeypatch.setattr(retry_batches, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(retry_batches, "TAKEOVER_DELAY", 0.5)


@pytest.fixture(scope="module")
def sandbox_server() -> Iterator[SandboxServer]:
    """Start a sandbox in which no other test retries files."""
    with SandboxServer.start(Options(batches=60, files=(1, 120), speed=200), thread=True) as server:
        yield server


@pytest.fixture
def batch_outcomes(on_sandbox: lb.Client) -> pd.DataFrame:
    """Return the outcomes of the batch with the most failed files."""
    batches = lb.fetch_batches(status="COMPLETED", limit=12)
    results = lb.fetch_results(batches)
    frame = lb.outcomes(results, lb.fetch_jobs(results))
    batch_id = frame[frame.outcome.isin(FAILURES)].batch_id.value_counts().index[0]
    return pd.DataFrame(frame[frame.batch_id == batch_id])


def test_retry_runs_failed_files_in_new_directory(batch_outcomes: pd.DataFrame) -> None:
    retry = lb.retry_failed(batch_outcomes)
    assert retry.configuration_id.tolist() == batch_outcomes.configuration_id.unique().tolist()
    assert not set(retry.source_directory_id) & set(batch_outcomes.source_directory_id)
    files = lb.fetch_files(pd.concat([batch_outcomes, retry]))
    failed_ids = batch_outcomes[batch_outcomes.outcome.isin(FAILURES)].source_directory_file_id
    copies = files[files.source_directory_id.isin(retry.source_directory_id)]
    failed = files[files.source_directory_file_id.isin(failed_ids)]
    assert sorted(copies.file_id) == sorted(failed.file_id)
    assert sorted(copies.display_name) == sorted(failed.display_name)

    results = retry.pipe(lb.wait_for_batches, timeout=60).pipe(lb.fetch_results)
    retry_outcomes = lb.outcomes(results, lb.fetch_jobs(results))
    both = pd.concat([batch_outcomes, retry_outcomes], ignore_index=True)
    runs = lb.attempts(both, files)
    assert runs.attempt.value_counts().to_dict() == {1: len(batch_outcomes), 2: len(failed)}
    plan = lb.retry_failed(both, dry_run=True)
    assert (plan.action == "retry").sum() == (retry_outcomes.outcome == "job_failed").sum()
    assert set(plan.attempt) == {3}


def test_dry_run_creates_nothing(batch_outcomes: pd.DataFrame) -> None:
    before = len(lb.fetch_directories()), len(lb.fetch_batches())
    plan = lb.retry_failed(batch_outcomes, dry_run=True)
    assert len(plan) == batch_outcomes.outcome.isin(FAILURES).sum()
    assert set(plan.action) <= {"retry", "skip"}
    assert plan.display_name.notna().all()
    assert (len(lb.fetch_directories()), len(lb.fetch_batches())) == before


def test_retry_fetches_jobs_unless_given(batch_outcomes: pd.DataFrame) -> None:
    results = batch_outcomes.drop(columns=["outcome", "job_error_message", "credits"])
    plan = lb.retry_failed(results, dry_run=True)
    pd.testing.assert_frame_equal(plan, lb.retry_failed(batch_outcomes, dry_run=True))
    with_jobs = lb.retry_failed(results, jobs=lb.fetch_jobs(results), dry_run=True)
    pd.testing.assert_frame_equal(plan, with_jobs)


# --- a service with faults ----------------------------------------------------------------------


def fake_api(n_files: int = 3, *, names: str = "{}.pdf") -> FakeApi:
    """Return a project with batch bat-0 of directory dir-0, whose jobs all failed."""
    api = FakeApi({"dir-0": 0})
    results = []
    for n in range(n_files):
        file = api.add_file("dir-0", names.format(n), file_id=f"f-{n}", unique_id=f"u-{n}")
        results.append(mapping(file["id"], api.add_job(f"pjb-{n}", "FAILED")))
    api.batches["bat-0"] = batch("bat-0", source_directory_id="dir-0", results=results)
    api.configurations = [{"id": "cfg-facts", "name": "Facts", "product_type": "extract_v2"}]
    return api


def fetch_outcomes() -> pd.DataFrame:
    results = lb.fetch_results("bat-0")
    return pd.DataFrame(lb.outcomes(results, lb.fetch_jobs(results)))


def has_all_files(api: FakeApi, directory: str) -> bool:
    """Whether a directory has the files of dir-0, each once."""
    copies, files = (
        sorted((file["file_id"], file["display_name"]) for file in api.files[name])
        for name in (directory, "dir-0")
    )
    return copies == files


def test_retry_without_failures_sends_no_request(serve: Serve) -> None:
    api = fake_api()
    server = serve(api)
    succeeded = fetch_outcomes().assign(outcome="succeeded")
    server.requests.clear()
    assert lb.retry_failed(succeeded).empty
    plan = lb.retry_failed(succeeded, dry_run=True)
    assert plan.empty
    assert "reason" in plan.columns
    assert not server.requests


@pytest.mark.parametrize("unique_names", [False, True])
def test_repeated_retry_returns_existing_batches(serve: Serve, unique_names: bool) -> None:
    api = fake_api()
    api.unique_names = unique_names
    serve(api)
    failed = fetch_outcomes()
    first = lb.retry_failed(failed)
    api.requests.clear()
    with pytest.warns(UserWarning, match="3 of 3 failed files were already .* bat-new-0") as warned:
        second = lb.retry_failed(failed)
    assert warned[0].filename == __file__
    assert second.batch_id.tolist() == first.batch_id.tolist()
    assert not api.n_posts


def test_retry_skips_files_of_earlier_partial_retry(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    first = lb.retry_failed(failed.head(2))
    with pytest.warns(UserWarning, match="2 of 3 failed files were already retried"):
        both = lb.retry_failed(failed)
    assert both.batch_id.tolist() == [*first.batch_id, "bat-new-1"]
    assert [file["file_id"] for file in api.files["dir-new-1"]] == ["f-2"]
    plan = lb.retry_failed(failed, dry_run=True)
    assert set(plan.action) == {"skip"}


@pytest.mark.parametrize("unique_names", [False, True])
@pytest.mark.parametrize("status", ["CANCELLED", "FAILED"])
def test_cancelled_or_failed_retry_is_repeated(
    serve: Serve, status: str, unique_names: bool
) -> None:
    api = fake_api()
    api.unique_names = unique_names
    serve(api)
    failed = fetch_outcomes()
    for n in range(3):
        assert set(lb.retry_failed(failed, dry_run=True).action) == {"retry"}
        retry = lb.retry_failed(failed)
        assert retry.source_directory_id.tolist() == [f"dir-new-{n}"]
        api.end(f"bat-new-{n}", status)
    assert all(has_all_files(api, f"dir-new-{n}") for n in range(3))


def test_retry_warns_about_files_of_failed_batches(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes().assign(batch_status="FAILED")
    assert lb.retry_failed(failed, dry_run=True).empty
    with pytest.warns(UserWarning, match="3 files of FAILED batches are not retried: 'bat-0'"):
        assert lb.retry_failed(failed).empty
    assert not api.n_posts


def test_retry_accepts_other_frames_and_dtypes(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    plan = lb.retry_failed(failed, dry_run=True)
    for frame in (
        pl.from_pandas(failed),
        failed.set_axis([0, 0, 0]),
        failed.astype({"batch_id": "category", "source_directory_file_id": "category"}),
    ):
        pd.testing.assert_frame_equal(lb.retry_failed(frame, dry_run=True), plan)


def test_retry_needs_jobs_of_mapped_files(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    mapped = lb.outcomes(lb.fetch_results("bat-0"))
    assert len(lb.retry_failed(mapped, dry_run=True)) == 3
    jobs = lb.fetch_jobs(mapped)
    assert len(lb.retry_failed(mapped, jobs=pl.from_pandas(jobs), dry_run=True)) == 3


def test_retry_accepts_another_configuration_of_its_job_type(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    with pytest.raises(lb.InvalidRequestError, match="for extract_v2"):
        lb.retry_failed(failed, configuration_id="cfg-facts")
    assert not api.n_posts
    retry = lb.retry_failed(failed, configuration_id="cfg-facts", job_type="extract_v2")
    assert retry.configuration_id.tolist() == ["cfg-facts"]
    assert retry.job_type.tolist() == ["extract_v2"]


@pytest.mark.parametrize("unique_names", [False, True])
def test_retry_creates_nothing_twice_after_lost_responses(serve: Serve, unique_names: bool) -> None:
    api = fake_api()
    api.unique_names = unique_names
    serve(api)
    for resource in ("directories", "files", "batches"):
        api.faults[f"POST {resource}"] = [lambda created: Response(drop=True)]
    retry = lb.retry_failed(fetch_outcomes())
    assert retry.batch_id.tolist() == ["bat-new-0"]
    assert has_all_files(api, "dir-new-0")
    assert api.created == ["bat-new-0"]


def test_retry_continues_after_error(serve: Serve) -> None:
    api = fake_api(4)
    serve(api, max_workers=1, max_retries=0)
    api.faults = {"POST files": [Response(status=401)]}
    with pytest.raises(lb.AuthenticationError):
        lb.retry_failed(fetch_outcomes())
    api.faults = {"POST batches": [Response({"detail": "Paid plans only"}, 403)]}
    with pytest.raises(lb.AuthenticationError, match="Paid plans") as caught:
        lb.retry_failed(fetch_outcomes())
    assert caught.value.partial is not None
    assert caught.value.partial.empty
    retry = lb.retry_failed(fetch_outcomes())
    assert retry.batch_id.tolist() == ["bat-new-0"]
    assert has_all_files(api, "dir-new-2")
    left = [name for name, record in api.directories.items() if "deleted_at" not in record]
    assert left == ["dir-0", "dir-new-2"]


def test_earlier_retries_are_read_at_the_same_time(serve: Serve) -> None:
    api = fake_api()
    for n in range(8):
        api.add_directory(f"dir-old-{n}", f"retry {n}")["deleted_at"] = START.isoformat()
    four = threading.Barrier(4, timeout=20)

    def script(request: Request) -> Any:
        if (request.param("source_directory_id") or "").startswith("dir-old-"):
            four.wait()
        return api(request)

    serve(script, max_workers=4)
    assert lb.retry_failed(fetch_outcomes()).batch_id.tolist() == ["bat-new-0"]


# --- several calls at once ----------------------------------------------------------------------


def at_once(*frames: pd.DataFrame) -> list[pd.DataFrame]:
    """Retry these frames at the same time, as processes without a common state do."""
    start = threading.Barrier(len(frames))

    def one(frame: pd.DataFrame) -> pd.DataFrame:
        start.wait()
        return lb.retry_failed(frame, progress=False)

    with warnings.catch_warnings(), ThreadPoolExecutor(len(frames)) as pool:
        warnings.filterwarnings("ignore", r".* were already retried", UserWarning)
        return list(pool.map(one, frames))


@pytest.mark.parametrize("unique_names", [False, True])
def test_retries_at_once_create_one_batch(serve: Serve, unique_names: bool) -> None:
    for _ in range(2):
        api = fake_api()
        api.unique_names = unique_names
        serve(api)
        retries = at_once(*[fetch_outcomes()] * 3)
        assert api.created == ["bat-new-0"]
        assert [retry.batch_id.tolist() for retry in retries] == [["bat-new-0"]] * 3


def test_retries_of_overlapping_frames_at_once_retry_each_file_once(serve: Serve) -> None:
    for _ in range(2):
        api = fake_api(6)
        serve(api)
        failed = fetch_outcomes()
        at_once(failed.head(4), failed.tail(4))
        used = {api.batches[batch_id]["source_directory_id"] for batch_id in api.created}
        files = [file["file_id"] for directory in used for file in api.files[directory]]
        assert sorted(files) == [f"f-{n}" for n in range(6)]


def test_retry_takes_over_from_interrupted_call(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    created = api.add_directory("dir-new-0", "retry 0")
    created["created_at"] = START.isoformat()
    retries = at_once(failed, failed)
    assert created["id"] not in {one for retry in retries for one in retry.source_directory_id}
    assert api.created == ["bat-new-0"]


def test_batch_created_between_check_and_request_is_named(serve: Serve) -> None:
    api = fake_api()
    api.n_created = 2  # the second one is that of another call
    serve(api)
    failed = fetch_outcomes()

    def copy_files(created: Any) -> Any:
        other = api.add_directory("dir-other", "retry other")
        api.files[other["id"]] = api.files["dir-new-0"]
        api.batches["bat-new-1"]["source_directory_id"] = other["id"]
        return created

    api.faults = {"POST batches": copy_files}
    with pytest.warns(UserWarning, match="Another call created 'bat-new-1' .* of bat-new-0"):
        assert lb.retry_failed(failed).batch_id.tolist() == ["bat-new-0"]


def test_retry_finds_batch_whose_directory_was_deleted(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    first = lb.retry_failed(failed)
    api.end("bat-new-0")
    lb.delete_directories("dir-new-0", dry_run=False)
    with pytest.warns(UserWarning, match="already retried, in bat-new-0"):
        assert lb.retry_failed(failed).batch_id.tolist() == first.batch_id.tolist()
    assert api.created == ["bat-new-0"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_retry_names_batches_that_may_have_retried_its_files(serve: Serve, is_listed: bool) -> None:
    api = fake_api()
    serve(api)
    failed = fetch_outcomes()
    lb.retry_failed(failed)
    api.end("bat-new-0")
    lb.delete_directories("dir-new-0", dry_run=False)
    if not is_listed:
        del api.directories["dir-new-0"]
    with pytest.warns(UserWarning, match="may already have been retried.*'bat-new-0'"):
        second = lb.retry_failed(failed.head(2))
    assert second.batch_id.tolist() == ["bat-new-1"]


def test_interrupted_retry_has_note_how_to_continue(serve: Serve) -> None:
    api = fake_api()

    def script(request: Request) -> Any:
        if request.method == "POST" and request.path.endswith("/files"):
            interrupt()
        return api(request)

    serve(script, max_workers=1)
    failed = fetch_outcomes()
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.retry_failed(failed)
    assert "call retry_failed again with the same frame" in caught.value.__notes__[0]


def test_error_has_batches_created_before_it(serve: Serve) -> None:
    api = fake_api(names="same.pdf")
    serve(api)
    api.faults = {"POST batches": [None, Response({"detail": "No"}, 422)]}
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.retry_failed(fetch_outcomes())
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-new-0"]


def test_retry_warns_about_rejected_file(serve: Serve) -> None:
    api = fake_api()
    serve(api, max_workers=1)
    api.faults = {"POST files": [Response({"detail": "No such file"}, 404)]}
    with pytest.warns(UserWarning, match=r"1 of 3 failed files .*'0\.pdf'.*No such file"):
        retry = lb.retry_failed(fetch_outcomes())
    assert len(retry) == 1
    assert [file["display_name"] for file in api.files["dir-new-0"]] == ["1.pdf", "2.pdf"]


def test_retry_creates_no_batch_if_all_files_are_rejected(serve: Serve) -> None:
    api = fake_api(1)
    serve(api)
    api.faults = {"POST files": [Response({"detail": "No such file"}, 404)]}
    with pytest.warns(UserWarning, match="No such file"):
        assert lb.retry_failed(fetch_outcomes()).empty
    assert not api.create_bodies


def test_retry_warns_about_files_of_deleted_directory(serve: Serve) -> None:
    api = fake_api()
    serve(api)
    results = fetch_outcomes()
    del api.files["dir-0"]
    with pytest.warns(
        UserWarning, match=r"3 of 3 failed files cannot .*'dir-0-0'.*directory no longer exists"
    ):
        assert lb.retry_failed(results).empty
    assert not api.n_posts
    with warnings.catch_warnings():
        plan = lb.retry_failed(results, dry_run=True)
    assert set(plan.action) == {"impossible"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"results": pd.DataFrame({"batch_id": ["b"]})}, ValueError, "batch_created_at"),
        ({"results": "bat-1"}, TypeError, "frame"),
        ({"job_type": "parse"}, ValueError, "job_type"),
        ({"configuration_id": ""}, ValueError, "configuration_id"),
        ({"configuration_id": ["a", "b"]}, ValueError, "configuration_id"),
    ],
)
def test_retry_rejects_invalid_arguments_without_request(
    serve: Serve, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    api = fake_api()
    server = serve(api)
    results = fetch_outcomes()
    server.requests.clear()
    with pytest.raises(error, match=message):
        lb.retry_failed(**{"results": results, **arguments})
    assert not server.requests
