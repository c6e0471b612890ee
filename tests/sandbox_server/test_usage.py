"""Test where credits are reported, and that they add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox_server.process import Server
from llama_batches_nb.sandbox_server.state.clock import DAY
from llama_batches_nb.sandbox_server.state.pricing import EXTRACT_CREDITS, PARSE_CREDITS
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

from .conftest import connect, stopped_clock_options


@pytest.fixture(scope="module")
def api() -> Iterator[LlamaCloud]:
    options = stopped_clock_options(files=(1, 40), usage_in_lists=False)
    with Server.start(options, thread=True) as server, connect(server) as client:
        yield client


def all_extract_jobs(api: LlamaCloud, **filters: Any) -> list[Any]:
    return list(api.extract.list(page_size=1000, expand=["extract_metadata"], **filters))


def test_usage_is_only_reported_for_one_job_on_request(api: LlamaCloud) -> None:
    parse = api.parsing.list(status="COMPLETED", page_size=20).items
    extract = api.extract.list(status="COMPLETED", page_size=20).items
    assert {job.usage for job in parse} == {None} == {job.usage for job in extract}
    assert api.parsing.get(parse[0].id).job.usage is None
    assert api.extract.get(extract[0].id).usage is None
    assert api.parsing.get(parse[0].id, expand=["usage"]).job.usage.credits  # type: ignore[union-attr]
    assert api.extract.get(extract[0].id, expand=["usage"]).usage.credits  # type: ignore[union-attr]


def test_option_fills_in_usage_in_lists() -> None:
    options = stopped_clock_options(batches=24, files=(1, 20), usage_in_lists=True)
    with Server.start(options, thread=True) as server, connect(server) as client:
        jobs = client.parsing.list(status="COMPLETED").items
        assert all(job.usage and job.usage.credits for job in jobs)


def test_credits_are_the_price_of_the_tier_per_page(api: LlamaCloud) -> None:
    for job in api.parsing.list(status="COMPLETED", page_size=40).items:
        usage = api.parsing.get(job.id, expand=["usage"]).job.usage
        assert usage
        assert usage.credits
        assert usage.credits % PARSE_CREDITS[str(job.tier)] == 0
    for extracted in all_extract_jobs(api, status="COMPLETED")[:40]:
        got = api.extract.get(extracted.id, expand=["usage", "extract_metadata", "configuration"])
        assert got.usage
        assert got.metadata
        assert got.metadata.usage
        assert got.configuration
        assert got.extract_metadata
        pages = got.metadata.usage.num_pages_billed
        assert pages
        assert got.usage.extract_credits == pages * EXTRACT_CREDITS[str(got.configuration.tier)]
        tier = str(got.extract_metadata.parse_tier)
        assert got.usage.parse_credits == pages * PARSE_CREDITS[tier]
        assert got.usage.credits == got.usage.extract_credits + got.usage.parse_credits


def test_parse_job_backs_several_extract_jobs_with_the_same_parse_cost(api: LlamaCloud) -> None:
    by_parse_job = defaultdict(list)
    for job in all_extract_jobs(api):
        if job.extract_metadata:
            by_parse_job[job.extract_metadata.parse_job_id].append(job)
    shared = {parse: jobs for parse, jobs in by_parse_job.items() if len(jobs) > 1}
    assert shared
    for parse_job_id, jobs in list(shared.items())[:5]:
        parse = api.parsing.get(parse_job_id, expand=["usage"]).job
        assert parse.status == "COMPLETED"
        assert parse.usage
        costs = {
            usage.parse_credits
            for job in jobs
            if job.status == "COMPLETED"
            and (usage := api.extract.get(job.id, expand=["usage"]).usage)
        }
        assert costs <= {parse.usage.credits}


def test_parse_jobs_of_extract_jobs_are_listed_once(api: LlamaCloud) -> None:
    listed = Counter(job.id for job in api.parsing.list(page_size=1000))
    assert set(listed.values()) == {1}
    behind = {
        job.extract_metadata.parse_job_id for job in all_extract_jobs(api) if job.extract_metadata
    }
    assert behind <= set(listed)


def test_parse_jobs_are_shared_for_48_hours_only() -> None:
    state = SandboxState(stopped_clock_options(batches=600, files=(1, 20)))
    pairs = set()
    for batch in state.batches:
        if batch.job_type == "extract_v2" and batch.final_status == "COMPLETED":
            thresholds = state.failure_thresholds(batch)
            for index in range(batch.file_count):
                if job := state.job(batch, index, thresholds, batch.ended + DAY):
                    parse = state.parse_job(job)
                    if parse.batch is not batch:
                        pairs.add((parse.batch.number, batch.number))
                        assert parse.file is job.file
                        assert parse.ended <= job.created
    assert len(pairs) > 5
    for first, second in pairs:
        assert 0 < state.batches[second].created - state.batches[first].created <= 2 * DAY


def test_failed_jobs_are_not_billed_with_the_option() -> None:
    credits_by_option = {}
    for billed in (True, False):
        options = stopped_clock_options(batches=60, files=(1, 30), bill_failed_jobs=billed)
        with Server.start(options, thread=True) as server, connect(server) as client:
            failed = client.parsing.list(status="FAILED", page_size=1000).items
            credits_by_option[billed] = {job.usage and job.usage.credits for job in failed}
    assert credits_by_option[False] == {0}
    assert len(credits_by_option[True]) > 3


@pytest.mark.parametrize("resource", ["parsing", "extract"])
def test_unknown_expand_value_of_a_job_gets_422(api: LlamaCloud, resource: str) -> None:
    jobs = getattr(api, resource)
    job = jobs.list(page_size=1).items[0]
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="expand"):
        jobs.get(job.id, expand=["usage", "everything"])


def test_extract_list_takes_two_expand_values_only(api: LlamaCloud) -> None:
    job = api.extract.list(page_size=1, expand=["configuration"]).items[0]
    assert job.configuration
    assert "total_amount" in job.configuration.data_schema["properties"]  # type: ignore[operator]
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="expand"):
        api.extract.list(expand=["usage"])


def test_extract_jobs_are_filtered_by_file(api: LlamaCloud) -> None:
    job = api.extract.list(page_size=1).items[0]
    found = list(api.extract.list(file_input=job.file_input, page_size=100))
    assert job.id in {each.id for each in found}
    assert {each.file_input for each in found} == {job.file_input}
    assert api.extract.list(file_input="dfl-none").items == []


def test_extract_jobs_are_filtered_by_type_of_input(api: LlamaCloud) -> None:
    assert api.extract.list(document_input_type="file_id", page_size=1).items
    assert api.extract.list(document_input_type="parse_job_id").items == []
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="document_input_type"):
        api.extract.list(document_input_type="url")


def test_parse_jobs_have_the_metadata_of_their_directory(api: LlamaCloud) -> None:
    tags = {str(job.user_metadata) for job in api.parsing.list(page_size=1000)}
    assert tags == {"None", "{'department': 'accounting'}", "{'department': 'claims'}"}


def test_latest_versions_are_the_first_of_each_tier(api: LlamaCloud) -> None:
    versions = api.parsing.list_versions()
    for tier in ("fast", "cost_effective", "agentic", "agentic_plus"):
        assert getattr(versions.latest, tier) == getattr(versions, tier)[0]
