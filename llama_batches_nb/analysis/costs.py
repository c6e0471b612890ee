"""Add up the credits of jobs exactly: each job once, and each shared parse job once."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES

COST_PARTS = ("extract_credits", "parse_credits", "parse_job_id")
"""Columns of jobs that separate the cost of an extraction from that of the parse job behind it."""
PART_DTYPES = (nw.Float64(), nw.Float64(), nw.String())
PART_PREFIX = "_job_"  # of these columns in a frame of files

TOTALS = ["credits", "credits_on_failed", "jobs", "jobs_unknown"]


def sum_credits(files: Frame, keys: list[str]) -> pd.DataFrame:
    """Add up the credits of files per group; one row is one group.

    A job counts once. The cost of a parse job that is behind several extract jobs counts once, in
    one of the groups that share it. `files` has ``job_id``, ``outcome`` and ``credits`` and, for
    extract jobs, the columns of `COST_PARTS` with `PART_PREFIX`.

    Returns the keys, then

    ================= ======= ====================================================================
    credits           Float64 of the jobs whose credits are known; missing if none are
    credits_on_failed Float64 the part for failed files; missing if failed jobs exist and the
                              credits of none of them are known
    jobs              int64   distinct jobs
    jobs_unknown      int64   jobs whose credits are not known
    ================= ======= ====================================================================
    """
    jobs = _distinct_jobs(files, keys)
    counts = engines.aggregate(
        jobs.with_columns(
            jobs=nw.lit(1).cast(nw.Int64),
            jobs_unknown=engines.flag(nw.col("_cost").is_null()),
            _failed_unknown=nw.col("_failed") * engines.flag(nw.col("_cost").is_null()),
        ),
        keys,
        nw.col("jobs", "jobs_unknown", "_failed", "_failed_unknown").sum(),
    )
    costs = _sum_items(_billed_items(jobs, keys), keys)
    totals = (
        counts.merge(costs, on=keys, how="left") if keys else pd.concat([counts, costs], axis=1)
    )
    is_known = totals["jobs_unknown"] < totals["jobs"]
    is_failed_known = (totals["_failed"] == 0) | (totals["_failed_unknown"] < totals["_failed"])
    for name, known in (("credits", is_known), ("credits_on_failed", is_known & is_failed_known)):
        totals[name] = totals[name].astype("Float64").fillna(0).where(known)
    return totals[[*keys, *TOTALS]]


def _distinct_jobs(files: Frame, keys: list[str]) -> Frame:
    """Return each job of each group once: its cost, the parts of it, and whether it failed."""
    failed = engines.flag(nw.col("outcome").cast(nw.String).is_in(FAILURE_OUTCOMES))
    with_cost = files.filter(~nw.col("job_id").is_null()).with_columns(
        nw.col("credits").cast(nw.Float64).alias("_cost"),
        failed.alias("_failed"),
        *(nw.col(name).cast(dtype) for name, dtype in _parts(files).items()),
    )
    values = ["_cost", *_parts(files)]
    grouped = with_cost.select(*keys, "job_id", *values, "_failed").group_by(*keys, "job_id")
    return grouped.agg(nw.col(*values).max(), nw.col("_failed").min())


def _parts(frame: Frame) -> dict[str, Any]:
    """Return the dtypes of the columns of `COST_PARTS` by name; none unless all exist."""
    dtypes = {
        f"{PART_PREFIX}{name}": dtype for name, dtype in zip(COST_PARTS, PART_DTYPES, strict=True)
    }
    return dtypes if dtypes.keys() <= set(engines.column_names(frame)) else {}


def _billed_items(jobs: Frame, keys: list[str]) -> Frame:
    """Return what is billed: each job without its parse job, and each parse job."""
    item = nw.col("job_id").cast(nw.String).alias("_item")
    cost = nw.col("_cost")
    if not _parts(jobs):
        return jobs.select(*keys, item, cost, "_failed").filter(~cost.is_null())
    extract, parse, parse_job = (nw.col(f"{PART_PREFIX}{name}") for name in COST_PARTS)
    is_split = ~(extract.is_null() | parse.is_null() | parse_job.is_null())
    own_cost = nw.when(is_split).then(extract).otherwise(cost).alias("_cost")
    own = jobs.select(*keys, item, own_cost, "_failed")
    shared = jobs.filter(is_split).select(
        *keys, parse_job.alias("_item"), parse.alias("_cost"), "_failed"
    )
    items: Frame = nw.concat([own, shared])  # type: ignore[type-var]
    return items.filter(~cost.is_null())


def _sum_items(items: Frame, keys: list[str]) -> pd.DataFrame:
    """Add up the items per group, each in one of the groups that it occurs in."""
    each = items.group_by("_item").agg(
        *(nw.col(key).min() for key in keys), nw.col("_cost").max(), nw.col("_failed").min()
    )
    costs = each.select(
        *keys,
        nw.col("_cost").alias("credits"),
        (nw.col("_cost") * nw.col("_failed")).alias("credits_on_failed"),
    )
    sums = (nw.col("credits", "credits_on_failed").sum(),)
    return engines.collect_to_pandas(
        costs.group_by(*keys).agg(*sums) if keys else costs.select(*sums)
    )
