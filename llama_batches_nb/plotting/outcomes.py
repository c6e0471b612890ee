"""Counts of outcomes as stacked bars, what is decided apart from what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import RESULTS_KIND, FrameKind, detect_kind, failure_rates
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.fonts import families
from llama_batches_nb.plotting.layout import (  # fmt: skip
    BLUE,
    GREEN,
    GREY,
    INK,
    MAX_ROWS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)
from llama_batches_nb.plotting.periods import ends_of, period_length
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

STYLES = {
    "mapping_error": (ORANGE, "xxxx"),
    "job_failed": (VERMILION, "////"),
    "succeeded": (GREEN, ""),
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
"""The colour and the hatch of each word, so that it is never told by colour alone."""
ANY_LOOK = (GREY, "++++")  # of a word that the API adds tomorrow
MAX_STRIPS = 6
STRIP, NAME = 40, 14  # points of height: a strip at least, and the name in it
MAX_BARS = 80  # with gaps between them
GAPPED = 0.86  # of its period, what a bar fills then
NO_WORD = "(none)"
EMPTY = "nothing to show: no rows"


def plot_outcomes(
    frame: Any,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many rows came to which outcome, stacked: over time with `freq`, else per group.

    Parameters
    ----------
    frame
        The frame of `outcomes`, or of `fetch_results` (what is known without jobs), or of
        `fetch_batches` or `fetch_jobs` (their statuses): pandas, or what else Narwhals takes.
    by
        A column or several to group by; with `freq`, each group has a strip of its own.
    freq
        A pandas offset such as ``"W"``: draw over time, a bar per period of creation.
    ax
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        Failures lie at the foot of a bar, successes on them, and what is not decided at the end,
        pale and hatched. Rows without an outcome are ``(none)``. As in `failure_rates`, files of
        ``FAILED`` batches are left out; the title tells how many.

    Raises
    ------
    ValueError
        If `failure_rates` would raise it, or `by` names the column of outcomes.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=3)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> ax = lb.plot_outcomes(files, by="configuration_id")
    >>> ax.get_xlabel()
    'files'
    """
    kind = detect_kind(frame)
    column = "outcome" if kind is RESULTS_KIND else kind.column
    groups = arguments.parse_column_names("by", by)
    if column in groups:
        raise ValueError(f"by={by!r}: each bar is made of {column!r} already, so leave it out.")
    told = outcomes(frame) if kind is RESULTS_KIND else frame
    counts = failure_rates(told, by=[*groups, column], freq=freq)
    counts = _prepared(counts, groups, column)
    title = _title(counts, groups, kind, _of_failed_batches(frame))
    if ax is None:
        n_groups = counts["_group"].nunique()
        ax = layout.new_axes(3 * min(n_groups, MAX_STRIPS) if freq else n_groups)
    layout.style_axes(ax, "y" if freq else "x")
    if freq:
        _draw_over_time(ax, counts, groups, kind, period_length(freq), title)
    else:
        _draw_groups(ax, counts, groups, kind, title)
    if counts.empty:
        ax.set(xticks=[], yticks=[])
    layout.set_axis_label(ax.yaxis if freq else ax.xaxis, kind.noun)
    return ax


def _prepared(counts: pd.DataFrame, groups: list[str], column: str) -> pd.DataFrame:
    """Return the counts (`total`) with their word as text and a number for their group."""
    words = counts[column].astype(object)
    words = words.where(words.notna(), NO_WORD).astype(str)
    by = counts.groupby(groups, dropna=False, observed=True, sort=False) if groups else None
    return counts.assign(_word=words, _group=0 if by is None else by.ngroup())


