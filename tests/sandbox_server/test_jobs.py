from __future__ import annotations

from typing import Any

import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from .conftest import Start, new_batch, total


def job_ids(api: LlamaCloud, kind: str, status: Any = "COMPLETED", at_least: int = 1) -> list[str]:
    for batch in api.batches.list(status=status, page_size=1000):
        if batch.config.job.type == kind:
            results = api.batches.get(batch.id, expand=["results"]).results or []
            ids = [it.job_reference.id for it in results if it.job_reference]
            if len(ids) >= at_least:
                return ids
    raise AssertionError("no batch matches")


def jobs_resource(api: LlamaCloud, kind: str) -> Any:
    return api.parsing if kind == "parse_v2" else api.extract


both = pytest.mark.parametrize("kind", ["parse_v2", "extract_v2"])


@both
def test_jobs_of_a_batch_are_listed_by_id(api: LlamaCloud, kind: str) -> None:
    requested = job_ids(api, kind, at_least=60)[:100]
    page = jobs_resource(api, kind).list(job_ids=requested, page_size=100)
    assert {job.id for job in page.items} == set(requested)
    assert total(page) == len(requested)
    assert page.next_page_token is None
    assert {job.project_id for job in page.items} == {
        api.batches.list(page_size=1).items[0].project_id
    }


@both
def test_jobs_listed_by_id_are_paginated(api: LlamaCloud, kind: str) -> None:
    requested = job_ids(api, kind, at_least=60)[:60]
    paged = [job.id for job in jobs_resource(api, kind).list(job_ids=requested, page_size=7)]
    assert sorted(paged) == sorted(requested)


@both
def test_unknown_and_repeated_job_ids_are_ignored(api: LlamaCloud, kind: str) -> None:
    known = job_ids(api, kind)[0]
    other = job_ids(api, "extract_v2" if kind == "parse_v2" else "parse_v2")[0]
    found = jobs_resource(api, kind).list(job_ids=[known, known, "pjb-x", "", other]).items
    assert [job.id for job in found] == [known]


@both
def test_all_jobs_are_listed_without_ids(start: Start, kind: str) -> None:
    _, api = start(files=(1, 20))
    walked = [job.id for job in jobs_resource(api, kind).list(page_size=9)]
    assert len(walked) == len(set(walked)) > 10
    results: set[str] = set()
    for batch in api.batches.list(page_size=1000):
        if batch.config.job.type == kind:
            expanded = api.batches.get(batch.id, expand=["results"]).results or []
            results |= {it.job_reference.id for it in expanded if it.job_reference}
    assert results <= set(walked)


@both
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "RUNNING"])
def test_jobs_are_filtered_by_status(api: LlamaCloud, kind: str, status: str) -> None:
    found = jobs_resource(api, kind).list(status=status, page_size=20).items
    assert {job.status for job in found} == {status}


def test_pending_jobs_are_listed(api: LlamaCloud) -> None:
    assert {job.status for job in api.parsing.list(status="PENDING")} <= {"PENDING"}


@both
def test_jobs_are_filtered_by_creation_time(api: LlamaCloud, kind: str) -> None:
    requested = job_ids(api, kind, at_least=20)
    every = jobs_resource(api, kind).list(job_ids=requested[:20]).items
    middle = every[10].created_at
    found = jobs_resource(api, kind).list(
        job_ids=requested[:20], created_at_on_or_after=middle, created_at_on_or_before=middle
    )
    assert every[10].id in {job.id for job in found.items}
    assert {job.created_at for job in found.items} == {middle}


def test_extract_jobs_are_filtered_by_configuration(api: LlamaCloud) -> None:
    saved = api.configurations.list(product_type=["extract_v2"]).items
    for each in saved:
        found = api.extract.list(configuration_id=each.id, page_size=10).items
        assert {job.configuration_id for job in found} == {each.id}


def test_single_parse_job_is_nested_under_job(api: LlamaCloud) -> None:
    requested = job_ids(api, "parse_v2")[0]
    got = api.parsing.get(requested).job
    assert got.id == requested
    assert got.tier in ("agentic", "cost_effective")
    assert got.name


