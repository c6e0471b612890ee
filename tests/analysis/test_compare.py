"""Comparison of two configurations on the same files."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.compare import compare_configurations
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.analysis.intervals import PairedCounts
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.tables.statuses import OUTCOMES
from tests.strategies import few, some

Run = tuple[str, str, str]

COUNTS = [
    "n_pairs",
    "both_succeeded",
    "only_a_failed",
    "only_b_failed",
    "both_failed",
    "undecided",
    "only_in_a",
    "only_in_b",
]
RATES = ["failure_rate_a", "failure_rate_b", "difference", "ci_low", "ci_high", "p_value"]
COLUMNS = [
    *("configuration_a", "configuration_b"),
    *COUNTS[:5],
    "batch_pairs",
    *COUNTS[5:],
    *RATES,
    "conclusion",
]


def files(*runs: Run, **columns: Any) -> pd.DataFrame:
    """Return outcomes, given file, configuration and outcome of each run, an hour apart.

    Each run is in a batch of its own unless `columns` has ``batch_id``.
    """
    names = ["source_directory_file_id", "configuration_id", "outcome"]
    frame = pd.DataFrame(list(runs), columns=pd.Index(names)).astype(
        dict.fromkeys(names, STRING_DTYPE)
    )
    hours = pd.to_timedelta(np.arange(len(runs)), unit="h")
    times = (pd.Timestamp("2026-08-01", tz="UTC") + hours).as_unit("us")
    outcome = pd.Categorical(frame["outcome"], categories=OUTCOMES)
    batch_ids = [f"bat-{n}" for n in range(len(runs))]
    return frame.assign(
        outcome=outcome, **{"batch_created_at": times, "batch_id": batch_ids, **columns}
    )


def text(*values: str | None) -> pd.Series[Any]:
    return pd.Series(values, dtype=STRING_DTYPE)


def table(
    both_succeeded: int, only_a: int, only_b: int, both_failed: int, batch_pairs: int = 8
) -> pd.DataFrame:
    """Return outcomes of as many files, each run under "a" and under "b", in pairs of batches."""
    ends = [("succeeded", "succeeded")] * both_succeeded + [("job_failed", "succeeded")] * only_a
    ends += [("succeeded", "job_failed")] * only_b + [("job_failed", "job_failed")] * both_failed
    return files(
        *[(str(n), "a", end) for n, (end, _) in enumerate(ends)],
        *[(str(n), "b", end) for n, (_, end) in enumerate(ends)],
        batch_id=[f"{name}-{n % batch_pairs}" for name in "ab" for n in range(len(ends))],
    )


def compared(frame: Any, **options: Any) -> dict[str, Any]:
    """Return the one row of a comparison of "a" with "b"."""
    result = compare_configurations(frame, "a", "b", **options)
    assert result.columns.tolist() == COLUMNS
    assert len(result) == 1
    assert {str(result[name].dtype) for name in [*COUNTS, "batch_pairs"]} == {"int64"}
    assert {str(result[name].dtype) for name in RATES} == {"float64"}
    for name in ("configuration_a", "configuration_b", "conclusion"):
        assert result[name].dtype == STRING_DTYPE
    return dict(result.iloc[0])


def counts(frame: Any, **options: Any) -> list[int]:
    row = compared(frame, **options)
    return [int(row[name]) for name in COUNTS]


# --- what is counted ----------------------------------------------------------------------------


def test_pairs_are_counted_by_both_outcomes() -> None:
    row = compared(table(5, 4, 2, 1))
    assert [row[name] for name in COUNTS] == [12, 5, 4, 2, 1, 0, 0, 0]
    assert [row["failure_rate_a"], row["failure_rate_b"]] == [5 / 12, 3 / 12]
    assert row["difference"] == pytest.approx(-2 / 12)


@pytest.mark.parametrize("failure", OUTCOMES_KIND.failures)
@pytest.mark.parametrize("success", OUTCOMES_KIND.successes)
def test_comparison_counts_failures_like_failure_rates(failure: str, success: str) -> None:
    assert counts(files(("x", "a", failure), ("x", "b", success))) == [1, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("word", ["job_cancelled", "job_running", "job_unknown", "no_job"])
def test_undecided_files_make_no_pair(word: str) -> None:
    runs = files(("x", "a", word), ("x", "b", "succeeded"), ("y", "a", word), ("y", "b", word))
    assert counts(runs) == [0, 0, 0, 0, 0, 2, 0, 0]


def test_missing_and_unknown_outcomes_are_undecided() -> None:
    runs = files(("x", "a", "succeeded"), ("x", "b", "succeeded"))
    for word in (None, "état"):
        assert counts(runs.assign(outcome=text("succeeded", word)))[0] == 0


def test_files_of_only_one_configuration_are_counted() -> None:
    runs = files(
        ("x", "a", "succeeded"),
        ("y", "a", "no_job"),
        ("z", "b", "job_failed"),
        ("z", "c", "mapped"),
    )
    assert counts(runs) == [0, 0, 0, 0, 0, 0, 2, 1]


def test_first_decided_run_of_file_counts() -> None:
    runs = files(
        ("x", "a", "job_running"),
        ("x", "a", "job_failed"),
        ("x", "b", "job_failed"),
        ("x", "a", "succeeded"),
    )
    assert counts(runs) == [1, 0, 0, 0, 1, 0, 0, 0]
    assert counts(runs.iloc[::-1]) == counts(runs)


def test_run_without_time_is_latest() -> None:
    runs = files(("x", "b", "succeeded"), ("x", "a", "job_failed"), ("x", "a", "succeeded"))
    no_time = runs.assign(batch_created_at=runs.batch_created_at.where(runs.index != 1))
    assert counts(no_time)[1] == 1


def test_batch_id_breaks_ties_of_time() -> None:
    runs = files(("x", "b", "succeeded"), ("x", "a", "job_failed"), ("x", "a", "succeeded"))
    same = runs.assign(batch_created_at=runs.batch_created_at.iloc[0])
    assert counts(same)[2] == 1
    assert counts(same.assign(batch_id=["b", "z", "y"]).iloc[::-1])[1] == 1


def test_success_counts_if_a_batch_ran_a_file_twice() -> None:
    runs = files(("x", "b", "succeeded"), ("x", "a", "job_failed"), ("x", "a", "succeeded"))
    in_one = runs.assign(batch_id=["b", "a", "a"])
    assert counts(in_one)[1] == counts(in_one.iloc[::-1])[1] == 1


def test_files_of_failed_batches_are_excluded() -> None:
    runs = files(("x", "a", "succeeded"), ("x", "b", "job_failed"), ("x", "b", "succeeded"))
    assert counts(runs.assign(batch_status=text("COMPLETED", None, "FAILED")))[3] == 1
    assert counts(runs.assign(batch_status=text("FAILED", None, None))) == [0, 0, 0, 0, 0, 0, 0, 1]
    statuses = pd.array(["CANCELLED", pd.NA, "FAILED"], dtype="string")
    assert counts(runs.assign(batch_status=statuses))[3] == 1


def test_outcomes_without_jobs_compare_mappings() -> None:
    runs = files(("x", "a", "mapping_error"), ("x", "b", "mapped"))
    assert counts(runs)[2] == 1


# --- which rows are the same file ---------------------------------------------------------------


def test_files_are_paired_by_column_on() -> None:
    runs = files(("x", "a", "succeeded"), ("y", "b", "job_failed"))
    assert counts(runs)[0] == 0
    assert counts(runs.assign(file_id="f"), on="file_id")[3] == 1
    assert counts(runs.assign(display_name=text("1.pdf", None)), on="display_name") == [0] * 6 + [
        1,
        0,
    ]


def test_files_are_paired_by_several_columns() -> None:
    runs = files(
        ("w", "a", "succeeded"), ("x", "a", "succeeded"), ("y", "b", "succeeded"),
        name=["1.pdf", "1.pdf", "1.pdf"], folder=["p", "q", "q"],
    )  # fmt: skip
    assert counts(runs, on=["folder", "name"]) == [1, 1, 0, 0, 0, 0, 1, 0]
    assert counts(runs, on=("name",)) == [1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_configuration_ids_may_have_any_dtype(dtype: str) -> None:
    runs = table(3, 2, 1, 1).astype(
        {"source_directory_file_id": dtype, "configuration_id": dtype, "outcome": dtype}
    )
    assert counts(runs)[:5] == [7, 3, 2, 1, 1]


# --- the interval of independent files ------------------------------------------------------------


def test_interval_matches_newcombes_examples() -> None:
    """The data of Cavo et al. 2012, with the limits in the tests of R's contingencytables."""
    assert PairedCounts(80, 16, 6, 59).interval(0.95) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


