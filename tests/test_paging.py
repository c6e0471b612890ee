"""The walk itself, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from llama_batches_nb.errors import InvalidRequestError, PaginationError
from llama_batches_nb.paging import LARGEST_PAGE, walk


def test_only_the_token_ends_the_walk() -> None:
    answers = iter(
        [
            {"items": [], "next_page_token": "a"},
            {"items": [{"id": "1"}], "next_page_token": "b", "total_size": 0},
            {"items": [], "next_page_token": "", "total_size": "7"},
        ]
    )
    asked: list[tuple[int | None, str | None]] = []

    def ask(page_size: int | None, page_token: str | None) -> Any:
        asked.append((page_size, page_token))
        return next(answers)

    pages = list(walk(ask, page_size=5))
    assert [len(page.items) for page in pages] == [0, 1, 0]
    assert [page.total_size for page in pages] == [None, None, None]
    assert asked == [(5, None), (5, "a"), (5, "b")]


def test_a_token_that_comes_round_ends_it_too() -> None:
    with pytest.raises(PaginationError, match="'a' a second time"):
        list(walk(lambda **_: {"items": [], "next_page_token": "a"}))


def test_a_refusal_that_is_not_of_the_page_size_is_raised() -> None:
    sizes = []

    def ask(page_size: int | None, page_token: str | None) -> Any:
        sizes.append(page_size)
        raise InvalidRequestError("page_size: no" if page_size else "no at all")

    with pytest.raises(InvalidRequestError, match="no at all"):
        list(walk(ask))
    assert sizes == [LARGEST_PAGE, None]
