"""Two configurations on the same files: which fails less often, and can chance explain it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from llama_batches_nb import inputs
from llama_batches_nb.rates import OUTCOMES, wilson
from llama_batches_nb.schema import TEXT

MOST_IDS = 10  # named in a message
LEAST_CHANCE = 0.0001  # told as a number

_RUN = ("configuration_id", "outcome", "batch_created_at")


def compare_configurations(
    outcomes: Any,
    a: Any,
    b: Any,
    *,
    on: str | Sequence[str] = "source_directory_file_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare two configurations on the files that both ran, file by file.

    Easy files under one and hard files under the other can't mislead, as each file is its own
    measure. Where a configuration ran a file several times, its latest decided run counts.

    Parameters
    ----------
    outcomes
        The frame of `outcomes`: pandas, or what else Narwhals takes. If it was made without jobs,
        it is the mappings that are compared. Files of ``FAILED`` batches are left out.
    a, b
        The ids of the two configurations.
    on
        The column, or several, that tell that two rows are the same file. A file that is put in
        another directory, as `retry_failed` does, gets a new ``source_directory_file_id``: join
        the frame of `fetch_files`, and pair by ``file_id`` or ``display_name``. Rows without a
        value are left out.
    confidence
        Of the interval, between 0 and 1; `conclusion` calls a difference shown if `p_value` is at
        most 1 - `confidence`.

    Returns
    -------
    pandas.DataFrame
        One row, with the columns

        =============== ======= ================================================================
        configuration_a string
        configuration_b string
        n_pairs         int64   files decided under both; the sum of the next four
        both_succeeded  int64
        only_a_failed   int64
        only_b_failed   int64
        both_failed     int64
        undecided       int64   files of both, not decided under one or both
        only_in_a       int64   files that have no row under b
        only_in_b       int64   files that have no row under a
        failure_rate_a  float64 of the pairs; missing, as all below, if there are none
        failure_rate_b  float64
        difference      float64 the rate of b less that of a
        ci_low          float64 the interval of the difference
        ci_high         float64
        p_value         float64 the chance of a split at least so uneven, were both equally good
        conclusion      string  what may be concluded, in a sentence
        =============== ======= ================================================================

    Raises
    ------
    ValueError
        If a configuration is not in the frame, both are the same, the frame lacks a column, or
        `confidence` makes no sense.

    Notes
    -----
    The test is McNemar's, exact and two-sided: were both equally good, a file that fails under only
    one of them would do so under either with chance 1/2 (Q. McNemar 1947, "Note on the sampling
    error of the difference between correlated proportions or percentages", Psychometrika 12,
    153-157). The interval is method 10 of R. G. Newcombe 1998, "Improved confidence intervals for
    the difference between binomial proportions based on paired data", Stat. Med. 17, 2635-2650.
    The test is as a rule the stricter: an interval may just leave out 0 where the test shows no
    difference, and the conclusion goes by the test.

    Pairing does not make up for what else differed between the runs, such as the month. And where
    only the failures of one configuration were run again, that one looks better than it is.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> files = pd.DataFrame({
    ...     "source_directory_file_id": list("stuvwxyz") * 2,
    ...     "configuration_id": ["cfg-1"] * 8 + ["cfg-2"] * 8,
    ...     "batch_created_at": pd.Timestamp("2026-08-01", tz="UTC"),
    ...     "outcome": ["job_failed"] * 7 + ["succeeded"] * 9,
    ... })
    >>> found = lb.compare_configurations(files, "cfg-1", "cfg-2")
    >>> found[["n_pairs", "only_a_failed", "only_b_failed", "p_value"]]
       n_pairs  only_a_failed  only_b_failed   p_value
    0        8              7              0  0.015625
    >>> print(found.conclusion[0])
    On 8 files decided under both, fewer failed under cfg-2: 0.0 % against 87.5 % under cfg-1, a
    difference of −87.5 points (95 % interval −97.8 to −40.1). Of the 7 that failed under only one,
    0 failed under cfg-2; between equals, the chance of a split at least so uneven is 0.016.
    """
    confidence = inputs.as_confidence(confidence)
    file = inputs.as_names("on", on)
    if not file:
        raise ValueError("on is empty: name the column that tells that two rows are the same file.")
    a, b = (inputs.as_one_id("configuration_id", one) for one in (a, b))
    if a == b:
        raise ValueError(f"a and b are both {a!r}: compare two different configurations.")
    runs = _runs(outcomes, file, (a, b))
    of_a, of_b = (_last_decided(runs[runs["configuration_id"] == one], file) for one in (a, b))
    of_both = of_a.index.intersection(of_b.index)
    pairs = Pairs.of(of_a.reindex(of_both), of_b.reindex(of_both))
    rate_a, rate_b = pairs.rates
    ci_low, ci_high = pairs.interval(confidence)
    answer = {
        "configuration_a": a,
        "configuration_b": b,
        "n_pairs": pairs.n,
        **asdict(pairs),
        "undecided": len(of_both) - pairs.n,
        "only_in_a": len(of_a) - len(of_both),
        "only_in_b": len(of_b) - len(of_both),
        "failure_rate_a": rate_a,
        "failure_rate_b": rate_b,
        "difference": pairs.difference,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "p_value": pairs.p_value(),
        "conclusion": _conclusion(a, b, pairs, confidence),
    }
    texts = ["configuration_a", "configuration_b", "conclusion"]
    return pd.DataFrame([answer]).astype(dict.fromkeys(texts, TEXT))


