"""Time and peak memory of `failure_rates` beside hand-written queries for the same numbers.

Run `python -m tests.benchmarks.analysis` from the root of the repository, or with a number of rows
other than ten million. Both count decided and failed files per configuration and week, and the
moments that intervals need per batch; each runs in a process of its own, in the same engine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import llama_batches_nb as lb
from tests.benchmarks.memory import peak

ROWS = 10_000_000
FILES_PER_BATCH = 500
ROWS_PER_GROUP = 1_000_000  # of the Parquet file
BY = "configuration_id"

SQL = """
with flagged as (
    select configuration_id, batch_id,
        date_trunc('week', batch_created_at at time zone 'UTC') as week,
        (outcome in ('succeeded', 'mapped', 'job_failed', 'mapping_error'))::int as decided,
        (outcome in ('job_failed', 'mapping_error'))::int as failed
    from '{path}' where batch_status <> 'FAILED'
), per_batch as (
    select configuration_id, week, batch_id, count(*) as total, sum(decided) as n, sum(failed) as k
    from flagged group by all
)
select configuration_id, week, sum(total), sum(n) as decided, sum(k) as failed, count(*),
    sum(n * n), sum(k * k / n)
from per_batch group by all order by all
"""


def write_files(path: Path, rows: int) -> None:
    """Write the outcomes of files of a year, of eight configurations."""
    rng = np.random.default_rng(7)
    writer = None
    for start in range(0, rows, ROWS_PER_GROUP):
        count = min(ROWS_PER_GROUP, rows - start)
        batch = np.arange(start, start + count) // FILES_PER_BATCH
        seconds = batch * (365 * 86_400 // (rows // FILES_PER_BATCH + 1))
        outcome = np.where(rng.random(count) < 0.05, "job_failed", "succeeded")
        table = pa.table(
            {
                "batch_id": pa.array(np.char.add("bat-", batch.astype(str))),
                "batch_status": pa.array(np.where(batch % 50 == 0, "FAILED", "COMPLETED")),
                "batch_created_at": pa.array(
                    (1_767_225_600 + seconds) * 1_000_000, pa.timestamp("us", tz="UTC")
                ),
                BY: pa.array(np.char.add("cfg-", (batch % 8).astype(str))),
                "outcome": pa.array(outcome),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def polars_query(files: pl.LazyFrame) -> pd.DataFrame:
    """Count with Polars, lazily."""
    failed = pl.col("outcome").is_in(["job_failed", "mapping_error"])
    decided = pl.col("outcome").is_in(["succeeded", "mapped", "job_failed", "mapping_error"])
    per_batch = (
        files.filter(pl.col("batch_status") != "FAILED")
        .group_by(BY, pl.col("batch_created_at").dt.truncate("1w"), "batch_id")
        .agg(pl.len(), decided.sum().alias("n"), failed.sum().alias("k"))
    )
    n, k = pl.col("n").cast(pl.Float64), pl.col("k").cast(pl.Float64)
    cells = per_batch.group_by(BY, "batch_created_at").agg(
        pl.col("len").sum(),
        pl.col("n").sum().alias("decided"),
        pl.col("k").sum().alias("failed"),
        pl.len().alias("batches"),
        (n * n).sum().alias("squares"),
        (k * k / n).sum().alias("failed_squares"),
    )
    return cells.sort(BY, "batch_created_at").collect().to_pandas()


def pandas_query(files: pd.DataFrame) -> pd.DataFrame:
    """Count with pandas."""
    files = files[files["batch_status"] != "FAILED"]
    failed = files["outcome"].isin(["job_failed", "mapping_error"])
    decided = failed | files["outcome"].isin(["succeeded", "mapped"])
    flags = files[[BY, "batch_id"]].assign(
        day=files["batch_created_at"].dt.floor("D"), total=1, decided=decided, failed=failed
    )
    per_batch = flags.groupby([BY, "day", "batch_id"], dropna=False).sum().reset_index()
    n, k = per_batch["decided"].astype("float64"), per_batch["failed"].astype("float64")
    day = per_batch["day"].astype("datetime64[us, UTC]")
    week = day.dt.tz_localize(None).dt.to_period("W").dt.start_time
    cells = per_batch.assign(week=week, squares=n * n, failed_squares=k * k / n)
    columns = ["total", "decided", "failed", "squares", "failed_squares"]
    return cells.groupby([BY, "week"], dropna=False)[columns].sum().reset_index()


def duckdb_query(path: Path) -> pd.DataFrame:
    """Count with SQL."""
    with duckdb.connect() as connection:
        counted: pd.DataFrame = connection.execute(SQL.format(path=path)).df()
    return counted


def rates(frame: Any) -> pd.DataFrame:
    return lb.failure_rates(frame, by=BY, freq="W")


def read_pandas(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, dtype_backend="pyarrow")


Read = Callable[[Path], Any]
Query = Callable[[Any], pd.DataFrame]

RUNS: dict[str, tuple[Read, Query]] = {
    "Polars lazy, by hand": (pl.scan_parquet, polars_query),
    "Polars lazy, failure_rates": (pl.scan_parquet, rates),
    "DuckDB, by hand": (lambda path: path, duckdb_query),
    "DuckDB, failure_rates": (lambda path: duckdb.read_parquet(str(path)), rates),
    "pandas on Arrow, by hand": (read_pandas, pandas_query),
    "pandas on Arrow, failure_rates": (read_pandas, rates),
}


def measure(name: str, path: Path) -> None:
    """Run one query twice and print its shorter time, the peak memory, and what it counted."""
    read, query = RUNS[name]
    frame = read(path)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        result = query(frame)
        times.append(time.perf_counter() - start)
    counted = f"{int(result['decided'].sum()):,} decided, {int(result['failed'].sum()):,} failed"
    print(f"| {name} | {min(times):.2f} s | {peak():,.0f} MiB | {counted} |", flush=True)


def main(rows: int) -> None:
    """Print the table of all runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files.parquet"
        write_files(path, rows)
        print(
            f"| {rows:,} files | time | peak memory | counted |\n| --- | --: | --: | --- |",
            flush=True,
        )
        for name in RUNS:
            command = [sys.executable, "-m", "tests.benchmarks.analysis", name, str(path)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else ROWS)
