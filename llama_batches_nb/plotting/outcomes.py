"""Plot how many rows have each outcome, as stacked bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import RESULTS_KIND, FrameKind, detect_kind
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.rates import compute_rates
from llama_batches_nb.messages import format_count, plural
from llama_batches_nb.plotting import hover, layout
from llama_batches_nb.plotting.colours import (  # fmt: skip
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    background,
    ink,
    lighten,
)
from llama_batches_nb.plotting.fonts import font_families
from llama_batches_nb.plotting.hover import HoverArea
from llama_batches_nb.plotting.limits import AxisName, Limits, is_linear
from llama_batches_nb.plotting.names import group_names, shorten_names
from llama_batches_nb.plotting.periods import period_ends, period_length
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import IntoFrame, Series

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
MAX_STRIPS = 6
MIN_STRIP_HEIGHT = 40  # points
STRIP_LABEL_HEIGHT = 14  # points, within the strip
MAX_SPACED_BARS = 80  # more bars have no gaps between them
BAR_WIDTH = 0.86  # share of the period, for bars with gaps
MISSING_LABEL = "(none)"


def plot_outcomes(
    frame: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the number of rows with each outcome as stacked bars, per group or over time.

    Parameters
    ----------
    frame
        Frame of `outcomes`, of `fetch_results` (mapping outcomes only), of `fetch_batches` or of
        `fetch_jobs` (their statuses): pandas, or any other frame that Narwhals supports.
    by
        Column or columns to group by. With `freq`, each group has its own strip.
    freq
        Pandas offset such as ``"W"``: plot over time, one bar per period of creation.
    ax
        Axes to draw on; limits are only widened if they show something. By default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Each bar starts with failures, followed by successes and by undecided rows, which are pale
        and hatched. Rows without an outcome are ``(none)``. As in `failure_rates`, files of
        ``FAILED`` batches are excluded; the title counts them.

        Groups are in the order of the lower end of the interval of their failure rate, the highest
        at the top. Where groups do not fit, those with the lowest are left out and named.

    Raises
    ------
    ValueError
        If `failure_rates` raises it, or if `by` contains the column of the outcomes.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=3)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> ax = lb.plot_outcomes(files, by="configuration_id")
    >>> ax.get_xlabel()
    'files'
    """
    rows = engines.wrap_frame("frame", frame)
    kind = detect_kind(rows)
    column = "outcome" if kind is RESULTS_KIND else kind.column
    groups = arguments.parse_column_names("by", by)
    if column in groups:
        raise ValueError(
            f"by={by!r}: the bars already show {column!r}; group by other columns instead."
        )
    rates = compute_rates(rows, by=groups)
    excluded = int(rates["unreliable"].sum())
    rows = add_outcomes(rows, None) if kind is RESULTS_KIND else rows
    cells = compute_rates(rows, by=[*groups, column], freq=freq, cluster=None)
    counts = _with_outcome_and_group(cells[cells["total"] > 0], rates, groups, column)
    title = _title(counts, groups, kind, excluded)
    if ax is None:
        n_groups = counts["_group"].nunique()
        ax = layout.new_axes(3 * min(n_groups, MAX_STRIPS) if freq else n_groups)
    limits = Limits(ax)
    layout.style_axes(ax, "y" if freq else "x")
    if freq:
        _draw_over_time(ax, limits, counts, groups, kind, period_length(freq), title)
    else:
        _draw_groups(ax, limits, counts, groups, kind, title)
    layout.set_axis_label(ax.yaxis if freq else ax.xaxis, plural(kind.noun))
    limits.apply()
    return ax


