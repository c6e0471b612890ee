"""Charts as HTML. They are drawn without pyplot, which is not thread-safe."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from io import BytesIO
from typing import Any

import pandas as pd

SIZE = (9.6, 3.6)  # inches
DPI = 130


def figure_to_html(draw: Callable[..., Any], size: tuple[float, float] = SIZE) -> str:
    """Return what `draw(ax=…)` draws as an image whose alternative text is the chart's title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    ax = draw(ax=figure.subplots())
    title = " ".join(ax.get_title(loc="left").split())
    with BytesIO() as file:
        figure.savefig(file, format="png")
        data = base64.b64encode(file.getvalue()).decode("ascii")
    image = f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
    return f'<div class="lb-chart">{image}</div>'


def interval(rate: pd.Series[Any], axis_max: float) -> str:
    """Return a row of `failure_rates` as a dot on its interval, from 0 to `axis_max`.

    A rate beyond the axis becomes an arrow.
    """
    if not rate["decided"]:
        return ""
    low, middle, high = (
        100 * min(1.0, rate[name] / axis_max) for name in ("ci_low", "failure_rate", "ci_high")
    )
    arrow = ' class="lb-beyond"' if rate["failure_rate"] > axis_max else ""
    return (
        f'<span class="lb-scale"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b{arrow} style="left:{middle:.1f}%"></b></span>'
    )


def trend(counts: list[int]) -> str:
    """Return a small bar chart of failures per equal part of a time span."""
    highest = max([*counts, 1])
    bars = "".join(
        f'<rect x="{5 * n}" y="{18 - 18 * count / highest:.1f}" width="4" '
        f'height="{18 * count / highest:.1f}"/>'
        for n, count in enumerate(counts)
    )
    label = f"{sum(counts):,} failures over time, at most {max(counts, default=0):,} per bar"
    return (
        f'<svg role="img" aria-label="{label}" width="{5 * len(counts)}" height="18" '
        f'fill="currentColor" opacity="0.75">{bars}</svg>'
    )
