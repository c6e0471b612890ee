"""Validation of user arguments, and conversion of frames."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.http import endpoints
from llama_batches_nb.tables import arguments, engines, records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES
from llama_batches_nb.types import Record
from tests.strategies import instants, many, some, zones

# --- times --------------------------------------------------------------------------------------


@given(instants(), zones())
@some
def test_time_of_any_type_and_zone_is_the_same_instant(instant: datetime, zone: Any) -> None:
    there = instant.astimezone(zone)
    for value in (there, there.isoformat(), pd.Timestamp(there), instant.replace(tzinfo=None)):
        text = arguments.format_time("created_at_on_or_after", value)
        assert text is not None
        assert text.endswith("Z")
        assert datetime.fromisoformat(text) == instant


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("2026-08-01", "2026-08-01T00:00:00Z"),
        ("2026-08", "2026-08-01T00:00:00Z"),
        (" 20260801 ", "2026-08-01T00:00:00Z"),
        ("2026-W31-6", "2026-08-01T00:00:00Z"),
        ("2026-08-01t14:00z", "2026-08-01T14:00:00Z"),
        ("2026-08-01 14:00", "2026-08-01T14:00:00Z"),
        ("2026-08-01T14:00:00+02:00", "2026-08-01T12:00:00Z"),
        (date(2026, 8, 1), "2026-08-01T00:00:00Z"),
        (datetime(2026, 8, 1, 14, tzinfo=UTC), "2026-08-01T14:00:00Z"),
        (pd.Timestamp("2026-08-01", tz="America/New_York"), "2026-08-01T04:00:00Z"),
        (pd.Timestamp("2026-08-01 00:00:00.123456789"), "2026-08-01T00:00:00.123456Z"),
        ("2026-08-01 14:00:00,5", "2026-08-01T14:00:00.500000Z"),
        (np.datetime64("2026-08-01T14"), "2026-08-01T14:00:00Z"),
    ],
)
def test_time_is_formatted_in_utc(value: Any, expected: str | None) -> None:
    assert arguments.format_time("when", value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "now",
        "today",
        "05.10.2026",
        "15.10.2026",
        "10/05/2026",
        "2026.10.05",
        "5 Oct 2026",
        "2026",
        "20",
        "1785578400",
        "2026-13-01",
        "2026-08-01x14:00",
        "2026-08-01 14:00 Uhr",
        "2026-08-01 2 pm",
        "２０２６-08-01",
        "0001-01-01T00+05",
        "NaT",
        pd.NaT,
        np.datetime64("NaT", "us"),
    ],
)
def test_invalid_time_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^created_at_on_or_after=.* is not a time"):
        arguments.format_time("created_at_on_or_after", value)


@pytest.mark.parametrize("value", [1785578400, 1.5, True, ["2026-08-01"], timedelta(1)])
def test_time_of_wrong_type_raises(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^when must be"):
        arguments.format_time("when", value)


@st.composite
def written(draw: st.DrawFn, *, widely: bool) -> str:
    """A time as ISO 8601 writes it; widely: in any form that Python reads, and almost so."""
    years = () if widely else (date(1700, 1, 1), date(2200, 12, 31))  # nanoseconds fit
    day = draw(st.dates(*years))
    year, week, weekday = day.isocalendar()
    weeks = [f"{year:04}-W{week:02}-{weekday}", f"{year:04}-W{week:02}"] if widely else []
    text = draw(st.sampled_from([day.isoformat(), *weeks]))
    clock = draw(st.times()).isoformat("seconds")[: draw(st.sampled_from([0, 2, 5, 8]))]
    zone = draw(st.sampled_from(["+", "-"])) + draw(st.times()).isoformat("minutes")
    zone = draw(st.sampled_from(["", "Z", "+00:00", "-00:00", zone, zone[:3]]))
    if widely:
        zone += draw(st.sampled_from(["", "", ":00:07", ":00:07.000001", "0", " "]))
    if len(clock) == 8 and draw(st.booleans()):
        digits = st.text("0123456789", min_size=1, max_size=12 if widely else 9)
        clock += draw(st.sampled_from(".,")) + draw(digits)
    if draw(st.booleans()):
        text = text.replace("-", "")
    if draw(st.booleans()):
        clock, zone = clock.replace(":", ""), zone.replace(":", "")
    between = draw(st.characters(codec="utf-8") if widely else st.sampled_from("T "))
    return text + between + clock + zone if clock else text


def by_python(text: str) -> datetime | None:
    """What Python's own parser makes of a time, in UTC; None if it takes it for none."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@given(written(widely=False))
