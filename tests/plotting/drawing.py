"""Reading a chart: what is written on it, and where its points are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.strategies import batches


def days(*decided: int, **columns: Any) -> pd.DataFrame:
    """Return batches of the first days of August, so many each day, the first of them failed."""
    created = [f"2026-08-{day + 1:02}" for day, count in enumerate(decided) for _ in range(count)]
    words = ["FAILED" if n == 0 else "COMPLETED" for count in decided for n in range(count)]
    return batches(*words, created_at=pd.Series(created, dtype="datetime64[us, UTC]"), **columns)


def drawn(ax: Axes) -> Axes:
    """Render, so that what only shows then is raised here."""
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    return ax


def narrow() -> Axes:
    """Return axes in a figure of 420 by 360 pixels that pyplot knows nothing of."""
    return Figure(figsize=(4.2, 3.6), dpi=100, layout="constrained").subplots()


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def line(ax: Axes, n: int = 0) -> tuple[list[float], list[float]]:
    """Return where the points of a line are."""
    x, y = ax.lines[n].get_data()
    return np.asarray(x).tolist(), np.asarray(y, dtype=float).tolist()


def labels(ticks: list[Any]) -> list[str]:
    return [tick.get_text() for tick in ticks]


def legend(ax: Axes) -> list[str]:
    """Return what the legend names, none if there is none."""
    found = ax.get_legend()
    return [] if found is None else labels(found.get_texts())


def title(ax: Axes) -> str:
    return ax.get_title(loc="left")


def overlapping(written: list[Text]) -> list[tuple[str, str]]:
    """Return pairs of texts that lie on each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written if text.get_text()]
    return [
        (one, other)
        for n, (one, box) in enumerate(boxes)
        for other, its in boxes[n + 1 :]
        if box.overlaps(its)
    ]
