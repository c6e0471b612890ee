"""Names of groups in charts: on one line, short, and still different."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import pandas as pd

from llama_batches_nb.plotting.fonts import replace_missing_glyphs

if TYPE_CHECKING:
    from llama_batches_nb.types import Series

MIN_LENGTH = 8  # characters
MIN_HEAD = 3  # characters that are kept of a common start
BYTE_ORDER_MARK = "\ufeff"  # invisible, but makes writing a PDF fail


def group_name(row: Series, keys: Sequence[str]) -> str:
    """Return the values of the keys of a group on one line."""
    known: list[str] = ["" if pd.isna(row[key]) else str(row[key]).strip() for key in keys]
    values = [text if text else "(none)" for text in known]
    return " ".join(" · ".join(values).split()) or "all"


def group_names(groups: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return the name of the group of each row."""
    return [group_name(row, keys) for _, row in groups.iterrows()]


def shorten_names(names: Sequence[str], max_length: int) -> list[str]:
    """Return names of at most `max_length` characters (at least 8) that differ, if any do.

    A name is shortened in the middle. Names that are equal then keep the words in which they
    differ, or get a number. Characters that no installed font has are replaced.
    """
    max_length = max(max_length, MIN_LENGTH)
    whole = [replace_missing_glyphs(name.replace(BYTE_ORDER_MARK, "")) for name in names]
    short = [_shorten(name, max_length) for name in whole]
    for alike in _repeated(short):
        different = _keep_difference([whole[n] for n in alike], max_length)
        for n, name in zip(alike, different, strict=True):
            short[n] = name
    taken: set[str] = set()
    for n, name in enumerate(short):
        number = 1
        while short[n] in taken:
            number += 1
            short[n] = f"{name[: max_length - len(f' ({number})')]} ({number})"
        taken.add(short[n])
    return short


def _shorten(text: str, max_length: int) -> str:
    """Return text, shortened in the middle."""
    if len(text) <= max_length:
        return text
    end = max_length * 2 // 5
    return f"{text[: max_length - end - 1]}…{text[-end:]}"


def _repeated(names: list[str]) -> list[list[int]]:
    """Return the positions of each name that occurs more than once."""
    places: dict[str, list[int]] = {}
    for n, name in enumerate(names):
        places.setdefault(name, []).append(n)
    return [found for found in places.values() if len(found) > 1]


def _common_length(names: list[str]) -> int:
    """Return how many characters at the start are equal in all names."""
    return sum(1 for _ in takewhile(lambda column: len({*column}) == 1, zip(*names, strict=False)))


def _keep_difference(names: list[str], max_length: int) -> list[str]:
    """Return names shortened outside of the words in which they differ."""
    start = _common_length(names)
    end = _common_length([name[start:][::-1] for name in names])
    start = names[0][:start].rfind(" ") + 1
    while end and names[0][-end] != " ":
        end -= 1
    found = []
    for name in names:
        rest = _shorten(name[start : len(name) - end], max_length - MIN_HEAD - 2)
        head = max_length - len(rest) - 1 - bool(end)
        found.append(
            f"{name[: min(start, head)].rstrip()}{'…' if start > head else ' ' * bool(start)}"
            f"{rest}{'…' if end else ''}"
        )
    return [name if len(name) <= max_length else _shorten(name, max_length) for name in found]
