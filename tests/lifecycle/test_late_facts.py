"""What the functions say while results, jobs and credits of a COMPLETED batch are still to come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
import pytest

import llama_batches_nb as lb

AGENTIC = "cfg-PARSE_AGENTIC"
ADVANCES = (0, 50, 100, 400, 2000)  # simulated seconds after the batch's end
DELAYS: Any = {"results_delay": 40, "job_delay": 300, "billing_delay": 900}  # simulated seconds


class Seen(NamedTuple):
    """The frames at one time, and what is computed from them."""

    results: pd.DataFrame
    files: pd.DataFrame
    summary: pd.Series[Any]
    rates: pd.Series[Any]
    plan: pd.DataFrame


@pytest.fixture
def box() -> Iterator[lb.Sandbox]:
    with lb.sandbox(thread=True, batches=20, files=30, speed=0, seed=3, **DELAYS) as box:
        box.advance(3600)
        yield box


@pytest.fixture
def batch(box: lb.Sandbox) -> pd.DataFrame:
    """A batch that has just become COMPLETED."""
    directory = lb.fetch_directories(name="Delivery notes")
    batch = lb.create_batch(directory, AGENTIC)
    while batch.status[0] != "COMPLETED":
        box.advance(1)
        batch = lb.get_batch(batch.batch_id[0])
    return batch


def look(batch: pd.DataFrame) -> Seen:
    results = lb.fetch_results(batch)
    jobs = lb.fetch_jobs(results, usage=True)
    files = lb.outcomes(results, jobs)
    summary = lb.summarize(batch, results, jobs).iloc[0]
    plan = lb.retry_failed(results, jobs=jobs, dry_run=True)
    return Seen(results, files, summary, lb.failure_rates(files).iloc[0], plan)


@pytest.mark.filterwarnings("ignore:COMPLETED batches without results")
def test_early_outcomes_stay_true_later(box: lb.Sandbox, batch: pd.DataFrame) -> None:
    seen = []
    for seconds in ADVANCES:
        box.advance(seconds)
        seen.append(look(batch))
    last = seen[-1]
    final = last.files.set_index("source_directory_file_id")
    assert not {"job_running", "no_job", "job_unknown"} & set(final.outcome)
    assert (final.credits.notna() == final.outcome.isin(["succeeded", "job_failed"])).all()
    assert seen[0].results.empty
    assert seen[0].summary[["n_files", "n_decided", "n_failed", "credits"]].isna().all()
    undecided, unbilled = [], 0
    for early in seen:
        files = early.files.set_index("source_directory_file_id")
        decided = files[files.outcome.isin(["succeeded", "job_failed", "mapping_error"])]
        undecided.append(len(files) - len(decided))
        now = final.loc[decided.index]
        assert (decided.outcome.astype(str) == now.outcome.astype(str)).all()
        unbilled += int((decided.job_id.notna() & decided.credits.isna()).sum())
        billed = files[files.credits.notna()]
        assert (billed.credits == final.credits[billed.index]).all()
        assert set(early.plan.source_directory_file_id) <= set(last.plan.source_directory_file_id)
        assert early.rates.decided == len(decided)
        assert early.rates.undecided == undecided[-1]
        if len(files):
            assert early.summary.n_files == len(final)
            assert early.summary.n_decided == len(decided)
        if billed.empty:
            assert pd.isna(early.summary.credits)
        else:
            assert early.summary.credits == billed.credits.sum()
    assert max(undecided) > 0, "no fact was late"
    assert unbilled > 0, "no credits were late"


def test_waiting_for_the_jobs_of_a_batch_waits_for_late_results(
    box: lb.Sandbox, batch: pd.DataFrame
) -> None:
    with pytest.warns(UserWarning, match="COMPLETED batches without results: 1"):
        assert lb.fetch_results(batch).empty
    timers = [threading.Timer(n * 0.7, box.advance, [60]) for n in range(1, 12)]
    for timer in timers:
        timer.start()
    jobs = lb.wait_for_jobs(batch, timeout=60, poll_interval=0.2)
    for timer in timers:
        timer.cancel()
        timer.join()
    results = lb.fetch_results(batch)
    assert set(jobs.job_id) == set(results.job_id.dropna())
    assert set(jobs.status) <= {"COMPLETED", "FAILED", "CANCELLED"}
