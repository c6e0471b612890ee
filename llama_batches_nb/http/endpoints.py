"""One function per REST call, and the fields of each kind of record that the API returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Required, TypedDict, TypeVar, cast
from urllib.parse import quote

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.multipart import MultipartStream
from llama_batches_nb.http.pagination import Page, iter_pages
from llama_batches_nb.types import Record

T = TypeVar("T")

BATCHES = "/api/v2/batches"
DIRECTORIES = "/api/v1/beta/directories"
CONFIGURATIONS = "/api/v1/beta/configurations"
JOBS = {"parse_v2": "/api/v2/parse", "extract_v2": "/api/v2/extract"}

# Statuses and types are `str`, since the API may add values. Times are ISO 8601 text.


class JobConfig(TypedDict, total=False):
    """The job that a batch creates for each file."""

    type: Required[str]
    configuration_id: Required[str]


class BatchConfig(TypedDict, total=False):
    """The configuration of a batch."""

    job: Required[JobConfig]


class JobReference(TypedDict, total=False):
    """The job that was created for a file."""

    type: str
    id: str


class ResultRecord(TypedDict, total=False):
    """One file of a batch: the job created for it, or the error why there is none."""

    source_directory_file_id: Required[str]
    job_reference: JobReference | None
    error_message: str | None


class BatchRecord(TypedDict, total=False):
    """A batch. `results` is null without ``expand=results``, and may be null while it runs."""

    id: Required[str]
    config: BatchConfig
    status: str
    source_directory_id: str
    project_id: str
    created_at: str | None
    updated_at: str | None
    results: list[ResultRecord] | None


class JobUsage(TypedDict, total=False):
    """What a job was billed; null until billing has recorded it. Only extract jobs have parts."""

    credits: float | None
    extract_credits: float | None
    parse_credits: float | None


class JobRecord(TypedDict, total=False):
    """A parse or extract job. `usage` is documented only for a single job with ``expand=usage``.

    Parse jobs have `name`, `tier` and `user_metadata`; extract jobs have `file_input`, `metadata`
    and `extract_metadata`, which is null without ``expand=extract_metadata``.
    """

    id: Required[str]
    status: str
    error_message: str | None
    usage: JobUsage | None
    name: str | None
    tier: str | None
    user_metadata: dict[str, str] | None
    file_input: str
    metadata: Record | None
    extract_metadata: Record | None
    created_at: str | None
    updated_at: str | None


class DirectoryRecord(TypedDict, total=False):
    """A directory. `expires_at` is null unless the service will delete the directory."""

    id: Required[str]
    name: str
    type: str
    description: str | None
    created_at: str | None
    expires_at: str | None
    deleted_at: str | None


class FileRecord(TypedDict, total=False):
    """A file of a directory. `unique_id` is the caller's own id for it."""

    id: Required[str]
    directory_id: str
    display_name: str
    file_id: str | None
    unique_id: str | None
    metadata: Record | None
    created_at: str | None
    updated_at: str | None
    deleted_at: str | None


class ConfigurationRecord(TypedDict, total=False):
    """A saved configuration. `product_type` is the type of its jobs."""

    id: Required[str]
    name: str
    product_type: str
    version: str | None
    parameters: Record | None
    created_at: str | None
    updated_at: str | None


def list_batches(
    client: Client, *, page_size: int | None = None, timeout: float | None = None, **filters: Any
) -> Iterator[Page[BatchRecord]]:
    directory_id = filters.get("source_directory_id")
    if directory_id is not None:
        _reject_surrogates(directory_id)
    return _list(client, BATCHES, page_size, filters, timeout=timeout)


def get_batch(
    client: Client, batch_id: str, *, timeout: float | None = None, **scope: Any
) -> BatchRecord:
    path = f"{BATCHES}/{_path_segment(batch_id)}"
    return cast("BatchRecord", client.get(path, scope, timeout=timeout))


def get_batch_with_results(
    client: Client,
    batch_id: str,
    decode: Callable[[bytes], T],
    *,
    timeout: float | None = None,
    **scope: Any,
) -> T:
    """Return `decode` of the response body; it raises `ValueError` if the body is not JSON."""
    path = f"{BATCHES}/{_path_segment(batch_id)}"
    params = {"expand": "results", **scope}
    return cast("T", client.get(path, params, timeout=timeout, decode=decode))


def create_batch(client: Client, body: Record, **scope: Any) -> BatchRecord:
    return cast("BatchRecord", client.post(BATCHES, scope, idempotent=False, json=body))


