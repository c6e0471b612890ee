"""Convert JSON records of the API to Arrow tables and pandas frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import (
    BATCHES,
    MAPPINGS,
    RESULTS,
    Column,
    ColumnType,
    Table,
    with_raw,
)
from llama_batches_nb.types import Record


def to_pandas(table: Table, records: Iterable[Mapping[str, Any]], **constants: str) -> pd.DataFrame:
    """Return one row per record, with the table's columns; `constants` fill whole columns."""
    return schema.to_pandas(to_arrow(table, list(records), **constants), table.columns)


def to_arrow(table: Table, records: Sequence[Mapping[str, Any]], **constants: str) -> pa.Table:
    """Return one Arrow row per record.

    A value that its column cannot hold is missing, with a warning, so that one odd value does not
    cost the other rows. A record without its key raises `ResponseError`.
    """
    if table.key not in constants:
        _check_keys(table, records)
    arrays = []
    for column in table.columns:
        if column.name in constants:
            values: list[Any] = [constants[column.name]] * len(records)
        else:
            values = _extract_column(column, records)
        arrays.append(_to_arrow_array(column, values))
    return pa.Table.from_arrays(arrays, schema=table.arrow_schema)


def _check_keys(table: Table, records: Sequence[Mapping[str, Any]]) -> None:
    """Raise `ResponseError` for a record that is no object or lacks the table's key."""
    (key,) = table.columns[0].path
    for record in records:
        if not isinstance(record, dict) or not isinstance(record.get(key), str):
            raise ResponseError(f"The server sent a {table.row} without {key!r}: {record!r:.80}.")


class _BatchId(msgspec.Struct):
    id: str


_ID_DECODER = msgspec.json.Decoder(_BatchId)


def validate_batch_json(batch_id: str, body: bytes) -> bytes:
    """Return the JSON of a batch unchanged, or raise an error if it is not that batch."""
    try:
        returned_id = _ID_DECODER.decode(body).id
    except (msgspec.DecodeError, ValueError):
        batch = json.loads(body)
        _check_keys(BATCHES, [batch])
        _check_keys(MAPPINGS, _results_list(batch))
        returned_id = batch["id"]
    check_response_id(batch_id, returned_id)
    return body


def check_response_id(requested_id: str, returned_id: str, *, what: str = "batch") -> None:
    """Raise `ResponseError` if the server returned another record than the requested one."""
    if returned_id.casefold() != requested_id.casefold():
        raise ResponseError(
            f"Expected {what} {requested_id!r:.80}, but the server returned {returned_id!r:.80}."
        )


def parse_batches_with_results(
    bodies: Sequence[bytes], *, raw: bool = False
) -> tuple[pa.Table, list[pa.Table]]:
    """Return the batches, one row each, and the results of each, from JSON with results.

    With `raw`, the results have the column ``raw`` of `schema.with_raw`. Without it, Arrow's reader
    parses many responses at once and releases the GIL. What it rejects is parsed again by Python's
    reader, whose errors are more precise.
    """
    if not raw:
        with suppress(pa.ArrowInvalid, ValueError):
            return _parse_with_arrow(bodies)
    records = [json.loads(body) for body in bodies]
    batches = to_arrow(BATCHES, records)
    results = [
        _join_mappings(batches.slice(n, 1), record, raw=raw) for n, record in enumerate(records)
    ]
    return batches, results


def results_from_record(batch: Record, *, raw: bool = False) -> pa.Table:
    """Return one row per file of a batch; ``null`` results are an empty list."""
    return _join_mappings(to_arrow(BATCHES, [batch]), batch, raw=raw)


def _join_mappings(batch: pa.Table, record: Record, *, raw: bool) -> pa.Table:
    mappings = to_arrow(with_raw(MAPPINGS, raw), _results_list(record))
    return _join_batches(batch, [len(mappings)], mappings)


def _results_list(batch: Record) -> list[Any]:
    results = batch.get("results")
    if not isinstance(results, list | None):
        raise ResponseError(f"The results of batch {batch.get('id')} are not a list.")
    return results or []


def _parse_with_arrow(bodies: Sequence[bytes]) -> tuple[pa.Table, list[pa.Table]]:
    lines = b"\n".join(bodies)
    parsed = pa_json.read_json(
        pa.BufferReader(lines),
        pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        _JSON_OPTIONS,
    )
    parsed.validate(full=True)
    results = parsed["results"].combine_chunks()
    files = results.flatten()
    mappings = pa.Table.from_arrays(
        [pc.struct_field(files, list(column.path)) for column in MAPPINGS.columns],
        schema=MAPPINGS.arrow_schema,
    )
    if len(parsed) != len(bodies) or mappings[MAPPINGS.key].null_count:
        raise ValueError("incomplete: parse again with Python's reader")
    sizes = pc.list_value_length(results).fill_null(0).to_pylist()
    batches = to_arrow(BATCHES, parsed.drop_columns("results").to_pylist())
    together = _join_batches(batches, sizes, mappings)
    starts = accumulate(sizes, initial=0)
    return batches, [together.slice(start, n) for start, n in zip(starts, sizes, strict=False)]


