"""Parse and extract jobs: list and get."""

from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from llama_batches_nb.sandbox_server.app import job_serializers, response_models
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
from llama_batches_nb.sandbox_server.app.outputs import OUTPUTS, ParseOutputs
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.extractions import extract
from llama_batches_nb.sandbox_server.state.field_metadata import is_requested
from llama_batches_nb.sandbox_server.state.models import Batch, JobStatus, JobType, ParseJobStatus
from llama_batches_nb.sandbox_server.state.sample_data import PARSE_VERSIONS
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
from llama_batches_nb.sandbox_server.state.simulation import FailureThresholds, Job

router = APIRouter(route_class=StrictRoute)

ParseExpansion = Literal[
    "text",
    "text_full",
    "markdown",
    "markdown_full",
    "items",
    "metadata",
    "forms",
    "job_metadata",
    "usage",
    "text_content_metadata",
    "text_full_content_metadata",
    "markdown_content_metadata",
    "markdown_full_content_metadata",
    "items_content_metadata",
    "metadata_content_metadata",
    "forms_content_metadata",
    "raw_words_content_metadata",
    "xlsx_content_metadata",
    "output_pdf_content_metadata",
    "images_content_metadata",
]
ExtractExpansion = Literal["configuration", "extract_metadata", "usage"]
ListExpansion = Literal["configuration", "extract_metadata"]
DocumentInputType = Literal["file_id", "parse_job_id"]


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
        if job := find_job(state, job_type, batch, index, thresholds[number], now):
            yield job


def find_job(
    state: SandboxState,
    job_type: JobType,
    batch: Batch,
    index: int,
    thresholds: FailureThresholds,
    now: int,
) -> Job | None:
    """Return the job of this type of a file in a batch.

    An extract batch also has parse jobs: those that its extract jobs do not share with an earlier
    batch.
    """
    job = state.job(batch, index, thresholds, now)
    if job is not None and job.type != job_type:
        parse_job = state.parse_job(job)
        job = parse_job if job_type == "parse_v2" and parse_job.batch is batch else None
    return None if job is None or state.is_deleted(job) else job


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
        if batch.job_type not in ("extract_v2", job_type) or (running_only and has_ended):
            continue
        thresholds = state.failure_thresholds(batch)
        for index in reversed(range(end if batch.number == number else batch.file_count)):
            if job := find_job(state, job_type, batch, index, thresholds, now):
                yield job


def jobs_response(
    state: SandboxState,
    job_type: JobType,
    page: PageRequest,
    job_ids: list[str] | None,
    status: JobStatus | None,
    is_selected: Callable[[Job], bool],
    expand: Collection[str] = (),
) -> Response:
    """Return a page of jobs. `total_size` is null unless `job_ids` are given."""
    now = state.clock.now()
    start_after = page.start_after(state.ids, job_type)

    def matches(job: Job) -> bool:
        return status in (None, job.status(now)) and is_selected(job)

    total: int | None = None
    jobs: Iterator[Job]
    if job_ids is None:
        running_only = status in ("PENDING", "THROTTLED", "RUNNING")
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
        state.ids,
        job_type,
        remaining,
        lambda job: job_serializers.job_json(state, job, now, expand),
        total,
    )


def get_job(state: SandboxState, job_type: JobType, job_id: str, now: int) -> Job:
    """Return a job or raise a 404."""
    for job in find_jobs(state, job_type, [job_id], now):
        return job
    raise not_found("Job", job_id)


@router.get("/api/v2/parse", response_model=response_models.Page[response_models.ParseJob])
async def list_parse_jobs(
    state: StateDep,
    page: PageDep,
    job_ids: TextListQuery = None,
    status: Annotated[ParseJobStatus | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List parse jobs, newest first."""

    def is_selected(job: Job) -> bool:
        return is_between(job.created, created_at_on_or_after, created_at_on_or_before)

    return jobs_response(state, "parse_v2", page, job_ids, status, is_selected)


@router.get("/api/v2/extract", response_model=response_models.Page[response_models.ExtractJob])
async def list_extract_jobs(
    state: StateDep,
    page: PageDep,
    job_ids: TextListQuery = None,
    status: Annotated[JobStatus | None, Query()] = None,
    configuration_id: TextQuery = None,
    file_input: TextQuery = None,
    document_input_value: TextQuery = None,
    document_input_type: Annotated[DocumentInputType | None, Query()] = None,
    created_at_on_or_after: TimestampQuery = None,
    created_at_on_or_before: TimestampQuery = None,
    expand: Annotated[list[ListExpansion] | None, Query()] = None,
) -> Response:
    """List extract jobs, newest first. `document_input_value` is an old name of `file_input`.

    The jobs of batches have files as inputs, never parse jobs.
    """

    def is_selected(job: Job) -> bool:
        configuration = state.configurations[job.batch.configuration]
        file_id = state.file_id(job.batch.directory, job.batch.file_index(job.index))
        return (
            configuration_id in (None, configuration.id)
            and document_input_type in (None, "file_id")
            and file_input in (None, file_id)
            and document_input_value in (None, file_id)
            and is_between(job.created, created_at_on_or_after, created_at_on_or_before)
        )

    return jobs_response(state, "extract_v2", page, job_ids, status, is_selected, expand or ())


@router.get("/api/v2/parse/versions", response_model=response_models.ParseVersions)
async def list_parse_versions() -> Response:
    """List the versions of each tier, newest first, and which one `latest` is."""
    latest = {tier: versions[0] for tier, versions in PARSE_VERSIONS.items()}
    return json_response({**PARSE_VERSIONS, "latest": latest})


@router.get("/api/v2/parse/{job_id}", response_model=response_models.ParseJobResponse)
async def get_parse_job(
    request: Request,
    state: StateDep,
    job_id: str,
    expand: Annotated[list[ParseExpansion] | None, Query()] = None,
    image_filenames: TextQuery = None,
) -> Response:
    """Get a parse job and, if it is COMPLETED, the outputs to expand.

    `image_filenames` selects images by comma-separated names.
    """
    now, expand = state.clock.now(), expand or []
    job = get_job(state, "parse_v2", job_id, now)
    outputs = dict.fromkeys(OUTPUTS)
    if job.status(now) == "COMPLETED":
        outputs = ParseOutputs(state, job).expanded(expand, str(request.base_url))
    images = outputs["images_content_metadata"]
    if image_filenames and images:
        names = image_filenames.split(",")
        images["images"] = [each for each in images["images"] if each["filename"] in names]
    return json_response({"job": job_serializers.job_json(state, job, now, expand), **outputs})


@router.get("/api/v2/extract/{job_id}", response_model=response_models.ExtractJob)
async def get_extract_job(
    state: StateDep,
    job_id: str,
    expand: Annotated[list[ExtractExpansion] | None, Query()] = None,
) -> Response:
    """Get an extract job, with its result if it is COMPLETED.

    `extract_metadata` is also included if the configuration asks for citations or confidences.
    """
    now = state.clock.now()
    job = get_job(state, "extract_v2", job_id, now)
    configuration = state.configurations[job.batch.configuration]
    included = ("extract_metadata",) if is_requested(configuration) else ()
    body = job_serializers.job_json(state, job, now, (*(expand or ()), *included))
    if job.status(now) == "COMPLETED":
        body["extract_result"] = extract(job, configuration)
    return json_response(body)
