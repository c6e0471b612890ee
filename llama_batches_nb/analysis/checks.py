"""Check failure rates against a limit, and for a rise, as a scheduled job does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.changes import DEFAULT_FREQ, rising_groups, split_keys
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.tables import engines

_TIME = "batch_created_at"


@dataclass(frozen=True)
class GroupCheck:
    """The failure rate of a group, and whether it calls for an alert."""

    keys: dict[str, Any]
    rate: pd.Series[Any]  # a row of `failure_rates`
    is_above: bool = False  # the whole interval is above the limit
    rising_since: pd.Timestamp | None = None

    @property
    def is_alert(self) -> bool:
        """Whether the rate is above the limit, or rises."""
        return self.is_above or self.rising_since is not None

    @property
    def label(self) -> str:
        """The group as text; a key without a value is ``(none)``."""
        values = ("(none)" if pd.isna(value) else str(value) for value in self.keys.values())
        pairs = (f"{key}={value}" for key, value in zip(self.keys, values, strict=True))
        return ", ".join(pairs) or "all files"

    @property
    def text(self) -> str:
        """The rate with its counts, interval and what is left out of it."""
        text, left_out = format_rate(self.rate), []
        if self.rate["decided"] and self.rate["undecided"]:
            left_out.append(f"{self.rate['undecided']:,} undecided")
        unreliable = self.rate["unreliable"]
        if self.rate["total"] and not pd.isna(unreliable) and unreliable:
            left_out.append(f"{unreliable:,} in FAILED batches")
        return f"{text}, without {' and '.join(left_out)}" if left_out else text


@dataclass(frozen=True)
class RateCheck:
    """The checks of all groups, those with an alert first."""

    groups: list[GroupCheck] = field(default_factory=list)

    @property
    def alerts(self) -> list[GroupCheck]:
        """The groups that call for an alert."""
        return [group for group in self.groups if group.is_alert]

    @property
    def has_decided_files(self) -> bool:
        """Whether the rate of any group is known."""
        return any(group.rate["decided"] for group in self.groups)


def check_rates(
    files: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    max_failure_rate: float | None = None,
    since: pd.Timestamp | None = None,
    rising: bool = False,
) -> RateCheck:
    """Check outcomes of files against a limit of the failure rate, and for a rise.

    Parameters
    ----------
    files
        A frame of `outcomes`.
    by
        Columns to group by.
    max_failure_rate
        Limit for the lower end of the 95 % interval.
    since
        Time from which batches count. A rise is found in the whole history, and counts if the
        group has decided files since this time.
    rising
        Whether to look for rises, by the CUSUM over weeks of `rising_groups`.

    Raises
    ------
    ValueError
        If the frame lacks a column.
    """
    keys = list(by)
    engines.check_columns(engines.from_pandas(files), *keys, _TIME)
    recent = files if since is None else files[files[_TIME] >= since]
    rates = failure_rates(recent, by=keys)
    rises = _rises(files, keys) if rising else {}
    checks = []
    for _, rate in rates.iterrows():
        values = {key: rate[key] for key in keys}
        rise = rises.get(_identity(values)) if rate["decided"] else None
        is_above = max_failure_rate is not None and bool(rate["ci_low"] > max_failure_rate)
        checks.append(GroupCheck(values, rate, is_above, rise))
    order = sorted(checks, key=lambda group: (not group.is_alert, not group.is_above))
    return RateCheck(order)


def _rises(files: pd.DataFrame, keys: list[str]) -> dict[tuple[object, ...], pd.Timestamp]:
    """Return since when the rate of each group has risen, for those where it has."""
    rates = failure_rates(files, by=keys, freq=DEFAULT_FREQ)
    groups, time = split_keys(rates)
    if time is None or not len(rates):
        return {}
    found = rising_groups(rates, groups, time)
    return {_identity({k: row[k] for k in keys}): row["since"] for _, row in found.iterrows()}


def _identity(values: dict[str, Any]) -> tuple[object, ...]:
    """Return the values of keys such that missing ones are equal."""
    return tuple(None if pd.isna(value) else value for value in values.values())
