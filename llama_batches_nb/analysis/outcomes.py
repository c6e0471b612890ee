"""Combine batch, mapping and job status into one outcome per file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrameT

from llama_batches_nb.analysis.costs import COST_PARTS, JOB_NUMBER, PART_PREFIX
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import (
    CREDITS_COLUMN,
    JOB_ERROR_MESSAGE_COLUMN,
    OUTCOME_COLUMN,
    text_array,
)
from llama_batches_nb.tables.statuses import OUTCOMES, RUNNING_STATUSES
from llama_batches_nb.types import IntoFrame

_ADDED = [column.name for column in (OUTCOME_COLUMN, JOB_ERROR_MESSAGE_COLUMN, CREDITS_COLUMN)]
_JOB_STATUS = "_job_status"
_HAS_FAILED_PAGE = "_has_failed_page"
_UPDATED_AT = "_updated_at"
_ROW = "_row"
_JOB_OUTCOMES = {
    "COMPLETED": "succeeded",
    "FAILED": "job_failed",
    "CANCELLED": "job_cancelled",
    **dict.fromkeys(RUNNING_STATUSES, "job_running"),
}
"""The outcome for each status of a job; for others it is unknown."""


def outcomes(
    results: IntoFrameT, jobs: IntoFrame | None = None, *, pages: IntoFrame | None = None
) -> IntoFrameT:
    """Add the outcome of each file; one row is one file of one batch.

    Parameters
    ----------
    results
        The frame of `fetch_results`, or any frame with the columns ``job_id`` and
        ``error_message``, of any engine that Narwhals supports.
    jobs
        The frame of `fetch_jobs` for these results, of the same engine. Without it, the only thing
        known of a file is whether it was mapped to a job. If a job occurs more than once, the row
        with the latest ``updated_at`` counts, and of equal ones the last; Dask takes any of them.
    pages
        The frame of `fetch_pages` for these jobs, of the same engine; only with `jobs`. A file
        whose job is ``COMPLETED`` but has a failed page then is ``partial``. Jobs without pages in
        this frame keep the outcome of the job.

    Returns
    -------
    pandas.DataFrame
        (or the type of `results`) The results, in the same order unless lazy, with the columns

        ================== ========= ==========================================================
        outcome            category  see below
        job_error_message  string    why the job failed; only with `jobs`
        credits            Float64   billed for the job; only if `jobs` has this column
        ================== ========= ==========================================================

        Each row has one of the outcomes

        ================== ========== =========================================================
        succeeded          success    its job is ``COMPLETED``
        partial            success    its job is ``COMPLETED``, and some of its pages failed
        mapped             success    it has a job, and no `jobs` were passed
        mapping_error      failure    no job could be created for it; see ``error_message``
        job_failed         failure    its job is ``FAILED``; see ``job_error_message``
        job_cancelled      undecided  its job was cancelled
        job_running        undecided  its job has not ended
        job_unknown        undecided  its job is not in `jobs`, or has an unknown status
        no_job             undecided  no job and no message: not run, as in a cancelled batch
        ================== ========== =========================================================

    Raises
    ------
    ValueError
        If a frame lacks one of the columns, or `pages` are passed without `jobs`.
    TypeError
        If an argument is not a frame, or the frames belong to different engines.

    Notes
    -----
    A file can fail at four layers: its batch (a ``FAILED`` batch has no reliable results; see
    `failure_rates`), its mapping to a job, its job, and its pages. A ``partial`` file is a success
    at the layer of jobs, and `failure_rates` counts it so. To count it as a failure, rename it:
    ``files.assign(outcome=files.outcome.replace("partial", "job_failed"))``.

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
    frame = engines.wrap_frame("results", results)
    ended = None if jobs is None else engines.wrap_frame("jobs", jobs)
    paged = None if pages is None else engines.wrap_frame("pages", pages)
    if paged is not None and ended is None:
        raise ValueError("pages need jobs: call outcomes(results, jobs, pages=pages).")
    native: Any = add_outcomes(frame, ended, paged).to_native()
    if isinstance(results, pd.DataFrame):
        native = engines.restore_index(native, results)
    return native  # type: ignore[no-any-return]


