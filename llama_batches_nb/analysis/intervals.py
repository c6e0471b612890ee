"""Confidence intervals and tests for proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


def wilson(
    failed: npt.ArrayLike, decided: npt.ArrayLike, confidence: float
) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of each rate; missing where nothing is decided."""
    k, n = np.asarray(failed, dtype=float), np.asarray(decided, dtype=float)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = k / n
        middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    low = np.where(k == 0, 0.0, np.clip(middle - half, 0, rate))
    high = np.where(k == n, 1.0, np.clip(middle + half, rate, 1))
    undecided = n == 0
    return np.where(undecided, np.nan, low), np.where(undecided, np.nan, high)


@dataclass(frozen=True)
class PairedCounts:
    """Files decided under both configurations, by how they ended under each."""

    both_succeeded: int
    only_a_failed: int
    only_b_failed: int
    both_failed: int

    @classmethod
    def of(cls, a: pd.Series[float], b: pd.Series[float]) -> Self:
        """Count pairs, given of the same files whether they failed; missing is undecided."""
        return cls(
            both_succeeded=int(((a == 0) & (b == 0)).sum()),
            only_a_failed=int(((a == 1) & (b == 0)).sum()),
            only_b_failed=int(((a == 0) & (b == 1)).sum()),
            both_failed=int(((a == 1) & (b == 1)).sum()),
        )

    def swapped(self) -> Self:
        """Return the same files, with a and b in each other's place."""
        return replace(self, only_a_failed=self.only_b_failed, only_b_failed=self.only_a_failed)

    @property
    def n(self) -> int:
        """Return the number of files."""
        return self.both_succeeded + self.only_a_failed + self.only_b_failed + self.both_failed

    @property
    def failed(self) -> tuple[int, int]:
        """Return how many failed under a, and under b."""
        return self.only_a_failed + self.both_failed, self.only_b_failed + self.both_failed

    @property
    def rates(self) -> tuple[float, float]:
        """Return the failure rates under a and b; missing if there are no files."""
        failed_a, failed_b = self.failed
        return (failed_a / self.n, failed_b / self.n) if self.n else (math.nan, math.nan)

    @property
    def difference(self) -> float:
        """Return the rate under b less that under a."""
        rate_a, rate_b = self.rates
        return rate_b - rate_a

    def p_value(self) -> float:
        """Return McNemar's exact two-sided p: twice the smaller tail of a fair coin's throws."""
        if not self.n:
            return math.nan
        fewer = min(self.only_a_failed, self.only_b_failed)
        throws = self.only_a_failed + self.only_b_failed
        log_chance = math.lgamma(throws + 1) - throws * math.log(2)
        log_chance -= math.lgamma(fewer + 1) + math.lgamma(throws - fewer + 1)
        # The chances of fewer - 1, fewer - 2, … 0, each as a share of the chance of `fewer`.
        steps = np.arange(fewer, 0, -1) / np.arange(throws - fewer + 1, throws + 1)
        tail = math.exp(log_chance) * (1 + float(np.cumprod(steps).sum()))
        return min(1.0, 2 * tail)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return Newcombe's interval of the difference (his method 10)."""
        if not self.n:
            return math.nan, math.nan
        (low_a, low_b), (high_a, high_b) = wilson(self.failed, [self.n, self.n], confidence)
        rate_a, rate_b = self.rates
        phi = self._correlation()

        def reach(of_a: float, of_b: float) -> float:
            return math.sqrt(of_a**2 - 2 * phi * of_a * of_b + of_b**2)

        return (
            self.difference - reach(high_a - rate_a, rate_b - low_b),
            self.difference + reach(rate_a - low_a, high_b - rate_b),
        )

    def _correlation(self) -> float:
        """Return phi of the four counts, moved towards 0 where it is positive, as Newcombe does."""
        failed_a, failed_b = self.failed
        margins = failed_a * (self.n - failed_a) * failed_b * (self.n - failed_b)
        if not margins:
            return 0.0
        crossed = self.both_succeeded * self.both_failed - self.only_a_failed * self.only_b_failed
        moved = max(crossed - self.n / 2, 0.0) if crossed > 0 else crossed
        return moved / math.sqrt(margins)
