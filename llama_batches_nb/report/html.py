"""Format text, tables and sections as HTML. Text from outside is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from llama_batches_nb.messages import escape_control_chars

CLASSES = {"#": ' class="n"', "=": ' class="w"'}
"""Of the columns whose header begins with a sign: numbers, and words on one line."""

_KEY = re.compile(r"llx-[\w-]{4,}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def text(value: object) -> str:
    """Return text as escaped HTML without control characters."""
    return escape(_SURROGATE.sub("\ufffd", escape_control_chars(str(value))))


def without_keys(page: str) -> str:
    """Return a page without the API keys that a message or a name may hold."""
    return _KEY.sub("llx-…", page)


def isolated(value: object) -> str:
    """Return text that cannot change the direction of what surrounds it."""
    return f"<bdi>{text(value)}</bdi>"


def paragraph(content: str) -> str:
    """Return a paragraph of HTML."""
    return f"<p>{content}</p>"


def section(heading: str, *parts: str) -> str:
    """Return a section whose heading names it for screen readers."""
    id_ = re.sub(r"[^a-z]+", "-", heading.lower()).strip("-")
    body = "\n".join(part for part in parts if part)
    title = f'<h2 id="{id_}">{text(heading)}</h2>'
    return f'<section aria-labelledby="{id_}">\n{title}\n{body}\n</section>'


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML; the first cell of a row is its header.

    The first character of a header may be one of `CLASSES`.
    """
    classes = [CLASSES.get(name[:1], "") for name in header]
    names = "".join(
        f'<th scope="col"{kind}>{text(name.lstrip("#="))}</th>'
        for name, kind in zip(header, classes, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{kind}>{cell}</th>' if not n else f"<td{kind}>{cell}</td>"
            for n, (cell, kind) in enumerate(zip(row, classes, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    label = text(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
        f"<table><caption>{label}</caption>\n<thead><tr>{names}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return terms with their values, which are HTML."""
    items = "".join(f"<div><dt>{text(term)}</dt><dd>{value}</dd></div>" for term, value in pairs)
    return f"<dl>{items}</dl>"
