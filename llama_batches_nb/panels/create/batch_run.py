"""The state of one batch of the create panel: its status, results and jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES


class BatchRun:
    """One batch and, once it has finished, its results and jobs.

    Parameters
    ----------
    title
        The source and the configuration, for display.
    create_code
        The lines of code that create the batch.
    earlier
        The runs whose failed files this run retries.
    expected_minutes
        How long the batch is expected to take, for display.
    """

    def __init__(
        self,
        title: str,
        create_code: Sequence[str] = (),
        earlier: Sequence[BatchRun] = (),
        *,
        expected_minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.create_code, self.chain = title, list(create_code), [*earlier, self]
        self.batch = records.to_pandas(BATCHES, [])
        self.results: pd.DataFrame | None = None
        self.jobs: pd.DataFrame | None = None
        self.status = ""
        self._expected_minutes, self._clock = expected_minutes, clock
        self._created_at = self._status_since = clock()

    @property
    def is_created(self) -> bool:
        """Whether the batch exists."""
        return len(self.batch) > 0

    @property
    def has_finished(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL_STATUSES

    @property
    def batch_id(self) -> str:
        """The id of the batch, which must exist."""
        return str(self.batch["batch_id"].iloc[0])

    def start_clock(self) -> None:
        """Measure the time from now on."""
        self._created_at = self._status_since = self._clock()

    def update(self, batch: pd.DataFrame) -> bool:
        """Store the batch and return whether its status has changed.

        A response that arrives late does not reopen a finished batch.
        """
        status = str(batch["status"].iloc[0])
        if self.has_finished and status not in TERMINAL_STATUSES:
            return False
        self.batch = batch
        if status == self.status:
            return False
        self.status, self._status_since = status, self._clock()
        return True

    def elapsed(self) -> str:
        """Return the time in this status and in total: ``for 10 s, 2 min in total``."""
        now = self._clock()
        in_status = markup.duration(now - self._status_since)
        total = markup.duration(now - self._created_at)
        text = f"for {in_status}" + ("" if in_status == total else f", {total} in total")
        if self._expected_minutes is None:
            return text
        return f"{text} of about {markup.rough_duration(60 * self._expected_minutes)}"

    def duration(self) -> str:
        """Return how long the finished batch took by the server's clock: ``after 2 min``."""
        batch = self.batch.iloc[0]
        if pd.isna(batch.created_at) or pd.isna(batch.updated_at):
            return ""
        return f"after {markup.duration((batch.updated_at - batch.created_at).total_seconds())}"

    def outcomes(self) -> pd.DataFrame:
        """Return the outcome of each file; there is none before the results are known."""
        results = records.to_pandas(RESULTS, []) if self.results is None else self.results
        return outcomes(results, self.jobs)

    def outcomes_of_chain(self) -> pd.DataFrame:
        """Return the outcomes of this run and of the runs it retries, for `retry_failed`."""
        files: pd.DataFrame = pd.concat(
            [run.outcomes() for run in self.chain if run.results is not None], ignore_index=True
        )
        return files


def failed_share(files: pd.DataFrame) -> float | None:
    """Return the share of failed files among the decided ones; None if none is decided."""
    n_succeeded, n_failed = _count(files)
    return n_failed / (n_succeeded + n_failed) if n_succeeded + n_failed else None


def outcome_counts(files: pd.DataFrame) -> str:
    """Return the number of files by outcome: ``471 succeeded, 9 failed, 2 undecided``."""
    n_succeeded, n_failed = _count(files)
    n_running = int((files["outcome"] == "job_running").sum())
    text = f"{n_succeeded:,} succeeded, {n_failed:,} failed"
    if n_undecided := len(files) - n_succeeded - n_failed:
        text += f", {n_undecided:,} undecided"
    return text + (f" ({format_count(n_running, 'job')} still running)" if n_running else "")


def _count(files: pd.DataFrame) -> tuple[int, int]:
    """Return the numbers of succeeded and of failed files."""
    n_succeeded = int(files["outcome"].isin(["succeeded", "partial"]).sum())
    return n_succeeded, int(files["outcome"].isin(FAILURE_OUTCOMES).sum())
