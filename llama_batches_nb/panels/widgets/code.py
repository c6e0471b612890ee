"""Format the code that "Copy as code" prints."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINE_LENGTH = 88  # characters


def call(variable: str, function: str, arguments: Sequence[str]) -> str:
    """Return ``variable = lb.function(arguments)``, over several lines if it is long."""
    line = f"{variable} = lb.{function}({', '.join(arguments)})"
    if len(line) <= MAX_LINE_LENGTH:
        return line
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"{variable} = lb.{function}(\n{lines})"
