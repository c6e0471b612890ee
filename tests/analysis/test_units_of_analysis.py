"""What is counted: files, runs, batches or jobs. Each case has a true value that is known."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle.retry_plan import plan_retries
from tests.plotting.drawing import heading

START = pd.Timestamp("2026-06-01", tz="UTC")  # a Monday


def batch_of(number: int, failed: Any, week: int = 0, **columns: Any) -> pd.DataFrame:
    """Return the outcomes of a batch with one file for each flag."""
    flags = np.asarray(failed, dtype=bool)
    files = [f"dfl-{number}-{n}" for n in range(len(flags))]
    frame = pd.DataFrame(
        {
            "batch_id": f"bat-{number}",
            "batch_status": "COMPLETED",
            "batch_created_at": START + pd.Timedelta(weeks=week, hours=number % 24),
            "configuration_id": "cfg-1",
            "source_directory_id": f"dir-{number}",
            "source_directory_file_id": files,
            "job_type": "parse_v2",
            "job_id": [f"pjb-{number}-{n}" for n in range(len(flags))],
            "error_message": None,
            "outcome": np.where(flags, "job_failed", "succeeded"),
            "file_id": [f"fil {name}" for name in files],
            "display_name": [f"{name}.pdf" for name in files],
        }
    )
    return frame.assign(**columns)


def rerun(runs: pd.DataFrame, number: int, outcomes: Any, week: int = 0) -> pd.DataFrame:
    """Return a batch over the same stored files, in a new directory, as `retry_failed` makes it."""
    again = batch_of(number, np.zeros(len(runs)), week, outcome=np.asarray(outcomes, dtype=object))
    return again.assign(file_id=runs["file_id"].array, display_name=runs["display_name"].array)


def with_attempts(runs: pd.DataFrame) -> pd.DataFrame:
    files = runs[["source_directory_file_id", "file_id", "display_name"]]
    return lb.attempts(runs.drop(columns=["file_id", "display_name"]), files)


def planned(runs: pd.DataFrame) -> int:
    """Return how many files `retry_failed` would retry."""
    plan = plan_retries(with_attempts(runs), set(), {})
    return int((plan["action"] == "retry").sum())


@pytest.mark.slow
def test_160_old_failures_run_again_do_not_raise_the_rate_of_new_files() -> None:
    """4 % of 4,000 new files fail, 800 a week; in week 5 the 160 failures run again, half fail."""
    numbers = count()
    new = pd.concat(
        [batch_of(next(numbers), np.arange(100) < 4, week) for week in range(5) for _ in range(8)]
    )
    failed = new[new.outcome == "job_failed"].reset_index(drop=True)
    assert len(failed) == 160
    halves = np.where(np.arange(160) < 80, "succeeded", "job_failed")
    runs = with_attempts(
        pd.concat([new, rerun(failed, next(numbers), halves, week=4)], ignore_index=True)
    )
    assert lb.failure_rates(runs, freq="W").failure_rate.iloc[4] > 0.11
    first = lb.failure_rates(runs, freq="W", runs="first")
    assert first.failure_rate.tolist() == [0.04] * 5
    assert first.total.tolist() == [800] * 5
    assert lb.rate_changes(first).empty
    still = lb.failure_rates(lb.final_outcomes(runs)).iloc[0]
    assert (still.total, still.failed) == (4000, 80)
    assert planned(runs) == 80


def test_10_files_of_which_4_were_retried_stay_10_files() -> None:
    """Of the four, two succeed, one fails again, and one is running."""
    first = batch_of(1, np.arange(10) < 4)
    outcomes = ["succeeded", "succeeded", "job_failed", "job_running"]
    runs = pd.concat([first, rerun(first.head(4), 2, outcomes)], ignore_index=True)
    final = lb.final_outcomes(with_attempts(runs))
    rate = lb.failure_rates(final).iloc[0]
    assert (rate.total, rate.decided, rate.failed, rate.undecided) == (10, 9, 1, 1)
    assert planned(runs) == 1


def test_40_slow_files_leave_the_rate_open_between_0_and_40_percent() -> None:
    runs = batch_of(1, np.zeros(100))
    runs.loc[60:, "outcome"] = ["job_running"] * 20 + ["job_cancelled"] * 20
    rate = lb.failure_rates(runs).iloc[0]
    assert (rate.total, rate.decided, rate.failed, rate.undecided) == (100, 60, 0, 40)
    assert rate.failed / rate.total == 0
    assert (rate.failed + rate.undecided) / rate.total == 0.4
    ax = lb.plot_failure_rates(runs, by="configuration_id")
    assert "dotted: range if the undecided rows all succeed or all fail" in heading(ax)


def test_files_of_5_failed_batches_of_10_are_unreliable() -> None:
    runs = pd.concat(
        [
            batch_of(n, np.arange(100) < 1, batch_status="FAILED" if n < 5 else "COMPLETED")
            for n in range(10)
        ],
        ignore_index=True,
    )
    rate = lb.failure_rates(runs).iloc[0]
    assert (rate.total, rate.failed, rate.unreliable) == (500, 5, 500)
    still = lb.failure_rates(lb.final_outcomes(runs)).iloc[0]
    assert (still.total, still.failed, still.unreliable) == (500, 5, 500)
    assert planned(runs) == 5
    assert lb.ledger(runs).in_failed_batches.tolist() == [500]
    assert "500" in heading(lb.plot_failure_rates(runs))


def test_duration_of_completed_batches_is_not_that_of_failed_ones() -> None:
    """10 COMPLETED after 5 min, 10 running for 6 h, 11 FAILED after 3 s."""
    minutes = np.repeat([5, 0, 0.05], [10, 10, 11])
    created = START + pd.to_timedelta(np.repeat([0, 0, 355], [10, 10, 11]), unit="min")
    batches = pd.DataFrame(
        {
            "batch_id": [f"bat-{n}" for n in range(31)],
            "status": np.repeat(["COMPLETED", "RUNNING", "FAILED"], [10, 10, 11]),
            "created_at": created,
            "updated_at": created + pd.to_timedelta(minutes, unit="min"),
        }
    )
    assert batches.updated_at.max() < START + pd.Timedelta(hours=6)
    title = heading(lb.plot_durations(batches))
    assert "COMPLETED: median 5 min (10) · FAILED: 3 s (11) · 10 still running" in title


@pytest.mark.slow
def test_ranking_by_ci_low_is_not_led_by_the_smallest_directories() -> None:
    """300 directories of 20 to 2,000 files in one batch each, all with a rate of 5 %."""
    random = np.random.default_rng(16)
    sizes = np.geomspace(20, 2000, 300).astype(int)
    runs = pd.concat([batch_of(n, random.random(size) < 0.05) for n, size in enumerate(sizes)])
    rates = lb.failure_rates(runs, by="source_directory_id")
    by_rate, by_low = (
        rates.sort_values(name, ascending=False).head(20).decided.median()
        for name in ("failure_rate", "ci_low")
    )
    assert by_rate < 60
    assert by_low > 2 * by_rate
    ax = lb.plot_failure_rates(runs, by="source_directory_id")
    top = ax.get_yticklabels()[-1].get_text()
    assert top == rates.sort_values("ci_low").source_directory_id.iloc[-1]


def test_job_in_two_batches_is_billed_once() -> None:
    jobs = pd.DataFrame(
        {
            "job_id": ["pjb-1", "pjb-2"],
            "status": ["COMPLETED", "FAILED"],
            "error_message": [None, "no pages"],
            "credits": pd.array([12.5, 30], dtype="Float64"),
        }
    )
    runs = pd.concat([batch_of(n, [0, 0], job_id=["pjb-1", "pjb-2"]) for n in (1, 2)])
    results = runs.drop(columns="outcome")
    batches = pd.DataFrame(
        {
            "batch_id": ["bat-1", "bat-2"],
            "status": "COMPLETED",
            "created_at": START,
            "updated_at": START + pd.Timedelta(minutes=5),
        }
    )
    summary = lb.summarize(batches, results, jobs)
    assert summary.credits.sum() == 42.5
    assert summary.credits_on_failed.sum() == 30
    again = pd.concat([batch_of(n, [0], credits=12.5, job_id="pjb-1") for n in (1, 2)])
    again = again.assign(source_directory_file_id="dfl-1", file_id="fil-1", display_name="a.pdf")
    final = lb.final_outcomes(again)
    assert (final.runs.tolist(), final.credits.tolist()) == ([2], [12.5])


def test_10_files_of_deleted_directories_stay_10_files() -> None:
    """Without their directories, 6 of the 10 have neither ``file_id`` nor name."""
    runs = batch_of(1, np.arange(10) < 4)
    files = runs[["source_directory_file_id", "file_id", "display_name"]].head(4)
    runs = runs.drop(columns=["file_id", "display_name"])
    assert lb.attempts(runs, files).drop_duplicates("file_id").shape[0] == 5
    for known in (files, files.head(0)):
        final = lb.final_outcomes(runs, known)
        assert len(final) == 10
        assert (final.outcome == "job_failed").sum() == 4
