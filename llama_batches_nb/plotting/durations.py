"""Plot how long batches took, by status: each as a dot, with the median and percentile ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.durations import kaplan_meier_median
from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting import hover, layout
from llama_batches_nb.plotting.colours import background, group_colours, group_key, ink
from llama_batches_nb.plotting.headings import add_heading
from llama_batches_nb.plotting.limits import Limits, is_linear
from llama_batches_nb.plotting.names import group_name, shorten_names
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import BATCH_STATUSES, TERMINAL_STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import IntoFrame, Series

Floats = npt.NDArray[np.float64]

MAX_POINTS = 200  # dots per row; more batches are drawn as that many quantiles
MIN_BATCHES_FOR_SPREAD = 5  # fewer batches have no percentile ranges
LOG_SCALE_RATIO = 25  # longest to short durations, from which the axis is logarithmic
GOLDEN_RATIO = 0.6180339887  # spreads dots evenly, and the same way each time

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400
TICKS = [  # seconds
    *(n * SECOND for n in (1, 2, 5, 10, 20, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 20, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
]


class Row(NamedTuple):
    """A row of the chart: its first batch, its sorted durations in seconds, and their median."""

    first: Series
    seconds: Floats
    median: float  # infinite if it is longer than `longest`
    running_for: float = (
        0.0  # longest time so far, if the median takes running batches into account
    )


def plot_durations(
    batches: IntoFrame, *, by: str | Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot the durations of the batches that have ended, with one row per status and group.

    Parameters
    ----------
    batches
        Frame of `fetch_batches`, or of `summarize`, whose ``duration`` is used: pandas, or any
        other frame that Narwhals supports.
    by
        Column or columns to group by, such as ``"configuration_id"``. A group has a row for each
        ``status`` with which its batches ended.
    ax
        Axes to draw on, by default of a new figure. Limits and a scale that you have set are kept,
        others are widened if the axes show something. `Axes.set_title` replaces the title.

    Returns
    -------
    matplotlib.axes.Axes
        The horizontal axis is the time from ``created_at`` to ``updated_at`` in seconds, including
        waiting time. It is logarithmic if the durations differ widely. Each dot is a batch; more
        than 200 batches are drawn as 200 evenly spaced quantiles. A circle marks the median, a
        thick line the middle 50 % of the batches, and a thin line the middle 90 % (5th to 95th
        percentile). A group has the same colour in every chart. The slowest row is at the top; if
        rows do not fit, those with the shortest medians are named only. The subtitle has the median
        of each status, and counts the batches that have not ended.

    Notes
    -----
    While batches of a group still run, those that have ended are the faster ones. The median of
    its ``COMPLETED`` batches then, as a note says, is that of Kaplan and Meier (1958,
    "Nonparametric estimation from incomplete observations", J. Am. Stat. Assoc. 53, 457-481): one
    that still runs lasts longer than the time from its ``created_at`` to the latest time in the
    frame, and one that ended otherwise would have lasted longer than it did. If fewer than half are
    known to complete within the longest of these times, the median is given as longer than it.

    Raises
    ------
    ValueError
        If the frame lacks a column.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> ax = lb.plot_durations(lb.fetch_batches(), by="job_type")
    >>> ax.get_xlabel()
    'time from creation to end'
    """
    groups = arguments.parse_column_names("by", by)
    frame = _read_durations(batches, groups)
    ended = frame.dropna(subset="_seconds")
    keys = _row_keys(ended, groups)
    rows = _group_rows(frame, groups, keys)
    if ax is None:
        ax = layout.new_axes(len(rows))
    limits = Limits(ax)
    layout.style_axes(ax, "x")
    top = rows[-layout.MAX_ROWS :]
    texts = [_row_text(row) for row in top]
    names = [group_name(row.first, keys) for row in top]
    hidden = max(0, len(rows) - layout.max_rows(ax, names, texts))
    shown, left_out = rows[hidden:], rows[max(0, hidden - layout.MAX_NAMED) : hidden][::-1]
    names = [group_name(row.first, keys) for row in (*left_out, *shown)]
    short = shorten_names(names, layout.max_label_length(ax))
    labels, texts = short[len(left_out) :], texts[len(texts) - len(shown) :]
    note = ""
    if hidden:
        start = f"{format_count(hidden, 'row')} with shorter medians not shown"
        note = layout.name_left_out(ax, start, short[: len(left_out)], hidden)
    hover.add_rows(ax, names[len(left_out) :], texts)
    width = layout.label_rows(ax, limits, labels, texts, note)
    log = _needs_log_scale(ended["_seconds"].to_numpy()) and limits.is_free("x")
    by = [name for name in groups if name != "status"]
    colours = group_colours(ax, by, [group_key(row.first, by) for row in shown[::-1]])[::-1]
    for y, (row, colour) in enumerate(zip(shown, colours, strict=True)):
        seconds = np.maximum(row.seconds, SECOND) if log else row.seconds
        _draw_row(ax, y, seconds, row.median, colour)
    _set_duration_axis(ax, limits, [row.seconds for row in shown], log, width)
    if ended.empty:
        layout.annotate_empty(ax, limits, "no batch has ended yet" if len(frame) else "no batches")
    has_quantiles = any(len(row.seconds) > MAX_POINTS for row in shown)
    label_width = layout.widest(labels)
    add_heading(ax, *_heading(frame, groups, has_quantiles), left=label_width)
    limits.apply()
    return ax


