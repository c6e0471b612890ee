"""The API's words, in the order in which a person would list them."""

from __future__ import annotations

from typing import Literal, get_args

BatchStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
JobStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
JobType = Literal["parse_v2", "extract_v2"]
DirectoryType = Literal["user", "ephemeral", "index"]
Outcome = Literal[
    "succeeded",
    "mapped",
    "mapping_error",
    "job_failed",
    "job_cancelled",
    "job_running",
    "job_unknown",
    "no_job",
]

BATCH_STATUSES: tuple[str, ...] = get_args(BatchStatus)
JOB_STATUSES: tuple[str, ...] = get_args(JobStatus)
JOB_TYPES: tuple[str, ...] = get_args(JobType)
DIRECTORY_TYPES: tuple[str, ...] = get_args(DirectoryType)
OUTCOMES: tuple[str, ...] = get_args(Outcome)

TERMINAL_STATUSES: frozenset[str] = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""The statuses that no batch or job leaves again; any other word means that it goes on."""

FAILURE_OUTCOMES: tuple[Outcome, ...] = ("mapping_error", "job_failed")
"""The outcomes of a file that count as its failure."""
