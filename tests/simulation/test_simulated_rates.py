"""Intervals and marks on simulated histories: coverage, width, false marks, power."""

from __future__ import annotations

import pytest

from tests.simulation.histories import (
    RATE,
    change_point,
    change_point_of_first_line,
    coverage,
    cusum_alarm,
    share_found,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("icc", [0.0, 0.02, 0.05, 0.1, 0.3])
def test_interval_contains_the_rate_in_93_to_98_percent(icc: float) -> None:
    share, width = coverage(icc, repeats=30, seed=1)
    assert 0.93 <= share <= 0.98
    if icc == 0:
        assert width <= 1.1


def test_interval_that_ignores_batches_is_too_narrow() -> None:
    share, _ = coverage(0.05, repeats=5, seed=1, by_batch=False)
    assert share < 0.5


@pytest.mark.parametrize("icc", [0.0, 0.006, 0.05])
def test_few_histories_without_a_change_have_a_mark(icc: float) -> None:
    assert share_found(change_point, icc, repeats=40, seed=2) <= 0.1
    assert share_found(cusum_alarm, icc, repeats=40, seed=2) <= 0.1


@pytest.mark.parametrize(("icc", "least"), [(0.006, 0.9), (0.02, 0.5), (0.05, 0.2)])
def test_doubling_of_a_rate_is_found(icc: float, least: float) -> None:
    found = share_found(change_point_of_first_line, icc, repeats=30, seed=3, new_rate=2 * RATE)
    assert found >= least
