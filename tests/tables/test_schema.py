"""Columns and dtypes of each table."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import Table
from tests.strategies import LISTED, TABLES, some

CONTRACT = {
    "batches": "batch_id status job_type configuration_id source_directory_id project_id "
    "created_at updated_at",
    "results": "batch_id batch_status batch_created_at configuration_id source_directory_id "
    "source_directory_file_id job_type job_id error_message",
    "jobs": "job_id job_type status error_message name tier credits extract_credits "
    "parse_credits pages_billed file_input parse_job_id user_metadata created_at updated_at",
    "files": "source_directory_file_id source_directory_id display_name file_id unique_id "
    "metadata created_at updated_at deleted_at",
    "directories": "source_directory_id name type description created_at expires_at deleted_at",
    "configurations": "configuration_id name job_type version parameters created_at updated_at",
    "mappings": "source_directory_file_id job_type job_id error_message",
}
CATEGORIES = {"status", "batch_status", "job_type", "type"}
NUMBERS = {
    "credits": "Float64",
    "extract_credits": "Float64",
    "parse_credits": "Float64",
    "pages_billed": "Int64",
}
JSON_TEXT = {"user_metadata", "metadata", "parameters"}

each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@each_table
def test_column_names_match_interface(table: Table) -> None:
    assert table.names == CONTRACT[table.name].split()


@each_table
def test_column_types_follow_from_names(table: Table) -> None:
    for column in table.columns:
        if column.name in CATEGORIES:
            assert column.type == "category"
            assert column.categories
        elif column.name.endswith("_at"):
            assert column.type == "time"
        elif column.name in JSON_TEXT:
            assert column.type == "json"
        else:
            assert column.type == NUMBERS.get(column.name, "string")


@each_table
def test_arrow_schema_has_only_text_times_and_numbers(table: Table) -> None:
    known = {pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.int64()}
    assert table.arrow_schema.names == table.names
    assert set(table.arrow_schema.types) <= known


@pytest.mark.parametrize("table", LISTED, ids=lambda table: table.name)
def test_key_is_first_column(table: Table) -> None:
    assert table.key == table.columns[0].name
    assert table.key.endswith("_id")
    assert len(table.columns[0].path) == 1


def test_text_dtype_is_that_of_installed_pandas() -> None:
    newer = int(pd.__version__.split(".")[0]) >= 3
    assert ("str" if newer else "string") == schema.STRING_DTYPE


@given(st.lists(st.none() | st.text(max_size=4)), st.integers(1, 3))
@some
def test_categorical_keeps_values(words: list[str | None], size: int) -> None:
    chunks = [pa.array(words[n : n + size], pa.string()) for n in range(0, len(words), size)]
    made = schema.to_categorical(pa.chunked_array(chunks, pa.string()), ("b", "a"))
    assert [None if pd.isna(word) else word for word in made] == words
    others = sorted({word for word in words if word is not None} - {"a", "b"})
    assert made.categories.tolist() == ["b", "a", *others]
    assert not made.ordered


def test_empty_frame_has_range_index() -> None:
    frame = schema.to_pandas(schema.BATCHES.arrow_schema.empty_table(), schema.BATCHES.columns)
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame.shape == (0, 8)
