"""Extracted objects as columns: one schema, no value changed."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.tables import extractions, schema
from llama_batches_nb.tables.schema import EXTRACTIONS
from tests.strategies import few

safe_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-100, 100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | safe_texts
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(safe_texts, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["total", "vendor", "job_id", "row", "job_id_", "row_", "ж", "a b"])
objects = st.dictionaries(names, json_values, max_size=5)
results = objects | st.lists(objects, max_size=3)


def to_pandas(*extracted: Any) -> pd.DataFrame:
    rows = [
        row
        for n, result in enumerate(extracted)
        for row in extractions.parse_extraction(f"ejb-{n}", json.dumps(result).encode())
    ]
    return schema.to_pandas(extractions.to_arrow(rows), EXTRACTIONS.columns)


def column(*values: Any) -> pd.Series[Any]:
    return to_pandas([{"x": value} for value in values])["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([True, None, False], "boolean", [True, pd.NA, False]),
        ([1, 2**53 + 1, -(2**63)], "Int64", [1, 2**53 + 1, -(2**63)]),
        ([1, 2.5, None], "Float64", [1.0, 2.5, pd.NA]),
        ([2**53 + 1, 2.5], schema.STRING_DTYPE, ["9007199254740993", "2.5"]),
        ([2**63, 1], schema.STRING_DTYPE, ["9223372036854775808", "1"]),
        (["12", 12], schema.STRING_DTYPE, ['"12"', "12"]),
        ([True, 1], schema.STRING_DTYPE, ["true", "1"]),
        ([{"a": [1.10]}, []], schema.STRING_DTYPE, ['{"a": [1.1]}', "[]"]),
        (["", "null"], schema.STRING_DTYPE, ["", "null"]),
    ],
)
def test_dtype_follows_from_all_values(values: list[Any], dtype: str, expected: list[Any]) -> None:
    result = column(*values)
    assert result.dtype == dtype
    assert result.tolist() == expected


def test_all_missing_is_text() -> None:
    assert column(None, None).dtype == schema.STRING_DTYPE
    assert column(None, None).isna().all()


def test_number_is_kept_as_sent_in_json_text() -> None:
    rows = extractions.parse_extraction(
        "ejb-1", b'[{"x": {"price": 1.10, "id": 1e400}}, {"x": 1e400}]'
    )
    assert extractions.to_arrow(rows)["x"].to_pylist() == ['{"price": 1.10, "id": 1e400}', "1e400"]


@pytest.mark.parametrize(
    ("numbers", "is_float"),
    [
        (["0.1", "1.10", "-2e-3", "5"], True),
        (["0.1000000000000000055"], False),
        (["1234567890.123456789"], False),
        (["9007199254740993", "0.5"], False),
        (["1e400"], False),
        (["1e-99999999999999999999"], False),
        (["0e99999999999999999999"], False),
        (["9" * 5000], False),
    ],
)
def test_decimals_are_floats_only_if_no_digit_is_lost(numbers: list[str], is_float: bool) -> None:
    rows = [("ejb-1", n, {"x": number.encode()}) for n, number in enumerate(numbers)]
    values = extractions.to_arrow(rows)["x"].to_pylist()
    assert values == ([float(number) for number in numbers] if is_float else numbers)


def test_lone_surrogate_leaves_the_numbers_beside_it_as_sent() -> None:
    body = rb'[{"a": "\ud800 \ud83d\ude00 \\ud800 \"", "n": 1.10, "big": [1e400, 0.10]}]'
    (row,) = extractions.to_arrow(extractions.parse_extraction("ejb-1", body)).to_pylist()
    assert row["a"] == '? \U0001f600 \\ud800 "'
    assert row["n"] == 1.1
    assert row["big"] == "[1e400, 0.10]"


def test_one_object_is_row_0_and_a_list_is_numbered() -> None:
    frame = to_pandas({"a": 1}, [{"a": 2}, {"b": 3}], [])
    assert frame.job_id.tolist() == ["ejb-0", "ejb-1", "ejb-1"]
    assert frame.row.tolist() == [0, 0, 1]
    assert frame.a.tolist() == [1, 2, pd.NA]
    assert frame.b.tolist() == [pd.NA, pd.NA, 3]


def test_items_that_are_no_objects_are_in_the_column_value() -> None:
    assert to_pandas([1, 2])["value"].tolist() == [1, 2]
    assert to_pandas("text")["value"].tolist() == ["text"]


def test_field_with_the_name_of_our_column_is_renamed() -> None:
    frame = to_pandas({"job_id": "x", "job_id_": "y", "row": 7})
    assert frame.columns.tolist() == ["job_id", "row", "job_id__", "job_id_", "row_"]
    assert frame.iloc[0].to_list() == ["ejb-0", 0, "x", "y", 7]


def test_lone_surrogate_is_replaced() -> None:
    assert column("a\ud800", "b").tolist() == ["a?", "b"]
    assert to_pandas({"\ud800": 1}).columns.tolist() == ["job_id", "row", "?"]


def test_no_row_has_the_fixed_columns_only() -> None:
    assert to_pandas().dtypes.astype(str).tolist() == [str(schema.STRING_DTYPE), "Int64"]


def restore(values: pd.Series[Any], originals: list[Any]) -> list[Any]:
    """Return the values of a column as they were extracted, by the documented rule."""
    is_text = all(isinstance(v, str) for v in originals if v is not None)
    if values.dtype == schema.STRING_DTYPE and not is_text:
        return [None if pd.isna(v) else json.loads(v) for v in values]
    return [None if pd.isna(v) else v for v in values]


@given(st.lists(results, max_size=4))
@few
def test_no_value_is_changed(extracted: list[Any]) -> None:
    frame = to_pandas(*extracted)
    rows = [
        row for result in extracted for row in (result if isinstance(result, list) else [result])
    ]
    assert len(frame) == len(rows)
    fields = list(dict.fromkeys(name for row in rows for name in row))
    assert frame.shape[1] == 2 + len(fields)
    for position, name in enumerate(fields, 2):
        originals = [row.get(name) for row in rows]
        restored = restore(frame.iloc[:, position], originals)
        assert restored == originals
        for value, original in zip(restored, originals, strict=True):
            assert isinstance(value, bool | np.bool_) == isinstance(original, bool)


@given(st.lists(results, min_size=1, max_size=4))
@few
def test_frame_is_equal_after_parquet_and_readable_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, extracted: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("extractions") / "x.parquet"
    frame = to_pandas(*extracted)
    lb.export_parquet(frame, path)
    pd.testing.assert_frame_equal(lb.read_parquet(path), frame)
    in_polars = pl.read_parquet(path)
    assert in_polars.columns == frame.columns.tolist()
    with duckdb.connect() as connection:
        rows = connection.execute("select * from read_parquet($1)", [str(path)]).fetchall()
    assert len(rows) == len(frame)
    for position, name in enumerate(frame):
        expected = [None if pd.isna(v) else v for v in frame[name]]
        assert in_polars[str(name)].to_list() == expected
        assert [row[position] for row in rows] == expected
