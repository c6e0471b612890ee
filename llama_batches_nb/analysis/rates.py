"""Failure rates with their intervals, per group and period. Pure; engines do the grouping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import aggregate

COUNT_COLUMNS = ["total", "decided", "failed"]
RATE_COLUMNS = ["failure_rate", "ci_low", "ci_high"]

_PERIODS = {"MS": "M", "ME": "M", "QS": "Q", "QE": "Q", "YS": "Y", "YE": "Y"}
_UNITS = {"Day": "1d", "Hour": "1h", "Minute": "1m"}


@dataclass(frozen=True)
class FrameKind:
    """How a kind of frame tells failures from successes, and what one row of it is."""

    column: str
    failures: tuple[str, ...]
    successes: tuple[str, ...]
    time: str
    noun: str
    layer: str


BATCHES_KIND = FrameKind("status", ("FAILED",), ("COMPLETED",), "created_at", "batches", "batch")
JOBS_KIND = FrameKind("status", ("FAILED",), ("COMPLETED",), "created_at", "jobs", "job")
OUTCOMES_KIND = FrameKind(
    "outcome",
    ("mapping_error", "job_failed"),
    ("succeeded", "mapped"),
    "batch_created_at",
    "files",
    "mapping or job",
)
RESULTS_KIND = FrameKind(
    "_mapping", ("mapping_error",), ("mapped",), "batch_created_at", "files", "mapping"
)


def failure_rates(
    frame: Any,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return failed ÷ decided per group, with the interval that the number of rows leaves open.

    Parameters
    ----------
    frame
        What is counted follows from the columns:

        - batches (``status``): ``FAILED`` against ``COMPLETED``;
        - results (``job_id``, ``error_message``): files that got no job against mapped ones;
        - outcomes (``outcome``): ``mapping_error`` or ``job_failed`` against ``succeeded``;
        - jobs (``status``): ``FAILED`` against ``COMPLETED``.

        Files of a ``FAILED`` batch are no reliable set and are left out. It may be pandas, or what
        else Narwhals takes: the grouping runs there.
    by
        A column or several to group by. Rows without a value form a group of their own.
    freq
        A pandas offset such as ``"D"``, ``"W"`` (Monday to Sunday) or ``"MS"``: also group by the
        period of creation, in UTC, named by its start.
    confidence
        Of the interval, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted by its keys; the keys, with the dtypes of the fetch functions
        whatever the engine (text and categories of pandas stay what they are), then

        ============= ======== ==================================================
        total         int64    rows of the group
        decided       int64    of these, successes and failures
        failed        int64    of these, failures
        failure_rate  float64  failed ÷ decided; missing where nothing is decided
        ci_low        float64  the Wilson score interval of the rate
        ci_high       float64
        ============= ======== ==================================================

    Raises
    ------
    ValueError
        If the frame is none of these kinds, or results with a column ``status``, which may be the
        batch's or the job's; if it lacks a column of `by`, or `freq` or `confidence` makes no
        sense.

    Notes
    -----
    The interval is Wilson's, without continuity correction (E. B. Wilson 1927, "Probable
    inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22,
    209-212): it stays inside 0 and 1, and says something where there were no failures.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> batches = pd.DataFrame({"batch_id": list("abcd"), "job_type": ["parse_v2"] * 4,
    ...                         "status": ["COMPLETED", "COMPLETED", "FAILED", "RUNNING"]})
    >>> lb.failure_rates(batches, by="job_type").round(3)
       job_type  total  decided  failed  failure_rate  ci_low  ci_high
    0  parse_v2      4        3       1         0.333   0.061    0.792
    """
    confidence = arguments.parse_confidence(confidence)
    keys = arguments.parse_column_names("by", by)
    if not {*COUNT_COLUMNS, *RATE_COLUMNS}.isdisjoint(keys):
        raise ValueError(f"by={by!r}: the answer has a column of that name too, so rename yours.")
    kind = detect_kind(frame)
    period = None if freq is None else _Period.of(freq)
    engines.check_columns(frame, *keys, *([kind.time] if period else []))
    rows = flag_failures(engines.wrap_frame(frame), kind, *keys, *([kind.time] if period else []))
    if period:
        if kind.time in keys:
            raise ValueError(f"by={by!r} and freq={freq!r} both group by {kind.time!r}: leave one.")
        rows = _truncate_times(rows, kind.time, period.unit)
        keys.append(kind.time)
    sums = (nw.col("_decided").sum().alias("decided"), nw.col("_failed").sum().alias("failed"))
    rates = aggregate(rows, keys, nw.len().alias("total"), *sums)
    if period:
        starts = rates.assign(**{kind.time: period.starts(rates[kind.time])})
        rates = starts.groupby(keys, dropna=False, observed=True, as_index=False)[
            COUNT_COLUMNS
        ].sum()
    low, high = wilson(rates["failed"].to_numpy(), rates["decided"].to_numpy(), confidence)
    with np.errstate(invalid="ignore"):
        rate = rates["failed"].to_numpy() / rates["decided"].to_numpy()
    return rates.assign(failure_rate=rate, ci_low=low, ci_high=high)


