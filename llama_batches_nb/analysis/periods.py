"""Group times by calendar periods such as days, weeks and months."""

from __future__ import annotations

import difflib
import zoneinfo
from dataclasses import dataclass
from typing import Any, Self

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.messages import did_you_mean
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame

_Times = npt.NDArray[np.datetime64]
_PERIOD_CODES = {"MS": "M", "ME": "M", "QS": "Q", "QE": "Q", "YS": "Y", "YE": "Y"}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FIRST, _LAST = np.datetime64("0001-01-01"), np.datetime64("9999-12-30")
"""What begins before or after is cut there, as Python has no other years, in any zone."""
_FIRST_LOCAL = _FIRST if int(pd.__version__.split(".")[0]) >= 3 else np.datetime64("1678-01-01")
"""pandas 2 ends the process when it prints an earlier time of a zone other than UTC."""
_DAY = pd.Timedelta(days=1).as_unit("us")  # pandas 2 has no nanoseconds of far years
LAST_TIME = pd.Timestamp("9999-12-29", tz="UTC")  # a day later has a local time in any zone
_UNITS = {"Day": "1d", "Hour": "1h", "Minute": "1m"}
_WORDS = {  # what users write, and the pandas offset for it
    **dict.fromkeys(("minute", "minutes", "minutely"), "min"),
    **dict.fromkeys(("hour", "hours", "hourly"), "h"),
    **dict.fromkeys(("d", "day", "days", "daily"), "D"),
    **dict.fromkeys(("w", "wk", "week", "weeks", "weekly"), "W"),
    **dict.fromkeys(("m", "month", "months", "monthly"), "MS"),
    **dict.fromkeys(("q", "quarter", "quarters", "quarterly"), "QS"),
    **dict.fromkeys(("y", "a", "year", "years", "yearly", "annual"), "YS"),
}


@dataclass(frozen=True)
class TruncatedTimes:
    """A frame whose times are truncated."""

    frame: Frame
    is_local: bool  # times are local ones without a zone, otherwise in UTC
    is_final: bool  # times of a period are equal


@dataclass(frozen=True)
class Period:
    """A calendar period. The engine truncates times to a day or less, and pandas does the rest."""

    unit: str  # to which the engine truncates, as Narwhals writes it
    freq: str  # pandas offset
    code: str | None = None  # pandas period such as "M" or "W-SUN", for weeks and longer
    tz: str = "UTC"  # zone in which periods start

    @classmethod
    def from_freq(cls, freq: str, tz: str = "UTC") -> Self:
        """Parse a pandas offset, or raise `ValueError` if times cannot be grouped by it."""
        parse_time_zone(tz)
        try:
            offset = pd.tseries.frequencies.to_offset(freq)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"freq={freq!r} is not a pandas offset such as 'D' or 'W'.{_suggestion(freq)}"
            ) from error
        kind = type(offset).__name__
        if kind in _UNITS and offset.n > 0:
            return cls(_UNITS[kind], offset.freqstr, tz=tz)
        if kind == "Week" and offset.n == 1:
            return cls("1d", freq, offset.freqstr if "-" in offset.freqstr else "W-SUN", tz)
        for alias, code in _PERIOD_CODES.items():
            if offset == pd.tseries.frequencies.to_offset(alias):
                return cls("1d", freq, code, tz)
        raise ValueError(
            f"freq={freq!r} is not supported: use minutes ('min'), hours ('h'), days ('D'), "
            "weeks from Monday ('W'), months ('MS'), quarters ('QS') or years ('YS')."
            f"{_suggestion(freq)}"
        )

    def truncate(self, frame: Frame, column: str) -> TruncatedTimes:
        """Truncate times in the engine, so that few distinct ones are left."""
        frame = engines.convert_pandas_times(frame, column)
        dtype = frame.collect_schema()[column]
        if dtype != nw.Datetime:
            raise ValueError(f"freq needs times in the column {column!r}, which holds {dtype}.")
        if self.tz != "UTC":
            frame = _cut_last_times(frame, column)
        times, zone = nw.col(column), getattr(dtype, "time_zone", None)
        unit = self.unit if self.tz == "UTC" else "1m"  # zones may differ by minutes
        if self.tz != "UTC" and self.unit == "1d":
            aware = times if zone else times.dt.replace_time_zone("UTC")
            local = aware.dt.convert_time_zone(self.tz).dt.replace_time_zone(None)
            try:
                frame = frame.with_columns(local.dt.truncate("1d"))
                return TruncatedTimes(frame, is_local=True, is_final=self.freq == "D")
            except NotImplementedError:  # SQL knows only the zone of its session
                pass
        if zone not in (None, "UTC"):
            try:
                frame = frame.with_columns(times.dt.convert_time_zone("UTC"))
            except NotImplementedError:  # SQL truncates in its session's zone; minutes are safe
                unit = "1m"
        is_final = unit == self.unit and self.freq in ("D", "h", "min")
        return TruncatedTimes(
            frame.with_columns(times.dt.truncate(unit)), is_local=False, is_final=is_final
        )

    def starts(self, times: pd.Series[Any], *, is_local: bool) -> pd.Series[Any]:
        """Return the start of the period that contains each time, in the zone of the period."""
        utc = engines.to_utc(times)  # or local times, whose zone does not matter
        local = (utc if is_local else utc.dt.tz_convert(self.tz)).dt.tz_localize(None)
        if self.code is None:
            firsts = np.asarray(local.dt.floor(self.freq))
        else:
            firsts = _first_days(local.to_numpy(), self.code)
        first = _FIRST if self.tz == "UTC" else _FIRST_LOCAL
        starts: pd.Series[Any] = pd.Series(np.clip(firsts, first, _LAST), local.index)
        # A day that starts twice starts the first time; an hour that occurs twice is two hours.
        earlier = _is_earlier_of_two(utc, self.tz) | (self.unit == "1d")
        aware = starts.dt.as_unit("us").dt.tz_localize(
            self.tz, ambiguous=earlier.to_numpy(), nonexistent="shift_forward"
        )
        return pd.Series(aware)

    def end(self, start: pd.Timestamp) -> pd.Timestamp:
        """Return the end of the period that starts at a time."""
        offset = pd.tseries.frequencies.to_offset(self.freq)
        if self.unit != "1d":
            return start + offset
        day: Any = start.tz_localize(None).to_datetime64().astype("datetime64[D]")
        if self.code is None:
            next_day = day - day.astype("int64") % offset.n + offset.n
        else:  # the day of the start is a later one if the first day does not exist
            first = _first_days(day, self.code).astype("datetime64[D]")
            months = _MONTHS.get(self.code)
            next_day = first + 7 if months is None else first.astype("datetime64[M]") + months
        local = pd.Timestamp(next_day.astype("datetime64[us]"))
        return local.tz_localize(start.tz, ambiguous=True, nonexistent="shift_forward")


