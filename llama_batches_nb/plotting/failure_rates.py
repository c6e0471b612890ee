"""Plot failure rates in percent, with their intervals and sample sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.changes import significant_increases
from llama_batches_nb.analysis.frame_kinds import FrameKind, detect_kind
from llama_batches_nb.analysis.rates import (
    RESULT_COLUMNS,
    failure_rates,
    format_rate,
)
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.layout import COLOURS, INK
from llama_batches_nb.plotting.periods import insert_gaps, period_length, shortest_period
from llama_batches_nb.tables import engines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from llama_batches_nb.types import IntoFrame

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MARKERS = "osDPXv"  # distinguish lines without colour
MAX_LINES = len(COLOURS)
MAX_MARKERS = 80  # points of a line; longer lines mark isolated points only
MIN_ROWS_FOR_SCALE = 20  # groups with fewer rows have wide intervals, which may exceed the axis
INCREASE_NOTE = "▲ interval above the previous one"


def plot_failure_rates(
    frame_or_rates: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Plot failure rates with their intervals: over time with `freq`, else one row per group.

    Parameters
    ----------
    frame_or_rates
        Frame that `failure_rates` accepts, or its result; then the columns replace `by` and `freq`.
    by
        Column or columns to group by.
    freq
        Pandas offset such as ``"W"``: plot over time, one point per period.
    confidence
        Confidence level of the intervals, between 0 and 1.
    ax
        Axes to draw on. By default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axis of the rates is in percent and starts at 0. Groups and periods without decided
        rows have no point, and a period without rows breaks the line. The scale fits the larger
        groups: intervals of fewer than 20 rows may extend beyond it. A triangle marks a period
        whose interval is entirely above that of the previous period of the same group; periods
        without decided rows are skipped.

    Raises
    ------
    ValueError
        If `failure_rates` raises it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> ax = lb.plot_failure_rates(lb.fetch_batches(), freq="MS")
    >>> ax.get_ylabel()
    'failed batches (% of decided)'
    """
    wrapped = engines.wrap_frame("frame_or_rates", frame_or_rates)
    columns = engines.column_names(wrapped)
    kind: FrameKind | None = None
    if set(columns) >= set(RESULT_COLUMNS):
        rates = engines.select_to_pandas(wrapped, *columns)
    else:
        kind = detect_kind(wrapped)
        rates = failure_rates(frame_or_rates, by=by, freq=freq, confidence=confidence)
    keys = [name for name in rates.columns if name not in RESULT_COLUMNS]
    times = [key for key in keys if pd.api.types.is_datetime64_any_dtype(rates[key])]
    groups = [key for key in keys if key not in times]
    title = _title(kind, rates, groups, confidence)
    if ax is None:
        ax = layout.new_axes(1 if times else len(rates))
    layout.style_axes(ax, "y" if times else "x")
    axis_label = f"failed {kind.noun if kind else 'rows'} (% of decided)"
    if times:
        length = period_length(freq) if freq else shortest_period(rates[times[-1]])
        above = _draw_over_time(ax, rates, times[-1], groups, length, title)
        layout.set_axis_label(ax.yaxis, axis_label, layout.available_height(ax, above))
    else:
        _draw_groups(ax, rates, groups, title)
        layout.set_axis_label(ax.xaxis, axis_label)
    return ax


def _draw_over_time(
    ax: Axes,
    rates: pd.DataFrame,
    time: str,
    groups: list[str],
    length: pd.Timedelta,
    title: list[str],
) -> float:
    """Draw a line per group. Return the height, in points, between the axes and the title."""
    rates = rates.dropna(subset=time)
    increases = significant_increases(rates, time, groups)
    rates = rates.assign(_increases=increases).sort_values(time)
    lines = _largest_first(rates, groups, layout.max_label_length(ax, 0.48))
    shown = lines[:MAX_LINES]
    handles = [
        _draw_line(ax, n, insert_gaps(line, time, length), time)
        for n, (_, line) in enumerate(shown)
    ]
    _set_percent_axis(ax, rates, "y")
    periods = rates[time].dt.tz_localize(None)
    above = 0.0
    if not lines:
        ax.set_xticks([])
        layout.annotate_empty(ax, "no rows")
    else:
        margin = (3 if periods.nunique() == 1 else 0.6) * length
        layout.set_date_axis(ax, time, periods.min() - margin, periods.max() + margin)
    if lines and not rates["decided"].any():
        layout.annotate_empty(ax, "no rows decided yet")
    if lines and groups:
        above = _add_legend(ax, handles, lines)
    elif lines:
        above = layout.annotate_sample_sizes(ax, periods.tolist(), rates["decided"].tolist())
    has_increase = any(line["_increases"].any() for _, line in shown)
    layout.set_title(ax, *title, INCREASE_NOTE if has_increase else "", left=50, above=above)
    return above