@many
def test_text_time_is_parsed_like_python(text: str) -> None:
    result = arguments.format_time("created_at_on_or_after", text)
    assert result is not None
    assert datetime.fromisoformat(result) == by_python(text)
    assert result.endswith("Z")


@given(written(widely=True) | st.text(min_size=1, max_size=12))
@many
def test_api_time_is_parsed_like_python(text: str) -> None:
    """By either reader: of records, and of the JSON of batches."""
    sent, expected = {"id": "bat-1", "created_at": text, "results": None}, by_python(text)
    for read in (of_records, of_json):
        if expected is None:
            with pytest.warns(UserWarning, match="created_at is missing"):
                found = read(sent)
        else:
            found = read(sent)
        assert found["created_at"].to_pylist() == [expected]


def of_records(batch: Record) -> pa.Table:
    return records.to_arrow(BATCHES, [batch])


def of_json(batch: Record) -> pa.Table:
    return records.parse_batches_with_results([json.dumps(batch).encode()])[0]


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("FAILED", ("FAILED",)),
        (" failed ", ("FAILED",)),
        (["FAILED", "PENDING", "failed"], ("PENDING", "FAILED")),
        ({"CANCELLED"}, ("CANCELLED",)),
        (pd.Series(["RUNNING"]), ("RUNNING",)),
        (iter(["RUNNING"]), ("RUNNING",)),
    ],
)
def test_choices_are_unique_and_in_known_order(
    value: Any, expected: tuple[str, ...] | None
) -> None:
    assert arguments.parse_choices("status", value, BATCH_STATUSES) == expected


def test_misspelt_choice_suggests_closest() -> None:
    with pytest.raises(ValueError, match=r"status='FAILD' is not one of PENDING.*'FAILED'\?"):
        arguments.parse_choices("status", ["COMPLETED", "FAILD"], BATCH_STATUSES)


@pytest.mark.parametrize("value", ["Al", "ALL", "alll", " all"])
def test_single_choice_suggests_closest(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be one of 'all', 'first'\. Did you mean 'all'\?"):
        arguments.parse_choice("runs", value, ("all", "first"))


def test_column_in_other_case_is_suggested() -> None:
    frame = engines.wrap_frame("frame", pd.DataFrame({"status": [], "created_at": []}))
    with pytest.raises(ValueError, match=r"no column 'STATUS'.* Did you mean 'status'\?"):
        engines.check_columns(frame, "STATUS")


@pytest.mark.parametrize("value", [7, None, "", float("nan")])
def test_invalid_choice_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"status={value!r} is not one of")):
        arguments.parse_choices("status", [value], BATCH_STATUSES)


def test_empty_choices_raise() -> None:
    with pytest.raises(ValueError, match="status is empty"):
        arguments.parse_choices("status", [], BATCH_STATUSES)


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "expected"), [(None, None), (1, 1), (np.int64(7), 7)])
def test_integer_types_are_accepted(value: Any, expected: int | None) -> None:
    assert arguments.parse_int("limit", value) == expected
    assert type(arguments.parse_int("limit", value)) is type(expected)


