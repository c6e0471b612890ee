"""The filters of a panel as values, and the frames fetched for them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.summary import summarize
from llama_batches_nb.fetch.usage import replace_jobs
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, RESULTS

FAILURE_COLUMNS = ("n_decided", "n_failed", "failure_rate")


@dataclass(frozen=True)
class FetchedFrames:
    """The frames fetched so far for a query."""

    batches: pd.DataFrame = field(default_factory=lambda: records.to_pandas(BATCHES, []))
    results: pd.DataFrame | None = None
    jobs: pd.DataFrame | None = None
    partial: bool = False  # the fetch ended early, so rows may be missing
    usage: bool = False  # credits were requested

    def with_frame(self, name: str, frame: pd.DataFrame, *, partial: bool = False) -> FetchedFrames:
        """Return a copy with one more frame."""
        frames: dict[str, Any] = {**self.tables(), name: frame}
        return FetchedFrames(**frames, partial=partial)

    def with_credits(self, loaded: pd.DataFrame) -> FetchedFrames:
        """Return a copy in which the jobs loaded replace the earlier ones."""
        if self.jobs is None or not self.jobs["job_id"].isin(loaded["job_id"]).any():
            return self
        return replace(self, jobs=replace_jobs(self.jobs, loaded), usage=True)

    @property
    def unknown_credits(self) -> bool:
        """Whether credits are missing although they were requested."""
        return self.usage and self.jobs is not None and bool(self.jobs["credits"].isna().any())

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the fetched frames by name."""
        frames = {"batches": self.batches, "results": self.results, "jobs": self.jobs}
        return {name: frame for name, frame in frames.items() if frame is not None}

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """The outcome of each file, as far as known."""
        results = records.concat_to_pandas(RESULTS, []) if self.results is None else self.results
        files: pd.DataFrame = outcomes(results, self.jobs)
        return files

    def summary(self) -> pd.DataFrame:
        """Return `summarize` of the batches, with missing counts where nothing was fetched.

        Failures are missing without jobs: by mapping errors alone, failure rates are too low.
        """
        results = records.concat_to_pandas(RESULTS, []) if self.results is None else self.results
        summary = summarize(self.batches, results, self.jobs)
        has_results = pd.Series(True, summary.index)
        if self.results is None or self.partial:
            fetched = () if self.results is None else self.results["batch_id"]
            has_results = summary["batch_id"].isin(fetched)
        has_jobs = has_results if self.jobs is not None else has_results & False
        failures = {name: summary[name].where(has_jobs) for name in FAILURE_COLUMNS}
        return summary.assign(n_files=summary["n_files"].where(has_results), **failures)


@dataclass(frozen=True)
class Query:
    """Filters for batches. The days are in UTC, and both are included."""

    status: tuple[str, ...] = ()
    source_directory_id: str | None = None
    configuration_id: str | None = None
    job_type: str | None = None
    since: date | None = None
    until: date | None = None
    limit: int | None = None

    def words(self) -> list[str]:
        """Return the filters that are set: ``status FAILED``, ``from 2026-08-01``."""
        filters = {
            "status": ", ".join(self.status),
            "directory": self.source_directory_id,
            "configuration": self.configuration_id,
            "job type": self.job_type,
            "from": self.since,
            "to": self.until,
            "limit": self.limit,
        }
        return [f"{name} {value}" for name, value in filters.items() if value]

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ValueError(
                f"From {self.since} is after To {self.until}, so no batch can match. Swap them."
            )
