"""The best hand-written query in Polars, lazily, for the answer of each function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl

_FAILURES = ("job_failed", "mapping_error")
_FAILED = pl.col("outcome").is_in(_FAILURES)
_DECIDED = pl.col("outcome").is_in(("succeeded", "mapped", *_FAILURES))
_RELIABLE = pl.col("batch_status") != "FAILED"


def _scan(folder: Path, name: str) -> pl.LazyFrame:
    return pl.scan_parquet(folder / f"{name}.parquet")


def failure_rates(folder: Path) -> pl.LazyFrame:
    keys = ("configuration_id", pl.col("batch_created_at").dt.truncate("1w"))
    per_batch = (
        _scan(folder, "outcomes")
        .filter(_RELIABLE)
        .group_by(*keys, "batch_id")
        .agg(pl.len(), _DECIDED.sum().alias("n"), _FAILED.sum().alias("k"))
    )
    n, k = pl.col("n").cast(pl.Float64), pl.col("k").cast(pl.Float64)
    return per_batch.group_by("configuration_id", "batch_created_at").agg(
        pl.col("len").sum().alias("total"),
        pl.col("n").sum().alias("decided"),
        pl.col("k").sum().alias("failed"),
        pl.len().alias("batches"),
        (n * n).sum().alias("squares"),
        (k * k / n).sum().alias("failed_squares"),
    )


def ledger(folder: Path) -> pl.LazyFrame:
    in_failed = (~_RELIABLE).sum().alias("in_failed_batches")
    rows = _scan(folder, "outcomes").group_by("configuration_id", "outcome")
    return rows.agg(pl.len().alias("rows"), in_failed)


def _jobs(folder: Path) -> pl.LazyFrame:
    columns = ("job_id", "status", "credits", "updated_at")
    return _scan(folder, "jobs").select(*columns, job_error_message="error_message")


def outcomes(folder: Path) -> pl.LazyFrame:
    latest = pl.all().sort_by("updated_at").last()
    return _joined(folder, _jobs(folder).group_by("job_id").agg(latest))


def _joined(folder: Path, jobs: pl.LazyFrame) -> pl.LazyFrame:
    """Return the results with the outcome, the message and the credits of their jobs."""
    outcome = (
        pl.when(pl.col("error_message") != "")
        .then(pl.lit("mapping_error"))
        .when(pl.col("job_id").is_null())
        .then(pl.lit("no_job"))
        .otherwise(
            pl.col("status").replace_strict(
                {"COMPLETED": "succeeded", "FAILED": "job_failed", "CANCELLED": "job_cancelled"},
                default="job_running",
            )
        )
    )
    rows = _scan(folder, "results").join(jobs, on="job_id", how="left")
    return rows.with_columns(outcome=outcome).drop("status", "updated_at")


def outcomes_counted(folder: Path) -> pl.LazyFrame:
    return outcomes(folder).group_by("outcome").agg(pl.len().alias("total"))


def error_patterns(folder: Path) -> pl.LazyFrame:
    rows = _scan(folder, "outcomes").filter(_FAILED, _RELIABLE)
    time = pl.col("batch_created_at")
    return rows.group_by("outcome", "error_message", "job_error_message").agg(
        pl.len().alias("count"), first_seen=time.min(), last_seen=time.max()
    )


def summarize(folder: Path) -> pl.LazyFrame:
    files = _joined(folder, _jobs(folder))
    counts = files.group_by("batch_id").agg(
        pl.len().alias("n_files"),
        _DECIDED.sum().alias("n_decided"),
        _FAILED.sum().alias("n_failed"),
    )
    per_job = files.drop_nulls("job_id").group_by("job_id")
    costs = (
        per_job.agg(pl.col("batch_id", "outcome").min(), pl.col("credits").max())
        .group_by("batch_id")
        .agg(pl.col("credits").sum(), credits_on_failed=pl.col("credits").filter(_FAILED).sum())
    )
    batches = _scan(folder, "batches")
    reliable = batches.filter(pl.col("status") != "FAILED").select("batch_id")
    counts = reliable.join(counts, on="batch_id", how="left")
    return batches.join(counts, on="batch_id", how="left").join(costs, on="batch_id", how="left")


def _with_files(folder: Path) -> pl.LazyFrame:
    files = _scan(folder, "files").select("source_directory_file_id", "file_id", "display_name")
    return _scan(folder, "outcomes").join(files, on="source_directory_file_id", how="left")


def attempts(folder: Path) -> pl.LazyFrame:
    order = pl.struct("batch_created_at", "batch_id").rank("dense")
    return _with_files(folder).with_columns(attempt=order.over("file_id", "display_name"))


def final_outcomes(folder: Path) -> pl.LazyFrame:
    order = [
        _RELIABLE,
        pl.col("outcome").is_in(("succeeded", "mapped")),
        pl.col("batch_created_at"),
    ]
    last = ("outcome", "batch_id", "job_id", "configuration_id", "batch_status")
    message = pl.coalesce("error_message", "job_error_message").alias("message")
    return (
        _with_files(folder)
        .group_by("file_id", "display_name")
        .agg(
            pl.col("batch_id").n_unique().alias("runs"),
            pl.col(*last, "source_directory_file_id").sort_by(order).last(),
            message.sort_by(order).last(),
            pl.col("credits").sum(),
        )
    )


def compare_configurations(folder: Path) -> pl.LazyFrame:
    rows = _scan(folder, "outcomes").filter(_RELIABLE, _DECIDED)
    earliest = pl.col("batch_created_at").arg_min()
    a, b = (
        rows.filter(pl.col("configuration_id") == name)
        .group_by("source_directory_file_id")
        .agg(pl.col("batch_id").get(earliest), pl.col("outcome").get(earliest).is_in(_FAILURES))
        for name in ("cfg-0", "cfg-1")
    )
    keys = ("batch_id", "batch_id_right", "outcome", "outcome_right")
    pairs = a.join(b, on="source_directory_file_id")
    return pairs.group_by(keys).agg(pl.len().alias("n_pairs"))


QUERIES: dict[str, Callable[[Path], pl.LazyFrame]] = {
    "failure_rates": failure_rates,
    "ledger": ledger,
    "outcomes, counted": outcomes_counted,
    "outcomes, all rows": outcomes,
    "error_patterns": error_patterns,
    "summarize": summarize,
    "attempts": attempts,
    "final_outcomes": final_outcomes,
    "compare_configurations": compare_configurations,
}


def run(name: str, folder: Path) -> pd.DataFrame:
    """Run a query on the Parquet files of a folder and return its answer as pandas."""
    return QUERIES[name](folder).collect().to_pandas()
