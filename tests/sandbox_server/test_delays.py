"""Test what appears only some time after a batch or a job has ended."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import llama_cloud
import pytest

from llama_batches_nb.sandbox_server.state.clock import SECOND
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

from .conftest import END, Start, new_batch, stopped_clock_options

if TYPE_CHECKING:
    from llama_cloud import LlamaCloud
    from llama_cloud.types import BatchGetResponse

    from llama_batches_nb.sandbox_server.process import Server


def run_to_completion(server: Server, api: LlamaCloud, batch_id: str) -> None:
    """Advance the clock in small steps until a batch is COMPLETED."""
    for _ in range(1000):
        if api.batches.get(batch_id).status == "COMPLETED":
            return
        server.advance(0.5)
    raise AssertionError("the batch did not complete")


def get_with_results(api: LlamaCloud, batch_id: str) -> BatchGetResponse:
    return api.batches.get(batch_id, expand=["results"])


def statuses(api: LlamaCloud, batch: BatchGetResponse) -> Counter[str]:
    ids = [each.job_reference.id for each in batch.results or [] if each.job_reference]
    return Counter(job.status for job in api.parsing.list(job_ids=ids, page_size=100))


def test_most_completed_batches_have_running_jobs_that_end_later() -> None:
    state = SandboxState(stopped_clock_options(files=(1, 60), job_delay=120))
    still_running = 0
    completed = [batch for batch in state.batches if batch.final_status == "COMPLETED"]
    for batch in completed:
        thresholds = state.failure_thresholds(batch)
        jobs = [state.job(batch, n, thresholds, batch.ended) for n in range(batch.file_count)]
        ends = [job.ended for job in jobs if job]
        assert max(ends, default=0) <= batch.ended + max(120 * SECOND, batch.straggler_delay)
        still_running += max(ends, default=0) > batch.ended
    assert still_running > 0.7 * len(completed)


def test_jobs_that_run_after_their_batch_completed_can_fail() -> None:
    state = SandboxState(stopped_clock_options(files=(1, 60), job_delay=120))
    late = Counter(
        job.status(job.ended)
        for batch in state.batches
        for index in range(batch.file_count)
        if (job := state.job(batch, index, state.failure_thresholds(batch), batch.ended))
        and job.ended > batch.ended
    )
    assert late["FAILED"] > 0
    assert late["COMPLETED"] > 0


def test_jobs_of_a_new_batch_end_after_it(start: Start) -> None:
    server, api = start(job_delay=120, files=20)
    batches = [new_batch(api) for _ in range(4)]
    for batch in batches:
        run_to_completion(server, api, batch.id)
    running = [statuses(api, get_with_results(api, batch.id))["RUNNING"] for batch in batches]
    assert sum(running) > 0
    server.advance(121)
    for batch in batches:
        assert not statuses(api, get_with_results(api, batch.id))["RUNNING"]


def test_results_are_null_for_a_while_after_completion(start: Start) -> None:
    server, api = start(results_delay=60)
    seen = set()
    for _ in range(8):
        batch = new_batch(api)
        run_to_completion(server, api, batch.id)
        seen.add(get_with_results(api, batch.id).results is None)
        server.advance(60)
        assert get_with_results(api, batch.id).results is not None
    assert seen == {True, False}


def test_some_job_references_appear_after_the_other_results(start: Start) -> None:
    server, api = start(results_delay=60, files=60)
    for _ in range(4):
        batch = new_batch(api)
        run_to_completion(server, api, batch.id)
        while get_with_results(api, batch.id).results is None:
            server.advance(0.5)
        early = get_with_results(api, batch.id).results or []
        server.advance(60)
        final = get_with_results(api, batch.id).results or []
        assert len(early) == len(final)
        missing = [each for each in early if not each.job_reference and not each.error_message]
        if missing:
            break
    assert 0 < len(missing) < len(early)
    assert all(each.job_reference or each.error_message for each in final)


def test_credits_are_null_until_billing_records_them(start: Start) -> None:
    server, api = start(usage_in_lists=False, billing_delay=60)
    batch = new_batch(api)
    run_to_completion(server, api, batch.id)
    server.advance(30)
    job = next(iter(api.parsing.list(status="COMPLETED", created_at_on_or_after=batch.created_at)))
    server.advance(60)
    billed = api.parsing.get(job.id, expand=["usage"]).job.usage
    assert billed is not None
    assert billed.credits
    other = new_batch(api)
    run_to_completion(server, api, other.id)
    ended = api.parsing.list(status="COMPLETED", created_at_on_or_after=other.created_at).items
    recorded = {api.parsing.get(job.id, expand=["usage"]).job.usage.credits for job in ended}  # type: ignore[union-attr]
    assert None in recorded


def test_expired_jobs_get_404_and_are_not_listed(start: Start) -> None:
    server, api = start(retention=48)
    recent = api.parsing.list(status="COMPLETED", page_size=1000).items
    assert all(job.updated_at and job.updated_at > END - timedelta(hours=48) for job in recent)
    batch = new_batch(api)
    server.advance(3600)
    job = api.parsing.list(created_at_on_or_after=batch.created_at).items[0]
    assert api.parsing.get(job.id).job.id == job.id
    server.advance(48 * 3600)
    with pytest.raises(llama_cloud.NotFoundError, match=job.id):
        api.parsing.get(job.id)
    assert api.parsing.list(job_ids=[job.id]).items == []
    assert any(
        each.job_reference and each.job_reference.id == job.id
        for each in get_with_results(api, batch.id).results or []
    )


def test_delays_do_not_change_which_jobs_fail() -> None:
    def outcomes(state: SandboxState) -> list[str]:
        return [
            job.outcome
            for batch in state.batches
            for index in range(batch.file_count)
            if batch.final_status == "COMPLETED"
            and (job := state.job(batch, index, state.failure_thresholds(batch), batch.ended))
        ]

    small: dict[str, Any] = {"batches": 40, "files": (1, 30)}
    delayed = SandboxState(stopped_clock_options(**small, job_delay=60, results_delay=9))
    assert outcomes(
        SandboxState(stopped_clock_options(**small, job_delay=0, results_delay=0))
    ) == outcomes(delayed)
