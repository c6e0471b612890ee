"""Significant increases of failure rates."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.changes import significant_increases
from tests.strategies import batch_frames, some


def rates(*intervals: tuple[float, float] | None, group: str = "a") -> pd.DataFrame:
    """Return periods with these intervals, None for one in which nothing is decided."""
    starts = pd.date_range("2026-08-03", periods=len(intervals), freq="7D", tz="UTC")
    low, high = zip(*(one or (None, None) for one in intervals), strict=True)
    decided = [0 if one is None else 10 for one in intervals]
    return pd.DataFrame(
        {
            "group": group,
            "week": starts,
            "decided": decided,
            "ci_low": pd.Series(low, dtype="float64"),
            "ci_high": pd.Series(high, dtype="float64"),
        }
    )


def test_separate_higher_interval_is_significant_increase() -> None:
    result = significant_increases(rates((0.1, 0.2), (0.3, 0.4), (0.35, 0.5), (0.1, 0.2)), "week")
    assert result.tolist() == [False, True, False, False]
    assert result.dtype == bool


def test_touching_intervals_are_not_significant() -> None:
    assert not significant_increases(rates((0.1, 0.2), (0.2, 0.4)), "week").any()


def test_undecided_periods_are_skipped() -> None:
    assert significant_increases(rates((0.1, 0.2), None, (0.3, 0.4)), "week").tolist() == [
        False,
        False,
        True,
    ]


def test_each_group_is_compared_with_itself() -> None:
    both = pd.concat([rates((0.1, 0.2), (0.1, 0.3)), rates((0.5, 0.6), (0.7, 0.8), group="b")])
    mixed = both.sort_values("week", kind="stable")
    assert significant_increases(mixed, "week", ["group"]).tolist() == [False, False, False, True]


def test_increases_keep_order_and_index() -> None:
    backwards = rates((0.1, 0.2), (0.3, 0.4))[::-1].set_axis([7, 7])
    result = significant_increases(backwards, "week")
    assert result.tolist() == [True, False]
    assert result.index.tolist() == [7, 7]


def test_missing_time_is_not_significant() -> None:
    frame = rates((0.1, 0.2), (0.3, 0.4))
    frame.loc[1, "week"] = pd.NaT
    assert not significant_increases(frame, "week").any()
    assert significant_increases(frame[:0], "week").tolist() == []


@given(batch_frames(), st.sampled_from(["D", "W", "MS"]), st.sampled_from([None, "job_type"]))
@some
def test_significant_increase_starts_above_an_earlier_interval(
    frame: pd.DataFrame, freq: str, by: str | None
) -> None:
    result = lb.failure_rates(frame, by=by, freq=freq)
    keys = [by] if by else []
    risen = result[significant_increases(result, "created_at", keys)]
    for _, row in risen.iterrows():
        same = result[result[by].eq(row[by]) | result[by].isna()] if by else result
        before = same[(same.created_at < row.created_at) & (same.decided > 0)]
        assert (before.ci_high < row.ci_low).any()
