"""Compute failure rates with confidence intervals, per group and period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.analysis.effective_size import (
    CLUSTERS,
    FAILED_SQUARES,
    MOMENTS,
    SQUARES,
    effective_sizes,
)
from llama_batches_nb.analysis.frame_kinds import (
    BATCHES_KIND,
    PAGES_KIND,
    FrameKind,
    detect_kind,
    flag_rows,
)
from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.analysis.periods import Period, parse_time_zone
from llama_batches_nb.analysis.runs import Runs, select_runs
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.types import IntoFrame

COUNT_COLUMNS = ["total", "decided", "failed"]
RATE_COLUMNS = ["failure_rate", "ci_low", "ci_high"]
RESULT_COLUMNS = [
    *COUNT_COLUMNS, "undecided", "unreliable", *RATE_COLUMNS, "batches", "n_effective",
]  # fmt: skip
"""The columns of `failure_rates` after its keys."""

_SUMS = [*COUNT_COLUMNS, "unreliable"]
_CLUSTER = "_cluster"


def failure_rates(
    frame: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
    cluster: str | None = "batch_id",
    runs: Runs = "all",
    tz: str = "UTC",
) -> pd.DataFrame:
    """Compute failure rates (failed ÷ decided) with intervals, optionally per group and period.

    Parameters
    ----------
    frame
        Its columns determine what is counted:

        - batches (``status``): ``FAILED`` against ``COMPLETED``;
        - results (``job_id``, ``error_message``): files without a job against mapped ones;
        - outcomes (``outcome``): ``mapping_error`` or ``job_failed`` against ``succeeded``;
        - jobs (``status``): ``FAILED`` against ``COMPLETED``;
        - pages (``page_number``, ``success``): failed pages against parsed ones.

        Files of a ``FAILED`` batch are counted as `unreliable` only, because their results are
        incomplete. The frame may be of any engine that Narwhals supports; the grouping runs there.
    by
        One or more columns to group by. Rows without a value form a group of their own.
    freq
        A pandas offset such as ``"D"``, ``"W"`` (Monday to Sunday) or ``"MS"``: also group by the
        period of creation, labelled by its start.
    confidence
        Confidence level of the interval, between 0 and 1.
    cluster
        Rows with the same value in this column may fail together. With None, or without a column
        ``batch_id``, rows count as independent; so do the rows of a frame of batches, unless
        another column is given. Pages without a column ``batch_id`` are clustered by ``job_id``.
        Rows without a value are one cluster.
    runs
        Which runs of a file that ran several times are counted: ``"all"``, or only its ``"first"``
        or its ``"last"``, which need the columns that `attempts` adds.
    tz
        Time zone in which the periods of `freq` start, such as ``"Europe/Berlin"``.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted by its keys. The keys have the dtypes of the fetch functions for
        every engine (text and categories of a pandas frame keep theirs), and periods are in `tz`.
        The other columns are

        ============= ======== ==================================================================
        total         int64    rows of the group, without the unreliable ones
        decided       int64    rows that are a success or a failure
        failed        int64    failures
        undecided     int64    total − decided: cancelled, running or unknown
        unreliable    Int64    files of ``FAILED`` batches; missing without ``batch_status``
        failure_rate  float64  failed ÷ decided; missing where nothing is decided
        ci_low        float64  lower end of the interval of the rate
        ci_high       float64  upper end of the interval
        batches       Int64    batches (values of `cluster`) with decided rows; missing without
                               such a column
        n_effective   float64  independent rows that would give the same precision
        ============= ======== ==================================================================

    Raises
    ------
    ValueError
        If the frame is of none of these kinds, or has the columns of results and a ``status`` that
        may be the batch's or the job's; if it lacks a column that an argument needs; or if an
        argument is invalid.
    TypeError
        If `frame` is not a frame.

    Notes
    -----
    The interval is Wilson's, without continuity correction (E. B. Wilson 1927, "Probable
    inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22,
    209-212), on the effective sample size: files of a batch often fail together, and are then less
    informative than independent files. `n_effective` is decided ÷ design effect; the intraclass
    correlation of the batches is estimated by analysis of variance over all groups and periods
    (M. S. Ridout, C. G. B. Demétrio and D. Firth 1999, "Estimating intraclass correlation for
    binary data", Biometrics 55, 137-148; N. Dean and M. Pagano 2015, "Evaluating confidence
    interval methods for binomial proportions in clustered surveys", J. Surv. Stat. Methodol. 3,
    484-503).

    With fewer than 10 batches more than groups the correlation is uncertain: the interval uses
    Student's t distribution, and may still be too narrow. With one batch per group, or without
    batches, it is valid for further files of the same batches, not for other batches.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> files = pd.DataFrame({"batch_id": list("aaabbbcccddd"),
    ...                       "outcome": ["succeeded", "job_failed", "job_running"] * 4})
    >>> rates = lb.failure_rates(files)
    >>> rates[["total", "decided", "failed", "undecided", "failure_rate", "batches"]]
       total  decided  failed  undecided  failure_rate  batches
    0     12        8       4          4           0.5        4
    """
    rows = engines.wrap_frame("frame", frame)
    return compute_rates(
        rows, by=by, freq=freq, confidence=confidence, cluster=cluster, runs=runs, tz=tz
    )


def compute_rates(
    rows: Frame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    confidence: float = 0.95,
    cluster: str | None = "batch_id",
    runs: Runs = "all",
    tz: str = "UTC",
) -> pd.DataFrame:
    """Compute the result of `failure_rates` for a wrapped frame."""
    confidence = arguments.parse_share("confidence", confidence, 0.95)
    keys = arguments.parse_group_columns(by, reserved=RESULT_COLUMNS)
    parse_time_zone(tz)
    kind = detect_kind(rows)
    period = None if freq is None else Period.from_freq(freq, tz)
    if period and kind.time in keys:
        raise ValueError(f"by={by!r} and freq={freq!r} both group by {kind.time!r}: remove one.")
    has_status = "batch_status" in engines.column_names(rows)
    cluster = _cluster_column(rows, kind, cluster)
    cells = count_failures(select_runs(rows, kind, runs), kind, keys, period, cluster)
    rates = add_intervals(cells, keys, kind.time if period else None, confidence)
    result = rates.assign(
        undecided=cells["total"] - cells["decided"],
        unreliable=_counts_if(has_status, cells["unreliable"]),
        batches=_counts_if(kind is BATCHES_KIND or cluster is not None, cells[CLUSTERS]),
    )
    return result[[*keys, *([kind.time] if period else []), *RESULT_COLUMNS]]


def add_intervals(
    cells: pd.DataFrame, groups: list[str], time: str | None, confidence: float
) -> pd.DataFrame:
    """Add the rates, their intervals and the effective sizes to the counts of `count_failures`."""
    sizes, df = effective_sizes(cells, groups, time)
    with np.errstate(invalid="ignore"):
        rate = cells["failed"].to_numpy() / cells["decided"].to_numpy()
    low, high = wilson(np.where(sizes > 0, rate * sizes, 0.0), sizes, confidence, df)
    return cells.assign(failure_rate=rate, ci_low=low, ci_high=high, n_effective=sizes)


def count_failures(
    frame: Frame,
    kind: FrameKind,
    keys: list[str],
    period: Period | None = None,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Count rows, decided rows and failures per group, and per period of creation if given.

    The result has the keys, `COUNT_COLUMNS`, ``unreliable`` and the moments that
    `effective_sizes` needs. Without `cluster` each row is a cluster of its own.
    """
    times = [kind.time] if period else []
    clusters = [cluster] if cluster else []
    engines.check_columns(frame, *keys, *times, *clusters)
    if isinstance(frame, nw.DataFrame) and frame.implementation.is_polars():
        frame = frame.lazy()
    rows = flag_rows(frame, kind, *keys, *times, *clusters).select(
        *keys,
        *times,
        *(nw.col(name).alias(_CLUSTER) for name in clusters),
        (1 - nw.col("_unreliable")).alias("total"),
        nw.col("_decided").alias("decided"),
        nw.col("_failed").alias("failed"),
        nw.col("_unreliable").alias("unreliable"),
    )
    if not period:
        return _sum_clusters(rows, keys) if cluster else _sum_rows(rows, keys)
    if cluster and kind.time == "batch_created_at" and rows.implementation.is_duckdb():
        # DuckDB truncates slowly, and the files of a batch have the same time: add them up before.
        rows = rows.group_by(*keys, kind.time, _CLUSTER).agg(nw.col(*_SUMS).sum())
    truncated = period.truncate(rows, kind.time)
    rows, keys = truncated.frame, [*keys, kind.time]
    if not cluster:
        cells = _sum_rows(rows, keys)
        cells[kind.time] = period.starts(cells[kind.time], is_local=truncated.is_local)
        return _add_up(cells, keys)
    if truncated.is_final:
        cells = _sum_clusters(rows, keys)
        cells[kind.time] = period.starts(cells[kind.time], is_local=truncated.is_local)
        return cells
    # A batch may have files in several days of a period: the period is needed before adding up.
    per_cluster = engines.collect_to_pandas(_per_cluster(rows, keys))
    starts = period.starts(per_cluster[kind.time], is_local=truncated.is_local)
    counts = {name: per_cluster[name].astype("int64") for name in _SUMS}  # Decimal in DuckDB
    per_cluster = per_cluster.assign(**counts, **{kind.time: starts})
    cells = _sum_clusters(engines.from_pandas(per_cluster), keys)
    cells[kind.time] = cells[kind.time].dt.tz_convert(period.tz)
    return cells


