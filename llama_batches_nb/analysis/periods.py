"""Group times by calendar periods such as days, weeks and months."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import narwhals as nw
import pandas as pd

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame

_PERIOD_CODES = {"MS": "M", "ME": "M", "QS": "Q", "QE": "Q", "YS": "Y", "YE": "Y"}
_UNITS = {"Day": "1d", "Hour": "1h", "Minute": "1m"}


@dataclass(frozen=True)
class Period:
    """A calendar period. The engine truncates times to a day or less, and pandas does the rest."""

    unit: str  # to which the engine truncates, as Narwhals writes it
    freq: str  # pandas offset
    code: str | None = None  # pandas period, for weeks and longer

    @classmethod
    def from_freq(cls, freq: str) -> Self:
        """Parse a pandas offset, or raise `ValueError` if times cannot be grouped by it."""
        try:
            offset = pd.tseries.frequencies.to_offset(freq)
        except (ValueError, TypeError) as error:
            raise ValueError(f"freq={freq!r} is not a pandas offset such as 'D' or 'W'.") from error
        kind = type(offset).__name__
        if kind in _UNITS and offset.n > 0:
            return cls(_UNITS[kind], offset.freqstr)
        if kind == "Week" and offset.n == 1:
            return cls("1d", freq, offset.freqstr if "-" in offset.freqstr else "W-SUN")
        for alias, code in _PERIOD_CODES.items():
            if offset == pd.tseries.frequencies.to_offset(alias):
                return cls("1d", freq, code)
        raise ValueError(
            f"freq={freq!r} is not supported: use minutes ('min'), hours ('h'), days ('D'), "
            "weeks from Monday ('W'), months ('MS'), quarters ('QS') or years ('YS')."
        )

    def truncate(self, frame: Frame, column: str) -> Frame:
        """Truncate times in the engine, in UTC, so that few distinct ones are left."""
        frame = engines.convert_pandas_times(frame, column)
        dtype = frame.collect_schema()[column]
        if dtype != nw.Datetime:
            raise ValueError(f"freq needs times in the column {column!r}, which holds {dtype}.")
        unit = self.unit
        if getattr(dtype, "time_zone", None) not in (None, "UTC"):
            try:
                frame = frame.with_columns(nw.col(column).dt.convert_time_zone("UTC"))
            except NotImplementedError:  # SQL truncates in its session's zone; minutes are safe
                unit = "1m"
        return frame.with_columns(nw.col(column).dt.truncate(unit))

    def starts(self, times: pd.Series[Any]) -> pd.Series[Any]:
        """Return the start of the period that contains each time."""
        naive = engines.to_utc(times).dt.tz_localize(None)
        if self.code is None:
            starts = naive.dt.floor(self.freq)
        else:
            starts = naive.dt.to_period(self.code).dt.start_time
        return starts.dt.tz_localize("UTC").dt.as_unit("us")
