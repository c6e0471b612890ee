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
from llama_batches_nb.tables.schema import BATCHES, MAPPINGS, RESULTS, Column, Table, with_raw


def to_pandas(table: Table, records: Iterable[Mapping[str, Any]], **constants: str) -> pd.DataFrame:
    """Return one row per record, with the table's columns; `constants` fill whole columns."""
    return schema.to_pandas(to_arrow(table, list(records), **constants), table.columns)


def to_arrow(table: Table, records: Sequence[Mapping[str, Any]], **constants: str) -> pa.Table:
    """Return one Arrow row per record, or raise `ResponseError` if a value has the wrong type."""
    arrays = []
    for column in table.columns:
        if column.name in constants:
            values: list[Any] = [constants[column.name]] * len(records)
        else:
            values = _extract_column(table, column, records)
        arrays.append(_to_arrow_array(table, column, values))
    if arrays[0].null_count:
        raise ResponseError(f"The server sent a {table.row} without {table.columns[0].path[-1]!r}.")
    return pa.Table.from_arrays(arrays, schema=table.arrow_schema)


class _BatchId(msgspec.Struct):
    id: str


_ID_DECODER = msgspec.json.Decoder(_BatchId)


def validate_batch_json(batch_id: str, body: bytes) -> bytes:
    """Return the JSON of a batch unchanged, or raise an error if it is not that batch."""
    try:
        returned_id = _ID_DECODER.decode(body).id
    except (msgspec.DecodeError, ValueError):
        batch = json.loads(body)
        results_from_record(batch)
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
    batches = [json.loads(body) for body in bodies]
    results = [results_from_record(batch, raw=raw) for batch in batches]
    return to_arrow(BATCHES, batches), results


def results_from_record(batch: Any, *, raw: bool = False) -> pa.Table:
    """Return one row per file of a batch; ``null`` results are an empty list."""
    if not isinstance(batch, dict):
        raise ResponseError(f"A batch is not a JSON object: {str(batch)[:80]!r}.")
    results = batch.get("results")
    if not isinstance(results, list | None):
        raise ResponseError(f"The results of batch {batch.get('id')} are not a list.")
    mappings = to_arrow(with_raw(MAPPINGS, raw), results or [])
    return _join_batches(to_arrow(BATCHES, [batch]), [len(mappings)], mappings)


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


def _extract_column(
    table: Table, column: Column, records: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return each record's value of the column, or None if a key is missing."""
    values = _values_at(table, column.path, records)
    if column.other_path:
        others = _values_at(table, column.other_path, records)
        values = [b if a is None else a for a, b in zip(values, others, strict=True)]
    return values


def _values_at(
    table: Table, path: Sequence[str], records: Sequence[Mapping[str, Any]]
) -> list[Any]:
    values: list[Any] = list(records)
    try:
        for key in path:
            values = [None if value is None else value.get(key) for value in values]
    except AttributeError:
        raise ResponseError(
            f"The server sent a {table.row} with an unexpected JSON structure at "
            f"{'.'.join(path)!r}."
        ) from None
    return values


def _to_arrow_array(table: Table, column: Column, values: list[Any]) -> pa.Array:
    arrow_type = column.field.type
    try:
        if column.type == "time":
            return pa.array(_parse_timestamps(column, values), arrow_type)
        if column.type == "json":
            return pa.array([_format_json(value) for value in values], arrow_type)
        if column.type == "Int64" and any(isinstance(v, float) and v % 1 for v in values):
            raise ValueError("it has a fraction")  # Arrow would drop it
        try:
            return pa.array(values, arrow_type)
        except UnicodeEncodeError:
            return pa.array([_replace_surrogates(value) for value in values], arrow_type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ResponseError(
            f"The server sent a {table.row} whose {'.'.join(column.path)!r} is not a "
            f"{'text' if column.type in ('string', 'category') else column.type}: {error}"
        ) from error


def _parse_timestamps(column: Column, values: Sequence[str | None]) -> list[datetime | None]:
    """Parse ISO 8601 times; one that no datetime can hold in UTC is missing, with a warning."""
    times: list[datetime | None] = []
    too_far = []
    for value in values:
        try:
            times.append(_parse_timestamp(value))
        except OverflowError:
            times.append(None)
            too_far.append(str(value))
    if n := len(too_far):
        warn(
            f"{format_count(n, 'value')} of {column.name} {agree(n, 'is')} missing, because the "
            f"time is not in the years 1 to 9999 in UTC: {format_list(too_far)}."
        )
    return times


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
