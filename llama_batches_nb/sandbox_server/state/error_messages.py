"""Error messages of failed files, with numbers and names as in messages of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from llama_batches_nb.sandbox_server.state.models import JobType

# Placeholders: {name} file, {page} of {pages}, {few} 2-9, {some} 10-99, {many} 1000-99999,
# {code} hexadecimal digits, {file_id}. The first templates of a tuple occur most often.
DAMAGED_FILE_ERROR = "PDF is damaged: no cross-reference table at offset {many} of '{name}'"
PARSE_ERRORS = (
    "Page {page} of '{name}' exceeds {some} megapixels",
    "Timed out after {some} s on page {page} of {pages}",
    "'{name}' is protected by a password",
    DAMAGED_FILE_ERROR,
    "Could not decode image object {many} on page {page}: invalid marker 0x{code}",
    "Table on page {page} has {some} columns, more than the limit of 64",
)
PARSE_JOB_ERROR = "Backing parse job of '{name}' failed on page {page}"
EXTRACT_ERRORS = (
    "Schema validation failed: 'due_date' is a required property (chunk {few} of {some})",
    "Field 'total_amount' is not a number: '{few}.{many},O0'",
    "Context of {many}00 tokens exceeds the limit of 200000 for '{name}'",
    PARSE_JOB_ERROR,
    "Timed out after {some} s on page {page} of {pages}",
)
DRIFT_ERROR = (
    "Layout model 'lm-2.3.1' returned no blocks for page {page} of '{name}' (attempt {few})"
)
MAPPING_ERRORS = (
    "File {file_id} could not be read from storage: connection reset after {many} bytes",
    "'{name}' has {some}00 pages, more than the limit of 750",
    "No job could be created within {some} s: queue parse-worker-{few} is full",
)
UNSUPPORTED_FILE_ERROR = "File type of '{name}' is not supported"


def format_message(template: str, rng: Random, name: str, pages: int, file_id: str) -> str:
    """Fill the placeholders of a template."""
    return template.format(
        name=name,
        pages=pages,
        page=rng.randint(1, pages),
        few=rng.randint(2, 9),
        some=rng.randint(10, 99),
        many=rng.randint(1_000, 99_999),
        code=f"{rng.getrandbits(16):04x}",
        file_id=file_id,
    )


def draw_job_error(job_type: JobType, rng: Random) -> str:
    """Draw the template of a job error."""
    templates = PARSE_ERRORS if job_type == "parse_v2" else EXTRACT_ERRORS
    return templates[int(len(templates) * rng.random() ** 1.6)]


def draw_mapping_error(rng: Random) -> str:
    """Draw the template of a mapping error."""
    return MAPPING_ERRORS[int(len(MAPPING_ERRORS) * rng.random() ** 1.6)]
