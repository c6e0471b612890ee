"""Query parameters that several endpoints share, pagination, and responses.

The dependencies are coroutines because FastAPI runs plain functions in a thread for each request.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator

from llama_batches_nb.sandbox_server.app.serializers import Json, encode
from llama_batches_nb.sandbox_server.options import Options, TotalSize
from llama_batches_nb.sandbox_server.state.clock import to_microseconds
from llama_batches_nb.sandbox_server.state.ids import IdCodec
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

T = TypeVar("T")
Position = tuple[int, int]

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000
LISTS = ("batches", "parse_v2", "extract_v2", "directories", "files", "configurations", "projects")
POSITION_BITS = 32  # of the major number of a page token; the index in LISTS is above them


def reject_numeric_timestamps(value: str) -> str:
    """Reject a number, which pydantic would parse as seconds since 1970."""
    try:
        float(value)
    except ValueError:
        return value
    raise ValueError("must be an ISO 8601 time such as 2026-08-01T12:00:00Z")


TimestampQuery = Annotated[datetime | None, BeforeValidator(reject_numeric_timestamps), Query()]
TextQuery = Annotated[str | None, Query()]
TextListQuery = Annotated[list[str] | None, Query()]


def not_found(resource: str, id_: str) -> HTTPException:
    """Return a 404 that names the resource."""
    return HTTPException(404, f"{resource} '{id_}' not found")


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a JSON response."""
    return Response(encode(value), status, headers, media_type="application/json")


async def get_state(
    request: Request, project_id: TextQuery = None, organization_id: TextQuery = None
) -> SandboxState:
    """Return the state, if `project_id` is its only project.

    Any other project id gets a 404, which does not reveal whether the project exists. Organization
    ids are ignored.
    """
    state: SandboxState = request.app.state.sandbox
    if project_id is not None and project_id != state.project_id:
        raise not_found("Project", project_id)
    return state


@dataclass(frozen=True)
class PageRequest:
    """The page of a list that a request selects."""

    size: int
    token: str | None
    total_size: TotalSize

    def start_after(self, ids: IdCodec, name: str) -> Position | None:
        """Return the last position of the previous page, or None for the first page."""
        if not self.token:
            return None
        numbers = ids.decode("page", self.token)
        if numbers is None or numbers[0] >> POSITION_BITS != LISTS.index(name):
            raise HTTPException(400, "Invalid page_token")
        return numbers[0] & (1 << POSITION_BITS) - 1, numbers[1]

    def response(
        self,
        ids: IdCodec,
        name: str,
        remaining: Iterable[tuple[Position, T]],
        serialize: Callable[[T], Json],
        total: int | None,
    ) -> Response:
        """Return the next items and, if more follow, the token of the next page."""
        taken = list(islice(remaining, self.size + 1))
        token = None
        if len(taken) > self.size:
            major, minor = taken[self.size - 1][0]
            token = ids.encode("page", LISTS.index(name) << POSITION_BITS | major, minor)
        items = [serialize(item) for _, item in taken[: self.size]]
        body: Json = {"items": items, "next_page_token": token}
        if self.total_size != "missing":
            body["total_size"] = {"exact": total, "zero": 0}.get(self.total_size)
        return json_response(body)


def page_request(request: Request, page_size: int, page_token: str | None) -> PageRequest:
    """Return the requested page, of at most `MAX_PAGE_SIZE` items as in the API."""
    options: Options = request.app.state.sandbox.options
    max_size = options.max_page_size or MAX_PAGE_SIZE
    if options.max_page_size and "page_size" in request.query_params and page_size > max_size:
        message = f"Input should be less than or equal to {max_size}"
        error = {"loc": ("query", "page_size"), "msg": message, "type": "less_than_equal"}
        raise RequestValidationError([error])
    return PageRequest(
        min(page_size or DEFAULT_PAGE_SIZE, max_size), page_token, options.total_size
    )


async def get_page(
    request: Request,
    page_size: Annotated[int, Query(ge=1)] = DEFAULT_PAGE_SIZE,
    page_token: TextQuery = None,
) -> PageRequest:
    """Return the page of a list whose documented `page_size` is at least 1."""
    return page_request(request, page_size, page_token)


async def get_page_of_any_size(
    request: Request,
    page_size: Annotated[int, Query(ge=0)] = DEFAULT_PAGE_SIZE,
    page_token: TextQuery = None,
) -> PageRequest:
    """Return the page of a list whose `page_size` has no documented minimum; 0 is the default."""
    return page_request(request, page_size, page_token)


StateDep = Annotated[SandboxState, Depends(get_state)]
PageDep = Annotated[PageRequest, Depends(get_page)]
AnySizePageDep = Annotated[PageRequest, Depends(get_page_of_any_size)]


def is_between(at: int, first: datetime | None, last: datetime | None) -> bool:
    """Return whether a time is in a range that includes its ends."""
    return (first is None or at >= to_microseconds(first)) and (
        last is None or at <= to_microseconds(last)
    )


def items_after_token(
    ids: IdCodec, name: str, page: PageRequest, items: Iterable[tuple[int, T]]
) -> Iterable[tuple[Position, T]]:
    """Yield the items of an ascending list that come after the page token."""
    after = page.start_after(ids, name)
    first = 0 if after is None else after[0] + 1
    return (((index, 0), item) for index, item in items if index >= first)
