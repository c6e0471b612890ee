"""Compare the failure rates of two configurations on the same files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from llama_batches_nb.analysis.batch_pairs import MIN_PAIRS_OF_BATCHES, BatchPairs, Selection
from llama_batches_nb.analysis.first_runs import pair_first_runs
from llama_batches_nb.messages import format_count
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.types import Ids, IntoFrame

MAX_LISTED_IDS = 10  # in an error message
MIN_PRINTED_P_VALUE = 0.0001


def compare_configurations(
    outcomes: IntoFrame,
    a: Ids,
    b: Ids,
    *,
    on: str | Sequence[str] = "source_directory_file_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare the failure rates of two configurations on the files that both ran.

    Comparing the same files removes differences in difficulty between the two sets. Of each file
    the first decided run under each configuration counts, so that retries of failed files do not.
    Files of a batch often fail together, so the evidence is counted in pairs of batches: one batch
    of each configuration that ran the same files.

    Parameters
    ----------
    outcomes
        The frame of `outcomes`, of any engine that Narwhals supports; the files are paired there.
        If it was made without jobs, mappings are compared. Files of ``FAILED`` batches are
        excluded.
    a, b
        The ids of the two configurations.
    on
        One or more columns that identify a file. A file that is put into another directory, as
        `retry_failed` does, gets a new ``source_directory_file_id``: add ``file_id`` with
        ``attempts(outcomes, fetch_files(...))`` and use it. Rows without a value are excluded.
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
        batch_pairs     int64   pairs of batches that ran these files; pairs with a common batch,
                                and those linked by it, count as one
        undecided       int64   files that both ran, undecided under one or both
        only_in_a       int64   files that b did not run
        only_in_b       int64   files that a did not run
        failure_rate_a  float64 of the files decided under both; missing if there are none
        failure_rate_b  float64
        difference      float64 failure_rate_b - failure_rate_a
        ci_low          float64 lower end of the interval of the difference; missing if
                                `batch_pairs` is below 2, or no verdict is possible
        ci_high         float64 upper end
        p_value         float64 of the test that the rates are equal; missing if `batch_pairs` is
                                below 6, or no verdict is possible
        conclusion      string  the result in one or more sentences
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
    With d the files of a pair of batches that failed only under b, minus those that failed only
    under a, the test is that of z = sum(d) / sqrt(sum(d^2)) (N. A. Obuchowski 1998, "On the
    comparison of correlated proportions for clustered data", Stat. Med. 17, 1495-1507; V. L.
    Durkalski et al. 2003, "Analysis of clustered matched-pair data", Stat. Med. 22, 2417-2428). If
    at most 12 pairs of batches have a difference, all signs of d are enumerated instead, which is
    exact. The interval uses the variance of d between the K pairs of batches and Student's t with
    K - 1 degrees of freedom. The test can be stricter: the interval can just exclude 0 where the
    test finds no difference. `conclusion` follows the test. If d is the same share of the files in
    all pairs of batches, the interval is method 10 of R. G. Newcombe 1998, "Improved confidence
    intervals for the difference between binomial proportions based on paired data", Stat. Med. 17,
    2635-2650.

    Files that were chosen because they failed, as by `retry_failed`, do better in any other run.
    No verdict is given if the files that both ran failed under one configuration at least twice as
    often as the files that only this one ran, and by more than 3 standard errors: within its
    batches (Mantel-Haenszel) or between them. Other differences between the runs, such as their
    date, are not corrected.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> files = pd.DataFrame({  # eight directories, each run in a batch of either configuration
    ...     "source_directory_file_id": [f"dfl-{n}" for n in range(32)] * 2,
    ...     "configuration_id": ["cfg-1"] * 32 + ["cfg-2"] * 32,
    ...     "batch_id": [f"bat-{n // 4}" for n in range(64)],
    ...     "batch_created_at": pd.Timestamp("2026-08-01", tz="UTC"),
    ...     "outcome": ["job_failed", "succeeded"] * 14 + ["succeeded"] * 36,
    ... })
    >>> comparison = lb.compare_configurations(files, "cfg-1", "cfg-2")
    >>> comparison[["n_pairs", "only_a_failed", "only_b_failed", "batch_pairs", "p_value"]]
       n_pairs  only_a_failed  only_b_failed  batch_pairs   p_value
    0       32             14              0            8  0.015625
    >>> print(comparison.conclusion[0])
    On 32 files decided under both, in 8 pairs of batches, fewer failed under cfg-2: 0.0 % compared
    with 43.8 % under cfg-1, a difference of −43.8 percentage points (95 % interval −58.5 to −29.0).
    14 files failed under only one configuration, 0 of them under cfg-2 (test by pairs of batches:
    p = 0.016).
    """
    confidence = arguments.parse_share("confidence", confidence, 0.95)
    file = arguments.parse_column_names("on", on)
    if not file:
        raise ValueError("on is empty: pass one or more columns that identify a file.")
    a, b = (arguments.parse_single_id("configuration_id", item) for item in (a, b))
    if a == b:
        raise ValueError(f"a and b are both {a!r}: compare two different configurations.")
    frame = engines.wrap_frame("outcomes", outcomes)
    _check_columns(frame, file)
    files = pair_first_runs(frame, file, a, b)
    _check_configurations(frame, files, a, b)
    both = files[files["ran_a"] & files["ran_b"]]
    decided = both.dropna(subset=["batch_a", "batch_b"])
    pairs = BatchPairs.from_table(decided)
    verdict = _selection_sentence(files, decided, a, b)
    ci_low, ci_high = (math.nan, math.nan) if verdict else pairs.interval(confidence)
    p_value = math.nan if verdict else pairs.p_value()
    rate_a, rate_b = pairs.counts.rates
    row = {
        "configuration_a": a,
        "configuration_b": b,
        "n_pairs": pairs.counts.n,
        **asdict(pairs.counts),
        "batch_pairs": pairs.n_clusters,
        "undecided": int(both["n"].sum()) - pairs.counts.n,
        "only_in_a": int(files.loc[~files["ran_b"], "n"].sum()),
        "only_in_b": int(files.loc[~files["ran_a"], "n"].sum()),
        "failure_rate_a": rate_a,
        "failure_rate_b": rate_b,
        "difference": pairs.counts.difference,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "p_value": p_value,
        "conclusion": verdict or _conclusion(a, b, pairs, file, confidence),
    }
    text_columns = ["configuration_a", "configuration_b", "conclusion"]
    return pd.DataFrame([row]).astype(dict.fromkeys(text_columns, STRING_DTYPE))


