"""Two configurations on the same files: which fails less often, and can chance explain it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.intervals import PairedCounts
from llama_batches_nb.analysis.rates import OUTCOMES_KIND
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.schema import STRING_DTYPE

MAX_LISTED_IDS = 10  # named in a message
MIN_PRINTED_P_VALUE = 0.0001  # told as a number

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
    confidence = arguments.parse_confidence(confidence)
    file = arguments.parse_column_names("on", on)
    if not file:
        raise ValueError("on is empty: name the column that tells that two rows are the same file.")
    a, b = (arguments.parse_single_id("configuration_id", one) for one in (a, b))
    if a == b:
        raise ValueError(f"a and b are both {a!r}: compare two different configurations.")
    runs = _load_runs(outcomes, file, (a, b))
    of_a, of_b = (
        _latest_decided_failure(runs[runs["configuration_id"] == one], file) for one in (a, b)
    )
    of_both = of_a.index.intersection(of_b.index)
    pairs = PairedCounts.of(of_a.reindex(of_both), of_b.reindex(of_both))
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
    return pd.DataFrame([answer]).astype(dict.fromkeys(texts, STRING_DTYPE))


def _load_runs(outcomes: Any, file: list[str], configurations: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of the two configurations that count, with 1 for failed and 0 for not."""
    there = engines.column_names(outcomes)
    if "outcome" not in there:
        raise ValueError(
            "Configurations are compared by the column 'outcome', which this frame lacks: pass "
            "that of outcomes(results, jobs)."
        )
    names = [*file, *_RUN, *(["batch_status"] if "batch_status" in there else [])]
    runs = engines.select_to_pandas(outcomes, *dict.fromkeys(names))
    known = runs["configuration_id"].dropna().unique().tolist()
    for one in configurations:
        if one not in known:
            some = ", ".join(map(repr, known[:MAX_LISTED_IDS])) or "none"
            more = (
                f" and {len(known) - MAX_LISTED_IDS:,} more" if len(known) > MAX_LISTED_IDS else ""
            )
            raise ValueError(
                f"No file ran under {one!r}; the frame's configurations: {some}{more}."
            )
    runs = runs[runs["configuration_id"].isin(configurations)]
    if "batch_status" in there:
        runs = runs[~runs["batch_status"].isin(["FAILED"])]
    word = runs["outcome"].astype(object)
    ends = [word.isin(OUTCOMES_KIND.failures), word.isin(OUTCOMES_KIND.successes)]
    return runs.assign(_failed=np.select(ends, [1.0, 0.0], np.nan))


def _latest_decided_failure(runs: pd.DataFrame, file: list[str]) -> pd.Series[Any]:
    """Return for each file whether its last decided run failed; missing where none was decided."""
    in_time = runs.sort_values("batch_created_at", kind="stable", na_position="first")
    last: pd.Series[Any] = in_time.groupby(file, sort=False, observed=True)["_failed"].last()
    return last


def _conclusion(a: str, b: str, pairs: PairedCounts, confidence: float) -> str:
    """Return in words what the test and the interval allow to say."""
    if not pairs.n:
        return f"No file was decided under both {a} and {b}, so nothing can be concluded."
    shown = pairs.p_value() <= 1 - confidence
    if shown and pairs.difference > 0:
        a, b, pairs = b, a, pairs.swapped()  # b has the fewer failures, and is told of first
    rate_a, rate_b = pairs.rates
    low, high = pairs.interval(confidence)
    files = f"{pairs.n:,} file{'' if pairs.n == 1 else 's'}"
    verdict = f"fewer failed under {b}" if shown else f"no difference between {b} and {a} was shown"
    return (
        f"On {files} decided under both, {verdict}: {100 * rate_b:.1f} % against "
        f"{100 * rate_a:.1f} % under {a}, a difference of "
        f"{_format_percentage_points(pairs.difference)} points "
        f"({100 * confidence:g} % interval {_format_percentage_points(low)} to "
        f"{_format_percentage_points(high)}). {_evidence_sentence(b, pairs)}"
    )


def _evidence_sentence(b: str, pairs: PairedCounts) -> str:
    """Return in words the evidence: only files that ended differently can tell two apart."""
    throws, p_value = pairs.only_a_failed + pairs.only_b_failed, pairs.p_value()
    if not throws:
        return "Each file ended alike under both."
    chance = (
        f"{p_value:.2g}" if p_value >= MIN_PRINTED_P_VALUE else f"less than {MIN_PRINTED_P_VALUE}"
    )
    return (
        f"Of the {throws:,} that failed under only one, {pairs.only_b_failed:,} failed under {b}; "
        f"between equals, the chance of a split at least so uneven is {chance}."
    )


def _format_percentage_points(difference: float) -> str:
    return f"{100 * difference:z.1f}".replace("-", "−")
