"""Helpers that draw a chart and read its texts and its points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from llama_batches_nb.plotting.headings import NOTES, SUBTITLE, describe
from tests.strategies import batches


def daily_batches(*decided: int, **columns: Any) -> pd.DataFrame:
    """Return batches of the first days of August; the first of each day has failed."""
    created = [f"2026-08-{day + 1:02}" for day, count in enumerate(decided) for _ in range(count)]
    statuses = ["FAILED" if n == 0 else "COMPLETED" for count in decided for n in range(count)]
    return batches(*statuses, created_at=pd.Series(created, dtype="datetime64[us, UTC]"), **columns)


def render(ax: Axes) -> Axes:
    """Render the figure, so that errors during drawing are raised, and return the axes."""
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    return ax


def narrow_axes() -> Axes:
    """Return axes in a figure of 420 by 360 pixels that is not managed by pyplot."""
    return Figure(figsize=(4.2, 3.6), dpi=100, layout="constrained").subplots()


def texts(ax: Axes) -> list[str]:
    """Return the texts inside a chart, without its heading."""
    return [text.get_text() for text in ax.texts if text.get_gid() not in (SUBTITLE, NOTES)]


def line_data(ax: Axes, n: int = 0) -> tuple[list[float], list[float]]:
    """Return the coordinates of the points of a line."""
    x, y = ax.lines[n].get_data()
    return np.asarray(x).tolist(), np.asarray(y, dtype=float).tolist()


def points(ax: Axes) -> tuple[list[float], list[float]]:
    """Return the coordinates of the points of a chart with a row per group."""
    (found,) = [c for c in ax.collections if isinstance(c, PathCollection) and len(c.get_sizes())]
    x, y = np.ma.filled(found.get_offsets(), np.nan).T
    return x.tolist(), y.tolist()


def labels(ticks: list[Any]) -> list[str]:
    return [tick.get_text() for tick in ticks]


def legend(ax: Axes) -> list[str]:
    """Return the labels of the legend, if any."""
    found = ax.get_legend()
    return [] if found is None else labels(found.get_texts())


def heading(ax: Axes) -> str:
    """Return the title, the subtitle and the notes of a chart."""
    return "\n".join(describe(ax))


def overlapping(written: list[Text]) -> list[tuple[str, str]]:
    """Return the pairs of texts that overlap."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written if text.get_text()]
    return [
        (text, other)
        for n, (text, box) in enumerate(boxes)
        for other, other_box in boxes[n + 1 :]
        if box.overlaps(other_box)
    ]