@dataclass(frozen=True)
class Pairs:
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

    def turned(self) -> Self:
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


def _runs(outcomes: Any, file: list[str], configurations: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of the two configurations that count, with 1 for failed and 0 for not."""
    there = inputs.column_names(outcomes)
    if "outcome" not in there:
        raise ValueError(
            "Configurations are compared by the column 'outcome', which this frame lacks: pass "
            "that of outcomes(results, jobs)."
        )
    names = [*file, *_RUN, *(["batch_status"] if "batch_status" in there else [])]
    runs = inputs.columns_of(outcomes, *dict.fromkeys(names))
    known = runs["configuration_id"].dropna().unique().tolist()
    for one in configurations:
        if one not in known:
            some = ", ".join(map(repr, known[:MOST_IDS])) or "none"
            more = f" and {len(known) - MOST_IDS:,} more" if len(known) > MOST_IDS else ""
            raise ValueError(
                f"No file ran under {one!r}; the frame's configurations: {some}{more}."
            )
    runs = runs[runs["configuration_id"].isin(configurations)]
    if "batch_status" in there:
        runs = runs[~runs["batch_status"].isin(["FAILED"])]
    word = runs["outcome"].astype(object)
    ends = [word.isin(OUTCOMES.failures), word.isin(OUTCOMES.successes)]
    return runs.assign(_failed=np.select(ends, [1.0, 0.0], np.nan))


def _last_decided(runs: pd.DataFrame, file: list[str]) -> pd.Series[Any]:
    """Return for each file whether its last decided run failed; missing where none was decided."""
    in_time = runs.sort_values("batch_created_at", kind="stable", na_position="first")
    last: pd.Series[Any] = in_time.groupby(file, sort=False, observed=True)["_failed"].last()
    return last


def _conclusion(a: str, b: str, pairs: Pairs, confidence: float) -> str:
    """Return in words what the test and the interval allow to say."""
    if not pairs.n:
        return f"No file was decided under both {a} and {b}, so nothing can be concluded."
    shown = pairs.p_value() <= 1 - confidence
    if shown and pairs.difference > 0:
        a, b, pairs = b, a, pairs.turned()  # b has the fewer failures, and is told of first
    rate_a, rate_b = pairs.rates
    low, high = pairs.interval(confidence)
    files = f"{pairs.n:,} file{'' if pairs.n == 1 else 's'}"
    verdict = f"fewer failed under {b}" if shown else f"no difference between {b} and {a} was shown"
    return (
        f"On {files} decided under both, {verdict}: {100 * rate_b:.1f} % against "
        f"{100 * rate_a:.1f} % under {a}, a difference of {_points(pairs.difference)} points "
        f"({100 * confidence:g} % interval {_points(low)} to {_points(high)}). {_split(b, pairs)}"
    )


def _split(b: str, pairs: Pairs) -> str:
    """Return in words the evidence: only files that ended differently can tell two apart."""
    throws, p_value = pairs.only_a_failed + pairs.only_b_failed, pairs.p_value()
    if not throws:
        return "Each file ended alike under both."
    chance = f"{p_value:.2g}" if p_value >= LEAST_CHANCE else f"less than {LEAST_CHANCE}"
    return (
        f"Of the {throws:,} that failed under only one, {pairs.only_b_failed:,} failed under {b}; "
        f"between equals, the chance of a split at least so uneven is {chance}."
    )


def _points(difference: float) -> str:
    return f"{100 * difference:z.1f}".replace("-", "−")
