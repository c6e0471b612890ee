"""Outcomes over time: one strip of stacked bars per group, in one scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import FrameKind
from llama_batches_nb.messages import plural
from llama_batches_nb.plotting import hover, layout
from llama_batches_nb.plotting.colours import ink
from llama_batches_nb.plotting.fonts import font_families
from llama_batches_nb.plotting.headings import add_heading
from llama_batches_nb.plotting.hover import HoverArea
from llama_batches_nb.plotting.limits import Limits
from llama_batches_nb.plotting.outcome_bars import (
    add_legend,
    bar_style,
    count_table,
    count_undecided,
    format_size,
    hidden_note,
    ranked_names,
    set_count_axis,
)
from llama_batches_nb.plotting.periods import period_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.plotting.outcome_bars import Floats

MAX_STRIPS = 6
MIN_STRIP_HEIGHT = 40  # points
STRIP_LABEL_HEIGHT = 14  # points, within the strip
MAX_SPACED_BARS = 80  # more bars have no gaps between them
BAR_WIDTH = 0.86  # share of the period, for bars with gaps


def draw_over_time(
    ax: Axes,
    limits: Limits,
    counts: pd.DataFrame,
    groups: list[str],
    kind: FrameKind,
    length: pd.Timedelta,
    title: str,
    subtitle: list[str],
) -> None:
    """Draw a strip of bars per group, that with the highest rank at the top, in one scale."""
    dated = counts.dropna(subset=kind.time)
    sizes = dated.groupby("_group")["total"].sum()
    table = count_table(dated, ["_group", kind.time], kind)
    highest = max(table.sum(axis=1), default=0) or 1
    above = add_legend(ax, counts, kind)
    height = layout.available_height(ax, above)
    max_strips = max(1, min(MAX_STRIPS, int(height / MIN_STRIP_HEIGHT)))
    shown = sizes.index[:max_strips].tolist()
    strip_height = max(height / max(len(shown), 1), MIN_STRIP_HEIGHT)
    spacing = 1.05 * highest
    if groups:
        spacing = highest * strip_height / (strip_height - STRIP_LABEL_HEIGHT)
    baselines = [-spacing * n for n in range(len(shown))]
    for group, baseline in zip(shown, baselines, strict=True):
        _draw_strip(ax, table.loc[group], baseline, kind, length)
    if len(dated):
        first, last = layout.date_numbers(dated[kind.time].agg(["min", "max"])).tolist()
        days = length / pd.Timedelta(days=1)
        margin = 2 * days if first == last else 0.3 * days
        zone = dated[kind.time].dt.tz
        layout.set_date_axis(ax, limits, kind.time, first - margin, last + days + margin, zone)
    else:
        text = f"no {plural(kind.noun)} with a time" if len(counts) else "no rows"
        layout.annotate_empty(ax, limits, text)
    names = ranked_names(dated, groups, layout.max_label_length(ax, 0.5))
    if groups:
        undecided = count_undecided(table, kind).groupby("_group").sum()
        strip_labels = {
            baseline: f"{name}: {format_size(sizes[group], undecided[group])}"
            for baseline, name, group in zip(baselines, names, shown, strict=False)
        }
        _label_strips(ax, strip_labels, highest)
    else:
        set_count_axis(ax, "y", 6)
    limits.show("y", min(baselines, default=0), spacing)
    note = hidden_note(ax, sizes[max_strips:], names[max_strips:], kind)
    add_heading(ax, title, subtitle, [note.replace("\n", " ")], left=50, above=above)


def _draw_strip(
    ax: Axes, table: pd.DataFrame, baseline: float, kind: FrameKind, length: pd.Timedelta
) -> None:
    """Draw the bars of one group: one step patch per outcome, flat between the bars."""
    starts = table.index.to_series()
    lengths = period_ends(starts, length) - starts
    ends = starts + lengths * (BAR_WIDTH if len(table) <= MAX_SPACED_BARS else 1.0)
    edges = np.column_stack([layout.date_numbers(starts), layout.date_numbers(ends)]).ravel()
    lower = np.full(len(table), float(baseline))
    for outcome in table.columns:
        upper = lower + table[outcome].to_numpy()
        ax.stairs(
            _interleave_baseline(upper, baseline),
            edges,
            baseline=_interleave_baseline(lower, baseline),
            fill=True,
            **bar_style(ax, outcome, kind),
        )
        lower = upper
    hover.add(ax, _period_areas(table, edges.reshape(-1, 2), baseline, length))


def _period_areas(
    table: pd.DataFrame, edges: Floats, baseline: float, length: pd.Timedelta
) -> Iterator[HoverArea]:
    """Yield the text of each bar of a strip: the number of rows per outcome."""
    step = -(-len(table) // hover.MAX_PERIODS) or 1
    for n in range(0, len(table), step):
        counts = table.iloc[n]
        total = counts.sum()
        lines = [
            f"{outcome}: {count:,} of {total:,} ({count / total:.1%})"
            for outcome, count in counts.items()
            if count
        ]
        start, *_, end = edges[n : n + step].ravel()
        text = "\n".join([hover.format_start(table.index[n], length), *lines])
        yield HoverArea((start, end), (baseline, baseline + total), text)


def _interleave_baseline(heights: Floats, baseline: float) -> Floats:
    """Return the heights with the baseline between neighbours."""
    pairs: Floats = np.column_stack([heights, np.full(len(heights), baseline)])
    return pairs.ravel()[:-1]


def _label_strips(ax: Axes, labels: dict[float, str], highest: float) -> None:
    """Label each strip, given by its baseline, and add its ticks and its base line."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

    tick_values = MaxNLocator(2, integer=True).tick_values(0, highest)
    ticks = [tick for tick in tick_values if 0 <= tick <= highest]
    ax.yaxis.set_major_locator(FixedLocator([base + tick for base in labels for tick in ticks]))
    ax.yaxis.set_major_formatter(FixedFormatter([f"{tick:,.0f}" for _ in labels for tick in ticks]))
    for baseline, label in labels.items():
        ax.axhline(baseline, color=ink(ax), lw=0.8)
        ax.annotate(
            layout.escape(label),
            (0, baseline + highest),
            xycoords=("axes fraction", "data"),
            xytext=(3, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=layout.font_size(layout.SMALL),
            fontfamily=font_families(label),
            color=ink(ax),
        )
