"""Define the columns of each table, for dtypes, empty frames, Parquet and documentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.tables import statuses

ColumnType = Literal["string", "category", "time", "Float64", "Int64", "boolean", "json"]
"""What a column holds; ``json`` is any JSON value, kept as its text."""

STRING_DTYPE = pd.api.types.pandas_dtype(
    "str" if int(pd.__version__.split(".")[0]) >= 3 else "string"
)
"""The text dtype of the installed pandas."""

_ARROW: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "category": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "Float64": pa.float64(),
    "Int64": pa.int64(),
    "boolean": pa.bool_(),
    "json": pa.string(),
}


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, and the path of its value in the API's record.

    An empty path is the whole record. Where `path` leads to nothing, `other_path` is tried.
    """

    name: str
    type: ColumnType
    path: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # known ones, in order; only for type "category"
    other_path: tuple[str, ...] = ()

    @cached_property
    def field(self) -> pa.Field:
        return pa.field(self.name, _ARROW[self.type])


@dataclass(frozen=True)
class Table:
    """A table: its name, the noun for one row, and its columns; the first one is never missing."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def key(self) -> str:
        return self.columns[0].name

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([column.field for column in self.columns])


def _text(name: str, *path: str) -> Column:
    return Column(name, "string", path or (name,))


def _time(name: str, *path: str) -> Column:
    return Column(name, "time", path or (name,))


def _number(name: str, *path: str) -> Column:
    return Column(name, "Float64", path)


def _json(name: str, *path: str) -> Column:
    return Column(name, "json", path or (name,))


def _category(name: str, categories: tuple[str, ...], *path: str) -> Column:
    return Column(name, "category", path or (name,), categories)


BATCHES = Table(
    "batches",
    "batch",
    (
        _text("batch_id", "id"),
        _category("status", statuses.BATCH_STATUSES),
        _category("job_type", statuses.JOB_TYPES, "config", "job", "type"),
        _text("configuration_id", "config", "job", "configuration_id"),
        _text("source_directory_id"),
        _text("project_id"),
        _time("created_at"),
        _time("updated_at"),
    ),
)

MAPPINGS = Table(
    "mappings",
    "file",
    (
        _text("source_directory_file_id"),
        _category("job_type", statuses.JOB_TYPES, "job_reference", "type"),
        _text("job_id", "job_reference", "id"),
        _text("error_message"),
    ),
)
"""An item of a batch's `results` field; with columns of the batch it makes a row of RESULTS."""

RESULTS = Table(
    "results",
    "file",
    (
        _text("batch_id"),
        _category("batch_status", statuses.BATCH_STATUSES),
        _time("batch_created_at"),
        _text("configuration_id"),
        _text("source_directory_id"),
        _text("source_directory_file_id"),
        _category("job_type", statuses.JOB_TYPES),
        _text("job_id"),
        _text("error_message"),
    ),
)

JOBS = Table(
    "jobs",
    "job",
    (
        _text("job_id", "id"),
        _category("job_type", statuses.JOB_TYPES),
        _category("status", statuses.JOB_STATUSES),
        _text("error_message"),
        _text("name"),
        Column("tier", "string", ("tier",), other_path=("extract_metadata", "parse_tier")),
        _number("credits", "usage", "credits"),
        _number("extract_credits", "usage", "extract_credits"),
        _number("parse_credits", "usage", "parse_credits"),
        Column("pages_billed", "Int64", ("metadata", "usage", "num_pages_billed")),
        _text("file_input"),
        _text("parse_job_id", "extract_metadata", "parse_job_id"),
        _json("user_metadata"),
        _time("created_at"),
        _time("updated_at"),
    ),
)

FILES = Table(
    "files",
    "file",
    (
        _text("source_directory_file_id", "id"),
        _text("source_directory_id", "directory_id"),
        _text("display_name"),
        _text("file_id"),
        _text("unique_id"),
        _json("metadata"),
        _time("created_at"),
        _time("updated_at"),
        _time("deleted_at"),
    ),
)

DIRECTORIES = Table(
    "directories",
    "directory",
    (
        _text("source_directory_id", "id"),
        _text("name"),
        _category("type", statuses.DIRECTORY_TYPES),
        _text("description"),
        _time("created_at"),
        _time("expires_at"),
        _time("deleted_at"),
    ),
)

