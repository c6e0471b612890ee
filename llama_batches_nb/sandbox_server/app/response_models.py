"""Response models for the OpenAPI document. `serializers` creates the JSON itself."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from llama_batches_nb.sandbox_server.state.models import (
    BatchStatus,
    DirectoryType,
    JobStatus,
    JobType,
    ProductType,
)

T = TypeVar("T")


class ResponseModel(BaseModel):
    """A response without undocumented fields."""

    model_config = ConfigDict(extra="forbid")


class Page(ResponseModel, Generic[T]):
    """A page of a list. `next_page_token` is null on the last page."""

    items: list[T]
    next_page_token: str | None
    total_size: int | None


class JobConfig(ResponseModel):
    """Job to create for each file."""

    type: JobType
    configuration_id: str


class Config(ResponseModel):
    """Batch configuration snapshot."""

    job: JobConfig


class JobReference(ResponseModel):
    """Job of a file."""

    type: JobType
    id: str


class Result(ResponseModel):
    """Mapping of a file to its job."""

    source_directory_file_id: str
    error_message: str | None
    job_reference: JobReference | None


class Batch(ResponseModel):
    """A batch. Its results are null unless expanded, and while it runs."""

    id: str
    config: Config
    project_id: str
    source_directory_id: str
    status: BatchStatus
    created_at: datetime
    updated_at: datetime
    results: list[Result] | None


class Job(ResponseModel):
    """Fields that parse and extract jobs share."""

    id: str
    project_id: str
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    error_message: str | None


class ParseUsage(ResponseModel):
    """Credits of a parse job, null until billing has recorded them."""

    credits: float | None


class ParseJob(Job):
    """A parse job."""

    name: str
    tier: str
    usage: ParseUsage | None
    user_metadata: dict[str, str] | None


class ParseJobResponse(ResponseModel):
    """Response of the endpoint for one parse job."""

    job: ParseJob


class ExtractUsage(ParseUsage):
    """Credits of an extract job, null until billing has recorded them.

    `credits` includes `parse_credits`, the cost of a parse job that several extract jobs can share.
    """

    extract_credits: float | None
    parse_credits: float | None


class ExtractPages(ResponseModel):
    """Pages of an extract job."""

    num_pages_billed: int
    num_pages_extracted: int


class ExtractJobMetadata(ResponseModel):
    """What an extract job has processed."""

    usage: ExtractPages


class ExtractMetadata(ResponseModel):
    """The parse job behind an extract job."""

    parse_job_id: str
    parse_tier: str
    field_metadata: dict[str, Any] | None


class ExtractJob(Job):
    """An extract job.

    The configuration and `extract_metadata` are null unless expanded, and the result is null unless
    the job is COMPLETED.
    """

    file_input: str
    configuration_id: str
    configuration: dict[str, Any] | None
    metadata: ExtractJobMetadata | None
    extract_metadata: ExtractMetadata | None
    extract_result: dict[str, Any] | list[dict[str, Any]] | None
    usage: ExtractUsage | None


class LatestVersions(ResponseModel):
    """The version of each tier that `latest` is."""

    fast: str
    cost_effective: str
    agentic: str
    agentic_plus: str


class ParseVersions(ResponseModel):
    """Versions of each tier."""

    fast: list[str]
    cost_effective: list[str]
    agentic: list[str]
    agentic_plus: list[str]
    latest: LatestVersions


class Directory(ResponseModel):
    """A directory."""

    id: str
    name: str
    project_id: str
    type: DirectoryType
    description: str | None
    connector_subscription_id: str | None
    system_metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None


class File(ResponseModel):
    """A file of a directory."""

    id: str
    directory_id: str
    display_name: str
    project_id: str
    unique_id: str
    file_id: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    metadata: dict[str, Any]


class Configuration(ResponseModel):
    """A saved configuration or preset."""

    id: str
    name: str
    product_type: ProductType
    version: str
    parameters: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class ErrorResponse(ResponseModel):
    """An error response."""

    detail: str | dict[str, Any]


class ValidationErrorItem(ResponseModel):
    """An invalid field of a request."""

    loc: list[str | int]
    msg: str
    type: str


class ValidationErrors(ResponseModel):
    """The invalid fields of a request."""

    detail: list[ValidationErrorItem]
