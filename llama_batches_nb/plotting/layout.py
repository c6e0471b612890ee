"""Layout that all charts share: style, available space, and labels.

A chart touches only the axes that it is drawn on, and takes fonts and colours from them and from
the user's settings. Only `new_axes` needs pyplot, so charts can be drawn on any thread.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from llama_batches_nb.plotting.colours import FAINT, MUTED, ink, is_for_page
from llama_batches_nb.plotting.fonts import font_families, replace_missing_glyphs
from llama_batches_nb.plotting.limits import AxisName, Limits, is_linear
from llama_batches_nb.plotting.names import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from llama_batches_nb.types import Series

MEDIUM, SMALL, TINY = 1.0, 0.85, 0.7  # font sizes, in those of the user's settings
CHARACTER_WIDTH = 0.6  # average, in font sizes
MAX_LABEL_LENGTH = 36  # characters
MAX_ROWS = 30
MAX_NAMED = 40  # groups that are left out
MAX_SAMPLE_SIZES = 16  # numbers above the axes


def new_axes(n_rows: int = 1) -> Axes:
    """Return the axes of a new pyplot figure, which the notebook displays."""
    import matplotlib.pyplot as plt

    height = min(max(4.2, 1.5 + 0.38 * min(n_rows, MAX_ROWS)), 13.0)
    _, ax = plt.subplots(figsize=(8, height), layout="constrained")
    return ax


def style_axes(ax: Axes, value_axis: AxisName) -> None:
    """Apply the common style. Grid lines belong to the axis of the values."""
    is_own = is_set("grid.color") and not is_for_page(ax)
    colours = {} if is_own else {"color": ink(ax), "alpha": FAINT}
    ax.grid(axis=value_axis, lw=0.8, ls="-", **colours)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    for name in ("x", "y"):
        ax.tick_params(name, length=3, labelsize=font_size(SMALL, f"{name}tick.labelsize"))


def font_size(share: float, setting: str = "") -> float:
    """Return a share of the user's font size in points, or the size that a setting gives."""
    from matplotlib.font_manager import FontProperties

    if setting and is_set(setting):
        return float(FontProperties(size=_settings()[setting]).get_size_in_points())
    return share * float(_settings()["font.size"])


def is_set(setting: str) -> bool:
    """Return whether the user has changed one of matplotlib's settings."""
    import matplotlib as mpl

    defaults: Any = mpl.rcParamsDefault
    return bool(_settings()[setting] != defaults[setting])


def _settings() -> Any:
    import matplotlib as mpl

    return mpl.rcParams


def available_width(ax: Axes) -> float:
    """Return the approximate width, in points, of the axes with the labels at their sides."""
    share = min(float(ax.get_position(original=True).width) / 0.775, 1.0)  # 0.775: single axes
    return 72 * share * float(ax.figure.bbox.width) / float(ax.figure.dpi)


def available_height(ax: Axes, above: float = 0.0) -> float:
    """Return the approximate height, in points, of the axes without title and `above` points."""
    share = min(float(ax.get_position(original=True).height) / 0.77, 1.0)
    return 72 * share * float(ax.figure.bbox.height) / float(ax.figure.dpi) - 80 - above


def max_rows(ax: Axes, names: Sequence[str], texts: Sequence[str], above: float = 0.0) -> int:
    """Return how many rows fit, one above the other, as `label_rows` labels them."""
    length = max_label_length(ax)
    row_height = 12 if _fits_beside(ax, [name[:length] for name in names], texts) else 24
    return max(1, min(MAX_ROWS, int(available_height(ax, above) / row_height)))


def _fits_beside(ax: Axes, labels: Sequence[str], texts: Sequence[str]) -> bool:
    """Return whether labels and texts leave enough width for the chart between them."""
    return widest(labels) + widest(texts) < 0.58 * available_width(ax)


def widest(texts: Sequence[str]) -> float:
    """Return the approximate width of the widest text in points; 0 without any."""
    return max(map(text_width, texts), default=0.0)


def text_width(text: str, share: float = SMALL) -> float:
    """Return the approximate width of a text in points."""
    return CHARACTER_WIDTH * font_size(share) * max(map(len, text.split("\n")))


def max_label_length(ax: Axes, share: float = 0.34) -> int:
    """Return how many characters of a label fit into a share of the available width."""
    return min(MAX_LABEL_LENGTH, int(share * available_width(ax) / text_width("n")))


def escape(text: str) -> str:
    """Return text on one line as matplotlib writes it: no formulas, no missing glyphs."""
    one_line = replace_missing_glyphs(" ".join(text.split()).replace(BYTE_ORDER_MARK, ""))
    return one_line.replace("$", r"\$") if _settings()["text.parse_math"] else one_line


