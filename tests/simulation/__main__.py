"""Measure intervals and marks of changes on simulated histories (`make simulate`).

Coverage, false alarms and power are written into the record of decisions on intervals; the drifts
found in the sandbox's histories are printed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.simulation import sandbox_drifts
from tests.simulation.histories import ICCS, measure

PAGE = Path("docs/decisions/interval-formulas.md")
_TABLE = re.compile(r"(<!-- simulation -->\n).*?(<!-- end of simulation -->)", re.DOTALL)


def format_table(measures: dict[float, dict[str, float]], repeats: int) -> str:
    """Return a table with one row per measure and one column per intraclass correlation."""
    names = next(iter(measures.values()))
    rows = [
        f"| {repeats:,} histories each; ICC | {' | '.join(map(str, measures))} |",
        f"| --- |{' --: |' * len(measures)}",
        *(
            f"| {name} | {' | '.join(f'{found[name]:.3f}' for found in measures.values())} |"
            for name in names
        ),
    ]
    return "\n".join(rows)


def main(repeats: int) -> None:
    """Print and write the table, then print the drifts of the sandbox."""
    measures = {}
    for icc in ICCS:
        measures[icc] = measure(icc, repeats)
        print(f"ICC {icc}: {measures[icc]}", flush=True)
    table = format_table(measures, repeats)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(rf"\g<1>\n{table}\n\n\g<2>", page), encoding="utf-8")
    print(f"\n{table}\n")
    sandbox_drifts.main(range(16))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
