"""Read the output of one parse job: inline, or from its presigned URL if it is too large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from llama_batches_nb.errors import (
    BatchesError,
    InvalidRequestError,
    NotFoundError,
    ResponseError,
    ServerError,
)
from llama_batches_nb.fetch.job_selection import expired_error
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.hidden import Hidden
from llama_batches_nb.tables import output_records
from llama_batches_nb.tables.output_records import JobStatusRecord, Metadata, Page, ParseResponse
from llama_batches_nb.tables.records import check_response_id
from llama_batches_nb.types import PageContent

TOO_LARGE_ERRORS = (InvalidRequestError, ServerError, ResponseError)
"""Errors that may mean that an output is too large for a response: 413, 422, 502, our limit."""


@dataclass(frozen=True)
class ParseOutput:
    """The output of a parse job. `pages` is None if there is none, such as of a failed job."""

    job_id: str
    content: PageContent
    job: JobStatusRecord
    pages: list[Page] | None
    metadata: Metadata | None
    size: int  # bytes received
    items_json: bytes | None = None  # all items as sent, if they were requested

    def to_arrow(self) -> pa.Table:
        """Return one row per page."""
        return output_records.pages_to_arrow(
            self.job_id, self.content, self.pages or [], self.metadata
        )

    def reason_without_pages(self) -> str | None:
        """Return why there are no pages, or None if there are."""
        return None if self.pages is not None else self.job.reason_without(self.content)


class ParseOutputReader:
    """Read outputs of parse jobs.

    A response that is refused or lacks the output is followed by a request for its presigned URL.
    The service documents that the URL is for large outputs, not how it answers when one is too
    large for a response.
    """

    def __init__(
        self,
        client: Client,
        content: PageContent,
        *,
        confidence: bool = False,
        **scope: Any,
    ) -> None:
        self._client, self._content, self._scope = client, content, scope
        self._more = ("metadata",) if confidence else ()

    def read(self, job_id: str) -> ParseOutput:
        """Return the output of a job; raise `NotFoundError` if it has expired."""
        sizes: list[int] = []
        try:
            response = self._get(job_id, self._content, sizes)
        except TOO_LARGE_ERRORS as error:
            return self._read_stored(job_id, sizes, error)
        except NotFoundError as error:
            raise expired_error(job_id, error) from error
        pages = response.pages(self._content) if response.job.may_have_output() else None
        if pages is None and response.job.status in (None, "COMPLETED"):
            return self._read_stored(job_id, sizes)
        return self._output(job_id, response, pages, sizes)

    def _read_stored(
        self, job_id: str, sizes: list[int], cause: BatchesError | None = None
    ) -> ParseOutput:
        """Return the output at the presigned URL, or raise `cause` if there is no URL."""
        response, url = self._locate(job_id, sizes, cause)
        if url is None or not response.job.may_have_output():
            return self._output(job_id, response, None, sizes)
        try:
            body = self._client.download(url)
        except NotFoundError as first_error:  # the URL has expired
            response, url = self._locate(job_id, sizes, cause)
            if url is None:
                raise expired_error(job_id, first_error) from first_error
            try:
                body = self._client.download(url)
            except NotFoundError as error:
                raise expired_error(job_id, error) from error
        sizes.append(len(body))
        pages = output_records.decode_stored_pages(body, self._content, self._describe(job_id))
        return self._output(job_id, response, pages, sizes, stored=body)

    def _locate(
        self, job_id: str, sizes: list[int], cause: BatchesError | None
    ) -> tuple[ParseResponse, Hidden[str] | None]:
        """Return a job with the presigned URL of its output, if it has one."""
        try:
            response = self._get(job_id, f"{self._content}_content_metadata", sizes)
        except (InvalidRequestError, ResponseError, NotFoundError) as error:
            raise cause or error from error
        stored = response.stored_content()
        if stored is None and cause is not None:
            raise cause
        return response, None if stored is None else Hidden(stored.presigned_url or "")

    def _get(self, job_id: str, expand: str, sizes: list[int]) -> ParseResponse:
        def decode(body: bytes) -> ParseResponse:
            sizes.append(len(body))
            return output_records.decode(body, ParseResponse, self._describe(job_id))

        response = endpoints.get_job_output(
            self._client, "parse_v2", job_id, decode, expand=(expand, *self._more), **self._scope
        )
        check_response_id(job_id, response.job.id or job_id, what="job")
        return response

    def _output(
        self,
        job_id: str,
        response: ParseResponse,
        pages: list[Page] | None,
        sizes: list[int],
        *,
        stored: bytes | None = None,
    ) -> ParseOutput:
        metadata = (response.metadata or Metadata()) if self._more else None
        items = stored or response.items_json()
        job_id = response.job.id or job_id  # as the API writes it, which ignores case
        return ParseOutput(job_id, self._content, response.job, pages, metadata, sum(sizes), items)

    def _describe(self, job_id: str) -> str:
        return f"the {self._content} of job {job_id}"
