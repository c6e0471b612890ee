"""Known values of the API's status and type fields, in display order."""

from __future__ import annotations

from typing import get_args

from llama_batches_nb.types import BatchStatus, DirectoryType, JobStatus, JobType, Outcome

BATCH_STATUSES: tuple[str, ...] = get_args(BatchStatus)
JOB_STATUSES: tuple[str, ...] = get_args(JobStatus)
JOB_TYPES: tuple[str, ...] = get_args(JobType)
DIRECTORY_TYPES: tuple[str, ...] = get_args(DirectoryType)
OUTCOMES: tuple[str, ...] = get_args(Outcome)

TERMINAL_STATUSES: frozenset[str] = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""Final statuses of batches and jobs; one with an unknown status may still run."""

RUNNING_STATUSES: tuple[str, ...] = ("PENDING", "THROTTLED", "RUNNING")
"""Statuses of batches and jobs that are known not to have ended."""

FAILURE_OUTCOMES: tuple[Outcome, ...] = ("mapping_error", "job_failed")
"""Outcomes that count as failures."""