def set_axis_label(axis: Axis, text: str, length: float = math.inf) -> None:
    """Set the label of an axis, in a smaller font if the axis is short. `length` is in points."""
    size = font_size(MEDIUM, "axes.labelsize")
    fitting = 1.1 * length / (CHARACTER_WIDTH * len(text))
    axis.set_label_text(
        escape(text),
        fontsize=min(size, max(font_size(TINY), fitting)),
        fontfamily=font_families(text),
    )


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
    size, families = font_size(SMALL, "legend.fontsize"), font_families("".join([*labels, note]))
    legend = ax.legend(
        handles,
        # matplotlib omits labels that start with an underscore
        [
            escape(label).replace("_", " _", 1) if label[0] == "_" else escape(label)
            for label in labels
        ],
        title="\n".join(map(escape, note.split("\n"))) if note else None,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.4,
        borderpad=0,
        columnspacing=1.4,
        handlelength=2.0,
        frameon=False,
        labelcolor=ink(ax),
        alignment="left",
        prop={"size": size, "family": families},
        title_fontproperties={"size": size, "family": families},
    )
    legend.get_title().set(color=ink(ax), alpha=MUTED)
    rows = -(-len(labels) // columns) + (note.count("\n") + 1 if note else 0)
    return rows * 1.65 * size + 2


def label_rows(
    ax: Axes, limits: Limits, labels: Sequence[str], texts: Sequence[str], note: str = ""
) -> float:
    """Label the rows of a chart at the left, and write a text at the right of each row.

    In a narrow figure the text is above its row instead.

    Returns
    -------
    float
        Approximate width, in points, that remains for the chart.
    """
    ax.set_yticks(range(len(labels)), list(map(escape, labels)))
    ax.tick_params(axis="y", labelfontfamily=font_families("".join(labels)))
    limits.show("y", -0.6 - _rows_of_note(ax, note, len(labels)), max(len(labels) - 0.4, 0.6))
    fits_beside = _fits_beside(ax, labels, texts)
    for y, text in enumerate(texts):
        ax.annotate(
            text,
            (1, y) if fits_beside else (1, y + 0.27),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0) if fits_beside else (0, 0),
            textcoords="offset points",
            ha="left" if fits_beside else "right",
            va="center" if fits_beside else "bottom",
            fontsize=font_size(SMALL if fits_beside else TINY),
            color=ink(ax),
        )
    if note:
        ax.annotate(
            "\n".join(map(escape, note.split("\n"))),
            (0.01, 0),
            xycoords="axes fraction",
            xytext=(0, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=font_size(SMALL),
            fontfamily=font_families(note),
            color=ink(ax),
            alpha=MUTED,
        )
    return 0.9 * available_width(ax) - widest(labels) - (widest(texts) if fits_beside else 0)


def _rows_of_note(ax: Axes, note: str, n_rows: int) -> float:
    """Return how many rows' height the note below the rows takes."""
    if not note:
        return 0.0
    lines = note.count("\n") + 1
    height = lines * 1.35 * font_size(SMALL) + 4
    left = max(available_height(ax) - height, height)
    return max(0.7 * lines, n_rows * height / left)


def annotate_sample_sizes(ax: Axes, times: Sequence[float], sizes: Sequence[int]) -> float:
    """Write the sample size of each point above the axes, omitting some where they are dense.

    Returns
    -------
    float
        Height of the numbers in points.
    """
    width = (max(len(f"{size:,}") for size in sizes) + 2) * text_width("n", TINY)
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
            fontsize=font_size(TINY),
            color=ink(ax),
            alpha=MUTED,
            annotation_clip=True,
        )
        last = at
    return 1.6 * font_size(TINY)


def date_numbers(times: Series) -> Any:
    """Return times as days since 1970 in UTC, which is what date axes count in."""
    from matplotlib.dates import date2num

    return date2num(times.to_numpy(dtype="datetime64[us]"))  # type: ignore[no-untyped-call]


def set_date_axis(
    ax: Axes, limits: Limits, name: str, first: float, last: float, tz: tzinfo | str | None
) -> None:
    """Make the horizontal axis a date axis in a time zone, with as many ticks as fit."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if is_linear(ax, "x"):
        zone = tz or "UTC"
        max_ticks = max(3, min(10, int(0.75 * available_width(ax) / 48)))
        min_ticks = min(3, (max_ticks - 1) // 2)  # else no interval may fit between the two limits
        locator = AutoDateLocator(  # type: ignore[no-untyped-call]
            tz=zone, minticks=min_ticks, maxticks=max_ticks
        )
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
        ax.xaxis.get_offset_text().set_fontsize(font_size(SMALL, "xtick.labelsize"))
    limits.show("x", first, last)
    set_axis_label(ax.xaxis, f"{name.replace('_', ' ')} ({tz or 'UTC'})")


def clip_with_margin(ax: Axes, *artists: Artist) -> None:
    """Clip artists slightly outside the axes, so that markers at the edge are complete."""
    from matplotlib.transforms import Bbox, TransformedBbox

    box = TransformedBbox(Bbox([[-0.02, -0.04], [1.02, 1.04]]), ax.transAxes)
    for artist in artists:
        artist.set_clip_path(None)
        artist.set_clip_box(box)


def annotate_empty(ax: Axes, limits: Limits, text: str) -> None:
    """Write in the middle of the axes why the chart is empty; ticks would mean nothing."""
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if limits.is_free(name):  # type: ignore[arg-type]
            axis.set_ticks([], labels=[])  # formatters of dates cannot format nothing
    ax.annotate(
        text,
        (0.5, 0.5),
        xycoords="axes fraction",
        ha="center",
        color=ink(ax),
        alpha=MUTED,
        fontsize=font_size(MEDIUM),
    )


def name_left_out(ax: Axes, start: str, names: Sequence[str], n_names: int) -> str:
    """Return a note of at most two lines with the first of the names that are left out."""
    max_length = max(24, int(0.8 * available_width(ax) / text_width("n")))
    for n in range(len(names), 0, -1):
        more = f" and {n_names - n:,} more" if n_names > n else ""
        lines = textwrap.wrap(f"{start}: {', '.join(names[:n])}{more}", max_length)
        if len(lines) <= 2:
            return "\n".join(lines)
    return textwrap.shorten(start, max_length, placeholder=" …")


def by_clause(groups: Sequence[str]) -> str:
    """Return the part of a title that names the columns of the groups."""
    return f" by {' and '.join(map(str, groups))}" if groups else ""
