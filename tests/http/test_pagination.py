"""The walk itself, without a server; and that however a list is cut, its frame is the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.errors import InvalidRequestError, PaginationError, ResponseError
from llama_batches_nb.http.pagination import MAX_PAGE_SIZE, iter_pages
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, CONFIGURATIONS, DIRECTORIES, FILES, Table
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.servers import Answer, Asked, Server, batch, page
from tests.strategies import api_records, few


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

    pages = list(iter_pages(ask, page_size=5))
    assert [len(page.items) for page in pages] == [0, 1, 0]
    assert [page.total_size for page in pages] == [None, None, None]
    assert asked == [(5, None), (5, "a"), (5, "b")]


@pytest.mark.parametrize("token", [0, False, [], {}, 5])
def test_a_token_that_is_no_text_is_no_end(serve: Serve, token: Any) -> None:
    serve(lambda asked: page([batch("bat-1")], token))
    with pytest.raises(ResponseError, match="token") as caught:
        lb.fetch_batches()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


@pytest.mark.parametrize("progress", [False, True])
def test_a_size_that_no_list_has_is_passed_over(serve: Serve, progress: bool) -> None:
    serve(lambda asked: page([batch("bat-1")], total_size=10**400))
    fetched = lb.fetch_batches(created_at_on_or_after="2026-01-01", progress=progress)
    assert fetched.batch_id.tolist() == ["bat-1"]


def test_a_list_that_brings_nothing_new_has_no_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_batches_nb.fetch.listing.MAX_PAGES_WITHOUT_PROGRESS", 20)
    tokens = map(str, itertools.count())
    server = serve(lambda asked: page([batch("bat-1")], next(tokens)))
    with pytest.raises(PaginationError, match="20 consecutive pages") as caught:
        lb.fetch_batches()
    assert len(server.asked) == 1 + 20
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1"]


def test_a_token_that_comes_round_ends_it_too() -> None:
    with pytest.raises(PaginationError, match="'a' twice"):
        list(iter_pages(lambda **_: {"items": [], "next_page_token": "a"}))


def test_a_refusal_that_is_not_of_the_page_size_is_raised() -> None:
    sizes = []

    def ask(page_size: int | None, page_token: str | None) -> Any:
        sizes.append(page_size)
        raise InvalidRequestError("page_size: no" if page_size else "no at all")

    with pytest.raises(InvalidRequestError, match="no at all"):
        list(iter_pages(ask))
    assert sizes == [MAX_PAGE_SIZE, None]


# --- any way of paging --------------------------------------------------------------------------


@dataclass
class Cut:
    """A list in pages, and what the server says around them."""

    pages: list[list[Record]]
    tokens: list[str]  # of the pages after the first
    around: list[dict[str, Any]]  # the rest of each page
    most: int | None  # rows that may be asked for at a time; more is refused, not cut
    sizes: list[str | None] = field(default_factory=list)  # that were asked for

    def __call__(self, asked: Asked) -> Any:
        size, token = asked.one("page_size"), asked.one("page_token")
        self.sizes.append(size)
        if size and self.most and int(size) > self.most:
            detail = [{"loc": ["query", "page_size"], "msg": "too large", "type": "x"}]
            return Answer({"detail": detail}, 422)
        number = 0 if token is None else self.tokens.index(token) + 1
        return {"items": self.pages[number], **self.around[number]}


@st.composite
def cuts(draw: st.DrawFn, items: list[Record]) -> Cut:
    """Pages of any size: empty ones, and such as have again what was at the end of others."""
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
    around = [each | draw(sizes) for each in more]
    return Cut(pages, tokens, around, draw(st.none() | st.integers(1, 1000)))


FETCHES: dict[str, tuple[Table, Callable[..., pd.DataFrame]]] = {
    "batches": (BATCHES, lb.fetch_batches),
    "directories": (DIRECTORIES, lb.fetch_directories),
    "configurations": (CONFIGURATIONS, lb.fetch_configurations),
    "files": (FILES, lambda **given: lb.fetch_files("dir-1", **given)),
}


@dataclass
class Serving:
    """A server whose script is changed from example to example, and a client of it."""

    client: lb.Client
    scripts: list[Cut]


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    scripts: list[Cut] = []
    with (
        Server(lambda asked: scripts[-1](asked)) as server,
        lb.connect("llx-1", base_url=server.url, max_retries=0) as client,
    ):
        yield Serving(client, scripts)


@pytest.mark.parametrize("kind", FETCHES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_way_of_paging_gives_the_same_frame(
    serving: Serving, kind: str, data: st.DataObject
) -> None:
    table, fetch = FETCHES[kind]
    (key,) = table.columns[0].path
    items = data.draw(st.lists(api_records(table), max_size=14, unique_by=lambda item: item[key]))
    cut = data.draw(cuts(items))
    serving.scripts.append(cut)
    page_size = data.draw(st.none() | st.integers(1, 2000))
    found = fetch(page_size=page_size, client=serving.client)
    told = {"source_directory_id": "dir-1"} if kind == "files" else {}
    pd.testing.assert_frame_equal(found, records.to_pandas(table, items, **told))
    assert cut.sizes[0] == str(page_size or MAX_PAGE_SIZE)
    assert set(cut.sizes) <= {cut.sizes[0], None}


@pytest.mark.parametrize("kind", [kind for kind in FETCHES if kind != "files"])
@given(data=st.data())
@few
def test_a_limit_gives_the_first_rows_however_they_are_paged(
    serving: Serving, kind: str, data: st.DataObject
) -> None:
    table, fetch = FETCHES[kind]
    (key,) = table.columns[0].path
    items = data.draw(st.lists(api_records(table), max_size=14, unique_by=lambda item: item[key]))
    serving.scripts.append(data.draw(cuts(items)))
    limit = data.draw(st.integers(1, 16))
    found = fetch(limit=limit, client=serving.client)
    pd.testing.assert_frame_equal(found, records.to_pandas(table, items[:limit]))
