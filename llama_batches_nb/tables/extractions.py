"""Make columns of extracted objects, whose fields and types differ from job to job.

A value that its column's type would change is never converted: the column is then JSON text, each
value as it was sent. Nested objects and lists are JSON text as well. A struct would have to contain
the fields of all objects, and so would not keep which of them an object has, nor lists of mixed
types; and pandas would show it as Python objects that each engine writes to Parquet differently.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.tables import output_records
from llama_batches_nb.tables.schema import EXTRACTIONS

VALUE_FIELD = "value"  # for an extraction that is a list of something else than objects
MAX_INT, MIN_INT = 2**63 - 1, -(2**63)
MAX_EXACT = 2**53  # the largest integer up to which a float holds all
KIND_KEY = b"llama_batches_nb.kind"  # in the metadata of a column

ExtractedRow: TypeAlias = tuple[str, int, Mapping[str, bytes]]
"""A job, the number of the row in it, and the JSON of each field."""


def parse_extraction(job_id: str, result: bytes) -> list[ExtractedRow]:
    """Return the rows of an extract job's result: one object, or each item of a list."""
    description = f"the result of job {job_id}"
    items: list[msgspec.Raw] = [msgspec.Raw(result)]
    if result.startswith(b"["):
        items = output_records.decode(result, list[msgspec.Raw], description)
    return [
        (job_id, number, _parse_fields(bytes(item), description))
        for number, item in enumerate(items)
    ]


def to_arrow(rows: Sequence[ExtractedRow]) -> pa.Table:
    """Return one row per extracted object, with a column for each field of any of them."""
    names = list(dict.fromkeys(name for _, _, fields in rows for name in fields))
    columns = [
        pa.array([job_id for job_id, _, _ in rows], pa.string()),
        pa.array([number for _, number, _ in rows], pa.int64()),
    ]
    fields_of_columns = list(EXTRACTIONS.arrow_schema)
    for column, name in zip(_unique_names(names), names, strict=True):
        array, kind = _to_array([fields.get(name) for _, _, fields in rows])
        columns.append(array)
        fields_of_columns.append(_field(column, array.type, kind))
    return pa.table(columns, schema=pa.schema(fields_of_columns))


def unify(schemas: Iterable[pa.Schema], first: pa.Schema = EXTRACTIONS.arrow_schema) -> pa.Schema:
    """Return a schema with the columns of all; where types differ, the column is JSON text.

    Integers become floats where other rows have floats, if a float can hold all of them. The
    columns of `first` come first.
    """
    fields = {field.name: field for field in first}
    for field in (field for schema in schemas for field in schema):
        known = fields.setdefault(field.name, field)
        kinds = {_kind(known), _kind(field)} - {"missing"}
        if len(kinds) <= 1:
            fields[field.name] = field if _kind(known) == "missing" else known
        elif kinds == {"int64", "double"}:
            fields[field.name] = pa.field(field.name, pa.float64())
        elif kinds == {"int64", "bigint"}:
            fields[field.name] = _field(field.name, pa.int64(), "bigint")
        else:
            fields[field.name] = _field(field.name, pa.string(), "json")
    return pa.schema(fields.values())


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a unified schema."""
    arrays = []
    for field in schema:
        if field.name not in rows.column_names:
            arrays.append(pa.nulls(len(rows), field.type))
            continue
        values, before = rows[field.name], rows.schema.field(field.name)
        if _kind(field) == "json" and _kind(before) == "string":
            present = (
                None if v is None else json.dumps(v, ensure_ascii=False) for v in values.to_pylist()
            )
            values = pa.array(present, pa.string())
        arrays.append(values.cast(field.type))
    return pa.table(arrays, schema=schema)


def concat(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of several tables with a unified schema."""
    first = parts[0].schema
    if not all(part.schema.equals(first, check_metadata=True) for part in parts):
        schema = unify((part.schema for part in parts), first)
        parts = [conform(part, schema) for part in parts]
    return pa.concat_tables(parts)


def _field(name: str, type_: pa.DataType, kind: str) -> pa.Field:
    metadata = {KIND_KEY: kind.encode()} if kind in ("json", "missing", "bigint") else None
    return pa.field(name, type_, metadata=metadata)


def _kind(field: pa.Field) -> str:
    """Return what a column holds: an Arrow type, JSON text, nothing, or integers beyond 2**53."""
    kind: bytes | None = (field.metadata or {}).get(KIND_KEY)
    return kind.decode() if kind else str(field.type)


def _parse_fields(item: bytes, description: str) -> Mapping[str, bytes]:
    if item == b"null":
        return {}
    if not item.startswith(b"{"):
        return {VALUE_FIELD: item}
    fields = output_records.decode(item, dict[str, msgspec.Raw], description)
    return {name: bytes(value) for name, value in fields.items()}


def _unique_names(names: Sequence[str]) -> list[str]:
    """Return column names: a field with the name of one of our columns gets an underscore."""
    taken = {*EXTRACTIONS.names, *names}
    columns = []
    for name in names:
        column = name
        if name in EXTRACTIONS.names:
            while column in taken:
                column += "_"
            taken.add(column)
        columns.append(column)
    return columns


def _to_array(values: Sequence[bytes | None]) -> tuple[pa.Array, str]:
    """Return JSON values as an array of the one type that keeps all of them, else as JSON text.

    Also return the kind of the column, as in `_kind`.
    """
    is_missing = [value is None or value == b"null" for value in values]
    present = [v for v, missing in zip(values, is_missing, strict=True) if v and not missing]
    array = _exact_array(present)
    if array is None:
        array = pa.array([_to_text(value) for value in present], pa.string())
        kind = "json" if present else "missing"
    elif pa.types.is_integer(array.type) and _largest(array) > MAX_EXACT:
        kind = "bigint"
    else:
        kind = str(array.type)
    if len(present) < len(values):
        numbers = iter(range(len(present)))
        places = [None if missing else next(numbers) for missing in is_missing]
        array = array.take(pa.array(places, pa.int64()))
    return array, kind


def _largest(numbers: pa.Array) -> int:
    largest: int = max(abs(n) for n in pc.min_max(numbers).as_py().values())
    return largest


def _exact_array(values: Sequence[bytes]) -> pa.Array | None:
    """Return booleans, texts, integers or floats; None if they are mixed, nested or too large."""
    kinds = {value[:1] for value in values}
    if kinds <= {b"t", b"f"} and kinds:
        return pa.array([value == b"true" for value in values], pa.bool_())
    if kinds == {b'"'}:
        joined = b"[" + b",".join(values) + b"]"
        return pa.array(output_records.decode(joined, list[str], "texts"), pa.string())
    if not kinds or not kinds.isdisjoint({b'"', b"{", b"[", b"t", b"f"}):
        return None
    try:
        numbers = json.loads(b"[" + b",".join(values) + b"]")
    except ValueError:  # Python limits the digits of an integer
        return None
    if all(isinstance(number, int) for number in numbers):
        fits = min(numbers) >= MIN_INT and max(numbers) <= MAX_INT
        return pa.array(numbers, pa.int64()) if fits else None
    texts = [value.decode() for value in values]
    return pa.array(map(float, texts), pa.float64()) if all(map(_is_exact_float, texts)) else None


def _is_exact_float(text: str) -> bool:
    """Return whether the shortest text of the nearest float is the same number."""
    nearest = float(text)
    try:
        return math.isfinite(nearest) and Decimal(repr(nearest)) == Decimal(text)
    except ArithmeticError:  # the exponent is beyond what a Decimal can hold
        return False


def _to_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ResponseError(f"The server sent a text that is not UTF-8: {value!r:.80}.") from error