@pytest.mark.parametrize(
    "chances",
    [
        (0.88, 0.05, 0.05, 0.02),
        (0.70, 0.20, 0.05, 0.05),
        (0.10, 0.45, 0.40, 0.05),  # the more fail under one, the fewer under the other
        (0.40, 0.15, 0.05, 0.40),
    ],
)
def test_interval_covers_true_difference_at_confidence_level(
    chances: tuple[float, float, float, float],
) -> None:
    """Summed over all tables of 20 files, each with its chance."""
    n, true = 20, chances[2] - chances[1]
    covered = 0.0
    for both, a, b in product(range(n + 1), repeat=3):
        if (neither := n - both - a - b) >= 0:
            low, high = PairedCounts(both, a, b, neither).interval(0.95)
            ways = math.factorial(n) / math.prod(map(math.factorial, (both, a, b, neither)))
            chance = ways * math.prod(map(pow, chances, (both, a, b, neither)))
            covered += chance * (low <= true <= high)
    assert 0.93 < covered < 0.999


cells = st.integers(0, 8) | st.integers(0, 10_000)
tables = st.builds(PairedCounts, cells, cells, cells, cells)


@given(tables, st.floats(0.5, 0.999))
@some
def test_difference_is_within_its_interval(pairs: PairedCounts, confidence: float) -> None:
    low, high = pairs.interval(confidence)
    if pairs.n:
        assert -1 - 1e-12 <= low <= pairs.difference <= high <= 1 + 1e-12
        assert low < high
    else:
        assert all(math.isnan(x) for x in (low, high, pairs.difference))


