"""Lines of code, as a person would write them."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINE_LENGTH = 88  # characters


def call(name: str, function: str, arguments: Sequence[str]) -> str:
    """Return a call of ours whose answer gets a name, over several lines if it is long."""
    line = f"{name} = lb.{function}({', '.join(arguments)})"
    if len(line) <= MAX_LINE_LENGTH:
        return line
    return f"{name} = lb.{function}(\n" + "".join(f"    {one},\n" for one in arguments) + ")"


def file_code(*, jobs: bool, client: bool = False) -> str:
    """Return the lines that go on from batches to what became of each file."""
    given = ["client=client"] * client
    lines = [call("results", "fetch_results", ["batches", *given])]
    if jobs:
        lines.append(call("jobs", "fetch_jobs", ["results", *given]))
    return "\n".join([*lines, call("files", "outcomes", ["results", *["jobs"] * jobs])])
