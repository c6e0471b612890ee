"""The texts around a chart: a title and a subtitle above it, notes below it.

Everything can be replaced afterwards: a title that the user sets is at the same place, above the
subtitle and the legend, and takes the place of the title of the chart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llama_batches_nb.plotting.colours import MUTED, ink, is_for_page
from llama_batches_nb.plotting.fonts import font_families
from llama_batches_nb.plotting.layout import (
    CHARACTER_WIDTH,
    MEDIUM,
    SMALL,
    available_width,
    escape,
    font_size,
    is_set,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text
    from matplotlib.transforms import BboxBase

LINE_HEIGHT = 1.35  # in font sizes
MIN_LINE_LENGTH = 24  # characters
SUBTITLE, NOTES = "lb-subtitle", "lb-notes"  # the gid of the artist


def add_heading(
    ax: Axes,
    title: str,
    subtitle: Sequence[str] = (),
    notes: Sequence[str] = (),
    *,
    left: float = 0.0,
    above: float = 0.0,
) -> None:
    """Write a title, and the parts of a subtitle and of notes, wrapped to the figure.

    Without a layout engine, nothing makes room above the axes: the subtitle is then the first of
    the notes. `left` is the width of the labels at the left of the axes, `above` the height of what
    is between the axes and the subtitle, both in points.
    """
    if ax.figure.get_layout_engine() is None:
        subtitle, notes = (), [*subtitle, *notes]
    width = available_width(ax) - left
    small = font_size(SMALL)
    if lines := _wrap_parts(subtitle, width, small):
        _annotate(ax, lines, (0, 1), ("axes fraction", "axes fraction"), above + 4, SUBTITLE)
        above += 2 + LINE_HEIGHT * small * len(lines)
    if lines := _wrap_parts(notes, width, small):
        _annotate(ax, lines, (0, 0), ("axes fraction", _extent_with_x_axis(ax)), -6, NOTES)
    size = font_size(MEDIUM, "axes.titlesize")
    is_own = is_set("axes.titlecolor") and not is_for_page(ax)
    colour = {} if is_own else {"color": ink(ax)}
    text = "\n".join(_wrap_parts([title], width, size))
    own = ax.set_title(text, loc="left", fontsize=size, fontfamily=font_families(text), **colour)
    _reserve_space(ax, above, own)


def describe(ax: Axes) -> list[str]:
    """Return the lines of the title, the subtitle and the notes of a chart."""
    texts = [ax.get_title(loc="left")]
    for gid in (SUBTITLE, NOTES):
        texts += [text.get_text() for text in ax.texts if text.get_gid() == gid]
    return [line for text in texts for line in text.split("\n")]


def _annotate(
    ax: Axes, lines: list[str], at: tuple[float, float], coordinates: object, y: float, gid: str
) -> None:
    """Write lines above (`y` > 0) or below a position, `y` in points."""
    text = "\n".join(lines)
    ax.annotate(
        text,
        at,
        xycoords=coordinates,  # type: ignore[arg-type]
        xytext=(0, y),
        textcoords="offset points",
        va="bottom" if y > 0 else "top",
        fontsize=font_size(SMALL),
        fontfamily=font_families(text),
        linespacing=LINE_HEIGHT,
        color=ink(ax),
        alpha=MUTED,
        gid=gid,
    )


def _wrap_parts(parts: Sequence[str], width: float, size: float) -> list[str]:
    """Return lines of the parts, with `·` between them, wrapped between them where possible."""
    max_length = max(MIN_LINE_LENGTH, int(width / (CHARACTER_WIDTH * size)))
    lines: list[str] = []
    for part in filter(None, parts):
        joined = f"{lines[-1]} · {part}" if lines else part
        if len(joined) <= max_length:
            lines[-1:] = [joined]
        else:
            lines.extend(textwrap.wrap(part, max_length))
    return list(map(escape, lines))


def _extent_with_x_axis(ax: Axes) -> Callable[[RendererBase], BboxBase]:
    """Return a function that returns the extent of the axes with ticks and label of the x axis."""
    from matplotlib.transforms import Bbox

    def extent(renderer: RendererBase) -> BboxBase:
        with_labels = ax.xaxis.get_tightbbox(renderer)
        return ax.bbox if with_labels is None else Bbox.union([ax.bbox, with_labels])

    return extent


def _reserve_space(ax: Axes, height: float, own: Text) -> None:
    """Keep titles above a height in points over the axes: they are placed above inner axes."""
    from matplotlib.transforms import Bbox

    def locate(_: object, renderer: object) -> Bbox:
        if ax.get_title(loc="center"):
            own.set_text("")
        box, pixels = ax.bbox, height / 72 * ax.figure.dpi
        above = Bbox.from_extents(box.x0, box.y1, box.x1, box.y1 + pixels)
        return above.transformed(ax.figure.transSubfigure.inverted())

    space = ax.inset_axes((0, 1, 1, 0))
    space.set_axis_off()
    space.set_in_layout(False)
    space.set_axes_locator(locate)