@given(tables)
@some
def test_swapping_configurations_negates_difference(pairs: PairedCounts) -> None:
    low, high = pairs.interval(0.95)
    mirrored = pairs.swapped().interval(0.95)
    assert mirrored == pytest.approx((-high, -low), abs=1e-12, nan_ok=True)


@given(tables)
@some
def test_swapping_success_and_failure_negates_difference(pairs: PairedCounts) -> None:
    other = PairedCounts(
        pairs.both_failed, pairs.only_b_failed, pairs.only_a_failed, pairs.both_succeeded
    )
    low, high = pairs.interval(0.95)
    assert other.interval(0.95) == pytest.approx((-high, -low), abs=1e-9, nan_ok=True)


# --- laws ---------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """Runs of a few files under three configurations, some of them in failed batches."""
    run = st.tuples(st.sampled_from("wxyz"), st.sampled_from("abc"), st.sampled_from(OUTCOMES))
    drawn = [("w", "a", "succeeded"), ("w", "b", "succeeded"), *draw(st.lists(run, max_size=30))]
    status = st.sampled_from(["COMPLETED", "CANCELLED", "FAILED", None])
    runs = files(*draw(st.permutations(drawn)))
    batch = [f"{name}-{draw(st.integers(0, 5))}" for name in runs.configuration_id]
    statuses = {name: draw(status) for name in sorted(set(batch))}
    start = runs.batch_created_at.iloc[0]
    hours = {name: start + pd.Timedelta(hours=draw(st.integers(0, 3))) for name in sorted(statuses)}
    return runs.assign(
        batch_id=batch,
        batch_status=pd.Series([statuses[name] for name in batch], runs.index, dtype=object),
        batch_created_at=[hours[name] for name in batch],
    )


@given(histories())
@few
def test_comparison_counts_every_file_once(runs: pd.DataFrame) -> None:
    row = compared(runs)
    kept = runs[runs.batch_status != "FAILED"]
    ran = {one: set(kept.source_directory_file_id[kept.configuration_id == one]) for one in "ab"}
    assert row["n_pairs"] == sum(row[name] for name in COUNTS[1:5])
    assert row["n_pairs"] + row["undecided"] == len(ran["a"] & ran["b"])
    assert row["only_in_a"] == len(ran["a"] - ran["b"])
    assert row["only_in_b"] == len(ran["b"] - ran["a"])


