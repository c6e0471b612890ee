"""Summarize batches, and count files by outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.costs import (
    COST_COLUMNS,
    COST_FLOATS,
    add_cost_columns,
    has_distinct_jobs,
    sum_credits,
)
from llama_batches_nb.analysis.frame_kinds import detect_kind, flag_rows
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.page_counts import PAGE_COLUMNS, count_pages
from llama_batches_nb.analysis.rates import COUNT_COLUMNS
from llama_batches_nb.messages import agree, format_count
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.statuses import OUTCOMES, TERMINAL_STATUSES
from llama_batches_nb.types import IntoFrame

SUMMARY_COLUMNS = ["n_files", "n_decided", "n_failed", "failure_rate", "duration"]
CREDIT_COLUMNS = ["credits", "credits_on_failed"]

_RELIABLE = ("COMPLETED", "CANCELLED")  # statuses of batches whose results are complete
_OUTCOMES_WITHOUT_JOBS = ("mapped", "mapping_error", "no_job")
_ROWS, _IN_FAILED_BATCHES = "rows", "in_failed_batches"
_OUTCOME, _UNFINISHED = "_outcome", "_unfinished"


def summarize(
    batches: IntoFrame,
    results: IntoFrame,
    jobs: IntoFrame | None = None,
    *,
    pages: IntoFrame | None = None,
) -> pd.DataFrame:
    """Summarize each batch: counts of files and pages, failure rate, duration and credits.

    Parameters
    ----------
    batches
        The frame of `fetch_batches`, or any frame with the columns ``batch_id``, ``status``,
        ``created_at`` and ``updated_at``, of any engine that Narwhals supports.
    results
        The frame of `fetch_results` for all of these batches, or of `outcomes`.
    jobs
        The frame of `fetch_jobs` for the results. Without it, and unless `results` come from
        `outcomes` with jobs, only the mapping is known: a file with a job counts as a success, and
        a mapping error as a failure.
    pages
        The frame of `fetch_pages` for these jobs, of the same engine as `results`.

    Returns
    -------
    pandas.DataFrame
        The batches, in the same order, with the columns

        ================= =============== ====================================================
        n_files           Int64           files of the batch
        n_decided         Int64           successes and failures, as in `failure_rates`
        n_failed          Int64           failures
        failure_rate      Float64         failed ÷ decided; missing where nothing is decided
        duration          timedelta64[us] from ``created_at`` to ``updated_at`` of an ended batch
        credits           Float64         billed for its jobs as far as known; only with jobs
        credits_on_failed Float64         the part billed for failed files; only with jobs
        pages             Int64           pages of its jobs; only with `pages`, as the next two
        failed_pages      Int64           those that failed
        credits_per_page  Float64         credits of the jobs that have pages and known credits,
                                          per page of these jobs
        ================= =============== ====================================================

        The counts are missing if the batch is ``FAILED`` or has not ended, if it had not ended
        when its results were fetched, and if it is ``COMPLETED`` without a row in `results`: its
        results may not be available yet. A ``CANCELLED`` batch without a row has 0 files.

        Credits are those known so far, whatever the batch's status; see ``usage`` of `fetch_jobs`.
        They are missing if those of no job are known, and `credits_on_failed` if those of no
        failed job are. Each job counts once; a job that several batches share, and a parse job
        behind several extract jobs (``extract_credits`` plus each ``parse_job_id``'s
        ``parse_credits``), counts in one of its batches. Without `jobs`, the frame of `outcomes`
        does not show which jobs share a parse job.

        Pages are those in the frame passed, whatever the batch's status. A job counts once per
        batch. The three columns are missing if none of the batch's jobs has pages there, as for
        extract jobs, and `credits_per_page` if the credits of none of them are known.

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.
    TypeError
        If an argument is not a frame, or `results`, `jobs` and `pages` belong to different
        engines.

    Notes
    -----
    The API has no end time. An ended batch is not modified any more, so its ``updated_at`` is the
    best approximation.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status="COMPLETED", limit=3)
    >>> results = lb.fetch_results(batches)
    >>> summary = lb.summarize(batches, results, lb.fetch_jobs(results))
    >>> int(summary.n_files.sum()) == len(results)
    True
    >>> summary.columns[-4:].tolist()
    ['failure_rate', 'duration', 'credits', 'credits_on_failed']
    """
    batch_frame = engines.wrap_frame("batches", batches)
    engines.check_columns(batch_frame, "batch_id", "status", "created_at", "updated_at")
    result_frame = engines.wrap_frame("results", results)
    engines.check_columns(result_frame, "batch_id")
    job_frame = None if jobs is None else engines.wrap_frame("jobs", jobs)
    files = _with_outcomes(result_frame, job_frame, check_distinct=True)
    paged = None if pages is None else engines.wrap_frame("pages", pages)
    added = (*SUMMARY_COLUMNS, *CREDIT_COLUMNS, *PAGE_COLUMNS)
    own = [name for name in engines.column_names(batch_frame) if name not in added]
    if isinstance(batches, pd.DataFrame):
        summary = engines.frame_to_pandas(batch_frame)[own]
    else:
        summary = engines.collect_to_pandas(batch_frame.select(own))
    status, ids = summary["status"].astype(object), summary["batch_id"].astype(object)
    has_credits = "credits" in engines.column_names(files)
    counts = _count_per_batch(files, with_costs=has_credits)
    is_unfinished = counts[_UNFINISHED] > 0
    unfinished = counts.loc[is_unfinished, "batch_id"].astype(object)
    reliable = status.isin(_RELIABLE) & ~ids.isin(unfinished)
    reliable &= ids.isin(counts["batch_id"].astype(object)) | (status != "COMPLETED")
    total, decided, failed = (
        _align_to(counts[["batch_id", name]], ids).fillna(0).astype("Int64").where(reliable)
        for name in COUNT_COLUMNS
    )
    summary = summary.assign(
        n_files=total,
        n_decided=decided,
        n_failed=failed,
        failure_rate=(failed / decided.mask(decided == 0)).astype("Float64"),
        duration=_duration(summary).where(status.isin(list(TERMINAL_STATUSES))),
    )
    if has_credits:
        distinct = has_distinct_jobs(files, result_frame)
        credits_per_batch = sum_credits(files, ["batch_id"], counts, distinct_jobs=distinct)
        for name in CREDIT_COLUMNS:
            values = _align_to(credits_per_batch[["batch_id", name]], ids)
            summary[name] = values.astype("Float64")
    if paged is not None:
        page_counts = count_pages(files, paged)
        for name in PAGE_COLUMNS:
            values = _align_to(page_counts[["batch_id", name]], ids)
            summary[name] = values.astype(page_counts[name].dtype)
    return engines.restore_index(summary, batches) if isinstance(batches, pd.DataFrame) else summary


def ledger(frame: IntoFrame, *, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Count files by outcome, so that the counts add up to the number of rows.

    Parameters
    ----------
    frame
        The frame of `outcomes` or `fetch_results`, of any engine that Narwhals supports; the
        counting runs there.
    by
        One or more columns to group by; by default all files are one group. Rows without a value
        form a group of their own.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted by its keys; the keys, then

        ================= ===== ================================================================
        rows              int64 files of the group: the sum of the columns of outcomes
        …                 int64 files with that outcome, one column each: ``succeeded``,
                                ``partial`` if it occurs, ``mapping_error``,
                                ``job_failed``, ``job_cancelled``, ``job_running``,
                                ``job_unknown``, ``no_job`` if `outcomes` was called with jobs, else
                                ``mapped``, ``mapping_error``, ``no_job``; and any other outcome
                                that occurs
        in_failed_batches int64 files of ``FAILED`` batches, whatever their outcome.
                                `failure_rates` excludes them, so its total is `rows` minus these
        ================= ===== ================================================================

    Raises
    ------
    ValueError
        If a row has no outcome or an unknown one, so that the counts would not add up, or if the
        frame lacks a column.
    TypeError
        If `frame` is not a frame.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status=["COMPLETED", "CANCELLED"], limit=20)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> ledger = lb.ledger(files, by="configuration_id")
    >>> counted = files.outcome.cat.categories.intersection(ledger.columns)
    >>> bool((ledger[counted].sum(axis=1) == ledger.rows).all())
    True
    """
    keys = arguments.parse_group_columns(by, reserved=(_ROWS, _IN_FAILED_BATCHES, *OUTCOMES))
    rows = engines.wrap_frame("frame", frame)
    engines.check_columns(rows, *keys)
    files = _with_outcomes(rows, None)
    counts = _count_outcomes(files, keys)
    n_unknown = int(counts[_ROWS].sum() - counts[list(OUTCOMES)].to_numpy().sum())
    if n_unknown:
        raise ValueError(
            f"{format_count(n_unknown, 'row')} {agree(n_unknown, 'has')} no outcome or an unknown "
            f"one; known are "
            f"{', '.join(OUTCOMES)}. Use the column that outcomes(results, jobs) returns."
        )
    with_jobs = "job_error_message" in engines.column_names(files)
    expected = set(OUTCOMES) - {"mapped", "partial"} if with_jobs else set(_OUTCOMES_WITHOUT_JOBS)
    listed = [name for name in OUTCOMES if name in expected or counts[name].any()]
    return counts[[*keys, _ROWS, *listed, _IN_FAILED_BATCHES]]


