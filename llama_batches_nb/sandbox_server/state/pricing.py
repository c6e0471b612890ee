"""What jobs cost: credits per page by tier, and when billing records them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state.clock import SECOND

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.options import Options
    from llama_batches_nb.sandbox_server.state.models import Configuration
    from llama_batches_nb.sandbox_server.state.simulation import Job

PARSE_CREDITS = {"fast": 1, "cost_effective": 3, "agentic": 10, "agentic_plus": 45}  # per page
EXTRACT_CREDITS = {"cost_effective": 5, "agentic": 15, "turbo": 35, "agentic_plus": 50}


@dataclass(slots=True, frozen=True)
class Credits:
    """Credits of a job. `parse` of an extract job is the cost of the parse job behind it."""

    parse: int
    extract: int


def parse_tier(configuration: Configuration) -> str:
    """Return the tier with which a configuration parses documents."""
    tier = configuration.parameters.get("parse_tier") or configuration.tier
    return tier if tier in PARSE_CREDITS else "agentic"


def credits_of(job: Job, parse_job: Job, configuration: Configuration, options: Options) -> Credits:
    """Return the credits of a job that has ended. A parse job is its own parse job."""
    return Credits(
        PARSE_CREDITS[parse_tier(configuration)] * _billed_pages(parse_job, options),
        EXTRACT_CREDITS.get(configuration.tier, 15) * billed_extract_pages(job, parse_job, options),
    )


def billed_extract_pages(job: Job, parse_job: Job, options: Options) -> int:
    """Return the pages that an extract job bills. Nothing is extracted if parsing fails."""
    if job.type == "parse_v2" or parse_job.outcome != "succeeded":
        return 0
    return _billed_pages(job, options)


def _billed_pages(job: Job, options: Options) -> int:
    if job.outcome == "cancelled" or (job.outcome != "succeeded" and not options.bill_failed_jobs):
        return 0
    return job.completed_pages()


def billing_time(job: Job, options: Options) -> int:
    """Return when billing records the credits of a job."""
    delay = int(options.billing_delay * SECOND)
    return job.ended + (delay * (1 + (job.seed >> 44 & 0xFF)) >> 8)
