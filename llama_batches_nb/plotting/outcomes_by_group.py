"""Outcomes per group: one row of stacked bars each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import FrameKind
from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting import hover, layout
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.plotting.outcome_bars import Floats


def draw_groups(
    ax: Axes,
    limits: Limits,
    counts: pd.DataFrame,
    groups: list[str],
    kind: FrameKind,
    title: str,
    subtitle: list[str],
) -> None:
    """Draw a row of bars per group, the group with the highest rank at the top."""
    sizes = counts.groupby("_group")["total"].sum()
    names = ranked_names(counts, groups, layout.max_label_length(ax))
    label_width = layout.widest(names[: layout.MAX_ROWS])
    above = add_legend(ax, counts, kind, label_width)
    top = [f"{size:,}" for size in sizes[: layout.MAX_ROWS]]
    n_rows = layout.max_rows(ax, names[: layout.MAX_ROWS], top, above)
    shown = sizes[:n_rows][::-1]
    table = count_table(counts, ["_group"], kind).reindex(shown.index)
    y, left = np.arange(len(table)), np.zeros(len(table))
    labels = names[:n_rows][::-1]
    for outcome in table.columns:
        ax.barh(y, table[outcome], left=left, height=0.5, **bar_style(ax, outcome, kind))
        hover.add(ax, _bar_areas(table, outcome, left, labels, kind))
        left = left + table[outcome].to_numpy()
    undecided = count_undecided(table, kind)
    texts = [format_size(*pair) for pair in zip(shown, undecided, strict=True)]
    note = hidden_note(ax, sizes[n_rows:], names[n_rows:], kind)
    width = layout.label_rows(ax, limits, labels, texts, note)
    set_count_axis(ax, "x", width / 60)
    limits.show("x", 0, 1.02 * max(left, default=0) or 1)
    add_heading(ax, title, subtitle, left=label_width, above=above)
    if counts.empty:
        layout.annotate_empty(ax, limits, "no rows")


def _bar_areas(
    table: pd.DataFrame, outcome: str, left: Floats, names: list[str], kind: FrameKind
) -> Iterator[HoverArea]:
    """Yield the texts of the bars of an outcome: its number and share of the rows of a group."""
    totals = table.sum(axis=1)
    for y, (name, n, total) in enumerate(zip(names, table[outcome], totals, strict=True)):
        if n:
            share = f"{outcome}: {n:,} of {format_count(total, kind.noun)} ({n / total:.1%})"
            yield HoverArea((left[y], left[y] + n), (y - 0.5, y + 0.5), f"{name}: {share}")
