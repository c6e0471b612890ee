"""Checks before a batch is created."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import llama_batches_nb as lb
from llama_batches_nb.types import JobType
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.servers import Response

SAVED = "cfg-11111111-2222-4333-8444-555555555555"
MISSING = "cfg-99999999-2222-4333-8444-555555555555"


def fake_api(**n_files: int) -> FakeApi:
    """Return a project with one saved configuration and the given numbers of files."""
    saved = {"id": SAVED, "name": "Invoices", "product_type": "extract_v2"}
    configurations = [saved, {"id": "cfg-without-type"}]
    return FakeApi(n_files, configurations=configurations, page_size=400)


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
    api = fake_api(empty=0, full=1000, large=1001)
    serve(api)
    with pytest.raises(error, match=message):
        lb.create_batch(directory, configuration)
    assert not api.create_bodies
    lb.create_batch(directory, configuration, check_directory=False, check_configuration=False)
    assert len(api.create_bodies) == 1


@pytest.mark.parametrize(("detail", "n_posts"), [("Directory not found", 0), ("Not Found", 1)])
def test_check_distinguishes_missing_directory_from_missing_endpoint(
    serve: Serve, detail: str, n_posts: int
) -> None:
    api = fake_api(**{"dir-1": 1})
    api.faults["GET files"] = Response({"detail": detail}, 404)
    serve(api)
    with nullcontext() if n_posts else pytest.raises(lb.NotFoundError, match=detail):
        lb.create_batch("dir-1", "cfg-1")
    assert len(api.create_bodies) == n_posts


@pytest.mark.parametrize(
    ("configuration", "job_type"),
    [(SAVED, "extract_v2"), ("cfg-without-type", "parse_v2"), ("cfg-PARSE_AGENTIC", "parse_v2")],
)
def test_checks_pass_for_valid_batch(serve: Serve, configuration: str, job_type: JobType) -> None:
    api = fake_api(full=1000)
    serve(api)
    lb.create_batch("full", configuration, job_type=job_type)
    assert len(api.create_bodies) == 1


def _checks(api: FakeApi) -> set[str]:
    return {"GET files", "GET configurations"} & api.requests.keys()


def test_each_check_can_be_disabled(serve: Serve) -> None:
    api = fake_api(full=1)
    serve(api)
    lb.create_batch("full", SAVED, check_configuration=False)
    assert _checks(api) == {"GET files"}
    api.requests.clear()
    lb.create_batch("none", SAVED, job_type="extract_v2", check_directory=False)
    assert _checks(api) == {"GET configurations"}


@pytest.mark.parametrize("fault", [Response(status=500), Response(status=403), Response(drop=True)])
def test_check_whose_request_fails_passes(serve: Serve, fault: Response) -> None:
    api = fake_api(**{"dir-1": 1})
    api.faults = {"GET files": fault, "GET configurations": fault}
    serve(api)
    assert lb.create_batch("dir-1", SAVED).batch_id.tolist() == ["bat-new-0"]


def test_sandbox_and_check_reject_wrong_job_type(on_sandbox: lb.Client) -> None:
    configuration = lb.fetch_configurations(job_type="extract_v2").configuration_id[0]
    directory = lb.fetch_directories(limit=1)
    for check in (True, False):
        with pytest.raises(lb.BatchesError, match="extract_v2"):
            lb.create_batch(directory, configuration, check_configuration=check)
