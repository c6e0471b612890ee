"""Checks before a batch is created."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.types import JobType
from tests.conftest import Serve
from tests.lifecycle.test_create import BatchService
from tests.servers import Answer, Asked, page

SAVED = "cfg-11111111-2222-4333-8444-555555555555"
MISSING = "cfg-99999999-2222-4333-8444-555555555555"


class Project(BatchService):
    """Directories with the given numbers of files, one saved configuration, and batches."""

    def __init__(self, **n_files: int) -> None:
        super().__init__(lambda created: created)
        self.n_files = n_files
        self.checks: list[str] = []

    def __call__(self, asked: Asked) -> Any:
        *_, parent, resource = asked.path.split("/")
        if resource == "configurations":
            self.checks.append(resource)
            saved = {"id": SAVED, "name": "Invoices", "product_type": "extract_v2"}
            return page([saved, {"id": "cfg-without-type"}])
        if resource == "files":
            self.checks.append(resource)
            if parent not in self.n_files:
                return Answer({"detail": f"Directory {parent} not found"}, 404)
            start = int(asked.one("page_token") or 0)
            end = min(start + 400, self.n_files[parent])
            files = [{"id": f"dfl-{n}"} for n in range(start, end)]
            return page(files, str(end) if end < self.n_files[parent] else None)
        return super().__call__(asked)


@pytest.mark.parametrize(
    ("directory", "configuration", "error", "message"),
    [
        ("none", "cfg-1", lb.NotFoundError, "none"),
        ("empty", "cfg-1", lb.InvalidRequestError, "empty has no files.*No batch was created"),
        ("large", "cfg-1", lb.InvalidRequestError, "more than 1,000 files.*No batch was created"),
        ("full", SAVED, lb.InvalidRequestError, "Invoices.* for extract_v2, not parse_v2"),
        ("full", MISSING, lb.NotFoundError, f"no configuration {MISSING}.*No batch was created"),
    ],
)
def test_checks_reject_batch_before_it_is_created(
    serve: Serve, directory: str, configuration: str, error: type[lb.BatchesError], message: str
) -> None:
    project = Project(empty=0, full=1000, large=1001)
    serve(project)
    with pytest.raises(error, match=message):
        lb.create_batch(directory, configuration)
    assert not project.posts
    lb.create_batch(directory, configuration, check_directory=False, check_configuration=False)
    assert len(project.posts) == 1


@pytest.mark.parametrize(("detail", "n_posts"), [("Directory not found", 0), ("Not Found", 1)])
def test_check_distinguishes_missing_directory_from_missing_endpoint(
    serve: Serve, detail: str, n_posts: int
) -> None:
    service = BatchService(lambda created: created)
    missing = Answer({"detail": detail}, 404)
    serve(lambda asked: service(asked) if asked.path == "/api/v2/batches" else missing)
    with nullcontext() if n_posts else pytest.raises(lb.NotFoundError, match=detail):
        lb.create_batch("dir-1", "cfg-1")
    assert len(service.posts) == n_posts


@pytest.mark.parametrize(
    ("configuration", "job_type"),
    [(SAVED, "extract_v2"), ("cfg-without-type", "parse_v2"), ("cfg-PARSE_AGENTIC", "parse_v2")],
)
def test_checks_pass_for_valid_batch(serve: Serve, configuration: str, job_type: JobType) -> None:
    project = Project(full=1000)
    serve(project)
    lb.create_batch("full", configuration, job_type=job_type)
    assert len(project.posts) == 1


def test_each_check_can_be_disabled(serve: Serve) -> None:
    project = Project(full=1)
    serve(project)
    lb.create_batch("full", SAVED, check_configuration=False)
    assert set(project.checks) == {"files"}
    project.checks.clear()
    lb.create_batch("none", SAVED, job_type="extract_v2", check_directory=False)
    assert set(project.checks) == {"configurations"}


@pytest.mark.parametrize("fault", [Answer(status=500), Answer(status=403), Answer(drop=True)])
def test_check_whose_request_fails_passes(serve: Serve, fault: Answer) -> None:
    service = BatchService(lambda created: created)
    serve(lambda asked: service(asked) if asked.path == "/api/v2/batches" else fault)
    assert lb.create_batch("dir-1", SAVED).batch_id.tolist() == ["bat-new-0"]


def test_sandbox_and_check_reject_wrong_job_type(on_sandbox: lb.Client) -> None:
    configuration = lb.fetch_configurations(job_type="extract_v2").configuration_id[0]
    directory = lb.fetch_directories(limit=1)
    for check in (True, False):
        with pytest.raises(lb.BatchesError, match="extract_v2"):
            lb.create_batch(directory, configuration, check_configuration=check)
