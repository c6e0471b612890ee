"""The axis of failure rates: its scale, what lies beyond it, and ranges that are still open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.effective_size import MIN_DF
from llama_batches_nb.plotting.layout import clip_with_margin
from llama_batches_nb.plotting.limits import AxisName, Limits, is_linear

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

    from llama_batches_nb.types import Series

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MIN_ROWS_FOR_SCALE = 20  # effective rows; intervals of fewer are wide, and may exceed the axis
MIN_BATCHES = 3  # the rate of fewer is drawn hollow
MIN_OPEN_SHARE = 0.05  # undecided share of the rows from which the open range is drawn

HOLLOW_NOTE = f"hollow: fewer than {MIN_BATCHES} batches"
OPEN_NOTE = "dotted: range if the undecided rows all succeed or all fail"
BEYOND_NOTE = "⌃ interval ends beyond the axis"


def scale_limit(rates: pd.DataFrame) -> float:
    """Return the end of the axis: it fits the intervals of what is well known."""
    highs = rates["ci_high"].where(rates["n_effective"] >= MIN_ROWS_FOR_SCALE)
    highest = (rates["ci_high"] if highs.isna().all() else highs).max()
    return 1.0 if not highest > 0 else min(1.0, 1.12 * float(highest))


def set_rate_axis(
    ax: Axes, limits: Limits, limit: float, name: AxisName, length: float = 300
) -> float:
    """Scale the axis of the rates, in percent. `length` is in points. Return the upper limit."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if is_linear(ax, name):
        axis = ax.yaxis if name == "y" else ax.xaxis
        axis.set_major_locator(MaxNLocator(max(2, min(6, int(length / 40)))))
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
    return limits.show(name, 0, limit)


def open_ranges(rates: pd.DataFrame) -> tuple[Series, Series]:
    """Return the rates if the undecided rows all succeed, and if they all fail.

    They are missing where at most `MIN_OPEN_SHARE` of the rows are undecided (C. F. Manski 1989,
    "Anatomy of the selection problem", J. Hum. Resour. 24, 343-360).
    """
    is_open = rates["undecided"] > MIN_OPEN_SHARE * rates["total"]
    total = rates["total"].where(is_open)
    return rates["failed"] / total, (rates["failed"] + rates["undecided"]) / total


def mark_beyond(
    ax: Axes, at: Floats, highs: Floats, limit: float, colours: Sequence[str], name: AxisName
) -> None:
    """Draw an arrow head at the end of the axis for each interval that ends beyond it.

    Whether it does is decided whenever the axes are drawn: another chart on them, or the user, may
    have widened the limits.
    """
    if not (highs > limit).any():
        return
    from matplotlib.collections import PathCollection
    from matplotlib.markers import CARETRIGHTBASE, CARETUPBASE, MarkerStyle

    class Arrows(PathCollection):
        def draw(self, renderer: RendererBase) -> None:
            end = max(ax.get_ylim() if name == "y" else ax.get_xlim())
            beyond = highs > end
            ends = np.full(int(beyond.sum()), end)
            pair = (at[beyond], ends) if name == "y" else (ends, at[beyond])
            self.set_offsets(np.column_stack(pair))
            self.set_facecolor(
                [c for c, is_beyond in zip(colours, beyond, strict=True) if is_beyond]
            )
            super().draw(renderer)

    style = MarkerStyle(CARETUPBASE if name == "y" else CARETRIGHTBASE)
    path = style.get_path().transformed(style.get_transform())
    arrows = Arrows(
        [path], [20], offsets=np.empty((0, 2)), offset_transform=ax.transData, alpha=0.7
    )
    arrows.set_in_layout(False)
    ax.add_artist(arrows)
    clip_with_margin(ax, arrows)


def few_batches(rates: pd.DataFrame) -> Booleans:
    """Return where a rate is that of few batches, so that it says little about others."""
    few = rates["batches"].lt(MIN_BATCHES).fillna(False).astype(bool)
    return (few & rates["decided"].gt(0)).to_numpy()


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