def format_rate(rate: pd.Series[Any]) -> str:
    """Return one row of `failure_rates` in words: ``3.9 % (1,871 of 47,873; 3.7-4.1)``."""
    total, decided, failed = (int(rate[name]) for name in COUNT_COLUMNS)
    if not decided:
        return f"none of {total:,} decided"
    share, low, high = (100 * rate[name] for name in RATE_COLUMNS)
    return f"{share:.1f} % ({failed:,} of {decided:,}; {low:.1f}–{high:.1f})"


def detect_kind(frame: Any) -> FrameKind:
    """Tell by its columns what a frame holds."""
    columns = set(map(str, engines.column_names(frame)))
    if "outcome" in columns:
        return OUTCOMES_KIND
    if columns >= {"job_id", "error_message", "batch_status", "status"}:
        raise ValueError(
            "Results with a column 'status', which may be their batches' or their jobs': rename it "
            "to judge files by their mapping, or judge them by outcomes(results, jobs)."
        )
    if columns >= {"job_id", "error_message"} and "status" not in columns:
        return RESULTS_KIND
    if "status" in columns:
        return JOBS_KIND if "job_id" in columns else BATCHES_KIND
    raise ValueError(
        "Failure rates need the frame of fetch_batches, fetch_results, fetch_jobs or outcomes; "
        f"this one has the columns {', '.join(sorted(columns)) or '(none)'}."
    )


def flag_failures(frame: Any, kind: FrameKind, *kept: str) -> Any:
    """Return the rows that count, with 0 or 1 for decided and for failed, and the columns `kept`.

    The others are left at once: Dask would read and carry them all behind a filter.
    """
    told = ("job_id", "error_message") if kind is RESULTS_KIND else (kind.column,)
    there = frame.collect_schema().names()
    frame = frame.select(name for name in there if name in (*told, *kept, "batch_status"))
    if "batch_status" in there:
        status = nw.col("batch_status").cast(nw.String)
        frame = frame.filter(status.is_null() | (status != "FAILED"))
    if kind is RESULTS_KIND:
        unmappable = ~nw.col("error_message").is_null() & (nw.col("error_message") != "")
        has_job = ~nw.col("job_id").is_null()
        failed, decided = unmappable, unmappable | has_job
    else:
        word = nw.col(kind.column).cast(nw.String)
        failed = word.is_in(kind.failures)
        decided = word.is_in((*kind.failures, *kind.successes))
    return frame.with_columns(
        nw.when(decided).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64).alias("_decided"),
        nw.when(failed).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64).alias("_failed"),
    )


def _truncate_times(frame: Any, time: str, unit: str) -> Any:
    """Cut times in the engine: to the unit, in UTC."""
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):  # it has zones that Narwhals does not know
        frame = nw.from_native(native.assign(**{time: engines.to_utc(native[time])}))
    dtype = frame.collect_schema()[time]
    if dtype != nw.Datetime:
        raise ValueError(f"freq needs times in the column {time!r}, which holds {dtype}.")
    if dtype.time_zone not in (None, "UTC"):
        try:
            frame = frame.with_columns(nw.col(time).dt.convert_time_zone("UTC"))
        except NotImplementedError:  # SQL cuts in its session's zone; minutes are one in all
            unit = "1m"
    return frame.with_columns(nw.col(time).dt.truncate(unit))


@dataclass(frozen=True)
class _Period:
    """A span of the calendar: the engine cuts times to a day or less, pandas does the rest."""

    unit: str
    freq: str
    code: str | None = None

    @classmethod
    def of(cls, freq: str) -> Self:
        try:
            offset = pd.tseries.frequencies.to_offset(freq)
        except (ValueError, TypeError) as error:
            raise ValueError(f"freq={freq!r} is no pandas offset such as 'D' or 'W'.") from error
        kind = type(offset).__name__
        if kind in _UNITS and offset.n > 0:
            return cls(_UNITS[kind], offset.freqstr)
        if kind == "Week" and offset.n == 1:
            return cls("1d", freq, offset.freqstr if "-" in offset.freqstr else "W-SUN")
        for alias, code in _PERIODS.items():
            if offset == pd.tseries.frequencies.to_offset(alias):
                return cls("1d", freq, code)
        raise ValueError(
            f"freq={freq!r} can't be grouped by: use minutes ('min'), hours ('h'), days ('D'), "
            "weeks from Monday ('W'), months ('MS'), quarters ('QS') or years ('YS')."
        )

    def starts(self, times: pd.Series[Any]) -> pd.Series[Any]:
        """Return the first instant of the period that each time lies in."""
        naive = engines.to_utc(times).dt.tz_localize(None)
        if self.code is None:
            starts = naive.dt.floor(self.freq)
        else:
            starts = naive.dt.to_period(self.code).dt.start_time
        return starts.dt.tz_localize("UTC").dt.as_unit("us")