@given(histories())
@few
def test_rates_equal_failure_rates_of_counted_runs(runs: pd.DataFrame) -> None:
    row = compared(runs)
    decided = runs[
        (runs.batch_status != "FAILED")
        & runs.outcome.isin([*OUTCOMES_KIND.failures, *OUTCOMES_KIND.successes])
    ]
    failed = decided.outcome.isin(OUTCOMES_KIND.failures)
    first = (
        decided.assign(failed=failed)
        .sort_values(["batch_created_at", "batch_id", "failed"])
        .drop_duplicates(["source_directory_file_id", "configuration_id"])
    )
    both = first[first.configuration_id.isin(["a", "b"])]
    both = both[both.duplicated("source_directory_file_id", keep=False)]
    rates = lb.failure_rates(both, by="configuration_id").set_index("configuration_id")
    for one in "ab":
        expected = rates.failure_rate.get(one, math.nan)
        assert row[f"failure_rate_{one}"] == pytest.approx(expected, nan_ok=True)


@given(histories())
@few
def test_swapping_arguments_swaps_columns(runs: pd.DataFrame) -> None:
    one = compare_configurations(runs, "a", "b").iloc[0]
    other = compare_configurations(runs, "b", "a").iloc[0]
    assert other["only_in_a"] == one["only_in_b"]
    assert other["only_a_failed"] == one["only_b_failed"]
    assert other["difference"] == pytest.approx(-one["difference"], nan_ok=True)
    assert other["p_value"] == pytest.approx(one["p_value"], nan_ok=True)
    assert other["batch_pairs"] == one["batch_pairs"]


@given(histories(), st.randoms(use_true_random=False))
@few
def test_order_of_rows_changes_nothing(runs: pd.DataFrame, random: Any) -> None:
    order = random.sample(range(len(runs)), len(runs))
    pd.testing.assert_frame_equal(
        compare_configurations(runs.iloc[order], "a", "b"), compare_configurations(runs, "a", "b")
    )


# --- the conclusion -----------------------------------------------------------------------------


def test_conclusion_names_configuration_with_fewer_failures_first() -> None:
    runs = table(380, 23, 4, 5)
    expected = (
        "On 412 files decided under both, in 8 pairs of batches, fewer failed under b: 2.2 % "
        "compared with 6.8 % under a, a difference of −4.6 percentage points (95 % interval −5.8 "
        "to −3.4). 27 files failed under only one configuration, 4 of them under b (test by pairs "
        "of batches: p = 0.0078)."
    )
    assert compared(runs)["conclusion"] == expected
    assert compare_configurations(runs, "b", "a").conclusion[0] == expected


def test_conclusion_claims_no_difference_that_is_not_significant() -> None:
    conclusion = compared(table(380, 15, 12, 5))["conclusion"]
    assert conclusion.startswith(
        "On 412 files decided under both, in 8 pairs of batches, there is no significant "
        "difference between b and a: 4.1 % compared with 4.9 % under a, a difference of −0.7 "
        "percentage points (95 % interval "
    )


def test_conclusion_without_difference_keeps_order_of_arguments() -> None:
    conclusion = compare_configurations(table(380, 15, 12, 5), "b", "a").conclusion[0]
    assert "difference between a and b: 4.9 % compared with 4.1 % under b" in conclusion
    assert "a difference of 0.7 percentage points" in conclusion


def test_confidence_decides_significance() -> None:
    runs = table(7, 7, 0, 0, batch_pairs=7)  # p is 1/64
    assert "fewer failed" in compared(runs)["conclusion"]
    strict = compared(runs, confidence=0.99)
    assert "no significant difference between b and a" in strict["conclusion"]
    assert "(99 % interval" in strict["conclusion"]
    assert strict["ci_low"] < compared(runs)["ci_low"]


