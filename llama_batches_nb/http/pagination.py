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
MAX_TOTAL_SIZE = 2**63 - 1  # rows; a larger total_size is ignored


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
    again without one.
    """
    size: int | None = page_size or MAX_PAGE_SIZE
    token: str | None = None
    seen_tokens: set[str] = set()
    while True:
        try:
            response = fetch_page(page_size=size, page_token=token)
        except InvalidRequestError as error:
            if size is None or not re.search(r"page.?size", str(error), re.IGNORECASE):
                raise
            size = None
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
