"""How long batches took, as a chart: every batch a dot, the median and where most lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.layout import BLUE, INK
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

MAX_POINTS = 200  # in a row; of more batches, as many quantiles
MIN_BATCHES_FOR_SPREAD = 5  # batches of which no spread is told
WIDE = 25  # times as long, from where the axis is logarithmic
GOLDEN = 0.6180339887  # spreads dots evenly, the same way each time

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400
TICKS = [
    *(n * SECOND for n in (1, 2, 5, 10, 20, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 20, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
]
"""Seconds that read well on an axis of time."""


def plot_durations(
    batches: Any, *, by: str | Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how long the batches took that have ended, a row per group.

    Parameters
    ----------
    batches
        The frame of `fetch_batches`, or of `summarize`, whose ``duration`` is then used: pandas,
        or what else Narwhals takes.
    by
        A column or several to group by, such as ``"configuration_id"`` or ``"status"``.
    ax
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        The horizontal axis is the time from ``created_at`` to ``updated_at``, waiting included, in
        seconds; it is logarithmic where the times of some are many times as long as those of
        others. A dot is a batch; of more than 200, there are 200 dots that divide them evenly. On
        them lie the median, a thick line over the middle half and a thin one over the middle 90 %,
        from the 5th to the 95th percentile. The slowest group is at the top. Batches that have not
        ended are counted in the title.

    Raises
    ------
    ValueError
        If the frame lacks a column.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> ax = lb.plot_durations(lb.fetch_batches(), by="job_type")
    >>> ax.get_xlabel()
    'from created to ended'
    """
    groups = arguments.parse_column_names("by", by)
    frame = _read(batches, groups)
    took = frame.dropna(subset="_seconds")
    rows = _rows(took, groups)
    if ax is None:
        ax = layout.new_axes(len(rows))
    layout.style_axes(ax, "x")
    shown = rows[-layout.most_rows(ax) :]
    labels = [layout.group_label(row, groups, layout.longest_name(ax)) for row, _ in shown]
    log = _needs_log_scale(took["_seconds"].to_numpy())
    for place, (_, seconds) in enumerate(shown):
        _draw_row(ax, place, np.maximum(seconds, SECOND) if log else seconds)
    left_out = len(rows) - len(shown)
    room = layout.label_rows(
        ax,
        labels,
        [_row_text(seconds) for _, seconds in shown],
        f"{layout.counted(left_out, 'group')} with shorter medians not shown" if left_out else "",
    )
    _time_axis(ax, [seconds for _, seconds in shown], log, room)
    if took.empty:
        ax.set(xticks=[], yticks=[])
        layout.annotate_empty(
            ax, "no batch has ended yet" if len(frame) else "nothing to show: no batches"
        )
    many = any(len(seconds) > MAX_POINTS for _, seconds in shown)
    layout.set_title(
        ax, *_title(frame, groups, many), left=max(map(layout.width_of, labels), default=0)
    )
    return ax


def time_text(seconds: float) -> str:
    """Return a length of time in a unit that suits it: ``12 s``, ``3.5 min``, ``2 h``, ``4 d``."""
    for unit, length in (("d", 2 * DAY), ("h", HOUR), ("min", MINUTE)):
        if round(seconds, 1) >= length:
            number = seconds / (DAY if unit == "d" else length)
            return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.2g} s"


def _read(batches: Any, groups: list[str]) -> pd.DataFrame:
    """Return the groups' columns, and the seconds that each batch took if it has ended."""
    there = engines.column_names(batches)
    if "duration" in there:
        needed = ["duration", *(name for name in ["status"] if name in there)]
    else:
        needed = ["status", "created_at", "updated_at"]
    frame = engines.select_to_pandas(batches, *dict.fromkeys([*groups, *needed])).reset_index(
        drop=True
    )
    if "duration" in there:
        took = pd.to_timedelta(frame["duration"])
    else:
        took = engines.to_utc(frame["updated_at"]) - engines.to_utc(frame["created_at"])
    ended = frame["status"].isin(TERMINAL_STATUSES) if "status" in needed else took.notna()
    seconds = took.dt.total_seconds()
    return frame.assign(_ended=ended, _seconds=seconds.where(ended & (seconds >= 0)))


