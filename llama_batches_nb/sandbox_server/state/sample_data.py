"""The directories and configurations of the sample data, and how often their files fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import JobType


@dataclass(frozen=True)
class SampleConfiguration:
    """A configuration of the sample data.

    `failure_rate` is the share of its jobs that fail; `drift` is added to it after the drift
    starts. Without an `id` it is a saved configuration with a generated id.
    """

    id: str | None
    name: str
    job_type: JobType
    tier: str
    failure_rate: float
    seconds_per_file: float
    drift: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleDirectory:
    """A directory of the sample data.

    `max_size_share` is its number of files at the end, as a share of the largest directory;
    `initial_share` is its number of files at the beginning, as a share of those at the end.
    `batch_weight` is how often it has a batch, and `configuration_weights` how often with each
    configuration. `failure_factor` multiplies the failure rates of the configurations. Its parse
    jobs have the `department` in their metadata.
    """

    name: str
    description: str
    max_size_share: float
    initial_share: float
    batch_weight: float
    configuration_weights: tuple[float, float, float, float]
    failure_factor: float
    mapping_error_rate: float
    name_templates: tuple[str, ...]
    department: str | None = None


KEY_FACTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "vendor": {"type": "string"},
        "due_date": {"type": "string", "format": "date"},
        "total_amount": {"type": "number"},
        "currency": {"type": "string"},
        "paid": {"type": "boolean"},
        "pages": {"type": "integer"},
        "address": {
            "type": "object",
            "properties": {"town": {"type": "string"}, "country": {"type": ["string", "null"]}},
            "required": ["town"],
        },
        "line_items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "quantity": {"type": "integer"},
                    "unit_price": {"type": "number"},
                    "amount": {"type": "number"},
                },
                "required": ["description", "amount"],
            },
        },
        "keywords": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["title", "vendor", "due_date", "total_amount"],
}
TABLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "description": {"type": "string"},
        "quantity": {"type": "integer"},
        "unit_price": {"type": "number"},
        "total_amount": {"type": "number"},
        "amount": {"type": "number"},
        "discount": {"type": "number", "minimum": 0, "maximum": 0.3},
        "due_date": {"type": "string", "format": "date"},
    },
    "required": ["description", "amount", "due_date"],
}

SAMPLE_CONFIGURATIONS = (
    SampleConfiguration(
        id="cfg-PARSE_AGENTIC",
        name="Agentic",
        job_type="parse_v2",
        tier="agentic",
        failure_rate=0.02,
        seconds_per_file=1.6,
        parameters={"version": "latest", "output_options": {"images_to_save": ["embedded"]}},
    ),
    SampleConfiguration(
        id="cfg-PARSE_COST_EFFECTIVE",
        name="Cost effective",
        job_type="parse_v2",
        tier="cost_effective",
        failure_rate=0.03,
        drift=0.11,
        seconds_per_file=0.6,
        parameters={"version": "latest"},
    ),
    SampleConfiguration(
        id=None,
        name="Key facts",
        job_type="extract_v2",
        tier="agentic",
        failure_rate=0.045,
        seconds_per_file=2.4,
        parameters={"data_schema": KEY_FACTS_SCHEMA},
    ),
    SampleConfiguration(
        id=None,
        name="Tables and totals",
        job_type="extract_v2",
        tier="cost_effective",
        failure_rate=0.035,
        seconds_per_file=1.1,
        parameters={"data_schema": TABLE_SCHEMA, "extraction_target": "per_table_row"},
    ),
)
PARSE_VERSIONS = {
    "fast": ["2026-06-15", "2025-12-11"],
    "cost_effective": ["2026-09-28", "2026-08-19", "2026-06-26", "2026-03-25"],
    "agentic": ["2026-10-16", "2026-09-28", "2026-06-11", "2025-12-11"],
    "agentic_plus": ["2026-09-28", "2026-08-19", "2026-06-11", "2025-12-11"],
}
"""Versions of each tier, newest first."""


def sample_configuration(index: int, job_type: JobType) -> SampleConfiguration:
    """Return a sample configuration or, for one that a user made, the first of its job type."""
    if index < len(SAMPLE_CONFIGURATIONS):
        return SAMPLE_CONFIGURATIONS[index]
    return next(each for each in SAMPLE_CONFIGURATIONS if each.job_type == job_type)


LONG_NAME_TEMPLATE = (
    "Mietvertrag {town}, Straße des 17. Juni {n}, Anlage 3: unterschriebene und endgültige "
    "Fassung vom {d}. {m}. {y} (Kopie der Kopie).pdf"
)

# Placeholders: {n} position in the directory, {id} a random number, {y} year, {m} month, {d} day,
# {company}, {town}
SAMPLE_DIRECTORIES = (
    SampleDirectory(
        name="Invoices 2026",
        description="Incoming invoices, as they arrive",
        max_size_share=1.0,
        initial_share=0.1,
        batch_weight=0.10,
        configuration_weights=(0.25, 0.45, 0.1, 0.2),
        failure_factor=0.8,
        mapping_error_rate=0.004,
        name_templates=(
            "INV-{y}-{n:05d}.pdf",
            "{company} invoice {id}.pdf",
            "Rechnung_{id}_{company}.pdf",
            "scan{n:04d}.tiff",
        ),
        department="accounting",
    ),
    SampleDirectory(
        name="Lease contracts",
        description="Signed leases with their annexes",
        max_size_share=0.42,
        initial_share=0.3,
        batch_weight=0.17,
        configuration_weights=(0.4, 0.25, 0.35, 0.0),
        failure_factor=1.1,
        mapping_error_rate=0.002,
        name_templates=(
            "lease_{n:04d}.pdf",
            "Lease {town} {id} (signed).pdf",
            LONG_NAME_TEMPLATE,
        ),
    ),
    SampleDirectory(
        name="Medical intake forms",
        description="Scanned forms, much of it handwriting",
        max_size_share=0.30,
        initial_share=0.4,
        batch_weight=0.18,
        configuration_weights=(0.35, 0.35, 0.3, 0.0),
        failure_factor=1.7,
        mapping_error_rate=0.012,
        name_templates=(
            "intake-{y}-{m:02d}-{d:02d}-{n:05d}.pdf",
            "Formulario de admisión {n} {town}.pdf",
            "intake form {n}.png",
        ),
    ),
    SampleDirectory(
        name="Annual reports",
        description="Listed companies, since 2015",
        max_size_share=0.17,
        initial_share=0.6,
        batch_weight=0.17,
        configuration_weights=(0.3, 0.2, 0.1, 0.4),
        failure_factor=1.3,
        mapping_error_rate=0.003,
        name_templates=(
            "{company} annual report {y} v{n}.pdf",
            "{company}_10-K_{y}_{id}.htm",
            "年次報告書 {y} {n}.pdf",
        ),
    ),
    SampleDirectory(
        name="Delivery notes",
        description="Photographs from the loading dock",
        max_size_share=0.24,
        initial_share=0.1,
        batch_weight=0.16,
        configuration_weights=(0.15, 0.6, 0.0, 0.25),
        failure_factor=1.4,
        mapping_error_rate=0.02,
        name_templates=(
            "IMG_{y}{m:02d}{d:02d}_{id:06d}.jpg",
            "delivery note {n}.heic",
            "Lieferschein {id}.pdf",
        ),
    ),
    SampleDirectory(
        name="Research papers",
        description="Papers of the reading group",
        max_size_share=0.09,
        initial_share=0.2,
        batch_weight=0.13,
        configuration_weights=(0.5, 0.3, 0.0, 0.2),
        failure_factor=0.5,
        mapping_error_rate=0.001,
        name_templates=("arXiv {y}.{id}.pdf", "Müller et al. {y} supplement {n}.docx"),
    ),
    SampleDirectory(
        name="Insurance claims",
        description="Claims of the week, with photographs",
        max_size_share=0.035,
        initial_share=0.0,
        batch_weight=0.075,
        configuration_weights=(0.3, 0.3, 0.2, 0.2),
        failure_factor=0.9,
        mapping_error_rate=0.008,
        name_templates=(
            "Claim CLM-{id}.pdf",
            "Gutachten {company} Nr. {n}.pdf",
            "claim {n} photos.zip",
        ),
        department="claims",
    ),
    SampleDirectory(
        name="Annual reports",
        description="Unlisted companies; names of directories need not be unique",
        max_size_share=0.035,
        initial_share=0.0,
        batch_weight=0.015,
        configuration_weights=(0.3, 0.3, 0.2, 0.2),
        failure_factor=0.9,
        mapping_error_rate=0.008,
        name_templates=("{company} report {y} v{n}.pdf", "Geschäftsbericht {company} {id}.pdf"),
    ),
)
COMPANIES = (
    "Acme Tools",
    "Brouwer & Zonen",
    "Contoso",
    "Dvořák Papír",
    "Éclair Énergie",
    "Fjord Logistikk",
    "Globex",
    "Hernández Hnos",
    "Initech",
    "Jökull hf",
    "Søstrene Lund",
    "Žižka Textil",
)
COUNTRIES = {
    "Århus": "Danmark",
    "Bergen": "Norge",
    "Coimbra": "Portugal",
    "Dresden": "Deutschland",
    "Évora": "Portugal",
    "Fürth": "Deutschland",
    "Gdańsk": "Polska",
    "Leeds": "United Kingdom",
    "Zürich": "Schweiz",
}
TOWNS = tuple(COUNTRIES)
