"""Plot how many rows have each outcome, as stacked bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from llama_batches_nb.analysis.frame_kinds import RESULTS_KIND, FrameKind, detect_kind
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.rates import compute_rates
from llama_batches_nb.messages import format_count, plural
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.limits import Limits
from llama_batches_nb.plotting.outcomes_by_group import draw_groups
from llama_batches_nb.plotting.outcomes_over_time import MAX_STRIPS, draw_over_time
from llama_batches_nb.plotting.periods import clear_far_times, period_length
from llama_batches_nb.tables import arguments, engines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import IntoFrame

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
        Axes to draw on, by default of a new figure. Limits that you have set are kept, others are
        widened if the axes show something. `Axes.set_title` replaces the title.

    Returns
    -------
    matplotlib.axes.Axes
        Each bar starts with failures, followed by successes and by undecided rows, which are pale
        and hatched. Rows without an outcome are ``(none)``. As in `failure_rates`, files of
        ``FAILED`` batches are excluded; the subtitle counts them.

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
    if freq:
        counts = counts.assign(**{kind.time: clear_far_times(counts[kind.time])})
    title, subtitle = _heading(counts, groups, kind, excluded)
    if ax is None:
        n_groups = counts["_group"].nunique()
        ax = layout.new_axes(3 * min(n_groups, MAX_STRIPS) if freq else n_groups)
    limits = Limits(ax)
    layout.style_axes(ax, "y" if freq else "x")
    if freq:
        draw_over_time(ax, limits, counts, groups, kind, period_length(freq), title, subtitle)
    else:
        draw_groups(ax, limits, counts, groups, kind, title, subtitle)
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


def _heading(
    counts: pd.DataFrame, groups: list[str], kind: FrameKind, excluded: int
) -> tuple[str, list[str]]:
    total, decided = int(counts["total"].sum()), int(counts["decided"].sum())
    undated = int(counts.loc[counts[kind.time].isna(), "total"].sum()) if kind.time in counts else 0
    layer = kind.layer
    if "partial" in counts["_outcome"].tolist():
        layer = f"{layer.replace(' or', ',')} or page"
    return f"Outcomes of {plural(kind.noun)} ({layer}){layout.by_clause(groups)}", [
        f"{decided:,} of {format_count(total, kind.noun)} decided",
        f"{total - decided:,} undecided (pale)" if total > decided else "",
        f"{format_count(excluded, 'file')} of FAILED batches excluded" if excluded else "",
        f"{format_count(undated, kind.noun)} without a time not shown" if undated else "",
    ]
