"""What a dashboard shows, computed from frames: counts, rates by group, error patterns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.costs import TOTALS, sum_credits
from llama_batches_nb.analysis.final_outcomes import final_outcomes
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.patterns import error_patterns, pattern_ids
from llama_batches_nb.analysis.rates import failure_rates
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.dashboard.headline import Headline, change_of, changes_by
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

DIRECTORY, CONFIGURATION, PATTERN = "source_directory_id", "configuration_id", "pattern_id"
TREND_BARS = 16
NEW_SHARE = 0.25  # of the time span: a pattern first seen in its last part is marked as new
MAX_CHANGES, MAX_SLOWEST = 3, 50
MAX_PATTERNS = 100
RUN = ["batch_id", "source_directory_file_id"]


@dataclass(frozen=True)
class Overview:
    """Frames, and the filters by directory, configuration and pattern that apply to them.

    The groups of one filter are computed from the files that the other filters keep, so that the
    table in which a row is selected still shows the other rows.
    """

    frames: FetchedFrames
    files: pd.DataFrame
    still_failing: pd.DataFrame  # the last failed run of each file of which no run succeeded
    filters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_frames(cls, frames: FetchedFrames) -> Overview:
        """Return an overview without filters."""
        files = frames.outcomes
        final = final_outcomes(files)
        fails = final["outcome"].isin(FAILURE_OUTCOMES) & (final["batch_status"] != "FAILED")
        return cls(frames, files.assign(**{PATTERN: pattern_ids(files)}), final[fails])

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The files that all filters keep."""
        return self._filtered_files()

    @cached_property
    def batches(self) -> pd.DataFrame:
        """The batches that the filters keep; by pattern, those with a file of that pattern."""
        batches = self.frames.batches
        for name in (DIRECTORY, CONFIGURATION):
            if name in self.filters:
                batches = batches[batches[name] == self.filters[name]]
        if PATTERN in self.filters:
            batches = batches[batches["batch_id"].isin(self.shown["batch_id"])]
        return batches

    def rates_by(self, name: str) -> pd.DataFrame:
        """Return failure rates per directory or configuration.

        They are in the order of the lower ends of their intervals, the highest first, so that a few
        failed files do not lead the list.
        """
        grouped = failure_rates(self._filtered_files(except_by=name), by=name).dropna(subset=name)
        order = ["ci_low", "failure_rate"]
        return grouped.sort_values(order, ascending=False, ignore_index=True)

    def patterns(self) -> pd.DataFrame:
        """Return the error patterns, the most frequent first, each with its trend."""
        files = self._filtered_files(except_by=PATTERN)
        patterns = error_patterns(files).head(MAX_PATTERNS)
        grouped = files.dropna(subset=PATTERN).groupby(PATTERN, observed=True)["batch_created_at"]
        span = files["batch_created_at"].min(), files["batch_created_at"].max()
        listed = set(patterns[PATTERN])
        trends = {id_: _trend(times, *span) for id_, times in grouped if id_ in listed}
        first, last = span
        is_new = patterns["first_seen"] > last - (last - first) * NEW_SHARE
        return patterns.assign(trend=patterns[PATTERN].map(trends), is_new=is_new)

    def open_batches(self) -> pd.DataFrame:
        """Return the batches that have not finished, the oldest first."""
        is_open = ~self.batches["status"].isin(list(TERMINAL_STATUSES))
        return self.batches[is_open].sort_values("created_at", ignore_index=True)

    def freq(self) -> str:
        """Return a period that gives the chart a readable number of points."""
        times = self.shown["batch_created_at"]
        days = (times.max() - times.min()).days if len(times) else 0
        return "D" if days <= 21 else "W" if days <= 400 else "MS"

    def slowest_batches(self) -> pd.DataFrame:
        """Return the batches that have ended and how long they took, the slowest first."""
        ended = self.batches[self.batches["status"].isin(list(TERMINAL_STATUSES))]
        took = ended.assign(duration=ended["updated_at"] - ended["created_at"])
        slowest = took.dropna(subset="duration").sort_values("duration", ascending=False)
        return slowest.head(MAX_SLOWEST).reset_index(drop=True)

    def headline(self) -> Headline:
        """Return the failure rate of the files shown, and how many still fail."""
        n_files = self._count_still_failing()
        return Headline(
            failure_rates(self.shown).iloc[0],
            change_of(self.shown),
            n_files,
            linked=not n_files or "file_id" in self.files,
            word="Failed" if self.frames.jobs is not None else "Without a job",
        )

    def changes(self) -> list[tuple[str, pd.Series[Any]]]:
        """Return the configurations and directories whose rate has changed, the strongest first."""
        found = [
            (name, change)
            for name in (CONFIGURATION, DIRECTORY)
            for _, change in changes_by(self.shown, name).iterrows()
        ]
        return sorted(found, key=lambda one: -abs(one[1]["z"]))[:MAX_CHANGES]

    def costs(self) -> pd.DataFrame:
        """Return what each configuration cost; one row is one configuration.

        Its columns are ``configuration_id``, those of `sum_credits`, and ``per_succeeded``: the
        credits of the jobs that have known ones, per succeeded file of these jobs.
        """
        key = [CONFIGURATION]
        if self.frames.jobs is None or not len(self.shown):
            return pd.DataFrame(columns=[*key, *TOTALS, "per_succeeded"])
        files, jobs = nw.from_native(self.shown), nw.from_native(self.frames.jobs)
        costs = sum_credits(add_outcomes(files, jobs, cost_parts=True), key).dropna(subset=key)
        is_known = self.shown["outcome"].eq("succeeded") & self.shown["credits"].notna()
        succeeded = self.shown[is_known].groupby(CONFIGURATION, observed=True).size()
        n_succeeded = costs[CONFIGURATION].map(succeeded).astype("Float64")
        costs["per_succeeded"] = costs["credits"] / n_succeeded
        return costs.sort_values("credits", ascending=False, ignore_index=True)

    def _count_still_failing(self) -> int:
        """Return the number of files as in `final_outcomes`; filters apply to their last runs."""
        last, shown = (pd.MultiIndex.from_frame(f[RUN]) for f in (self.still_failing, self.shown))
        return int(last.isin(shown).sum())

    def _filtered_files(self, *, except_by: str = "") -> pd.DataFrame:
        files = self.files
        for name, value in self.filters.items():
            if name != except_by:
                files = files[files[name] == value]
        return files


def _trend(times: pd.Series[Any], first: pd.Timestamp, last: pd.Timestamp) -> list[int]:
    """Return the number of times in each of `TREND_BARS` equal parts from `first` to `last`."""
    width = (last - first) / TREND_BARS
    if pd.isna(width) or not width:
        return [len(times)]
    parts = ((times - first) // width).clip(upper=TREND_BARS - 1)
    return parts.value_counts().reindex(range(TREND_BARS), fill_value=0).tolist()
