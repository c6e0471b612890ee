"""Test and interval of a paired difference when files of a batch fail together.

A cluster is a batch of one configuration and a batch of the other that ran the same files. Batches
that are linked by shared files, directly or through others, belong to one cluster.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.intervals import PairedCounts, quantile

MIN_PAIRS_OF_BATCHES = 6  # fewer cannot reach p = 0.05, even if all differ in one direction
MAX_EXACT_CLUSTERS = 12  # more use the normal approximation
MAX_DF = 1000  # Student's t hardly changes beyond
SELECTION_Z = 3.0  # standard errors, about 1 in 740 by chance
SELECTION_RATIO = 2.0  # of failure rates

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchPairs:
    """Files decided under both configurations, by cluster of batches."""

    counts: PairedCounts
    sizes: Floats  # files per cluster
    differences: Floats  # files that failed only under b, minus those only under a, per cluster

    @classmethod
    def from_table(cls, pairs: pd.DataFrame) -> Self:
        """Read rows with ``batch_a``, ``batch_b``, ``failed_a``, ``failed_b`` and ``n`` files."""
        failed_a, failed_b, n = (pairs[name].to_numpy() for name in ("failed_a", "failed_b", "n"))
        counts = PairedCounts(
            both_succeeded=int(n[(failed_a == 0) & (failed_b == 0)].sum()),
            only_a_failed=int(n[failed_a > failed_b].sum()),
            only_b_failed=int(n[failed_a < failed_b].sum()),
            both_failed=int(n[(failed_a == 1) & (failed_b == 1)].sum()),
        )
        clusters = pd.DataFrame({"size": n, "difference": n * (failed_b - failed_a)}, dtype="int64")
        sums = clusters.groupby(_clusters(pairs["batch_a"], pairs["batch_b"])).sum()
        return cls(counts, *(sums[name].to_numpy("float64") for name in ("size", "difference")))

    @property
    def n_clusters(self) -> int:
        """Return the number of clusters."""
        return len(self.sizes)

    def swapped(self) -> Self:
        """Return the table with a and b swapped."""
        return type(self)(self.counts.swapped(), self.sizes, -self.differences)

    def p_value(self) -> float:
        """Return the two-sided p-value of no difference; NaN with too few clusters.

        If the configurations are equal, the difference of each cluster is as likely to be
        negative as positive. Up to 12 clusters with a difference, all signs are enumerated.
        """
        if self.n_clusters < MIN_PAIRS_OF_BATCHES:
            return math.nan
        differences = self.differences[self.differences != 0]
        observed = abs(differences.sum())
        if len(differences) > MAX_EXACT_CLUSTERS:
            z = observed / math.sqrt((differences**2).sum())
            return math.erfc(z / math.sqrt(2))
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= observed))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the difference of the rates; NaN with fewer than two clusters.

        If all clusters have the same difference, the variance between them is 0 and says nothing;
        then the interval is Newcombe's, which treats files as independent.
        """
        n_clusters, n, difference = self.n_clusters, self.counts.n, self.counts.difference
        if n_clusters < 2:
            return math.nan, math.nan
        residuals = self.differences - difference * self.sizes
        error = math.sqrt(n_clusters / (n_clusters - 1) * (residuals**2).sum()) / n
        if error < 1e-12:
            return self.counts.interval(confidence)
        half = quantile(0.5 + confidence / 2, min(n_clusters - 1, MAX_DF)) * error
        return max(-1.0, difference - half), min(1.0, difference + half)


def _clusters(batch_a: pd.Series[int], batch_b: pd.Series[int]) -> list[Hashable]:
    """Return the cluster of each pair of batches: those linked by a shared batch have the same."""
    parent: dict[Hashable, Hashable] = {}

    def root(batch: Hashable) -> Hashable:
        while parent.setdefault(batch, batch) != batch:
            parent[batch] = batch = parent[parent[batch]]
        return batch

    a, b = batch_a.tolist(), batch_b.tolist()
    for first, second in zip(a, b, strict=True):
        parent[root(first)] = root(second)
    return [root(first) for first in a]


@dataclass(frozen=True)
class Selection:
    """Runs of one configuration: files that the other ran too, and files that it did not run.

    Each array has one value per batch of the configuration.
    """

    paired: Floats
    paired_failed: Floats
    alone: Floats
    alone_failed: Floats

    @classmethod
    def from_tables(cls, paired: pd.DataFrame, alone: pd.DataFrame) -> Self:
        """Read rows with ``batch``, ``failed`` (0 or 1) and ``n`` files."""
        sums = [
            rows.assign(failed=rows["failed"] * rows["n"]).groupby("batch")[["n", "failed"]].sum()
            for rows in (paired, alone)
        ]
        both = pd.concat(sums, axis="columns").fillna(0).to_numpy("float64")
        return cls(*both.T)

    @property
    def rates(self) -> tuple[float, float]:
        """Return the failure rates of the paired files and of the others; NaN without files."""
        return (
            _ratio(self.paired_failed.sum(), self.paired.sum()),
            _ratio(self.alone_failed.sum(), self.alone.sum()),
        )

    def is_by_failure(self) -> bool:
        """Return whether the paired files failed far more often than the others.

        Either within the batches, as when failed files of a batch are run again, or between them.
        """
        return self._is_within_batches() or self._is_between_batches()

    def _is_within_batches(self) -> bool:
        """Test whether the paired files of a batch are a random sample of its files.

        The number of failures among them is then hypergeometric in each batch, however much the
        batches differ (N. Mantel and W. Haenszel 1959, J. Natl. Cancer Inst. 22, 719-748).
        """
        mixed = (self.paired > 0) & (self.alone > 0)
        m, other = self.paired[mixed], self.alone[mixed]
        k, other_k = self.paired_failed[mixed], self.alone_failed[mixed]
        total, failed = m + other, k + other_k
        variance = (m * other * failed * (total - failed) / (total**2 * (total - 1))).sum()
        excess = (k - m * failed / total).sum()
        return bool(excess > SELECTION_Z * math.sqrt(variance) > 0) and _is_far_more(
            _ratio(k.sum(), m.sum()), _ratio(other_k.sum(), other.sum())
        )

    def _is_between_batches(self) -> bool:
        """Compare the two rates, with the variance of a difference of ratios over batches."""
        rate, other_rate = self.rates
        n_batches = len(self.paired)
        if not _is_far_more(rate, other_rate) or n_batches < 2:
            return False
        residuals = (self.paired_failed - rate * self.paired) / self.paired.sum()
        residuals = residuals - (self.alone_failed - other_rate * self.alone) / self.alone.sum()
        error = math.sqrt(n_batches / (n_batches - 1) * (residuals**2).sum())
        return rate - other_rate > SELECTION_Z * error


def _is_far_more(rate: float, other_rate: float) -> bool:
    """Return whether the first rate is far above the second; False if either is NaN."""
    return rate > other_rate and rate >= SELECTION_RATIO * other_rate


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan
