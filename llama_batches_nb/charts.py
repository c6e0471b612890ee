"""Failure rates as charts: percent from zero, the interval, and how many rows stand behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llama_batches_nb import inputs
from llama_batches_nb.rates import COUNTS, RATES, Kind, failure_rates, kind_of, rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind eyes too; yellow is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, PALE = "#333333", "#8A8A8A"
MOST_LINES = len(COLOURS)
MOST_BARS = 30
FEW = 20  # rows whose wide interval does not set the scale
MOST_SIZES = 16  # numbers along the top
LONGEST_LABEL = 36  # characters


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
    columns = inputs.column_names(frame_or_rates)
    kind: Kind | None = None
    if set(columns) >= {*COUNTS, *RATES}:
        rates = inputs.columns_of(frame_or_rates, *columns)
    else:
        kind = kind_of(frame_or_rates)
        rates = failure_rates(frame_or_rates, by=by, freq=freq, confidence=confidence)
    keys = [name for name in rates.columns if name not in (*COUNTS, *RATES)]
    times = [key for key in keys if pd.api.types.is_datetime64_any_dtype(rates[key])]
    groups = [key for key in keys if key not in times]
    if ax is None:
        ax = _new_axes(1 if times else len(rates))
    if times:
        step = _step_of(freq) if freq else _shortest_step(rates[times[-1]])
        _draw_over_time(ax, rates, times[-1], groups, step)
    else:
        _draw_groups(ax, rates, groups)
    axis, share = (ax.yaxis if times else ax.xaxis), f"failed {kind.row if kind else 'rows'}"
    axis.set_label_text(f"{share} of those decided", color=INK)
    ax.set_title(_title(kind, rates, groups, confidence), loc="left", color=INK, fontsize="medium")
    return ax


def _new_axes(n_rows: int) -> Axes:
    import matplotlib.pyplot as plt

    height = min(max(3.6, 1.4 + 0.38 * min(n_rows, MOST_BARS)), 12.0)
    _, ax = plt.subplots(figsize=(8, height), layout="constrained", facecolor="white")
    return ax


def _draw_over_time(
    ax: Axes, rates: pd.DataFrame, time: str, groups: list[str], step: pd.Timedelta
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    lines = _largest_first(rates.dropna(subset=time), groups)
    for colour, (label, line) in zip(COLOURS, lines[:MOST_LINES], strict=False):
        line = _with_gaps(line.sort_values(time), time, step)
        decided = int(line["decided"].sum())
        shown = f"{label} (n = {decided:,})" if groups else f"n = {decided:,}"
        when = line[time].dt.tz_localize(None).to_numpy()
        ax.fill_between(when, line["ci_low"], line["ci_high"], color=colour, alpha=0.18, lw=0)
        ax.vlines(when, line["ci_low"], line["ci_high"], color=colour, alpha=0.35, lw=1)
        ax.plot(when, line["failure_rate"], color=colour, marker="o", ms=4, lw=1.6, label=shown)
    _percent_axis(ax, rates, "y")
    ax.set_xlabel(f"{time.replace('_', ' ')} (UTC)", color=INK)
    if not lines:
        ax.set_xticks([])
        _say_empty(ax)
        return
    locator = AutoDateLocator(minticks=3, maxticks=10)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    periods = rates[time].dropna().dt.tz_localize(None)
    beside = (3 if periods.nunique() == 1 else 0.6) * step
    ax.set_xlim(periods.min() - beside, periods.max() + beside)
    if not rates["decided"].any():
        _say_empty(ax, "nothing is decided yet")
    if groups:
        left_out = len(lines) - MOST_LINES
        ax.legend(
            title=f"{left_out} smaller groups not shown" if left_out > 0 else None,
            frameon=False,
            fontsize="small",
            loc="upper left",
            bbox_to_anchor=(1, 1),
            labelcolor=INK,
        )
    else:
        _write_sizes(ax, lines[0][1].sort_values(time), time)


def _write_sizes(ax: Axes, line: pd.DataFrame, time: str) -> None:
    """Write how many rows stand behind each point along the top, no denser than is legible."""
    every = -(-len(line) // MOST_SIZES)
    sizes = line.iloc[::every] if every else line
    for when, decided in zip(sizes[time].dt.tz_localize(None), sizes["decided"], strict=True):
        ax.annotate(
            f"{'n = ' if when == sizes[time].iloc[0].tz_localize(None) else ''}{decided:,}",
            (when.to_numpy(), 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize="x-small",
            color=PALE,
        )


def _draw_groups(ax: Axes, rates: pd.DataFrame, groups: list[str]) -> None:
    ordered = rates.sort_values("failure_rate", na_position="first", ignore_index=True)
    left_out = max(0, len(ordered) - MOST_BARS)
    ordered = ordered[left_out:].reset_index(drop=True)
    place = np.arange(len(ordered))
    rate = ordered["failure_rate"].to_numpy()
    ax.hlines(place, ordered["ci_low"], ordered["ci_high"], color=COLOURS[0], lw=2.5, alpha=0.45)
    ax.plot(rate, place, "o", color=COLOURS[0], ms=6)
    labels = [_label(row, groups) for _, row in ordered.iterrows()]
    ax.set_yticks(place, labels)
    ax.set_ylim(-0.6, max(len(ordered) - 0.4, 0.6))
    _percent_axis(ax, rates, "x")
    for y, (_, row) in zip(place, ordered.iterrows(), strict=True):
        ax.annotate(
            rate_text(row),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=INK,
        )
    if left_out:
        note = f"{left_out:,} groups with lower rates are not shown"
        ax.annotate(
            note,
            (0, -1.2),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize="small",
            color=PALE,
        )
        ax.set_ylim(bottom=-1.2)
    if not len(ordered):
        _say_empty(ax)


def _percent_axis(ax: Axes, rates: pd.DataFrame, axis: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    many = rates["ci_high"].where(rates["decided"] >= FEW)  # those of few may leave the picture
    highest = pd.concat([rates["failure_rate"], many]).max()
    if pd.isna(many).all():
        highest = rates["ci_high"].max()
    top = 1.0 if not highest > 0 else min(1.0, 1.12 * highest)
    scale = ax.yaxis if axis == "y" else ax.xaxis
    (ax.set_ylim if axis == "y" else ax.set_xlim)(0, top)
    scale.set_major_locator(MaxNLocator(6))
    scale.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
    ax.set_facecolor("white")
    ax.grid(axis=axis, color="#E3E3E3", lw=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors=INK, length=3)


def _largest_first(rates: pd.DataFrame, groups: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each group with its label, most decided first."""
    if not groups:
        return [("", rates)] if len(rates) else []
    parts = [
        (_label(part.iloc[0], groups), part)
        for _, part in rates.groupby(groups, dropna=False, observed=True, sort=False)
    ]
    return sorted(parts, key=lambda part: -int(part[1]["decided"].sum()))