def _check_columns(frame: Frame, file: list[str]) -> None:
    if "outcome" not in engines.column_names(frame):
        raise ValueError("The frame has no column 'outcome': pass outcomes(results, jobs).")
    engines.check_columns(frame, *file, "configuration_id", "batch_id", "batch_created_at")


def _check_configurations(frame: Frame, files: pd.DataFrame, a: str, b: str) -> None:
    """Raise `ValueError` if a configuration is not in the frame, naming those that are."""
    if files["ran_a"].any() and files["ran_b"].any():
        return
    values = engines.collect_to_pandas(frame.select("configuration_id").unique())
    known = sorted(map(str, values["configuration_id"].dropna()))
    for configuration in (a, b):
        if configuration not in known:
            listed = ", ".join(map(repr, known[:MAX_LISTED_IDS])) or "none"
            n_more = len(known) - MAX_LISTED_IDS
            raise ValueError(
                f"No file ran under {configuration!r}; the frame's configurations are: {listed}"
                f"{f' and {n_more:,} more' if n_more > 0 else ''}."
            )


def _selection_sentence(files: pd.DataFrame, decided: pd.DataFrame, a: str, b: str) -> str:
    """Return why there is no verdict if the files were chosen by their failure, else nothing."""
    for side, other, one in (("a", "b", a), ("b", "a", b)):
        names = {f"batch_{side}": "batch", f"failed_{side}": "failed"}
        alone = files[~files[f"ran_{other}"]].dropna(subset=f"batch_{side}")
        selection = Selection.from_tables(
            decided.rename(columns=names), alone.rename(columns=names)
        )
        if selection.is_by_failure():
            rate, other_rate = selection.rates
            n_paired, n_alone = (
                format_count(int(rows["n"].sum()), "file") for rows in (decided, alone)
            )
            return (
                f"No verdict: the {n_paired} decided under both seem to have been chosen because "
                f"they failed under {one}. There {100 * rate:.1f} % of them failed, but only "
                f"{100 * other_rate:.1f} % of the {n_alone} that only {one} ran. Files chosen by "
                "their failure do better in any other run: compare on files that were not."
            )
    return ""


