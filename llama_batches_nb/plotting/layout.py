"""What all charts share: colours, room, names, titles. Dark ink on white, in light and dark pages.

Nothing here but `new_axes` needs pyplot, so that a chart may be drawn on any thread.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from llama_batches_nb.plotting.fonts import families, replace_missing_glyphs

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Okabe and Ito's colours, told apart by colour-blind eyes too; yellow is too pale on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
INK, GREY, GRID = "#333333", "#767676", "#E3E3E3"
MEDIUM, SMALL, TINY = 10.0, 8.5, 7.0  # points
EM = 0.6  # the width of a character, in sizes of the font
MAX_LABEL_LENGTH = 36  # characters
MAX_ROWS = 30
NARROW = 400.0  # points
MAX_SIZES = 16  # numbers along the top
BYTE_ORDER_MARK = "\ufeff"  # shows nothing, and with it matplotlib writes no PDF


def new_axes(n_rows: int = 1) -> Axes:
    """Return the axes of a new figure, which pyplot and so the notebook shows."""
    import matplotlib.pyplot as plt

    height = min(max(3.6, 1.5 + 0.38 * min(n_rows, MAX_ROWS)), 13.0)
    _, ax = plt.subplots(figsize=(8, height), layout="constrained")
    return ax


def style_axes(ax: Axes, scale: str) -> None:
    """Give axes the common look; `scale` is the axis with the numbers, "x" or "y"."""
    ax.figure.set_facecolor("white")
    ax.set_facecolor("white")
    ax.grid(axis=scale, color=GRID, lw=0.8, ls="-")  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(colors=INK, length=3, labelsize=SMALL)


def available_width(ax: Axes) -> float:
    """Return about how many points wide the place of the axes is, with what stands beside it."""
    share = min(float(ax.get_position(original=True).width) / 0.775, 1.0)  # 0.775 if alone
    return 72 * share * float(ax.figure.bbox.width) / float(ax.figure.dpi)


def height(ax: Axes, above: float = 0.0) -> float:
    """Return about how many points high the axes are, without the title and `above` points."""
    share = min(float(ax.get_position(original=True).height) / 0.77, 1.0)
    return 72 * share * float(ax.figure.bbox.height) / float(ax.figure.dpi) - 80 - above


def most_rows(ax: Axes, above: float = 0.0) -> int:
    """Return how many rows find room, one over the other."""
    return max(
        1, min(MAX_ROWS, int(height(ax, above) / (12 if available_width(ax) > NARROW else 24)))
    )


def width_of(text: str, size: float = SMALL) -> float:
    """Return about how many points wide a text is."""
    return EM * size * max(map(len, text.split("\n")))


def escape_mathtext(text: str) -> str:
    """Return text that shows as it is: on one line, without formulas or holes."""
    seen = " ".join(text.split()).replace(BYTE_ORDER_MARK, "")
    return replace_missing_glyphs(seen).replace("$", r"\$")


def group_label(row: pd.Series[Any], keys: Sequence[str], longest: int = MAX_LABEL_LENGTH) -> str:
    """Return what a group is called: its keys' values, cut in the middle if they are long."""
    words = ["(none)" if pd.isna(row[key]) else str(row[key]) for key in keys]
    text = " ".join(" · ".join(words).split()) or "all"
    if len(text) > longest:
        end = longest * 2 // 5
        text = f"{text[: longest - end - 1]}…{text[-end:]}"
    return escape_mathtext(text)


def set_title(ax: Axes, *lines: str, left: float = 0.0, above: float = 0.0) -> None:
    """Write a title of some lines, `left` points of labels beside it and `above` points below."""
    most = max(24, int((available_width(ax) - left) / (EM * MEDIUM)))
    text = "\n".join(part for line in lines if line for part in _wrapped(line, most))
    ax.set_title(
        text, loc="left", color=INK, fontsize=MEDIUM, pad=6 + above, fontfamily=families(text)
    )


def _wrapped(line: str, most: int) -> list[str]:
    """Break a line that is too long, between its parts if they fit."""
    parts = [
        part.replace(" ", "\N{NO-BREAK SPACE}") if len(part) <= most else part
        for part in line.split(" · ")
    ]
    broken = textwrap.wrap(" · ".join(parts), most)
    return [part.replace("\N{NO-BREAK SPACE}", " ").removesuffix(" ·") for part in broken]


def set_axis_label(axis: Axis, text: str, room: float = math.inf) -> None:
    """Write what an axis counts, smaller if there is little room."""
    size = max(TINY, min(MEDIUM, 1.1 * room / (EM * len(text))))
    axis.set_label_text(text, color=INK, fontsize=size)


