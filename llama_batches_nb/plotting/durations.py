"""Plot how long batches took: each batch as a dot, with the median and percentile ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.layout import BLUE, INK
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

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


def plot_durations(
    batches: IntoFrame, *, by: str | Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot the durations of the batches that have ended, with one row per group.

    Parameters
    ----------
    batches
        Frame of `fetch_batches`, or of `summarize`, whose ``duration`` is used: pandas, or any
        other frame that Narwhals supports.
    by
        Column or columns to group by, such as ``"configuration_id"`` or ``"status"``.
    ax
        Axes to draw on. By default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The horizontal axis is the time from ``created_at`` to ``updated_at`` in seconds, including
        waiting time. It is logarithmic if the durations differ widely. Each dot is a batch; more
        than 200 batches are drawn as 200 evenly spaced quantiles. A circle marks the median, a
        thick line the middle 50 % of the batches, and a thin line the middle 90 % (5th to 95th
        percentile). The slowest group is at the top. The title counts the batches that have not
        ended.

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
    rows = _group_rows(ended, groups)
    if ax is None:
        ax = layout.new_axes(len(rows))
    layout.style_axes(ax, "x")
    shown = rows[-layout.max_rows(ax) :]
    labels = [layout.group_label(row, groups, layout.max_label_length(ax)) for row, _ in shown]
    log = _needs_log_scale(ended["_seconds"].to_numpy())
    for y, (_, seconds) in enumerate(shown):
        _draw_row(ax, y, np.maximum(seconds, SECOND) if log else seconds)
    hidden = len(rows) - len(shown)
    width = layout.label_rows(
        ax,
        labels,
        [_row_text(seconds) for _, seconds in shown],
        f"{layout.format_count(hidden, 'group')} with shorter medians not shown" if hidden else "",
    )
    _set_duration_axis(ax, [seconds for _, seconds in shown], log, width)
    if ended.empty:
        ax.set(xticks=[], yticks=[])
        layout.annotate_empty(ax, "no batch has ended yet" if len(frame) else "no batches")
    has_quantiles = any(len(seconds) > MAX_POINTS for _, seconds in shown)
    layout.set_title(
        ax,
        *_title(frame, groups, has_quantiles),
        left=max(map(layout.text_width, labels), default=0),
    )
    return ax


def format_duration(seconds: float) -> str:
    """Return a duration in a suitable unit: ``12 s``, ``3.5 min``, ``2 h``, ``4 d``."""
    for unit, threshold in (("d", 2 * DAY), ("h", HOUR), ("min", MINUTE)):
        if round(seconds, 1) >= threshold:
            number = seconds / (DAY if unit == "d" else threshold)
            return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.2g} s"


def _read_durations(batches: IntoFrame, groups: list[str]) -> pd.DataFrame:
    """Return the group columns, whether each batch has ended, and its duration in seconds."""
    wrapped = engines.wrap_frame("batches", batches)
    names = engines.column_names(wrapped)
    if "duration" in names:
        needed = ["duration", *(name for name in ["status"] if name in names)]
    else:
        needed = ["status", "created_at", "updated_at"]
    frame = engines.select_to_pandas(wrapped, *dict.fromkeys([*groups, *needed]))
    frame = frame.reset_index(drop=True)
    if "duration" in names:
        durations = pd.to_timedelta(frame["duration"])
    else:
        durations = engines.to_utc(frame["updated_at"]) - engines.to_utc(frame["created_at"])
    ended = durations.notna()
    if "status" in needed:
        ended = frame["status"].isin(TERMINAL_STATUSES)
    seconds = durations.dt.total_seconds()
    return frame.assign(_ended=ended, _seconds=seconds.where(ended & (seconds >= 0)))


def _group_rows(ended: pd.DataFrame, groups: list[str]) -> list[tuple[Series, Floats]]:
    """Return the first batch and the sorted durations of each group, slowest group last."""
    parts = [ended] if len(ended) else []
    if groups:
        grouped = ended.groupby(groups, dropna=False, observed=True, sort=False)
        parts = [part for _, part in grouped]
    rows = [(part.iloc[0], np.sort(part["_seconds"].to_numpy(dtype=float))) for part in parts]
    return sorted(rows, key=lambda row: float(np.median(row[1])))


def _needs_log_scale(seconds: Floats) -> bool:
    """Return whether a linear axis would hide the short durations."""
    if not len(seconds):
        return False
    short, longest = np.quantile(seconds, [0.05, 1])
    return bool(longest > LOG_SCALE_RATIO * max(short, SECOND))


def _draw_row(ax: Axes, y: int, seconds: Floats) -> None:
    use_quantiles = len(seconds) > MAX_POINTS
    dots = np.quantile(seconds, np.linspace(0, 1, MAX_POINTS)) if use_quantiles else seconds
    jitter = ((np.arange(1, len(dots) + 1) * GOLDEN_RATIO) % 1 - 0.5) * min(1, len(dots) / 30)
    alpha = 0.45 if use_quantiles else 0.6
    strip = ax.plot(dots, y + 0.42 * jitter, "o", color=BLUE, ms=3.5, mew=0, alpha=alpha)
    low, lower, median, upper, high = np.quantile(seconds, [0.05, 0.25, 0.5, 0.75, 0.95])
    if len(seconds) >= MIN_BATCHES_FOR_SPREAD:
        ax.hlines(y, low, high, color=INK, lw=1.2)
        ax.hlines(y, lower, upper, color=INK, lw=4)
    marker = ax.plot([median], [y], "o", mfc="white", mec=INK, mew=1.6, ms=7, zorder=4)
    layout.clip_with_margin(ax, *strip, *marker)


def _row_text(seconds: Floats) -> str:
    low, median, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    spread = ""
    if len(seconds) >= MIN_BATCHES_FOR_SPREAD:
        spread = f" ({format_duration(low)} – {format_duration(high)})"
    return f"{format_duration(median)}{spread}, n = {len(seconds):,}"


def _set_duration_axis(ax: Axes, rows: list[Floats], log: bool, width: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    longest = max((float(row[-1]) for row in rows), default=0.0) or 1.0
    shortest = max(min((float(row[0]) for row in rows), default=0.0), SECOND) if log else 0.0
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(0.8 * shortest, 1.25 * longest)
    else:
        ax.set_xlim(0, 1.06 * longest)
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


def _title(frame: pd.DataFrame, groups: list[str], has_quantiles: bool) -> list[str]:
    ended, drawn = int(frame["_ended"].sum()), int(frame["_seconds"].notna().sum())
    running = len(frame) - ended
    return [
        f"Batch durations{layout.by_clause(groups)}",
        f"{ended:,} of {len(frame):,} batches ended"
        + (f" · {running:,} still running (not shown)" if running else ""),
        f"{ended - drawn:,} without times (not shown)" if ended > drawn else "",
        "○ median · lines: middle 50 % and 90 %" * bool(drawn)
        + f" · at most {MAX_POINTS} dots per row" * has_quantiles,
    ]
