"""Quantiles, and intervals on the effective size of clustered rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.intervals import quantile, wilson
from llama_batches_nb.analysis.rates import RATE_COLUMNS, format_rate
from tests.strategies import some

WEEK = pd.Timedelta(weeks=1)


def clustered_files(*batches: tuple[int, int], per_week: int = 1, **columns: str) -> pd.DataFrame:
    """Return the files of batches of (decided, failed), `per_week` batches a week."""
    parts = [
        pd.DataFrame(
            {
                "batch_id": f"bat-{n}",
                "batch_status": "COMPLETED",
                "batch_created_at": pd.Timestamp("2026-08-03", tz="UTC") + n // per_week * WEEK,
                "outcome": ["job_failed"] * failed + ["succeeded"] * (decided - failed),
            }
        )
        for n, (decided, failed) in enumerate(batches)
    ]
    return pd.concat(parts, ignore_index=True).assign(**columns)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 9, 10, 29, 200])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.995, 0.99999, 0.025])
def test_t_quantile_is_that_of_scipy(probability: float, df: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    # SciPy 1.11 itself is exact to about eight digits
    assert quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-8)


@pytest.mark.parametrize("probability", [0.001, 0.025, 0.3, 0.5, 0.75, 0.975, 0.9999])
def test_t_quantile_has_closed_forms(probability: float) -> None:
    cauchy = math.tan(math.pi * (probability - 0.5))
    assert quantile(probability, 1) == pytest.approx(cauchy, rel=1e-11, abs=1e-15)
    variance = 2 * probability * (1 - probability)
    two = (2 * probability - 1) / math.sqrt(variance)
    assert quantile(probability, 2) == pytest.approx(two, rel=1e-11, abs=1e-15)


@pytest.mark.parametrize(("df", "expected"), [(5, 2.5705818), (9, 2.2621572), (30, 2.0422725)])
def test_t_quantile_has_tabulated_values(df: int, expected: float) -> None:
    assert quantile(0.975, df) == pytest.approx(expected, abs=1e-7)
    assert quantile(0.025, df) == pytest.approx(-expected, abs=1e-7)


def test_t_quantile_approaches_the_normal_one() -> None:
    assert quantile(0.975) == pytest.approx(1.959963984540054, rel=1e-12)
    ahead = [quantile(0.975, df) for df in (1, 2, 3, 10, 100, 1000)]
    assert ahead == sorted(ahead, reverse=True)
    assert ahead[-1] == pytest.approx(quantile(0.975), rel=2e-3)


def test_wilson_is_that_of_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for failed, decided in [(0, 7), (1, 7), (30, 1000), (7, 7)]:
        expected = proportion.proportion_confint(failed, decided, method="wilson")
        assert np.ravel(wilson([failed], [decided], 0.95)) == pytest.approx(expected, abs=1e-12)


def analysis_of_variance(batches: list[tuple[int, int]]) -> float:
    """Return the ICC of one group of batches, computed from single files."""
    values = [[1.0] * failed + [0.0] * (n - failed) for n, failed in batches]
    every = np.concatenate(values)
    j, n = len(values), len(every)
    between = sum(len(v) * (np.mean(v) - every.mean()) ** 2 for v in values) / (j - 1)
    within = sum(((np.asarray(v) - np.mean(v)) ** 2).sum() for v in values) / (n - j)
    size = (n - sum(len(v) ** 2 for v in values) / n) / (j - 1)
    return float((between - within) / (between + (size - 1) * within))


SPREAD = [(40, 1), (60, 20), (10, 0), (200, 4), (30, 15), (80, 8), (5, 0), (90, 2)] * 2


def test_effective_size_follows_from_analysis_of_variance() -> None:
    rate = lb.failure_rates(clustered_files(*SPREAD)).iloc[0]
    icc, n = analysis_of_variance(SPREAD), sum(decided for decided, _ in SPREAD)
    assert 0.1 < icc < 0.3
    design_effect = 1 + icc * (sum(decided**2 for decided, _ in SPREAD) / n - 1)
    assert rate.n_effective == pytest.approx(n / design_effect, rel=1e-9)
    assert rate.batches == len(SPREAD)
    ends = np.ravel(wilson([rate.failure_rate * rate.n_effective], [rate.n_effective], 0.95))
    assert [rate.ci_low, rate.ci_high] == pytest.approx(ends.tolist(), rel=1e-12)


def test_correlation_is_estimated_over_all_groups() -> None:
    steady = clustered_files(*[(50, 5)] * 12, configuration_id="steady")
    spread = clustered_files(*SPREAD, configuration_id="spread").replace({"bat": "x"}, regex=True)
    rates = lb.failure_rates(pd.concat([steady, spread]), by="configuration_id")
    assert rates.configuration_id.tolist() == ["spread", "steady"]
    assert (rates.n_effective < rates.decided).all()  # the steady group shares the correlation


def test_batches_that_fail_alike_count_as_independent_files() -> None:
    files = clustered_files(*[(20, 1)] * 12)
    clustered, plain = lb.failure_rates(files), lb.failure_rates(files, cluster=None)
    assert clustered.n_effective[0] == clustered.decided[0] == 240
    pd.testing.assert_frame_equal(clustered[RATE_COLUMNS], plain[RATE_COLUMNS])
    assert clustered.batches[0] == 12
    assert plain.batches.isna().all()


def test_frame_without_batch_id_has_interval_of_wilson() -> None:
    files = clustered_files(*SPREAD)
    pd.testing.assert_frame_equal(
        lb.failure_rates(files.drop(columns="batch_id")), lb.failure_rates(files, cluster=None)
    )


def test_batches_of_single_files_are_independent() -> None:
    files = clustered_files(*[(1, n % 3 == 0) for n in range(6)])
    rates, plain = lb.failure_rates(files), lb.failure_rates(files, cluster=None)
    pd.testing.assert_frame_equal(rates[RATE_COLUMNS], plain[RATE_COLUMNS])


def test_few_batches_use_students_t() -> None:
    few = [(40, 1), (60, 20), (10, 0), (200, 4)]
    rate = lb.failure_rates(clustered_files(*few)).iloc[0]
    failed = [rate.failure_rate * rate.n_effective]
    low, high = wilson(failed, [rate.n_effective], 0.95, df=3)
    assert (rate.ci_low, rate.ci_high) == pytest.approx((low[0], high[0]), rel=1e-12)
    assert high[0] > wilson(failed, [rate.n_effective], 0.95)[1][0]


def test_one_batch_has_interval_of_its_files_only() -> None:
    files = clustered_files((40, 4))
    rates, plain = lb.failure_rates(files), lb.failure_rates(files, cluster=None)
    pd.testing.assert_frame_equal(rates[RATE_COLUMNS], plain[RATE_COLUMNS])
    assert format_rate(rates.iloc[0]) == (
        "10.0 % (4 of 40 files in 1 batch; 4.0–23.1 for these files only)"
    )
    assert format_rate(plain.iloc[0]) == "10.0 % (4 of 40; 4.0–23.1 for these rows only)"


def test_periods_of_one_batch_share_the_correlation_of_their_group() -> None:
    files = clustered_files(*SPREAD)  # one batch a week: the periods alone are not enough
    weekly = lb.failure_rates(files, freq="W")
    icc = analysis_of_variance(SPREAD)
    expected = weekly.decided / (1 + icc * (weekly.decided - 1))
    assert weekly.n_effective.tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def test_batch_over_several_days_is_one_cluster_of_its_week() -> None:
    files = clustered_files(*SPREAD, per_week=2)
    days = pd.to_timedelta(np.arange(len(files)) % 7, unit="D")
    spread = files.assign(batch_created_at=files.batch_created_at + days)
    pd.testing.assert_frame_equal(
        lb.failure_rates(spread, freq="W"), lb.failure_rates(files, freq="W")
    )


def test_format_rate_shows_batches() -> None:
    rate = lb.failure_rates(clustered_files(*SPREAD)).iloc[0]
    assert format_rate(rate).startswith("9.7 % (100 of 1,030 files in 16 batches; ")


def test_files_of_failed_batches_are_unreliable() -> None:
    good, bad = clustered_files((10, 1)), clustered_files((30, 0)).assign(batch_status="FAILED")
    both = pd.concat([good, bad.assign(batch_id="bad")])
    rate = lb.failure_rates(both).iloc[0]
    assert rate[["total", "failed", "undecided", "unreliable", "batches"]].tolist() == [
        10, 1, 0, 30, 1,
    ]  # fmt: skip
    (only_bad, only_good) = lb.failure_rates(both, by="batch_id").itertuples()
    assert (only_bad.total, only_bad.unreliable) == (0, 30)
    assert (only_good.total, only_good.unreliable) == (10, 0)
    assert lb.failure_rates(both.drop(columns="batch_status")).unreliable.isna().all()


BATCHES = st.lists(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
    max_size=25,
)


@given(BATCHES, st.sampled_from([None, "W", "MS"]), st.integers(1, 3), st.randoms())
@some
def test_effective_size_is_between_batches_and_files(
    batches: list[tuple[int, int]], freq: str | None, per_week: int, random: object
) -> None:
    files = clustered_files(*batches, per_week=per_week)
    rates = lb.failure_rates(files, freq=freq)
    assert (rates.n_effective <= rates.decided + 1e-9).all()
    assert (rates.batches <= rates.decided).all()
    assert rates.batches.sum() == sum(decided > 0 for decided, _ in batches)
    decided = rates[rates.decided > 0]
    assert (decided.n_effective > 1 - 1e-9).all()
    assert (decided.ci_low <= decided.failure_rate).all()
    assert (decided.failure_rate <= decided.ci_high).all()
    shuffled = files.sample(frac=1, random_state=random.randrange(1000))  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(lb.failure_rates(shuffled, freq=freq), rates, rtol=1e-12)


def test_unknown_cluster_column_raises() -> None:
    with pytest.raises(ValueError, match=r"no column 'batch'.*Did you mean 'batch_id'"):
        lb.failure_rates(clustered_files((3, 1)), cluster="batch")
    with pytest.raises(TypeError, match="cluster must be a column name or None, not 3"):
        lb.failure_rates(clustered_files((3, 1)), cluster=3)  # type: ignore[arg-type]


def test_interval_without_decided_rows_is_missing() -> None:
    rate = lb.failure_rates(clustered_files((3, 1)).assign(outcome="job_running")).iloc[0]
    assert all(pd.isna(rate[name]) for name in RATE_COLUMNS)
    assert (rate.batches, rate.n_effective, rate.undecided) == (0, 0.0, 3)
