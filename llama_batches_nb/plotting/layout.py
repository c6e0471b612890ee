"""Layout that all charts share: colours, available space, labels and titles.

Charts have dark text on white on light and dark pages. Only `new_axes` needs pyplot, so charts can
be drawn on any thread.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from llama_batches_nb.plotting.fonts import font_families, replace_missing_glyphs

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from llama_batches_nb.types import Series

# The colour-blind safe palette of Okabe and Ito, without yellow, which is too pale on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
INK, GREY, GRID = "#333333", "#767676", "#E3E3E3"
MEDIUM, SMALL, TINY = 10.0, 8.5, 7.0  # font sizes, points
CHARACTER_WIDTH = 0.6  # average, in font sizes
MAX_LABEL_LENGTH = 36  # characters
MAX_ROWS = 30
NARROW_WIDTH = 400.0  # points
MAX_SAMPLE_SIZES = 16  # numbers above the axes
BYTE_ORDER_MARK = "\ufeff"  # invisible, but makes writing a PDF fail


def new_axes(n_rows: int = 1) -> Axes:
    """Return the axes of a new pyplot figure, which the notebook displays."""
    import matplotlib.pyplot as plt

    height = min(max(3.6, 1.5 + 0.38 * min(n_rows, MAX_ROWS)), 13.0)
    _, ax = plt.subplots(figsize=(8, height), layout="constrained")
    return ax


def style_axes(ax: Axes, value_axis: Literal["x", "y"]) -> None:
    """Apply the common style. Grid lines belong to the axis of the values."""
    ax.figure.set_facecolor("white")
    ax.set_facecolor("white")
    ax.grid(axis=value_axis, color=GRID, lw=0.8, ls="-")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(colors=INK, length=3, labelsize=SMALL)


def available_width(ax: Axes) -> float:
    """Return the approximate width, in points, of the axes with the labels at their sides."""
    share = min(float(ax.get_position(original=True).width) / 0.775, 1.0)  # 0.775: single axes
    return 72 * share * float(ax.figure.bbox.width) / float(ax.figure.dpi)


def available_height(ax: Axes, above: float = 0.0) -> float:
    """Return the approximate height, in points, of the axes without title and `above` points."""
    share = min(float(ax.get_position(original=True).height) / 0.77, 1.0)
    return 72 * share * float(ax.figure.bbox.height) / float(ax.figure.dpi) - 80 - above


def max_rows(ax: Axes, above: float = 0.0) -> int:
    """Return how many rows fit, one above the other."""
    row_height = 12 if available_width(ax) > NARROW_WIDTH else 24
    return max(1, min(MAX_ROWS, int(available_height(ax, above) / row_height)))


def text_width(text: str, size: float = SMALL) -> float:
    """Return the approximate width of a text in points."""
    return CHARACTER_WIDTH * size * max(map(len, text.split("\n")))


def max_label_length(ax: Axes, share: float = 0.34) -> int:
    """Return how many characters of a label fit into a share of the available width."""
    return min(MAX_LABEL_LENGTH, int(share * available_width(ax) / (CHARACTER_WIDTH * SMALL)))


def escape_mathtext(text: str) -> str:
    """Return text on one line, with mathtext escaped and missing glyphs replaced."""
    one_line = " ".join(text.split()).replace(BYTE_ORDER_MARK, "")
    return replace_missing_glyphs(one_line).replace("$", r"\$")


def group_name(row: Series, keys: Sequence[str]) -> str:
    """Return the values of the keys of a group on one line."""
    values = ["(none)" if pd.isna(row[key]) else str(row[key]) for key in keys]
    return " ".join(" · ".join(values).split()) or "all"


def group_label(row: Series, keys: Sequence[str], max_length: int = MAX_LABEL_LENGTH) -> str:
    """Return the label of a group: the values of its keys, shortened in the middle."""
    text = group_name(row, keys)
    if len(text) > max_length:
        end = max_length * 2 // 5
        text = f"{text[: max_length - end - 1]}…{text[-end:]}"
    return escape_mathtext(text)


def set_title(ax: Axes, *lines: str, left: float = 0.0, above: float = 0.0) -> None:
    """Set a title of several lines, wrapped to the figure.

    `left` is the width of the labels at the left of the axes, `above` the height of what is
    between the axes and the title, both in points.
    """
    max_length = max(24, int((available_width(ax) - left) / (CHARACTER_WIDTH * MEDIUM)))
    text = "\n".join(part for line in lines if line for part in _wrap_line(line, max_length))
    ax.set_title(
        text, loc="left", color=INK, fontsize=MEDIUM, pad=6 + above, fontfamily=font_families(text)
    )


def _wrap_line(line: str, max_length: int) -> list[str]:
    """Wrap a line, between its parts separated by `·` where they fit."""
    parts = [
        part.replace(" ", "\N{NO-BREAK SPACE}") if len(part) <= max_length else part
        for part in line.split(" · ")
    ]
    wrapped = textwrap.wrap(" · ".join(parts), max_length)
    return [part.replace("\N{NO-BREAK SPACE}", " ").removesuffix(" ·") for part in wrapped]


def set_axis_label(axis: Axis, text: str, length: float = math.inf) -> None:
    """Set the label of an axis, in a smaller font if the axis is short. `length` is in points."""
    size = max(TINY, min(MEDIUM, 1.1 * length / (CHARACTER_WIDTH * len(text))))
    axis.set_label_text(text, color=INK, fontsize=size)


def legend_above(
    ax: Axes,
    handles: Sequence[Artist],
    labels: Sequence[str],
    note: str = "",
    left: float = 50.0,
) -> float:
    """Add a legend above the axes, in as many columns as fit.

    `left` is the width of the labels at the left of the axes in points.

    Returns
    -------
    float
        Height of the legend in points.
    """
    column_width = 0.93 * max(map(text_width, labels)) + 30
    columns = min(len(labels), max(1, int((0.98 * available_width(ax) - left) / column_width)))
    legend = ax.legend(
        handles,
        # matplotlib omits labels that start with an underscore
        [f" {label}" if label.startswith("_") else label for label in labels],
        title=note or None,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.4,
        borderpad=0,
        columnspacing=1.4,
        handlelength=2.0,
        frameon=False,
        labelcolor=INK,
        alignment="left",
        prop={"size": SMALL, "family": font_families("".join(labels))},
        title_fontproperties={"size": SMALL},
    )
    legend.get_title().set_color(GREY)
    rows = -(-len(labels) // columns) + bool(note)
    return rows * 1.65 * SMALL + 2


def label_rows(ax: Axes, labels: Sequence[str], texts: Sequence[str], note: str = "") -> float:
    """Label the rows of a chart at the left, and write a text at the right of each row.

    In a narrow figure the text is above its row instead.

    Returns
    -------
    float
        Approximate width, in points, that remains for the chart.
    """
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", labelfontfamily=font_families("".join(labels)))
    ax.set_ylim(-1.3 if note else -0.6, max(len(labels) - 0.4, 0.6))
    label_width = max(map(text_width, labels), default=0)
    width = max(map(text_width, texts), default=0)
    fits_beside = label_width + width < 0.58 * available_width(ax)
    for y, text in enumerate(texts):
        ax.annotate(
            text,
            (1, y) if fits_beside else (1, y + 0.27),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0) if fits_beside else (0, 0),
            textcoords="offset points",
            ha="left" if fits_beside else "right",
            va="center" if fits_beside else "bottom",
            fontsize=SMALL if fits_beside else TINY,
            color=INK,
        )
    if note:
        ax.annotate(
            note,
            (0.01, -1.2),
            xycoords=("axes fraction", "data"),
            fontsize=SMALL,
            color=GREY,
        )
    return 0.9 * available_width(ax) - label_width - (width if fits_beside else 0)


def annotate_sample_sizes(ax: Axes, times: Sequence[pd.Timestamp], sizes: Sequence[int]) -> float:
    """Write the sample size of each point above the axes, omitting some where they are dense.

    Returns
    -------
    float
        Height of the numbers in points.
    """
    width = (max(len(f"{size:,}") for size in sizes) + 2) * CHARACTER_WIDTH * TINY
    span = max(times) - min(times)
    spacing = span * max(width / (0.75 * available_width(ax)), 1 / MAX_SAMPLE_SIZES)
    last = None
    for at, size in zip(times, sizes, strict=True):
        if last is not None and at - last < (1.5 * spacing if last == times[0] else spacing):
            continue
        ax.annotate(
            f"{size:,}" if last is not None else f"n = {size:,}",
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=TINY,
            color=GREY,
            annotation_clip=True,
        )
        last = at
    return 1.6 * TINY


def set_date_axis(
    ax: Axes, name: str, first: pd.Timestamp, last: pd.Timestamp, tz: str = "UTC"
) -> None:
    """Make the horizontal axis a date axis, with as many ticks as fit.

    The times have no zone; `tz` names the one they are in.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    max_ticks = max(3, min(10, int(0.75 * available_width(ax) / 48)))
    min_ticks = min(3, (max_ticks - 1) // 2)  # else no interval may fit between the two limits
    locator = AutoDateLocator(  # type: ignore[no-untyped-call]
        minticks=min_ticks, maxticks=max_ticks
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    ax.xaxis.get_offset_text().set(color=INK, fontsize=SMALL)
    ax.set_xlim(first, last)  # type: ignore[arg-type]
    set_axis_label(ax.xaxis, f"{escape_mathtext(name.replace('_', ' '))} ({tz})")


def clip_with_margin(ax: Axes, *artists: Artist) -> None:
    """Clip artists slightly outside the axes, so that markers at the edge are complete."""
    from matplotlib.transforms import Bbox, TransformedBbox

    box = TransformedBbox(Bbox([[-0.02, -0.04], [1.02, 1.04]]), ax.transAxes)
    for artist in artists:
        artist.set_clip_path(None)
        artist.set_clip_box(box)


def annotate_empty(ax: Axes, text: str) -> None:
    """Write in the middle of the axes why the chart is empty."""
    ax.annotate(
        text, (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize=MEDIUM
    )


def format_count(n: int, noun: str) -> str:
    """Return a count with its noun, such as `1 group` or `2 groups`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def join_names(ax: Axes, start: str, names: Sequence[str]) -> str:
    """Return names after the start of a note, as many as fit into one line."""
    max_length = int(0.8 * available_width(ax) / (CHARACTER_WIDTH * SMALL))
    listed = f"{start}: {', '.join(names)}"
    return textwrap.shorten(listed, max(max_length, len(start)), placeholder=" …").rstrip(":,")


def by_clause(groups: Sequence[str]) -> str:
    """Return the part of a title that names the columns of the groups."""
    return f" by {escape_mathtext(' and '.join(map(str, groups)))}" if groups else ""


def lighten(colour: str) -> tuple[float, float, float]:
    """Return a pale tint of a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.22 * part + 0.78 for part in to_rgb(colour))
    return red, green, blue