def _join_batches(batches: pa.Table, sizes: list[int], mappings: pa.Table) -> pa.Table:
    """Return one row per mapping, with the columns of its batch."""
    repeated = batches.take(pa.array(np.repeat(np.arange(len(sizes)), sizes), pa.int64()))
    columns = {
        "batch_id": repeated["batch_id"],
        "batch_status": repeated["status"],
        "batch_created_at": repeated["created_at"],
        "configuration_id": repeated["configuration_id"],
        "source_directory_id": repeated["source_directory_id"],
        "source_directory_file_id": mappings["source_directory_file_id"],
        "job_type": pc.coalesce(mappings["job_type"], repeated["job_type"]),
        "job_id": mappings["job_id"],
        "error_message": mappings["error_message"],
    }
    raw = "raw" in mappings.column_names
    if raw:
        columns["raw"] = mappings["raw"]
    return pa.table(columns, schema=with_raw(RESULTS, raw).arrow_schema)


def value_at(record: object, path: Iterable[str]) -> Any:
    """Return the value at a path of a record, or None if something on the way is no object."""
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _extract_column(column: Column, records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return each record's value of the column, or None if a key is missing."""
    values = _values_at(column.path, records)
    if column.other_path:
        others = _values_at(column.other_path, records)
        values = [b if a is None else a for a, b in zip(values, others, strict=True)]
    return values


def _values_at(path: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[Any]:
    values: list[Any] = list(records)
    for n, key in enumerate(path):
        try:
            values = [None if value is None else value.get(key) for value in values]
        except AttributeError:
            odd = [value for value in values if not isinstance(value, dict | None)]
            _warn_missing(".".join(path[:n]), odd, "object")
            values = [value.get(key) if isinstance(value, dict) else None for value in values]
    return values


_NOUNS: dict[ColumnType, str] = {
    "string": "text",
    "category": "text",
    "time": "ISO 8601 time in the years 1 to 9999",
    "Float64": "number",
    "Int64": "64-bit integer",
    "boolean": "boolean",
}
_CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


def _to_arrow_array(column: Column, values: list[Any]) -> pa.Array:
    """Return the values as Arrow; warn of those that are missing because of their type."""
    try:
        return _convert(column, values)
    except _CONVERSION_ERRORS:
        arrays, odd = [], []
    for value in values:
        try:
            arrays.append(_convert(column, [value]))
        except _CONVERSION_ERRORS:
            arrays.append(pa.nulls(1, column.field.type))
            odd.append(value)
    _warn_missing(column.name, odd, _NOUNS[column.type])
    return pa.concat_arrays(arrays)


def _convert(column: Column, values: list[Any]) -> pa.Array:
    arrow_type = column.field.type
    if column.type == "time":
        return pa.array([_parse_timestamp(value) for value in values], arrow_type)
    if column.type == "json":
        return pa.array([_format_json(value) for value in values], arrow_type)
    if column.type == "Int64" and any(isinstance(v, float) and v % 1 for v in values):
        raise ValueError("it has a fraction")  # Arrow would drop it
    try:
        return pa.array(values, arrow_type)
    except UnicodeEncodeError:
        return pa.array([_replace_surrogates(value) for value in values], arrow_type)


def _warn_missing(name: str, odd: list[Any], noun: str) -> None:
    n = len(odd)
    warn(
        f"{format_count(n, 'value')} of {name} {agree(n, 'is')} missing, because the server sent "
        f"no {noun}: {format_list(str(value)[:80] for value in odd)}."
    )


def _parse_timestamp(text: str | None) -> datetime | None:
    """Parse an ISO 8601 time; a time without a zone is UTC."""
    if text is None or text == "":
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _format_json(value: Any) -> str | None:
    """Return a value as JSON text; a lone surrogate stays an escape, as UTF-8 cannot hold it."""
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates in text, which JSON can contain but UTF-8 cannot."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def concat_to_pandas(table: Table, parts: Iterable[pa.Table]) -> pd.DataFrame:
    """Concatenate Arrow tables with the same columns and convert them to pandas."""
    combined = pa.concat_tables([table.arrow_schema.empty_table(), *parts])
    return schema.to_pandas(combined, table.columns)


def _json_fields(table: Table) -> list[pa.Field]:
    """Return the Arrow fields of a record that has the table's values, as text, at their paths."""
    tree: dict[str, Any] = {}
    for column in table.columns:
        *parents, last = column.path
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = pa.string()

    def fields(node: dict[str, Any]) -> list[pa.Field]:
        return [
            pa.field(name, pa.struct(fields(child)) if isinstance(child, dict) else child)
            for name, child in node.items()
        ]

    return fields(tree)


_JSON_OPTIONS = pa_json.ParseOptions(
    explicit_schema=pa.schema(
        [
            *_json_fields(BATCHES),
            pa.field("results", pa.list_(pa.struct(_json_fields(MAPPINGS)))),
        ]
    ),
    newlines_in_values=True,
    unexpected_field_behavior="ignore",
)
