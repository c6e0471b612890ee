"""Parse and extract jobs: list and get."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    Many,
    Page,
    PageDep,
    Position,
    Text,
    TimestampQuery,
    WorldDep,
    answer,
    between,
    missing,
)
from llama_batches_nb.sandbox_server.app.strict_requests import Route
from llama_batches_nb.sandbox_server.state.models import JobStatus, JobType, Status
from llama_batches_nb.sandbox_server.state.simulation import FailureThresholds, Job
from llama_batches_nb.sandbox_server.state.world import SandboxState

router = APIRouter(route_class=Route)


def by_id(world: SandboxState, kind: JobType, job_ids: list[str], now: int) -> Iterator[Job]:
    """Walk the jobs that have these ids, newest first; unknown ids are passed over."""
    found = {place for place in (world.ids.read(kind, job_id) for job_id in job_ids) if place}
    chances: dict[int, FailureThresholds] = {}
    for number, index in sorted(found, reverse=True):
        if number >= len(world.batches):
            continue
        batch = world.batches[number]
        if number not in chances:
            chances[number] = world.odds(batch)
        if batch.job_type == kind and (job := world.job(batch, index, chances[number], now)):
            yield job


def all_jobs(
    world: SandboxState, kind: JobType, after: Position | None, now: int, live_only: bool
) -> Iterator[Job]:
    """Walk all jobs, newest first, from a position on; maybe only those of batches still live."""
    number, index = after or (len(world.batches), 0)
    for batch in reversed(world.batches[: number + 1]):
        if batch.job_type != kind or (live_only and batch.ended + batch.straggling <= now):
            continue
        chances = world.odds(batch)
        for place in reversed(range(index if batch.number == number else batch.files)):
            if job := world.job(batch, place, chances, now):
                yield job


def listed(
    world: SandboxState,
    kind: JobType,
    page: Page,
    job_ids: list[str] | None,
    status: str | None,
    first: datetime | None,
    last: datetime | None,
    configuration_id: str | None = None,
) -> Response:
    """Answer a list of jobs; how many there are is only said when they were asked for by id."""
    now = world.clock.now()
    after = page.after(world.ids, kind)

    def matches(job: Job) -> bool:
        configuration = world.configurations[job.batch.configuration]
        return (
            status in (None, job.status(now))
            and configuration_id in (None, configuration.id)
            and between(job.created, first, last)
        )

    total: int | None = None
    jobs: Iterator[Job]
    if job_ids is None:
        jobs = filter(matches, all_jobs(world, kind, after, now, status in ("PENDING", "RUNNING")))
    else:
        chosen = [job for job in by_id(world, kind, job_ids, now) if matches(job)]
        total = len(chosen)
        jobs = (job for job in chosen if after is None or (job.batch.number, job.index) < after)
    rest = (((job.batch.number, job.index), job) for job in jobs)
    return page.answer(world.ids, kind, rest, lambda it: serializers.job(world, it, now), total)


def the_job(world: SandboxState, kind: JobType, job_id: str) -> serializers.Json:
    """Render a job or answer by 404."""
    now = world.clock.now()
    for job in by_id(world, kind, [job_id], now):
        return serializers.job(world, job, now)
    raise missing("Job", job_id)


@router.get("/api/v2/parse", response_model=response_models.Page[response_models.ParseJob])
async def list_parse_jobs(
    world: WorldDep,
    page: PageDep,
    job_ids: Many = None,
    status: Annotated[JobStatus | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List parse jobs, newest first."""
    return listed(
        world, "parse_v2", page, job_ids, status, created_at_on_or_after, created_at_on_or_before
    )


@router.get("/api/v2/extract", response_model=response_models.Page[response_models.ExtractJob])
async def list_extract_jobs(
    world: WorldDep,
    page: PageDep,
    job_ids: Many = None,
    status: Annotated[Status | None, Query()] = None,
    configuration_id: Text = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List extract jobs, newest first."""
    return listed(
        world,
        "extract_v2",
        page,
        job_ids,
        status,
        created_at_on_or_after,
        created_at_on_or_before,
        configuration_id,
    )


@router.get("/api/v2/parse/{job_id}", response_model=response_models.ParseJobResponse)
async def get_parse_job(world: WorldDep, job_id: str) -> Response:
    """Get a parse job."""
    return answer({"job": the_job(world, "parse_v2", job_id)})


@router.get("/api/v2/extract/{job_id}", response_model=response_models.ExtractJob)
async def get_extract_job(world: WorldDep, job_id: str) -> Response:
    """Get an extract job."""
    return answer(the_job(world, "extract_v2", job_id))