def _with_outcome_and_group(
    cells: pd.DataFrame, rates: pd.DataFrame, groups: list[str], column: str
) -> pd.DataFrame:
    """Return the counts with the outcome as text, and the rank of its group.

    The group with the highest interval of its failure rate has rank 0; then the larger one.
    """
    values = cells[column].astype(object)
    values = values.where(values.notna(), MISSING_LABEL).astype(str)
    if not groups:
        return cells.assign(_outcome=values, _group=0)
    ranked = rates.sort_values(["ci_low", "total"], ascending=False, kind="stable")
    ranks = {_key(row): n for n, row in enumerate(ranked[groups].itertuples(index=False))}
    keys = cells[groups].itertuples(index=False)
    return cells.assign(_outcome=values, _group=[ranks[_key(row)] for row in keys])


def _key(row: Iterable[Any]) -> tuple[Any, ...]:
    """Return a key, with one value for all missing ones."""
    return tuple(None if pd.isna(value) else value for value in row)


def _draw_groups(
    ax: Axes,
    limits: Limits,
    counts: pd.DataFrame,
    groups: list[str],
    kind: FrameKind,
    title: list[str],
) -> None:
    """Draw a row of bars per group, the group with the highest rank at the top."""
    sizes = counts.groupby("_group")["total"].sum()
    names = _group_names(counts, groups, layout.max_label_length(ax))
    label_width = max(map(layout.text_width, names[: layout.MAX_ROWS]), default=0)
    above = _add_legend(ax, counts, kind, label_width)
    n_rows = layout.max_rows(ax, above)
    shown = sizes[:n_rows][::-1]
    table = _count_table(counts, ["_group"], kind).reindex(shown.index)
    y, left = np.arange(len(table)), np.zeros(len(table))
    labels = names[:n_rows][::-1]
    for outcome in table.columns:
        ax.barh(y, table[outcome], left=left, height=0.5, **_style(ax, outcome, kind))
        hover.add(ax, _bar_areas(table, outcome, left, labels, kind))
        left = left + table[outcome].to_numpy()
    undecided = _undecided(table, kind)
    texts = [_format_size(*pair) for pair in zip(shown, undecided, strict=True)]
    note = _hidden_note(ax, sizes[n_rows:], names[n_rows:], kind)
    width = layout.label_rows(ax, limits, labels, texts, note)
    _set_count_axis(ax, "x", width / 60)
    limits.show("x", 0, 1.02 * max(left, default=0) or 1)
    layout.set_title(ax, *title, left=label_width, above=above)
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


def _draw_over_time(
    ax: Axes,
    limits: Limits,
    counts: pd.DataFrame,
    groups: list[str],
    kind: FrameKind,
    length: pd.Timedelta,
    title: list[str],
) -> None:
    """Draw a strip of bars per group, that with the highest rank at the top, in one scale."""
    dated = counts.dropna(subset=kind.time)
    sizes = dated.groupby("_group")["total"].sum()
    table = _count_table(dated, ["_group", kind.time], kind)
    highest = max(table.sum(axis=1), default=0) or 1
    above = _add_legend(ax, counts, kind)
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
    names = _group_names(dated, groups, layout.max_label_length(ax, 0.5))
    if groups:
        undecided = _undecided(table, kind).groupby("_group").sum()
        strip_labels = {
            baseline: f"{name}: {_format_size(sizes[group], undecided[group])}"
            for baseline, name, group in zip(baselines, names, shown, strict=False)
        }
        _label_strips(ax, strip_labels, highest)
    else:
        _set_count_axis(ax, "y", 6)
    limits.show("y", min(baselines, default=0), spacing)
    note = _hidden_note(ax, sizes[max_strips:], names[max_strips:], kind)
    layout.set_title(ax, *title, note.replace("\n", " "), left=50, above=above)


def _hidden_note(ax: Axes, sizes: Series, names: list[str], kind: FrameKind) -> str:
    """Return the note about groups that are not drawn, from their sizes."""
    if sizes.empty:
        return ""
    groups = format_count(len(sizes), "group")
    start = (
        f"{groups} with lower failure rates ({format_count(int(sizes.sum()), kind.noun)}) not shown"
    )
    return layout.name_left_out(ax, start, names, len(sizes))


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
            **_style(ax, outcome, kind),
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


