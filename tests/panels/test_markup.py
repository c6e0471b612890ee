"""What came from outside is text in the page, whatever it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.panels import markup
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES
from tests.strategies import some

OURS = {"button", "span", "code", "b", "table", "thead", "tbody", "tr", "th", "td"}
HOSTILE = """<img src=x onerror="alert('1')">&amp;"""

anything = st.text(min_size=1) | st.sampled_from(
    [HOSTILE, "</code>", "'\"><script>", "&lt;", "$x$"]
)


class Read(HTMLParser):
    """The tags, attributes and text of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("make", [markup.text, markup.whole_id, markup.status])
@given(given_text=anything)
@some
def test_html_text_equals_the_value(make: Callable[[str], str], given_text: str) -> None:
    read = Read(make(given_text))
    assert set(read.tags) <= OURS
    assert given_text.replace("\r\n", "\n") in read.text.replace("\r\n", "\n")


@given(anything)
@some
def test_short_id_has_the_whole_id_as_tooltip(one: str) -> None:
    read = Read(markup.short_id(one))
    assert read.tags == ["code"]
    assert read.attributes["title"] == one
    assert read.text == markup.short(one)
    assert len(read.text) <= max(markup.ID_HEAD + markup.ID_TAIL + 2, 0)
    assert one.startswith(read.text.split("…")[0])


@given(anything)
@some
def test_names_are_escaped(name: str) -> None:
    assert Read(markup.name("dir-1", {"dir-1": name})).text == name
    assert Read(markup.table([(name, "")], [[markup.text(name)]])).text == 2 * name


def test_id_without_a_name_is_shortened() -> None:
    assert "dir-0123…ef" in markup.name("dir-0123456789abcdef", {})


@pytest.mark.parametrize("missing", [None, pd.NA, pd.NaT, float("nan")])
def test_missing_values_are_a_dash(missing: Any) -> None:
    makers = (markup.text, markup.status, markup.short_id, markup.time, markup.number)
    assert {make(missing) for make in (*makers, markup.percent)} == {markup.MISSING}


def test_every_status_and_outcome_has_a_mark() -> None:
    assert set(markup.STATUS_MARKS) == {*BATCH_STATUSES, *OUTCOMES}
    for group in (BATCH_STATUSES, ("succeeded", "job_failed", "job_cancelled", "job_running")):
        assert len({markup.STATUS_MARKS[word][0] for word in group}) == len(group)


def test_unknown_status_is_shown() -> None:
    unknown = Read(markup.status("PAUSED"))
    assert unknown.text == " PAUSED"
    assert unknown.attributes["data-mark"] == "◇"


def test_times_are_in_utc() -> None:
    time = pd.Timestamp("2026-08-01 23:03", tz="Asia/Tokyo")
    assert markup.time(time) == "2026-08-01 14:03"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (3605, "1 h 5 s"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert markup.duration(seconds) == words


def test_ago_has_one_unit() -> None:
    now = datetime(2026, 8, 1, 12, tzinfo=UTC)
    assert markup.ago(pd.Timestamp(now - timedelta(hours=3, minutes=20)), now) == "3 h ago"


def test_numbers_have_thousands_separators() -> None:
    assert (markup.number(47_873), markup.percent(0.0391)) == ("47,873", "3.9 %")


def test_counts_are_in_category_order() -> None:
    words = pd.Categorical(["FAILED", "PENDING", "FAILED"], categories=[*BATCH_STATUSES, HOSTILE])
    assert Read(markup.counts(pd.Series(words))).text == " 1 PENDING ·  2 FAILED"
    hostile = Read(markup.counts(pd.Series([HOSTILE])))
    assert hostile.text == f" 1 {HOSTILE}"
    assert hostile.attributes["data-mark"] == "◇"
    assert hostile.tags == ["span"]


def test_ids_sort_by_their_names() -> None:
    names = {"dir-0": "beta", "dir-1": "Alpha"}
    found = sorted(
        ["dir-0", "dir-1", "a-stranger"], key=lambda one: markup.name_sort_key(one, names)
    )
    assert found == ["a-stranger", "dir-1", "dir-0"]


def test_alert_is_escaped_and_empty_without_message() -> None:
    assert Read(markup.alert(HOSTILE)).text == HOSTILE
    assert Read(markup.alert(HOSTILE)).attributes["role"] == "alert"
    assert markup.alert("") == ""
