"""Parse and extract jobs: cancel and delete."""

from fastapi import APIRouter, HTTPException, Response

from llama_batches_nb.sandbox_server.app import job_serializers, response_models
from llama_batches_nb.sandbox_server.app.dependencies import StateDep, json_response
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.routes.jobs import get_job
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.models import JobType
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(route_class=StrictRoute)


def cancel_job(state: SandboxState, job_type: JobType, job_id: str) -> Response:
    """Cancel a job, or raise a 409 if it has ended."""
    now = state.clock.now()
    job = get_job(state, job_type, job_id, now)
    cancelled = state.cancel_job(job)
    if cancelled is None:
        raise HTTPException(409, f"Job '{job_id}' is {job.status(now)}; it cannot be cancelled")
    return json_response(job_serializers.job_json(state, cancelled, now))


def delete_job(
    state: SandboxState, job_type: JobType, job_id: str, *, force: bool = False
) -> Response:
    """Delete a job, or raise a 409 if it has not ended."""
    now = state.clock.now()
    job = get_job(state, job_type, job_id, now)
    if job.ended > now and not force:
        raise HTTPException(
            409, f"Job '{job_id}' is {job.status(now)}; cancel it before you delete it"
        )
    state.delete_job(job)
    return json_response({"id": job_id, "project_id": state.project_id})


@router.post(
    "/api/v2/parse/{job_id}/cancel",
    response_model=response_models.ParseJob,
    responses=error_docs(409),
)
async def cancel_parse_job(state: StateDep, job_id: str) -> Response:
    """Cancel a parse job that has not ended."""
    return cancel_job(state, "parse_v2", job_id)


@router.post(
    "/api/v2/extract/{job_id}/cancel",
    response_model=response_models.ExtractJob,
    responses=error_docs(409),
)
async def cancel_extract_job(state: StateDep, job_id: str) -> Response:
    """Cancel an extract job that has not ended."""
    return cancel_job(state, "extract_v2", job_id)


@router.delete(
    "/api/v2/parse/{job_id}", response_model=response_models.DeletedJob, responses=error_docs(409)
)
async def delete_parse_job(state: StateDep, job_id: str) -> Response:
    """Delete a parse job that has ended."""
    return delete_job(state, "parse_v2", job_id)


@router.delete(
    "/api/v2/extract/{job_id}", response_model=response_models.DeletedJob, responses=error_docs(409)
)
async def delete_extract_job(state: StateDep, job_id: str, force: bool = False) -> Response:
    """Delete an extract job that has ended or, with `force`, any."""
    return delete_job(state, "extract_v2", job_id, force=force)
