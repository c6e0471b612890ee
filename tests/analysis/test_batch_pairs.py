"""Comparison of configurations whose files fail together by batch, by simulation."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.analysis.batch_pairs import BatchPairs, Selection
from llama_batches_nb.analysis.compare import compare_configurations
from tests.strategies import some

RATE = 0.05
Random = np.random.Generator


def batch_rates(draw: Random, rate: float, icc: float, n: int) -> npt.NDArray[np.float64]:
    """Return the failure rates of batches, which differ by the intra-class correlation."""
    size = 1 / icc - 1
    return draw.beta(rate * size, (1 - rate) * size, n)


def simulated_pairs(draw: Random, n_pairs: int, icc: float, rate_b: float = RATE) -> pd.DataFrame:
    """Return the table of `BatchPairs.from_table`: each pair of batches runs the same files."""
    n = draw.integers(4, 996, n_pairs)
    a = batch_rates(draw, RATE, icc, n_pairs)
    b = batch_rates(draw, rate_b, icc, n_pairs)
    cells = draw.multinomial(
        n, np.column_stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    )
    return pd.DataFrame(
        [
            (pair, n_pairs + pair, cell % 2, cell // 2, cells[pair, cell])
            for pair in range(n_pairs)
            for cell in range(4)
        ],
        columns=["batch_a", "batch_b", "failed_a", "failed_b", "n"],
    )


def table(*differences: int, size: int = 100) -> pd.DataFrame:
    """Return pairs of batches of `size` files, with these differences."""
    rows = [(n, -n - 1, int(d < 0), int(d > 0), abs(d)) for n, d in enumerate(differences)]
    rows += [(n, -n - 1, 0, 0, size - abs(d)) for n, d in enumerate(differences)]
    return pd.DataFrame(rows, columns=["batch_a", "batch_b", "failed_a", "failed_b", "n"])


def p_value(*differences: int) -> float:
    return BatchPairs.from_table(table(*differences)).p_value()


# --- the test -----------------------------------------------------------------------------------


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=9))
@some
def test_p_value_is_share_of_sign_flips_at_least_as_extreme(differences: list[int]) -> None:
    observed = abs(sum(differences))
    flips = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True))) >= observed
        for signs in product((-1, 1), repeat=len(differences))
    ]
    assert p_value(*differences) == pytest.approx(np.mean(flips))


def test_p_value_of_many_clusters_is_that_of_obuchowskis_z() -> None:
    differences = [3, -1, 4, 1, -5, 9, 2, 6, 5, 3, 5, 8, 9, 7]
    z = sum(differences) / math.sqrt(sum(d * d for d in differences))
    assert z == pytest.approx(2.7132, abs=1e-4)
    assert p_value(*differences) == pytest.approx(2 * NormalDist().cdf(-z))


def test_clusters_without_difference_do_not_change_the_p_value() -> None:
    assert p_value(1, 2, 3, 4, 5, 6) == p_value(1, 2, 3, 4, 5, 6, *[0] * 20) == 2 / 64


def test_interval_is_that_of_the_variance_between_clusters() -> None:
    """With equal sizes it is the t interval of the mean of d ÷ size: scipy.stats.t.interval."""
    shares = np.array([-4, 1, 0, 7, 3, -2]) / 100
    low, high = BatchPairs.from_table(table(-4, 1, 0, 7, 3, -2)).interval(0.95)
    half = 2.5705818356363146 * shares.std(ddof=1) / math.sqrt(6)
    assert (low, high) == pytest.approx((shares.mean() - half, shares.mean() + half))


def test_interval_without_variance_between_clusters_has_a_width() -> None:
    low, high = BatchPairs.from_table(table(*[0] * 6)).interval(0.95)
    assert low < 0 < high


def test_pairs_linked_by_a_batch_are_one_cluster() -> None:
    pairs = pd.DataFrame(
        {"batch_a": [1, 1, 2, 3], "batch_b": [11, 12, 12, 13], "failed_a": 1, "failed_b": 0, "n": 5}
    )
    clusters = BatchPairs.from_table(pairs)
    assert sorted(clusters.sizes) == [5, 15]
    assert sorted(clusters.differences) == [-15, -5]


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("n_pairs", [1, 5, 6, 9, 13, 20])
def test_equal_configurations_are_called_different_in_five_percent(
    n_pairs: int, icc: float
) -> None:
    draw = np.random.default_rng(n_pairs)
    found = [BatchPairs.from_table(simulated_pairs(draw, n_pairs, icc)) for _ in range(400)]
    different = float(np.mean([pairs.p_value() <= 0.05 for pairs in found]))
    if n_pairs < 6:
        assert different == 0
    else:
        assert different <= 0.08
    if n_pairs > 1:
        intervals = [pairs.interval(0.95) for pairs in found]
        assert np.mean([low <= 0 <= high for low, high in intervals]) >= 0.9


@pytest.mark.parametrize(("n_pairs", "power"), [(8, 0.7), (20, 0.95)])
def test_doubled_rate_is_found(n_pairs: int, power: float) -> None:
    draw = np.random.default_rng(2)
    found = [
        BatchPairs.from_table(simulated_pairs(draw, n_pairs, 0.01, 2 * RATE)).p_value() <= 0.05
        for _ in range(200)
    ]
    assert np.mean(found) > power


# --- files chosen by their failure --------------------------------------------------------------


def history(
    draw: Random, n_batches: int, icc: float, run_again: Any, rate_b: float = RATE
) -> pd.DataFrame:
    """Return outcomes of batches under "a", and of the files that are run again under "b"."""
    parts = []
    for batch, rate in enumerate(batch_rates(draw, RATE, icc, n_batches)):
        failed = draw.random(200) < rate
        again = run_again(failed)
        second = draw.random(200) < batch_rates(draw, rate_b, icc, 1)
        ids = np.array([f"fil-{batch}-{n}" for n in range(200)])
        for name, chosen, failures in (("a", ids == ids, failed), ("b", again, second)):
            parts.append(
                pd.DataFrame(
                    {
                        "file_id": ids[chosen],
                        "configuration_id": name,
                        "batch_id": f"{name}-{batch}",
                        "batch_created_at": pd.Timestamp(2026, 8, 1 + (name == "b"), tz="UTC"),
                        "outcome": np.where(failures[chosen], "job_failed", "succeeded"),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.001, 0.05, 0.1])
@pytest.mark.parametrize("n_batches", [1, 6, 20])
def test_retried_failures_give_no_verdict(n_batches: int, icc: float) -> None:
    for seed in range(3):
        draw = np.random.default_rng(seed)
        runs = history(draw, n_batches, icc, lambda failed: failed)
        if not (runs.configuration_id == "b").any():
            continue
        row = compare_configurations(runs, "a", "b", on="file_id").iloc[0]
        assert math.isnan(row.p_value)
        assert math.isnan(row.ci_low)
        assert row.failure_rate_a == 1
        swapped = compare_configurations(runs, "b", "a", on="file_id").iloc[0]
        for conclusion in (row.conclusion, swapped.conclusion):
            assert "chosen because they failed under a. There 100.0 % of them failed" in conclusion


def test_failures_among_other_files_run_again_give_no_verdict() -> None:
    for seed in range(3):
        draw = np.random.default_rng(seed)
        runs = history(draw, 12, 0.02, lambda failed: failed | (np.arange(200) < 50))
        conclusion = compare_configurations(runs, "a", "b", on="file_id").conclusion[0]
        assert conclusion.startswith("No verdict: ")


def test_files_chosen_without_their_outcome_give_a_verdict() -> None:
    verdicts = 0
    for seed in range(5):
        draw = np.random.default_rng(seed)
        runs = history(draw, 12, 0.02, lambda failed: np.arange(len(failed)) % 2 == 0, 3 * RATE)
        conclusion = compare_configurations(runs, "a", "b", on="file_id").conclusion[0]
        assert not conclusion.startswith("No verdict")
        verdicts += "fewer failed under a" in conclusion
    assert verdicts == 5


@pytest.mark.parametrize("icc", [0.001, 0.02, 0.1])
def test_batches_run_again_at_random_are_seldom_refused(icc: float) -> None:
    draw = np.random.default_rng(3)
    refused = 0
    for _ in range(300):
        sides = []
        for n_batches in (10, 10):
            n = draw.integers(4, 996, n_batches)
            failed = draw.binomial(n, batch_rates(draw, RATE, icc, n_batches))
            sides.append((n, failed))
        (paired, paired_failed), (alone, alone_failed) = sides
        none = np.zeros(10)
        refused += Selection(
            np.r_[paired, none].astype(float),
            np.r_[paired_failed, none].astype(float),
            np.r_[none, alone].astype(float),
            np.r_[none, alone_failed].astype(float),
        ).is_by_failure()
    assert refused <= 6
