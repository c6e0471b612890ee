"""One thin function per REST call. The one room that knows paths and bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.multipart import MultipartStream
from llama_batches_nb.http.pagination import Page, iter_pages
from llama_batches_nb.http.transport import Decode
from llama_batches_nb.types import Record

BATCHES = "/api/v2/batches"
DIRECTORIES = "/api/v1/beta/directories"
CONFIGURATIONS = "/api/v1/beta/configurations"
JOBS = {"parse_v2": "/api/v2/parse", "extract_v2": "/api/v2/extract"}


def list_batches(
    client: Client, *, page_size: int | None = None, within: float | None = None, **filters: Any
) -> Iterator[Page]:
    over = filters.get("source_directory_id")
    if over is not None:
        _reject_surrogates(over)
    return _list(client, BATCHES, page_size, filters, within=within)


def get_batch(
    client: Client,
    batch_id: str,
    *,
    expand: str | None = None,
    within: float | None = None,
    decode: Decode = json.loads,
    **scope: Any,
) -> Any:
    path = f"{BATCHES}/{_path_segment(batch_id)}"
    return client.get(path, {"expand": expand, **scope}, within=within, decode=decode)


def create_batch(client: Client, body: Record, **scope: Any) -> Any:
    return client.post(BATCHES, scope, retry=False, json=body)


def cancel_batch(client: Client, batch_id: str, **scope: Any) -> Any:
    return client.post(f"{BATCHES}/{_path_segment(batch_id)}/cancel", scope, retry=True)


def list_jobs(client: Client, job_type: str, job_ids: list[str], **scope: Any) -> Iterator[Page]:
    return _list(client, JOBS[job_type], len(job_ids), {"job_ids": job_ids, **scope})


def list_directories(
    client: Client, *, page_size: int | None = None, **filters: Any
) -> Iterator[Page]:
    return _list(client, DIRECTORIES, page_size, filters)


def create_directory(client: Client, body: Record, **scope: Any) -> Any:
    return client.post(DIRECTORIES, scope, retry=False, json=body)


def list_directory_files(
    client: Client,
    directory_id: str,
    *,
    page_size: int | None = None,
    within: float | None = None,
    **filters: Any,
) -> Iterator[Page]:
    return _list(client, _files_of(directory_id), page_size, filters, within=within)


def upload_directory_file(
    client: Client, directory_id: str, name: str, file: BinaryIO, **scope: Any
) -> Any:
    path = f"{_files_of(directory_id)}/upload"
    form = MultipartStream("upload_file", name, file, display_name=name)
    return client.post(path, scope, retry=False, data=form)


def add_directory_file(client: Client, directory_id: str, body: Record, **scope: Any) -> Any:
    return client.post(_files_of(directory_id), scope, retry=False, json=body)


def list_configurations(
    client: Client, *, page_size: int | None = None, within: float | None = None, **filters: Any
) -> Iterator[Page]:
    return _list(client, CONFIGURATIONS, page_size, filters, within=within)


def _files_of(directory_id: str) -> str:
    return f"{DIRECTORIES}/{_path_segment(directory_id)}/files"


def _list(
    client: Client,
    path: str,
    page_size: int | None,
    filters: Record,
    *,
    within: float | None = None,
) -> Iterator[Page]:
    def ask(**page: Any) -> Any:
        if page["page_token"] is not None:
            _reject_surrogates(page["page_token"])
        return client.get(path, {**filters, **page}, within=within)

    return iter_pages(ask, page_size=page_size)


def _path_segment(one: str) -> str:
    """Quote an id as a step of a path. Those of a person are checked before; a server's are not."""
    if one in ("", ".", ".."):  # no quoting keeps these from leading elsewhere
        raise ResponseError(f"{one!r} can't be asked for, though a server or a dataset names it.")
    _reject_surrogates(one)
    return quote_path_segment(one)


def _reject_surrogates(one: str) -> None:
    """Raise `ResponseError` for half characters, which JSON can hold and a URL can't."""
    try:
        one.encode()
    except UnicodeEncodeError as error:
        raise ResponseError(f"The server gave {one!r:.80}, which can't be asked for.") from error


def quote_path_segment(value: str) -> str:
    """Quote an id for use in a URL's path."""
    return quote(value, safe="")
