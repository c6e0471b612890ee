"""Format values as HTML. Text from outside is escaped here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.intervals import wilson
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
MIN_MARKED_SHARE = 0.08  # of a mark: less is not visible
CONFIDENCE = 0.95  # of an interval
ID_HEAD, ID_TAIL = 8, 2  # characters of a shortened id
ID_END = 4  # characters of an id beside a name

# Copies the text of the copy button that a click is on, and shows it; false for other clicks.
COPY_JS = (
    "(copy=>{if(!copy)return false;"
    "const done=ok=>{copy.classList.toggle('lb-copied',ok);"
    "setTimeout(()=>copy.classList.remove('lb-copied'),1500)};"
    "const text=copy.dataset.copy,old=()=>{const area=document.createElement('textarea');"
    "area.value=text;document.body.append(area);area.select();"
    "const ok=document.execCommand('copy');area.remove();done(ok)};"
    "navigator.clipboard?navigator.clipboard.writeText(text).then(()=>done(true),old):old();"
    "return true})(event.target.closest('[data-copy]'))"
)

COPY_BUTTON = re.compile(r'<button [^>]*class="lb-copy-id".*?</button>')

_DURATION_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # seconds


def text(value: Any) -> str:
    """Return any value as escaped text."""
    return MISSING if _is_missing(value) else escape(str(value))


def status(value: Any) -> str:
    """Return a status or outcome with its mark, which the style sheet draws: it is no text."""
    if _is_missing(value):
        return MISSING
    mark, colour = STATUS_MARKS.get(str(value), UNKNOWN_MARK)
    style = f'class="lb-mark" data-mark="{mark}" style="color:{colour}"'
    return f'<span {style} aria-hidden="true"></span> {escape(str(value))}'


def batch_status(value: Any, failure_rate: Any) -> str:
    """Return the status of a batch; the mark of a COMPLETED one shows the share that failed."""
    if str(value) != "COMPLETED" or _is_missing(failure_rate) or failure_rate <= 0:
        return status(value)
    angle = 2 * math.pi * max(MIN_MARKED_SHARE, float(failure_rate))
    x, y = 8 + 8 * math.sin(angle), 8 - 8 * math.cos(angle)
    path = f"M8 8V0A8 8 0 {int(angle > math.pi)} 1 {x:.1f} {y:.1f}Z"
    wedge = f'<path d="{path}"/>' if failure_rate < 1 else '<circle cx="8" cy="8" r="8"/>'
    return (
        '<svg class="lb-mark" viewBox="0 0 16 16" width="11" height="11" aria-hidden="true">'
        f'<circle cx="8" cy="8" r="8" fill="{GREEN}"/><g fill="{VERMILION}">{wedge}</g></svg> '
        f"{escape(str(value))}"
    )


def failed_share(rate: Any, n_failed: Any, n_decided: Any) -> str:
    """Return a bar, the share of failed files and its interval, as for these files only."""
    if _is_missing(rate):
        return MISSING
    low, high = (float(end) for end in wilson(n_failed, n_decided, CONFIDENCE))
    return (
        f'<span class="lb-bar-of" aria-hidden="true"><i style="width:{100 * rate:.1f}%"></i></span>'
        f'<span title="{n_failed:,} of {n_decided:,} decided files">{percent(rate)} '
        f'<span class="lb-muted">({100 * low:.0f}–{100 * high:.0f})</span></span>'
    )


def short(value: Any) -> str:
    """Return an id shortened in the middle: ``bat-1a2b…9f``."""
    id_ = str(value)
    return id_ if len(id_) <= ID_HEAD + ID_TAIL + 2 else f"{id_[:ID_HEAD]}…{id_[-ID_TAIL:]}"


def short_id(value: Any) -> str:
    """Return a shortened id whose tooltip is the whole id."""
    if _is_missing(value):
        return MISSING
    return f'<code title="{escape(str(value))}">{escape(short(value))}</code>'


def copied_id(value: Any) -> str:
    """Return a shortened id with a button that copies the whole id, in a table."""
    return MISSING if _is_missing(value) else f"{short_id(value)}{_copy_button(value, -1)}"


def whole_id(value: Any) -> str:
    """Return an id with a button that copies it."""
    if _is_missing(value):
        return MISSING
    button = _copy_button(value, 0)
    return f'<span onclick="{escape(COPY_JS)}"><code>{text(value)}</code>{button}</span>'


def _copy_button(value: Any, tab_index: int) -> str:
    id_ = escape(str(value))
    return (
        f'<button type="button" class="lb-copy-id" tabindex="{tab_index}" data-copy="{id_}" '
        f'title="Copy {id_}" aria-label="Copy {id_}"></button>'
    )


def without_copy_buttons(html: str) -> str:
    """Return HTML without copy buttons, which do nothing in a saved notebook."""
    return COPY_BUTTON.sub("", html)


def name(value: Any, names: dict[str, str]) -> str:
    """Return the name of an id, or the shortened id."""
    known = names.get(str(value))
    return short_id(value) if known is None else escape(known)


def cut_name(name: str, n_common: int) -> str:
    """Return a name of which only the first `n_common` characters, if any, are cut for space."""
    whole, common, own = (escape(part) for part in (name, name[:n_common], name[n_common:]))
    if not n_common:
        return f'<span title="{whole}">{whole}</span>'
    return f'<span class="lb-name" title="{whole}"><span>{common}</span><span>{own}</span></span>'


def name_with_id(name: str, id_: Any) -> str:
    """Return a name that other ids have too, which is cut for space, and the end of the id."""
    whole = escape(f"{name} ({id_})")
    return (
        f'<span class="lb-name" title="{whole}"><span>{escape(name)}</span>'
        f'<span class="lb-whole">&nbsp;…{escape(str(id_)[-ID_END:])}</span></span>'
    )


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


def rough_duration(seconds: float) -> str:
    """Return an estimated duration: in minutes, or in seconds if it is shorter than one."""
    return duration(seconds if seconds < 60 else 60 * round(seconds / 60))


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
    heads: Sequence[tuple[str, str]],
    rows: Iterable[Iterable[str]],
    *,
    row_style: str = "",
    sorts: Sequence[str] = (),
) -> str:
    """Return a table. Heads are `(text, CSS class)` pairs; cells are HTML; `sorts` is for ARIA."""
    head = "".join(
        f'<th scope="col" class="{class_}"{_aria_sort(sort)}>{escape(text)}</th>'
        for (text, class_), sort in zip(heads, sorts or [""] * len(heads), strict=True)
    )
    body = "".join(f'<tr style="{row_style}">{_cells(cells, heads)}</tr>' for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(cells: Iterable[str], heads: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<td class="{class_}">{cell}</td>' for cell, (_, class_) in zip(cells, heads, strict=True)
    )


def _aria_sort(sort: str) -> str:
    return f' aria-sort="{sort}"' if sort else ""


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


PANEL_CSS = files(__package__).joinpath("panel.css").read_text("utf-8")
SAVED_CSS = files(__package__).joinpath("saved.css").read_text("utf-8")