def _conclusion(a: str, b: str, pairs: BatchPairs, file: list[str], confidence: float) -> str:
    """Describe the difference, its interval and the result of the test."""
    if not pairs.counts.n:
        return _no_pairs_sentence(a, b, file)
    if pairs.n_clusters < MIN_PAIRS_OF_BATCHES:
        return _few_batches_sentence(a, b, pairs)
    is_significant = pairs.p_value() <= 1 - confidence
    if is_significant and pairs.counts.difference > 0:
        a, b, pairs = b, a, pairs.swapped()  # name the configuration with fewer failures first
    rate_a, rate_b = pairs.counts.rates
    low, high = pairs.interval(confidence)
    verdict = (
        f"fewer failed under {b}"
        if is_significant
        else f"there is no significant difference between {b} and {a}"
    )
    return (
        f"On {format_count(pairs.counts.n, 'file')} decided under both, in "
        f"{format_count(pairs.n_clusters, 'pair')} of batches, {verdict}: "
        f"{100 * rate_b:.1f} % compared with {100 * rate_a:.1f} % under {a}, a "
        f"difference of {_format_percentage_points(pairs.counts.difference)} percentage points "
        f"({100 * confidence:g} % interval {_format_percentage_points(low)} to "
        f"{_format_percentage_points(high)}). {_evidence_sentence(b, pairs)}"
    )


def _no_pairs_sentence(a: str, b: str, file: list[str]) -> str:
    sentence = f"No file was decided under both {a} and {b}, so nothing can be concluded."
    if file != ["source_directory_file_id"]:
        return sentence
    return (
        f"{sentence} A file has another source_directory_file_id in each directory: if they ran "
        'the same stored files, add file_id with attempts(outcomes, files) and pass on="file_id".'
    )


def _few_batches_sentence(a: str, b: str, pairs: BatchPairs) -> str:
    rate_a, rate_b = pairs.counts.rates
    return (
        f"No verdict: of {format_count(pairs.counts.n, 'file')} decided under both, "
        f"{100 * rate_a:.1f} % failed under {a} and {100 * rate_b:.1f} % under {b}, but these "
        f"files met in only {format_count(pairs.n_clusters, 'pair')} of batches. Files of a batch "
        f"often fail together, so a verdict needs at least {MIN_PAIRS_OF_BATCHES} pairs of batches."
    )


def _evidence_sentence(b: str, pairs: BatchPairs) -> str:
    """Describe the test, which uses only the files that failed under one configuration."""
    n_discordant = pairs.counts.only_a_failed + pairs.counts.only_b_failed
    if not n_discordant:
        return "Each file had the same outcome under both."
    p_value = pairs.p_value()
    p_text = f"= {p_value:.2g}" if p_value >= MIN_PRINTED_P_VALUE else f"< {MIN_PRINTED_P_VALUE}"
    return (
        f"{format_count(n_discordant, 'file')} failed under only one configuration, "
        f"{pairs.counts.only_b_failed:,} of them under {b} (test by pairs of batches: p {p_text})."
    )


def _format_percentage_points(difference: float) -> str:
    return f"{100 * difference:z.1f}".replace("-", "−")
