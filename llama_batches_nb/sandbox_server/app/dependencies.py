"""Query parameters that several endpoints share, and the answers they lead to.

Dependencies are coroutines because FastAPI sends plain functions to a thread each time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Query, Request, Response
from pydantic import BeforeValidator

from llama_batches_nb.sandbox_server.app.serializers import Json, encode
from llama_batches_nb.sandbox_server.state.clock import to_microseconds
from llama_batches_nb.sandbox_server.state.ids import Ids
from llama_batches_nb.sandbox_server.state.world import SandboxState

T = TypeVar("T")
Position = tuple[int, int]

DEFAULT_PER_PAGE, MAX_PER_PAGE = 50, 1000
LISTS = ("batches", "parse_v2", "extract_v2", "directories", "files", "configurations")
POSITION_BITS = 32  # of a page token's major number; the list's place is above them


def reject_numeric_timestamps(value: str) -> str:
    """Refuse a number, which pydantic would take for seconds since 1970."""
    try:
        float(value)
    except ValueError:
        return value
    raise ValueError("a time is written as 2026-08-01T12:00:00Z")


TimestampQuery = Annotated[datetime | None, BeforeValidator(reject_numeric_timestamps), Query()]
Text = Annotated[str | None, Query()]
Many = Annotated[list[str] | None, Query()]


def missing(what: str, id_: str) -> HTTPException:
    """Return a 404 that names the thing."""
    return HTTPException(404, f"{what} '{id_}' not found")


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON."""
    return Response(encode(value), status, headers, media_type="application/json")


async def the_world(
    request: Request, project_id: Text = None, organization_id: Text = None
) -> SandboxState:
    """Return the world, if it has the project asked for.

    The sandbox has one project; any other id is answered by 404, so that nobody learns whether
    it exists. Organizations are not looked at.
    """
    world: SandboxState = request.app.state.world
    if project_id is not None and project_id != world.project_id:
        raise missing("Project", project_id)
    return world


@dataclass(frozen=True)
class Page:
    """A page asked for."""

    size: int
    token: str | None

    def after(self, ids: Ids, name: str) -> Position | None:
        """Return the position that the page comes after; None for the first page."""
        if not self.token:
            return None
        found = ids.read("page", self.token)
        if found is None or found[0] >> POSITION_BITS != LISTS.index(name):
            raise HTTPException(400, "Invalid page_token")
        return found[0] & (1 << POSITION_BITS) - 1, found[1]

    def answer(
        self,
        ids: Ids,
        name: str,
        rest: Iterable[tuple[Position, T]],
        render: Callable[[T], Json],
        total: int | None,
    ) -> Response:
        """Answer with the next things and, if more follow, the token of the next page."""
        taken = list(islice(rest, self.size + 1))
        token = None
        if len(taken) > self.size:
            major, minor = taken[self.size - 1][0]
            token = ids.make("page", LISTS.index(name) << POSITION_BITS | major, minor)
        items = [render(it) for _, it in taken[: self.size]]
        return answer({"items": items, "next_page_token": token, "total_size": total})


async def the_page(
    page_size: Annotated[int, Query(ge=1)] = DEFAULT_PER_PAGE, page_token: Text = None
) -> Page:
    """Return the page asked for; no more than `MAX_PER_PAGE` items, as the API has it."""
    return Page(min(page_size, MAX_PER_PAGE), page_token)


WorldDep = Annotated[SandboxState, Depends(the_world)]
PageDep = Annotated[Page, Depends(the_page)]


def between(at: int, first: datetime | None, last: datetime | None) -> bool:
    """Say whether a moment lies in a range that includes its ends."""
    return (first is None or at >= to_microseconds(first)) and (
        last is None or at <= to_microseconds(last)
    )


def after_token(
    ids: Ids, name: str, page: Page, things: Iterable[tuple[int, T]]
) -> Iterable[tuple[Position, T]]:
    """Return the things of an ascending list that come after the page's token."""
    after = page.after(ids, name)
    first = 0 if after is None else after[0] + 1
    return (((place, 0), it) for place, it in things if place >= first)
