"""Parts of the bars of outcomes that both charts share: counts, styles, legend, names and ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import FrameKind
from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.colours import (  # fmt: skip
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    background,
    lighten,
)
from llama_batches_nb.plotting.limits import AxisName, is_linear
from llama_batches_nb.plotting.names import group_names, shorten_names
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import Series

Floats = npt.NDArray[np.float64]

# Colour and hatch of each outcome; the hatch distinguishes it without colour.
STYLES = {
    "mapping_error": (ORANGE, "xxxx"),
    "job_failed": (VERMILION, "////"),
    "succeeded": (GREEN, ""),
    "partial": (GREEN, "oo"),
    "mapped": (BLUE, ""),
    "job_cancelled": (PURPLE, "\\\\\\\\"),
    "job_running": (SKY, "...."),
    "job_unknown": (GREY, "oo"),
    "no_job": (GREY, "----"),
    "FAILED": (VERMILION, "////"),
    "COMPLETED": (GREEN, ""),
    "PENDING": (GREY, "----"),
    "THROTTLED": (ORANGE, "||||"),
    "RUNNING": (SKY, "...."),
    "CANCELLED": (PURPLE, "\\\\\\\\"),
}
UNKNOWN_STYLE = (GREY, "++++")  # of a value that is not listed in STYLES


def count_table(counts: pd.DataFrame, keys: list[str], kind: FrameKind) -> pd.DataFrame:
    """Return the totals with one row per combination of keys and one column per outcome."""
    table = counts.pivot_table(
        index=keys, columns="_outcome", values="total", aggfunc="sum", fill_value=0
    )
    return table[ordered_outcomes(counts, kind)] if len(counts) else table


def ordered_outcomes(counts: pd.DataFrame, kind: FrameKind) -> list[str]:
    """Return the outcomes that occur: failures, successes, undecided, then unknown values."""
    occurring = set(counts["_outcome"])
    ordered = [*decided_values(kind), *OUTCOMES, *BATCH_STATUSES, *sorted(occurring)]
    return [value for value in dict.fromkeys(ordered) if value in occurring]


def decided_values(kind: FrameKind) -> list[str]:
    """Return the outcomes that are failures or successes."""
    return [*kind.failures, *kind.successes]


def count_undecided(table: pd.DataFrame, kind: FrameKind) -> Series:
    """Return how many rows are undecided, for each row of a count table."""
    return table.drop(columns=decided_values(kind), errors="ignore").sum(axis=1)


def format_size(total: int, undecided: int) -> str:
    """Return the number of rows, and how many of them are undecided."""
    return f"{total:,}" + (f" ({undecided:,} undecided)" if undecided else "")


def ranked_names(counts: pd.DataFrame, groups: list[str], max_length: int) -> list[str]:
    """Return the shortened names of the groups that are drawn or named, by rank."""
    first_rows = counts.drop_duplicates("_group").sort_values("_group")
    named = first_rows.head(layout.MAX_ROWS + layout.MAX_NAMED)
    return shorten_names(group_names(named, groups), max_length)


def hidden_note(ax: Axes, sizes: Series, names: list[str], kind: FrameKind) -> str:
    """Return the note about groups that are not drawn, from their sizes."""
    if sizes.empty:
        return ""
    groups = format_count(len(sizes), "group")
    start = (
        f"{groups} with lower failure rates ({format_count(int(sizes.sum()), kind.noun)}) not shown"
    )
    return layout.name_left_out(ax, start, names, len(sizes))


def bar_style(ax: Axes, outcome: str, kind: FrameKind) -> dict[str, Any]:
    """Return the fill of an outcome: solid if it is decided, else pale."""
    colour, hatch = STYLES.get(outcome, UNKNOWN_STYLE)
    if outcome in decided_values(kind):
        return {"facecolor": colour, "edgecolor": background(ax), "hatch": hatch, "lw": 0}
    return {"facecolor": lighten(colour), "edgecolor": colour, "hatch": hatch, "lw": 0}


def add_legend(ax: Axes, counts: pd.DataFrame, kind: FrameKind, left: float = 50.0) -> float:
    """Add a legend of the outcomes that occur, with their number of rows."""
    from matplotlib.patches import Patch

    if counts.empty:
        return 0.0
    sizes = counts.groupby("_outcome")["total"].sum()
    values = ordered_outcomes(counts, kind)
    labels = [f"{value} ({sizes[value]:,})" for value in values]
    handles = [Patch(**bar_style(ax, value, kind)) for value in values]
    return layout.legend_above(ax, handles, labels, left=left)


def set_count_axis(ax: Axes, name: AxisName, max_ticks: float) -> None:
    """Give a linear axis at most six ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if is_linear(ax, name):
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_locator(MaxNLocator(max(2, min(6, int(max_ticks))), integer=True))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
