"""What became of each batch, and a ledger of files that adds up. Pure; engines do the counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis import rates
from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.statuses import OUTCOMES, TERMINAL_STATUSES

SUMMARY_COLUMNS = ["n_files", "n_decided", "n_failed", "failure_rate", "duration"]
CREDIT_COLUMNS = ["credits", "credits_on_failed"]

_RELIABLE = ("COMPLETED", "CANCELLED")  # a batch that ended so has told of all its files
_MAPPING_WORDS = ("mapped", "mapping_error", "no_job")
_ROWS, _IN_FAILED_BATCHES = "rows", "in_failed_batches"


def summarize(batches: Any, results: Any, jobs: Any = None) -> pd.DataFrame:
    """Tell of each batch how many of its files failed, how long it took and what it cost.

    Parameters
    ----------
    batches
        The frame of `fetch_batches`, or any with the columns ``batch_id``, ``status``,
        ``created_at`` and ``updated_at``: pandas, or what else Narwhals takes.
    results
        The frame of `fetch_results` over all of these batches, or of `outcomes`.
    jobs
        The frame of `fetch_jobs` over the results. Without it, and unless `results` come from
        `outcomes` with jobs, only the mapping is known: a file is decided once it has a job, and
        failed if it could get none.

    Returns
    -------
    pandas.DataFrame
        The batches, each row where it was, and the columns

        ================= =============== ====================================================
        n_files           Int64           files of the batch
        n_decided         Int64           of these, successes and failures, as in `failure_rates`
        n_failed          Int64           of these, failures
        failure_rate      Float64         failed ÷ decided; missing where nothing is decided
        duration          timedelta64[us] from ``created_at`` to ``updated_at`` of an ended batch
        credits           Float64         billed for its jobs, each job once; only with jobs
        credits_on_failed Float64         of these, for files that failed; only with jobs
        ================= =============== ====================================================

        The counts are missing where nothing reliable is known: the batch is ``FAILED`` or has not
        ended, or had not when its results were fetched. An ended batch of which `results` have no
        row has 0 files. Credits are those recorded so far, whatever the batch's status: missing
        where no job of the batch has any, and 0 on failed files where none of these has.

    Raises
    ------
    ValueError
        If a frame lacks one of the columns.

    Notes
    -----
    The API gives no time of the end. An ended batch is not touched any more, so that its
    ``updated_at`` is the nearest there is.

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
    engines.check_columns(batches, "batch_id", "status", "created_at", "updated_at")
    engines.check_columns(results, "batch_id")
    names = engines.column_names(batches)
    files = _with_outcomes(results, jobs)
    own = [name for name in names if name not in (*SUMMARY_COLUMNS, *CREDIT_COLUMNS)]
    if isinstance(batches, pd.DataFrame):
        kept = batches[own]
    else:
        kept = engines.collect_to_pandas(engines.wrap_frame(batches).select(own))
    status, ids = kept["status"].astype(object), kept["batch_id"].astype(object)
    known = status.isin(_RELIABLE) & ~ids.isin(_unreliable(files))
    counted = rates.failure_rates(files, by="batch_id")
    total, decided, failed = (
        _align_to(counted[["batch_id", name]], ids).fillna(0).astype("Int64").where(known)
        for name in rates.COUNT_COLUMNS
    )
    summary = kept.assign(
        n_files=total,
        n_decided=decided,
        n_failed=failed,
        failure_rate=(failed / decided.mask(decided == 0)).astype("Float64"),
        duration=_duration(kept).where(status.isin(list(TERMINAL_STATUSES))),
    )
    if "credits" in engines.column_names(files):
        spent = _credits_per_batch(files)
        for name in CREDIT_COLUMNS:
            summary[name] = _align_to(spent[["batch_id", name]], ids).astype("Float64")
    return summary


