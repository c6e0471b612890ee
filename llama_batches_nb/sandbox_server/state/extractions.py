"""Extracted data that fits the schema of a configuration and agrees with the document's pages."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from llama_batches_nb.sandbox_server.state.documents import Document
from llama_batches_nb.sandbox_server.state.sample_data import COUNTRIES
from llama_batches_nb.sandbox_server.state.simulation import mix64

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.documents import Line
    from llama_batches_nb.sandbox_server.state.models import Configuration
    from llama_batches_nb.sandbox_server.state.simulation import Job

Json = dict[str, Any]

MISSING_SHARE = 0.2  # of optional fields
NULL_SHARE = 0.3  # of fields that may be null
MAX_ENTRIES = 4  # of a list that the document does not determine
MAX_DEPTH = 12  # of a schema, which may refer to itself


def extract(job: Job, configuration: Configuration) -> Json | list[Json]:
    """Return the result of a COMPLETED extract job: an object, or one per page or table row."""
    document = Document(job.file)
    schema = configuration.parameters.get("data_schema") or {}
    target = configuration.parameters.get("extraction_target") or "per_doc"
    extractor = _Extractor(schema, document, Random(mix64(*job.file.stored, state=17)))
    if target == "per_page":
        pages = range(1, document.page_count + 1)
        return [extractor.object(schema, {"page": n, "page_number": n}) for n in pages]
    if target == "per_table_row":
        return [extractor.object(schema, line_facts(line)) for line in document.lines]
    return extractor.object(schema, {})


def document_facts(document: Document) -> Json:
    """Return what a document states, by names that schemas often use."""
    facts: Json = {
        "title": document.title,
        "language": document.language.code,
        "currency": document.currency,
        "date": document.date.isoformat(),
        "due_date": document.due_date.isoformat(),
        "paid": document.is_paid,
        "pages": document.page_count,
        "town": document.town,
        "country": COUNTRIES[document.town],
    }
    facts |= dict.fromkeys(("vendor", "supplier", "company", "name"), document.company)
    facts |= dict.fromkeys(("number", "invoice_number"), document.number)
    facts |= dict.fromkeys(("total", "total_amount"), document.total / 100)
    return facts


def line_facts(line: Line) -> Json:
    """Return what a line of an invoice states."""
    return {
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": line.unit_price / 100,
        "amount": line.amount / 100,
    }


class _Extractor:
    """Fill in schemas for one document."""

    def __init__(self, root: Json, document: Document, rng: Random) -> None:
        self._root, self._document, self._rng = root, document, rng
        self._facts = document_facts(document)

    def object(self, schema: Json, facts: Json, depth: int = 0) -> Json:
        """Return an object with the properties of a schema; optional ones may be missing."""
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        known = self._facts | facts
        return {
            name: self._value(field, name, known, depth + 1)
            for name, field in properties.items()
            if isinstance(field, dict) and (name in required or self._rng.random() >= MISSING_SHARE)
        }

    def _value(self, field: Json, name: str, facts: Json, depth: int) -> Any:
        schema = self._resolved(field)
        kinds = schema.get("type") or ("object" if "properties" in schema else "string")
        kind = (
            next((each for each in kinds if each != "null"), "null")
            if isinstance(kinds, list)
            else kinds
        )
        is_nullable = isinstance(kinds, list) and "null" in kinds
        if depth > MAX_DEPTH or kind == "null":
            return None
        if is_nullable and self._rng.random() < NULL_SHARE:
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        if kind == "object":
            return self.object(schema, facts, depth)
        if kind == "array":
            return self._list(schema, name, facts, depth)
        fact = facts.get(name)
        return fact if _fits(fact, kind) else self._scalar(schema, kind)

    def _resolved(self, field: Json) -> Json:
        """Follow references, and return the first alternative that is not null."""
        for _ in range(MAX_DEPTH):
            options = field.get("anyOf") or field.get("oneOf") or field.get("allOf")
            if "$ref" in field:
                key = str(field["$ref"]).rpartition("/")[2]
                definitions = self._root.get("$defs") or self._root.get("definitions") or {}
                field = definitions.get(key) or {}
            elif options:
                field = next((each for each in options if each.get("type") != "null"), {})
            else:
                break
        return field

    def _list(self, schema: Json, name: str, facts: Json, depth: int) -> list[Any]:
        entry = schema.get("items") or {"type": "string"}
        if "item" in name or "line" in name or "row" in name:
            lines = [facts | line_facts(line) for line in self._document.lines]
        else:
            lines = [facts] * self._rng.randint(0, MAX_ENTRIES)
        return [self._value(entry, name, each, depth + 1) for each in lines]

    def _scalar(self, schema: Json, kind: str) -> Any:
        rng = self._rng
        low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
        if kind == "integer":
            return rng.randint(int(low), max(int(high), int(low)))
        if kind == "number":
            return round(rng.uniform(low, max(high, low)), 2)
        if kind == "boolean":
            return rng.random() < 0.5
        day = self._document.date + timedelta(days=rng.randint(0, 90))
        if schema.get("format") == "date":
            return day.isoformat()
        if schema.get("format") == "date-time":
            return f"{day.isoformat()}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:00Z"
        return rng.choice((*self._document.language.goods, *self._document.language.sections))


def _fits(value: object, kind: str) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    return (
        (kind == "string" and isinstance(value, str))
        or (kind in ("integer", "number") and isinstance(value, int))
        or (kind == "number" and isinstance(value, float))
    )
