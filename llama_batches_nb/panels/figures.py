"""Charts as pictures in a page: drawn without pyplot, since that is done in a thread."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from io import BytesIO
from typing import Any

SIZE = (9.6, 3.6)  # inches
DPI = 130


def figure_to_html(draw: Callable[..., Any], size: tuple[float, float] = SIZE) -> str:
    """Return what `draw(ax=…)` draws as an image, with the chart's title as its text."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    ax = draw(ax=figure.subplots())
    said = " ".join(ax.get_title(loc="left").split())
    with BytesIO() as file:
        figure.savefig(file, format="png")
        data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<div class="lb-chart"><img alt="{escape(said)}" src="data:image/png;base64,{data}"></div>'
    )


def interval(rate: Any, top: float) -> str:
    """Return a rate's dot on its interval, on a line from 0 to `top`; beyond, it is an arrow."""
    if not rate["decided"]:
        return ""
    low, middle, high = (
        100 * min(1.0, rate[name] / top) for name in ("ci_low", "failure_rate", "ci_high")
    )
    mark = ' class="lb-beyond"' if rate["failure_rate"] > top else ""
    return (
        f'<span class="lb-scale"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b{mark} style="left:{middle:.1f}%"></b></span>'
    )


def trend(counts: list[int]) -> str:
    """Return a small row of bars."""
    most = max([*counts, 1])
    bars = "".join(
        f'<rect x="{5 * n}" y="{18 - 18 * count / most:.1f}" width="4" '
        f'height="{18 * count / most:.1f}"/>'
        for n, count in enumerate(counts)
    )
    said = f"{sum(counts):,} failures over time, at most {max(counts, default=0):,} at once"
    return (
        f'<svg role="img" aria-label="{said}" width="{5 * len(counts)}" height="18" '
        f'fill="currentColor" opacity="0.75">{bars}</svg>'
    )