def format_duration(seconds: float) -> str:
    """Return a duration in a suitable unit: ``12 s``, ``3.5 min``, ``2 h``, ``4 d``."""
    for unit, threshold in (("d", 2 * DAY), ("h", HOUR), ("min", MINUTE)):
        if round(seconds, 1) >= threshold:
            number = seconds / (DAY if unit == "d" else threshold)
            return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.2g} s"


def _read_durations(batches: IntoFrame, groups: list[str]) -> pd.DataFrame:
    """Return the group columns and the status of each batch with its times in seconds.

    ``_seconds`` is the duration of a batch that has ended, ``_lasted`` also the time so far of one
    that has not; they are missing where times are.
    """
    wrapped = engines.wrap_frame("batches", batches)
    names = engines.column_names(wrapped)
    times = ["created_at", "updated_at"]
    needed = ["duration"] if "duration" in names else ["status", *times]
    needed += [name for name in ["status", *times] if name in names]
    frame = engines.select_to_pandas(wrapped, *dict.fromkeys([*groups, *needed]))
    frame = frame.reset_index(drop=True)
    lasted = pd.Series(math.nan, index=frame.index)
    if {*times} <= {*frame}:
        created, updated = (engines.to_utc(frame[name]) for name in times)
        lasted = (max(created.max(), updated.max()) - created).dt.total_seconds()
    durations = pd.to_timedelta(frame["duration"]) if "duration" in frame else updated - created
    ended = durations.notna()
    if "status" in frame:
        ended = frame["status"].isin(TERMINAL_STATUSES)
    seconds = durations.dt.total_seconds()
    seconds = seconds.where(ended & (seconds >= 0))
    return frame.assign(_ended=ended, _seconds=seconds, _lasted=seconds.where(ended, lasted))


def _row_keys(ended: pd.DataFrame, groups: list[str]) -> list[str]:
    """Return the columns that define a row: the groups, and the status unless it is the same."""
    if "status" not in ended or "status" in groups:
        return groups
    return groups if groups and ended["status"].nunique() <= 1 else ["status", *groups]


def _group_rows(frame: pd.DataFrame, groups: list[str], keys: list[str]) -> list[Row]:
    """Return a row for each combination of the keys with ended batches, the slowest last."""
    rows = [
        _make_row(part, group)
        for group in _parts(frame, [name for name in groups if name != "status"])
        for part in _parts(group.dropna(subset="_seconds"), keys)
        if len(part)
    ]
    return sorted(rows, key=lambda row: row.median)


def _parts(frame: pd.DataFrame, keys: list[str]) -> list[pd.DataFrame]:
    if not keys:
        return [frame]
    return [part for _, part in frame.groupby(keys, dropna=False, observed=True, sort=False)]


def _make_row(ended: pd.DataFrame, group: pd.DataFrame) -> Row:
    """Return the row of ended batches of a group, which may have others that still run."""
    seconds = np.sort(ended["_seconds"].to_numpy(dtype=float))
    known = group.dropna(subset="_lasted")
    is_completed = "status" in ended and (ended["status"] == "COMPLETED").all()
    if not is_completed or known["_ended"].all():
        return Row(ended.iloc[0], seconds, float(np.median(seconds)))
    median = kaplan_meier_median(known["_lasted"], known["status"] == "COMPLETED")
    return Row(ended.iloc[0], seconds, median, float(known["_lasted"].max()))


def _needs_log_scale(seconds: Floats) -> bool:
    """Return whether a linear axis would hide the short durations."""
    if not len(seconds):
        return False
    short, longest = np.quantile(seconds, [0.05, 1])
    return bool(longest > LOG_SCALE_RATIO * max(short, SECOND))