def _count_table(counts: pd.DataFrame, keys: list[str], kind: FrameKind) -> pd.DataFrame:
    """Return the totals with one row per combination of keys and one column per outcome."""
    table = counts.pivot_table(
        index=keys, columns="_outcome", values="total", aggfunc="sum", fill_value=0
    )
    return table[_ordered_outcomes(counts, kind)] if len(counts) else table


def _ordered_outcomes(counts: pd.DataFrame, kind: FrameKind) -> list[str]:
    """Return the outcomes that occur: failures, successes, undecided, then unknown values."""
    occurring = set(counts["_outcome"])
    ordered = [*_decided_values(kind), *OUTCOMES, *BATCH_STATUSES, *sorted(occurring)]
    return [value for value in dict.fromkeys(ordered) if value in occurring]


def _decided_values(kind: FrameKind) -> list[str]:
    return [*kind.failures, *kind.successes]


def _undecided(table: pd.DataFrame, kind: FrameKind) -> Series:
    """Return how many rows are undecided, for each row of a count table."""
    return table.drop(columns=_decided_values(kind), errors="ignore").sum(axis=1)


def _format_size(total: int, undecided: int) -> str:
    return f"{total:,}" + (f" ({undecided:,} undecided)" if undecided else "")


def _group_names(counts: pd.DataFrame, groups: list[str], max_length: int) -> list[str]:
    """Return the shortened names of the groups that are drawn or named, by rank."""
    first_rows = counts.drop_duplicates("_group").sort_values("_group")
    named = first_rows.head(layout.MAX_ROWS + layout.MAX_NAMED)
    return shorten_names(group_names(named, groups), max_length)


def _style(ax: Axes, outcome: str, kind: FrameKind) -> dict[str, Any]:
    """Return the fill of an outcome: solid if it is decided, else pale."""
    colour, hatch = STYLES.get(outcome, UNKNOWN_STYLE)
    if outcome in _decided_values(kind):
        return {"facecolor": colour, "edgecolor": background(ax), "hatch": hatch, "lw": 0}
    return {"facecolor": lighten(colour), "edgecolor": colour, "hatch": hatch, "lw": 0}


def _add_legend(ax: Axes, counts: pd.DataFrame, kind: FrameKind, left: float = 50.0) -> float:
    """Add a legend of the outcomes that occur, with their number of rows."""
    from matplotlib.patches import Patch

    if counts.empty:
        return 0.0
    sizes = counts.groupby("_outcome")["total"].sum()
    values = _ordered_outcomes(counts, kind)
    labels = [f"{value} ({sizes[value]:,})" for value in values]
    handles = [Patch(**_style(ax, value, kind)) for value in values]
    return layout.legend_above(ax, handles, labels, left=left)


def _set_count_axis(ax: Axes, name: AxisName, max_ticks: float) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if is_linear(ax, name):
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_locator(MaxNLocator(max(2, min(6, int(max_ticks))), integer=True))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _title(counts: pd.DataFrame, groups: list[str], kind: FrameKind, excluded: int) -> list[str]:
    total, decided = int(counts["total"].sum()), int(counts["decided"].sum())
    undated = int(counts.loc[counts[kind.time].isna(), "total"].sum()) if kind.time in counts else 0
    layer = kind.layer
    if "partial" in counts["_outcome"].tolist():
        layer = f"{layer.replace(' or', ',')} or page"
    return [
        f"Outcomes of {plural(kind.noun)} ({layer}){layout.by_clause(groups)}",
        f"{decided:,} of {format_count(total, kind.noun)} decided"
        + (f" · {total - decided:,} undecided (pale)" if total > decided else ""),
        f"{format_count(excluded, 'file')} of FAILED batches excluded" if excluded else "",
        f"{format_count(undated, kind.noun)} without a time not shown" if undated else "",
    ]
