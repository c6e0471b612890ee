"""Simulated histories with known failure rates, whose batches fail together (beta-binomial)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.changes import CUSUM_LIMIT, cusum, find_changes
from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.analysis.rates import add_intervals

LINES, WEEKS = 4, 17
WEEKS_AFTER = 6  # from the change to the end of the history
RATE = 0.05
ICCS = (0.0, 0.006, 0.02, 0.05, 0.1, 0.3)  # intraclass correlations
GROUPS, TIME = ["line"], "week"


@dataclass(frozen=True)
class History:
    """Batches of four groups over 17 weeks."""

    batches: pd.DataFrame  # line, week, decided, failed
    true_rates: pd.Series[float]  # of each line and week

    def rates(self, *, by_batch: bool = True) -> pd.DataFrame:
        """Return the rates as `failure_rates` computes them from the files of the batches."""
        rows = self.batches.assign(
            total=self.batches["decided"],
            unreliable=0,
            _clusters=1 if by_batch else self.batches["decided"],
            _squares=self.batches["decided"] ** 2 if by_batch else self.batches["decided"],
            _failed_squares=(
                self.batches["failed"] ** 2 / self.batches["decided"]
                if by_batch
                else self.batches["failed"].astype("float64")
            ),
        )
        cells = rows.groupby([*GROUPS, TIME], as_index=False).sum()
        rates = add_intervals(cells, GROUPS, TIME, 0.95)
        return rates.assign(batches=rates["_clusters"].astype("Int64"))


def simulate(
    rng: np.random.Generator,
    icc: float,
    *,
    new_rate: float = RATE,
    max_batches: int = 10,
    rate: float = RATE,
) -> History:
    """Simulate 1 to `max_batches` batches of 4 to 995 files per line and week.

    The rate of the first line changes to `new_rate` `WEEKS_AFTER` weeks before the end.
    """
    cells = pd.MultiIndex.from_product([range(LINES), range(WEEKS)], names=[*GROUPS, TIME])
    frame = cells.to_frame(index=False)
    changed = (frame["line"] == 0) & (frame[TIME] >= WEEKS - WEEKS_AFTER)
    rates = pd.Series(np.where(changed, new_rate, rate))
    n_batches = rng.integers(1, max_batches, len(frame), endpoint=True)
    of_batch = rates.repeat(n_batches.tolist())
    decided = rng.integers(4, 995, len(of_batch), endpoint=True)
    chance = of_batch.to_numpy()
    if icc:
        chance = rng.beta(chance * (1 / icc - 1), (1 - chance) * (1 / icc - 1))
    batches = frame.loc[of_batch.index].assign(
        decided=decided, failed=rng.binomial(decided, chance)
    )
    weeks = pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(7 * batches[TIME], unit="D")
    return History(batches.assign(**{TIME: weeks.dt.as_unit("us")}), rates)


def coverage(icc: float, repeats: int, seed: int, *, by_batch: bool = True) -> tuple[float, float]:
    """Return the share of intervals that contain the true rate, and their width ÷ Wilson's."""
    rng = np.random.default_rng(seed)
    inside, widths, plain_widths = 0, 0.0, 0.0
    for _ in range(repeats):
        history = simulate(rng, icc)
        rates = history.rates(by_batch=by_batch)
        inside += int(
            rates["ci_low"]
            .le(history.true_rates)
            .mul(rates["ci_high"].ge(history.true_rates))
            .sum()
        )
        low, high = wilson(rates["failed"], rates["decided"], 0.95)
        widths += float((rates["ci_high"] - rates["ci_low"]).sum())
        plain_widths += float((high - low).sum())
    return inside / (repeats * LINES * WEEKS), widths / plain_widths


Rule = Callable[[pd.DataFrame], bool]


def change_point(rates: pd.DataFrame) -> bool:
    """Return whether `rate_changes` finds any change."""
    return len(find_changes(rates, GROUPS, TIME)) > 0


def change_point_of_first_line(rates: pd.DataFrame) -> bool:
    """Return whether `rate_changes` finds a rise of the first line."""
    changes = find_changes(rates, GROUPS, TIME)
    return bool(((changes["line"] == 0) & (changes["z"] > 0)).any())


def cusum_alarm(rates: pd.DataFrame) -> bool:
    """Return whether the CUSUM exceeds its limit in any week."""
    return bool((cusum(rates, GROUPS, TIME) > CUSUM_LIMIT).any())


def cusum_alarm_of_first_line(rates: pd.DataFrame) -> bool:
    """Return whether the CUSUM of the first line exceeds its limit in any week from the change."""
    first = rates[rates["line"] == 0]
    sums = cusum(first, GROUPS, TIME).to_numpy()
    return bool((sums[-WEEKS_AFTER:] > CUSUM_LIMIT).any())


def higher_than_the_week_before(rates: pd.DataFrame) -> bool:
    """Return whether an interval lies above that of the week before, the rule of version 0.1."""
    previous = rates.groupby("line")["ci_high"].shift()
    return bool((rates["ci_low"] > previous).any())


def measure(icc: float, repeats: int) -> dict[str, float]:
    """Return coverage, width, false marks and power, each rule on the same histories."""
    inside, width = coverage(icc, repeats, 1)
    constant = _shares(icc, repeats, 2, RATE, (change_point, cusum_alarm))
    on_files = share_found(higher_than_the_week_before, icc, repeats, 2, by_batch=False)
    doubled = _shares(
        icc, repeats, 3, 2 * RATE, (change_point_of_first_line, cusum_alarm_of_first_line)
    )
    return {
        "95 % interval contains the rate": inside,
        "Wilson on files contains it": coverage(icc, repeats, 1, by_batch=False)[0],
        "width ÷ Wilson on files": width,
        "change point: false": constant[0],
        "CUSUM: false": constant[1],
        "interval above the week before, on files: false": on_files,
        "change point: doubling found": doubled[0],
        "CUSUM: doubling found": doubled[1],
    }


def share_found(
    rule: Rule,
    icc: float,
    repeats: int,
    seed: int,
    *,
    new_rate: float = RATE,
    by_batch: bool = True,
) -> float:
    """Return the share of histories in which a rule finds what it looks for."""
    return _shares(icc, repeats, seed, new_rate, (rule,), by_batch=by_batch)[0]


def _shares(
    icc: float,
    repeats: int,
    seed: int,
    new_rate: float,
    rules: tuple[Rule, ...],
    *,
    by_batch: bool = True,
) -> list[float]:
    rng = np.random.default_rng(seed)
    found = np.zeros(len(rules))
    for _ in range(repeats):
        rates = simulate(rng, icc, new_rate=new_rate).rates(by_batch=by_batch)
        found += [rule(rates) for rule in rules]
    shares: list[float] = (found / repeats).tolist()
    return shares
