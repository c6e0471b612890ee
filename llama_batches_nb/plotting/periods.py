"""Periods on a time axis: their length, gaps between them, and where each ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from llama_batches_nb.messages import format_list, warn

if TYPE_CHECKING:
    from llama_batches_nb.types import Series

FIRST_YEAR, LAST_YEAR = 1700, 2200  # of times that pandas and matplotlib can place
GAP_FACTOR = 1.6  # period lengths between neighbours that make a gap; months differ by less


def period_length(freq: str) -> pd.Timedelta:
    """Return the length of a period. For calendar periods it is the length of a short one."""
    offset = pd.tseries.frequencies.to_offset(freq)
    start = pd.Timestamp(0) + offset
    return start + offset - start


def clear_far_times(times: Series) -> Series:
    """Return times without those of far years, which no chart can place, and warn of them."""
    far = times.notna() & ~times.dt.year.between(FIRST_YEAR, LAST_YEAR)
    if not far.any():
        return times
    years = format_list(sorted({f"{year:04d}" for year in times[far].dt.year.astype(int)}))
    warn(
        f"Times before {FIRST_YEAR} or after {LAST_YEAR} are not drawn and count as missing; the "
        f"years are {years}."
    )
    return times.mask(far)


def shortest_period(times: Series) -> pd.Timedelta:
    """Return the shortest time between neighbouring periods."""
    length: pd.Timedelta = times.drop_duplicates().sort_values().diff().min()
    return pd.Timedelta(days=1) if pd.isna(length) else length


def insert_gaps(line: pd.DataFrame, time: str, length: pd.Timedelta) -> pd.DataFrame:
    """Insert a row of missing values where a period is missing, so that the line breaks there."""
    is_gap = line[time].diff() > GAP_FACTOR * length
    gaps = pd.DataFrame({time: line.loc[is_gap, time] - length})
    return pd.concat([line, gaps]).sort_values(time) if len(gaps) else line


def period_ends(starts: Series, length: pd.Timedelta) -> Series:
    """Return the end of each period: the start of the next one, unless there is a gap."""
    to_next = starts.shift(-1) - starts
    return starts + to_next.where(to_next <= GAP_FACTOR * length, length)
