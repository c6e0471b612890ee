"""Confidence intervals and tests for proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def wilson(
    failed: npt.ArrayLike, decided: npt.ArrayLike, confidence: float, df: int | None = None
) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of each rate; NaN where nothing is decided.

    With `df`, the quantile is that of Student's t distribution instead of the normal one.
    """
    k, n = np.asarray(failed, dtype=float), np.asarray(decided, dtype=float)
    z = quantile(0.5 + confidence / 2, df)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = k / n
        middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    low = np.where(k == 0, 0.0, np.clip(middle - half, 0, rate))
    high = np.where(k == n, 1.0, np.clip(middle + half, rate, 1))
    undecided = n == 0
    return np.where(undecided, np.nan, low), np.where(undecided, np.nan, high)


def quantile(probability: float, df: int | None = None) -> float:
    """Return the quantile of Student's t distribution, or of the normal one without `df`."""
    if df is None:
        return NormalDist().inv_cdf(probability)
    if probability < 0.5:
        return -quantile(1 - probability, df)
    # The central probability increases with the angle atan(t / sqrt(df)): bisect to the last bit.
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _central_probability(middle, df) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _central_probability(angle: float, df: int) -> float:
    """Return the probability that Student's t is within ± sqrt(df) · tan(angle).

    The series is finite: M. Abramowitz and I. A. Stegun 1964, "Handbook of Mathematical Functions",
    26.7.3 (odd `df`) and 26.7.4 (even `df`).
    """
    cosine = math.cos(angle)
    term = cosine if df % 2 else 1.0
    total = term if df > 1 else 0.0
    for n in range(3 if df % 2 else 2, df - 1, 2):
        term *= cosine**2 * (n - 1) / n
        total += term
    if df % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


@dataclass(frozen=True)
class PairedCounts:
    """McNemar's 2×2 table: files decided under both configurations, by outcome under each."""

    both_succeeded: int
    only_a_failed: int
    only_b_failed: int
    both_failed: int

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
