"""Compare the failure rates of two configurations on the same files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.analysis.intervals import PairedCounts
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.types import Ids, IntoFrame

MAX_LISTED_IDS = 10  # in an error message
MIN_PRINTED_P_VALUE = 0.0001

_RUN_COLUMNS = ("configuration_id", "outcome", "batch_created_at")


def compare_configurations(
    outcomes: IntoFrame,
    a: Ids,
    b: Ids,
    *,
    on: str | Sequence[str] = "source_directory_file_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare the failure rates of two configurations on the files that both ran.

    Comparing the same files removes differences in difficulty between the two sets. If a
    configuration ran a file several times, its latest decided run counts.

    Parameters
    ----------
    outcomes
        The frame of `outcomes`, of any engine that Narwhals supports. If it was made without jobs,
        mappings are compared. Files of ``FAILED`` batches are excluded.
    a, b
        The ids of the two configurations.
    on
        One or more columns that identify a file. A file that is put into another directory, as
        `retry_failed` does, gets a new ``source_directory_file_id``: join the frame of
        `fetch_files` and use ``file_id`` or ``display_name``. Rows without a value are excluded.
    confidence
        Confidence level of the interval, between 0 and 1. `conclusion` reports a difference if
        `p_value` is at most 1 - `confidence`.

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
        undecided       int64   files that both ran, undecided under one or both
        only_in_a       int64   files that b did not run
        only_in_b       int64   files that a did not run
        failure_rate_a  float64 of the pairs; missing, like all below, if there are none
        failure_rate_b  float64
        difference      float64 failure_rate_b - failure_rate_a
        ci_low          float64 lower end of the interval of the difference
        ci_high         float64 upper end
        p_value         float64 of McNemar's exact test
        conclusion      string  the result in one or two sentences
        =============== ======= ================================================================

    Raises
    ------
    ValueError
        If a configuration is not in the frame, both are the same, the frame lacks a column, or
        `confidence` is invalid.
    TypeError
        If `outcomes` is not a frame.

    Notes
    -----
    The test is McNemar's, exact and two-sided: if both configurations are equally good, a file that
    fails under only one of them fails under either with probability 1/2 (Q. McNemar 1947, "Note on
    the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 153-157). The interval is method 10 of R. G. Newcombe 1998, "Improved
    confidence intervals for the difference between binomial proportions based on paired data",
    Stat. Med. 17, 2635-2650. The test is usually stricter: the interval can just exclude 0 where
    the test finds no difference. `conclusion` follows the test.

    Pairing does not correct for other differences between the runs, such as their date. If only
    the failures of one configuration were run again, that configuration looks better than it is.

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
    >>> comparison = lb.compare_configurations(files, "cfg-1", "cfg-2")
    >>> comparison[["n_pairs", "only_a_failed", "only_b_failed", "p_value"]]
       n_pairs  only_a_failed  only_b_failed   p_value
    0        8              7              0  0.015625
    >>> print(comparison.conclusion[0])
    On 8 files decided under both, fewer failed under cfg-2: 0.0 % compared with 87.5 % under cfg-1,
    a difference of −87.5 percentage points (95 % interval −97.8 to −40.1). 7 files failed under
    only one configuration, 0 of them under cfg-2 (McNemar's exact test: p = 0.016).
    """
    confidence = arguments.parse_confidence(confidence)
    file = arguments.parse_column_names("on", on)
    if not file:
        raise ValueError("on is empty: pass one or more columns that identify a file.")
    a, b = (arguments.parse_single_id("configuration_id", item) for item in (a, b))
    if a == b:
        raise ValueError(f"a and b are both {a!r}: compare two different configurations.")
    runs = _load_runs(engines.wrap_frame("outcomes", outcomes), file, (a, b))
    failed_a, failed_b = (
        _latest_decided_failure(runs[runs["configuration_id"] == item], file) for item in (a, b)
    )
    shared = failed_a.index.intersection(failed_b.index)
    pairs = PairedCounts.from_failures(failed_a.reindex(shared), failed_b.reindex(shared))
    rate_a, rate_b = pairs.rates
    ci_low, ci_high = pairs.interval(confidence)
    row = {
        "configuration_a": a,
        "configuration_b": b,
        "n_pairs": pairs.n,
        **asdict(pairs),
        "undecided": len(shared) - pairs.n,
        "only_in_a": len(failed_a) - len(shared),
        "only_in_b": len(failed_b) - len(shared),
        "failure_rate_a": rate_a,
        "failure_rate_b": rate_b,
        "difference": pairs.difference,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "p_value": pairs.p_value(),
        "conclusion": _conclusion(a, b, pairs, confidence),
    }
    text_columns = ["configuration_a", "configuration_b", "conclusion"]
    return pd.DataFrame([row]).astype(dict.fromkeys(text_columns, STRING_DTYPE))