def _rows(took: pd.DataFrame, groups: list[str]) -> list[tuple[pd.Series[Any], Floats]]:
    """Return the first batch and the sorted seconds of each group, the slowest last."""
    if groups:
        by = took.groupby(groups, dropna=False, observed=True, sort=False)
        parts = [part for _, part in by]
    else:
        parts = [took] if len(took) else []
    found = [(part.iloc[0], np.sort(part["_seconds"].to_numpy(dtype=float))) for part in parts]
    return sorted(found, key=lambda row: float(np.median(row[1])))


def _needs_log_scale(seconds: Floats) -> bool:
    """Tell whether times differ by so much that a linear axis would hide the short ones."""
    if not len(seconds):
        return False
    short, long = np.quantile(seconds, [0.05, 1])
    return bool(long > WIDE * max(short, SECOND))


def _draw_row(ax: Axes, place: int, seconds: Floats) -> None:
    many = len(seconds) > MAX_POINTS
    dots = np.quantile(seconds, np.linspace(0, 1, MAX_POINTS)) if many else seconds
    spread = ((np.arange(1, len(dots) + 1) * GOLDEN) % 1 - 0.5) * min(1, len(dots) / 30)
    strip = ax.plot(
        dots, place + 0.42 * spread, "o", color=BLUE, ms=3.5, mew=0, alpha=0.45 if many else 0.6
    )
    low, lower, median, upper, high = np.quantile(seconds, [0.05, 0.25, 0.5, 0.75, 0.95])
    if len(seconds) >= MIN_BATCHES_FOR_SPREAD:
        ax.hlines(place, low, high, color=INK, lw=1.2)
        ax.hlines(place, lower, upper, color=INK, lw=4)
    dot = ax.plot([median], [place], "o", mfc="white", mec=INK, mew=1.6, ms=7, zorder=4)
    layout.clip_loosely(ax, *strip, *dot)


def _row_text(seconds: Floats) -> str:
    low, median, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    spread = (
        f" ({time_text(low)} – {time_text(high)})" if len(seconds) >= MIN_BATCHES_FOR_SPREAD else ""
    )
    return f"{time_text(median)}{spread}, n = {len(seconds):,}"


def _time_axis(ax: Axes, rows: list[Floats], log: bool, room: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    longest = max((float(row[-1]) for row in rows), default=0.0) or 1.0
    shortest = max(min((float(row[0]) for row in rows), default=0.0), SECOND) if log else 0.0
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(0.8 * shortest, 1.25 * longest)
    else:
        ax.set_xlim(0, 1.06 * longest)
    most = max(2, min(8, int(room / 42)))
    ax.xaxis.set_major_locator(FixedLocator(_ticks(shortest, longest, log, most)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: time_text(seconds)))
    layout.set_axis_label(ax.xaxis, "from created to ended")


def _ticks(shortest: float, longest: float, log: bool, most: int) -> list[float]:
    """Return times that read well, evenly apart and not too many."""
    if log:
        inside = [tick for tick in TICKS if 0.8 * shortest <= tick <= 1.25 * longest]
        return list(inside[:: -(-len(inside) // most) or 1])
    wide = [longest / most, *(tick for tick in TICKS if tick >= longest / most)]
    step = wide[min(1, len(wide) - 1)] if longest >= most else wide[0]
    return [float(tick) for tick in np.arange(0, 1.06 * longest, step)]


def _title(frame: pd.DataFrame, groups: list[str], many: bool) -> list[str]:
    ended, drawn = int(frame["_ended"].sum()), int(frame["_seconds"].notna().sum())
    running = len(frame) - ended
    return [
        f"How long batches took{layout.by_clause(groups)}",
        f"{ended:,} ended of {len(frame):,} batches"
        + (f" · {running:,} still running, not drawn" if running else ""),
        f"{ended - drawn:,} without times, not drawn" if ended > drawn else "",
        "○ median · lines: middle 50 % and 90 %" * bool(drawn)
        + f" · at most {MAX_POINTS} dots a row" * many,
    ]