def ledger(frame: Any, *, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Count files by what became of them, so that the counts add up to the rows.

    Parameters
    ----------
    frame
        The frame of `outcomes` or of `fetch_results`: pandas, or what else Narwhals takes. The
        counting runs there.
    by
        A column or several to group by; without, all files are one group. Rows without a value
        form a group of their own.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted by its keys; the keys, then

        ================= ===== ================================================================
        rows              int64 files of the group; the sum of the outcomes
        …                 int64 files with that outcome, a column for each: ``succeeded``,
                                ``mapping_error``, ``job_failed``, ``job_cancelled``,
                                ``job_running``, ``job_unknown``, ``no_job`` if `outcomes` was
                                given jobs, else ``mapped``, ``mapping_error``, ``no_job``; and
                                any other that a row has
        in_failed_batches int64 files of ``FAILED`` batches, whatever their outcome:
                                `failure_rates` leaves them out, so its total is `rows` less these
        ================= ===== ================================================================

    Raises
    ------
    ValueError
        If a row has no outcome or an unknown one, so that the ledger would not add up, or the
        frame lacks a column.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status=["COMPLETED", "CANCELLED"], limit=20)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> ledger = lb.ledger(files, by="configuration_id")
    >>> words = files.outcome.cat.categories.intersection(ledger.columns)
    >>> bool((ledger[words].sum(axis=1) == ledger.rows).all())
    True
    """
    keys = arguments.parse_column_names("by", by)
    if not {_ROWS, _IN_FAILED_BATCHES, *OUTCOMES}.isdisjoint(keys):
        raise ValueError(f"by={by!r}: the answer has a column of that name too, so rename yours.")
    engines.check_columns(frame, *keys)
    files = _with_outcomes(frame, None)
    counts = _counted(engines.wrap_frame(files), keys)
    lost = int(counts[_ROWS].sum() - counts[list(OUTCOMES)].to_numpy().sum())
    if lost:
        raise ValueError(
            f"{lost:,} rows have no outcome, or none of {', '.join(OUTCOMES)}: take the column "
            "as outcomes(results, jobs) makes it."
        )
    with_jobs = "job_error_message" in engines.column_names(files)
    usual = set(OUTCOMES) - {"mapped"} if with_jobs else set(_MAPPING_WORDS)
    words = [word for word in OUTCOMES if word in usual or counts[word].any()]
    return counts[[*keys, _ROWS, *words, _IN_FAILED_BATCHES]]


def _with_outcomes(results: Any, jobs: Any) -> Any:
    if jobs is None and "outcome" in engines.column_names(results):
        return results
    return outcomes(results, jobs)


def _unreliable(files: Any) -> list[Any]:
    """Return the batches which had not ended, or had failed, when their results were fetched."""
    if "batch_status" not in engines.column_names(files):
        return []
    status = nw.col("batch_status").cast(nw.String)
    found = engines.wrap_frame(files).filter(~status.is_null() & ~status.is_in(_RELIABLE))
    return engines.collect_to_pandas(found.select("batch_id").unique())["batch_id"].tolist()


def _credits_per_batch(files: Any) -> pd.DataFrame:
    """Return what was billed for each batch, and of this for files that failed."""
    failed = nw.col("outcome").cast(nw.String).is_in(rates.OUTCOMES_KIND.failures)
    jobs = (
        engines.wrap_frame(files)
        .filter(~nw.col("credits").is_null())
        .select(
            "batch_id",
            "job_id",
            nw.col("credits").cast(nw.Float64),
            _as_int(failed).alias("credits_on_failed"),
        )
        .group_by("batch_id", "job_id")
        .agg(nw.col("credits").max(), nw.col("credits_on_failed").max())
        .with_columns(credits_on_failed=nw.col("credits") * nw.col("credits_on_failed"))
    )
    return engines.collect_to_pandas(jobs.group_by("batch_id").agg(nw.col(*CREDIT_COLUMNS).sum()))


def _counted(frame: Any, keys: list[str]) -> pd.DataFrame:
    """Count each outcome per group."""
    word = nw.col("outcome").cast(nw.String)
    marks = [_as_int(word.is_in([one])).alias(one) for one in OUTCOMES]
    in_failed = nw.lit(0).cast(nw.Int64)
    if "batch_status" in frame.collect_schema().names():
        in_failed = _as_int(nw.col("batch_status").cast(nw.String).is_in(["FAILED"]))
    marked = frame.select(*keys, *marks, in_failed.alias(_IN_FAILED_BATCHES))
    sums = (nw.len().alias(_ROWS), nw.col(*OUTCOMES, _IN_FAILED_BATCHES).sum())
    return engines.aggregate(marked, keys, *sums)


def _as_int(condition: nw.Expr) -> nw.Expr:
    """Return 1 or 0, which every engine can sum."""
    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64)


def _align_to(per_batch: pd.DataFrame, ids: pd.Series[Any]) -> pd.Series[Any]:
    """Return the value of each batch on the rows of its id; missing where it has none."""
    _, name = per_batch.columns
    values = per_batch.set_index(per_batch["batch_id"].astype(object))[name]
    return values.astype("float64").reindex(ids).set_axis(ids.index)


def _duration(batches: pd.DataFrame) -> pd.Series[Any]:
    return engines.to_utc(batches["updated_at"]) - engines.to_utc(batches["created_at"])