def test_single_extract_job_is_not_nested_and_has_file_input(api: LlamaCloud) -> None:
    requested = job_ids(api, "extract_v2")[0]
    got = api.extract.get(requested)
    assert got.id == requested
    assert got.file_input.startswith("dfl-")
    usage = got.usage
    assert usage is not None
    if usage.credits is not None:
        assert usage.credits == (usage.parse_credits or 0) + (usage.extract_credits or 0)


@both
def test_unknown_job_gets_404(api: LlamaCloud, kind: str) -> None:
    with pytest.raises(llama_cloud.NotFoundError, match="pjb-none"):
        jobs_resource(api, kind).get("pjb-none")


def test_jobs_of_a_new_batch_appear_and_end(start: Start) -> None:
    server, api = start()
    batch = new_batch(api, "Invoices 2026")
    assert api.parsing.list(created_at_on_or_after=batch.created_at).items == []
    server.advance(7)
    running = api.parsing.list(created_at_on_or_after=batch.created_at).items
    assert "RUNNING" in {job.status for job in running}
    server.advance(60)
    ended = api.parsing.list(created_at_on_or_after=batch.created_at, page_size=1000).items
    assert len(ended) > len(running)
    assert {job.status for job in ended} <= {"COMPLETED", "FAILED", "CANCELLED"}


def test_cancelled_batch_keeps_results_of_finished_files(start: Start) -> None:
    server, api = start(files=1000)
    batch = new_batch(api)
    server.advance(60)
    finished = {
        job.id: job.status
        for job in api.parsing.list(created_at_on_or_after=batch.created_at, page_size=1000)
        if job.status in ("COMPLETED", "FAILED")
    }
    api.batches.cancel(batch.id)
    server.advance(1)
    results = api.batches.get(batch.id, expand=["results"]).results or []
    ids = [it.job_reference.id for it in results if it.job_reference]
    after = {
        job.id: job.status
        for start in range(0, len(ids), 100)
        for job in api.parsing.list(job_ids=ids[start : start + 100], page_size=100)
    }
    assert finished
    assert finished.items() <= after.items()
    assert set(after) == set(ids)
    assert set(after.values()) == {"COMPLETED", "FAILED", "CANCELLED"}
    assert any(it.job_reference is None and it.error_message is None for it in results)


@pytest.mark.parametrize("kind", ["parse_v2", "extract_v2"])
def test_running_job_is_cancelled_and_deleted(start: Start, kind: Any) -> None:
    _, api = start(batches=40)
    jobs = jobs_resource(api, kind)
    running = jobs.list(status="RUNNING", page_size=1).items[0]
    with pytest.raises(llama_cloud.ConflictError, match="is RUNNING; cancel it"):
        jobs.delete(running.id)
    assert jobs.cancel(running.id).status == "CANCELLED"
    with pytest.raises(llama_cloud.ConflictError, match="is CANCELLED; it cannot be cancelled"):
        jobs.cancel(running.id)
    assert jobs.list(job_ids=[running.id]).items[0].status == "CANCELLED"
    deleted = jobs.delete(running.id)
    assert getattr(deleted, "id", None) == running.id or deleted["id"] == running.id
    assert jobs.list(job_ids=[running.id]).items == []
    for call in (jobs.get, jobs.cancel, jobs.delete):
        with pytest.raises(llama_cloud.NotFoundError):
            call(running.id)


def test_extract_job_is_deleted_while_running_with_force(start: Start) -> None:
    _, api = start(batches=40)
    running = api.extract.list(status="RUNNING", page_size=1).items[0]
    api.extract.delete(running.id, force=True)
    with pytest.raises(llama_cloud.NotFoundError):
        api.extract.get(running.id)


def test_results_refer_to_deleted_job(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    server.advance(600)

    def referenced() -> list[str]:
        results = api.batches.get(batch.id, expand=["results"]).results or []
        return [it.job_reference.id for it in results if it.job_reference]

    before = referenced()
    api.parsing.delete(before[0])
    assert referenced() == before


def test_project_is_listed(api: LlamaCloud) -> None:
    (project,) = api.v2_projects.list().items
    assert project.id == api.batches.list(page_size=1).items[0].project_id
    assert project.organization_id.startswith("org-")
    assert api.v2_projects.list(name="Other").items == []