def _load_runs(outcomes: Frame, file: list[str], configurations: tuple[str, str]) -> pd.DataFrame:
    """Return the runs of the two configurations, with 1 for failed and 0 for succeeded."""
    existing = engines.column_names(outcomes)
    if "outcome" not in existing:
        raise ValueError("The frame has no column 'outcome': pass outcomes(results, jobs).")
    names = [*file, *_RUN_COLUMNS, *(["batch_status"] if "batch_status" in existing else [])]
    runs = engines.select_to_pandas(outcomes, *dict.fromkeys(names))
    known = runs["configuration_id"].dropna().unique().tolist()
    for configuration in configurations:
        if configuration not in known:
            listed = ", ".join(map(repr, known[:MAX_LISTED_IDS])) or "none"
            n_more = len(known) - MAX_LISTED_IDS
            raise ValueError(
                f"No file ran under {configuration!r}; the frame's configurations are: {listed}"
                f"{f' and {n_more:,} more' if n_more > 0 else ''}."
            )
    runs = runs[runs["configuration_id"].isin(configurations)]
    if "batch_status" in existing:
        runs = runs[~runs["batch_status"].isin(["FAILED"])]
    outcome = runs["outcome"].astype(object)
    is_decided = [outcome.isin(OUTCOMES_KIND.failures), outcome.isin(OUTCOMES_KIND.successes)]
    return runs.assign(_failed=np.select(is_decided, [1.0, 0.0], np.nan))


def _latest_decided_failure(runs: pd.DataFrame, file: list[str]) -> pd.Series[Any]:
    """Return whether the latest decided run of each file failed; missing if none is decided."""
    by_time = runs.sort_values("batch_created_at", kind="stable", na_position="first")
    latest: pd.Series[Any] = by_time.groupby(file, sort=False, observed=True)["_failed"].last()
    return latest


def _conclusion(a: str, b: str, pairs: PairedCounts, confidence: float) -> str:
    """Describe the difference, its interval and the result of the test."""
    if not pairs.n:
        return f"No file was decided under both {a} and {b}, so nothing can be concluded."
    is_significant = pairs.p_value() <= 1 - confidence
    if is_significant and pairs.difference > 0:
        a, b, pairs = b, a, pairs.swapped()  # name the configuration with fewer failures first
    rate_a, rate_b = pairs.rates
    low, high = pairs.interval(confidence)
    files = f"{pairs.n:,} file{'' if pairs.n == 1 else 's'}"
    verdict = (
        f"fewer failed under {b}"
        if is_significant
        else f"there is no significant difference between {b} and {a}"
    )
    return (
        f"On {files} decided under both, {verdict}: {100 * rate_b:.1f} % compared with "
        f"{100 * rate_a:.1f} % under {a}, a difference of "
        f"{_format_percentage_points(pairs.difference)} percentage points "
        f"({100 * confidence:g} % interval {_format_percentage_points(low)} to "
        f"{_format_percentage_points(high)}). {_evidence_sentence(b, pairs)}"
    )


def _evidence_sentence(b: str, pairs: PairedCounts) -> str:
    """Describe the test, which uses only the files that failed under one configuration."""
    n_discordant, p_value = pairs.only_a_failed + pairs.only_b_failed, pairs.p_value()
    if not n_discordant:
        return "Each file had the same outcome under both."
    p_text = f"= {p_value:.2g}" if p_value >= MIN_PRINTED_P_VALUE else f"< {MIN_PRINTED_P_VALUE}"
    return (
        f"{n_discordant:,} file{'' if n_discordant == 1 else 's'} failed under only one "
        f"configuration, {pairs.only_b_failed:,} of them under {b} "
        f"(McNemar's exact test: p {p_text})."
    )


def _format_percentage_points(difference: float) -> str:
    return f"{100 * difference:z.1f}".replace("-", "−")