def _step_of(freq: str) -> pd.Timedelta:
    """Return how long a period is."""
    offset = pd.tseries.frequencies.to_offset(freq)
    start = pd.Timestamp(0) + offset
    return start + offset - start


def _shortest_step(times: pd.Series[Any]) -> pd.Timedelta:
    step: pd.Timedelta = times.drop_duplicates().sort_values().diff().min()
    return pd.Timedelta(days=1) if pd.isna(step) else step


def _with_gaps(line: pd.DataFrame, time: str, step: pd.Timedelta) -> pd.DataFrame:
    """Put a row without a rate where a period is missing, so that no line is drawn across it."""
    missing = line[time].diff() > 1.6 * step
    gaps = pd.DataFrame({time: line.loc[missing, time] - step})
    return pd.concat([line, gaps]).sort_values(time) if len(gaps) else line


def _label(row: pd.Series[Any], groups: list[str]) -> str:
    words = ["(none)" if pd.isna(row[key]) else str(row[key]) for key in groups]
    text = " ".join(" · ".join(words).split()) or "all"
    short = text if len(text) <= LONGEST_LABEL else f"{text[:20]}…{text[21 - LONGEST_LABEL :]}"
    escaped = short.replace("$", r"\$")  # no formulas
    return f" {escaped}" if escaped.startswith("_") else escaped  # else no part of the legend


def _title(kind: Kind | None, rates: pd.DataFrame, groups: list[str], confidence: float) -> str:
    decided, total = int(rates["decided"].sum()), int(rates["total"].sum())
    what, row = (f"Failed {kind.row} ({kind.layer})", kind.row) if kind else ("Failures", "rows")
    per = f" by {' and '.join(groups)}" if groups else ""
    interval = f" · {100 * confidence:g} % interval" if kind else ""
    return f"{what}{per}\n{decided:,} decided of {total:,} {row}{interval}"


def _say_empty(ax: Axes, words: str = "nothing to show: no rows") -> None:
    ax.annotate(words, (0.5, 0.5), xycoords="axes fraction", ha="center", color=PALE)
