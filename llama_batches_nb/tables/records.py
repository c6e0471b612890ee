"""Records of the API become frames. Pure: no network, no clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import BATCHES, MAPPINGS, RESULTS, Column, Table


def to_pandas(table: Table, records: Iterable[Mapping[str, Any]], **constants: str) -> pd.DataFrame:
    """Return one row per record, in the table's columns; `constants` fill whole columns."""
    return schema.to_pandas(to_arrow(table, list(records), **constants), table.columns)


def to_arrow(table: Table, records: Sequence[Mapping[str, Any]], **constants: str) -> pa.Table:
    """Return one Arrow row per record, or raise `ResponseError` if a value is not as promised."""
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


_SKIM = msgspec.json.Decoder(_BatchId)


def validate_batch_json(batch_id: str, body: bytes) -> bytes:
    """Return the JSON of a batch as it came, or raise what there is to say against it."""
    try:
        found = _SKIM.decode(body).id
    except (msgspec.DecodeError, ValueError):
        batch = json.loads(body)
        results_from_record(batch)
        found = batch["id"]
    check_response_id(batch_id, found)
    return body


def check_response_id(asked: str, found: str) -> None:
    """Raise `ResponseError` if a server answered with another batch than was asked for."""
    if found.casefold() != asked.casefold():
        raise ResponseError(
            f"The server answered with batch {found!r:.80} when asked for {asked!r:.80}."
        )


def parse_results(bodies: Sequence[bytes]) -> list[pa.Table]:
    """Return the results of each batch, given the JSON of batches with ``expand=results``."""
    return parse_batches_with_results(bodies)[1]


def parse_batches_with_results(bodies: Sequence[bytes]) -> tuple[pa.Table, list[pa.Table]]:
    """Return the batches, one row each, and the results of each.

    Arrow's reader makes columns of many bodies at once, and lets the other threads go on meanwhile.
    What it will not read is read again by Python's, as we know what to say of that.
    """
    try:
        return _read_by_arrow(bodies)
    except (pa.ArrowInvalid, ValueError):
        read = [json.loads(body) for body in bodies]
        results = [results_from_record(batch) for batch in read]
        return to_arrow(BATCHES, read), results


def results_from_record(batch: Any) -> pa.Table:
    """Return one row per file of a batch; null results are none."""
    if not isinstance(batch, dict):
        raise ResponseError(f"A batch is not a JSON object: {str(batch)[:80]!r}.")
    results = batch.get("results")
    if not isinstance(results, list | None):
        raise ResponseError(f"The results of batch {batch.get('id')} are not a list.")
    return _results(
        to_arrow(BATCHES, [batch]), [len(results or [])], to_arrow(MAPPINGS, results or [])
    )


def _read_by_arrow(bodies: Sequence[bytes]) -> tuple[pa.Table, list[pa.Table]]:
    lines = b"\n".join(bodies)
    read = pa_json.read_json(
        pa.BufferReader(lines),
        pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        _JSON_OPTIONS,
    )
    read.validate(full=True)
    results = read["results"].combine_chunks()
    files = results.flatten()
    mappings = pa.Table.from_arrays(
        [pc.struct_field(files, list(column.path)) for column in MAPPINGS.columns],
        schema=MAPPINGS.arrow_schema,
    )
    if len(read) != len(bodies) or mappings[MAPPINGS.key].null_count:
        raise ValueError("this is for Python's reader")
    sizes = pc.list_value_length(results).fill_null(0).to_pylist()
    batches = to_arrow(BATCHES, read.drop_columns("results").to_pylist())
    together = _results(batches, sizes, mappings)
    starts = accumulate(sizes, initial=0)
    return batches, [together.slice(start, n) for start, n in zip(starts, sizes, strict=False)]


def _results(batches: pa.Table, sizes: list[int], mappings: pa.Table) -> pa.Table:
    """Return one row per mapping, its batch's own columns repeated on it."""
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
    return pa.table(columns, schema=RESULTS.arrow_schema)


def _extract_column(
    table: Table, column: Column, records: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return each record's value at the column's path, None where a step is missing."""
    values: list[Any] = list(records)
    try:
        for step in column.path:
            values = [None if value is None else value.get(step) for value in values]
    except AttributeError:
        raise ResponseError(
            f"The server sent a {table.row} that is not the JSON object the API promises "
            f"(at {'.'.join(column.path)!r})."
        ) from None
    return values


def _to_arrow_array(table: Table, column: Column, values: list[Any]) -> pa.Array:
    arrow_type = column.field.type
    try:
        if column.type == "time":
            return pa.array([_parse_timestamp(value) for value in values], arrow_type)
        try:
            return pa.array(values, arrow_type)
        except UnicodeEncodeError:
            return pa.array([_replace_surrogates(value) for value in values], arrow_type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ResponseError(
            f"The server sent a {table.row} whose {'.'.join(column.path)!r} is not a "
            f"{'text' if column.type in ('string', 'category') else column.type}: {error}"
        ) from error


def _parse_timestamp(text: str | None) -> datetime | None:
    """Parse ISO 8601; a time without a zone is UTC."""
    if text is None or text == "":
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _replace_surrogates(value: Any) -> Any:
    """Return text without halves of surrogate pairs: JSON can hold them, UTF-8 can't."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def concat_to_pandas(table: Table, parts: Iterable[pa.Table]) -> pd.DataFrame:
    """Return the rows of several tables of one kind, in order, as one frame."""
    whole = pa.concat_tables([table.arrow_schema.empty_table(), *parts])
    return schema.to_pandas(whole, table.columns)


def _json_fields(table: Table) -> list[pa.Field]:
    """Return how the table's values lie in a record: text, at the end of the columns' paths."""
    tree: dict[str, Any] = {}
    for column in table.columns:
        *steps, last = column.path
        node = tree
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = pa.string()

    def fields(node: dict[str, Any]) -> list[pa.Field]:
        return [
            pa.field(name, pa.struct(fields(below)) if isinstance(below, dict) else below)
            for name, below in node.items()
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
