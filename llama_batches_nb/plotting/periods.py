"""Periods on the axis of time: how long one is, where one is missing, where its bar ends."""

from __future__ import annotations

from typing import Any

import pandas as pd

LATE = 1.6  # steps between neighbours, months of 31 days included; more is a gap


def period_length(freq: str) -> pd.Timedelta:
    """Return how long a period is, the shorter ones of the calendar's."""
    offset = pd.tseries.frequencies.to_offset(freq)
    start = pd.Timestamp(0) + offset
    return start + offset - start


def shortest_step(times: pd.Series[Any]) -> pd.Timedelta:
    """Return the shortest time from one period to the next, of those that are there."""
    step: pd.Timedelta = times.drop_duplicates().sort_values().diff().min()
    return pd.Timedelta(days=1) if pd.isna(step) else step


def with_gaps(line: pd.DataFrame, time: str, step: pd.Timedelta) -> pd.DataFrame:
    """Put a row of missing numbers where a period is missing, so that no line crosses it."""
    missing = line[time].diff() > LATE * step
    gaps = pd.DataFrame({time: line.loc[missing, time] - step})
    return pd.concat([line, gaps]).sort_values(time) if len(gaps) else line


def ends_of(starts: pd.Series[Any], step: pd.Timedelta) -> pd.Series[Any]:
    """Return where each period ends: at the start of the next, or a step on if that is missing."""
    to_next = starts.shift(-1) - starts
    return starts + to_next.where(to_next <= LATE * step, step)