def _draw_line(ax: Axes, n: int, line: pd.DataFrame, time: str) -> Line2D:
    """Draw a line with its interval. A long line has markers at isolated points only."""
    from matplotlib.transforms import offset_copy

    times, rate = line[time].dt.tz_localize(None).to_numpy(), line["failure_rate"].to_numpy()
    colour = COLOURS[n]
    is_long = len(line) > MAX_MARKERS
    has_marker = _isolated_points(rate) if is_long else ~np.isnan(rate)
    low, high = line["ci_low"].to_numpy(), line["ci_high"].to_numpy()
    ax.fill_between(times, low, high, color=colour, alpha=0.12 if is_long else 0.18, lw=0)
    if not is_long:
        ax.vlines(times, low, high, color=colour, alpha=0.35, lw=1)
    (drawn,) = ax.plot(
        times,
        rate,
        color=colour,
        marker=MARKERS[n],
        markevery=np.flatnonzero(has_marker).tolist(),
        ms=3 if is_long else 4,
        lw=1.0 if is_long else 1.6,
    )
    layout.clip_with_margin(ax, drawn)
    increases = line["_increases"].eq(True).to_numpy()
    if increases.any():
        offset = offset_copy(ax.transData, fig=ax.figure, y=8, units="points")  # type: ignore[arg-type]
        x, y = times[increases], rate[increases]
        triangles = ax.scatter(x, y, 30, marker="^", fc=colour, ec=INK, zorder=4)
        triangles.set_offset_transform(offset)
        layout.clip_with_margin(ax, triangles)
    return drawn


def _isolated_points(rate: Floats) -> Booleans:
    """Return which points have no neighbour, so that no line segment shows them."""
    known = np.concatenate([[False], ~np.isnan(rate), [False]])
    isolated: Booleans = known[1:-1] & ~known[:-2] & ~known[2:]
    return isolated


def _add_legend(ax: Axes, handles: list[Line2D], lines: list[tuple[str, pd.DataFrame]]) -> float:
    sizes = [int(line["decided"].sum()) for _, line in lines]
    labels = [f"{name} (n = {size:,})" for (name, _), size in zip(lines, sizes, strict=True)]
    hidden = len(lines) - MAX_LINES
    note = f"{layout.format_count(hidden, 'smaller group')} not shown" if hidden > 0 else ""
    return layout.legend_above(ax, handles, labels[:MAX_LINES], note)


def _draw_groups(ax: Axes, rates: pd.DataFrame, groups: list[str], title: list[str]) -> None:
    ordered = rates.sort_values("failure_rate", na_position="first", ignore_index=True)
    hidden = max(0, len(ordered) - layout.max_rows(ax))
    ordered = ordered[hidden:].reset_index(drop=True)
    y = np.arange(len(ordered))
    rate = ordered["failure_rate"].to_numpy()
    ax.hlines(y, ordered["ci_low"], ordered["ci_high"], color=COLOURS[0], lw=2.5, alpha=0.45)
    layout.clip_with_margin(ax, *ax.plot(rate, y, "o", color=COLOURS[0], ms=6))
    rows = [row for _, row in ordered.iterrows()]
    max_length = layout.max_label_length(ax)
    labels = [layout.group_label(row, groups, max_length) for row in rows]
    note = f"{layout.format_count(hidden, 'group')} with lower rates not shown" if hidden else ""
    width = layout.label_rows(ax, labels, [format_rate(row) for row in rows], note)
    _set_percent_axis(ax, rates, "x", width)
    if not len(ordered):
        layout.annotate_empty(ax, "no rows")
    layout.set_title(ax, *title, left=max(map(layout.text_width, labels), default=0))


def _set_percent_axis(
    ax: Axes, rates: pd.DataFrame, axis_name: Literal["x", "y"], length: float = 300
) -> None:
    """Scale the axis of the rates. `length` is in points."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    highs = rates["ci_high"].where(rates["decided"] >= MIN_ROWS_FOR_SCALE)
    highest = pd.concat([rates["failure_rate"], highs]).max()
    if pd.isna(highs).all():
        highest = rates["ci_high"].max()
    limit = 1.0 if not highest > 0 else min(1.0, 1.12 * highest)
    axis = ax.yaxis if axis_name == "y" else ax.xaxis
    (ax.set_ylim if axis_name == "y" else ax.set_xlim)(0, limit)
    axis.set_major_locator(MaxNLocator(max(2, min(6, int(length / 40)))))
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def _largest_first(
    rates: pd.DataFrame, groups: list[str], max_length: int
) -> list[tuple[str, pd.DataFrame]]:
    """Return the label and the rows of each group, most decided rows first."""
    if not groups:
        return [("", rates)] if len(rates) else []
    parts = [
        (layout.group_label(part.iloc[0], groups, max_length), part)
        for _, part in rates.groupby(groups, dropna=False, observed=True, sort=False)
    ]
    return sorted(parts, key=lambda part: -int(part[1]["decided"].sum()))


def _title(
    kind: FrameKind | None, rates: pd.DataFrame, groups: list[str], confidence: float
) -> list[str]:
    decided, total = int(rates["decided"].sum()), int(rates["total"].sum())
    subject = f"Failed {kind.noun} ({kind.layer})" if kind else "Failures"
    interval = f" · {100 * confidence:g} % interval" if kind else ""
    return [
        f"{subject}{layout.by_clause(groups)}",
        f"{decided:,} of {total:,} {kind.noun if kind else 'rows'} decided{interval}",
    ]
