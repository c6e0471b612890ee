"""Choose the jobs whose output is fetched, and count those that are left out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from llama_batches_nb.errors import NotFoundError
from llama_batches_nb.messages import agree, format_count, warn
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES
from llama_batches_nb.types import JobIds, JobType

FAILED_STATUSES = TERMINAL_STATUSES - {"COMPLETED"}
FAILED_OUTCOMES = frozenset({"mapping_error", "no_job", "job_failed", "job_cancelled"})

WITHOUT_JOB = "without a job"
WITHOUT_VALID_ID = "whose id is no valid one"


class LeftOutJobs:
    """A count of the jobs that have no output, by the reason. Workers add to it."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, reason: str, n: int = 1) -> None:
        """Count `n` jobs that are left out for a reason, such as their status."""
        if n:
            with self._lock:
                self.reasons[reason] += n

    def warn(self, hint: str = "") -> None:
        """Warn of the jobs that are left out, if any."""
        if not self.reasons:
            return
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.reasons.most_common())
        n = self.reasons.total()
        subject = f"{format_count(n, 'job')} {agree(n, 'is')}"
        warn(f"{subject} left out: {reasons}. {hint}".rstrip())


def select_jobs(jobs: JobIds, job_type: JobType, left_out: LeftOutJobs) -> list[str]:
    """Return the ids of the jobs that may have an output, each once.

    A frame may show that some do not have one, by the columns ``job_type``, ``status`` (as in a
    frame of jobs) or ``outcome``: these jobs are counted in `left_out`. A job that was running is
    selected, since it may have ended.
    """
    frame = jobs_frame(jobs)
    if frame is None:
        return arguments.parse_ids("job_id", jobs)
    has_job = frame["job_id"].notna() & (frame["job_id"] != "")
    left_out.add(WITHOUT_JOB, int((~has_job).sum()))
    rows = frame[has_job].drop_duplicates("job_id", keep="last").to_dict("records")
    reasons = [reason_without_output(row, job_type) for row in rows]
    for reason in reasons:
        if reason is not None:
            left_out.add(reason)
    ids = [row["job_id"] for row, reason in zip(rows, reasons, strict=True) if reason is None]
    usable = [id_ for id_ in ids if not isinstance(id_, str) or arguments.is_id(id_)]
    left_out.add(WITHOUT_VALID_ID, len(ids) - len(usable))
    return arguments.parse_ids("job_id", usable)


def jobs_frame(jobs: JobIds) -> pd.DataFrame | None:
    """Return the columns of a frame that matter for the choice of jobs; None for ids."""
    value: Any = jobs
    if isinstance(value, pd.DataFrame) and "job_id" not in value and "job_id" in value.index.names:
        value = value.index.to_frame(index=False).join(value.reset_index(drop=True))
    wrapped = engines.try_wrap(value)
    if wrapped is None:
        return None
    engines.check_columns(wrapped, "job_id")
    optional = ("job_type", "status", "outcome")
    names = ["job_id", *(n for n in optional if n in engines.column_names(wrapped))]
    return engines.select_to_pandas(wrapped, *names).astype(object)


def reason_without_output(row: Mapping[Any, Any], job_type: JobType | None) -> str | None:
    """Return why the job of a row has no output, or None if it may have one."""
    known_type = row.get("job_type")
    if job_type is not None and isinstance(known_type, str) and known_type != job_type:
        return f"of type {known_type}"
    if row.get("status") in FAILED_STATUSES:
        return str(row["status"])
    if row.get("outcome") in FAILED_OUTCOMES:
        return str(row["outcome"])
    return None


def expired_error(job_id: str, error: NotFoundError) -> NotFoundError:
    """Return the error for a job that the service does not know, or no longer."""
    failure = NotFoundError(
        f"There is no job {job_id}, or its output has expired: the service deletes outputs after "
        f"48 hours. Check the id and its project, or process the file again. ({error})",
        status_code=error.status_code,
    )
    failure.__cause__ = error
    return failure
