"""Decode the outputs of jobs: the pages of a parse job, the result of an extract job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import pyarrow as pa

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.messages import format_list, warn
from llama_batches_nb.tables.schema import CONFIDENCE_COLUMNS, PAGES
from llama_batches_nb.tables.statuses import JOB_STATUSES

T = TypeVar("T")

_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)
"""An escape in JSON: a pair of surrogates, a lone one, or any other."""

NO_JSON = msgspec.Raw(b"")
_DECODE_ERRORS = (msgspec.DecodeError, ValueError, TypeError)  # TypeError: a member is missing
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Page(msgspec.Struct):
    """A page of a parse job's output; only the requested kind of content is there."""

    page_number: Int64 | None = None
    success: bool | None = None
    error: str | None = None
    markdown: str | None = None
    text: str | None = None
    items: msgspec.Raw = NO_JSON

    def content(self, kind: str) -> str | None:
        """Return the page's content; items as JSON text."""
        if kind != "items":
            text: str | None = getattr(self, kind)
            return text
        raw = bytes(self.items)
        return None if raw in (b"", b"null") else raw.decode()

    def succeeded(self, kind: str) -> bool | None:
        """Return whether the page has its content; pages of texts do not say it themselves."""
        if self.success is not None:
            return self.success
        if self.error is not None:
            return False
        return True if self.content(kind) is not None else None


class Pages(msgspec.Struct):
    """The pages of one kind of output."""

    pages: list[Page]


class StoredContent(msgspec.Struct):
    """Where the service stores an output."""

    size_bytes: int | None = None
    exists: bool | None = None
    presigned_url: str | None = None

    def __repr__(self) -> str:
        return f"StoredContent(size_bytes={self.size_bytes}, exists={self.exists}, …)"


class PageConfidence(msgspec.Struct):
    """How sure the service is of a page, from 0 to 1."""

    page_number: Int64 | None = None
    confidence: float | None = None


class DocumentConfidence(msgspec.Struct):
    """How sure the service is of a document, from 0 to 1."""

    confidence: float | None = None


class Metadata(msgspec.Struct):
    """The metadata of a parse job's output."""

    pages: list[PageConfidence] | None = None
    document: DocumentConfidence | None = None


class JobStatusRecord(msgspec.Struct):
    """The status of a job, and for an extract job its result."""

    id: str | None = None
    status: str | None = None
    extract_result: msgspec.Raw = NO_JSON

    def result(self) -> bytes | None:
        """Return the JSON of the result, or None if there is none, such as of a running job."""
        raw = bytes(self.extract_result)
        return None if raw in (b"", b"null") or not self.may_have_output() else raw

    def may_have_output(self) -> bool:
        """Return whether an output is whole: it is not while the job runs, or if it failed."""
        return self.status == "COMPLETED" or self.status not in JOB_STATUSES

    def reason_without(self, output: str) -> str:
        """Return why the job has no output, for a count of such jobs."""
        return f"without {output}" if self.status in (None, "COMPLETED") else self.status


class ParseResponse(msgspec.Struct):
    """A parse job with the requested expansions; each is null unless requested."""

    job: JobStatusRecord
    markdown: Pages | None = None
    text: Pages | None = None
    items: msgspec.Raw = NO_JSON
    metadata: Metadata | None = None
    result_content_metadata: dict[str, StoredContent] | None = None

    def pages(self, kind: str) -> list[Page] | None:
        """Return the pages of a kind of content, or None if the response has none."""
        if kind == "items":
            return None if self.items_json() is None else decode(self.items, Pages, "items").pages
        found: Pages | None = getattr(self, kind)
        return None if found is None else found.pages

    def items_json(self) -> bytes | None:
        """Return the items of all pages as they were sent, or None if the response has none."""
        raw = bytes(self.items)
        return None if raw in (b"", b"null") else raw

    def stored_content(self) -> StoredContent | None:
        """Return where the output is stored, if it exists."""
        for stored in (self.result_content_metadata or {}).values():
            if stored.presigned_url and stored.exists is not False:
                return stored
        return None


def decode(body: bytes | msgspec.Raw, kind: type[T], description: str) -> T:
    """Decode JSON. Raise `ValueError` if it is not JSON, `ResponseError` if all of it is odd.

    A value of another type than documented is left out with a warning, as if it were missing.
    `description` names the output for the messages.
    """
    found, odd = _decode_leniently(bytes(body), kind)
    if isinstance(found, msgspec.UnsetType):
        json.loads(bytes(body))  # raises ValueError if it is not JSON
        raise ResponseError(f"The server sent no JSON as documented for {description}.")
    _warn_odd(odd, description)
    return found


