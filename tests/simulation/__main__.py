"""Print the coverage of the intervals, false alarms and power as Markdown (`make simulate`)."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.simulation import histories, sandbox_drifts
from tests.simulation.histories import ICCS, RATE, coverage, share_found

Measure = Callable[[float, int], float]

ROWS: tuple[tuple[str, Measure], ...] = (
    ("95 % interval contains the rate", lambda icc, n: coverage(icc, n, 1)[0]),
    ("… Wilson on files", lambda icc, n: coverage(icc, n, 1, by_batch=False)[0]),
    ("width ÷ Wilson on files", lambda icc, n: coverage(icc, n, 1)[1]),
    ("change point: false", lambda icc, n: share_found(histories.change_point, icc, n, 2)),
    ("CUSUM: false", lambda icc, n: share_found(histories.cusum_alarm, icc, n, 2)),
    (
        "interval above the week before, on files: false",
        lambda icc, n: share_found(
            histories.higher_than_the_week_before, icc, n, 2, by_batch=False
        ),
    ),
    (
        "change point: doubling found",
        lambda icc, n: share_found(
            histories.change_point_of_first_line, icc, n, 3, new_rate=2 * RATE
        ),
    ),
    (
        "CUSUM: doubling found",
        lambda icc, n: share_found(
            histories.cusum_alarm_of_first_line, icc, n, 3, new_rate=2 * RATE
        ),
    ),
)


def main(repeats: int) -> None:
    """Print the table of all rows and ICCs, then the drifts of the sandbox."""
    print(f"| {repeats:,} histories each; ICC | {' | '.join(map(str, ICCS))} |")
    print(f"| --- |{' --: |' * len(ICCS)}", flush=True)
    for name, measure in ROWS:
        cells = (f"{measure(icc, repeats):.3f}" for icc in ICCS)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print()
    sandbox_drifts.main(range(16))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