def add_outcomes(
    results: Frame,
    jobs: Frame | None,
    pages: Frame | None = None,
    *,
    cost_parts: bool = False,
    distinct_jobs: bool = False,
) -> Frame:
    """Add the columns that `outcomes` returns.

    With `cost_parts`, also add those that `sum_credits` needs for an exact sum. With
    `distinct_jobs`, no job occurs twice in `jobs`.
    """
    engines.check_columns(results, "job_id", "error_message")
    frame = results.drop(*_ADDED, _JOB_STATUS, _HAS_FAILED_PAGE, strict=False)
    if jobs is not None:
        latest = _latest_jobs(jobs, COST_PARTS if cost_parts else (), distinct=distinct_jobs)
        frame = join_jobs(frame, latest, number_jobs=cost_parts)
        if pages is not None:
            frame = join_jobs(frame, _jobs_with_failed_pages(pages), "pages")
    if frame.implementation.is_pandas():
        frame = engines.add_pandas_columns(frame, _pandas_outcome(frame).to_frame())
    else:
        frame = frame.with_columns(_outcome(frame).alias("outcome"))
    frame = frame.drop(_JOB_STATUS, _HAS_FAILED_PAGE, strict=False)
    names = engines.column_names(frame)
    order = [name for name in names if name not in _ADDED] + [n for n in _ADDED if n in names]
    return frame.select(nw.col(*order))


def _jobs_with_failed_pages(pages: Frame) -> Frame:
    """Return the jobs that have a failed page, each once."""
    engines.check_columns(pages, "job_id", "success")
    pages = engines.convert_objects(pages, "boolean", "success")
    failed = pages.filter(~nw.col("job_id").is_null() & ~nw.col("success").cast(nw.Boolean))
    flagged = failed.select("job_id", nw.lit(1).cast(nw.Int64).alias(_HAS_FAILED_PAGE))
    return flagged.unique(subset=["job_id"], keep="any")


def _latest_jobs(jobs: Frame, cost_parts: Sequence[str] = (), *, distinct: bool = False) -> Frame:
    """Return the latest row of each job, with the columns that outcomes need."""
    engines.check_columns(jobs, "job_id", "status", "error_message")
    existing = engines.column_names(jobs)
    order = ["updated_at"] if "updated_at" in existing else []
    if jobs.implementation.is_dask():  # it would have to sort all jobs
        order = []
    selected = jobs.select(
        "job_id",
        nw.col("status").alias(_JOB_STATUS),
        nw.col("error_message").alias("job_error_message"),
        *(name for name in ("credits",) if name in existing),
        *(nw.col(name).alias(f"{PART_PREFIX}{name}") for name in cost_parts if name in existing),
        *(nw.col(name).alias(_UPDATED_AT) for name in order),
    ).filter(engines.has_text("job_id"))
    order = [_UPDATED_AT for _ in order]
    if selected.implementation.is_pandas():  # `_join_pandas` finds the latest rows
        return selected
    if distinct:
        return selected.drop(order)
    if isinstance(selected, nw.DataFrame):
        if selected["job_id"].n_unique() == len(selected):
            return selected.drop(order)
        selected, order = selected.with_row_index(_ROW), [*order, _ROW]
    if not order:
        return selected.unique(subset=["job_id"], keep="any")
    return selected.unique(subset=["job_id"], keep="last", order_by=order).drop(order)


def join_jobs(
    results: Frame, jobs: Frame, argument: str = "jobs", *, number_jobs: bool = False
) -> Frame:
    """Left-join facts of jobs from an argument; eager engines keep the order of the results.

    With `number_jobs`, a frame of pandas also gets the column `JOB_NUMBER`.
    """
    same_engine = results.implementation == jobs.implementation
    if same_engine and isinstance(results, nw.LazyFrame) and isinstance(jobs, nw.LazyFrame):
        return results.join(jobs, on="job_id", how="left")
    if same_engine and isinstance(results, nw.DataFrame) and isinstance(jobs, nw.DataFrame):
        if results.implementation.is_pandas():
            return _join_pandas(results, jobs.to_native(), number_jobs=number_jobs)
        results, jobs = _align_id_dtypes(results, jobs)
        joined = results.with_row_index(_ROW).join(jobs, on="job_id", how="left")
        return joined.sort(_ROW).drop(_ROW)
    raise TypeError(
        f"results is a {type(results.to_native())} and {argument} is a "
        f"{type(jobs.to_native())}: pass frames of the same engine, for example both as pandas."
    )


def _join_pandas(
    results: nw.DataFrame[Any], jobs: pd.DataFrame, *, number_jobs: bool
) -> nw.DataFrame[Any]:
    """Look up the jobs without a copy of the results, as a merge would make.

    Of the rows of a job, the one with the latest `_UPDATED_AT` counts, and of equal ones the last.
    """
    native = results.to_native()
    job, of_result = _encode_together(jobs["job_id"], native["job_id"])
    order = np.arange(len(jobs))
    if _UPDATED_AT in jobs and job.max(initial=-1) + 1 < len(jobs):
        times = engines.to_utc(jobs[_UPDATED_AT].rename("updated_at").reset_index(drop=True))
        order = times.sort_values(kind="stable", na_position="first").index.to_numpy()
    row = np.full(max(job.max(initial=-1), of_result.max(initial=-1)) + 2, -1)
    row[job[order]] = order  # the last one stays
    facts = jobs.drop(columns=["job_id", _UPDATED_AT], errors="ignore")
    found = engines.take_pandas_rows(facts, row[of_result], native.index)
    if number_jobs:
        found[JOB_NUMBER] = of_result
    return engines.add_pandas_columns(results, found)


