"""Run every function under every fault and write the table of the documentation.

Run `python -m tests.reliability` from the root of the repository; it takes some minutes.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

import llama_batches_nb as lb
from tests.reliability import page
from tests.reliability.conftest import shorten_pauses
from tests.reliability.faults import FAULTS, Fault
from tests.reliability.trials import CALLS, Verdict, run_trial

NAME = "faults"
COLUMNS = (
    "fault",
    "calls",
    "rows on the server",
    "all rows, once each",
    "documented error",
    "lost",
    "duplicated",
    "unexpected",
    "unconfirmed",
)


def fault_modes(fault: Fault) -> list[bool]:
    """Return whether the fault persists, for each trial; a valid response is tried once."""
    return [False, True] if fault.error else [False]


def trials_of(fault: Fault, folder: Path) -> Iterator[Verdict]:
    """Run all calls under a fault."""
    for call in CALLS:
        for persistent in fault_modes(fault):
            yield run_trial(call, fault, folder / secrets.token_hex(4), persistent=persistent)


def row(family: str, verdicts: list[Verdict]) -> list[object]:
    """Return one row of the table."""
    return [
        family,
        len(verdicts),
        sum(it.expected for it in verdicts),
        sum(it.whole for it in verdicts),
        sum(it.error is not None for it in verdicts),
        sum(it.lost for it in verdicts),
        sum(it.duplicated for it in verdicts),
        sum(it.unexpected for it in verdicts),
        sum(isinstance(it.error, lb.UnconfirmedCreateError) for it in verdicts),
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        kept, temporary = Path(scratch) / "kept", Path(scratch) / "tmp"
        kept.mkdir()
        temporary.mkdir()
        patch.setattr(tempfile, "tempdir", str(temporary))  # its files are counted
        shorten_pauses(patch)
        rows = []
        for family, faults in groupby(FAULTS, key=lambda fault: fault.family):
            rows.append(row(family, [it for fault in faults for it in trials_of(fault, kept)]))
            print(*rows[-1], sep=" | ", flush=True)
    page.write(NAME, page.table(COLUMNS, rows))


if __name__ == "__main__":
    main()