def _draw_groups(
    ax: Axes, counts: pd.DataFrame, groups: list[str], kind: FrameKind, title: list[str]
) -> None:
    sizes = counts.groupby("_group")["total"].sum().sort_values(kind="stable")
    names = _names(counts, groups, layout.longest_name(ax))
    widest = max((layout.width_of(names[n]) for n in sizes.index[-MAX_ROWS:]), default=0)
    above = _write_legend(ax, counts, kind, widest)
    most = layout.most_rows(ax, above)
    kept, rest = sizes[-most:], sizes[:-most]
    table = _table(counts, ["_group"], kind).reindex(kept.index)
    place, left = np.arange(len(table)), np.zeros(len(table))
    for word in table.columns:
        ax.barh(place, table[word], left=left, height=0.5, **_style(word, kind))
        left = left + table[word].to_numpy()
    undecided = _undecided(table, kind)
    labels = [names[group] for group in table.index]
    texts = [_size(*both) for both in zip(kept, undecided, strict=True)]
    note = f"{layout.counted(len(rest), 'smaller group')} ({rest.sum():,} {kind.noun}) not shown"
    room = layout.label_rows(ax, labels, texts, note if len(rest) else "")
    _count_axis(ax.xaxis, room / 60)
    ax.set_xlim(0, 1.02 * max(left, default=0) or 1)
    layout.set_title(ax, *title, left=widest, above=above)
    if counts.empty:
        layout.annotate_empty(ax, EMPTY)


def _draw_over_time(
    ax: Axes,
    counts: pd.DataFrame,
    groups: list[str],
    kind: FrameKind,
    step: pd.Timedelta,
    title: list[str],
) -> None:
    """Draw a strip of bars per group, the largest at the top, all in one scale."""
    dated = counts.dropna(subset=kind.time)
    dated = dated.assign(**{kind.time: dated[kind.time].dt.tz_localize(None)})
    sizes = dated.groupby("_group")["total"].sum().sort_values(ascending=False, kind="stable")
    table = _table(dated, ["_group", kind.time], kind)
    top = max(table.sum(axis=1), default=0) or 1
    above = _write_legend(ax, counts, kind)
    most = max(1, min(MAX_STRIPS, int(layout.height(ax, above) / STRIP)))
    strips = sizes.index[:most].tolist()
    pitch = max(layout.height(ax, above) / max(len(strips), 1), STRIP)
    apart = top * pitch / (pitch - NAME) if groups else 1.05 * top
    feet = {group: -apart * n for n, group in enumerate(strips)}
    for group, foot in feet.items():
        _draw_strip(ax, table.loc[group], foot, kind, step)
    ax.set_ylim(min(feet.values(), default=0), apart)
    if len(dated):
        first, last = dated[kind.time].min(), dated[kind.time].max()
        beside = 2 * step if first == last else 0.3 * step
        layout.date_axis(ax, kind.time, first - beside, last + step + beside)
    else:
        ax.set_xticks([])
        layout.annotate_empty(ax, f"no {kind.noun} with a time" if len(counts) else EMPTY)
    if groups:
        names = _names(dated, groups, layout.longest_name(ax, 0.5))
        undecided = _undecided(table, kind).groupby("_group").sum()
        _name_strips(
            ax, {f: f"{names[g]}: {_size(sizes[g], undecided[g])}" for g, f in feet.items()}, top
        )
    else:
        _count_axis(ax.yaxis, 6)
    rest = sizes[most:]
    note = f"{layout.counted(len(rest), 'smaller group')} ({rest.sum():,} {kind.noun}) not shown"
    layout.set_title(ax, *title, note if len(rest) else "", left=50, above=above)


def _draw_strip(
    ax: Axes, table: pd.DataFrame, foot: float, kind: FrameKind, step: pd.Timedelta
) -> None:
    """Draw the bars of one group: a step patch per word, flat between the bars."""
    starts = table.index.to_series()
    lengths = ends_of(starts, step) - starts
    ends = starts + lengths * (GAPPED if len(table) <= MAX_BARS else 1.0)
    edges = np.column_stack([starts, ends]).ravel()
    under = np.full(len(table), float(foot))
    for word in table.columns:
        over = under + table[word].to_numpy()
        ax.stairs(
            _interleave_baseline(over, foot),
            edges,
            baseline=_interleave_baseline(under, foot),
            fill=True,
            **_style(word, kind),
        )
        under = over


def _interleave_baseline(heights: Any, foot: float) -> Any:
    """Put the foot between each two heights."""
    return np.column_stack([heights, np.full(len(heights), foot)]).ravel()[:-1]


