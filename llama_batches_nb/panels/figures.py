"""Charts as HTML. They are drawn without pyplot, which is not thread-safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from llama_batches_nb.messages import format_count
from llama_batches_nb.plotting.svg import figure_to_svg

SIZE = (9.6, 3.6)  # inches
NARROW_WIDTH = 4.2  # inches
NARROW_AXES_HEIGHT = 1.8  # inches


def figure_to_html(draw: Callable[..., Any], size: tuple[float, float] = SIZE) -> str:
    """Return what `draw(ax=…)` draws, in a wide and in a narrow version; the page shows one."""
    wide = figure_to_svg(draw, size)
    narrow = figure_to_svg(draw, (NARROW_WIDTH, size[1]), NARROW_AXES_HEIGHT)
    return (
        f'<div class="lb-chart"><div class="lb-wide">{wide}</div>'
        f'<div class="lb-narrow">{narrow}</div></div>'
    )


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
    n_failures = format_count(sum(counts), "failure")
    label = f"{n_failures} over time, at most {max(counts, default=0):,} per bar"
    return (
        f'<svg role="img" aria-label="{label}" width="{5 * len(counts)}" height="18" '
        f'fill="currentColor" opacity="0.75">{bars}</svg>'
    )