@pytest.mark.parametrize("value", [0, -1, np.int64(0)])
def test_integer_below_minimum_raises(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^limit=.* at least 1"):
        arguments.parse_int("limit", value)


@pytest.mark.parametrize("value", [1.0, "1", True, [1], int])
def test_non_integer_raises(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^limit must be an integer"):
        arguments.parse_int("limit", value)


@pytest.mark.parametrize("value", ["0.95", None, True, float, np.array([0.5])])
def test_confidence_of_wrong_type_raises(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^confidence must be a number"):
        arguments.parse_share("confidence", value, 0.95)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (0, 0.0),
        (1.5, 1.5),
        (np.float32(2), 2.0),
        (Fraction(1, 2), 0.5),
        (timedelta(minutes=1), 60.0),
        (pd.Timedelta("1h"), 3600.0),
        (float("inf"), float("inf")),
    ],
)
def test_seconds_may_be_timedelta(value: Any, expected: float | None) -> None:
    assert arguments.parse_seconds("timeout", value) == expected


@pytest.mark.parametrize("value", [-1, float("nan"), timedelta(-1)])
def test_negative_seconds_raise(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^timeout=.* at least 0"):
        arguments.parse_seconds("timeout", value)


def test_zero_seconds_raise_if_positive_is_required() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        arguments.parse_seconds("poll_interval", 0, positive=True)
    assert arguments.parse_seconds("poll_interval", 0.1, positive=True) == 0.1


@pytest.mark.parametrize("value", ["60", True, [60], date(2026, 8, 1), pd.NaT])
def test_seconds_of_wrong_type_raise(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^timeout must be a number of seconds"):
        arguments.parse_seconds("timeout", value)


def test_single_choice_must_be_known() -> None:
    assert arguments.parse_choice("errors", "warn", ("raise", "warn")) == "warn"
    for odd in (None, pd.NA, ["warn"], np.array(["warn", "warn"]), pd.DataFrame({"a": ["warn"]})):
        with pytest.raises(ValueError, match=r"(?s)^errors=.* must be one of"):
            arguments.parse_choice("errors", odd, ("raise", "warn"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="errors='ignore' must be one of 'raise', 'warn'"):
        arguments.parse_choice("errors", "ignore", ("raise", "warn"))


# --- ids ----------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"batch_id": ["bat-2", "bat-1", "bat-2"], "x": [1, 2, 3]}, index=[5, 5, 7])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bat-1", ["bat-1"]),
        (["bat-2", "bat-1", "bat-2"], ["bat-2", "bat-1"]),
        (("bat-1",), ["bat-1"]),
        ({"bat-1"}, ["bat-1"]),
        ({"bat-2": 0, "bat-1": 0}.keys(), ["bat-2", "bat-1"]),
        (iter(["bat-1", "bat-1"]), ["bat-1"]),
        (np.array(["bat-1", "bat-2"]), ["bat-1", "bat-2"]),
        (FRAME, ["bat-2", "bat-1"]),
        (FRAME.astype({"batch_id": "category"}), ["bat-2", "bat-1"]),
        (FRAME.batch_id, ["bat-2", "bat-1"]),
        (FRAME.set_index("batch_id").index, ["bat-2", "bat-1"]),
        (FRAME.set_index("batch_id"), ["bat-2", "bat-1"]),
        (FRAME.groupby(["x", "batch_id"]).agg(n=("x", "size")), ["bat-2", "bat-1"]),
        (FRAME.iloc[1], ["bat-1"]),
        (pl.DataFrame({"batch_id": ["bat-1"]}), ["bat-1"]),
        (pl.LazyFrame({"batch_id": ["bat-1"]}), ["bat-1"]),
        (pl.Series("batch_id", ["bat-1"]), ["bat-1"]),
        (pa.table({"batch_id": ["bat-1"]}), ["bat-1"]),
        (pa.array(["bat-1"]), ["bat-1"]),
        (pa.chunked_array([["bat-2"], ["bat-1"]]), ["bat-2", "bat-1"]),
        (pa.array(["bat-1"]).dictionary_encode(), ["bat-1"]),
        (FRAME.iloc[:0], []),
        ([], []),
    ],
)
def test_ids_are_unique_and_in_order(value: Any, expected: list[str]) -> None:
    assert arguments.parse_ids("batch_id", value) == expected


@pytest.mark.parametrize("value", [None, 7, b"bat-1", {"batch_id": "bat-1"}])
def test_argument_without_ids_raises(value: Any) -> None:
    with pytest.raises(TypeError, match="batch_id: pass an id"):
        arguments.parse_ids("batch_id", value)


@pytest.mark.parametrize("value", [None, 7, float("nan"), ["bat-1"]])
def test_id_of_wrong_type_raises(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^batch_id must be text"):
        arguments.parse_ids("batch_id", ["bat-1", value])


@pytest.mark.parametrize(
    "value",
    ["", " ", ".", "..", "bat-1\n", "\x00", "a\u202eb", "\ud800"],
)
def test_id_that_would_change_url_raises(value: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        arguments.parse_id("batch_id", value)


def test_missing_id_column_error_lists_columns() -> None:
    with pytest.raises(ValueError, match=r"no column 'job_id'; it has 'batch_id', 'x'"):
        arguments.parse_ids("job_id", FRAME)


def test_missing_ids_raise_with_their_count() -> None:
    with pytest.raises(ValueError, match="2 rows of the frame have no batch_id"):
        arguments.parse_ids("batch_id", pd.DataFrame({"batch_id": ["bat-1", None, None]}))


def test_several_ids_raise_where_one_is_expected() -> None:
    assert arguments.parse_single_id("batch_id", FRAME.iloc[[0, 2]]) == "bat-2"
    for value, count in ((FRAME, 2), ([], 0)):
        with pytest.raises(ValueError, match=f"Expected one batch_id, got {count}"):
            arguments.parse_single_id("batch_id", value)


@given(st.text(max_size=8))
@some
def test_quoted_id_is_one_path_segment(value: str) -> None:
    quoted = endpoints.quote_path_segment(value)
    assert unquote(quoted) == value
    assert urlsplit(f"http://localhost/a/{quoted}/b").path == f"/a/{quoted}/b"
    assert "/" not in quoted


# --- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [FRAME, pl.from_pandas(FRAME), pl.from_pandas(FRAME).lazy(), pa.Table.from_pandas(FRAME[:])],
    ids=lambda frame: f"{type(frame).__module__}.{type(frame).__name__}",
)
def test_columns_of_any_engine_convert_to_pandas(frame: Any) -> None:
    wrapped = engines.wrap_frame("frame", frame)
    assert engines.column_names(wrapped)[:2] == ["batch_id", "x"]
    chosen = engines.select_to_pandas(wrapped, "x")
    assert isinstance(chosen, pd.DataFrame)
    assert chosen.columns.tolist() == ["x"]
    assert chosen.x.tolist() == [1, 2, 3]


def test_selected_pandas_columns_keep_index() -> None:
    assert engines.select_to_pandas(engines.wrap_frame("frame", FRAME), "x").index.tolist() == [
        5,
        5,
        7,
    ]


def test_index_named_like_column_is_not_ambiguous() -> None:
    indexed = FRAME.set_index("batch_id", drop=False)
    wrapped = engines.wrap_frame("frame", indexed)
    assert wrapped.to_native().groupby("batch_id").ngroups == 2
    assert indexed.index.name == "batch_id"


def test_every_missing_column_is_named() -> None:
    frame = engines.wrap_frame("frame", FRAME)
    engines.check_columns(frame, "x", "batch_id")
    with pytest.raises(ValueError, match="no column 'y', 'z'; it has 'batch_id', 'x'"):
        engines.check_columns(frame, "x", "y", "z")
    with pytest.raises(ValueError, match="it has none"):
        engines.check_columns(engines.wrap_frame("frame", pd.DataFrame()), "x")