def _encode_together(*ids: pd.Series[Any]) -> list[npt.NDArray[np.int64]]:
    """Return a number for each id, equal where ids are equal; -1 if it is missing."""
    chunks = [pa.table([text_array(series)], ["id"])["id"] for series in ids]
    both = pa.chunked_array([chunk for one in chunks for chunk in one.chunks], pa.large_string())
    codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in both.dictionary_encode().chunks]
    ends = np.cumsum([len(series) for series in ids])[:-1]
    return np.split(np.concatenate([np.empty(0, "int64"), *codes]), ends)


def _align_id_dtypes(
    results: nw.DataFrame[Any], jobs: nw.DataFrame[Any]
) -> tuple[nw.DataFrame[Any], nw.DataFrame[Any]]:
    """Give ``job_id`` the same text dtype on both sides, as Arrow needs for a join.

    Columns without any value have the type null in Arrow.
    """
    if isinstance(results.to_native(), pa.Table):
        results, jobs = _nulls_to_text(results), _nulls_to_text(jobs)
        id_type = results.to_native().schema.field("job_id").type
        jobs = _replace_column(jobs, "job_id", jobs.to_native()["job_id"].cast(id_type))
    return results, jobs


def _nulls_to_text(frame: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    for field in frame.to_native().schema:
        if pa.types.is_null(field.type):
            text = frame.to_native()[field.name].cast(pa.string())
            frame = _replace_column(frame, field.name, text)
    return frame


def _replace_column(frame: nw.DataFrame[Any], name: str, values: Any) -> nw.DataFrame[Any]:
    """Replace a column by a native series of the frame's engine."""
    return frame.with_columns(nw.from_native(values, series_only=True).alias(name))


def _outcome(frame: Frame) -> nw.Expr:
    """Return the outcome of each row of a frame that has been joined with jobs and pages."""
    names = engines.column_names(frame)
    with_job: nw.Expr = nw.lit("mapped")
    if _JOB_STATUS in names:
        with_job = nw.lit("job_unknown")
        for outcome in dict.fromkeys(_JOB_OUTCOMES.values()):
            statuses = [status for status, value in _JOB_OUTCOMES.items() if value == outcome]
            has_status = engines.is_one_of(frame, _JOB_STATUS, statuses)
            with_job = nw.when(has_status).then(nw.lit(outcome)).otherwise(with_job)
    if _HAS_FAILED_PAGE in names:
        is_completed = engines.is_one_of(frame, _JOB_STATUS, ["COMPLETED"])
        is_partial = ~nw.col(_HAS_FAILED_PAGE).is_null() & is_completed
        with_job = nw.when(is_partial).then(nw.lit("partial")).otherwise(with_job)
    return (
        nw.when(engines.has_text("error_message"))
        .then(nw.lit("mapping_error"))
        .otherwise(nw.when(engines.has_text("job_id")).then(with_job).otherwise(nw.lit("no_job")))
    )


def _pandas_outcome(frame: Frame) -> pd.Series[Any]:
    """Return the outcome of each row of a pandas frame, as `_outcome`, from codes of categories."""
    native: pd.DataFrame = frame.to_native()
    code = {outcome: n for n, outcome in enumerate(OUTCOMES)}
    codes = np.full(len(native), code["mapped"], "int8")
    if _JOB_STATUS in native:
        status = native[_JOB_STATUS]
        if status.dtype == object:  # other objects than text may have no hash
            status = status.map(lambda value: value if isinstance(value, str) else None)
        statuses = status.astype("category").cat
        known = [code[_JOB_OUTCOMES.get(name, "job_unknown")] for name in statuses.categories]
        codes = np.array([*known, code["job_unknown"]], "int8")[statuses.codes]  # -1: missing
    if _HAS_FAILED_PAGE in native:
        has_failed_page = native[_HAS_FAILED_PAGE].notna().to_numpy()
        codes[has_failed_page & (codes == code["succeeded"])] = code["partial"]
    has = frame.select(_ID=engines.has_text("job_id"), _MESSAGE=engines.has_text("error_message"))
    codes[~has["_ID"].to_numpy().astype(bool)] = code["no_job"]
    codes[has["_MESSAGE"].to_numpy().astype(bool)] = code["mapping_error"]
    outcome = pd.Categorical.from_codes(codes, pd.Index(OUTCOMES))
    return pd.Series(outcome, native.index, name="outcome")
