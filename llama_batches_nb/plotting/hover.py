"""Texts that a page shows while the pointer is over a part of a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.plotting.names import group_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import Series

MAX_PERIODS = 200  # with a text; of more, some have none
MAX_GROUPS = 12  # listed in the text of a period


class HoverArea(NamedTuple):
    """A rectangle of the axes, in data coordinates, with its text. None is the whole axis."""

    x: tuple[float, float] | None
    y: tuple[float, float] | None
    text: str


def add(ax: Axes, areas: Iterable[HoverArea]) -> None:
    """Add areas to axes; a canvas that cannot show them does not compute them."""
    found = getattr(ax.figure.canvas, "hover_areas", None)
    if found is not None:
        found += ((ax, area) for area in areas)


def add_rows(ax: Axes, names: Sequence[str], texts: Sequence[str]) -> None:
    """Add the name and the text of each row of a chart."""
    pairs = enumerate(zip(names, texts, strict=True))
    add(ax, (HoverArea(None, (y - 0.5, y + 0.5), f"{name}: {text}") for y, (name, text) in pairs))


def add_periods(
    ax: Axes, rates: pd.DataFrame, time: str, groups: list[str], length: pd.Timedelta
) -> None:
    """Add the rates of the groups for each period: hovering needs no aim at a point."""
    add(ax, _period_areas(rates, time, groups, length))


def _period_areas(
    rates: pd.DataFrame, time: str, groups: list[str], length: pd.Timedelta
) -> Iterable[HoverArea]:
    from matplotlib.dates import date2num

    periods: list[tuple[Any, pd.DataFrame]] = list(rates.groupby(time, sort=True))
    step = -(-len(periods) // MAX_PERIODS) or 1
    half = step * length / 2
    for at, rows in periods[::step]:
        start, end = date2num([at - half, at + half])  # type: ignore[no-untyped-call]
        ranked = rows.sort_values("ci_low", ascending=False, kind="stable")
        lines = [_rate_line(row, groups) for _, row in ranked.head(MAX_GROUPS).iterrows()]
        yield HoverArea((start, end), None, "\n".join([format_start(at, length), *lines]))


def format_start(start: pd.Timestamp, length: pd.Timedelta) -> str:
    """Return the start of a period, with its time of day if periods are shorter than a day."""
    return (
        f"from {start:%Y-%m-%d}"
        if length >= pd.Timedelta(days=1)
        else f"from {start:%Y-%m-%d %H:%M}"
    )


def _rate_line(row: Series, groups: list[str]) -> str:
    rate = format_rate(row)
    return f"{group_name(row, groups)}: {rate}" if groups else rate