def cancel_batch(client: Client, batch_id: str, **scope: Any) -> BatchRecord:
    path = f"{BATCHES}/{_path_segment(batch_id)}/cancel"
    return cast("BatchRecord", client.post(path, scope, idempotent=True))


def list_jobs(
    client: Client, job_type: str, job_ids: list[str], *, timeout: float | None = None, **more: Any
) -> Iterator[Page[JobRecord]]:
    filters = {"job_ids": job_ids, **more}
    return _list(client, JOBS[job_type], len(job_ids), filters, timeout=timeout)


def get_job(client: Client, job_type: str, job_id: str, **params: Any) -> JobRecord:
    """Return one job, with the fields of ``expand``."""
    response = client.get(f"{JOBS[job_type]}/{_path_segment(job_id)}", params)
    is_wrapped = job_type == "parse_v2" and isinstance(response, dict)
    return cast("JobRecord", response.get("job") if is_wrapped else response)


def get_job_output(
    client: Client,
    job_type: str,
    job_id: str,
    decode: Callable[[bytes], T],
    *,
    expand: tuple[str, ...] = (),
    **scope: Any,
) -> T:
    """Return `decode` of the response body; it raises `ValueError` if the body is not JSON."""
    path = f"{JOBS[job_type]}/{_path_segment(job_id)}"
    params = {"expand": list(expand) or None, **scope}
    return cast("T", client.get(path, params, decode=decode, is_output=True))


def list_directories(
    client: Client, *, page_size: int | None = None, **filters: Any
) -> Iterator[Page[DirectoryRecord]]:
    return _list(client, DIRECTORIES, page_size, filters)


def create_directory(client: Client, body: Record, **scope: Any) -> DirectoryRecord:
    return cast("DirectoryRecord", client.post(DIRECTORIES, scope, idempotent=False, json=body))


def delete_directory(client: Client, directory_id: str, **scope: Any) -> None:
    client.delete(f"{DIRECTORIES}/{_path_segment(directory_id)}", scope)


def list_directory_files(
    client: Client,
    directory_id: str,
    *,
    page_size: int | None = None,
    timeout: float | None = None,
    **filters: Any,
) -> Iterator[Page[FileRecord]]:
    return _list(client, _files_path(directory_id), page_size, filters, timeout=timeout)


def upload_directory_file(
    client: Client,
    directory_id: str,
    name: str,
    file: BinaryIO,
    fields: dict[str, str],
    **scope: Any,
) -> FileRecord:
    path = f"{_files_path(directory_id)}/upload"
    form = MultipartStream("upload_file", name, file, display_name=name, **fields)
    return cast("FileRecord", client.post(path, scope, idempotent=False, data=form))


def add_directory_file(client: Client, directory_id: str, body: Record, **scope: Any) -> FileRecord:
    path = _files_path(directory_id)
    return cast("FileRecord", client.post(path, scope, idempotent=False, json=body))


def list_configurations(
    client: Client, *, page_size: int | None = None, timeout: float | None = None, **filters: Any
) -> Iterator[Page[ConfigurationRecord]]:
    return _list(client, CONFIGURATIONS, page_size, filters, timeout=timeout)


def _files_path(directory_id: str) -> str:
    return f"{DIRECTORIES}/{_path_segment(directory_id)}/files"


def _list(
    client: Client,
    path: str,
    page_size: int | None,
    filters: Record,
    *,
    timeout: float | None = None,
) -> Iterator[Page[Any]]:
    def fetch_page(**page_params: Any) -> Any:
        if page_params["page_token"] is not None:
            _reject_surrogates(page_params["page_token"])
        return client.get(path, {**filters, **page_params}, timeout=timeout)

    return iter_pages(fetch_page, page_size=page_size)


def _path_segment(value: str) -> str:
    """Quote an id for a path. Ids from users are checked before; ids from responses are not."""
    if value in ("", ".", ".."):  # quoting does not stop these from changing the path
        raise ResponseError(
            f"{value!r} is not a usable id, although the server or the dataset returned it."
        )
    _reject_surrogates(value)
    return quote_path_segment(value)


def _reject_surrogates(value: str) -> None:
    """Raise `ResponseError` for a lone surrogate, which JSON can hold and a URL cannot."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ResponseError(
            f"The server returned {value!r:.80}, which cannot be part of a URL."
        ) from error


def quote_path_segment(value: str) -> str:
    """Quote an id for use in a URL's path."""
    return quote(value, safe="")
