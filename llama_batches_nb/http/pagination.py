"""From page token to page token. Only the token ends the walk; an empty page does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llama_batches_nb.errors import InvalidRequestError, PaginationError, ResponseError
from llama_batches_nb.types import Record

MAX_PAGE_SIZE = 1000  # rows; the API cuts what is more
MAX_TOTAL_SIZE = 2**63 - 1  # rows; what is more is no size of a list


@dataclass(frozen=True)
class Page:
    """The records of one answer and the size that the server says the whole list has."""

    items: list[Record]
    total_size: int | None


def iter_pages(ask: Callable[..., Any], *, page_size: int | None = None) -> Iterator[Page]:
    """Yield every page of a list, given a function that asks for one by `page_token`.

    The largest pages are asked for. A server that refuses the size is asked again without one.
    """
    size: int | None = page_size or MAX_PAGE_SIZE
    token: str | None = None
    seen: set[str] = set()
    while True:
        try:
            answer = ask(page_size=size, page_token=token)
        except InvalidRequestError as error:
            if size is None or not re.search(r"page.?size", str(error), re.IGNORECASE):
                raise
            size = None
            continue
        yield _page(answer)
        token = _token(answer)
        if token is None:
            return
        if token in seen:
            raise PaginationError(
                f"The server gave the page token {token!r} a second time, so the list has no end. "
                "The rows so far are in .partial; try again later."
            )
        seen.add(token)


def _page(answer: Any) -> Page:
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise ResponseError(
            f"A page of a list has no 'items': {str(answer)[:80]!r}. "
            "Check that base_url is the API's."
        )
    total = answer.get("total_size")
    is_size = isinstance(total, int) and 0 < total <= MAX_TOTAL_SIZE
    return Page(items, total if is_size else None)


def _token(answer: Record) -> str | None:
    token = answer.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise ResponseError(f"A page token is not text: {token!r}.")
    return token or None
