"""What is asked for, as the values of filters, and the frames that this gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.summary import summarize
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, RESULTS

COUNTS = ["n_files", "n_decided", "n_failed", "failure_rate"]


@dataclass(frozen=True)
class FetchedFrames:
    """What a query gave, as far as it was fetched."""

    batches: pd.DataFrame = field(default_factory=lambda: records.to_pandas(BATCHES, []))
    results: pd.DataFrame | None = None
    jobs: pd.DataFrame | None = None
    partial: bool = False  # whether batches without results are there because they were not asked

    def with_frame(self, name: str, frame: pd.DataFrame, *, partial: bool = False) -> FetchedFrames:
        """Return these frames with one more."""
        return FetchedFrames(**{**self.tables(), name: frame}, partial=partial)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the frames that there are, by name."""
        given = {"batches": self.batches, "results": self.results, "jobs": self.jobs}
        return {name: frame for name, frame in given.items() if frame is not None}

    def outcomes(self) -> pd.DataFrame:
        """Return what became of each file, as far as that is known."""
        return self._outcomes

    @cached_property
    def _outcomes(self) -> pd.DataFrame:
        results = records.concat_to_pandas(RESULTS, []) if self.results is None else self.results
        files: pd.DataFrame = outcomes(results, self.jobs)
        return files

    def summary(self) -> pd.DataFrame:
        """Return the batches with the counts of their files, missing where they were not asked.

        Which files failed is told by their jobs; by the mapping alone, rates look too good.
        """
        summary = summarize(self.batches, self.outcomes())
        asked = pd.Series(True, summary.index)
        if self.results is None or self.partial:
            found = () if self.results is None else self.results["batch_id"]
            asked = summary["batch_id"].isin(found)
        judged = asked if self.jobs is not None else asked & False
        told = {name: summary[name].where(judged) for name in COUNTS[1:]}
        return summary.assign(**{COUNTS[0]: summary[COUNTS[0]].where(asked), **told})


@dataclass(frozen=True)
class Query:
    """Batches by filter.

    The days are those of UTC, the last one to its end.
    """

    status: tuple[str, ...] = ()
    source_directory_id: str | None = None
    configuration_id: str | None = None
    job_type: str | None = None
    since: date | None = None
    until: date | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ValueError(
                f"From {self.since} is later than To {self.until}: no batch can lie between them."
            )
