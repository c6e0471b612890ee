"""What the sandbox says when a file fails, with the numbers and names that real messages carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from llama_batches_nb.sandbox_server.state.models import JobType

# Placeholders: {name} file, {page} of {pages}, {few} 2-9, {some} 10-99, {many} 1000-99999,
# {code} hexadecimal digits, {file_id}
DAMAGED = "PDF is damaged: no cross-reference table at offset {many} of '{name}'"
PARSE = (
    "Page {page} of '{name}' exceeds {some} megapixels",
    "Timed out after {some} s on page {page} of {pages}",
    "'{name}' is protected by a password",
    DAMAGED,
    "Could not decode image object {many} on page {page}: invalid marker 0x{code}",
    "Table on page {page} has {some} columns, more than the limit of 64",
)
EXTRACT = (
    "Schema validation failed: 'due_date' is a required property (chunk {few} of {some})",
    "Field 'total_amount' is not a number: '{few}.{many},O0'",
    "Context of {many}00 tokens exceeds the limit of 200000 for '{name}'",
    "Backing parse job of '{name}' failed on page {page}",
    "Timed out after {some} s on page {page} of {pages}",
)
DRIFT = "Layout model 'lm-2.3.1' returned no blocks for page {page} of '{name}' (attempt {few})"
MAPPING = (
    "File {file_id} could not be read from storage: connection reset after {many} bytes",
    "'{name}' has {some}00 pages, more than the limit of 750",
    "No job could be created within {some} s: queue parse-worker-{few} is full",
)
UNSUPPORTED = "File type of '{name}' is not supported"


def fill(template: str, draw: Random, name: str, pages: int, file_id: str) -> str:
    """Fill a message's blanks."""
    return template.format(
        name=name,
        pages=pages,
        page=draw.randint(1, pages),
        few=draw.randint(2, 9),
        some=draw.randint(10, 99),
        many=draw.randint(1_000, 99_999),
        code=f"{draw.getrandbits(16):04x}",
        file_id=file_id,
    )


def job_failure(job_type: JobType, draw: Random) -> str:
    """Return the template of a usual job failure; the first of a list are the commonest."""
    templates = PARSE if job_type == "parse_v2" else EXTRACT
    return templates[int(len(templates) * draw.random() ** 1.6)]


def mapping_failure(draw: Random) -> str:
    """Return the template of a usual mapping failure."""
    return MAPPING[int(len(MAPPING) * draw.random() ** 1.6)]
