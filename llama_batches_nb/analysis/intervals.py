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
    """Return the Wilson score interval of each rate; NaN where nothing is decided."""
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
    """McNemar's 2×2 table: files decided under both configurations, by outcome under each."""

    both_succeeded: int
    only_a_failed: int
    only_b_failed: int
    both_failed: int

    @classmethod
    def from_failures(cls, a: pd.Series[float], b: pd.Series[float]) -> Self:
        """Count pairs; `a` and `b` hold 1 for failed, 0 for succeeded, missing for undecided."""
        return cls(
            both_succeeded=int(((a == 0) & (b == 0)).sum()),
            only_a_failed=int(((a == 1) & (b == 0)).sum()),
            only_b_failed=int(((a == 0) & (b == 1)).sum()),
            both_failed=int(((a == 1) & (b == 1)).sum()),
        )

    def swapped(self) -> Self:
        """Return the table with a and b swapped."""
        return replace(self, only_a_failed=self.only_b_failed, only_b_failed=self.only_a_failed)

    @property
    def n(self) -> int:
        """Return the number of files."""
        return self.both_succeeded + self.only_a_failed + self.only_b_failed + self.both_failed

    @property
    def failed(self) -> tuple[int, int]:
        """Return the number of failures under a and under b."""
        return self.only_a_failed + self.both_failed, self.only_b_failed + self.both_failed

    @property
    def rates(self) -> tuple[float, float]:
        """Return the failure rates under a and b; NaN if there are no files."""
        failed_a, failed_b = self.failed
        return (failed_a / self.n, failed_b / self.n) if self.n else (math.nan, math.nan)

    @property
    def difference(self) -> float:
        """Return the rate under b minus the rate under a."""
        rate_a, rate_b = self.rates
        return rate_b - rate_a

    def p_value(self) -> float:
        """Return the exact two-sided p-value of McNemar's test: twice the smaller binomial tail."""
        if not self.n:
            return math.nan
        fewer = min(self.only_a_failed, self.only_b_failed)
        n = self.only_a_failed + self.only_b_failed  # discordant pairs
        log_probability = math.lgamma(n + 1) - n * math.log(2)
        log_probability -= math.lgamma(fewer + 1) + math.lgamma(n - fewer + 1)
        # The probabilities of fewer - 1, fewer - 2, … 0, relative to that of `fewer`.
        ratios = np.arange(fewer, 0, -1) / np.arange(n - fewer + 1, n + 1)
        tail = math.exp(log_probability) * (1 + float(np.cumprod(ratios).sum()))
        return min(1.0, 2 * tail)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return Newcombe's interval of the difference (method 10)."""
        if not self.n:
            return math.nan, math.nan
        (low_a, low_b), (high_a, high_b) = wilson(self.failed, [self.n, self.n], confidence)
        rate_a, rate_b = self.rates
        phi = self._correlation()

        def distance(from_a: float, from_b: float) -> float:
            return math.sqrt(from_a**2 - 2 * phi * from_a * from_b + from_b**2)

        return (
            self.difference - distance(high_a - rate_a, rate_b - low_b),
            self.difference + distance(rate_a - low_a, high_b - rate_b),
        )

    def _correlation(self) -> float:
        """Return phi of the four counts, with Newcombe's correction where it is positive."""
        failed_a, failed_b = self.failed
        margins = failed_a * (self.n - failed_a) * failed_b * (self.n - failed_b)
        if not margins:
            return 0.0
        concordant = self.both_succeeded * self.both_failed
        determinant = float(concordant - self.only_a_failed * self.only_b_failed)
        if determinant > 0:
            determinant = max(determinant - self.n / 2, 0.0)
        return determinant / math.sqrt(margins)
