"""The Kaplan-Meier median of durations of which some have not ended."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.analysis.durations import kaplan_meier_median
from tests.strategies import some

OBSERVED = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=30)


def by_definition(observed: list[tuple[int, bool]]) -> float:
    """Multiply the shares at each end in exact fractions."""
    share = Fraction(1)
    for time in sorted({time for time, has_ended in observed if has_ended}):
        lasting = sum(other >= time for other, _ in observed)
        share *= 1 - Fraction(sum(pair == (time, True) for pair in observed), lasting)
        if share <= Fraction(1, 2):
            return time
    return math.inf


@given(OBSERVED)
@some
def test_median_equals_the_definition_in_fractions(observed: list[tuple[int, bool]]) -> None:
    assert kaplan_meier_median(*zip(*observed, strict=True)) == by_definition(observed)


@given(OBSERVED.filter(lambda observed: any(ended for _, ended in observed)))
@some
def test_median_equals_that_of_the_curve_of_statsmodels(observed: list[tuple[int, bool]]) -> None:
    survfunc = pytest.importorskip("statsmodels.duration.survfunc")
    times, ended = map(np.array, zip(*observed, strict=True))
    curve = survfunc.SurvfuncRight(times + 1, ended)  # it ignores times of 0
    reached = curve.surv_times[curve.surv_prob <= 0.5 + 1e-9]
    expected = reached[0] if len(reached) else math.inf
    assert kaplan_meier_median(times + 1, ended) == expected


@pytest.mark.parametrize(
    ("n_running", "median"), [(0, 300.0), (10, 300.0), (11, math.inf)], ids=["0", "10", "11"]
)
def test_running_batches_count_as_lasting_longer(n_running: int, median: float) -> None:
    durations = [300.0] * 10 + [6 * 3600.0] * n_running
    assert kaplan_meier_median(durations, np.arange(10 + n_running) < 10) == median


def test_batches_that_are_left_out_early_say_little() -> None:
    """One that has run for a second may yet be short; one that has run for 9 s is not."""
    assert kaplan_meier_median([1, 1, 1, 2, 4, 6], [False] * 3 + [True] * 3) == 4
    assert kaplan_meier_median([9, 9, 9, 2, 4, 6], [False] * 3 + [True] * 3) == 6


def test_median_of_no_durations_is_missing() -> None:
    assert math.isnan(kaplan_meier_median([], []))
