"""A table sorts, selects and pages its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipywidgets.widgets.widget import _instances

from llama_batches_nb.panels import markup
from llama_batches_nb.panels.widgets.table import MAX_SAVED_ROWS, PAGE_SIZE, PAGE_SIZES, DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn
from tests.strategies import some

HOSTILE = "<img src=x onerror=alert(1)>"
COLUMNS = (
    TableColumn("key", "Key", "1fr", lambda row: markup.short_id(row["key"])),
    TableColumn("n", "Number", "1fr", lambda row: markup.number(row["n"]), numeric=True),
    TableColumn("word", "Word", "1fr", lambda row: markup.text(row["word"]), sort_key=str.casefold),
)
FRAME = pd.DataFrame(
    {
        "key": list("abcd"),
        "n": pd.array([2, None, 10, 1], dtype="Int64"),
        "word": pd.array(["b", "C", None, "a"], dtype="string"),
    }
)

Make = Callable[..., DataTable]


@pytest.fixture
def make() -> Iterator[Make]:
    chosen: list[Any] = []
    before = set(_instances)

    def make(frame: pd.DataFrame = FRAME, **options: Any) -> DataTable:
        given: dict[str, Any] = {"key": "key", "noun": "row", "on_select": chosen.append} | options
        table = DataTable(COLUMNS, **given)
        table.chosen = chosen
        table.show(frame, empty="Nothing here.")
        return table

    yield make
    for name in set(_instances) - before:
        if name in _instances:  # closing a table closes its row buttons
            _instances[name].close()


def _shown(table: DataTable) -> list[str]:
    return re.findall(r'<tr style="[^"]*"><td class=""><code title="([^"]*)"', table._cells.value)


def _numbered(n: int) -> pd.DataFrame:
    return pd.DataFrame({"key": [f"k{i:05}" for i in range(n)], "n": range(n), "word": "w"})


@pytest.mark.parametrize(
    ("head", "upwards", "downwards"),
    [("Key", "abcd", "dcba"), ("Number", "dacb", "cadb"), ("Word", "dabc", "badc")],
)
def test_head_sorts_ascending_then_descending_with_missing_last(
    head: str, upwards: str, downwards: str, make: Make
) -> None:
    table = make()
    [button] = [one for one in table._heads if one.description == head]
    for order, arrow in ((upwards, " ▲"), (downwards, " ▼"), (upwards, " ▲")):
        button.click()
        assert "".join(_shown(table)) == order
        assert [one.description for one in table._heads if one.description[-1] in "▲▼"] == [
            f"{head}{arrow}"
        ]


@given(st.lists(st.none() | st.integers(-3, 3), max_size=30), st.booleans())
@some
def test_sort_is_stable_and_keeps_every_row(numbers: list[int | None], ascending: bool) -> None:
    frame = pd.DataFrame(
        {"key": range(len(numbers)), "n": pd.array(numbers, dtype="Int64"), "word": "w"}
    )
    table = DataTable(COLUMNS, key="key", noun="row")
    table.show(frame)
    table.sort("n", ascending=ascending)
    sign = 1 if ascending else -1
    expected = sorted(
        range(len(numbers)),
        key=lambda k: (numbers[k] is None, sign * (numbers[k] or 0), k),
    )
    assert table.frame["key"].tolist() == expected


def test_row_button_selects_the_row(make: Make) -> None:
    table = make()
    table.sort("n")
    table._row_buttons[1].click()
    assert [row["key"] for row in table.chosen] == ["a"]
    assert [pick.tooltip for pick in table._row_buttons if "lb-chosen" in pick._dom_classes] == [
        "a"
    ]
    table.sort("key", ascending=False)
    assert [pick.tooltip for pick in table._row_buttons if "lb-chosen" in pick._dom_classes] == [
        "a"
    ]


def test_row_buttons_are_named_after_their_rows(make: Make) -> None:
    table = make()
    assert [pick.tooltip for pick in table._picks.children] == list("abcd")
    table.show(FRAME[:2])
    assert [pick.tooltip for pick in table._picks.children] == list("ab")


def test_rows_without_an_id_can_be_selected(make: Make) -> None:
    for missing in (None, float("nan"), pd.NA):
        table = make(FRAME.assign(key=pd.Series(["a", missing, "c", "d"], dtype="string")))
        table.select("a")
        table._row_buttons[1].click()
        assert pd.isna(table.chosen[-1]["key"])
        assert table._row_buttons[1].tooltip == "row without an id"
        assert not any("lb-chosen" in pick._dom_classes for pick in table._row_buttons)


def test_selecting_an_unknown_key_raises(make: Make) -> None:
    with pytest.raises(ValueError, match="The table has no row 'z'"):
        make().select("z")


def test_only_one_page_is_drawn(make: Make) -> None:
    table = make(_numbered(10_000))
    assert _shown(table) == [f"k{n:05}" for n in range(PAGE_SIZE)]
    assert "1–12 of 10,000 rows" in table._range.value
    assert table._previous.disabled
    table._next.click()
    assert _shown(table)[0] == f"k{PAGE_SIZE:05}"
    assert [pick.tooltip for pick in table._row_buttons] == _shown(table)
    table.turn_pages(10_000)
    assert _shown(table)[-1] == "k09999"
    assert table._next.disabled
    table._previous.click()
    assert not table._next.disabled
    table.turn_pages(-10_000)
    assert _shown(table)[0] == "k00000"


@given(st.integers(1, 60), st.lists(st.integers(-9, 9), max_size=8))
@some
def test_turning_pages_always_shows_rows(n: int, turns: list[int]) -> None:
    table = DataTable(COLUMNS, key="key", noun="row")
    table.show(_numbered(n))
    for pages in turns:
        table.turn_pages(pages)
        assert 1 <= len(_shown(table)) <= PAGE_SIZE
    assert (table._next.layout.display == "none") == (n <= PAGE_SIZE)


def test_keep_place_keeps_page_and_order(make: Make) -> None:
    table = make(_numbered(40))
    table.sort("n", ascending=False)
    table.turn_pages(2)
    table.select("k00010")
    before = _shown(table)
    table.show(_numbered(40).assign(word="new"), keep_place=True)
    assert _shown(table) == before
    assert "new" in table._cells.value
    assert any("lb-chosen" in pick._dom_classes for pick in table._row_buttons)
    table.show(_numbered(20), keep_place=True)
    assert _shown(table)[-1] == "k00000"  # the last page that there is
    table.show(_numbered(40))
    assert _shown(table)[0] == "k00039"
    assert not any("lb-chosen" in pick._dom_classes for pick in table._row_buttons)


def test_empty_table_shows_its_text(make: Make) -> None:
    table = make(FRAME[:0])
    assert table._cells.value == '<div class="lb-empty">Nothing here.</div>'
    assert table.html() == "<p>Nothing here.</p>"
    assert table._next.layout.display == "none"
    table.sort("n")
    table.show_text("Fetching …")
    assert "Fetching …" in table._cells.value


def test_cells_and_buttons_are_escaped(make: Make) -> None:
    table = make(FRAME.assign(key=HOSTILE, word=HOSTILE))
    assert "<img" not in table._cells.value + table.html()
    assert "&lt;img" in table._cells.value
    assert table._row_buttons[0].tooltip == HOSTILE  # its text, for the browser to escape


def test_saved_copy_has_the_first_rows(make: Make) -> None:
    html = make(_numbered(MAX_SAVED_ROWS + 20)).html()
    assert html.count("<tr") == MAX_SAVED_ROWS + 1
    assert "… and 20 more rows" in html
    assert "more row" not in make(_numbered(MAX_SAVED_ROWS)).html()


def test_cells_line_up_with_their_heads(make: Make) -> None:
    table = make()
    assert 'style="grid-template-columns:1fr 1fr 1fr"' in table._cells.value
    assert '<th scope="col" class="lb-num">Number</th>' in table._cells.value


# Search and pages


def test_search_keeps_rows_that_contain_every_word(make: Make) -> None:
    frame = pd.DataFrame(
        {"key": list("abc"), "n": 1, "word": ["Invoices North", "Invoices South", None]}
    )
    table = make(frame, searchable=True)
    for words, keys in (("invoices", "ab"), (" SOUTH inv ", "b"), ("(", ""), ("", "abc")):
        table.search.value = words
        assert "".join(_shown(table)) == keys
    table.search.value = "nowhere"
    assert "No row contains “nowhere”." in table._cells.value
    assert "0–0 of 0 rows (of 3)" in table._range.value


def test_search_finds_times_names_and_ids_as_shown(make: Make) -> None:
    names = {"dir-1": "Straße"}
    columns = (
        TableColumn("key", "Key", "1fr", lambda row: row["key"], search=lambda id_: names[id_]),
        TableColumn("at", "Created", "1fr", lambda row: markup.time(row["at"])),
    )
    at = pd.Series(["2026-08-01 14:03:59+00:00", pd.NaT]).astype("datetime64[us, UTC]")
    table = DataTable(columns, key="key", noun="row", searchable=True)
    table.show(pd.DataFrame({"key": ["dir-1", None], "at": at}))
    for words, n_rows in (("STRASSE", 1), ("dir-1", 1), ("2026-08-01 14:03", 1), ("14:04", 0)):
        table.search.value = words
        assert len(table.frame) == n_rows
    table.close()


@given(
    st.lists(st.none() | st.text("aBß ", max_size=5), max_size=20),
    st.text("abßS ", max_size=4),
    st.sampled_from(["string", object, "category"]),
)
@some
def test_search_equals_a_loop_over_the_rows(
    texts: list[str | None], wanted: str, dtype: Any
) -> None:
    table = DataTable(COLUMNS, key="key", noun="row", searchable=True)
    word = pd.Series(texts, dtype=object).astype(dtype)
    table.show(pd.DataFrame({"key": [f"k{n}" for n in range(len(texts))], "n": 0, "word": word}))
    assert table.search is not None
    table.search.value = wanted
    wanted_words = wanted.casefold().split()
    expected = [
        f"k{n}"
        for n, text in enumerate(texts)
        if all(each in (text or "").casefold() for each in wanted_words)
    ]
    assert table.frame["key"].tolist() == expected


def test_rows_first_and_last_choose_the_page(make: Make) -> None:
    table = make(_numbered(130), searchable=True)
    assert table.rows.options == PAGE_SIZES
    table._last_page.click()
    assert _shown(table)[-1] == "k00129"
    assert table._last_page.disabled
    table.rows.value = 100
    assert _shown(table)[0] == "k00100"
    table._first_page.click()
    assert len(_shown(table)) == len(table._picks.children) == 100
    assert table._first_page.disabled
    table.rows.value = 12
    assert len(table._picks.children) == PAGE_SIZE
    before = set(_instances)
    table.close()
    assert len(_instances) < len(before)
