"""What a dashboard tells of files: counts, rates by group, the worst error patterns. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from llama_batches_nb.analysis import rates
from llama_batches_nb.analysis.patterns import error_patterns, pattern_ids
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

DIRECTORY, CONFIGURATION, PATTERN = "source_directory_id", "configuration_id", "pattern_id"
BUCKETS = 16  # of a pattern's trend
MAX_PATTERNS = 100


@dataclass(frozen=True)
class Overview:
    """Files, and which of them are meant: those of a directory, a configuration, a pattern.

    What is counted by one of these is counted over the files that the others choose, so that the
    table in which a row was chosen still shows what else could be.
    """

    found: FetchedFrames
    files: pd.DataFrame
    chosen: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: FetchedFrames) -> Overview:
        """Prepare the frames."""
        files = found.outcomes()
        return cls(found, files.assign(**{PATTERN: pattern_ids(files)}))

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The files that are meant."""
        return self._files()

    @cached_property
    def batches(self) -> pd.DataFrame:
        """The batches that are meant; of a pattern, those with files that have it."""
        batches = self.found.batches
        for name in (DIRECTORY, CONFIGURATION):
            if name in self.chosen:
                batches = batches[batches[name] == self.chosen[name]]
        if PATTERN in self.chosen:
            batches = batches[batches["batch_id"].isin(self.shown["batch_id"])]
        return batches

    def by(self, name: str) -> pd.DataFrame:
        """Return failure rates per directory or configuration, the highest first."""
        grouped = failure_rates(self._files(but=name), by=name).dropna(subset=name)
        return grouped.sort_values("failure_rate", ascending=False, ignore_index=True)

    def patterns(self) -> pd.DataFrame:
        """Return the error patterns, the commonest first, with the times at which each came."""
        files = self._files(but=PATTERN)
        found = error_patterns(files).head(MAX_PATTERNS)
        when = files.dropna(subset=PATTERN).groupby(PATTERN, observed=True)["batch_created_at"]
        span = files["batch_created_at"].min(), files["batch_created_at"].max()
        trends = {one: _trend(times, *span) for one, times in when if one in set(found[PATTERN])}
        return found.assign(trend=found[PATTERN].map(trends))

    def open_batches(self) -> pd.DataFrame:
        """Return the batches that have not ended, the oldest first."""
        going = self.batches[~self.batches["status"].isin(list(TERMINAL_STATUSES))]
        return going.sort_values("created_at", ignore_index=True)

    def freq(self) -> str:
        """Return the period by which the time that the files span reads well."""
        when = self.shown["batch_created_at"]
        days = (when.max() - when.min()).days if len(when) else 0
        return "D" if days <= 21 else "W" if days <= 400 else "MS"

    def tiles(self) -> list[tuple[str, str, str]]:
        """Return counts as `(what, number, what else is to be said)`; they add up."""
        rate = failure_rates(self.shown).iloc[0]
        total, decided, failed = (int(rate[name]) for name in rates.COUNT_COLUMNS)
        left_out = len(self.shown) - total
        beside = f"{left_out:,} more in FAILED batches" if left_out else ""
        interval = format_rate(rate) if decided else "nothing is decided"
        good = "succeeded" if self.found.jobs is not None else "mapped to a job"
        return [
            ("batches", f"{len(self.batches):,}", ""),
            ("files", f"{total:,}", beside),
            (good, f"{decided - failed:,}", ""),
            ("failed", f"{failed:,}", interval),
            ("undecided", f"{total - decided:,}", "cancelled, running or unknown"),
            *self._credits(),
        ]

    def _credits(self) -> list[tuple[str, str, str]]:
        if self.found.jobs is None:
            return []
        jobs = self.shown.drop_duplicates("job_id")
        on_failures = jobs[jobs["outcome"].isin(FAILURE_OUTCOMES)]["credits"].sum()
        spent = jobs["credits"].sum()
        return [("credits", f"{spent:,.0f}", f"{on_failures:,.0f} on files that failed")]

    def _files(self, *, but: str = "") -> pd.DataFrame:
        files = self.files
        for name, value in self.chosen.items():
            if name != but:
                files = files[files[name] == value]
        return files


def _trend(times: pd.Series[Any], first: pd.Timestamp, last: pd.Timestamp) -> list[int]:
    """Return how many fall into each of some equal parts of the time."""
    width = (last - first) / BUCKETS
    if pd.isna(width) or not width:
        return [len(times)]
    parts = ((times - first) // width).clip(upper=BUCKETS - 1)
    return parts.value_counts().reindex(range(BUCKETS), fill_value=0).tolist()


def tile_html(tiles: list[tuple[str, str, str]]) -> str:
    """Return counts as HTML."""
    cells = "".join(
        f'<div class="lb-tile"><span class="lb-muted">{markup.text(what)}</span> '
        f"<b>{markup.text(number)}</b> "
        f'<span class="lb-muted">{markup.text(beside) if beside else "&nbsp;"}</span></div> '
        for what, number, beside in tiles
    )
    return f'<div class="lb-tiles">{cells}</div>'
