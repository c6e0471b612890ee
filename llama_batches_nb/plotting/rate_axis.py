"""The axis of failure rates: its scale, what lies beyond it, and ranges that are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from llama_batches_nb.analysis.effective_size import MIN_DF
from llama_batches_nb.plotting import layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import Series

MIN_ROWS_FOR_SCALE = 20  # effective rows; intervals of fewer are wide, and may exceed the axis
MIN_OPEN_SHARE = 0.05  # undecided share of the rows from which the open range is drawn

OPEN_NOTE = "dotted: range if the undecided rows all succeed or all fail"
BEYOND_NOTE = "⌃ interval ends beyond the axis"


def scale_limit(rates: pd.DataFrame) -> float:
    """Return the end of the axis: it fits the intervals of what is well known."""
    highs = rates["ci_high"].where(rates["n_effective"] >= MIN_ROWS_FOR_SCALE)
    highest = (rates["ci_high"] if highs.isna().all() else highs).max()
    return 1.0 if not highest > 0 else min(1.0, 1.12 * float(highest))


def set_rate_axis(
    ax: Axes, limit: float, axis_name: Literal["x", "y"], length: float = 300
) -> None:
    """Scale the axis of the rates, in percent. `length` is in points."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = ax.yaxis if axis_name == "y" else ax.xaxis
    (ax.set_ylim if axis_name == "y" else ax.set_xlim)(0, limit)
    axis.set_major_locator(MaxNLocator(max(2, min(6, int(length / 40)))))
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def open_ranges(rates: pd.DataFrame) -> tuple[Series, Series]:
    """Return the rates if the undecided rows all succeed, and if they all fail.

    They are missing where at most `MIN_OPEN_SHARE` of the rows are undecided (C. F. Manski 1989,
    "Anatomy of the selection problem", J. Hum. Resour. 24, 343-360).
    """
    is_open = rates["undecided"] > MIN_OPEN_SHARE * rates["total"]
    total = rates["total"].where(is_open)
    return rates["failed"] / total, (rates["failed"] + rates["undecided"]) / total


def mark_beyond(
    ax: Axes, at: Series, highs: Series, limit: float, colour: str, axis_name: Literal["x", "y"]
) -> bool:
    """Draw an arrow head at the end of the axis for each interval that ends beyond it."""
    beyond = at[(highs > limit).to_numpy()]
    if not len(beyond):
        return False
    end = [limit] * len(beyond)
    x, y = (beyond, end) if axis_name == "y" else (end, beyond)
    marker = 6 if axis_name == "y" else 5  # caret up, caret right
    (drawn,) = ax.plot(x, y, ls="", marker=marker, ms=4, color=colour, alpha=0.6)
    layout.clip_with_margin(ax, drawn)
    return True


def one_batch(rates: pd.DataFrame) -> Series:
    """Return where a rate is that of a single batch, so that no interval holds for others."""
    return rates["batches"].eq(1).fillna(False).astype(bool)


def interval_note(rates: pd.DataFrame, level: str) -> str:
    """Return what the intervals of rates are, such as `level`, and for what they hold."""
    known = rates[rates["decided"] > 0]
    batches = known["batches"]
    if batches.isna().any():
        return f"{level} of these rows only"
    if batches.eq(known["decided"]).all():
        return level
    df = int(batches.sum()) - len(known)
    if df == 0:
        return f"{level} of these files only: one batch each"
    few = " (few batches: may be too narrow)" if df < MIN_DF else ""
    return f"{level}, files of a batch taken together{few}"