def _draw_row(ax: Axes, y: int, seconds: Floats, median: float, colour: str) -> None:
    use_quantiles = len(seconds) > MAX_POINTS
    dots = np.quantile(seconds, np.linspace(0, 1, MAX_POINTS)) if use_quantiles else seconds
    jitter = ((np.arange(1, len(dots) + 1) * GOLDEN_RATIO) % 1 - 0.5) * min(1, len(dots) / 30)
    alpha = 0.45 if use_quantiles else 0.6
    strip = ax.plot(dots, y + 0.42 * jitter, "o", color=colour, ms=3.5, mew=0, alpha=alpha)
    low, lower, upper, high = np.quantile(seconds, [0.05, 0.25, 0.75, 0.95])
    if len(seconds) >= MIN_BATCHES_FOR_SPREAD:
        ax.hlines(y, low, high, color=ink(ax), lw=1.2)
        ax.hlines(y, lower, upper, color=ink(ax), lw=4)
    at = [max(median, seconds[0])] if math.isfinite(median) else []
    marker = ax.plot(
        at, [y] * len(at), "o", mfc=background(ax), mec=ink(ax), mew=1.6, ms=7, zorder=4
    )
    layout.clip_with_margin(ax, *strip, *marker)


def _row_text(row: Row) -> str:
    low, high = np.quantile(row.seconds, [0.05, 0.95])
    spread = ""
    if len(row.seconds) >= MIN_BATCHES_FOR_SPREAD and not row.running_for:
        spread = f" ({format_duration(low)} – {format_duration(high)})"
    return f"{_format_median(row)}{spread}, n = {len(row.seconds):,}"


def _format_median(row: Row) -> str:
    if math.isinf(row.median):
        return f"over {format_duration(row.running_for)}"
    return format_duration(row.median)


def _set_duration_axis(
    ax: Axes, limits: Limits, rows: list[Floats], log: bool, width: float
) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    longest = max((float(row[-1]) for row in rows), default=0.0) or 1.0
    shortest = max(min((float(row[0]) for row in rows), default=0.0), SECOND) if log else 0.0
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        limits.show("x", 0.8 * shortest, 1.25 * longest)
    else:
        longest = limits.show("x", 0, 1.06 * longest) / 1.06
    if log or is_linear(ax, "x"):
        max_ticks = max(2, min(8, int(width / 42)))
        ax.xaxis.set_major_locator(FixedLocator(_tick_values(shortest, longest, log, max_ticks)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: format_duration(seconds)))
    layout.set_axis_label(ax.xaxis, "time from creation to end")


def _tick_values(shortest: float, longest: float, log: bool, max_ticks: int) -> list[float]:
    """Return at most about `max_ticks` evenly spaced round durations."""
    if log:
        inside = [tick for tick in TICKS if 0.8 * shortest <= tick <= 1.25 * longest]
        return list(inside[:: -(-len(inside) // max_ticks) or 1])
    steps = [longest / max_ticks, *(tick for tick in TICKS if tick >= longest / max_ticks)]
    step = steps[min(1, len(steps) - 1)] if longest >= max_ticks else steps[0]
    return [float(tick) for tick in np.arange(0, 1.06 * longest, step)]


def _heading(
    frame: pd.DataFrame, groups: list[str], has_quantiles: bool
) -> tuple[str, list[str], list[str]]:
    """Return the title, the parts of the subtitle and the notes."""
    ended, drawn = int(frame["_ended"].sum()), int(frame["_seconds"].notna().sum())
    running = len(frame) - ended
    rows = _group_rows(frame, [], ["status"]) if "status" in frame else []
    estimated = any(row.running_for for row in rows)
    subtitle = [
        *_status_medians(rows),
        f"{running:,} still running" if running else "",
        f"{ended - drawn:,} without times (not shown)" if ended > drawn else "",
    ]
    notes = [
        f"○ median{', of COMPLETED by Kaplan–Meier' * estimated}",
        "lines: middle 50 % and 90 %",
        f"at most {MAX_POINTS} dots per row" if has_quantiles else "",
    ]
    return f"Batch durations{layout.by_clause(groups)}", subtitle, notes if drawn else []


def _status_medians(rows: list[Row]) -> list[str]:
    """Return the median of each status: ``COMPLETED: median 5 min (10)``, ``FAILED: 3 s (11)``."""
    by_status = {row.first["status"]: row for row in rows}
    listed = [status for status in BATCH_STATUSES if status in by_status]
    return [
        f"{status}: {'median ' * (n == 0)}{_format_median(by_status[status])} "
        f"({len(by_status[status].seconds):,})"
        for n, status in enumerate(listed)
    ]
