"""Models of the API's responses, written from its reference and independent of the sandbox.

Additional fields are errors too, because users would rely on them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    model_validator,
)

T = TypeVar("T")

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

BatchId = Annotated[str, StringConstraints(pattern=f"^bat-{UUID}$")]
ProjectId = Annotated[str, StringConstraints(pattern=f"^prj-{UUID}$")]
DirectoryId = Annotated[str, StringConstraints(pattern=f"^dir-{UUID}$")]
DirectoryFileId = Annotated[str, StringConstraints(pattern=f"^dfl-{UUID}$")]
ConfigurationId = Annotated[str, StringConstraints(pattern=f"^cfg-({UUID}|[A-Z_]+)$")]
ParseJobId = Annotated[str, StringConstraints(pattern=f"^pjb-{UUID}$")]
Name = Annotated[str, StringConstraints(min_length=1)]
Confidence = Annotated[float, Field(ge=0, le=1)]


def _require_utc(time: AwareDatetime) -> AwareDatetime:
    if time.utcoffset() != timedelta(0):
        raise ValueError("times must be in UTC")
    return time


Time = Annotated[AwareDatetime, AfterValidator(_require_utc)]
JobType = Literal["parse_v2", "extract_v2"]
ProductType = Literal[
    "classify_v2", "extract_v2", "parse_v2", "split_v1", "spreadsheet_v1", "unknown"
]
BatchStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
JobStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
Tier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TimestampedModel(Model):
    created_at: Time | None = None
    updated_at: Time | None = None

    @model_validator(mode="after")
    def check_order(self) -> Self:
        if self.created_at and self.updated_at and self.updated_at < self.created_at:
            raise ValueError("updated_at is before created_at")
        return self


class Page(Model, Generic[T]):
    items: list[T]
    next_page_token: str | None = None
    total_size: NonNegativeInt | None = None


# --- batches ------------------------------------------------------------------------------------


class ConfigJob(Model):
    type: JobType
    configuration_id: ConfigurationId


class Config(Model):
    job: ConfigJob


class JobReference(Model):
    type: JobType
    id: Name


class Result(Model):
    source_directory_file_id: DirectoryFileId
    job_reference: JobReference | None = None
    error_message: str | None = None

    @model_validator(mode="after")
    def check_no_job_with_mapping_error(self) -> Self:
        if self.error_message and self.job_reference:
            raise ValueError("both a mapping error and a job")
        return self


class Batch(TimestampedModel):
    id: BatchId
    project_id: ProjectId
    source_directory_id: DirectoryId
    config: Config
    status: BatchStatus
    results: list[Result] | None = None

    @model_validator(mode="after")
    def check_no_results_unless_ended(self) -> Self:
        if self.results is not None and self.status not in ("COMPLETED", "CANCELLED"):
            raise ValueError(f"results of a {self.status} batch")
        return self


class BatchWithoutResults(Batch):
    results: None = None


# --- jobs ---------------------------------------------------------------------------------------


class Job(TimestampedModel):
    project_id: ProjectId
    status: JobStatus
    error_message: str | None = None


class ParseUsage(Model):
    credits: float | None = None


class ParseJob(Job):
    id: ParseJobId
    status: Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
    name: str | None = None
    tier: Tier | None = None
    usage: ParseUsage | None = None
    user_metadata: dict[str, str] | None = None


class ListedParseJob(ParseJob):
    usage: None = None


class FailedPage(Model):
    page_number: PositiveInt
    success: Literal[False]
    error: Name


class ParsedPage(Model):
    page_number: PositiveInt
    success: Literal[True]


class MarkdownPage(ParsedPage):
    markdown: str
    header: str | None = None
    footer: str | None = None
    line_numbers: None = None


class ItemsPage(ParsedPage):
    page_width: float
    page_height: float
    items: list[dict[str, Any]]
    revisions: None = None


class FormsPage(ParsedPage):
    page_width: float
    page_height: float
    forms: list[dict[str, Any]]
    detected_form_types: list[str] | None = None


class TextPage(Model):
    page_number: PositiveInt
    text: str


class MetadataPage(Model):
    page_number: PositiveInt
    confidence: Confidence | None = None
    cost_optimized: bool | None = None
    original_orientation_angle: int | None = None
    printed_page_number: str | None = None
    slide_section_name: str | None = None
    speaker_notes: str | None = None
    triggered_auto_mode: bool | None = None
    watermark: str | None = None


class ConfidenceBreakdown(Model):
    min_page_score: Confidence
    scored_pages: NonNegativeInt
    total_pages: PositiveInt


class MetadataDocument(Model):
    confidence: Confidence | None = None
    confidence_breakdown: ConfidenceBreakdown | None = None


class Metadata(Model):
    pages: list[MetadataPage]
    document: MetadataDocument | None = None


class Pages(Model, Generic[T]):
    pages: list[T]


class StoredOutput(Model):
    size_bytes: NonNegativeInt
    exists: bool | None = None
    presigned_url: Name | None = None


class Image(Model):
    filename: Name
    index: NonNegativeInt
    bbox: dict[str, int] | None = None
    category: Literal["embedded", "layout", "screenshot"] | None = None
    content_type: str | None = None
    presigned_url: Name | None = None
    size_bytes: None = None


class Images(Model):
    images: list[Image]
    total_count: NonNegativeInt


class ParseJobResponse(Model):
    job: ParseJob
    text: Pages[TextPage] | None = None
    text_full: str | None = None
    markdown: Pages[MarkdownPage | FailedPage] | None = None
    markdown_full: str | None = None
    items: Pages[ItemsPage | FailedPage] | None = None
    metadata: Metadata | None = None
    forms: Pages[FormsPage | FailedPage] | None = None
    job_metadata: dict[str, Any] | None = None
    raw_parameters: dict[str, Any] | None = None
    result_content_metadata: dict[str, StoredOutput] | None = None
    images_content_metadata: Images | None = None


class ExtractUsage(ParseUsage):
    extract_credits: float | None = None
    parse_credits: float | None = None


class ExtractPages(Model):
    num_pages_billed: NonNegativeInt | None = None
    num_pages_extracted: NonNegativeInt | None = None


class ExtractJobMetadata(Model):
    usage: ExtractPages | None = None


class ExtractMetadata(Model):
    parse_job_id: ParseJobId | None = None
    parse_tier: Tier | None = None
    field_metadata: dict[str, Any] | None = None


class ExtractConfiguration(Model):
    data_schema: dict[str, Any]
    tier: Literal["cost_effective", "agentic", "agentic_plus", "turbo"] | None = None
    parse_tier: Tier | None = None
    version: str | None = None
    extraction_target: Literal["per_doc", "per_page", "per_table_row"] | None = None


class ExtractJob(Job):
    id: Name
    file_input: Name
    configuration_id: ConfigurationId | None = None
    configuration: ExtractConfiguration | None = None
    metadata: ExtractJobMetadata | None = None
    extract_metadata: ExtractMetadata | None = None
    extract_result: dict[str, Any] | list[dict[str, Any]] | None = None
    usage: ExtractUsage | None = None

    @model_validator(mode="after")
    def check_no_result_unless_completed(self) -> Self:
        if self.extract_result is not None and self.status != "COMPLETED":
            raise ValueError(f"result of a {self.status} job")
        return self


class ListedExtractJob(ExtractJob):
    usage: None = None


class ParseVersions(Model):
    fast: list[Name]
    cost_effective: list[Name]
    agentic: list[Name]
    agentic_plus: list[Name]
    latest: dict[Tier, Name]


class DeletedJob(Model):
    id: Name
    project_id: ProjectId


# --- projects -----------------------------------------------------------------------------------


class Project(TimestampedModel):
    id: ProjectId
    name: Name
    organization_id: Name
    is_default: bool | None = None


# --- directories, files, configurations ---------------------------------------------------------


class Directory(TimestampedModel):
    id: DirectoryId
    name: Name
    project_id: ProjectId
    type: Literal["user", "ephemeral", "index"]
    description: str | None = None
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None
    expires_at: Time | None = None
    deleted_at: Time | None = None


class PresignedURL(Model):
    url: Name
    expires_at: Time
    form_fields: dict[str, str] | None = None


class File(TimestampedModel):
    id: DirectoryFileId
    directory_id: DirectoryId
    display_name: Name
    project_id: ProjectId
    unique_id: Name
    file_id: Name | None = None
    deleted_at: Time | None = None
    metadata: dict[str, Any] | None = None
    download_url: PresignedURL | None = None


class Configuration(TimestampedModel):
    id: ConfigurationId
    name: Name
    product_type: ProductType
    version: str
    parameters: dict[str, Any]


# --- errors -------------------------------------------------------------------------------------


class ValidationErrorItem(Model):
    loc: list[str | int]
    msg: Name
    type: Name


class ErrorResponse(Model):
    detail: Name | dict[str, Any] | list[ValidationErrorItem]


# --- endpoints ----------------------------------------------------------------------------------

DIRECTORIES = "/api/v1/beta/directories"
CONFIGURATIONS = "/api/v1/beta/configurations"

ENDPOINTS: dict[tuple[str, str], type[Model] | None] = {  # None: no content
    ("GET", "/api/v2/batches"): Page[BatchWithoutResults],
    ("GET", "/api/v2/batches/{id}"): Batch,
    ("POST", "/api/v2/batches"): BatchWithoutResults,
    ("POST", "/api/v2/batches/{id}/cancel"): BatchWithoutResults,
    ("GET", "/api/v2/parse"): Page[ListedParseJob],
    ("GET", "/api/v2/parse/versions"): ParseVersions,
    ("GET", "/api/v2/parse/{id}"): ParseJobResponse,
    ("GET", "/api/v2/extract"): Page[ListedExtractJob],
    ("GET", "/api/v2/extract/{id}"): ExtractJob,
    ("POST", "/api/v2/parse/{id}/cancel"): ParseJob,
    ("POST", "/api/v2/extract/{id}/cancel"): ExtractJob,
    ("DELETE", "/api/v2/parse/{id}"): DeletedJob,
    ("DELETE", "/api/v2/extract/{id}"): DeletedJob,
    ("GET", "/api/v2/projects"): Page[Project],
    ("GET", DIRECTORIES): Page[Directory],
    ("POST", DIRECTORIES): Directory,
    ("GET", f"{DIRECTORIES}/{{id}}"): Directory,
    ("PATCH", f"{DIRECTORIES}/{{id}}"): Directory,
    ("DELETE", f"{DIRECTORIES}/{{id}}"): None,
    ("GET", f"{DIRECTORIES}/{{id}}/files"): Page[File],
    ("POST", f"{DIRECTORIES}/{{id}}/files"): File,
    ("POST", f"{DIRECTORIES}/{{id}}/files/upload"): File,
    ("GET", f"{DIRECTORIES}/{{id}}/files/{{file}}"): File,
    ("PATCH", f"{DIRECTORIES}/{{id}}/files/{{file}}"): File,
    ("DELETE", f"{DIRECTORIES}/{{id}}/files/{{file}}"): None,
    ("GET", CONFIGURATIONS): Page[Configuration],
    ("POST", CONFIGURATIONS): Configuration,
    ("GET", f"{CONFIGURATIONS}/{{id}}"): Configuration,
    ("PUT", f"{CONFIGURATIONS}/{{id}}"): Configuration,
    ("DELETE", f"{CONFIGURATIONS}/{{id}}"): None,
}


def endpoint(method: str, path: str) -> tuple[str, str]:
    """Return the method and the path template of a request."""
    for known, template in ENDPOINTS:
        if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return known, template
    raise KeyError(f"{method} {path} is not in the reference")
