"""The API's words, in the order in which a person would list them."""

from __future__ import annotations

from typing import get_args

from llama_batches_nb.types import BatchStatus, DirectoryType, JobStatus, JobType, Outcome

BATCH_STATUSES: tuple[str, ...] = get_args(BatchStatus)
JOB_STATUSES: tuple[str, ...] = get_args(JobStatus)
JOB_TYPES: tuple[str, ...] = get_args(JobType)
DIRECTORY_TYPES: tuple[str, ...] = get_args(DirectoryType)
OUTCOMES: tuple[str, ...] = get_args(Outcome)

TERMINAL_STATUSES: frozenset[str] = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""The statuses that no batch or job leaves again; any other word means that it goes on."""

FAILURE_OUTCOMES: tuple[Outcome, ...] = ("mapping_error", "job_failed")
"""The outcomes of a file that count as its failure."""
