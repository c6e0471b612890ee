"""The people's names for things in the history, and how well each fares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import JobType


@dataclass(frozen=True)
class SampleConfiguration:
    """A configuration of the history.

    `failure_rate` of its jobs; `drift` is added to it once the drift has set in. `pace` is in
    seconds per file. Credits are per page.
    """

    id: str | None
    name: str
    job_type: JobType
    tier: str
    failure_rate: float
    pace: float
    parse_credits: int
    extract_credits: int = 0
    drift: float = 0.0


@dataclass(frozen=True)
class SampleDirectory:
    """A directory of the history.

    `size` is its share of the most files at the end, `young` its share of that at the beginning,
    `weight` how often it is run, `favour` how often each configuration runs it. `trouble`
    multiplies failure rates; `unmapped` is the rate of mapping errors.
    """

    name: str
    description: str
    size: float
    young: float
    weight: float
    favour: tuple[float, float, float, float]
    trouble: float
    unmapped: float
    names: tuple[str, ...]


PRESETS = (
    SampleConfiguration(
        id="cfg-PARSE_AGENTIC",
        name="Agentic",
        job_type="parse_v2",
        tier="agentic",
        failure_rate=0.02,
        pace=1.6,
        parse_credits=10,
    ),
    SampleConfiguration(
        id="cfg-PARSE_COST_EFFECTIVE",
        name="Cost effective",
        job_type="parse_v2",
        tier="cost_effective",
        failure_rate=0.03,
        drift=0.11,
        pace=0.6,
        parse_credits=3,
    ),
    SampleConfiguration(
        id=None,
        name="Key facts",
        job_type="extract_v2",
        tier="agentic",
        failure_rate=0.045,
        pace=2.4,
        parse_credits=10,
        extract_credits=15,
    ),
    SampleConfiguration(
        id=None,
        name="Tables and totals",
        job_type="extract_v2",
        tier="cost_effective",
        failure_rate=0.035,
        pace=1.1,
        parse_credits=3,
        extract_credits=5,
    ),
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "due_date": {"type": "string", "format": "date"},
        "total_amount": {"type": "number"},
    },
    "required": ["due_date"],
}

LONG_NAME = (
    "Mietvertrag {town}, Straße des 17. Juni {n}, Anlage 3: unterschriebene und endgültige "
    "Fassung vom {d}. {m}. {y} (Kopie der Kopie).pdf"
)

# Placeholders: {n} number in the directory, {id} a number, {y} year, {m} month, {d} day,
# {firm}, {town}
SHELVES = (
    SampleDirectory(
        name="Invoices 2026",
        description="Incoming invoices, as they arrive",
        size=1.0,
        young=0.1,
        weight=0.10,
        favour=(0.25, 0.45, 0.1, 0.2),
        trouble=0.8,
        unmapped=0.004,
        names=(
            "INV-{y}-{n:05d}.pdf",
            "{firm} invoice {id}.pdf",
            "Rechnung_{id}_{firm}.pdf",
            "scan{n:04d}.tiff",
        ),
    ),
    SampleDirectory(
        name="Lease contracts",
        description="Signed leases with their annexes",
        size=0.42,
        young=0.3,
        weight=0.17,
        favour=(0.4, 0.25, 0.35, 0.0),
        trouble=1.1,
        unmapped=0.002,
        names=(
            "lease_{n:04d}.pdf",
            "Lease {town} {id} (signed).pdf",
            LONG_NAME,
        ),
    ),
    SampleDirectory(
        name="Medical intake forms",
        description="Scanned forms, much of it handwriting",
        size=0.30,
        young=0.4,
        weight=0.18,
        favour=(0.35, 0.35, 0.3, 0.0),
        trouble=1.7,
        unmapped=0.012,
        names=(
            "intake-{y}-{m:02d}-{d:02d}-{n:05d}.pdf",
            "Formulario de admisión {n} {town}.pdf",
            "intake form {n}.png",
        ),
    ),
    SampleDirectory(
        name="Annual reports",
        description="Listed companies, since 2015",
        size=0.17,
        young=0.6,
        weight=0.17,
        favour=(0.3, 0.2, 0.1, 0.4),
        trouble=1.3,
        unmapped=0.003,
        names=(
            "{firm} annual report {y} v{n}.pdf",
            "{firm}_10-K_{y}_{id}.htm",
            "年次報告書 {y} {n}.pdf",
        ),
    ),
    SampleDirectory(
        name="Delivery notes",
        description="Photographs from the loading dock",
        size=0.24,
        young=0.1,
        weight=0.16,
        favour=(0.15, 0.6, 0.0, 0.25),
        trouble=1.4,
        unmapped=0.02,
        names=(
            "IMG_{y}{m:02d}{d:02d}_{id:06d}.jpg",
            "delivery note {n}.heic",
            "Lieferschein {id}.pdf",
        ),
    ),
    SampleDirectory(
        name="Research papers",
        description="The reading group's shelf",
        size=0.09,
        young=0.2,
        weight=0.13,
        favour=(0.5, 0.3, 0.0, 0.2),
        trouble=0.5,
        unmapped=0.001,
        names=("arXiv {y}.{id}.pdf", "Müller et al. {y} supplement {n}.docx"),
    ),
    SampleDirectory(
        name="Insurance claims",
        description="Claims of the week, with photographs",
        size=0.035,
        young=0.0,
        weight=0.09,
        favour=(0.3, 0.3, 0.2, 0.2),
        trouble=0.9,
        unmapped=0.008,
        names=("Claim CLM-{id}.pdf", "Gutachten {firm} Nr. {n}.pdf", "claim {n} photos.zip"),
    ),
)
FIRMS = (
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
TOWNS = ("Århus", "Bergen", "Coimbra", "Dresden", "Évora", "Fürth", "Gdańsk", "Leeds", "Zürich")