@pytest.mark.parametrize("batch_pairs", [1, 2, 5])
def test_fewer_than_six_pairs_of_batches_give_no_verdict(batch_pairs: int) -> None:
    row = compared(table(50, 50, 0, 0, batch_pairs))
    assert row["batch_pairs"] == batch_pairs
    assert math.isnan(row["p_value"])
    assert math.isnan(row["ci_low"]) == math.isnan(row["ci_high"]) == (batch_pairs == 1)
    noun = "pair" if batch_pairs == 1 else "pairs"
    assert f"these files met in only {batch_pairs} {noun} of batches" in row["conclusion"]
    assert row["conclusion"].startswith("No verdict: of 100 files decided under both, 50.0 % fail")


def test_conclusion_without_pairs_names_the_column_that_identifies_stored_files() -> None:
    runs = files(("x", "a", "succeeded"), ("y", "b", "succeeded"), file_id=["p", "q"])
    row = compared(runs)
    nothing = "No file was decided under both a and b, so nothing can be concluded."
    assert row["conclusion"].startswith(nothing)
    assert row["conclusion"].endswith('pass on="file_id".')
    assert all(math.isnan(row[name]) for name in RATES)
    assert compared(runs, on="file_id")["conclusion"] == nothing


def test_conclusion_without_discordant_pairs() -> None:
    row = compared(table(6, 0, 0, 0))
    assert row["p_value"] == 1
    assert row["conclusion"].startswith("On 6 files decided under both, in 6 pairs of batches, ")
    assert row["conclusion"].endswith("Each file had the same outcome under both.")
    assert "a difference of 0.0 percentage points" in row["conclusion"]
    assert row["ci_low"] < 0 < row["ci_high"]


def test_conclusion_prints_small_p_value_as_bound() -> None:
    assert compared(table(0, 100, 0, 0, batch_pairs=20))["conclusion"].endswith(
        "(test by pairs of batches: p < 0.0001)."
    )


# --- errors -------------------------------------------------------------------------------------

RUNS = table(1, 1, 1, 1)


def test_unknown_configuration_error_lists_known_ones() -> None:
    with pytest.raises(ValueError, match=r"No file ran under 'cfg-x'.*: 'a', 'b'\."):
        compare_configurations(RUNS, "a", "cfg-x")
    many = RUNS.assign(configuration_id=[f"cfg-{n}" for n in range(8)])
    with pytest.raises(ValueError, match=r"'cfg-7'\.$"):
        compare_configurations(many, "a", "cfg-0")
    lots = pd.concat([RUNS, RUNS]).iloc[:12].assign(configuration_id=list(map(str, range(12))))
    with pytest.raises(ValueError, match=r"'7' and 2 more\."):
        compare_configurations(lots, "a", "0")


def test_empty_frame_error_lists_no_configurations() -> None:
    with pytest.raises(ValueError, match="configurations are: none"):
        compare_configurations(RUNS.iloc[:0], "a", "b")


def test_comparison_needs_two_different_configurations() -> None:
    with pytest.raises(ValueError, match="both 'a': compare two different"):
        compare_configurations(RUNS, "a", "a")
    with pytest.raises(ValueError, match="Expected one configuration_id, got 2"):
        compare_configurations(RUNS, ["a", "b"], "a")
    with pytest.raises(TypeError, match="configuration_id"):
        compare_configurations(RUNS, None, "b")  # type: ignore[arg-type]


def test_configuration_may_be_a_frame() -> None:
    saved = pd.DataFrame({"configuration_id": ["b"], "name": ["Agentic"]})
    assert compare_configurations(RUNS, "a", saved).configuration_b.tolist() == ["b"]


def test_comparison_of_results_suggests_outcomes() -> None:
    with pytest.raises(ValueError, match=r"no column 'outcome': pass outcomes\(results"):
        compare_configurations(RUNS.drop(columns="outcome"), "a", "b")


def test_on_must_name_existing_columns() -> None:
    with pytest.raises(ValueError, match="no column 'file_id'"):
        compare_configurations(RUNS, "a", "b", on="file_id")
    with pytest.raises(ValueError, match="on is empty"):
        compare_configurations(RUNS, "a", "b", on=[])


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_comparison_confidence_must_be_between_0_and_1(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence="):
        compare_configurations(RUNS, "a", "b", confidence=confidence)