def legend_above(
    ax: Axes,
    handles: Sequence[Artist],
    labels: Sequence[str],
    note: str = "",
    left: float = 50.0,
) -> float:
    """Put a legend over the axes, in as many columns as find room beside `left` points of labels.

    Returns
    -------
    float
        The points of height that this takes.
    """
    widest = 0.93 * max(map(width_of, labels)) + 30
    columns = min(len(labels), max(1, int((0.98 * available_width(ax) - left) / widest)))
    legend = ax.legend(
        handles,
        [f" {label}" if label.startswith("_") else label for label in labels],  # else left out
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
        prop={"size": SMALL, "family": families("".join(labels))},
        title_fontproperties={"size": SMALL},
    )
    legend.get_title().set_color(GREY)
    rows = -(-len(labels) // columns) + bool(note)
    return rows * 1.65 * SMALL + 2


def label_rows(ax: Axes, labels: Sequence[str], texts: Sequence[str], left_out: str = "") -> float:
    """Name the rows of a chart at their left, and write a text at the right of each.

    Where the figure is too narrow for both, the text stands over its row.

    Returns
    -------
    float
        About how many points this leaves for the chart.
    """
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", labelfontfamily=families("".join(labels)))
    ax.set_ylim(-1.3 if left_out else -0.6, max(len(labels) - 0.4, 0.6))
    named, told = (max(map(width_of, words), default=0) for words in (labels, texts))
    beside = named + told < 0.58 * available_width(ax)
    for y, text in enumerate(texts):
        ax.annotate(
            text,
            (1, y) if beside else (1, y + 0.27),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0) if beside else (0, 0),
            textcoords="offset points",
            ha="left" if beside else "right",
            va="center" if beside else "bottom",
            fontsize=SMALL if beside else TINY,
            color=INK,
        )
    if left_out:
        ax.annotate(
            left_out,
            (0.01, -1.2),
            xycoords=("axes fraction", "data"),
            fontsize=SMALL,
            color=GREY,
        )
    return 0.9 * available_width(ax) - named - (told if beside else 0)


def longest_name(ax: Axes, share: float = 0.34) -> int:
    """Return how many characters a name may have that takes a share of the room."""
    return min(MAX_LABEL_LENGTH, int(share * available_width(ax) / (EM * SMALL)))


def annotate_sample_sizes(ax: Axes, when: Sequence[pd.Timestamp], sizes: Sequence[int]) -> float:
    """Write how many rows stand behind each point over the axes, no denser than is legible.

    Returns
    -------
    float
        The points of height that this takes.
    """
    widest = (max(len(f"{size:,}") for size in sizes) + 2) * EM * TINY
    apart = (max(when) - min(when)) * max(widest / (0.75 * available_width(ax)), 1 / MAX_SIZES)
    last = None
    for at, size in zip(when, sizes, strict=True):
        if last is not None and at - last < (1.5 * apart if last == when[0] else apart):
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


def date_axis(ax: Axes, name: str, first: pd.Timestamp, last: pd.Timestamp) -> None:
    """Make the horizontal axis one of dates, with as many as find room."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    most = max(3, min(10, int(0.75 * available_width(ax) / 48)))
    fewest = min(3, (most - 1) // 2)  # else no interval of the calendar may be left between the two
    locator = AutoDateLocator(minticks=fewest, maxticks=most)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    ax.xaxis.get_offset_text().set(color=INK, fontsize=SMALL)
    ax.set_xlim(first, last)  # type: ignore[arg-type]
    set_axis_label(ax.xaxis, f"{escape_mathtext(name.replace('_', ' '))} (UTC)")


def clip_loosely(ax: Axes, *artists: Artist) -> None:
    """Let what lies on the edge be whole, and still clip what lies beyond it."""
    from matplotlib.transforms import Bbox, TransformedBbox

    around = TransformedBbox(Bbox([[-0.02, -0.04], [1.02, 1.04]]), ax.transAxes)
    for artist in artists:
        artist.set_clip_path(None)
        artist.set_clip_box(around)


def annotate_empty(ax: Axes, words: str) -> None:
    """Say in the middle why nothing is drawn."""
    ax.annotate(
        words, (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize=MEDIUM
    )


def counted(n: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def by_clause(groups: Sequence[str]) -> str:
    """Return the words of a title that name what is grouped by."""
    return f" by {escape_mathtext(' and '.join(map(str, groups)))}" if groups else ""


def lighten(colour: str) -> tuple[float, float, float]:
    """Return a colour mixed with much white."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.22 * part + 0.78 for part in to_rgb(colour))
    return red, green, blue
