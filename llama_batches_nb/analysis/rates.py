"""Compute failure rates with confidence intervals, per group and period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import FrameKind, detect_kind, flag_failures
from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.analysis.periods import Period
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.types import IntoFrame

COUNT_COLUMNS = ["total", "decided", "failed"]
RATE_COLUMNS = ["failure_rate", "ci_low", "ci_high"]


def failure_rates(
    frame: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compute failure rates (failed ÷ decided) with intervals, optionally per group and period.

    Parameters
    ----------
    frame
        Its columns determine what is counted:

        - batches (``status``): ``FAILED`` against ``COMPLETED``;
        - results (``job_id``, ``error_message``): files without a job against mapped ones;
        - outcomes (``outcome``): ``mapping_error`` or ``job_failed`` against ``succeeded``;
        - jobs (``status``): ``FAILED`` against ``COMPLETED``.

        Files of a ``FAILED`` batch are excluded, because their results are incomplete. The frame
        may be of any engine that Narwhals supports; the grouping runs there.
    by
        One or more columns to group by. Rows without a value form a group of their own.
    freq
        A pandas offset such as ``"D"``, ``"W"`` (Monday to Sunday) or ``"MS"``: also group by the
        period of creation, in UTC, labelled by its start.
    confidence
        Confidence level of the interval, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted by its keys. The keys have the dtypes of the fetch functions for
        every engine (text and categories of a pandas frame keep theirs); the other columns are

        ============= ======== =======================================================
        total         int64    rows of the group
        decided       int64    rows that are a success or a failure
        failed        int64    failures
        failure_rate  float64  failed ÷ decided; missing where nothing is decided
        ci_low        float64  lower end of the Wilson score interval of the rate
        ci_high       float64  upper end of the interval
        ============= ======== =======================================================

    Raises
    ------
    ValueError
        If the frame is of none of these kinds, or has the columns of results and a ``status`` that
        may be the batch's or the job's; if it lacks a column of `by`; or if `freq` or `confidence`
        is invalid.
    TypeError
        If `frame` is not a frame.

    Notes
    -----
    The interval is Wilson's, without continuity correction (E. B. Wilson 1927, "Probable
    inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22,
    209-212). It stays within 0 and 1 and is informative even without failures.

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
    keys = arguments.parse_group_columns(by, reserved=(*COUNT_COLUMNS, *RATE_COLUMNS))
    rows = engines.wrap_frame("frame", frame)
    kind = detect_kind(rows)
    period = None if freq is None else Period.from_freq(freq)
    if period and kind.time in keys:
        raise ValueError(f"by={by!r} and freq={freq!r} both group by {kind.time!r}: remove one.")
    rates = count_failures(rows, kind, keys, period)
    low, high = wilson(rates["failed"].to_numpy(), rates["decided"].to_numpy(), confidence)
    with np.errstate(invalid="ignore"):
        rate = rates["failed"].to_numpy() / rates["decided"].to_numpy()
    return rates.assign(failure_rate=rate, ci_low=low, ci_high=high)


def count_failures(
    frame: Frame, kind: FrameKind, keys: list[str], period: Period | None = None
) -> pd.DataFrame:
    """Count rows, decided rows and failures per group, and per period of creation if given."""
    times = [kind.time] if period else []
    engines.check_columns(frame, *keys, *times)
    rows = flag_failures(frame, kind, *keys, *times)
    keys = [*keys, *times]
    if period:
        rows = period.truncate(rows, kind.time)
    counts = engines.aggregate(
        rows,
        keys,
        nw.len().alias("total"),
        nw.col("_decided").sum().alias("decided"),
        nw.col("_failed").sum().alias("failed"),
    )
    if period:
        starts = counts.assign(**{kind.time: period.starts(counts[kind.time])})
        groups = starts.groupby(keys, dropna=False, observed=True, as_index=False)
        counts = groups[COUNT_COLUMNS].sum()
    return counts


def format_rate(rate: pd.Series[Any]) -> str:
    """Format one row of `failure_rates`: ``3.9 % (1,871 of 47,873; 3.7–4.1)``."""
    total, decided, failed = (int(rate[name]) for name in COUNT_COLUMNS)
    if not decided:
        return f"none of {total:,} decided"
    share, low, high = (100 * rate[name] for name in RATE_COLUMNS)
    return f"{share:.1f} % ({failed:,} of {decided:,}; {low:.1f}–{high:.1f})"
