"""What a dashboard shows, computed from frames: counts, rates by group, error patterns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.costs import sum_credits
from llama_batches_nb.analysis.final_outcomes import final_outcomes
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.patterns import error_patterns, pattern_ids
from llama_batches_nb.analysis.rates import COUNT_COLUMNS, failure_rates, format_rate
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

DIRECTORY, CONFIGURATION, PATTERN = "source_directory_id", "configuration_id", "pattern_id"
TREND_BARS = 16
MAX_PATTERNS = 100
RUN = ["batch_id", "source_directory_file_id"]


class Tile(NamedTuple):
    """A number with its label and a note."""

    label: str
    number: str
    note: str = ""


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
        return patterns.assign(trend=patterns[PATTERN].map(trends))

    def open_batches(self) -> pd.DataFrame:
        """Return the batches that have not finished, the oldest first."""
        is_open = ~self.batches["status"].isin(list(TERMINAL_STATUSES))
        return self.batches[is_open].sort_values("created_at", ignore_index=True)

    def freq(self) -> str:
        """Return a period that gives the chart a readable number of points."""
        times = self.shown["batch_created_at"]
        days = (times.max() - times.min()).days if len(times) else 0
        return "D" if days <= 21 else "W" if days <= 400 else "MS"

    def tiles(self) -> list[Tile]:
        """Return the counts; succeeded, failed and undecided add up to the files."""
        rate = failure_rates(self.shown).iloc[0]
        total, decided, failed = (int(rate[name]) for name in COUNT_COLUMNS)
        unreliable = len(self.shown) - total
        note = f"{unreliable:,} more in FAILED batches" if unreliable else ""
        good = "succeeded" if self.frames.jobs is not None else "mapped to a job"
        return [
            Tile("batches", f"{len(self.batches):,}"),
            Tile("files", f"{total:,}", note),
            Tile(good, f"{decided - failed:,}"),
            Tile("failed", f"{failed:,}", format_rate(rate) if decided else "no decided files"),
            self._files_still_failing(),
            Tile("undecided", f"{total - decided:,}", "cancelled, running or unknown"),
            *self._credits(),
        ]

    def _files_still_failing(self) -> Tile:
        """Return the number of files as in `final_outcomes`; filters apply to their last runs."""
        last, shown = (pd.MultiIndex.from_frame(f[RUN]) for f in (self.still_failing, self.shown))
        n_files = int(last.isin(shown).sum())
        is_linked = not n_files or "file_id" in self.files
        note = "no run of them succeeded"
        if not is_linked:
            note += "; retries in other directories count separately"
        return Tile("files still failing", f"{n_files:,}", note)

    def _credits(self) -> list[Tile]:
        if self.frames.jobs is None:
            return []
        files = nw.from_native(self.shown)
        jobs = nw.from_native(self.frames.jobs)
        totals = sum_credits(add_outcomes(files, jobs, cost_parts=True), []).iloc[0]
        notes = []
        if pd.notna(totals["credits_on_failed"]):
            notes.append(f"{totals['credits_on_failed']:,.0f} on failed files")
        if totals["jobs_unknown"]:
            notes.append(
                f"not known for {int(totals['jobs_unknown']):,} of {int(totals['jobs']):,} jobs"
            )
        number = "–" if pd.isna(totals["credits"]) else f"{totals['credits']:,.0f}"
        return [Tile("credits", number, ", ".join(notes))]

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


def tiles_html(tiles: list[Tile]) -> str:
    """Return tiles as HTML."""
    cells = "".join(
        f'<div class="lb-tile"><span class="lb-muted">{markup.text(tile.label)}</span> '
        f"<b>{markup.text(tile.number)}</b> "
        f'<span class="lb-muted">{markup.text(tile.note) if tile.note else "&nbsp;"}</span></div> '
        for tile in tiles
    )
    return f'<div class="lb-tiles">{cells}</div>'
