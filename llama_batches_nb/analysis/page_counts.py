"""Count the pages of each batch, and what a page cost."""

from __future__ import annotations

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.outcomes import join_jobs
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame

PAGE_COLUMNS = ["pages", "failed_pages", "credits_per_page"]

_PAGES, _FAILED, _PRICED, _CREDITS = "_pages", "_failed_pages", "_priced_pages", "_page_credits"


def count_pages(files: Frame, pages: Frame) -> pd.DataFrame:
    """Count pages per batch; one row is one batch that has pages.

    `files` has ``batch_id``, ``job_id`` and, where they are known, ``credits``. A job that occurs
    several times in a batch counts once. Returns ``batch_id`` and

    ================ ======= =====================================================================
    pages            Int64   pages of the batch's jobs
    failed_pages     Int64   those whose ``success`` is false
    credits_per_page Float64 credits of the jobs that have pages and known credits, per page of
                             these jobs; missing if there are none
    ================ ======= =====================================================================
    """
    engines.check_columns(files, "batch_id", "job_id")
    has_credits = "credits" in engines.column_names(files)
    if has_credits:
        files = engines.convert_objects(files, "Float64", "credits")
    known = nw.col("credits") if has_credits else nw.lit(None)
    rows = join_jobs(
        files.select("batch_id", "job_id", known.cast(nw.Float64).alias(_CREDITS)),
        _pages_per_job(pages),
        "pages",
    ).filter(~nw.col(_PAGES).is_null(), ~nw.col("batch_id").is_null())
    once = rows.group_by("batch_id", "job_id").agg(nw.col(_PAGES, _FAILED, _CREDITS).max())
    is_priced = ~nw.col(_CREDITS).is_null()
    once = once.with_columns(
        nw.when(is_priced).then(nw.col(_PAGES)).otherwise(nw.lit(0)).alias(_PRICED)
    )
    sums = nw.col(_PAGES, _FAILED, _PRICED, _CREDITS).sum()
    counts = engines.aggregate(once, ["batch_id"], sums, floats=[_CREDITS])
    priced = counts[_PRICED].astype("Float64")
    return pd.DataFrame(
        {
            "batch_id": counts["batch_id"],
            "pages": counts[_PAGES].astype("Int64"),
            "failed_pages": counts[_FAILED].astype("Int64"),
            "credits_per_page": counts[_CREDITS].astype("Float64") / priced.mask(priced == 0),
        }
    )


def _pages_per_job(pages: Frame) -> Frame:
    engines.check_columns(pages, "job_id", "success")
    pages = engines.convert_objects(pages, "boolean", "success")
    failed = ~nw.col("success").is_null() & ~nw.col("success").cast(nw.Boolean)
    counted = pages.filter(engines.has_text("job_id")).select(
        "job_id",
        nw.lit(1).cast(nw.Int64).alias(_PAGES),
        engines.flag(failed).alias(_FAILED),
    )
    per_job = counted.group_by("job_id").agg(nw.col(_PAGES, _FAILED).sum())
    if not per_job.implementation.is_dask():
        return per_job
    # Dask's optimizer cannot join the renamed result of a group-by that it shuffles.
    native = per_job.to_native()
    return engines.wrap_frame("pages", native.map_partitions(pd.DataFrame.copy, meta=native._meta))