def parse_time_zone(tz: str) -> str:
    """Return the name of a time zone, or raise an error if there is none of that name."""
    if not isinstance(tz, str):
        raise TypeError(f"tz must be the name of a time zone such as 'Europe/Berlin', not {tz!r}.")
    try:
        zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = did_you_mean(tz, sorted(zoneinfo.available_timezones()))
        raise ValueError(
            f"tz={tz!r} is not the name of a time zone such as 'Europe/Berlin'.{hint}"
        ) from error
    return tz


def _cut_last_times(frame: Frame, column: str) -> Frame:
    """Cut times of pandas that would be in the year 10000 in some zone."""
    native = frame.to_native()
    if not isinstance(native, pd.DataFrame):
        return frame
    times = native[column]
    last = LAST_TIME.tz_localize(None) if times.dt.tz is None else LAST_TIME
    late = times > last
    if not late.any():
        return frame
    return engines.add_pandas_columns(frame, times.mask(late, last).to_frame())


def _first_days(times: Any, code: str) -> _Times:
    """Return the first day of the period that contains each time.

    Periods of pandas 2 cannot hold a year before 1678 or after 2261.
    """
    days = times.astype("datetime64[D]")
    if code in _MONTHS:
        months = days.astype("datetime64[M]")
        since = months.astype("int64") % _MONTHS[code]  # 1970 begins a period of each length
        firsts: _Times = months - since.astype("timedelta64[M]")
    else:
        weekday = _WEEKDAYS.index(code.removeprefix("W-")) + 1
        since = (days.astype("int64") + 3 - weekday) % 7  # 1970-01-01 is a Thursday
        firsts = days - since.astype("timedelta64[D]")
    return firsts.astype("datetime64[us]")


def _is_earlier_of_two(utc: pd.Series[Any], tz: str) -> pd.Series[bool]:
    """Return where a local time that occurs twice, as clocks go back, is the earlier one."""
    local = utc.dt.tz_convert(tz).dt.tz_localize(None)
    offset = local - utc.dt.tz_localize(None)
    later = utc.mask(utc > LAST_TIME, LAST_TIME) + _DAY
    is_earlier: pd.Series[bool] = offset > (
        later.dt.tz_convert(tz).dt.tz_localize(None) - later.dt.tz_localize(None)
    )
    return is_earlier


def _suggestion(freq: object) -> str:
    word = str(freq).strip().casefold()
    close = difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.75)
    return f" Did you mean {_WORDS[close[0]]!r}?" if close else ""
