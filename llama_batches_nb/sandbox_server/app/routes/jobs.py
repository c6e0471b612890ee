"""Parse and extract jobs: list and get."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    PageRequest,
    Position,
    StateDep,
    TextListQuery,
    TextQuery,
    TimestampQuery,
    is_between,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.models import BatchStatus, JobStatus, JobType
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
from llama_batches_nb.sandbox_server.state.simulation import FailureThresholds, Job

router = APIRouter(route_class=StrictRoute)


def find_jobs(
    state: SandboxState, job_type: JobType, job_ids: list[str], now: int
) -> Iterator[Job]:
    """Yield the jobs that have these ids, newest first. Unknown ids are ignored."""
    decoded = (state.ids.decode(job_type, job_id) for job_id in job_ids)
    thresholds: dict[int, FailureThresholds] = {}
    for number, index in sorted({numbers for numbers in decoded if numbers}, reverse=True):
        if number >= len(state.batches):
            continue
        batch = state.batches[number]
        if number not in thresholds:
            thresholds[number] = state.failure_thresholds(batch)
        if batch.job_type == job_type and (job := state.job(batch, index, thresholds[number], now)):
            yield job


def iter_jobs(
    state: SandboxState,
    job_type: JobType,
    start_after: Position | None,
    now: int,
    running_only: bool,
) -> Iterator[Job]:
    """Yield all jobs after a position, newest first.

    With `running_only`, skip batches whose jobs have all ended.
    """
    number, end = start_after or (len(state.batches), 0)
    for batch in reversed(state.batches[: number + 1]):
        has_ended = batch.ended + batch.straggler_delay <= now
        if batch.job_type != job_type or (running_only and has_ended):
            continue
        thresholds = state.failure_thresholds(batch)
        for index in reversed(range(end if batch.number == number else batch.file_count)):
            if job := state.job(batch, index, thresholds, now):
                yield job


def jobs_response(
    state: SandboxState,
    job_type: JobType,
    page: PageRequest,
    job_ids: list[str] | None,
    status: str | None,
    first: datetime | None,
    last: datetime | None,
    configuration_id: str | None = None,
) -> Response:
    """Return a page of jobs. `total_size` is null unless `job_ids` are given."""
    now = state.clock.now()
    start_after = page.start_after(state.ids, job_type)

    def matches(job: Job) -> bool:
        configuration = state.configurations[job.batch.configuration]
        return (
            status in (None, job.status(now))
            and configuration_id in (None, configuration.id)
            and is_between(job.created, first, last)
        )

    total: int | None = None
    jobs: Iterator[Job]
    if job_ids is None:
        running_only = status in ("PENDING", "RUNNING")
        jobs = filter(matches, iter_jobs(state, job_type, start_after, now, running_only))
    else:
        matching = [job for job in find_jobs(state, job_type, job_ids, now) if matches(job)]
        total = len(matching)
        jobs = (
            job
            for job in matching
            if start_after is None or (job.batch.number, job.index) < start_after
        )
    remaining = (((job.batch.number, job.index), job) for job in jobs)
    return page.response(
        state.ids, job_type, remaining, lambda job: serializers.job_json(state, job, now), total
    )


def get_job_json(state: SandboxState, job_type: JobType, job_id: str) -> serializers.Json:
    """Return the JSON of a job or raise a 404."""
    now = state.clock.now()
    for job in find_jobs(state, job_type, [job_id], now):
        return serializers.job_json(state, job, now)
    raise not_found("Job", job_id)


@router.get("/api/v2/parse", response_model=response_models.Page[response_models.ParseJob])
async def list_parse_jobs(
    state: StateDep,
    page: PageDep,
    job_ids: TextListQuery = None,
    status: Annotated[JobStatus | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List parse jobs, newest first."""
    return jobs_response(
        state, "parse_v2", page, job_ids, status, created_at_on_or_after, created_at_on_or_before
    )


@router.get("/api/v2/extract", response_model=response_models.Page[response_models.ExtractJob])
async def list_extract_jobs(
    state: StateDep,
    page: PageDep,
    job_ids: TextListQuery = None,
    status: Annotated[BatchStatus | None, Query()] = None,
    configuration_id: TextQuery = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List extract jobs, newest first."""
    return jobs_response(
        state,
        "extract_v2",
        page,
        job_ids,
        status,
        created_at_on_or_after,
        created_at_on_or_before,
        configuration_id,
    )


@router.get("/api/v2/parse/{job_id}", response_model=response_models.ParseJobResponse)
async def get_parse_job(state: StateDep, job_id: str) -> Response:
    """Get a parse job."""
    return json_response({"job": get_job_json(state, "parse_v2", job_id)})


@router.get("/api/v2/extract/{job_id}", response_model=response_models.ExtractJob)
async def get_extract_job(state: StateDep, job_id: str) -> Response:
    """Get an extract job."""
    return json_response(get_job_json(state, "extract_v2", job_id))
