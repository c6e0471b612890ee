"""Time and peak memory of the analysis functions beside hand-written queries.

Run `python -m tests.benchmarks.analysis [ROWS]` from the root of the repository. All read the same
Parquet files, each in a process of its own; the shorter of two runs counts. Polars and DuckDB read
within the query. The frames of pandas are read before, with the dtypes of the toolkit, and its
queries are compared with DuckDB's, whose answer is converted to pandas. Both answers must have the
same sums of the columns of numbers that they share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import isclose
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

import llama_batches_nb as lb
from llama_batches_nb.tables import schema
from tests.benchmarks.analysis import polars_queries, sql
from tests.benchmarks.analysis.tables import write_tables
from tests.benchmarks.memory import peak

ROWS = 1_000_000
ENGINES = ("polars", "duckdb", "pandas")
COLUMNS = [
    *(column for table in (schema.RESULTS, schema.JOBS, schema.FILES) for column in table.columns),
    *(*schema.BATCHES.columns, schema.OUTCOME_COLUMN),
]

Measured = tuple[float, float, dict[str, float]]  # seconds, GiB, sums


def _counted(outcomes: Any) -> pd.DataFrame:
    counts = nw.from_native(outcomes).group_by("outcome").agg(nw.len().alias("total"))
    collected = counts.collect() if isinstance(counts, nw.LazyFrame) else counts
    return collected.to_pandas()


def _collected(outcomes: Any) -> pd.DataFrame:
    frame = nw.from_native(outcomes)
    return (frame.collect() if isinstance(frame, nw.LazyFrame) else frame).to_pandas()


OURS: dict[str, tuple[tuple[str, ...], Callable[..., pd.DataFrame]]] = {
    "failure_rates": (
        ("outcomes",),
        lambda files: lb.failure_rates(files, by="configuration_id", freq="W"),
    ),
    "ledger": (("outcomes",), lambda files: lb.ledger(files, by="configuration_id")),
    "outcomes, counted": (("results", "jobs"), lambda *both: _counted(lb.outcomes(*both))),
    "outcomes, all rows": (("results", "jobs"), lambda *both: _collected(lb.outcomes(*both))),
    "error_patterns": (("outcomes",), lb.error_patterns),
    "summarize": (("batches", "results", "jobs"), lb.summarize),
    "attempts": (("outcomes", "files"), lb.attempts),
    "final_outcomes": (("outcomes", "files"), lb.final_outcomes),
    "compare_configurations": (
        ("outcomes",),
        lambda files: lb.compare_configurations(files, "cfg-0", "cfg-1"),
    ),
}


def _read_pandas(path: Path) -> pd.DataFrame:
    rows = pq.read_table(path)
    return schema.to_pandas(
        rows, [column for column in COLUMNS if column.name in rows.column_names]
    )


def _query(side: str, engine: str, name: str, folder: Path) -> Callable[[], pd.DataFrame]:
    """Return a call of one query; frames of pandas are read before."""
    if side == "by hand":
        run = polars_queries.run if engine == "polars" else sql.run
        return lambda: run(name, folder)
    tables, ours = OURS[name]
    paths = [folder / f"{table}.parquet" for table in tables]
    if engine == "pandas":
        frames: list[Any] = [_read_pandas(path) for path in paths]
        return lambda: ours(*frames)
    if engine == "polars":
        return lambda: ours(*map(pl.scan_parquet, paths))
    return lambda: ours(*(duckdb.read_parquet(str(path)) for path in paths))


def measure(side: str, engine: str, name: str, folder: Path) -> None:
    """Print the shorter time of two runs, the peak memory, and the sums of the answer's columns."""
    query = _query(side, engine, name, folder)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        answer = query()
        times.append(time.perf_counter() - start)
        numbers = answer.select_dtypes("number", exclude="timedelta")
        sums = {str(column): float(values.sum()) for column, values in numbers.items()}
        del answer, numbers
    print(json.dumps([min(times), peak() / 1024, sums]))


def _measure_apart(side: str, engine: str, name: str, folder: Path) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.analysis", side, engine, name, str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory, sums = json.loads(output)
    return seconds, memory, sums


def _compare(ours: dict[str, float], by_hand: dict[str, float]) -> str:
    """Return which columns of numbers, of those in both answers, have other sums."""
    shared = [column for column in ours if column in by_hand]
    differ = [column for column in shared if not isclose(ours[column], by_hand[column])]
    if not shared:
        return " (nothing to compare!)"
    return f" ({', '.join(differ)} differ!)" if differ else ""


def main(n_rows: int, names: list[str], folder: Path) -> None:
    """Print one row per function and engine: ours, by hand, and the ratios."""
    print(
        f"| {n_rows:,} rows | engine | ours | by hand | ratio of times | ratio of memory |\n"
        "| --- | --- | --: | --: | --: | --: |",
        flush=True,
    )
    for name in names:
        by_hand: dict[str, Measured] = {}
        for engine in ENGINES:
            seconds, memory, sums = _measure_apart("ours", engine, name, folder)
            other = "duckdb" if engine == "pandas" else engine
            if other not in by_hand:
                by_hand[other] = _measure_apart("by hand", other, name, folder)
            hand_seconds, hand_memory, hand_sums = by_hand[other]
            note = _compare(sums, hand_sums)
            print(
                f"| {name}{note} | {engine} | {seconds:.2f} s, {memory:.2f} GiB "
                f"| {hand_seconds:.2f} s, {hand_memory:.2f} GiB "
                f"| {seconds / hand_seconds:.1f} | {memory / hand_memory:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 4:
        measured_side, of_engine, function, read_from = arguments
        measure(measured_side, of_engine, function, Path(read_from))
    else:
        rows = int(arguments[0]) if arguments else ROWS
        with tempfile.TemporaryDirectory() as temporary:
            write_tables(Path(temporary), rows)
            main(rows, list(OURS), Path(temporary))
