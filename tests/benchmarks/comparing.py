"""Speed and memory of comparing two configurations, beside the best hand-written queries.

Run `python -m tests.benchmarks.comparing [ROWS]` from the root of the repository. All read one
Parquet file of four configurations that ran the same files. The hand-written query returns the same
counts: first decided runs, by pair of batches and outcome. Each runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import llama_batches_nb as lb
from tests.benchmarks.memory import peak

ROWS = 10_000_000
FILES_PER_BATCH = 500
N_CONFIGURATIONS = 4
DECIDED = ("succeeded", "mapped", "job_failed", "mapping_error")
HAND_WRITTEN_SQL = """
with firsts as (
    select source_directory_file_id, configuration_id,
        arg_min(batch_id, batch_created_at) as batch_id,
        arg_min(outcome in ('job_failed', 'mapping_error'), batch_created_at) as failed
    from read_parquet('{path}')
    where configuration_id in ('cfg-0', 'cfg-1') and batch_status <> 'FAILED'
        and outcome in ('succeeded', 'mapped', 'job_failed', 'mapping_error')
    group by all
)
select a.batch_id, b.batch_id, a.failed, b.failed, count(*) as n
from firsts a join firsts b using (source_directory_file_id)
where a.configuration_id = 'cfg-0' and b.configuration_id = 'cfg-1' group by all
"""


def write_outcomes(path: Path, n_rows: int) -> None:
    """Write outcomes of files that each configuration ran once, in batches of 500."""
    draw = np.random.default_rng(0)
    n_files = n_rows // N_CONFIGURATIONS
    ids = pa.array([f"dfl-{UUID(bytes=draw.bytes(16))}" for _ in range(n_files)])
    batch = np.arange(n_files) // FILES_PER_BATCH
    start = np.datetime64("2026-01-01", "us")
    writer = None
    for number in range(N_CONFIGURATIONS):
        batch_ids = [f"bat-{UUID(bytes=draw.bytes(16))}" for _ in range(batch[-1] + 1)]
        rates = draw.beta(0.5, 9.5, len(batch_ids))[batch]
        chance = draw.random(n_files)
        outcome = np.select([chance < rates, chance > 0.98], [1, 2], 0)
        times = start + (batch * N_CONFIGURATIONS + number) * np.timedelta64(60, "s")
        rows = pa.table(
            {
                "batch_id": pa.array(batch_ids).take(pa.array(batch)),
                "batch_status": pa.repeat("COMPLETED", n_files),
                "batch_created_at": pa.array(times).cast(pa.timestamp("us", "UTC")),
                "configuration_id": pa.repeat(f"cfg-{number}", n_files),
                "source_directory_file_id": ids,
                "outcome": pa.array(["succeeded", "job_failed", "job_cancelled"]).take(
                    pa.array(outcome)
                ),
            }
        )
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows, row_group_size=500_000)
    if writer:
        writer.close()


def ours_on_polars(path: str) -> int:
    return int(lb.compare_configurations(pl.scan_parquet(path), "cfg-0", "cfg-1").n_pairs[0])


def ours_on_duckdb(path: str) -> int:
    return int(lb.compare_configurations(duckdb.read_parquet(path), "cfg-0", "cfg-1").n_pairs[0])


def hand_written_on_polars(path: str) -> int:
    rows = pl.scan_parquet(path).filter(
        pl.col("batch_status") != "FAILED", pl.col("outcome").is_in(DECIDED)
    )
    earliest = pl.col("batch_created_at").arg_min()
    a, b = (
        rows.filter(pl.col("configuration_id") == name)
        .group_by("source_directory_file_id")
        .agg(
            pl.col("batch_id").get(earliest),
            pl.col("outcome").get(earliest).is_in(("job_failed", "mapping_error")),
        )
        for name in ("cfg-0", "cfg-1")
    )
    keys = ("batch_id", "batch_id_right", "outcome", "outcome_right")
    pairs = a.join(b, on="source_directory_file_id").group_by(keys).agg(pl.len().alias("n"))
    return int(pairs.collect()["n"].sum())


def hand_written_on_duckdb(path: str) -> int:
    pairs = duckdb.execute(HAND_WRITTEN_SQL.format(path=path)).df()
    return int(pairs["n"].sum())


QUERIES: dict[str, Callable[[str], int]] = {
    "hand-written, polars": hand_written_on_polars,
    "ours, polars": ours_on_polars,
    "hand-written, duckdb": hand_written_on_duckdb,
    "ours, duckdb": ours_on_duckdb,
}


def measure(name: str, path: str) -> None:
    """Print the time and the peak memory of one query in this process."""
    start = time.perf_counter()
    n_pairs = QUERIES[name](path)
    seconds = time.perf_counter() - start
    gigabytes = peak() / 1024
    print(
        f"{name:22} {seconds:6.2f} s  {gigabytes:5.2f} GiB  {n_pairs:,} pairs of files", flush=True
    )


def main() -> None:
    """Write the rows, and measure each query in a new process."""
    if len(sys.argv) == 3:
        measure(*sys.argv[1:])
        return
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outcomes.parquet")
        write_outcomes(path, n_rows)
        print(f"\ncompare_configurations, {n_rows:,} rows", flush=True)
        for name in QUERIES:
            command = [sys.executable, "-m", "tests.benchmarks.comparing", name, str(path)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
