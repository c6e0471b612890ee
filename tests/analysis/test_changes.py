"""Changes of failure rates: when, in which groups, and how sure."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.changes import CUSUM_LIMIT, cusum, rising_groups
from llama_batches_nb.analysis.intervals import quantile
from tests.strategies import batch_frames, some

WEEK = pd.Timedelta(weeks=1)
START = pd.Timestamp("2026-08-03", tz="UTC").as_unit("us")


def weekly_rates(*weeks: tuple[int, int], group: str = "a", batches: int = 20) -> pd.DataFrame:
    """Return the rates of one group with (failed, decided) per week, of independent files."""
    failed = pd.Series([k for k, _ in weeks])
    decided = pd.Series([n for _, n in weeks])
    return pd.DataFrame(
        {
            "group": group,
            "week": [START + n * WEEK for n in range(len(weeks))],
            "total": decided,
            "decided": decided,
            "failed": failed,
            "undecided": 0,
            "unreliable": pd.array([0] * len(weeks), dtype="Int64"),
            "failure_rate": failed / decided.where(decided > 0),
            "ci_low": 0.0,
            "ci_high": 1.0,
            "batches": pd.array([batches if n else 0 for _, n in weeks], dtype="Int64"),
            "n_effective": decided.astype("float64"),
        }
    )


def only(frame: pd.DataFrame) -> Any:
    """Return the only row of a frame."""
    (row,) = frame.to_dict("records")
    return SimpleNamespace(**{str(name): value for name, value in row.items()})


STEADY = [(5, 100)] * 8
RISEN = [(5, 100)] * 5 + [(15, 100)] * 3


def test_rise_is_dated() -> None:
    change = only(lb.rate_changes(weekly_rates(*RISEN)))
    assert change.group == "a"
    assert change.since == START + 5 * WEEK
    assert (change.rate_before, change.rate_after) == pytest.approx((0.05, 0.15))
    assert change.z > 4


def test_fall_has_negative_z() -> None:
    change = only(lb.rate_changes(weekly_rates(*RISEN[::-1])))
    assert change.since == START + 3 * WEEK
    assert change.z < -4


def test_statistic_is_the_signed_root_of_the_likelihood_ratio() -> None:
    change = only(lb.rate_changes(weekly_rates((5, 100), (30, 120))))

    def log_likelihood(k: int, n: int) -> float:
        return k * math.log(k / n) + (n - k) * math.log(1 - k / n)

    ratio = log_likelihood(5, 100) + log_likelihood(30, 120) - log_likelihood(35, 220)
    assert change.z == pytest.approx(math.sqrt(2 * ratio), rel=1e-12)


def test_only_changed_groups_are_listed() -> None:
    both = pd.concat([weekly_rates(*STEADY), weekly_rates(*RISEN, group="b")])
    assert lb.rate_changes(both).group.tolist() == ["b"]


def test_limit_grows_with_the_number_of_splits() -> None:
    alone = weekly_rates((5, 100), (15, 100))
    change = only(lb.rate_changes(alone, alpha=0.04))
    others = [weekly_rates(*STEADY, group=f"other {n}") for n in range(20)]
    assert quantile(1 - 0.04 / 2) < change.z < quantile(1 - 0.04 / (2 * 141))
    assert lb.rate_changes(pd.concat([alone, *others]), alpha=0.04).empty


def test_small_effective_size_hides_a_change() -> None:
    rates = weekly_rates(*RISEN)
    assert lb.rate_changes(rates.assign(n_effective=rates.n_effective / 10)).empty


def test_few_batches_raise_the_limit() -> None:
    rates = weekly_rates((5, 100), (16, 100), batches=1)
    assert lb.rate_changes(rates).empty
    assert len(lb.rate_changes(rates.assign(batches=20))) == 1


def test_weeks_without_decided_rows_are_skipped() -> None:
    gap = weekly_rates(*RISEN[:5], (0, 0), *RISEN[5:])
    assert lb.rate_changes(gap).since.tolist() == [START + 6 * WEEK]


def test_order_and_index_do_not_matter() -> None:
    both = pd.concat([weekly_rates(*RISEN), weekly_rates(*RISEN, group="b")])
    mixed = both.sample(frac=1, random_state=1)
    expected = lb.rate_changes(both)
    assert expected.group.tolist() == ["a", "b"]
    for frame in (mixed, mixed.set_axis([7] * len(mixed))):
        result = lb.rate_changes(frame).sort_values("group", ignore_index=True)
        pd.testing.assert_frame_equal(result, expected)


@pytest.mark.parametrize("rates", [weekly_rates(*STEADY), weekly_rates(*STEADY)[:0]])
def test_no_change_gives_an_empty_frame(rates: pd.DataFrame) -> None:
    changes = lb.rate_changes(rates)
    assert changes.empty
    expected = lb.rate_changes(weekly_rates(*RISEN))
    pd.testing.assert_series_equal(changes.dtypes, expected.dtypes)


def test_files_are_counted_per_week() -> None:
    created = [START + n * pd.Timedelta(hours=6) for n in range(400)]
    batches = pd.DataFrame({"batch_id": range(400), "status": "COMPLETED", "created_at": created})
    batches.loc[200::2, "status"] = "FAILED"
    change = only(lb.rate_changes(batches))
    assert change.since == START + 7 * WEEK
    pd.testing.assert_frame_equal(
        lb.rate_changes(pl.from_pandas(batches).lazy(), freq="W"), lb.rate_changes(batches)
    )


@pytest.mark.parametrize("alpha", [0, 1, 5, float("nan")])
def test_alpha_must_be_between_0_and_1(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha="):
        lb.rate_changes(weekly_rates(*RISEN), alpha=alpha)


def test_rates_without_periods_raise() -> None:
    with pytest.raises(ValueError, match=r"no column of periods: pass failure_rates\(…, freq="):
        lb.rate_changes(weekly_rates(*RISEN).drop(columns="week"))
    with pytest.raises(TypeError, match="alpha must be a number"):
        lb.rate_changes(weekly_rates(*RISEN), alpha="5 %")  # type: ignore[arg-type]


def test_arguments_that_contradict_the_rates_raise() -> None:
    rates = weekly_rates(*RISEN)
    pd.testing.assert_frame_equal(lb.rate_changes(rates, by="group"), lb.rate_changes(rates))
    with pytest.raises(ValueError, match="these rates are grouped by 'group': pass the frame"):
        lb.rate_changes(rates, by="configuration_id")
    with pytest.raises(ValueError, match="freq='D', but these rates have periods already"):
        lb.rate_changes(rates, freq="D")


@given(batch_frames(), st.sampled_from(["D", "W", "MS"]), st.sampled_from([None, "job_type"]))
@some
def test_changes_are_periods_of_their_group(frame: pd.DataFrame, freq: str, by: str | None) -> None:
    rates = lb.failure_rates(frame, by=by, freq=freq)
    changes = lb.rate_changes(rates)
    keys = [by] if by else []
    assert changes.columns.tolist() == [*keys, "since", "rate_before", "rate_after", "z"]
    assert not changes.duplicated(keys or None).any()
    assert changes.since.isin(rates.created_at).all()
    assert (np.sign(changes.z) == np.sign(changes.rate_after - changes.rate_before)).all()


# --- the CUSUM ----------------------------------------------------------------------------------


def path(*weeks: tuple[int, int], **options: Any) -> list[float]:
    return cusum(weekly_rates(*weeks, **options), ["group"], "week").tolist()


def test_cusum_stays_low_without_a_change() -> None:
    assert path(*STEADY) == [0.0] * 8
    assert max(path(*[(5, 100), (6, 100), (4, 100), (7, 100), (3, 100)])) < 1


def test_cusum_adds_up_deviations_from_the_past() -> None:
    first, second, third = path((5, 100), (15, 100), (15, 100))
    cells = [(5, 10), (95, 90), (15, 10), (85, 90)]  # observed, and expected of one common rate
    g = 2 * sum(seen * math.log(seen / expected) for seen, expected in cells)
    assert first == 0
    assert second == pytest.approx(math.sqrt(g) - 0.5)
    assert third > second


def test_cusum_keeps_order_and_index() -> None:
    rates = weekly_rates((5, 100), (15, 100), (0, 0), (15, 100)).set_axis([7, 7, 8, 9])
    result = cusum(rates[::-1], ["group"], "week")
    assert result.index.tolist() == [9, 8, 7, 7]
    assert np.isnan(result.iloc[1])
    assert result.iloc[0] > result.iloc[2] > result.iloc[3] == 0


def test_rising_group_is_listed_with_its_start() -> None:
    rises = [(5, 100)] * 8 + [(20, 100)] * 2
    both = pd.concat([weekly_rates(*rises), weekly_rates(*STEADY, group="b")])
    found = only(rising_groups(both, ["group"], "week"))
    assert (found.group, found.since) == ("a", START + 8 * WEEK)
    assert found.cusum > CUSUM_LIMIT
    assert rising_groups(both[:0], ["group"], "week").empty
    assert rising_groups(weekly_rates(*rises[::-1]), ["group"], "week").empty
