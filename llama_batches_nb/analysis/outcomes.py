"""What became of each file, from the three places in which the API tells it. Pure."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa

from llama_batches_nb.tables import engines
from llama_batches_nb.tables.schema import (
    CREDITS_COLUMN,
    JOB_ERROR_MESSAGE_COLUMN,
    OUTCOME_COLUMN,
    STRING_DTYPE,
)
from llama_batches_nb.tables.statuses import OUTCOMES

_RUNNING = ("PENDING", "THROTTLED", "RUNNING")
_JOB_STATUS = "_job_status"
_ROW = "_row"


def outcomes(results: Any, jobs: Any = None) -> Any:
    """Tell what became of each file, in one column; one row is one file of one batch.

    Parameters
    ----------
    results
        The frame of `fetch_results`, or any with the columns ``job_id`` and ``error_message``:
        pandas, or what else Narwhals takes.
    jobs
        The frame of `fetch_jobs` over these results, of the same kind. Without it nothing is known
        of a file beyond that it was mapped to a job. Of a job that is there more than once, the row
        with the latest ``updated_at`` counts, of equal ones the last; Dask takes any of them.

    Returns
    -------
    pandas.DataFrame
        (or what `results` is) The results, in their order unless lazy, and the columns

        ================== ========= ==========================================================
        outcome            category  see below
        job_error_message  string    why the job failed; only with `jobs`
        credits            Float64   what the job was billed; only with `jobs` that tell it
        ================== ========= ==========================================================

        Each row has one of the outcomes

        ================== ========== =========================================================
        succeeded          success    its job is ``COMPLETED``
        mapped             success    it has a job, and no `jobs` were given
        mapping_error      failure    no job could be made for it; see ``error_message``
        job_failed         failure    its job is ``FAILED``; see ``job_error_message``
        job_cancelled      undecided  its job was cancelled
        job_running        undecided  its job has not ended
        job_unknown        undecided  its job is not in `jobs`, or has a status unknown here
        no_job             undecided  no job, and no message: not run, as in a cancelled batch
        ================== ========== =========================================================

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.
    TypeError
        If the frames are of different kinds.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=3)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> len(files) == len(results)
    True
    >>> int(files.outcome.value_counts().sum()) == len(results)
    True
    """
    engines.check_columns(results, "job_id", "error_message")
    frame = engines.wrap_frame(results)
    added = [c.name for c in (OUTCOME_COLUMN, JOB_ERROR_MESSAGE_COLUMN, CREDITS_COLUMN)]
    frame = frame.drop(added, strict=False)
    mapping_error = ~nw.col("error_message").is_null() & (nw.col("error_message") != "")
    if jobs is None:
        with_job: nw.Expr = nw.lit("mapped")
    else:
        frame = _joined(frame, _latest_jobs(jobs))
        with_job = _job_outcome(nw.col(_JOB_STATUS).cast(nw.String))
    outcome = (
        nw.when(mapping_error)
        .then(nw.lit("mapping_error"))
        .otherwise(nw.when(nw.col("job_id").is_null()).then(nw.lit("no_job")).otherwise(with_job))
    )
    frame = frame.with_columns(outcome.alias("outcome")).drop(_JOB_STATUS, strict=False)
    names = frame.collect_schema().names()
    order = [name for name in names if name not in added] + [n for n in added if n in names]
    native = frame.select(nw.col(*order)).to_native()
    if isinstance(native, pd.DataFrame):
        native = native.assign(outcome=pd.Categorical(native["outcome"], categories=OUTCOMES))
        native.index = results.index
    return native


def _latest_jobs(jobs: Any) -> Any:
    """Return each job once, with what is told of its end."""
    engines.check_columns(jobs, "job_id", "status", "error_message")
    frame = engines.wrap_frame(jobs).filter(~nw.col("job_id").is_null())
    there = frame.collect_schema().names()
    order = ["updated_at"] if "updated_at" in there else []
    if frame.implementation.is_dask():  # it would have to sort all jobs
        order = []
    if isinstance(frame, nw.DataFrame):
        frame, order = frame.with_row_index(_ROW), [*order, _ROW]
    ends = frame.select(
        "job_id",
        nw.col("status").alias(_JOB_STATUS),
        nw.col("error_message").alias("job_error_message"),
        *(name for name in ("credits",) if name in there),
        *order,
    )
    if not order:
        return ends.unique(subset=["job_id"], keep="any")
    return ends.unique(subset=["job_id"], keep="last", order_by=order).drop(order)


def _joined(frame: Any, ends: Any) -> Any:
    """Give each row the end of its job; the rows keep their order where the engine has one."""
    kinds = [(f.implementation, isinstance(f, nw.LazyFrame)) for f in (frame, ends)]
    if kinds[0] != kinds[1]:
        raise TypeError(
            f"results is of {type(frame.to_native())} and jobs of {type(ends.to_native())}: pass "
            "frames of one kind, such as both as pandas."
        )
    if isinstance(frame, nw.LazyFrame):
        return frame.join(ends, on="job_id", how="left")
    frame, ends = _align_id_dtypes(frame.to_native(), ends.to_native())
    joined = frame.with_row_index(_ROW).join(ends, on="job_id", how="left")
    return joined.sort(_ROW).drop(_ROW)


def _align_id_dtypes(results: Any, ends: Any) -> tuple[Any, Any]:
    """Make one kind of text of the ids on both sides, as some engines join no others.

    What holds nothing has another type: numbers in what pandas reads from CSV, null in Arrow.
    """
    if isinstance(results, pd.DataFrame):
        ids = results["job_id"]
        if pd.api.types.is_float_dtype(ids) and ids.isna().all():
            results = results.assign(job_id=ids.astype(STRING_DTYPE))
    elif isinstance(results, pa.Table):
        results = results.cast(_null_to_string(results.schema))
        schema = _null_to_string(ends.schema)
        ids = results.schema.field("job_id")
        ends = ends.cast(schema.set(schema.get_field_index("job_id"), ids))
    return nw.from_native(results), nw.from_native(ends)


def _null_to_string(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in schema])


def _job_outcome(status: nw.Expr) -> nw.Expr:
    outcome: nw.Expr = nw.lit("job_unknown")
    for statuses, word in (
        (_RUNNING, "job_running"),
        (("CANCELLED",), "job_cancelled"),
        (("FAILED",), "job_failed"),
        (("COMPLETED",), "succeeded"),
    ):
        outcome = nw.when(status.is_in(statuses)).then(nw.lit(word)).otherwise(outcome)
    return outcome
