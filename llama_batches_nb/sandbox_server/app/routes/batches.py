"""Batches: list, get, create, cancel."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    Many,
    PageDep,
    Position,
    Text,
    TimestampQuery,
    WorldDep,
    answer,
    missing,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import Route
from llama_batches_nb.sandbox_server.options import MAX_FILES
from llama_batches_nb.sandbox_server.state.clock import to_microseconds
from llama_batches_nb.sandbox_server.state.models import Batch, JobType, Status
from llama_batches_nb.sandbox_server.state.world import SandboxState

router = APIRouter(route_class=Route)


class JobConfig(BaseModel):
    """Job to create for each file."""

    configuration_id: str
    type: JobType


class Config(BaseModel):
    """Batch configuration snapshot."""

    job: JobConfig


class Webhook(BaseModel):
    """Where news would be sent; the sandbox sends none."""

    webhook_events: list[str] | None = None
    webhook_headers: dict[str, str] | None = None
    webhook_output_format: Literal["string", "json"] | None = None
    webhook_signing_secret: str | None = None
    webhook_url: str | None = None


class NewBatch(BaseModel):
    """Body of a creation."""

    config: Config
    source_directory_id: str
    webhook_configurations: list[Webhook] | None = None
    webhook_configuration_ids: list[str] | None = None


def the_batch(world: SandboxState, batch_id: str) -> Batch:
    """Find a batch or answer by 404."""
    batch = world.batch(batch_id)
    if batch is None:
        raise missing("Batch", batch_id)
    return batch


@router.get("/api/v2/batches", response_model=response_models.Page[response_models.Batch])
async def list_batches(
    world: WorldDep,
    page: PageDep,
    source_directory_id: Text = None,
    status: Annotated[Status | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List batches, newest first."""
    now, first, last = world.clock.now(), 0, len(world.batches)
    if created_at_on_or_after is not None:
        first = bisect_left(
            world.batches, to_microseconds(created_at_on_or_after), key=lambda it: it.created
        )
    if created_at_on_or_before is not None:
        last = bisect_right(
            world.batches, to_microseconds(created_at_on_or_before), key=lambda it: it.created
        )
    directory = None
    if source_directory_id is not None:
        directory, _ = world.ids.read("directory", source_directory_id) or (-1, 0)

    def matching(end: int) -> Iterator[tuple[Position, Batch]]:
        for number in range(end - 1, first - 1, -1):
            it = world.batches[number]
            if directory in (None, it.directory) and status in (None, it.status(now)):
                yield (number, 0), it

    after = page.after(world.ids, "batches")
    total = max(last - first, 0)
    if directory is not None or status is not None:
        total = sum(1 for _ in matching(last))
    rest = matching(last if after is None else min(last, after[0]))
    return page.answer(
        world.ids, "batches", rest, lambda it: serializers.batch(world, it, now), total
    )


@router.get("/api/v2/batches/{batch_id}", response_model=response_models.Batch)
async def get_batch(
    request: Request, world: WorldDep, batch_id: str, expand: Many = None
) -> Response:
    """Get a batch, with `expand=results` also what became of each file."""
    batch, now = the_batch(world, batch_id), world.clock.now()
    if expand is None or "results" not in expand:
        return answer(serializers.batch(world, batch, now))
    expanded: serializers.ResultsCache = request.app.state.expanded
    return Response(expanded.body(batch, now), media_type="application/json")


@router.post("/api/v2/batches", response_model=response_models.Batch, responses=error_docs(413))
async def create_batch(world: WorldDep, body: NewBatch) -> Response:
    """Make a batch over a directory and start it."""
    found = world.directory(body.source_directory_id)
    if found is None:
        raise missing("Directory", body.source_directory_id)
    wanted = body.config.job
    configured = world.configuration(wanted.configuration_id)
    if configured is None:
        raise missing("Configuration", wanted.configuration_id)
    place, directory = found
    choice, configuration = configured
    if configuration.job_type != wanted.type:
        raise HTTPException(
            400,
            f"Configuration '{configuration.id}' is for {configuration.job_type} jobs, "
            f"not {wanted.type}",
        )
    if not directory.files:
        raise HTTPException(400, f"Directory '{body.source_directory_id}' has no files")
    if len(directory.files) > MAX_FILES:
        raise HTTPException(
            400,
            f"Directory '{body.source_directory_id}' has {len(directory.files)} files; "
            f"a batch may have {MAX_FILES}",
        )
    batch = world.start_batch(place, choice, wanted.type)
    return answer(serializers.batch(world, batch, world.clock.now()))


@router.post(
    "/api/v2/batches/{batch_id}/cancel",
    response_model=response_models.Batch,
    responses=error_docs(409),
)
async def cancel_batch(world: WorldDep, batch_id: str) -> Response:
    """Ask a batch to stop; it is CANCELLED a moment later."""
    batch = the_batch(world, batch_id)
    now = world.clock.now()
    cancelled = world.cancel(batch)
    if cancelled is None:
        raise HTTPException(
            409, f"Batch '{batch_id}' is {batch.status(now)}; it cannot be cancelled"
        )
    return answer(serializers.batch(world, cancelled, now))