CONFIGURATIONS = Table(
    "configurations",
    "configuration",
    (
        _text("configuration_id", "id"),
        _text("name"),
        _category("job_type", statuses.JOB_TYPES, "product_type"),
        _text("version"),
        _json("parameters"),
        _time("created_at"),
        _time("updated_at"),
    ),
)

PAGES = Table(
    "pages",
    "page",
    (
        _text("job_id"),
        Column("page_number", "Int64"),
        Column("success", "boolean"),
        _text("content"),
        _text("error_message"),
    ),
)

CONFIDENCE_COLUMNS = (Column("confidence", "Float64"), Column("document_confidence", "Float64"))
"""Further columns of PAGES, if they are requested."""

EXTRACTIONS = Table("extractions", "extraction", (_text("job_id"), Column("row", "Int64")))
"""One extracted object. A column per top-level field of the extraction follows."""

RAW_COLUMN = Column("raw", "json")


def with_raw(table: Table, raw: bool = True) -> Table:
    """Return the table with a last column ``raw``, the JSON text of each record, if `raw`."""
    return replace(table, columns=(*table.columns, RAW_COLUMN)) if raw else table


OUTPUTS = Table(
    "outputs",
    "file",
    (
        _text("key"),
        _text("source_directory_file_id"),
        _text("display_name"),
        _text("job_id"),
        _text("content"),
        _text("path"),
        Column("pages", "Int64"),
        Column("failed_pages", "Int64"),
        _text("sha256"),
    ),
)

OUTCOME_COLUMN = _category("outcome", statuses.OUTCOMES)
JOB_ERROR_MESSAGE_COLUMN = _text("job_error_message")
CREDITS_COLUMN = Column("credits", "Float64")


def to_pandas(rows: pa.Table, columns: Iterable[Column]) -> pd.DataFrame:
    """Convert an Arrow table to pandas with the documented dtypes, also without rows."""
    frame: pd.DataFrame = rows.to_pandas(types_mapper=_pandas_dtype)
    for column in columns:
        if column.type == "category":
            frame[column.name] = to_categorical(rows[column.name], column.categories)
    return frame


def normalize_dtypes(frame: pd.DataFrame, *, is_pandas: bool) -> pd.DataFrame:
    """Convert a frame that an engine computed to the documented dtypes.

    Other text columns get the pandas text dtype, and times with a zone are converted to UTC. In a
    pandas frame, text and categories keep their dtype, which the user chose.
    """
    columns = {c.name: c for table in (BATCHES, RESULTS, JOBS) for c in table.columns}
    columns[OUTCOME_COLUMN.name] = OUTCOME_COLUMN
    result = frame.copy(deep=False)
    for name, values in frame.items():
        known = columns.get(str(name))
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            result[name] = values.dt.tz_convert("UTC").dt.as_unit("us")
        elif known and known.type == "category" and not is_pandas:
            text = pa.array(values.astype(object), pa.string(), from_pandas=True)
            result[name] = to_categorical(pa.chunked_array([text]), known.categories)
        elif _is_text(values):
            result[name] = values.astype(STRING_DTYPE)
    return result


def _is_text(values: pd.Series[Any]) -> bool:
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    return not is_category and pd.api.types.infer_dtype(values) in ("string", "empty")


def to_categorical(values: pa.ChunkedArray, known: Iterable[str]) -> pd.Categorical:
    """Convert text to a categorical with the known categories in order, then any others."""
    existing = {value for value in values.unique().to_pylist() if value is not None}
    categories = [*known, *sorted(existing.difference(known))]
    codes = pc.index_in(values, value_set=pa.array(categories, pa.string())).fill_null(-1)
    return pd.Categorical.from_codes(codes.to_numpy(), categories=pd.Index(categories))


def text_array(values: pd.Series[Any]) -> pa.Array:
    """Return text as Arrow; a column without any value may have another dtype."""
    return pa.array(values.astype(STRING_DTYPE), from_pandas=True).cast(pa.large_string())


def missing_text(count: int) -> Any:
    """Return an array of text without values; pandas would convert each from an object."""
    return pd.Series([None], dtype=STRING_DTYPE).array.take(np.zeros(count, "intp"))


def _pandas_dtype(arrow: pa.DataType) -> object:
    if pa.types.is_string(arrow):
        return STRING_DTYPE
    if pa.types.is_floating(arrow):
        return pd.Float64Dtype()
    if pa.types.is_integer(arrow):
        return pd.Int64Dtype()
    if pa.types.is_boolean(arrow):
        return pd.BooleanDtype()
    return None
