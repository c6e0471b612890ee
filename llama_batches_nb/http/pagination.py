"""Follow page tokens. A list ends where there is no next token, not at an empty page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llama_batches_nb.errors import InvalidRequestError, PaginationError, ResponseError
from llama_batches_nb.types import Record

T_co = TypeVar("T_co", covariant=True)

MAX_PAGE_SIZE = 1000  # rows; the API reduces larger sizes to this
COMMON_PAGE_SIZE = 100  # rows; the limit of many endpoints
MAX_TOTAL_SIZE = 2**63 - 1  # rows; a larger total_size is ignored

_PAGE_SIZE_PROBLEM = re.compile(r"page.?size.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """The records of one response, and the size of the whole list if the server gives it."""

    items: Sequence[T_co]
    total_size: int | None


def iter_pages(
    fetch_page: Callable[..., Any], *, page_size: int | None = None
) -> Iterator[Page[Any]]:
    """Yield every page of a list; `fetch_page` takes ``page_size`` and ``page_token``.

    By default the largest page size is used. If the server rejects the size, the page is requested
    again with the size that the server's message names, else with `COMMON_PAGE_SIZE`, and at last
    without one, since the default may be much smaller.
    """
    size: int | None = page_size or MAX_PAGE_SIZE
    token: str | None = None
    seen_tokens: set[str] = set()
    while True:
        try:
            response = fetch_page(page_size=size, page_token=token)
        except InvalidRequestError as error:
            if size is None or not (problem := _PAGE_SIZE_PROBLEM.search(str(error))):
                raise
            size = _smaller_size(size, problem[0])
            continue
        yield _parse_page(response)
        token = _next_token(response)
        if token is None:
            return
        if token in seen_tokens:
            raise PaginationError(
                f"The server returned the page token {token!r} twice, so the list would never end. "
                "The rows fetched so far are in .partial; try again later."
            )
        seen_tokens.add(token)


def _smaller_size(size: int, problem: str) -> int | None:
    """Return the largest number below `size` in the server's message, else a common page size."""
    named = [n for n in map(int, re.findall(r"\d{1,6}", problem)) if 1 < n < size]
    return max(named, default=COMMON_PAGE_SIZE if size > COMMON_PAGE_SIZE else None)


def _parse_page(response: Any) -> Page[Any]:
    items = response.get("items") if isinstance(response, dict) else None
    if not isinstance(items, list):
        raise ResponseError(
            f"A page of a list has no 'items': {str(response)[:80]!r}. "
            "Check that base_url is the address of the API."
        )
    total = response.get("total_size")
    is_valid = isinstance(total, int) and 0 < total <= MAX_TOTAL_SIZE
    return Page(items, total if is_valid else None)


def _next_token(response: Record) -> str | None:
    token = response.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise ResponseError(f"The server returned a page token that is not text: {token!r}.")
    return token or None
