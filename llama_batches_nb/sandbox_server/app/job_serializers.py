"""The JSON of parse and extract jobs, as the API returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state import pricing, simulation
from llama_batches_nb.sandbox_server.state.clock import format_time
from llama_batches_nb.sandbox_server.state.extractions import extract
from llama_batches_nb.sandbox_server.state.field_metadata import field_metadata, is_requested
from llama_batches_nb.sandbox_server.state.sample_data import SAMPLE_DIRECTORIES

if TYPE_CHECKING:
    from collections.abc import Collection

    from llama_batches_nb.sandbox_server.app.serializers import Json
    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

CONFIGURATION_FIELDS = ("product_type",)  # of saved parameters that are no extract setting


def job_id(state: SandboxState, job: simulation.Job) -> str:
    """Return the id of a job."""
    return state.ids.encode(job.type, job.batch.number, job.index)


def job_json(
    state: SandboxState, job: simulation.Job, now: int, expand: Collection[str] = ()
) -> Json:
    """Return the JSON of a parse or an extract job, without its outputs."""
    status = job.status(now)
    file_id = state.file_id(job.batch.directory, job.batch.file_index(job.index))
    common = {
        "id": job_id(state, job),
        "project_id": state.project_id,
        "status": status,
        "created_at": format_time(job.created),
        "updated_at": format_time(job.updated(now)),
        "error_message": job.error(file_id) if status == "FAILED" else None,
    }
    has_usage = state.options.usage_in_lists or "usage" in expand
    usage = usage_json(state, job, now) if has_usage else None
    if job.type == "parse_v2":
        return common | _parse_fields(state, job) | {"usage": usage}
    return common | _extract_fields(state, job, now, file_id, expand) | {"usage": usage}


def _parse_fields(state: SandboxState, job: simulation.Job) -> Json:
    configuration = state.configurations[job.batch.configuration]
    department = None
    if job.batch.directory < len(SAMPLE_DIRECTORIES):
        department = SAMPLE_DIRECTORIES[job.batch.directory].department
    return {
        "name": job.file.display_name,
        "tier": pricing.parse_tier(configuration),
        "user_metadata": department and {"department": department},
    }


def _extract_fields(
    state: SandboxState, job: simulation.Job, now: int, file_id: str, expand: Collection[str]
) -> Json:
    configuration = state.configurations[job.batch.configuration]
    parse_job, settings, metadata, extract_metadata = state.parse_job(job), None, None, None
    has_ended = job.status(now) in ("COMPLETED", "FAILED")
    if has_ended:
        pages = pricing.billed_extract_pages(job, parse_job, state.options)
        extracted = job.completed_pages() if parse_job.outcome == "succeeded" else 0
        metadata = {"usage": {"num_pages_billed": pages, "num_pages_extracted": extracted}}
    if "extract_metadata" in expand and now >= parse_job.created:
        fields = None
        if job.status(now) == "COMPLETED" and is_requested(configuration):
            fields = field_metadata(extract(job, configuration), job, configuration)
        extract_metadata = {
            "parse_job_id": job_id(state, parse_job),
            "parse_tier": pricing.parse_tier(configuration),
            "field_metadata": fields,
        }
    if "configuration" in expand:
        parameters = configuration.parameters.items()
        settings = {key: value for key, value in parameters if key not in CONFIGURATION_FIELDS}
    return {
        "file_input": file_id,
        "configuration_id": configuration.id,
        "configuration": settings,
        "metadata": metadata,
        "extract_metadata": extract_metadata,
        "extract_result": None,
    }


def usage_json(state: SandboxState, job: simulation.Job, now: int) -> Json:
    """Return the credits of a job, null until billing has recorded them."""
    parse_job, parse, extract = state.parse_job(job), None, None
    is_billed = now >= pricing.billing_time(job, state.options)
    if is_billed and job.status(now) in ("COMPLETED", "FAILED"):
        configuration = state.configurations[job.batch.configuration]
        credits_ = pricing.credits_of(job, parse_job, configuration, state.options)
        parse, extract = credits_.parse, credits_.extract
    if job.type == "parse_v2":
        return {"credits": parse}
    total = None if parse is None or extract is None else parse + extract
    return {"credits": total, "extract_credits": extract, "parse_credits": parse}
