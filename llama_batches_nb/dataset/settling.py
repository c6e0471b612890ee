"""Decide which batches are requested again.

That a batch has ended is not final: its results, job references, jobs, credits and outputs may
appear later. They are requested until `PATIENCE` after the sync that first saw that the batch and
its jobs had ended. The same time passes before a batch that is not found is given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.state import PendingBatch
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.concurrent import SkippedItems
from llama_batches_nb.messages import escape_control_chars, format_count, format_list, warn

PATIENCE = timedelta(hours=24)
MAX_FAILED_REQUESTS = 8  # requests; after more, the sync stops

Lack = tuple[str, str]
"""What is missing: the noun, batch or job, and the words of a warning; none if it is usual."""
UNKNOWN: Lack = ("batch", "unknown to the API")
WITHOUT_RESULTS: Lack = ("batch", "without results or jobs")
USUAL: Lack = ("batch", "")


class FailedRequests(SkippedItems[str]):
    """Failed requests of a sync, which the next sync repeats."""

    def __call__(self, item: str, error: BatchesError) -> bool:
        """Record an error, and return whether the sync continues without the item."""
        return super().__call__(item, error) and len(self.errors) <= MAX_FAILED_REQUESTS

    def raise_first(self) -> None:
        """Raise the first error, if any, with a note that names all failed requests."""
        for first in self.errors.values():
            if len(self.errors) > 1:
                names = escape_control_chars(", ".join(self.errors))
                first.add_note(f"{len(self.errors)} requests failed, for {names}.")
            raise first


@dataclass
class Finding:
    """What a sync has found about a batch and its jobs."""

    batch_id: str
    day: str
    is_answered: bool = False  # the API has returned the batch
    is_open: bool = False
    fetch: bool = False  # the batch again
    jobs: bool = False  # some again
    will_change: bool = False  # the batch or a job has not ended
    has_failed: bool = False  # a request
    lacks: Counter[Lack] = field(default_factory=Counter)


def missing_results(status: str, batch: pa.Table, results: pa.Table, now: datetime) -> Lack | None:
    """Return what a batch that has ended lacks, if that may still come."""
    is_null = pc.and_(results["job_id"].is_null(), results["error_message"].is_null())
    if len(results) and not pc.any(is_null).as_py():
        return None
    if status == "COMPLETED":
        return WITHOUT_RESULTS
    # A batch that failed or was cancelled may never have them: ask again only soon after its end.
    (ended,) = pc.coalesce(batch["updated_at"], batch["created_at"]).to_pylist()
    return USUAL if ended is not None and now - ended < PATIENCE else None


class Settling:
    """Update the list of pending batches by what a sync has found about them."""

    def __init__(self, now: datetime, pending: dict[str, PendingBatch]) -> None:
        self.pending = pending
        self._now = now
        self._findings: dict[str, Finding] = {}
        self._given_up: dict[Lack, Counter[str]] = {}

    def finding(self, key: str, batch_id: str, day: str) -> Finding:
        """Return what the sync has found about a batch of the days that it is working on."""
        if key not in self._findings:
            self._findings[key] = Finding(batch_id, day)
        return self._findings[key]

    def settle(self, days: Container[str | None], *, jobs: bool, complete: bool) -> None:
        """Decide about the batches of days whose files were replaced; forget those of others.

        With `jobs`, jobs were to be requested, and with `complete`, all requests were sent.
        """
        for key, finding in self._findings.items():
            if finding.day in days:
                if jobs:
                    finding.jobs |= not complete
                    finding.has_failed |= not complete
                self._settle(key, finding, jobs)
        self._findings = {}

    def _settle(self, key: str, finding: Finding, jobs: bool) -> None:
        entry = self.pending.get(key) or PendingBatch(
            batch_id=finding.batch_id, day=finding.day, fetch=False, open=False
        )
        self.pending[key] = entry
        if finding.is_answered:
            if entry.open and not finding.is_open:  # this sync is the first that saw its end
                entry.since = None
            entry.open, entry.fetch = finding.is_open, finding.fetch
        if jobs:
            entry.jobs = finding.jobs
        if finding.will_change:
            entry.since = None
        elif finding.lacks and not finding.has_failed:
            entry.since = entry.since or self._now
            if self._now - entry.since >= PATIENCE:
                del self.pending[key]
                for lack, n in finding.lacks.items():
                    self._given_up.setdefault(lack, Counter())[entry.batch_id] += n
        elif not (entry.fetch or entry.jobs):
            del self.pending[key]

    def warn(self) -> None:
        """Warn of what is given up."""
        hours = PATIENCE // timedelta(hours=1)
        for (noun, reason), counts in self._given_up.items():
            if reason:
                warn(
                    f"{format_count(counts.total(), noun)} still {reason} after {hours} hours "
                    f"(batch {format_list(counts)}): not requested again; the rows stay."
                )
