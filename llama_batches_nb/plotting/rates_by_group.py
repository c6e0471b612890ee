"""Draw failure rates by group: a dot on its interval for each group, one per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.plotting import hover, layout, rate_axis
from llama_batches_nb.plotting.layout import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOLLOW_NOTE = "hollow: one batch"


def draw_groups(ax: Axes, rates: pd.DataFrame, groups: list[str], title: list[str]) -> None:
    """Draw a row per group, the one with the highest interval at the top.

    If there are too many, those with the lowest intervals are left out.
    """
    ordered = rates.sort_values(
        ["ci_low", "failure_rate"], na_position="first", ignore_index=True, kind="stable"
    )
    hidden = max(0, len(ordered) - layout.max_rows(ax))
    max_length = layout.max_label_length(ax)
    every_label = [layout.group_label(row, groups, max_length) for _, row in ordered.iterrows()]
    labels, ordered = every_label[hidden:], ordered[hidden:].reset_index(drop=True)
    note = ""
    if hidden:
        start = f"{layout.format_count(hidden, 'group')} with lower intervals not shown"
        note = layout.join_names(ax, start, every_label[:hidden][::-1])
    texts = [format_rate(row) for _, row in ordered.iterrows()]
    width = layout.label_rows(ax, labels, texts, note)
    limit = rate_axis.scale_limit(rates)
    notes = _draw_rows(ax, ordered, limit)
    rate_axis.set_rate_axis(ax, limit, "x", width)
    if not len(ordered):
        layout.annotate_empty(ax, "no rows")
    layout.set_title(
        ax, *title, " · ".join(notes), left=max(map(layout.text_width, labels), default=0)
    )
    hover.add_rows(ax, [layout.group_name(row, groups) for _, row in ordered.iterrows()], texts)


def _draw_rows(ax: Axes, rates: pd.DataFrame, limit: float) -> list[str]:
    """Draw the intervals and points of the rows. Return the notes that explain them."""
    colour = COLOURS[0]
    y = pd.Series(np.arange(len(rates)))
    ax.hlines(y, rates["ci_low"], rates["ci_high"], color=colour, lw=2.5, alpha=0.45)
    low, high = rate_axis.open_ranges(rates)
    is_open = low.notna().to_numpy()
    if is_open.any():
        ax.hlines(y[is_open] - 0.2, low[is_open], high[is_open], color=colour, lw=1.2, ls=":")
    hollow = rate_axis.one_batch(rates).to_numpy()
    layout.clip_with_margin(ax, *ax.plot(rates["failure_rate"], y, "o", color=colour, ms=6))
    if hollow.any():
        x = rates["failure_rate"][hollow]
        layout.clip_with_margin(ax, *ax.plot(x, y[hollow], "o", color=colour, mfc="white", ms=6))
    is_beyond = rate_axis.mark_beyond(ax, y, rates["ci_high"], limit, colour, "x")
    notes = (
        (hollow.any(), HOLLOW_NOTE),
        (is_open.any(), rate_axis.OPEN_NOTE),
        (is_beyond, rate_axis.BEYOND_NOTE),
    )
    return [note for applies, note in notes if applies]
