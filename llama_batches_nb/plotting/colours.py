"""Colours: those of groups, the same in every chart, and those of the axes that are drawn on."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llama_batches_nb.types import Series

# The colour-blind safe palette of Okabe and Ito, without yellow, which is too pale on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
INK, GREY = "#333333", "#767676"
MUTED, FAINT = 0.75, 0.15  # opacity of notes and of grid lines

_slots: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}  # by columns, then by group
_lock = Lock()


def group_colours(ax: Axes, columns: Sequence[str], groups: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return the colour of each group, which it keeps in the charts of the process.

    A group gets the colour that the hash of its key says, or the next one that fewer groups have,
    so it mostly has the same colour tomorrow. If two groups of one chart have the same colour, the
    second one changes to a colour that the chart does not have yet.
    """
    palette = _palette(ax)
    if not columns:
        return [palette[0]] * len(groups)
    keys = [_group_key(group) for group in groups]
    with _lock:
        slots = _slots.setdefault(tuple(map(str, columns)), {})
        in_chart = {slots[key]: key for key in reversed(keys) if key in slots}
        for key in keys:
            free = [slot for slot in range(len(COLOURS)) if slot not in in_chart]
            if key not in slots or (in_chart[slots[key]] != key and free):
                slots[key] = _choose_slot(key, free, Counter(slots.values()))
                in_chart.setdefault(slots[key], key)
        return [palette[slots[key] % len(palette)] for key in keys]


def _group_key(group: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("" if pd.isna(value) else f"={value}" for value in group)


def _choose_slot(key: tuple[str, ...], free: Sequence[int], used: Counter[int]) -> int:
    """Return one of the free slots, or of all if none is free."""
    first, n = zlib.crc32(repr(key).encode("utf-8", "replace")), len(COLOURS)
    in_turn = [(first + step) % n for step in range(n)]
    return min((slot for slot in in_turn if slot in free or not free), key=lambda slot: used[slot])


def _palette(ax: Axes) -> Sequence[str]:
    """Return the colours of the user's settings, if they differ from matplotlib's own."""
    import matplotlib as mpl

    cycle = mpl.rcParams["axes.prop_cycle"]
    is_own = cycle == mpl.rcParamsDefault["axes.prop_cycle"] or "color" not in cycle.keys
    return COLOURS if is_own or is_for_page(ax) else cycle.by_key()["color"]


def is_for_page(ax: Axes) -> bool:
    """Return whether a chart becomes SVG text, which takes its colours and fonts from the page."""
    return hasattr(ax.figure.canvas, "hover_areas")


def ink(ax: Axes) -> Any:
    """Return the colour of the texts of axes."""
    return ax.title.get_color()


def background(ax: Axes) -> Any:
    """Return the colour behind a chart."""
    from matplotlib.colors import to_rgba

    for face in (ax.get_facecolor(), ax.figure.get_facecolor()):
        if to_rgba(face)[3]:
            return face
    return "none"


def group_key(row: Series, columns: Sequence[str]) -> tuple[Any, ...]:
    """Return the key of the group of a row, for `group_colours`."""
    return tuple(row[name] for name in columns)


def lighten(colour: str) -> tuple[float, ...]:
    """Return a transparent tint of a colour, which is pale on any background."""
    from matplotlib.colors import to_rgba

    return to_rgba(colour, 0.22)
