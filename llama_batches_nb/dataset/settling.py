"""Decide which batches are requested again.

That a batch has ended is not final: its results, job references, jobs, credits and outputs may
appear later. They are requested until `PATIENCE` after the sync that first saw that the batch and
its jobs had ended. The same time passes before a batch that is not found is given up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.day_work import DayWork
from llama_batches_nb.dataset.state import PendingBatch
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.concurrent import SkippedItems
from llama_batches_nb.messages import escape_control_chars, format_count, format_list, warn
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

if TYPE_CHECKING:
    from llama_batches_nb.dataset.job_refresh import JobRefresh

PATIENCE = timedelta(hours=24)
MAX_FAILED_REQUESTS = 8  # requests; after more, the sync stops


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


@dataclass(frozen=True)
class Answer:
    """What the API answered about a batch."""

    gone: bool = False
    has_ended: bool = False
    is_kept: bool = True
    lacks_results: bool = False  # or job references
    is_lack_unusual: bool = False  # a batch that failed or was cancelled may never have them

    @classmethod
    def of(
        cls, status: str, batch: pa.Table, results: pa.Table, is_kept: bool, now: datetime
    ) -> Self:
        """Return the answer that a batch and its results are."""
        lacks = pc.and_(results["job_id"].is_null(), results["error_message"].is_null())
        is_incomplete = len(results) == 0 or bool(pc.any(lacks).as_py())
        if status != "COMPLETED":  # ask again only soon after its end
            (ended,) = pc.coalesce(batch["updated_at"], batch["created_at"]).to_pylist()
            is_incomplete &= ended is not None and now - ended < PATIENCE
        has_ended = status in TERMINAL_STATUSES
        return cls(False, has_ended, is_kept, has_ended and is_incomplete, status == "COMPLETED")


class Settling:
    """Update the list of pending batches by the answers about them."""

    def __init__(self, now: datetime, pending: dict[str, PendingBatch]) -> None:
        self.answers: dict[str, Answer] = {}
        self._now, self._pending = now, pending
        self._given_up: dict[str, list[str]] = {}
        self._missing: Counter[str] = Counter()  # jobs, credits and outputs that are given up

    def start(self) -> None:
        """Forget the answers of earlier days."""
        self.answers = {}

    def settle(self, day: str, work: DayWork, jobs: JobRefresh, *, complete: bool) -> None:
        """Decide about the batches of a day; with `complete`, its jobs were requested."""
        unsettled = jobs.unsettled(day)
        for key in {*work.fetch, *(work.jobs_of or ()), *unsettled}:
            if key not in self._pending:
                batch_id = work.fetch.get(key) or unsettled.get(key, key)
                self._pending[key] = PendingBatch(
                    batch_id=batch_id, day=day, fetch=False, open=False
                )
            entry, answer = self._pending[key], self.answers.get(key)
            if answer is None and key in work.fetch:
                entry.fetch = True  # its request failed
            elif answer is not None and answer.gone:
                entry.since = entry.since if entry.gone else None
                entry.gone = True
                self._wait_or_give_up(key, entry, "unknown to the API")
            else:
                self._settle_answered(key, entry, answer, jobs, complete)

    def _settle_answered(
        self, key: str, entry: PendingBatch, answer: Answer | None, jobs: JobRefresh, complete: bool
    ) -> None:
        if answer is not None:
            if entry.gone:
                entry.gone, entry.since = False, None
            entry.open, entry.fetch = not answer.has_ended, answer.lacks_results
            if not answer.has_ended:
                entry.fetch, entry.since = True, None
                return
            if not answer.is_kept:
                del self._pending[key]
                return
        lacking = jobs.lacking.get(key, Counter())
        has_failed = jobs.was_asked and (not complete or key in jobs.failed_of)
        if jobs.was_asked:
            entry.jobs = has_failed or key in jobs.running or bool(lacking)
        if key in jobs.running:
            entry.since = None
        elif has_failed or (entry.jobs and not jobs.was_asked and not entry.fetch):
            return
        elif entry.fetch or entry.jobs:
            is_unusual = entry.fetch and (answer is None or answer.is_lack_unusual)
            if self._wait_or_give_up(key, entry, "without results or jobs" if is_unusual else ""):
                self._missing.update(lacking)
        else:
            del self._pending[key]

    def _wait_or_give_up(self, key: str, entry: PendingBatch, reason: str) -> bool:
        if entry.since is not None and self._now - entry.since >= PATIENCE:
            del self._pending[key]
            if reason:
                self._given_up.setdefault(reason, []).append(entry.batch_id)
            return True
        entry.since = entry.since or self._now
        return False

    def warn(self) -> None:
        """Warn of what is given up."""
        hours = PATIENCE // timedelta(hours=1)
        for reason, ids in self._given_up.items():
            warn(
                f"{format_count(len(ids), 'batch')} still {reason} after {hours} hours: "
                f"{format_list(ids)}. They are not requested again; their rows stay."
            )
        for what, n in self._missing.items():
            warn(
                f"{format_count(n, 'job')} still {what} after {hours} hours. "
                "They are not requested again."
            )
