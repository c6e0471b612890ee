"""The final outcome of each file over all its runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
from llama_batches_nb.lifecycle.retry_plan import plan_retries
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.tables.statuses import OUTCOMES
from tests.strategies import few

COLUMNS = [
    *("file_id", "display_name", "outcome", "runs", "batch_id", "job_id", "configuration_id"),
    *("error_message", "credits", "source_directory_file_id", "batch_status"),
]


def run(file: str, outcome: str, day: int = 1, **columns: Any) -> dict[str, Any]:
    """Return one run of a file; its batch is named after the day, its job after file and day."""
    return {
        "source_directory_file_id": file,
        "batch_id": f"bat-{day}",
        "batch_created_at": pd.Timestamp(2026, 8, day, tz="UTC"),
        "configuration_id": "cfg-1",
        "source_directory_id": "dir-1",
        "job_type": "parse_v2",
        "job_id": f"pjb-{file}-{day}",
        "error_message": None,
        "job_error_message": "no pages" if outcome == "job_failed" else None,
        "credits": 3.0,
        "outcome": outcome,
        "batch_status": "COMPLETED",
        **columns,
    }


def frame(*runs: dict[str, Any]) -> pd.DataFrame:
    found = pd.DataFrame(list(runs), columns=list(run("", "")))
    found["batch_created_at"] = pd.to_datetime(found["batch_created_at"], utc=True)
    return found.astype({"credits": "Float64"})


def files(**stored: str) -> pd.DataFrame:
    """Return the stored file of each directory file; its name follows from it."""
    return pd.DataFrame(
        {
            "source_directory_file_id": list(stored),
            "file_id": list(stored.values()),
            "display_name": [f"{name}.pdf" for name in stored.values()],
        }
    )


def outcomes_of(final: pd.DataFrame) -> dict[str, str]:
    return dict(zip(final["source_directory_file_id"], final["outcome"], strict=True))


# --- which outcome counts -----------------------------------------------------------------------


@pytest.mark.parametrize("days", [(1, 2), (2, 1)])
@pytest.mark.parametrize("success", OUTCOMES_KIND.successes)
def test_file_succeeded_if_any_run_did(days: tuple[int, int], success: str) -> None:
    final = lb.final_outcomes(frame(run("a", success, days[0]), run("a", "job_failed", days[1])))
    assert final.outcome.tolist() == [success]
    assert final.runs.tolist() == [2]
    assert final.batch_id.tolist() == [f"bat-{days[0]}"]
    assert final.error_message.isna().all()


@pytest.mark.parametrize("last", ["job_failed", "mapping_error", "job_running", "job_cancelled"])
def test_other_file_has_the_outcome_of_its_last_run(last: str) -> None:
    final = lb.final_outcomes(frame(run("a", last, 3), run("a", "job_failed", 2)))
    assert (final.outcome[0], final.batch_id[0], final.job_id[0]) == (last, "bat-3", "pjb-a-3")


def test_message_is_that_of_the_mapping_or_the_job() -> None:
    final = lb.final_outcomes(
        frame(run("a", "mapping_error", error_message="no such file"), run("b", "job_failed"))
    )
    assert final.error_message.tolist() == ["no such file", "no pages"]


def test_retried_files_are_linked_by_stored_file_and_name() -> None:
    """10 files, 4 failed and were retried: 2 succeeded, 1 failed again, 1 is running."""
    first = [run(f"dfl-{n}", "job_failed" if n < 4 else "succeeded") for n in range(10)]
    again = [
        run(f"new-{n}", outcome, 2)
        for n, outcome in enumerate(["succeeded", "succeeded", "job_failed", "job_running"])
    ]
    stored = files(**{f"{name}-{n}": f"fil-{n}" for name in ("dfl", "new") for n in range(10)})
    runs = frame(*first, *again)
    final = lb.final_outcomes(runs, stored)
    assert final.outcome.value_counts()[["succeeded", "job_failed", "job_running"]].tolist() == [
        8,
        1,
        1,
    ]
    assert final.runs.tolist() == [2] * 4 + [1] * 6
    rate = lb.failure_rates(final).iloc[0]
    assert (rate.total, rate.decided, rate.failed) == (10, 9, 1)
    pd.testing.assert_frame_equal(lb.final_outcomes(lb.attempts(runs, stored)), final)


def test_files_of_deleted_directories_stay_separate() -> None:
    """5 files without a row in `files`, and 5 with one: 10 files, not 6."""
    runs = frame(*(run(f"dfl-{n}", "job_failed") for n in range(10)))
    final = lb.final_outcomes(runs, files(**{f"dfl-{n}": f"fil-{n}" for n in range(5)}))
    assert len(final) == len(lb.final_outcomes(runs)) == len(lb.final_outcomes(runs, files())) == 10
    assert final.file_id.notna().sum() == final.display_name.notna().sum() == 5


def test_rows_without_any_id_stay_separate() -> None:
    runs = frame(*(run(f"dfl-{n}", "job_failed") for n in range(3)))
    assert len(lb.final_outcomes(runs.assign(source_directory_file_id=None))) == 3


def test_copies_under_other_names_are_other_files() -> None:
    stored = files(a="fil-1", b="fil-1").assign(display_name=["a.pdf", "copy.pdf"])
    assert len(lb.final_outcomes(frame(run("a", "succeeded"), run("b", "job_failed")), stored)) == 2


def test_old_failures_run_again_count_as_one_file_each() -> None:
    """160 of 4,000 files failed and were run again, 80 fail again: 2 % still fail, not 5.8 %."""
    failed = np.arange(4000) < 160
    first = [run(f"dfl-{n}", "job_failed" if bad else "succeeded") for n, bad in enumerate(failed)]
    again = [run(f"dfl-{n}", "job_failed" if n % 2 else "succeeded", 30) for n in range(160)]
    rate = lb.failure_rates(lb.final_outcomes(frame(*first, *again))).iloc[0]
    assert (rate.total, rate.failed) == (4000, 80)


@pytest.mark.parametrize("days", [(1, 2), (2, 1)])
@pytest.mark.parametrize("unreliable", ["succeeded", "job_failed", "job_running"])
def test_run_in_failed_batch_does_not_count_beside_another(
    days: tuple[int, int], unreliable: str
) -> None:
    failed = run("a", unreliable, days[1], batch_status="FAILED")
    final = lb.final_outcomes(frame(run("a", "job_failed", days[0]), failed))
    assert (final.outcome[0], final.batch_id[0]) == ("job_failed", f"bat-{days[0]}")
    assert (final.batch_status[0], final.runs[0]) == ("COMPLETED", 2)


def test_file_of_failed_batches_only_is_unreliable() -> None:
    runs = frame(run("a", "job_failed", batch_status="FAILED"), run("b", "job_failed"))
    final = lb.final_outcomes(runs)
    assert final.batch_status.tolist() == ["FAILED", "COMPLETED"]
    rate = lb.failure_rates(final).iloc[0]
    assert (rate.total, rate.failed, rate.unreliable) == (1, 1, 1)
    unknown = lb.final_outcomes(runs.drop(columns="batch_status"))
    assert unknown.batch_status.isna().all()


# --- credits ------------------------------------------------------------------------------------


def test_credits_add_all_runs_and_count_a_job_once() -> None:
    runs = frame(
        run("a", "job_failed", 1, job_id="pjb-1"),
        run("a", "job_failed", 2, job_id="pjb-1"),
        run("a", "succeeded", 3, credits=4.5),
        run("b", "succeeded", credits=None),
        run("c", "job_failed", credits=None),
        run("c", "succeeded", 2, credits=0),
    )
    final = lb.final_outcomes(runs)
    assert final.credits.tolist() == [7.5, pd.NA, 0]
    assert str(final.credits.dtype) == "Float64"
    assert lb.final_outcomes(runs.drop(columns="credits")).credits.isna().all()


def test_rows_of_one_batch_are_one_run() -> None:
    runs = frame(run("a", "job_failed"), run("a", "job_failed"), run("a", "succeeded", 2))
    assert lb.final_outcomes(runs).runs.tolist() == [2]
    assert lb.final_outcomes(runs.assign(batch_id=None)).runs.tolist() == [0]


def test_credits_add_up_without_errors_of_rounding() -> None:
    runs = frame(*(run("a", "job_failed", day, credits=0.1) for day in range(1, 11)))
    assert lb.final_outcomes(runs).credits.tolist() == [1.0]


# --- frames -------------------------------------------------------------------------------------


def test_empty_frame_has_columns_and_dtypes() -> None:
    some = lb.final_outcomes(frame(run("a", "succeeded")), files(a="fil-1"))
    none = lb.final_outcomes(frame())
    assert none.columns.tolist() == some.columns.tolist() == COLUMNS
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert some.file_id.dtype == some.error_message.dtype == STRING_DTYPE
    assert str(some.runs.dtype) == "int64"


def test_results_without_outcome_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no column 'outcome': pass outcomes\(results, jobs\)"):
        lb.final_outcomes(frame().drop(columns="outcome"))


def test_frames_of_other_engines_give_the_same_files() -> None:
    runs, stored = frame(run("a", "job_failed"), run("b", "succeeded", 2)), files(a="fil-1")
    other = lb.final_outcomes(pl.from_pandas(runs), pl.from_pandas(stored))
    pd.testing.assert_frame_equal(other, lb.final_outcomes(runs, stored))


# --- laws ---------------------------------------------------------------------------------------

RUNS = st.lists(
    st.builds(
        lambda file, outcome, day: run(
            file, outcome, day, batch_status="FAILED" if day == 4 else "COMPLETED"
        ),
        st.sampled_from("abcdef"),
        st.sampled_from(OUTCOMES),
        st.integers(1, 5),
    ),
    max_size=25,
    unique_by=lambda found: (found["source_directory_file_id"], found["batch_id"]),
)


@few
@given(RUNS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_no_file(runs: list[dict[str, Any]], random: Any) -> None:
    shuffled = random.sample(runs, len(runs))
    one, other = (
        lb.final_outcomes(frame(*rows)).sort_values("source_directory_file_id", ignore_index=True)
        for rows in (runs, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


@few
@given(RUNS, st.sampled_from(["of its own", "one for each file", "none"]))
def test_lazy_frames_give_the_same_files(runs: list[dict[str, Any]], job: str) -> None:
    found = frame(*runs)
    if job == "one for each file":
        found["job_id"] = "pjb-" + found["source_directory_file_id"]
    elif job == "none":
        found["job_id"] = ""
    expected = lb.final_outcomes(found)
    pd.testing.assert_frame_equal(lb.final_outcomes(pl.from_pandas(found).lazy()), expected)
    if job == "one for each file":
        assert expected.credits.tolist() == [3.0] * len(expected)


@few
@given(RUNS)
def test_runs_and_credits_add_up(runs: list[dict[str, Any]]) -> None:
    final = lb.final_outcomes(frame(*runs))
    assert final.runs.sum() == len(runs)
    assert final.credits.sum() == 3 * len(runs)
    assert final.source_directory_file_id.is_unique


@few
@given(RUNS)
def test_retry_plan_agrees_with_final_outcomes(runs: list[dict[str, Any]]) -> None:
    stored = files(**{name: f"fil-{name}" for name in "abcdef"})
    rows = frame(*runs)
    final = lb.final_outcomes(rows, stored)
    reliable_final = outcomes_of(final[final.batch_status != "FAILED"])
    plan = plan_retries(lb.attempts(rows, stored), set(), {})
    actions = dict(zip(plan["source_directory_file_id"], plan["action"], strict=True))
    reliable = rows[rows["batch_status"] != "FAILED"]
    open_runs = reliable[reliable["outcome"].isin(["job_running", "job_unknown"])]
    may_run = set(open_runs["source_directory_file_id"])
    assert set(actions) <= set(reliable_final)
    for name, outcome in reliable_final.items():
        if outcome in OUTCOMES_KIND.failures:
            assert actions[name] == ("skip" if name in may_run else "retry")
        elif actions.get(name) == "retry":
            assert outcome in ("job_cancelled", "no_job")
            assert name not in may_run