def _with_outcomes(results: Frame, jobs: Frame | None, *, check_distinct: bool = False) -> Frame:
    if jobs is None and "outcome" in engines.column_names(results):
        return results
    lazy = check_distinct and isinstance(jobs, nw.LazyFrame)  # others are checked without a scan
    distinct = lazy and jobs is not None and engines.is_distinct(jobs, "job_id")
    return add_outcomes(results, jobs, cost_parts=True, distinct_jobs=distinct)


def _count_per_batch(files: Frame, *, with_costs: bool) -> pd.DataFrame:
    """Count files, decided and failed ones, and the columns of costs, in one pass.

    The column `_UNFINISHED` counts files of a batch that was FAILED or had not ended when its
    results were fetched.
    """
    costs = COST_COLUMNS if with_costs else ()
    if with_costs:
        files = add_cost_columns(files)
    unfinished: nw.Expr = nw.lit(0).cast(nw.Int64)
    if "batch_status" in engines.column_names(files):
        is_reliable = engines.is_one_of(files, "batch_status", _RELIABLE)
        unfinished = engines.flag(~nw.col("batch_status").is_null() & ~is_reliable)
    files = files.with_columns(unfinished.alias(_UNFINISHED))
    kept = ("batch_id", _UNFINISHED, *costs)
    rows = flag_rows(files, detect_kind(files), *kept).with_columns(
        (1 - nw.col("_unreliable")).alias("total"),
        nw.col("_decided").alias("decided"),
        nw.col("_failed").alias("failed"),
    )
    counted = [*COUNT_COLUMNS, _UNFINISHED, *costs]
    sums = nw.col(*counted).sum()
    floats = COST_FLOATS if with_costs else ()
    return engines.aggregate(rows.select("batch_id", *counted), ["batch_id"], sums, floats=floats)


