"""Add up the credits of jobs exactly: each job once, and each shared parse job once."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES

COST_PARTS = ("extract_credits", "parse_credits", "parse_job_id")
"""Columns of jobs that separate the cost of an extraction from that of the parse job behind it."""
PART_DTYPES = (nw.Float64(), nw.Float64(), nw.String())
PART_PREFIX = "_job_"  # of these columns in a frame of files
JOB_NUMBER = f"{PART_PREFIX}number"  # in a frame of pandas: equal for equal jobs, -1 without one

COST_FLAGS = ("_known", "_failed_job", "_failed_known", "_split")
TOTALS = ["credits", "credits_on_failed", "jobs", "jobs_unknown"]
_ROW_TOTALS = [f"_row_{name}" for name in TOTALS]  # sums over rows, whose jobs may be the same
COST_COLUMNS = (*COST_FLAGS, *_ROW_TOTALS)
COST_FLOATS = tuple(_ROW_TOTALS[:2])


def sum_credits(
    files: Frame,
    keys: list[str],
    known: pd.DataFrame | None = None,
    *,
    distinct_jobs: bool = False,
) -> pd.DataFrame:
    """Add up the credits of files per group; one row is one group.

    A job counts once, in one of the groups that share it. The cost of a parse job that is behind
    several extract jobs counts once likewise. `files` has ``job_id``, ``outcome`` and ``credits``
    and, for extract jobs, the columns of `COST_PARTS` with `PART_PREFIX`. `known` are the sums of
    the columns of `add_cost_columns` per group, if they have been computed already. With
    `distinct_jobs`, no two rows have the same job.

    Returns the keys, then

    ================= ======= ====================================================================
    credits           Float64 of the jobs whose credits are known; missing if none are
    credits_on_failed Float64 the part for failed files; missing if failed jobs exist and the
                              credits of none of them are known
    jobs              int64   distinct jobs
    jobs_unknown      int64   jobs whose credits are not known
    ================= ======= ====================================================================
    """
    if known is None:
        sums = nw.col(*COST_COLUMNS).sum()
        known = engines.aggregate(add_cost_columns(files), keys, sums, floats=COST_FLOATS)
    has_parts = known["_split"].sum() > 0
    if distinct_jobs and not has_parts:
        totals = known.rename(columns=dict(zip(_ROW_TOTALS, TOTALS, strict=True)))
    else:
        costs = _sum_items(_billed_items(files, keys, has_parts=has_parts), keys)
        totals = known.merge(costs, on=keys, how="left") if keys else known.join(costs)
    is_known = totals["_known"] > 0
    is_failed_known = (totals["_failed_job"] == 0) | (totals["_failed_known"] > 0)
    for name, condition in (
        ("credits", is_known),
        ("credits_on_failed", is_known & is_failed_known),
    ):
        totals[name] = totals[name].astype("Float64").fillna(0).where(condition)
    counts = ["jobs", "jobs_unknown"]
    totals[counts] = totals[counts].fillna(0).astype("int64")
    return totals[[*keys, *TOTALS]]


def has_distinct_jobs(files: Frame, results: Frame) -> bool:
    """Return whether no two files, which were joined from these results, have the same job."""
    native = files.to_native()
    if isinstance(native, pd.DataFrame) and JOB_NUMBER in native:
        numbers = native[JOB_NUMBER].to_numpy()
        return bool(np.bincount(numbers[numbers >= 0]).max(initial=0) <= 1)
    return engines.is_distinct(results, "job_id")


def add_cost_columns(files: Frame) -> Frame:
    """Add the columns `COST_COLUMNS`: which rows have a job, what is known of it, what it cost."""
    files = engines.convert_objects(files, "Float64", "credits")
    with_job, known = engines.has_text("job_id"), ~nw.col("credits").is_null()
    failed = engines.is_one_of(files, "outcome", FAILURE_OUTCOMES)
    split = _is_split() if _has_parts(files) else nw.lit(False)
    flags = (with_job & known, with_job & failed, with_job & failed & known, with_job & split)
    cost, none = nw.col("credits").cast(nw.Float64), nw.lit(0.0)
    return files.with_columns(
        *(engines.flag(flag).alias(name) for name, flag in zip(COST_FLAGS, flags, strict=True)),
        nw.when(with_job & known).then(cost).otherwise(none).alias(_ROW_TOTALS[0]),
        nw.when(with_job & known & failed).then(cost).otherwise(none).alias(_ROW_TOTALS[1]),
        engines.flag(with_job).alias(_ROW_TOTALS[2]),
        engines.flag(with_job & ~known).alias(_ROW_TOTALS[3]),
    )


def _has_parts(files: Frame) -> bool:
    return {f"{PART_PREFIX}{name}" for name in COST_PARTS} <= set(engines.column_names(files))


def _is_split() -> nw.Expr:
    """Return whether the cost of a job and that of its parse job are known separately."""
    extract, parse, parse_job = (nw.col(f"{PART_PREFIX}{name}") for name in COST_PARTS)
    return ~(extract.is_null() | parse.is_null() | parse_job.is_null())


def _billed_items(files: Frame, keys: list[str], *, has_parts: bool) -> Frame:
    """Return what is billed, each once: jobs and, with parts, the parse jobs behind them."""
    parts = {
        f"{PART_PREFIX}{name}": dtype for name, dtype in zip(COST_PARTS, PART_DTYPES, strict=True)
    }
    parts = parts if has_parts else {}
    numbers = ["credits", *(name for name, dtype in parts.items() if dtype == nw.Float64)]
    files = engines.convert_objects(files, "Float64", *numbers)
    jobs = (
        files.filter(engines.has_text("job_id"))
        .with_columns(
            engines.flag(engines.is_one_of(files, "outcome", FAILURE_OUTCOMES)).alias("_failed"),
            nw.col("credits").cast(nw.Float64).alias("_cost"),
            *(nw.col(name).cast(dtype) for name, dtype in parts.items()),
        )
        .select(*keys, nw.col("job_id").alias("_item"), "_cost", *parts, "_failed")
    )
    jobs = engines.order_categories(jobs, keys)
    smallest, largest = (*keys, "_failed"), ("_cost", *parts)
    once = jobs.group_by("_item").agg(nw.col(*smallest).min(), nw.col(*largest).max())
    once = once.with_columns(
        nw.lit(1).cast(nw.Int64).alias("_job"),
        engines.flag(nw.col("_cost").is_null()).alias("_unknown"),
    )
    if not has_parts:
        return once
    extract, parse, parse_job = (nw.col(name) for name in parts)
    own_cost = nw.when(_is_split()).then(extract).otherwise(nw.col("_cost")).alias("_cost")
    none = nw.lit(0).cast(nw.Int64)
    columns = [*keys, "_failed", "_job", "_unknown"]
    own = once.select(nw.col("_item").cast(nw.String), own_cost, *columns)
    shared = once.filter(_is_split()).select(
        parse_job.alias("_item"),
        parse.alias("_cost"),
        *keys,
        "_failed",
        none.alias("_job"),
        none.alias("_unknown"),
    )
    both: Frame = nw.concat([own, shared])  # type: ignore[type-var]
    return both.group_by("_item").agg(
        nw.col(*smallest).min(), nw.col("_cost", "_job", "_unknown").max()
    )


def _sum_items(items: Frame, keys: list[str]) -> pd.DataFrame:
    costs = items.select(
        *keys,
        nw.col("_cost").alias("credits"),
        (nw.col("_cost") * nw.col("_failed")).alias("credits_on_failed"),
        nw.col("_job").alias("jobs"),
        nw.col("_unknown").alias("jobs_unknown"),
    )
    sums = (nw.col(*TOTALS).sum(),)
    return engines.collect_to_pandas(
        costs.group_by(*keys).agg(*sums) if keys else costs.select(*sums)
    )
