"""Failure rates as a chart: percent from zero, the interval, and how many rows stand behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.changes import significant_increases
from llama_batches_nb.analysis.rates import (
    COUNT_COLUMNS,
    RATE_COLUMNS,
    FrameKind,
    detect_kind,
    failure_rates,
    format_rate,
)
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.layout import COLOURS, INK
from llama_batches_nb.plotting.periods import period_length, shortest_step, with_gaps
from llama_batches_nb.tables import engines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

MARKERS = "osDPXv"  # beside the colour, what tells lines apart
MAX_LINES = len(COLOURS)
MAX_POINTS = 80  # of a line whose points are marked one by one
MIN_ROWS_FOR_SCALE = 20  # rows whose wide interval does not set the scale
RISE = "▲ interval above that of the period before"


def plot_failure_rates(
    frame_or_rates: Any,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw failure rates with their intervals: over time with `freq`, else a dot per group.

    Parameters
    ----------
    frame_or_rates
        A frame that `failure_rates` takes, or what it returned; then `by` and `freq` are read from
        its columns.
    by
        A column or several to group by.
    freq
        A pandas offset such as ``"W"``: draw over time.
    confidence
        Of the intervals, between 0 and 1.
    ax
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        The vertical axis over time, the horizontal one for groups, is in percent from 0. Where
        nothing is decided there is no dot, and a period without rows breaks the line. The scale is
        that of the larger groups: the interval of fewer than 20 rows may run out of the picture.
        A triangle stands over each period whose interval lies wholly above that of the period
        before it, the last one of the same group in which something was decided.

    Raises
    ------
    ValueError
        If `failure_rates` would raise it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> ax = lb.plot_failure_rates(lb.fetch_batches(), freq="MS")
    >>> ax.get_ylabel()
    'failed batches of those decided'
    """
    columns = engines.column_names(frame_or_rates)
    kind: FrameKind | None = None
    if set(columns) >= {*COUNT_COLUMNS, *RATE_COLUMNS}:
        rates = engines.select_to_pandas(frame_or_rates, *columns)
    else:
        kind = detect_kind(frame_or_rates)
        rates = failure_rates(frame_or_rates, by=by, freq=freq, confidence=confidence)
    keys = [name for name in rates.columns if name not in (*COUNT_COLUMNS, *RATE_COLUMNS)]
    times = [key for key in keys if pd.api.types.is_datetime64_any_dtype(rates[key])]
    groups = [key for key in keys if key not in times]
    words = _title(kind, rates, groups, confidence)
    if ax is None:
        ax = layout.new_axes(1 if times else len(rates))
    layout.style_axes(ax, "y" if times else "x")
    above = 0.0
    if times:
        step = period_length(freq) if freq else shortest_step(rates[times[-1]])
        above = _draw_over_time(ax, rates, times[-1], groups, step, words)
    else:
        _draw_groups(ax, rates, groups, words)
    share = f"failed {kind.noun if kind else 'rows'} of those decided"
    if times:
        layout.set_axis_label(ax.yaxis, share, layout.height(ax, above))
    else:
        layout.set_axis_label(ax.xaxis, share)
    return ax


def _draw_over_time(
    ax: Axes,
    rates: pd.DataFrame,
    time: str,
    groups: list[str],
    step: pd.Timedelta,
    words: list[str],
) -> float:
    """Draw a line per group, and return the points of height that stand over the axes."""
    rates = rates.dropna(subset=time)
    rates = rates.assign(rises=significant_increases(rates, time, groups)).sort_values(time)
    lines = _largest_first(rates, groups, layout.longest_name(ax, 0.48))
    drawn = [
        _draw_line(ax, n, with_gaps(line, time, step), time)
        for n, (_, line) in enumerate(lines[:MAX_LINES])
    ]
    _percent_axis(ax, rates, "y")
    periods = rates[time].dt.tz_localize(None)
    above = 0.0
    if not lines:
        ax.set_xticks([])
        layout.annotate_empty(ax, "nothing to show: no rows")
    else:
        beside = (3 if periods.nunique() == 1 else 0.6) * step
        layout.date_axis(ax, time, periods.min() - beside, periods.max() + beside)
    if lines and not rates["decided"].any():
        layout.annotate_empty(ax, "nothing is decided yet")
    if lines and groups:
        above = _write_legend(ax, drawn, lines)
    elif lines:
        above = layout.annotate_sample_sizes(ax, periods.tolist(), rates["decided"].tolist())
    marked = any(line["rises"].any() for _, line in lines[:MAX_LINES])
    layout.set_title(ax, *words, RISE if marked else "", left=50, above=above)
    return above


