"""Draw failure rates over time: a line with its interval for each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.changes import BY_CHANCE, find_changes
from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.analysis.periods import Period
from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting import hover, layout, rate_axis
from llama_batches_nb.plotting.colours import COLOURS, background, group_colours, group_key, ink
from llama_batches_nb.plotting.headings import add_heading
from llama_batches_nb.plotting.limits import Limits
from llama_batches_nb.plotting.names import group_name, shorten_names
from llama_batches_nb.plotting.periods import insert_gaps, period_length, shortest_period

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from llama_batches_nb.types import Series

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MARKERS = "osDPXv"  # distinguish lines without colour
MAX_LINES = len(COLOURS)
MAX_MARKERS = 80  # points of a line; longer lines mark isolated points only
CHANGE_NOTES = {"^": "▲ higher since then", "v": "▼ lower since then"}
HOLLOW_NOTES = {
    (True, False): rate_axis.HOLLOW_NOTE,
    (False, True): "hollow: period not over",
    (True, True): f"{rate_axis.HOLLOW_NOTE}, or period not over",
}


@dataclass(frozen=True)
class RateLine:
    """The rates of one group over time, and the mark of a change per period: ``^``, ``v``, none."""

    name: str
    key: tuple[Any, ...]
    rates: pd.DataFrame
    interval_low: float  # lower end of the interval of the whole group

    @property
    def has_change(self) -> bool:
        """Whether the rate has risen or fallen."""
        return bool(self.rates["_mark"].ne("").any())

    @property
    def decided(self) -> int:
        """The number of decided rows."""
        return int(self.rates["decided"].sum())


def draw_over_time(
    ax: Axes,
    limits: Limits,
    rates: pd.DataFrame,
    time: str,
    groups: list[str],
    period: Period | None,
    as_of: pd.Timestamp,
    title: str,
    subtitle: list[str],
) -> float:
    """Draw a line per group. Return the height, in points, between the axes and the subtitle."""
    rates = rates.dropna(subset=time).reset_index(drop=True)
    length = period_length(period.freq) if period else shortest_period(rates[time])
    is_current = _is_current(rates[time], length, period, as_of)
    few_batches = rate_axis.few_batches(rates)
    rates = rates.assign(
        _mark=_marks(rates, time, groups), _hollow=few_batches | is_current
    ).sort_values(time, kind="stable")
    lines = _lines(rates, groups)
    shown = lines[:MAX_LINES]
    limit = rate_axis.set_rate_axis(ax, limits, rate_axis.scale_limit(rates), "y")
    colours = group_colours(ax, groups, [line.key for line in shown])
    handles = [
        _draw_line(ax, insert_gaps(line.rates, time, length), time, limit, colour, marker)
        for line, colour, marker in zip(shown, colours, MARKERS, strict=False)
    ]
    drawn = pd.concat([line.rates for line in shown]) if shown else rates
    hollow = HOLLOW_NOTES.get((bool(few_batches.any()), bool(is_current.any())))
    notes = _notes(drawn, hollow, limit)
    above = _label_axes(ax, limits, rates, time, groups, length, handles, lines)
    add_heading(ax, title, subtitle, notes, left=50, above=above)
    hover.add_periods(ax, drawn, time, groups, length)
    return above


def _marks(rates: pd.DataFrame, time: str, groups: list[str]) -> list[str]:
    """Return the mark of each row: where the rate of its group has changed."""
    changes = find_changes(rates, groups, time)
    keys = [*groups, "since"]
    marks = {
        tuple(_hashable(value) for value in row[:-1]): "^" if row[-1] > 0 else "v"
        for row in changes[[*keys, "z"]].itertuples(index=False, name=None)
    }
    rows = rates[[*groups, time]].itertuples(index=False, name=None)
    return [marks.get(tuple(map(_hashable, row)), "") for row in rows]


def _hashable(value: object) -> object:
    """Return a key, with one value for all missing ones."""
    return None if pd.isna(value) else value  # type: ignore[call-overload]


def _is_current(
    starts: Series, length: pd.Timedelta, period: Period | None, as_of: pd.Timestamp
) -> Series:
    """Return which rows belong to the last period, if it is not over."""
    if starts.empty:
        return starts.notna()
    last = starts.max()
    end = period.end(last) if period else last + length
    return starts.eq(last) if end > as_of else starts.isna()


def _lines(rates: pd.DataFrame, groups: list[str]) -> list[RateLine]:
    """Return a line per group: changed ones and the worst one first, then by decided rows."""
    if rates.empty:
        return []
    parts = (
        rates.groupby(groups, dropna=False, observed=True, sort=False) if groups else [("", rates)]
    )
    lines = [
        RateLine(
            group_name(part.iloc[0], groups),
            group_key(part.iloc[0], groups),
            part,
            _interval_low(part),
        )
        for _, part in parts
    ]
    lines.sort(key=lambda line: -line.decided)
    worst = max(lines, key=lambda line: line.interval_low)
    kept = sorted(lines, key=lambda line: (line is not worst, not line.has_change))[:MAX_LINES]
    left_out = [line for line in lines if not any(line is one for one in kept)]
    return sorted(kept, key=lambda line: -line.decided) + left_out


def _interval_low(rates: pd.DataFrame) -> float:
    """Return the lower end of the interval of all periods of a group; -1 if nothing is decided."""
    size = float(rates["n_effective"].sum())
    if not size:
        return -1.0
    rate = rates["failed"].sum() / rates["decided"].sum()
    return float(wilson([rate * size], [size], 0.95)[0][0])


def _draw_line(
    ax: Axes, line: pd.DataFrame, time: str, limit: float, colour: str, marker: str
) -> Line2D:
    """Draw a line with its interval. A long line has markers at isolated points only."""
    at, rate = line[time].to_numpy(dtype="datetime64[us]"), line["failure_rate"].to_numpy()
    is_long = len(line) > MAX_MARKERS
    hollow = line["_hollow"].eq(True).to_numpy() & ~np.isnan(rate) & (not is_long)
    has_marker = _isolated_points(rate) if is_long else ~np.isnan(rate)
    low, high = line["ci_low"].to_numpy(), line["ci_high"].to_numpy()
    known = line["n_effective"].ge(rate_axis.MIN_ROWS_FOR_SCALE).to_numpy()
    ax.fill_between(at, low, high, known, color=colour, alpha=0.12 if is_long else 0.18, lw=0)
    if not is_long:
        ax.vlines(at, low, high, color=colour, alpha=0.35, lw=1)
    open_low, open_high = rate_axis.open_ranges(line)
    if open_low.notna().any():
        ax.vlines(at, open_low, open_high, color=colour, lw=1.4, ls=":")
    size = 3 if is_long else 4
    (drawn,) = ax.plot(
        at,
        rate,
        color=colour,
        marker=marker,
        markevery=np.flatnonzero(has_marker).tolist(),
        ms=size,
        lw=1.0 if is_long else 1.6,
    )
    layout.clip_with_margin(ax, drawn)
    if hollow.any():
        layout.clip_with_margin(
            ax,
            *ax.plot(
                at[hollow],
                rate[hollow],
                ls="",
                color=colour,
                marker=marker,
                mfc=background(ax),
                ms=size,
            ),
        )
    days = layout.date_numbers(line[time])
    rate_axis.mark_beyond(ax, days, high, limit, [colour] * len(line), "y")
    for mark in CHANGE_NOTES:
        _draw_marks(
            ax, at, np.minimum(rate, limit), line["_mark"].eq(mark).to_numpy(), mark, colour
        )
    return drawn


def _draw_marks(
    ax: Axes, at: npt.NDArray[np.datetime64], rate: Floats, chosen: Booleans, mark: str, colour: str
) -> None:
    """Draw triangles above the points at which the rate has changed."""
    from matplotlib.transforms import offset_copy

    if not chosen.any():
        return
    offset = offset_copy(ax.transData, fig=ax.figure, y=8, units="points")  # type: ignore[arg-type]
    triangles = ax.scatter(
        at[chosen], rate[chosen], 30, marker=mark, fc=colour, ec=ink(ax), zorder=4
    )
    triangles.set_offset_transform(offset)
    layout.clip_with_margin(ax, triangles)


def _isolated_points(rate: Floats) -> Booleans:
    """Return which points have no neighbour, so that no line segment shows them."""
    known = np.concatenate([[False], ~np.isnan(rate), [False]])
    isolated: Booleans = known[1:-1] & ~known[:-2] & ~known[2:]
    return isolated


def _label_axes(
    ax: Axes,
    limits: Limits,
    rates: pd.DataFrame,
    time: str,
    groups: list[str],
    length: pd.Timedelta,
    handles: list[Line2D],
    lines: list[RateLine],
) -> float:
    """Label the time axis and the lines, or say why there are none. Return the height above."""
    if not lines:
        layout.annotate_empty(ax, limits, "no rows")
        return 0.0
    at = layout.date_numbers(rates[time])
    margin = (3 if len(set(at)) == 1 else 0.6) * (length / pd.Timedelta(days=1))
    first, last = float(at.min()) - margin, float(at.max()) + margin
    layout.set_date_axis(ax, limits, time, first, last, rates[time].dt.tz)
    if not rates["decided"].any():
        layout.annotate_empty(ax, limits, "no rows decided yet")
    if groups:
        return _add_legend(ax, handles, lines)
    return layout.annotate_sample_sizes(ax, at.tolist(), rates["decided"].tolist())


def _add_legend(ax: Axes, handles: list[Line2D], lines: list[RateLine]) -> float:
    named = lines[: MAX_LINES + layout.MAX_NAMED]
    short = shorten_names([line.name for line in named], layout.max_label_length(ax, 0.48))
    labels = [
        f"{name} (n = {line.decided:,})"
        for name, line in zip(short[:MAX_LINES], named, strict=False)
    ]
    hidden = len(lines) - len(handles)
    note = ""
    if hidden:
        start = f"{format_count(hidden, 'smaller group')} not shown"
        note = layout.name_left_out(ax, start, short[MAX_LINES:], hidden)
    return layout.legend_above(ax, handles, labels, note)


def _notes(drawn: pd.DataFrame, hollow: str | None, limit: float) -> list[str]:
    """Return the notes that explain what is drawn."""
    marks = [note for mark, note in CHANGE_NOTES.items() if drawn["_mark"].eq(mark).any()]
    notes = []
    if marks:
        chance = f"by chance in {BY_CHANCE} of charts"
        if drawn["batches"].isna().all():
            chance = "if files fail independently: their batches are not known"
        notes.append(f"{', '.join(marks)} ({chance})")
    if hollow and drawn["_hollow"].any():
        notes.append(hollow)
    if len(drawn) and rate_axis.open_ranges(drawn)[0].notna().any():
        notes.append(rate_axis.OPEN_NOTE)
    if (drawn["ci_high"] > limit).any():
        notes.append(rate_axis.BEYOND_NOTE)
    return notes
