"""Response models for the OpenAPI document. `serializers` creates the JSON itself."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

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


class FailedPage(ResponseModel):
    """A page that failed."""

    page_number: int
    success: Literal[False]
    error: str


class MarkdownPage(ResponseModel):
    """A page as Markdown."""

    page_number: int
    success: Literal[True]
    markdown: str
    header: str | None
    footer: str | None
    line_numbers: list[dict[str, Any]] | None


class ItemsPage(ResponseModel):
    """A page as structured items, each with `type`, `md`, `bbox` and the fields of its type."""

    page_number: int
    success: Literal[True]
    page_width: float
    page_height: float
    items: list[dict[str, Any]]
    revisions: list[dict[str, Any]] | None


class FormsPage(ResponseModel):
    """The forms of a page."""

    page_number: int
    success: Literal[True]
    page_width: float
    page_height: float
    forms: list[dict[str, Any]]
    detected_form_types: list[str] | None


class TextPage(ResponseModel):
    """A page as text."""

    page_number: int
    text: str


class MetadataPage(ResponseModel):
    """Confidence from 0 to 1 and other facts of a page."""

    page_number: int
    confidence: float | None
    cost_optimized: bool | None
    original_orientation_angle: int | None
    printed_page_number: str | None
    slide_section_name: str | None
    speaker_notes: str | None
    triggered_auto_mode: bool | None
    watermark: str | None


class ConfidenceBreakdown(ResponseModel):
    """Pages behind the confidence of a document."""

    min_page_score: float
    scored_pages: int
    total_pages: int


class MetadataDocument(ResponseModel):
    """Mean confidence of the pages."""

    confidence: float | None
    confidence_breakdown: ConfidenceBreakdown | None


class Pages(ResponseModel, Generic[T]):
    """The pages of an output."""

    pages: list[T]


class Metadata(Pages[MetadataPage]):
    """Metadata of the pages and of the document."""

    document: MetadataDocument


class StoredOutput(ResponseModel):
    """A stored output. Its URL needs no API key and expires."""

    size_bytes: int
    exists: bool
    presigned_url: str | None


class Images(ResponseModel):
    """The images of a document, each with a presigned URL."""

    images: list[dict[str, Any]]
    total_count: int


class ParseJobResponse(ResponseModel):
    """A parse job and its outputs, null unless the job is COMPLETED and they are expanded."""

    job: ParseJob
    text: Pages[TextPage] | None
    text_full: str | None
    markdown: Pages[MarkdownPage | FailedPage] | None
    markdown_full: str | None
    items: Pages[ItemsPage | FailedPage] | None
    metadata: Metadata | None
    forms: Pages[FormsPage | FailedPage] | None
    job_metadata: dict[str, Any] | None
    raw_parameters: dict[str, Any] | None
    result_content_metadata: dict[str, StoredOutput] | None
    images_content_metadata: Images | None


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


class DeletedJob(ResponseModel):
    """A job that was deleted."""

    id: str
    project_id: str


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


class PresignedURL(ResponseModel):
    """A URL that needs no API key and expires."""

    url: str
    expires_at: datetime
    form_fields: dict[str, str] | None


class File(ResponseModel):
    """A file of a directory. The URL is null unless expanded, and without stored content."""

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
    download_url: PresignedURL | None


class Configuration(ResponseModel):
    """A saved configuration or preset."""

    id: str
    name: str
    product_type: ProductType
    version: str
    parameters: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Project(ResponseModel):
    """A project."""

    id: str
    name: str
    organization_id: str
    is_default: bool
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
