"""Format values as HTML. Text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

from llama_batches_nb.plotting.colours import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

GREY = "#8C8C8C"  # legible on white and on black

STATUS_MARKS = {
    "COMPLETED": ("●", GREEN),
    "RUNNING": ("◐", SKY),
    "PENDING": ("○", GREY),
    "THROTTLED": ("◔", ORANGE),
    "FAILED": ("✕", VERMILION),
    "CANCELLED": ("⊘", PURPLE),
    "succeeded": ("●", GREEN),
    "partial": ("◒", GREEN),
    "mapped": ("●", BLUE),
    "mapping_error": ("✕", ORANGE),
    "job_failed": ("✕", VERMILION),
    "job_cancelled": ("⊘", PURPLE),
    "job_running": ("◐", SKY),
    "job_unknown": ("○", GREY),
    "no_job": ("○", GREY),
}
UNKNOWN_MARK = ("◇", GREY)  # of a status that is not listed above
MISSING = "–"
ID_HEAD, ID_TAIL = 8, 2  # characters of a shortened id

_DURATION_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # seconds


def text(value: Any) -> str:
    """Return any value as escaped text."""
    return MISSING if _is_missing(value) else escape(str(value))


def status(value: Any) -> str:
    """Return a status or outcome with its mark."""
    if _is_missing(value):
        return MISSING
    mark, colour = STATUS_MARKS.get(str(value), UNKNOWN_MARK)
    return f'<span style="color:{colour}" aria-hidden="true">{mark}</span> {escape(str(value))}'


def short(value: Any) -> str:
    """Return an id shortened in the middle: ``bat-1a2b…9f``."""
    id_ = str(value)
    return id_ if len(id_) <= ID_HEAD + ID_TAIL + 2 else f"{id_[:ID_HEAD]}…{id_[-ID_TAIL:]}"


def short_id(value: Any) -> str:
    """Return a shortened id whose tooltip is the whole id."""
    if _is_missing(value):
        return MISSING
    return f'<code title="{escape(str(value))}">{escape(short(value))}</code>'


def selectable_id(value: Any) -> str:
    """Return an id that one click selects, for copying."""
    return f'<code class="lb-id">{text(value)}</code>'


def name(value: Any, names: dict[str, str]) -> str:
    """Return the name of an id, or the shortened id."""
    known = names.get(str(value))
    return short_id(value) if known is None else escape(known)


def name_sort_key(value: Any, names: dict[str, str]) -> str:
    """Return what an id is sorted by: its name, or the id, without case."""
    return names.get(str(value), str(value)).casefold()


def time(value: Any) -> str:
    """Return a time to the minute, in UTC: ``2026-08-01 14:03``."""
    return MISSING if _is_missing(value) else f"{value.tz_convert('UTC'):%Y-%m-%d %H:%M}"


def ago(value: pd.Timestamp, now: datetime) -> str:
    """Return the time since `value` in one unit: ``3 h ago``."""
    number, unit, *_ = duration((now - value).total_seconds()).split()
    return f"{number} {unit} ago"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 min 10 s``."""
    remaining = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _DURATION_UNITS:
        if remaining >= size or (unit == "s" and not parts):
            parts.append(f"{remaining // size} {unit}")
            remaining %= size
    return " ".join(parts[:2])


def count(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``1,200 batches``."""
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun."""
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("ch") else f"{noun}s"


def number(value: Any) -> str:
    """Return a whole number with thousands separators."""
    return MISSING if _is_missing(value) else f"{value:,.0f}"


def percent(share: Any) -> str:
    """Return a share in percent: ``3.9 %``."""
    return MISSING if _is_missing(share) else f"{100 * share:.1f} %"


def alert(message: str) -> str:
    """Return a message that screen readers read out at once; an empty one is no alert."""
    return f'<div class="lb-alert" role="alert">{text(message)}</div>' if message else ""


def counts(statuses: pd.Series[Any]) -> str:
    """Return the number of rows per status, in category order: ``● 290 COMPLETED · …``."""
    return " · ".join(
        status(value).replace("</span> ", f"</span> {n:,} ", 1)
        for value, n in statuses.value_counts(sort=False).items()
        if n
    )


def table(
    heads: Sequence[tuple[str, str]], rows: Iterable[Iterable[str]], *, row_style: str = ""
) -> str:
    """Return a table. Heads are `(text, CSS class)` pairs; cells are HTML."""
    head = "".join(
        f'<th scope="col" class="{class_}">{escape(text)}</th>' for text, class_ in heads
    )
    body = "".join(f'<tr style="{row_style}">{_cells(cells, heads)}</tr>' for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(cells: Iterable[str], heads: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<td class="{class_}">{cell}</td>' for cell, (_, class_) in zip(cells, heads, strict=True)
    )


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


PANEL_CSS = files(__package__).joinpath("panel.css").read_text("utf-8")
SAVED_CSS = files(__package__).joinpath("saved.css").read_text("utf-8")
