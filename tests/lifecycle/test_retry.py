"""The files that failed are run again: once, without an upload, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.servers import Answer, Asked, batch, mapping, page

FAILURES = ["job_failed", "mapping_error"]


@pytest.fixture(scope="module")
def sandbox_server() -> Iterator[SandboxServer]:
    """A sandbox in which nobody else runs files again."""
    with SandboxServer.start(Options(batches=60, files=(1, 120), speed=200), thread=True) as server:
        yield server


@pytest.fixture
def files(on_sandbox: lb.Client) -> pd.DataFrame:
    """What became of the files of a batch in which some failed."""
    batches = lb.fetch_batches(status="COMPLETED", limit=12)
    results = lb.fetch_results(batches)
    ended = lb.outcomes(results, lb.fetch_jobs(results))
    worst = ended[ended.outcome.isin(FAILURES)].batch_id.value_counts().index[0]
    return pd.DataFrame(ended[ended.batch_id == worst])


def test_the_failed_files_run_again_in_a_directory_of_their_own(files: pd.DataFrame) -> None:
    again = lb.retry_failed(files)
    assert again.configuration_id.tolist() == files.configuration_id.unique().tolist()
    assert not set(again.source_directory_id) & set(files.source_directory_id)
    names = lb.fetch_files(pd.concat([files, again]))
    failed = files[files.outcome.isin(FAILURES)].source_directory_file_id
    moved = names[names.source_directory_id.isin(again.source_directory_id)]
    were = names[names.source_directory_file_id.isin(failed)]
    assert sorted(moved.file_id) == sorted(were.file_id)
    assert sorted(moved.display_name) == sorted(were.display_name)

    results = again.pipe(lb.wait_for_batches, timeout=60).pipe(lb.fetch_results)
    both = pd.concat([files, lb.outcomes(results, lb.fetch_jobs(results))], ignore_index=True)
    runs = lb.attempts(both, names)
    assert runs.attempt.value_counts().to_dict() == {1: len(files), 2: len(failed)}
    third = lb.retry_failed(both, dry_run=True)
    assert (third.action == "retry").sum() == (runs.outcome[len(files) :] == "job_failed").sum()
    assert set(third.attempt) == {3}


def test_a_plan_makes_nothing(files: pd.DataFrame) -> None:
    before = len(lb.fetch_directories()), len(lb.fetch_batches())
    plan = lb.retry_failed(files, dry_run=True)
    assert len(plan) == files.outcome.isin(FAILURES).sum()
    assert set(plan.action) <= {"retry", "skip"}
    assert plan.display_name.notna().all()
    assert (len(lb.fetch_directories()), len(lb.fetch_batches())) == before


def test_jobs_are_fetched_if_they_are_not_given(files: pd.DataFrame) -> None:
    results = files.drop(columns=["outcome", "job_error_message", "credits"])
    plan = lb.retry_failed(results, dry_run=True)
    pd.testing.assert_frame_equal(plan, lb.retry_failed(files, dry_run=True))
    given = lb.retry_failed(results, jobs=lb.fetch_jobs(results), dry_run=True)
    pd.testing.assert_frame_equal(plan, given)


# --- a service with faults ----------------------------------------------------------------------


class Service:
    """Batch bat-0 over dir-0, whose jobs all failed, and what is made of it."""

    def __init__(self, *, files: int = 3, names: str = "{}.pdf") -> None:
        self.files = {"dir-0": [(f"f-{n}", names.format(n), f"u-{n}") for n in range(files)]}
        self.directories: dict[str, str] = {}
        self.batches: dict[str, list[Any]] = {}
        self.posts: list[str] = []
        self.faults: dict[str, list[Answer | None]] = {}

    def results(self) -> pd.DataFrame:
        results = lb.fetch_results("bat-0")
        return pd.DataFrame(lb.outcomes(results, lb.fetch_jobs(results)))

    def __call__(self, asked: Asked) -> Any:
        place = asked.path.split("/")
        if asked.method == "GET":
            return self.get(asked, place)
        self.posts.append(place[-1])
        faults = self.faults.get(place[-1])
        fault = faults.pop(0) if faults else None
        if fault is not None and not fault.drop:
            return fault
        made = self.post(asked, place)
        return fault or made

    def get(self, asked: Asked, place: list[str]) -> Any:
        if place[-1] == "parse":
            return page([{"id": i, "status": "FAILED"} for i in asked.query["job_ids"]])
        if place[-1] == "files":
            if place[-2] not in self.files:
                return Answer({"detail": "Gone"}, 404)
            name = asked.one("display_name")
            return page([f for f in self.listed(place[-2]) if name in (None, f["display_name"])])
        if place[-1] == "directories":
            name = asked.one("name")
            made = [{"id": d, "name": n} for n, d in self.directories.items()]
            return page([d for d in made if name in (None, d["name"])])
        if place[-1] == "configurations":
            return page([{"id": "cfg-facts", "name": "Facts", "product_type": "extract_v2"}])
        if place[-1] == "batches":
            return page(self.batches.get(str(asked.one("source_directory_id")), []))
        files = [mapping(f"dir-0-{n}", f"pjb-{n}") for n in range(len(self.files["dir-0"]))]
        return batch("bat-0", source_directory_id="dir-0", results=files)

    def post(self, asked: Asked, place: list[str]) -> Any:
        body = asked.json
        if place[-1] == "directories":
            if body["name"] in self.directories:
                return Answer({"detail": "There is one"}, 409)
            made = f"dir-{len(self.directories) + 1}"
            self.directories[body["name"]], self.files[made] = made, []
            return {"id": made, "name": body["name"]}
        if place[-1] == "files":
            file = body["file_id"], body["display_name"], body["unique_id"]
            if file in self.files[place[-2]]:
                return Answer({"detail": "It is there"}, 409)
            self.files[place[-2]].append(file)
            return self.listed(place[-2])[-1]
        over = body["source_directory_id"]
        new = batch(f"bat-{over}", "PENDING", source_directory_id=over, config=body["config"])
        self.batches.setdefault(over, []).append(new)
        return new

    def copied(self, directory: str) -> bool:
        """Whether a directory has the files of dir-0, each once."""
        there = sorted(file[:2] for file in self.files[directory])
        return there == sorted(file[:2] for file in self.files["dir-0"])

    def listed(self, directory: str) -> list[dict[str, str]]:
        return [
            {"id": f"{directory}-{n}", "file_id": file, "display_name": name, "unique_id": unique}
            for n, (file, name, unique) in enumerate(self.files[directory])
        ]


def test_nothing_failed_and_nothing_is_made(serve: Serve) -> None:
    service = Service()
    server = serve(service)
    fine = service.results().assign(outcome="succeeded")
    server.asked.clear()
    assert lb.retry_failed(fine).empty
    plan = lb.retry_failed(fine, dry_run=True)
    assert plan.empty
    assert "reason" in plan.columns
    assert not server.asked


def test_the_same_call_finds_what_it_made_before(serve: Serve) -> None:
    service = Service()
    serve(service)
    failed = service.results()
    first = lb.retry_failed(failed)
    service.posts.clear()
    with pytest.warns(UserWarning, match="3 files were run again already, in bat-dir-1") as warned:
        second = lb.retry_failed(failed)
    assert warned[0].filename == __file__
    assert second.batch_id.tolist() == first.batch_id.tolist()
    assert not service.posts


def test_a_part_and_then_the_whole_run_no_file_twice(serve: Serve) -> None:
    service = Service()
    serve(service)
    failed = service.results()
    first = lb.retry_failed(failed.head(2))
    with pytest.warns(UserWarning, match="2 files were run again already"):
        both = lb.retry_failed(failed)
    assert both.batch_id.tolist() == [*first.batch_id, "bat-dir-2"]
    assert [file[0] for file in service.files["dir-2"]] == ["f-2"]
    plan = lb.retry_failed(failed, dry_run=True)
    assert set(plan.action) == {"skip"}


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED"])
def test_a_retry_that_came_to_nothing_does_not_count(serve: Serve, status: str) -> None:
    service = Service()
    serve(service)
    failed = service.results()
    for n in range(1, 4):
        assert set(lb.retry_failed(failed, dry_run=True).action) == {"retry"}
        again = lb.retry_failed(failed)
        assert again.source_directory_id.tolist() == [f"dir-{n}"]
        for batches in service.batches.values():
            batches[0]["status"] = status
    assert all(service.copied(f"dir-{n}") for n in range(1, 4))


def test_results_may_be_of_another_kind(serve: Serve) -> None:
    service = Service()
    serve(service)
    failed = service.results()
    plan = lb.retry_failed(failed, dry_run=True)
    for other in (
        pl.from_pandas(failed),
        failed.set_axis([0, 0, 0]),
        failed.astype({"batch_id": "category", "source_directory_file_id": "category"}),
    ):
        pd.testing.assert_frame_equal(lb.retry_failed(other, dry_run=True), plan)


def test_outcomes_without_jobs_are_not_taken_for_the_whole(serve: Serve) -> None:
    service = Service()
    serve(service)
    mapped = lb.outcomes(lb.fetch_results("bat-0"))
    assert len(lb.retry_failed(mapped, dry_run=True)) == 3
    jobs = lb.fetch_jobs(mapped)
    assert len(lb.retry_failed(mapped, jobs=pl.from_pandas(jobs), dry_run=True)) == 3


def test_another_configuration_is_taken_if_it_fits(serve: Serve) -> None:
    service = Service()
    serve(service)
    failed = service.results()
    with pytest.raises(lb.InvalidRequestError, match="for extract_v2"):
        lb.retry_failed(failed, configuration_id="cfg-facts")
    assert not service.posts
    again = lb.retry_failed(failed, configuration_id="cfg-facts", job_type="extract_v2")
    assert again.configuration_id.tolist() == ["cfg-facts"]
    assert again.job_type.tolist() == ["extract_v2"]


def test_lost_answers_make_nothing_twice(serve: Serve) -> None:
    service = Service()
    serve(service)
    lost = [Answer(drop=True)]
    service.faults = {"directories": [*lost], "files": [*lost], "batches": [*lost]}
    again = lb.retry_failed(service.results())
    assert again.batch_id.tolist() == ["bat-dir-1"]
    assert service.copied("dir-1")
    assert len(service.batches["dir-1"]) == 1


def test_what_was_cut_short_goes_on_where_it_was(serve: Serve) -> None:
    service = Service(files=4)
    serve(service, max_workers=1, max_retries=0)
    service.faults = {"files": [Answer(status=401)]}
    with pytest.raises(lb.AuthenticationError):
        lb.retry_failed(service.results())
    service.faults = {"batches": [Answer({"detail": "Paid plans only"}, 403)]}
    with pytest.raises(lb.AuthenticationError, match="Paid plans") as caught:
        lb.retry_failed(service.results())
    assert caught.value.partial is not None
    assert caught.value.partial.empty
    again = lb.retry_failed(service.results())
    assert again.batch_id.tolist() == ["bat-dir-1"]
    assert service.copied("dir-1")
    assert service.posts.count("directories") == 3
    assert len(service.directories) == 1


def test_the_batches_before_an_error_are_its_partial(serve: Serve) -> None:
    service = Service(names="same.pdf")
    serve(service)
    service.faults = {"batches": [None, Answer({"detail": "No"}, 422)]}
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.retry_failed(service.results())
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-dir-1"]


def test_files_that_cannot_be_added_are_named(serve: Serve) -> None:
    service = Service()
    serve(service, max_workers=1)
    service.faults = {"files": [Answer({"detail": "No such file"}, 404)]}
    with pytest.warns(UserWarning, match=r"1 failed files .*'0\.pdf'.*No such file"):
        again = lb.retry_failed(service.results())
    assert len(again) == 1
    assert [name for _, name, _ in service.files["dir-1"]] == ["1.pdf", "2.pdf"]


def test_if_no_file_can_be_added_there_is_no_batch(serve: Serve) -> None:
    service = Service(files=1)
    serve(service)
    service.faults = {"files": [Answer({"detail": "No such file"}, 404)]}
    with pytest.warns(UserWarning, match="No such file"):
        assert lb.retry_failed(service.results()).empty
    assert "batches" not in service.posts


def test_files_of_a_directory_that_is_gone_are_named(serve: Serve) -> None:
    service = Service()
    serve(service)
    results = service.results()
    del service.files["dir-0"]
    with pytest.warns(UserWarning, match=r"3 failed files .*'dir-0-0'.*its directory is gone"):
        assert lb.retry_failed(results).empty
    assert not service.posts
    with warnings.catch_warnings():
        plan = lb.retry_failed(results, dry_run=True)
    assert set(plan.action) == {"impossible"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"results": pd.DataFrame({"batch_id": ["b"]})}, ValueError, "batch_created_at"),
        ({"results": "bat-1"}, TypeError, "frame"),
        ({"job_type": "parse"}, ValueError, "job_type"),
        ({"configuration_id": ""}, ValueError, "configuration_id"),
        ({"configuration_id": ["a", "b"]}, ValueError, "One configuration_id"),
    ],
)
def test_bad_arguments_ask_for_nothing(
    serve: Serve, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    service = Service()
    server = serve(service)
    results = service.results()
    server.asked.clear()
    with pytest.raises(error, match=words):
        lb.retry_failed(**{"results": results, **arguments})
    assert not server.asked
