"""Compute what a report says, from a frame of outcomes of any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.changes import find_changes
from llama_batches_nb.analysis.costs import sum_credits
from llama_batches_nb.analysis.effective_size import MIN_DF
from llama_batches_nb.analysis.final_outcomes import final_outcomes
from llama_batches_nb.analysis.patterns import error_patterns
from llama_batches_nb.analysis.rates import failure_rates
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES

TIME = "batch_created_at"
CONFIGURATIONS = ("configuration", "configuration_id")  # the name, else the id
FINAL_COLUMNS = ("batch_id", "job_id", "configuration_id", "source_directory_file_id", TIME)
MAX_DAYS = {"D": 21, "W": 400}  # of the data, to show rates per day and per week


@dataclass(frozen=True)
class Facts:
    """What is known of the data from elsewhere than its rows."""

    written: pd.Timestamp
    as_of: pd.Timestamp | None = None
    since: pd.Timestamp | None = None  # batches created before are left out
    dataset: str | None = None
    projects: Sequence[str] = ()
    has_jobs: bool = True


@dataclass(frozen=True)
class Content:
    """The numbers of a report. A part is None if the frame lacks its columns."""

    facts: Facts
    frame: Any  # of the source's engine, for the chart
    group: str | None  # column of the configurations
    freq: str | None
    first: pd.Timestamp | None  # creation of the first and the last batch
    last: pd.Timestamp | None
    rate: pd.Series[Any]  # a row of `failure_rates` over all files
    rates: pd.DataFrame | None  # per configuration, the highest lower end first
    periods: pd.DataFrame | None  # over time, all configurations together
    changes: pd.DataFrame | None
    patterns: pd.DataFrame | None
    cost: pd.Series[Any] | None  # a row of `sum_credits`
    costs: pd.DataFrame | None  # per configuration
    files: pd.DataFrame | None  # one row per file over all its runs
    missing: list[str] = field(default_factory=list)  # columns that parts would need

    @property
    def still_failing(self) -> pd.DataFrame | None:
        """The files of which no run succeeded and the last one failed, the newest first."""
        if self.files is None:
            return None
        fails = self.files["outcome"].isin(FAILURE_OUTCOMES)
        return self.files[fails & (self.files["batch_status"] != "FAILED")]

    @property
    def has_few_batches(self) -> bool:
        """Whether the intervals may be too narrow."""
        rates = self.rate.to_frame().T if self.rates is None else self.rates
        known = rates[rates["decided"] > 0]
        return bool(len(known)) and int(known["batches"].fillna(0).sum()) - len(known) < MIN_DF


def compute_content(frame: Frame, facts: Facts, cost_frame: Frame | None = None) -> Content:
    """Compute the content of a report; raise `ValueError` if it is no frame of outcomes.

    `cost_frame` has the columns that make sums of credits exact; by default it is the frame.
    """
    engines.check_columns(frame, "outcome")
    names = engines.column_names(frame)
    native = frame.to_native()
    group = next((name for name in CONFIGURATIONS if name in names), None)
    keys = [] if group is None else [group]
    first, last = _time_range(frame) if TIME in names else (None, None)
    freq = None if first is None or last is None else _frequency((last - first).days)
    rates = failure_rates(native, by=keys) if keys else None
    if rates is not None:
        order = ["ci_low", "failure_rate"]
        rates = rates.sort_values(order, ascending=False, ignore_index=True)
    per_period = failure_rates(native, by=keys, freq=freq) if freq else None
    costs_of = cost_frame if cost_frame is not None else frame
    has_costs = {"credits", "job_id"} <= set(names)
    wanted = ("error_message", "credits", "batch_id", *FINAL_COLUMNS)
    has_runs = {"error_message", *FINAL_COLUMNS} <= set(names)
    return Content(
        facts=facts,
        frame=native,
        group=group,
        freq=freq,
        first=first,
        last=last,
        rate=failure_rates(native).iloc[0],
        rates=rates,
        periods=failure_rates(native, freq=freq) if freq else None,
        changes=None if per_period is None else find_changes(per_period, keys, TIME),
        patterns=error_patterns(native) if "error_message" in names else None,
        cost=sum_credits(costs_of, []).iloc[0] if has_costs else None,
        costs=sum_credits(costs_of, keys) if has_costs and keys else None,
        files=_final_outcomes(native) if has_runs else None,
        missing=[name for name in dict.fromkeys(wanted) if name not in names],
    )


def _final_outcomes(native: Any) -> pd.DataFrame:
    files = final_outcomes(native)
    return files.iloc[::-1].reset_index(drop=True)


def _time_range(frame: Frame) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Return the first and the last time of creation in UTC; None without any."""
    frame = engines.convert_pandas_times(frame, TIME)
    ends = frame.select(first=nw.col(TIME).min(), last=nw.col(TIME).max())
    row = engines.collect_to_pandas(ends)
    first, last = (engines.to_utc(row[name]).iloc[0] for name in ("first", "last"))
    return (None, None) if pd.isna(first) else (first, last)


def _frequency(days: int) -> str:
    """Return the period that gives a readable number of rows."""
    return next((freq for freq, most in MAX_DAYS.items() if days <= most), "MS")
