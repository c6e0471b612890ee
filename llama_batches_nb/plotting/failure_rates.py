"""Plot failure rates in percent, with their intervals and sample sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from llama_batches_nb.analysis.changes import split_keys
from llama_batches_nb.analysis.frame_kinds import FrameKind, detect_kind
from llama_batches_nb.analysis.periods import Period
from llama_batches_nb.analysis.rates import RESULT_COLUMNS, compute_rates
from llama_batches_nb.analysis.runs import Runs
from llama_batches_nb.messages import format_count, plural
from llama_batches_nb.plotting import layout
from llama_batches_nb.plotting.limits import Limits
from llama_batches_nb.plotting.periods import clear_far_times
from llama_batches_nb.plotting.rate_axis import interval_note
from llama_batches_nb.plotting.rates_by_group import draw_groups
from llama_batches_nb.plotting.rates_over_time import draw_over_time
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.arguments import format_time
from llama_batches_nb.types import TimeLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import IntoFrame


def plot_failure_rates(
    frame_or_rates: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
    runs: Runs = "all",
    tz: str = "UTC",
    now: TimeLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot failure rates with their intervals: over time with `freq`, else one row per group.

    Parameters
    ----------
    frame_or_rates
        Frame that `failure_rates` accepts, or its result; then the columns replace the arguments
        of `failure_rates`.
    by
        Column or columns to group by.
    freq
        Pandas offset such as ``"W"``: plot over time, one point per period.
    confidence
        Confidence level of the intervals, between 0 and 1.
    runs
        Which runs of a file are counted, as in `failure_rates`.
    tz
        Time zone of the periods and of the time axis.
    now
        Time of the data, by default the current time: a period that ends later is not complete.
    ax
        Axes to draw on, by default of a new figure. Limits that you have set are kept, others are
        widened if the axes show something. `Axes.set_title` replaces the title.

    Returns
    -------
    matplotlib.axes.Axes
        The axis of the rates is in percent and starts at 0. Groups and periods without decided
        rows have no point, and a period without rows breaks the line. The scale fits what is well
        known; an interval that ends beyond it has an arrow head there.

        - ▲ and ▼ mark the period since which the rate of a group is higher or lower, by the rule
          of `rate_changes`: if nothing changes, about 5 % of charts have a mark.
        - A hollow point is the rate of fewer than 3 batches, or of a period that is not complete.
        - A dotted range shows where the rate can end if more than 5 % of the rows are undecided.

        A group has the same colour in every chart. Where groups do not fit, the one with the
        highest interval is always shown, and those that are left out are named.

    Raises
    ------
    ValueError
        If `failure_rates` raises it, or if `now` is not a time.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> ax = lb.plot_failure_rates(lb.fetch_batches(), freq="MS")
    >>> ax.get_ylabel()
    'failed batches (% of decided)'
    """
    wrapped = engines.wrap_frame("frame_or_rates", frame_or_rates)
    columns = engines.column_names(wrapped)
    kind: FrameKind | None = None
    if set(columns) >= set(RESULT_COLUMNS):
        rates = engines.select_to_pandas(wrapped, *columns)
    else:
        kind = detect_kind(wrapped)
        rates = compute_rates(wrapped, by=by, freq=freq, confidence=confidence, runs=runs, tz=tz)
    as_of = _parse_now(now)
    groups, time = split_keys(rates)
    if time is not None and rates[time].dt.tz is None:
        rates = rates.assign(**{time: rates[time].dt.tz_localize("UTC")})
    if time is not None:
        rates = rates.assign(**{time: clear_far_times(rates[time])})
    title, subtitle = _heading(kind, rates, groups, confidence)
    if ax is None:
        ax = layout.new_axes(1 if time else len(rates))
    limits = Limits(ax)
    layout.style_axes(ax, "y" if time else "x")
    axis_label = f"failed {plural(kind.noun if kind else 'row')} (% of decided)"
    if time is None:
        draw_groups(ax, limits, rates, groups, title, subtitle)
        layout.set_axis_label(ax.xaxis, axis_label)
    else:
        period = Period.from_freq(freq, tz) if freq and kind else None
        above = draw_over_time(ax, limits, rates, time, groups, period, as_of, title, subtitle)
        layout.set_axis_label(ax.yaxis, axis_label, layout.available_height(ax, above))
    limits.apply()
    return ax


def _parse_now(now: TimeLike | None) -> pd.Timestamp:
    text = format_time("now", now)
    return pd.Timestamp.now("UTC") if text is None else pd.Timestamp(text)


def _heading(
    kind: FrameKind | None, rates: pd.DataFrame, groups: list[str], confidence: float
) -> tuple[str, list[str]]:
    decided, total = int(rates["decided"].sum()), int(rates["total"].sum())
    subject = f"Failed {plural(kind.noun)} ({kind.layer})" if kind else "Failures"
    level = f"{100 * confidence:g} % interval" if kind else "Interval"
    parts = [f"{decided:,} of {format_count(total, kind.noun if kind else 'row')} decided"]
    unreliable = rates["unreliable"].sum()
    if unreliable:
        parts.append(f"{int(unreliable):,} in FAILED batches left out")
    parts.append(interval_note(rates, level))
    return f"{subject}{layout.by_clause(groups)}", parts
