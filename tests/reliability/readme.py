"""Tables of the README that a command makes, each between two comments that name it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown; whole numbers have their thousands separated."""
    lines = [list(columns)]
    lines.append(["---"] + ["--:"] * (len(lines[0]) - 1))
    lines += [[f"{it:,}" if isinstance(it, int) else str(it) for it in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(name: str, text: str) -> None:
    """Put a table into the README, in the place of the one before."""
    content, n = _section(name).subn(
        lambda found: found[1] + text + found[2], README.read_text(encoding="utf-8")
    )
    if n != 1:
        raise ValueError(f"README.md has {n} places for {name!r}.")
    README.write_text(content, encoding="utf-8")


def read(name: str) -> list[list[str]]:
    """Return the rows of a table that is there, without its head."""
    found = _section(name).search(README.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"README.md has no place for {name!r}.")
    lines = [line for line in found[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