def _count_outcomes(files: Frame, keys: list[str]) -> pd.DataFrame:
    """Count rows per group: all, with each outcome, and in FAILED batches."""
    in_failed_batch = nw.lit(0).cast(nw.Int64)
    if "batch_status" in engines.column_names(files):
        in_failed_batch = engines.flag(engines.is_one_of(files, "batch_status", ["FAILED"]))
    rows = files.select(
        *keys, nw.col("outcome").alias(_OUTCOME), in_failed_batch.alias(_IN_FAILED_BATCHES)
    )
    sums = (nw.len().alias(_ROWS), nw.col(_IN_FAILED_BATCHES).sum())
    cells = engines.aggregate(rows, [*keys, _OUTCOME], *sums)
    outcome = cells[_OUTCOME].astype(object)
    cells = cells.assign(**{name: cells[_ROWS].where(outcome == name, 0) for name in OUTCOMES})
    counted = [_ROWS, *OUTCOMES, _IN_FAILED_BATCHES]
    if not keys:
        return cells[counted].sum().to_frame().T
    groups = cells.groupby(keys, dropna=False, observed=True, sort=False, as_index=False)
    return groups[counted].sum()


def _align_to(per_batch: pd.DataFrame, ids: pd.Series[Any]) -> pd.Series[Any]:
    """Return the value of each id's batch, with the index of the ids; missing if it has none."""
    _, name = per_batch.columns
    values = per_batch.set_index(per_batch["batch_id"].astype(object))[name]
    return values.astype("float64").reindex(ids).set_axis(ids.index)


def _duration(batches: pd.DataFrame) -> pd.Series[Any]:
    return engines.to_utc(batches["updated_at"]) - engines.to_utc(batches["created_at"])