def _warn_odd(odd: list[str], description: str) -> None:
    if odd:
        warn(
            f"The server sent another type than documented for {description}; left out: "
            f"{format_list(odd)}."
        )


def _decode_leniently(content: bytes, kind: type[T]) -> tuple[T | msgspec.UnsetType, list[str]]:
    """Return what can be decoded, and the paths of what cannot."""
    with suppress(*_DECODE_ERRORS):
        return msgspec.json.decode(content, type=kind), []
    odd: list[str] = []
    return _decode_parts(_replace_lone_surrogates(content), kind, "$", odd), odd


def _decode_parts(content: bytes, kind: Any, path: str, odd: list[str]) -> Any:
    """Decode JSON without its values of another type, whose paths are added to `odd`.

    Returns UNSET if there is nothing else.
    """
    with suppress(*_DECODE_ERRORS):
        return msgspec.json.decode(content, type=kind)
    if get_origin(kind) in (Union, UnionType):  # with None
        kind = get_args(kind)[0]
    with suppress(*_DECODE_ERRORS):
        if get_origin(kind) is list:
            items = msgspec.json.decode(content, type=list[msgspec.Raw])
            parts = [
                _decode_parts(bytes(item), get_args(kind)[0], f"{path}[{n}]", odd)
                for n, item in enumerate(items)
            ]
            return [part for part in parts if part is not msgspec.UNSET]
        if get_origin(kind) is dict or hasattr(kind, "__struct_fields__"):
            members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            kinds = _member_kinds(kind, members)
            found = {
                name: _decode_parts(bytes(members[name]), kinds[name], f"{path}.{name}", odd)
                for name in members.keys() & kinds.keys()
            }
            kept = {name: part for name, part in found.items() if part is not msgspec.UNSET}
            return kept if get_origin(kind) is dict else kind(**kept)
    odd.append(path)
    return msgspec.UNSET


def _member_kinds(kind: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the types of an object's members."""
    if get_origin(kind) is dict:
        return dict.fromkeys(names, get_args(kind)[1])
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def decode_stored_pages(body: bytes, kind: str, description: str) -> list[Page]:
    """Return the pages of a stored output.

    It is JSON with ``pages``, as in a response, or a list of pages. Anything else is one document
    without pages: it becomes one page without a number.
    """
    for shape in (Pages, dict[str, Pages], list[Page]):
        odd: list[str] = []
        found: Any = None
        with suppress(ValueError):  # it is not JSON
            found, odd = _decode_leniently(body, shape)
        if isinstance(found, dict):
            found = found.get(kind)
        pages: list[Page] | None = found.pages if isinstance(found, Pages) else found or None
        if isinstance(pages, list) and (
            any(page.page_number is not None for page in pages) or not (pages or odd)
        ):
            _warn_odd(odd, description)
            return pages
    if kind == "items":
        raise ResponseError(f"The server stores {description} in an unexpected format.")
    document = Page(success=True)
    setattr(document, kind, body.decode("utf-8-sig", errors="replace"))
    return [document]


def pages_to_arrow(
    job_id: str, kind: str, pages: Iterable[Page], metadata: Metadata | None = None
) -> pa.Table:
    """Return one row per page, with the columns of PAGES and, given `metadata`, of confidence."""
    pages = list(pages)
    try:
        contents = [page.content(kind) for page in pages]
        numbers = pa.array([page.page_number for page in pages], pa.int64())
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise ResponseError(f"A page of job {job_id} is invalid: {error}.") from error
    columns: list[Any] = [
        [job_id] * len(pages),
        numbers,
        [page.succeeded(kind) for page in pages],
        contents,
        [page.error for page in pages],
    ]
    fields = PAGES.columns
    if metadata is not None:
        fields = (*fields, *CONFIDENCE_COLUMNS)
        by_number = {page.page_number: page.confidence for page in metadata.pages or ()}
        columns.append([by_number.get(page.page_number) for page in pages])
        document = metadata.document.confidence if metadata.document else None
        columns.append([document] * len(pages))
    schema = pa.schema([column.field for column in fields])
    arrays = [pa.array(values, type_) for values, type_ in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _replace_lone_surrogates(body: bytes) -> bytes:
    """Replace lone surrogates, which JSON can contain and UTF-8 cannot; all else stays as sent."""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    text = _ESCAPE.sub(lambda match: "?" if match["lone"] else match[0], text)
    return text.encode(errors="replace")
