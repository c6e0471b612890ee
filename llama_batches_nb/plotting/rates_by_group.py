"""Draw failure rates by group: a dot on its interval for each group, one per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting import hover, layout, rate_axis
from llama_batches_nb.plotting.colours import background, group_colours, group_key
from llama_batches_nb.plotting.headings import add_heading
from llama_batches_nb.plotting.limits import Limits
from llama_batches_nb.plotting.names import group_names, shorten_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_groups(
    ax: Axes,
    limits: Limits,
    rates: pd.DataFrame,
    groups: list[str],
    title: str,
    subtitle: list[str],
) -> None:
    """Draw a row per group, the one with the highest interval at the top.

    If there are too many, those with the lowest intervals are left out.
    """
    ordered = rates.sort_values(
        ["ci_low", "failure_rate"], na_position="first", ignore_index=True, kind="stable"
    )
    top = ordered.tail(layout.MAX_ROWS)
    texts = [format_rate(row) for _, row in top.iterrows()]
    hidden = max(0, len(ordered) - layout.max_rows(ax, group_names(top, groups), texts))
    named = group_names(ordered[max(0, hidden - layout.MAX_NAMED) :], groups)
    short = shorten_names(named, layout.max_label_length(ax))
    shown = ordered[hidden:].reset_index(drop=True)
    n_named = len(short) - len(shown)
    labels, left_out = short[n_named:], short[:n_named][::-1]
    note = ""
    if hidden:
        start = f"{format_count(hidden, 'group')} with lower intervals not shown"
        note = layout.name_left_out(ax, start, left_out, hidden)
    texts = texts[len(texts) - len(shown) :]
    width = layout.label_rows(ax, limits, labels, texts, note)
    limit = rate_axis.set_rate_axis(ax, limits, rate_axis.scale_limit(rates), "x", width)
    notes = _draw_rows(ax, shown, groups, limit)
    if not len(shown):
        layout.annotate_empty(ax, limits, "no rows")
    label_width = layout.widest(labels)
    add_heading(ax, title, subtitle, notes, left=label_width)
    hover.add_rows(ax, named[n_named:], texts)


def _draw_rows(ax: Axes, rates: pd.DataFrame, groups: list[str], limit: float) -> list[str]:
    """Draw the intervals and points of the rows. Return the notes that explain them."""
    from matplotlib.collections import LineCollection

    keys = [group_key(row, groups) for _, row in rates[::-1].iterrows()]
    colours = group_colours(ax, groups, keys)[::-1]
    y = np.arange(len(rates), dtype=float)
    ends = np.stack([rates[["ci_low", "ci_high"]].to_numpy(), np.column_stack([y, y])], axis=2)
    # not hlines, which in matplotlib 3.9 gives a logarithmic axis wrong data limits
    intervals = LineCollection(list(ends), colors=colours, linewidths=2.5, alpha=0.45)
    ax.add_collection(intervals, autolim=False)
    low, high = rate_axis.open_ranges(rates)
    is_open = low.notna().to_numpy()
    if is_open.any():
        open_colours = np.array(colours)[is_open]
        ax.hlines(y[is_open] - 0.2, low[is_open], high[is_open], color=open_colours, lw=1.2, ls=":")
    hollow = rate_axis.few_batches(rates)
    faces = [
        background(ax) if is_hollow else colour
        for is_hollow, colour in zip(hollow, colours, strict=True)
    ]
    points = ax.scatter(rates["failure_rate"], y, 36, faces, edgecolors=colours, linewidths=1.2)
    points.set_zorder(3)
    layout.clip_with_margin(ax, points)
    highs = rates["ci_high"].to_numpy()
    rate_axis.mark_beyond(ax, y, highs, limit, colours, "x")
    notes = (
        (hollow.any(), rate_axis.HOLLOW_NOTE),
        (is_open.any(), rate_axis.OPEN_NOTE),
        ((highs > limit).any(), rate_axis.BEYOND_NOTE),
    )
    return [note for applies, note in notes if applies]