def _sum_rows(rows: Frame, keys: list[str]) -> pd.DataFrame:
    """Sum the flags per cell, each row being a cluster."""
    cells = engines.aggregate(rows, keys, nw.col(*_SUMS).sum())
    moments = {CLUSTERS: cells["decided"], SQUARES: cells["decided"]}
    return cells.assign(**moments, **{FAILED_SQUARES: cells["failed"].astype("float64")})


def _add_up(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add up the cells that have the same keys."""
    groups = cells.groupby(keys, dropna=False, observed=True, as_index=False)
    return groups[[*_SUMS, *MOMENTS]].sum()


def _per_cluster(rows: Frame, keys: list[str]) -> Frame:
    return rows.group_by(*keys, _CLUSTER).agg(nw.col(*_SUMS).sum())


def _sum_clusters(rows: Frame, keys: list[str]) -> pd.DataFrame:
    """Sum the flags per cell and cluster, then the sums and the moments per cell."""
    n, k = (nw.col(name).cast(nw.Float64) for name in ("decided", "failed"))
    has_decided = nw.col("decided") > 0
    divisor = nw.when(has_decided).then(n).otherwise(nw.lit(1.0))
    moments = (
        engines.flag(has_decided).alias(CLUSTERS),
        (n * n).alias(SQUARES),
        (k * k / divisor).alias(FAILED_SQUARES),
    )
    per_cluster = _per_cluster(rows, keys).with_columns(*moments)
    sums = nw.col(*_SUMS, *MOMENTS).sum()
    return engines.aggregate(per_cluster, keys, sums, floats=(SQUARES, FAILED_SQUARES))


def _cluster_column(rows: Frame, kind: FrameKind, cluster: str | None) -> str | None:
    """Return the column of the clusters; None if rows are independent or it is not known."""
    if not isinstance(cluster, str | None):
        raise TypeError(f"cluster must be a column name or None, not {cluster!r:.80}.")
    if cluster is None or (cluster == "batch_id" and kind is BATCHES_KIND):
        return None
    existing = engines.column_names(rows)
    if cluster == "batch_id" and cluster not in existing:
        return "job_id" if kind is PAGES_KIND and "job_id" in existing else None
    engines.check_columns(rows, cluster)
    return cluster


def _counts_if(known: bool, counts: pd.Series[int]) -> pd.Series[Any]:
    """Return counts as Int64, all missing if they are not known."""
    return counts.astype("Int64") if known else pd.Series(pd.NA, counts.index, dtype="Int64")


def format_rate(rate: pd.Series[Any], *, with_batches: bool = True) -> str:
    """Format a row of `failure_rates`: ``3.9 % (1,871 of 47,873 files in 96 batches; 3.1–4.9)``.

    The interval of a single batch says that it holds for its files only.
    """
    total, decided, failed = (int(rate[name]) for name in COUNT_COLUMNS)
    if not decided:
        unreliable = rate["unreliable"]
        if not total and not pd.isna(unreliable) and unreliable:
            return f"{int(unreliable):,} in FAILED batches"
        return f"none of {total:,} decided"
    share, low, high = (100 * rate[name] for name in RATE_COLUMNS)
    counts, interval = f"{failed:,} of {decided:,}", f"{low:.1f}–{high:.1f}"
    if with_batches:
        batches = rate["batches"]
        is_known = not pd.isna(batches)
        if is_known and int(batches) != decided:
            counts += f" files in {int(batches):,} batch{'' if batches == 1 else 'es'}"
        if not is_known or (batches == 1 < decided and rate["n_effective"] == decided):
            interval += f" for these {'files' if is_known else 'rows'} only"
    return f"{share:.1f} % ({counts}; {interval})"
