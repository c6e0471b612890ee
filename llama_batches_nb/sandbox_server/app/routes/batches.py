"""Batches: list, get, create, cancel."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import Field, StringConstraints, WithJsonSchema

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    AnySizePageDep,
    Position,
    StateDep,
    TextQuery,
    TimestampQuery,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import RequestModel, StrictRoute
from llama_batches_nb.sandbox_server.app.webhooks import Webhook, WebhookSender
from llama_batches_nb.sandbox_server.options import MAX_FILES
from llama_batches_nb.sandbox_server.state.clock import to_microseconds
from llama_batches_nb.sandbox_server.state.models import Batch, BatchStatus, JobType
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(route_class=StrictRoute)


class JobConfig(RequestModel):
    """Job to create for each file."""

    configuration_id: str
    type: JobType


class Config(RequestModel):
    """Batch configuration snapshot."""

    job: JobConfig


HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
HEADER_VALUE_PATTERN = r"^[ -~]*$"
# Pydantic's own schema of the pattern of the keys would allow other keys.
Headers = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=HEADER_NAME_PATTERN)],
        Annotated[str, StringConstraints(pattern=HEADER_VALUE_PATTERN)],
    ],
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {
                HEADER_NAME_PATTERN: {"type": "string", "pattern": HEADER_VALUE_PATTERN}
            },
            "additionalProperties": False,
        }
    ),
]
URL_PATTERN = r"^https?://([A-Za-z0-9.-]+|\[::1\])(:[0-9]{1,5})?(/[!-~]*)?$"
WebhookEvent = Literal[
    "batch.cancelled",
    "batch.error",
    "batch.pending",
    "batch.running",
    "batch.success",
    "extract.cancelled",
    "extract.error",
    "extract.partial_success",
    "extract.pending",
    "extract.success",
    "parse.cancelled",
    "parse.error",
    "parse.partial_success",
    "parse.pending",
    "parse.running",
    "parse.success",
]


class WebhookConfiguration(RequestModel):
    """A webhook. Only endpoints on this machine, with http, get events; null means all events."""

    webhook_events: Annotated[list[WebhookEvent], Field(min_length=1)] | None = None
    webhook_headers: Headers | None = None
    webhook_output_format: Literal["string", "json"] | None = None
    webhook_signing_secret: str | None = None
    webhook_url: Annotated[str, StringConstraints(pattern=URL_PATTERN)] | None = None

    def webhooks(self) -> list[Webhook]:
        """Return the endpoint, if there is one."""
        if self.webhook_url is None:
            return []
        return [
            Webhook(
                self.webhook_url,
                self.webhook_events,
                self.webhook_headers or {},
                self.webhook_output_format or "string",
                self.webhook_signing_secret,
            )
        ]


class CreateBatchRequest(RequestModel):
    """Batch to create."""

    config: Config
    source_directory_id: str
    webhook_configurations: list[WebhookConfiguration] | None = None
    webhook_configuration_ids: list[str] | None = None


def find_batch(state: SandboxState, batch_id: str) -> Batch:
    """Return a batch or raise a 404."""
    batch = state.find_batch(batch_id)
    if batch is None:
        raise not_found("Batch", batch_id)
    return batch


@router.get("/api/v2/batches", response_model=response_models.Page[response_models.Batch])
async def list_batches(
    state: StateDep,
    page: AnySizePageDep,
    source_directory_id: TextQuery = None,
    status: Annotated[BatchStatus | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List batches, newest first."""
    now, first, end = state.clock.now(), 0, len(state.batches)
    if created_at_on_or_after is not None:
        after = to_microseconds(created_at_on_or_after)
        first = bisect_left(state.batches, after, key=lambda batch: batch.created)
    if created_at_on_or_before is not None:
        before = to_microseconds(created_at_on_or_before)
        end = bisect_right(state.batches, before, key=lambda batch: batch.created)
    directory = None
    if source_directory_id is not None:
        directory, _ = state.ids.decode("directory", source_directory_id) or (-1, 0)

    def matching(end: int) -> Iterator[tuple[Position, Batch]]:
        for number in range(end - 1, first - 1, -1):
            batch = state.batches[number]
            if directory in (None, batch.directory) and status in (None, batch.status(now)):
                yield (number, 0), batch

    start_after = page.start_after(state.ids, "batches")
    total = max(end - first, 0)
    if directory is not None or status is not None:
        total = sum(1 for _ in matching(end))
    remaining = matching(end if start_after is None else min(end, start_after[0]))
    return page.response(
        state.ids,
        "batches",
        remaining,
        lambda batch: serializers.batch_json(state, batch, now),
        total,
    )


@router.get("/api/v2/batches/{batch_id}", response_model=response_models.Batch)
async def get_batch(
    request: Request,
    state: StateDep,
    batch_id: str,
    expand: Annotated[list[Literal["results"]] | None, Query()] = None,
) -> Response:
    """Get a batch, with `expand=results` including its results."""
    batch, now = find_batch(state, batch_id), state.clock.now()
    if not expand:
        return json_response(serializers.batch_json(state, batch, now))
    cache: serializers.ResultsCache = request.app.state.results_cache
    return Response(cache.body(batch, now), media_type="application/json")


@router.post("/api/v2/batches", response_model=response_models.Batch, responses=error_docs(413))
async def create_batch(request: Request, state: StateDep, body: CreateBatchRequest) -> Response:
    """Create a batch from the files of a directory and start it."""
    directory_result = state.find_directory(body.source_directory_id)
    if directory_result is None:
        raise not_found("Directory", body.source_directory_id)
    job = body.config.job
    configuration_result = state.find_configuration(job.configuration_id)
    if configuration_result is None:
        raise not_found("Configuration", job.configuration_id)
    directory_index, directory = directory_result
    configuration_index, configuration = configuration_result
    if configuration.job_type != job.type:
        raise HTTPException(
            400,
            f"Configuration '{configuration.id}' is for {configuration.job_type} jobs, "
            f"not {job.type}",
        )
    file_count = len(directory.present_files())
    if not file_count:
        raise HTTPException(400, f"Directory '{body.source_directory_id}' has no files")
    if file_count > MAX_FILES:
        raise HTTPException(
            400,
            f"Directory '{body.source_directory_id}' has {file_count} files; "
            f"a batch may have at most {MAX_FILES}",
        )
    batch = state.create_batch(directory_index, configuration_index, job.type)
    sender: WebhookSender = request.app.state.webhook_sender
    configurations = body.webhook_configurations or []
    sender.follow(batch, [webhook for each in configurations for webhook in each.webhooks()])
    return json_response(serializers.batch_json(state, batch, state.clock.now()))


@router.post(
    "/api/v2/batches/{batch_id}/cancel",
    response_model=response_models.Batch,
    responses=error_docs(409),
)
async def cancel_batch(state: StateDep, batch_id: str) -> Response:
    """Request cancellation of a batch. Its status becomes CANCELLED a second later."""
    batch = find_batch(state, batch_id)
    now = state.clock.now()
    cancelled = state.cancel_batch(batch)
    if cancelled is None:
        raise HTTPException(
            409, f"Batch '{batch_id}' is {batch.status(now)}; it cannot be cancelled"
        )
    return json_response(serializers.batch_json(state, cancelled, now))
