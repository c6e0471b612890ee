"""Words, numbers and marks as HTML. Whatever came from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

from llama_batches_nb.plotting.layout import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

GREY = "#8C8C8C"  # legible on white and on black

MARKS = {
    "COMPLETED": ("●", GREEN),
    "RUNNING": ("◐", SKY),
    "PENDING": ("○", GREY),
    "THROTTLED": ("◔", ORANGE),
    "FAILED": ("✕", VERMILION),
    "CANCELLED": ("⊘", PURPLE),
    "succeeded": ("●", GREEN),
    "mapped": ("●", BLUE),
    "mapping_error": ("✕", ORANGE),
    "job_failed": ("✕", VERMILION),
    "job_cancelled": ("⊘", PURPLE),
    "job_running": ("◐", SKY),
    "job_unknown": ("○", GREY),
    "no_job": ("○", GREY),
}
MISSING = "–"
HEAD, TAIL = 8, 2  # characters of an id that are shown

_AGES = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # seconds


def text(value: Any) -> str:
    """Return any value as text of HTML."""
    return MISSING if _is_missing(value) else escape(str(value))


def status(word: Any) -> str:
    """Return a status or an outcome with its mark; one that is new to us has a plain one."""
    if _is_missing(word):
        return MISSING
    mark, colour = MARKS.get(str(word), ("◇", GREY))
    return f'<span style="color:{colour}" aria-hidden="true">{mark}</span> {escape(str(word))}'


def short(value: Any) -> str:
    """Return an id cut in the middle: ``bat-1a2b…9f``."""
    given = str(value)
    return given if len(given) <= HEAD + TAIL + 2 else f"{given[:HEAD]}…{given[-TAIL:]}"


def short_id(value: Any) -> str:
    """Return an id cut in the middle, whole on hover."""
    if _is_missing(value):
        return MISSING
    return f'<code title="{escape(str(value))}">{escape(short(value))}</code>'


def whole_id(value: Any) -> str:
    """Return an id that one click selects, for copying."""
    return f'<code class="lb-id">{text(value)}</code>'


def name(value: Any, names: dict[str, str]) -> str:
    """Return the name of an id, else the id."""
    known = names.get(str(value))
    return short_id(value) if known is None else escape(known)


def order(value: Any, names: dict[str, str]) -> str:
    """Return by what an id is sorted: its name."""
    return names.get(str(value), str(value)).casefold()


def time(value: Any) -> str:
    """Return a time to the minute, in UTC: ``2026-08-01 14:03``."""
    return MISSING if _is_missing(value) else f"{value.tz_convert('UTC'):%Y-%m-%d %H:%M}"


def ago(value: pd.Timestamp, now: datetime) -> str:
    """Return how long ago something was: ``3 h ago``."""
    number, unit, *_ = duration((now - value).total_seconds()).split()
    return f"{number} {unit} ago"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: ``2 min 10 s``."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _AGES:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def count(n: int, thing: str) -> str:
    """Return a number of things: ``1 file``, ``1,200 batches``."""
    return f"{n:,} {thing if n == 1 else plural(thing)}"


def plural(thing: str) -> str:
    """Return the plural of one of our nouns."""
    if thing.endswith("y"):
        return f"{thing[:-1]}ies"
    return f"{thing}es" if thing.endswith("ch") else f"{thing}s"


def number(value: Any) -> str:
    """Return a number with its thousands separated."""
    return MISSING if _is_missing(value) else f"{value:,.0f}"


def percent(share: Any) -> str:
    """Return a share in percent: ``3.9 %``."""
    return MISSING if _is_missing(share) else f"{100 * share:.1f} %"


def alert(words: str) -> str:
    """Return words that a screen reader says at once; of no words, nothing."""
    return f'<div class="lb-alert" role="alert">{text(words)}</div>' if words else ""


def counts(words: pd.Series[Any]) -> str:
    """Return how often each word comes, in the order of a category: ``● 290 COMPLETED · …``."""
    found = words.value_counts(sort=False)
    return " · ".join(
        status(word).replace("</span> ", f"</span> {n:,} ", 1) for word, n in found.items() if n
    )


def table(
    heads: Sequence[tuple[str, str]], rows: Iterable[Iterable[str]], *, row_style: str = ""
) -> str:
    """Return a table; the heads are `(text, class)`, and the cells are HTML already."""
    head = "".join(f'<th scope="col" class="{kind}">{escape(label)}</th>' for label, kind in heads)
    body = "".join(f'<tr style="{row_style}">{_cells(cells, heads)}</tr>' for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(cells: Iterable[str], heads: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(cells, heads, strict=True)
    )


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


PANEL_CSS = files(__package__).joinpath("panel.css").read_text("utf-8")
SAVED_CSS = files(__package__).joinpath("twin.css").read_text("utf-8")
