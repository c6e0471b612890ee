"""Failure rates of the first and the last run of each file."""

from __future__ import annotations

from typing import Any, Literal

import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import llama_batches_nb as lb

TIMES = pd.to_datetime(["2026-08-03", "2026-08-10", "2026-08-17"], utc=True).as_unit("us")


def runs(*rows: tuple[str | None, int, str]) -> pd.DataFrame:
    """Return runs of (file, batch, outcome)."""
    return pd.DataFrame(
        {
            "file_id": pd.Series([file for file, _, _ in rows], dtype="string"),
            "display_name": [f"{file}.pdf" for file, _, _ in rows],
            "source_directory_file_id": [f"{file}-{batch}" for file, batch, _ in rows],
            "batch_id": [f"bat-{batch}" for _, batch, _ in rows],
            "batch_created_at": [TIMES[batch] for _, batch, _ in rows],
            "outcome": [outcome for _, _, outcome in rows],
        }
    )


RETRIED = runs(
    ("a", 1, "succeeded"),
    ("a", 0, "job_failed"),
    ("b", 0, "succeeded"),
    ("c", 2, "job_running"),
    ("c", 1, "job_failed"),
    ("c", 0, "job_failed"),
)

ENGINES: dict[str, Any] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "lazy polars": lambda frame: pl.from_pandas(frame).lazy(),
    "pyarrow": pa.Table.from_pandas,
    "duckdb": lambda frame: duckdb.from_arrow(pa.Table.from_pandas(frame)),
    "dask": dd.from_pandas,
}


@pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=pytest.mark.dask if name == "dask" else ()) for name in ENGINES],
)
@pytest.mark.parametrize(
    ("which", "expected"), [("all", [6, 5, 3]), ("first", [3, 3, 2]), ("last", [3, 2, 0])]
)
def test_runs_of_each_file_are_counted(
    engine: str, which: Literal["all", "first", "last"], expected: list[int]
) -> None:
    for frame in (RETRIED, RETRIED[::-1]):
        rates = lb.failure_rates(ENGINES[engine](frame), runs=which)
        assert rates[["total", "decided", "failed"]].to_numpy().tolist() == [expected]


def test_retries_do_not_raise_the_rate_of_their_week() -> None:
    first = lb.failure_rates(RETRIED, freq="W", runs="first")
    assert first.batch_created_at.dt.day.tolist() == [3]
    assert first[["total", "failed"]].to_numpy().tolist() == [[3, 2]]


def test_runs_are_those_that_attempts_number() -> None:
    files = RETRIED[["source_directory_file_id", "file_id", "display_name"]]
    numbered = lb.attempts(RETRIED.drop(columns=["file_id", "display_name"]), files)
    first = lb.failure_rates(numbered, by="batch_id", runs="first")
    pd.testing.assert_frame_equal(
        first, lb.failure_rates(numbered[numbered.attempt == 1], by="batch_id")
    )


def test_each_file_counts_once_in_batches_of_the_same_time() -> None:
    same = RETRIED.assign(batch_created_at=TIMES[0])
    for which in ("first", "last"):
        forward, backward = (
            lb.failure_rates(frame, by="batch_id", runs=which) for frame in (same, same[::-1])
        )
        assert forward.total.sum() == 3
        pd.testing.assert_frame_equal(forward, backward)


def test_each_unknown_file_counts_as_its_own() -> None:
    unknown = runs((None, 0, "job_failed"), (None, 1, "succeeded")).drop(columns="display_name")
    assert (
        lb.failure_rates(unknown.assign(source_directory_file_id=["x", "y"]), runs="first").total[0]
        == 2
    )
    without = unknown.drop(columns="source_directory_file_id")
    for engine in ("pandas", "lazy polars", "duckdb"):
        assert lb.failure_rates(ENGINES[engine](without), runs="last").total[0] == 2


@pytest.mark.parametrize("engine", ["pandas", "lazy polars", "duckdb"])
def test_run_without_a_time_is_the_last(engine: str) -> None:
    frame = runs(("a", 0, "job_failed"), ("a", 1, "job_cancelled"), ("b", 2, "succeeded"))
    frame.loc[[0, 2], "batch_created_at"] = pd.NaT
    read = ENGINES[engine]
    assert lb.failure_rates(read(frame), runs="first").failed.tolist() == [0]
    assert lb.failure_rates(read(frame), runs="last").failed.tolist() == [1]
    columns = dict.fromkeys(["configuration_id", "error_message", "job_id"])
    final = lb.final_outcomes(frame.assign(**columns))
    assert final.outcome.tolist() == ["job_failed", "succeeded"]


def test_runs_need_file_ids() -> None:
    with pytest.raises(ValueError, match=r"lacks 'file_id': pass attempts\("):
        lb.failure_rates(RETRIED.drop(columns="file_id"), runs="first")
    batches = pd.DataFrame({"status": ["FAILED"], "file_id": ["a"], "created_at": TIMES[:1]})
    with pytest.raises(ValueError, match="has no files"):
        lb.failure_rates(batches, runs="first")
    with pytest.raises(ValueError, match="runs='once' must be one of"):
        lb.failure_rates(RETRIED, runs="once")  # type: ignore[arg-type]