def _name_strips(ax: Axes, names: dict[float, str], top: float) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

    ticks = [tick for tick in MaxNLocator(2, integer=True).tick_values(0, top) if 0 <= tick <= top]
    ax.yaxis.set_major_locator(FixedLocator([foot + tick for foot in names for tick in ticks]))
    ax.yaxis.set_major_formatter(FixedFormatter([f"{tick:,.0f}" for _ in names for tick in ticks]))
    for foot, name in names.items():
        ax.axhline(foot, color=INK, lw=0.8)
        ax.annotate(
            name,
            (0, foot + top),
            xycoords=("axes fraction", "data"),
            xytext=(3, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=layout.SMALL,
            fontfamily=families(name),
            color=INK,
        )


def _table(counts: pd.DataFrame, keys: list[str], kind: FrameKind) -> pd.DataFrame:
    """Return a row per combination of keys, a column per word that occurs, in their order."""
    found = counts.pivot_table(
        index=keys, columns="_word", values="total", aggfunc="sum", fill_value=0
    )
    return found[_words(counts, kind)] if len(counts) else found


def _words(counts: pd.DataFrame, kind: FrameKind) -> list[str]:
    """Return the words that occur: failures, successes, undecided, and those unknown here."""
    found = set(counts["_word"])
    known = [*_decided(kind), *OUTCOMES, *BATCH_STATUSES, *sorted(found)]
    return [word for word in dict.fromkeys(known) if word in found]


def _decided(kind: FrameKind) -> list[str]:
    return [*kind.failures, *kind.successes]


def _undecided(table: pd.DataFrame, kind: FrameKind) -> pd.Series[Any]:
    """Return how many of each row are not decided."""
    return table.drop(columns=_decided(kind), errors="ignore").sum(axis=1)


def _size(total: int, undecided: int) -> str:
    return f"{total:,}" + (f" ({undecided:,} undecided)" if undecided else "")


def _names(counts: pd.DataFrame, groups: list[str], longest: int) -> dict[int, str]:
    firsts = counts.drop_duplicates("_group").set_index("_group")
    return {
        int(group): layout.group_label(row, groups, longest)  # type: ignore[call-overload]
        for group, row in firsts.iterrows()
    }


def _style(word: str, kind: FrameKind) -> dict[str, Any]:
    """Return how a word is filled: decided ones fully, others pale."""
    colour, hatch = STYLES.get(word, ANY_LOOK)
    if word in _decided(kind):
        return {"facecolor": colour, "edgecolor": "white", "hatch": hatch, "lw": 0}
    return {"facecolor": layout.lighten(colour), "edgecolor": colour, "hatch": hatch, "lw": 0}


def _write_legend(ax: Axes, counts: pd.DataFrame, kind: FrameKind, left: float = 50.0) -> float:
    """Name the words that occur, with their number of rows."""
    from matplotlib.patches import Patch

    if counts.empty:
        return 0.0
    sizes = counts.groupby("_word")["total"].sum()
    words = _words(counts, kind)
    labels = [f"{layout.escape_mathtext(word)} ({sizes[word]:,})" for word in words]
    return layout.legend_above(
        ax, [Patch(**_style(word, kind)) for word in words], labels, left=left
    )


def _count_axis(axis: Axis, most: float) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.set_major_locator(MaxNLocator(max(2, min(6, int(most))), integer=True))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _of_failed_batches(frame: Any) -> int:
    """Return how many files `failure_rates` leaves out, as their batch is FAILED."""
    rows = engines.wrap_frame(frame)
    if "batch_status" not in rows.collect_schema().names():
        return 0
    found = rows.filter(nw.col("batch_status").cast(nw.String) == "FAILED").select(nw.len())
    return int((found.collect() if isinstance(found, nw.LazyFrame) else found).item())


def _title(counts: pd.DataFrame, groups: list[str], kind: FrameKind, of_failed: int) -> list[str]:
    total, decided = int(counts["total"].sum()), int(counts["decided"].sum())
    undated = int(counts.loc[counts[kind.time].isna(), "total"].sum()) if kind.time in counts else 0
    one = kind.noun.removesuffix("es" if kind.noun == "batches" else "s")
    return [
        f"Outcomes of {kind.noun} ({kind.layer}){layout.by_clause(groups)}",
        f"{decided:,} decided of {total:,} {kind.noun}"
        + (f" · {total - decided:,} undecided (pale)" if total > decided else ""),
        f"{layout.counted(of_failed, 'file')} of FAILED batches left out" if of_failed else "",
        f"{layout.counted(undated, one)} without a time not drawn" if undated else "",
    ]
