"""Try every call under every fault, and write the README's table of what came of it.

Run `python -m tests.reliability` from the root of the repository; it takes a minute or two.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

import llama_batches_nb as lb
from tests.reliability import readme
from tests.reliability.conftest import shorten_pauses
from tests.reliability.faults import FAULTS, Fault
from tests.reliability.trials import CALLS, Verdict, try_out

NAME = "faults"
COLUMNS = (
    "what the server or the network does",
    "calls",
    "rows there",
    "all rows, once each",
    "the error that is promised",
    "lost",
    "doubled",
    "strange",
    "unclear",
)


def ways(fault: Fault) -> list[bool]:
    """Say in which ways a fault is tried: it passes, and if it is more than a form, it stays."""
    return [False, True] if fault.error else [False]


def tried(fault: Fault, folder: Path) -> Iterator[Verdict]:
    """Try all calls under a fault."""
    for call in CALLS:
        for stays in ways(fault):
            yield try_out(call, fault, folder / secrets.token_hex(4), stays=stays)


def row(family: str, verdicts: list[Verdict]) -> list[object]:
    """Count what came of them."""
    return [
        family,
        len(verdicts),
        sum(it.expected for it in verdicts),
        sum(it.whole for it in verdicts),
        sum(it.error is not None for it in verdicts),
        sum(it.lost for it in verdicts),
        sum(it.doubled for it in verdicts),
        sum(it.strange for it in verdicts),
        sum(isinstance(it.error, lb.UnconfirmedCreateError) for it in verdicts),
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        kept, temporary = Path(scratch) / "kept", Path(scratch) / "tmp"
        kept.mkdir()
        temporary.mkdir()
        patch.setattr(tempfile, "tempdir", str(temporary))  # what lies there is counted
        shorten_pauses(patch)
        rows = []
        for family, faults in groupby(FAULTS, key=lambda fault: fault.family):
            rows.append(row(family, [it for fault in faults for it in tried(fault, kept)]))
            print(*rows[-1], sep=" | ", flush=True)
    readme.write(NAME, readme.table(COLUMNS, rows))


if __name__ == "__main__":
    main()
