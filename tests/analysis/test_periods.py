"""Periods of a calendar in a time zone: where each begins and ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.analysis.periods import Period
from tests.strategies import batches

FREQS = ["h", "D", "2D", "W", "W-WED", "W-THU", "W-FRI", "MS", "QS", "YS"]
ZONES = ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
GAPS = ["America/Santiago", "Asia/Beirut"]  # some days have no midnight
IS_PANDAS_2 = int(pd.__version__.split(".")[0]) < 3


def times(first: str, last: str, step: str) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.date_range(first, last, freq=step, tz="UTC", unit="us"))


@pytest.mark.parametrize("freq", FREQS)
@pytest.mark.parametrize("zone", [*ZONES, *GAPS])
@pytest.mark.parametrize("year", [2011, 2026])
def test_each_period_ends_where_the_next_one_starts(freq: str, zone: str, year: int) -> None:
    period = Period.from_freq(freq, zone)
    given = times(f"{year}-02-01", f"{year + 1}-02-01", "57min")
    starts = period.starts(given, is_local=False)
    local = given.dt.tz_convert(zone)
    assert (starts <= local).all()
    distinct = starts.drop_duplicates().tolist()
    ends = [period.end(start) for start in distinct]
    assert ends[:-1] == distinct[1:]
    assert ends[-1] > local.iloc[-1]


@pytest.mark.parametrize("freq", ["W", "W-WED", "MS", "QS", "YS"])
def test_periods_start_where_those_of_pandas_do(freq: str) -> None:
    given = times("1700-01-01", "2200-01-01", "1009h")
    period = Period.from_freq(freq)
    starts = period.starts(given, is_local=False).dt.tz_localize(None)
    expected = given.dt.tz_localize(None).dt.to_period(period.code).dt.start_time
    np.testing.assert_array_equal(starts.to_numpy("M8[us]"), expected.to_numpy("M8[us]"))


@pytest.mark.parametrize("freq", FREQS)
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("time", ["0001-01-01", "1500-06-01", "9999-12-31 23:00"])
def test_rates_of_a_far_year_can_be_shown(freq: str, zone: str, time: str) -> None:
    frame = batches("FAILED", "COMPLETED")
    frame["created_at"] = pd.Timestamp(time, tz="UTC").as_unit("us")
    rates = lb.failure_rates(frame, freq=freq, tz=zone)
    assert rates.total.tolist() == [2]
    year = rates.created_at.dt.year.iloc[0]
    early = {1677, 1678} if IS_PANDAS_2 and zone != "UTC" else {1, 1500}
    assert year in ({9999} if time > "2000" else early)
    assert str(year) in repr(rates)


def test_missing_time_is_in_no_period() -> None:
    period = Period.from_freq("MS", "Asia/Tokyo")
    given = pd.Series([pd.Timestamp("2026-08-31 15:00", tz="UTC"), pd.NaT])
    first, second = period.starts(given, is_local=False)
    assert first == pd.Timestamp("2026-09-01", tz="Asia/Tokyo")
    assert pd.isna(second)