def _draw_line(ax: Axes, n: int, line: pd.DataFrame, time: str) -> Line2D:
    """Draw a line of points in its band; of many points, mark only those that stand alone."""
    from matplotlib.transforms import offset_copy

    when, rate = line[time].dt.tz_localize(None).to_numpy(), line["failure_rate"].to_numpy()
    colour = COLOURS[n]
    dense = len(line) > MAX_POINTS
    apart = _isolated_points(rate) if dense else ~np.isnan(rate)
    low, high = line["ci_low"].to_numpy(), line["ci_high"].to_numpy()
    ax.fill_between(when, low, high, color=colour, alpha=0.12 if dense else 0.18, lw=0)
    if not dense:
        ax.vlines(when, low, high, color=colour, alpha=0.35, lw=1)
    (drawn,) = ax.plot(
        when,
        rate,
        color=colour,
        marker=MARKERS[n],
        markevery=np.flatnonzero(apart).tolist(),
        ms=3 if dense else 4,
        lw=1.0 if dense else 1.6,
    )
    layout.clip_loosely(ax, drawn)
    risen = line["rises"].eq(True).to_numpy()
    if risen.any():
        over = offset_copy(ax.transData, fig=ax.figure, y=8, units="points")  # type: ignore[arg-type]
        marks = ax.scatter(when[risen], rate[risen], 30, marker="^", fc=colour, ec=INK, zorder=4)
        marks.set_offset_transform(over)
        layout.clip_loosely(ax, marks)
    return drawn


def _isolated_points(rate: Any) -> Any:
    """Tell which points have no neighbour that a line could join them to."""
    known = np.concatenate([[False], ~np.isnan(rate), [False]])
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _write_legend(ax: Axes, drawn: list[Line2D], lines: list[tuple[str, pd.DataFrame]]) -> float:
    sizes = [int(line["decided"].sum()) for _, line in lines]
    labels = [f"{name} (n = {size:,})" for (name, _), size in zip(lines, sizes, strict=True)]
    left_out = len(lines) - MAX_LINES
    note = f"{layout.counted(left_out, 'smaller group')} not shown" if left_out > 0 else ""
    return layout.legend_above(ax, drawn, labels[:MAX_LINES], note)


def _draw_groups(ax: Axes, rates: pd.DataFrame, groups: list[str], words: list[str]) -> None:
    ordered = rates.sort_values("failure_rate", na_position="first", ignore_index=True)
    left_out = max(0, len(ordered) - layout.most_rows(ax))
    ordered = ordered[left_out:].reset_index(drop=True)
    place = np.arange(len(ordered))
    rate = ordered["failure_rate"].to_numpy()
    ax.hlines(place, ordered["ci_low"], ordered["ci_high"], color=COLOURS[0], lw=2.5, alpha=0.45)
    layout.clip_loosely(ax, *ax.plot(rate, place, "o", color=COLOURS[0], ms=6))
    rows = [row for _, row in ordered.iterrows()]
    longest = layout.longest_name(ax)
    labels = [layout.group_label(row, groups, longest) for row in rows]
    note = f"{layout.counted(left_out, 'group')} with lower rates not shown" if left_out else ""
    left = layout.label_rows(ax, labels, [format_rate(row) for row in rows], note)
    _percent_axis(ax, rates, "x", left)
    if not len(ordered):
        layout.annotate_empty(ax, "nothing to show: no rows")
    layout.set_title(ax, *words, left=max(map(layout.width_of, labels), default=0))


def _percent_axis(ax: Axes, rates: pd.DataFrame, axis: str, room: float = 300) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    many = rates["ci_high"].where(
        rates["decided"] >= MIN_ROWS_FOR_SCALE
    )  # those of few may leave the picture
    highest = pd.concat([rates["failure_rate"], many]).max()
    if pd.isna(many).all():
        highest = rates["ci_high"].max()
    top = 1.0 if not highest > 0 else min(1.0, 1.12 * highest)
    scale = ax.yaxis if axis == "y" else ax.xaxis
    (ax.set_ylim if axis == "y" else ax.set_xlim)(0, top)
    scale.set_major_locator(MaxNLocator(max(2, min(6, int(room / 40)))))
    scale.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def _largest_first(
    rates: pd.DataFrame, groups: list[str], longest: int
) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each group with its name, most decided first."""
    if not groups:
        return [("", rates)] if len(rates) else []
    parts = [
        (layout.group_label(part.iloc[0], groups, longest), part)
        for _, part in rates.groupby(groups, dropna=False, observed=True, sort=False)
    ]
    return sorted(parts, key=lambda part: -int(part[1]["decided"].sum()))


def _title(
    kind: FrameKind | None, rates: pd.DataFrame, groups: list[str], confidence: float
) -> list[str]:
    decided, total = int(rates["decided"].sum()), int(rates["total"].sum())
    what, row = (f"Failed {kind.noun} ({kind.layer})", kind.noun) if kind else ("Failures", "rows")
    interval = f" · {100 * confidence:g} % interval" if kind else ""
    return [
        f"{what}{layout.by_clause(groups)}",
        f"{decided:,} decided of {total:,} {row}{interval}",
    ]
