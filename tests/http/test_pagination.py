"""Pagination without a server, and that the frame does not depend on how a list is paged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.errors import InvalidRequestError, PaginationError, ResponseError
from llama_batches_nb.http.pagination import COMMON_PAGE_SIZE, MAX_PAGE_SIZE, iter_pages
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, CONFIGURATIONS, DIRECTORIES, FILES, Table
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.servers import Request, Response, Server, batch, page
from tests.strategies import api_records, few, some


def test_list_ends_at_the_missing_token_not_at_an_empty_page() -> None:
    responses = iter(
        [
            {"items": [], "next_page_token": "a"},
            {"items": [{"id": "1"}], "next_page_token": "b", "total_size": 0},
            {"items": [], "next_page_token": "", "total_size": "7"},
        ]
    )
    requested: list[tuple[int | None, str | None]] = []

    def fetch_page(page_size: int | None, page_token: str | None) -> Any:
        requested.append((page_size, page_token))
        return next(responses)

    pages = list(iter_pages(fetch_page, page_size=5))
    assert [len(page.items) for page in pages] == [0, 1, 0]
    assert [page.total_size for page in pages] == [None, None, None]
    assert requested == [(5, None), (5, "a"), (5, "b")]


@pytest.mark.parametrize("token", [0, False, [], {}, 5])
def test_token_that_is_not_text_raises(serve: Serve, token: Any) -> None:
    serve(lambda request: page([batch("bat-1")], token))
    with pytest.raises(ResponseError, match="token") as caught:
        lb.fetch_batches()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


@pytest.mark.parametrize("progress", [False, True])
def test_impossible_total_size_is_ignored(serve: Serve, progress: bool) -> None:
    serve(lambda request: page([batch("bat-1")], total_size=10**400))
    fetched = lb.fetch_batches(created_at_on_or_after="2026-01-01", progress=progress)
    assert fetched.batch_id.tolist() == ["bat-1"]


def test_list_without_new_rows_raises(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama_batches_nb.fetch.listing.MAX_PAGES_WITHOUT_PROGRESS", 20)
    tokens = map(str, itertools.count())
    server = serve(lambda request: page([batch("bat-1")], next(tokens)))
    with pytest.raises(PaginationError, match="20 consecutive pages") as caught:
        lb.fetch_batches()
    assert len(server.requests) == 1 + 20
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


def test_repeated_token_raises() -> None:
    with pytest.raises(PaginationError, match="'a' twice"):
        list(iter_pages(lambda **_: {"items": [], "next_page_token": "a"}))


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        ("page_size: no", [1000, 100, None]),
        ("page_size: Input should be less than or equal to 250", [1000, 250, 100, None]),
        ("page_size: 1000 is not between 1 and 50", [1000, 50, None]),
        ("The pageSize must be 20.", [1000, 20, None]),
    ],
)
def test_rejected_page_size_is_replaced_by_the_largest_that_may_be_allowed(
    message: str, sizes: list[int | None]
) -> None:
    requested = []

    def fetch_page(page_size: int | None, page_token: str | None) -> Any:
        requested.append(page_size)
        raise InvalidRequestError(message if page_size else "no at all")

    with pytest.raises(InvalidRequestError, match="no at all"):
        list(iter_pages(fetch_page))
    assert requested == sizes


def test_size_that_the_server_names_is_used_for_all_pages(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if int(request.param("page_size") or 0) > 2:
            detail = [{"loc": ["query", "page_size"], "msg": "Input should be <= 2", "type": "x"}]
            return Response({"detail": detail}, 422)
        start = int(request.param("page_token") or 0)
        return page([batch(f"bat-{start}")], str(start + 1) if start < 3 else None)

    server = serve(script)
    assert len(lb.fetch_batches()) == 4
    sizes = [request.param("page_size") for request in server.requests]
    assert sizes == ["1000", "2", "2", "2", "2"]


# --- any division into pages ---------------------------------------------------------------------


@dataclass
class PagedList:
    """A list divided into pages, and the other fields of each page."""

    pages: list[list[Record]]
    tokens: list[str]  # of the pages after the first
    fields: list[dict[str, Any]]  # the other fields of each page
    max_size: int | None  # rows per page; a larger page_size is rejected
    sizes: list[str | None] = field(default_factory=list)  # of the requests

    def __call__(self, request: Request) -> Any:
        size, token = request.param("page_size"), request.param("page_token")
        self.sizes.append(size)
        if size and self.max_size and int(size) > self.max_size:
            detail = [{"loc": ["query", "page_size"], "msg": "too large", "type": "x"}]
            return Response({"detail": detail}, 422)
        number = 0 if token is None else self.tokens.index(token) + 1
        return {"items": self.pages[number], **self.fields[number]}


@st.composite
def paged_lists(draw: st.DrawFn, items: list[Record]) -> PagedList:
    """Draw pages of any size: also empty ones, and ones that repeat rows of the page before."""
    pages: list[list[Record]] = []
    done = 0
    while done < len(items) or not pages or draw(st.booleans()):
        start = max(0, done - draw(st.integers(0, 3)))
        stop = min(len(items), done + draw(st.integers(0, 5)))
        pages.append(items[start:stop])
        done = stop
    any_text = st.text(st.sampled_from("aZ09 +&=#?/%\\'\"é年\n\0"), min_size=1, max_size=8)
    n = len(pages)
    tokens = draw(st.lists(any_text, min_size=n - 1, max_size=n - 1, unique=True))
    ends: list[dict[str, Any]] = [{}, {"next_page_token": None}, {"next_page_token": ""}]
    sizes = st.sampled_from([{}, *({"total_size": s} for s in (None, 0, "7", len(items)))])
    more: list[dict[str, Any]] = [{"next_page_token": token} for token in tokens]
    more.append(draw(st.sampled_from(ends)))
    fields = [each | draw(sizes) for each in more]
    return PagedList(pages, tokens, fields, draw(st.none() | st.integers(1, 1000)))


FETCHES: dict[str, tuple[Table, Callable[..., pd.DataFrame]]] = {
    "batches": (BATCHES, lb.fetch_batches),
    "directories": (DIRECTORIES, lb.fetch_directories),
    "configurations": (CONFIGURATIONS, lb.fetch_configurations),
    "files": (FILES, lambda **options: lb.fetch_files("dir-1", **options)),
}


@dataclass
class Serving:
    """A server whose script changes with each example, and its client."""

    client: lb.Client
    scripts: list[PagedList]


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    scripts: list[PagedList] = []
    with (
        Server(lambda request: scripts[-1](request)) as server,
        lb.connect("llx-1", base_url=server.url, max_retries=0) as client,
    ):
        yield Serving(client, scripts)


@pytest.mark.parametrize("kind", FETCHES)
@given(data=st.data())
@some
def test_frame_does_not_depend_on_the_pages(
    serving: Serving, kind: str, data: st.DataObject
) -> None:
    table, fetch = FETCHES[kind]
    (key,) = table.columns[0].path
    items = data.draw(st.lists(api_records(table), max_size=14, unique_by=lambda item: item[key]))
    paged = data.draw(paged_lists(items))
    serving.scripts.append(paged)
    page_size = data.draw(st.none() | st.integers(1, 2000))
    frame = fetch(page_size=page_size, client=serving.client)
    constants = {"source_directory_id": "dir-1"} if kind == "files" else {}
    pd.testing.assert_frame_equal(frame, records.to_pandas(table, items, **constants))
    assert paged.sizes[0] == str(page_size or MAX_PAGE_SIZE)
    assert set(paged.sizes) <= {paged.sizes[0], str(COMMON_PAGE_SIZE), None}


@pytest.mark.parametrize("kind", [kind for kind in FETCHES if kind != "files"])
@given(data=st.data())
@few
def test_limit_returns_the_first_rows_for_any_pages(
    serving: Serving, kind: str, data: st.DataObject
) -> None:
    table, fetch = FETCHES[kind]
    (key,) = table.columns[0].path
    items = data.draw(st.lists(api_records(table), max_size=14, unique_by=lambda item: item[key]))
    serving.scripts.append(data.draw(paged_lists(items)))
    limit = data.draw(st.integers(1, 16))
    frame = fetch(limit=limit, client=serving.client)
    pd.testing.assert_frame_equal(frame, records.to_pandas(table, items[:limit]))
