"""Tables of the reliability page that a command writes, each between comments that name it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "project" / "reliability.md"


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; integers get thousands separators."""
    lines = [list(columns)]
    lines.append(["---"] + ["--:"] * (len(lines[0]) - 1))
    lines += [[f"{it:,}" if isinstance(it, int) else str(it) for it in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(name: str, text: str) -> None:
    """Replace a table in the PAGE."""
    content, n = _section(name).subn(
        lambda found: found[1] + text + found[2], PAGE.read_text(encoding="utf-8")
    )
    if n != 1:
        raise ValueError(f"{PAGE.name} has {n} sections named {name!r}.")
    PAGE.write_text(content, encoding="utf-8")


def read(name: str) -> list[list[str]]:
    """Return the rows of a table that is api, without its head."""
    found = _section(name).search(PAGE.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{PAGE.name} has no section named {name!r}.")
    lines = [line for line in found[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
