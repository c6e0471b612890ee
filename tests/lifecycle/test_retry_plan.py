"""Plan retries: each failed file once, none that succeeded or may still be running."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.analysis.attempts import attempts
from llama_batches_nb.lifecycle import retry_plan
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.lifecycle.retry_plan import plan_retries, run_key
from llama_batches_nb.tables.statuses import OUTCOMES
from tests.strategies import few

FAILURES = ["mapping_error", "job_failed"]


def run(file: str, outcome: str, day: int = 1, **columns: Any) -> dict[str, Any]:
    """Return one run of a file; its batch is named after the day."""
    return {
        "batch_id": f"bat-{day}",
        "batch_created_at": pd.Timestamp(2026, 8, day, tz="UTC"),
        "configuration_id": "cfg-1",
        "source_directory_id": "dir-1",
        "source_directory_file_id": file,
        "job_type": "parse_v2",
        "outcome": outcome,
        "batch_status": "COMPLETED",
        **columns,
    }


def files_frame(ids: list[str], file_id: Any, display_name: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"source_directory_file_id": ids, "file_id": file_id, "display_name": display_name}
    )


def runs_frame(*runs: dict[str, Any], files: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the frame of `attempts`; by default each file has its own content and name."""
    frame = pd.DataFrame(list(runs), columns=list(run("", "")))
    frame["batch_created_at"] = pd.to_datetime(frame["batch_created_at"], utc=True)
    if files is None:
        ids = frame["source_directory_file_id"].drop_duplicates()
        files = files_frame(ids.tolist(), ("stored " + ids).tolist(), (ids + ".pdf").tolist())
    return attempts(frame, files)


def plan(*runs: dict[str, Any], files: pd.DataFrame | None = None, **options: Any) -> pd.DataFrame:
    defaults: dict[str, Any] = {"deleted_directories": set(), "retried": {}}
    return plan_retries(runs_frame(*runs, files=files), **{**defaults, **options})


def actions(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["source_directory_file_id"], frame["action"], strict=True))


def test_only_failed_files_are_retried() -> None:
    result = plan(*(run(outcome, outcome) for outcome in OUTCOMES))
    assert actions(result) == {"mapping_error": "retry", "job_failed": "retry"}
    assert result.attempt.tolist() == [2, 2]
    assert result.new_batch.tolist() == [1, 1]


@pytest.mark.parametrize("day", [1, 3])
@pytest.mark.parametrize("outcome", ["succeeded", "mapped", "job_running", "job_unknown"])
def test_file_with_successful_or_unfinished_run_is_skipped(outcome: str, day: int) -> None:
    result = plan(run("a", "job_failed", 2), run("a", outcome, day), run("b", "job_failed"))
    assert actions(result) == {"a": "skip", "b": "retry"}
    assert result.reason[0].endswith(f" in bat-{day}")


@pytest.mark.parametrize("configuration_id", [None, "cfg-3"])
def test_success_with_another_configuration_counts(configuration_id: str | None) -> None:
    other = run("a", "succeeded", 2, configuration_id="cfg-2")
    result = plan(run("a", "job_failed"), other, configuration_id=configuration_id)
    assert actions(result) == {"a": "skip"}


def test_configuration_defaults_to_that_of_last_failure() -> None:
    failed = run("a", "job_failed", 2, configuration_id="cfg-2"), run("a", "job_failed", 1)
    assert plan(*failed).configuration_id.tolist() == ["cfg-2"]
    assert plan(*failed, configuration_id="cfg-3").configuration_id.tolist() == ["cfg-3"]


def test_failed_run_is_retried_once() -> None:
    retried = {run_key("a", "bat-1"): "bat-9"}
    result = plan(run("a", "job_failed"), run("b", "job_failed"), retried=retried)
    assert actions(result) == {"a": "skip", "b": "retry"}
    assert result.reason[0] == "it was already retried in bat-9"
    failed_again = plan(run("a", "job_failed"), run("a", "job_failed", 2), retried=retried)
    assert actions(failed_again) == {"a": "retry"}


def test_files_of_failed_batches_are_not_planned() -> None:
    unreliable = run("a", "job_failed", 1, batch_status="FAILED")
    result = plan(unreliable, run("b", "mapping_error", 2, batch_status=None))
    assert actions(result) == {"b": "retry"}


@pytest.mark.parametrize("outcome", ["succeeded", "job_failed", "job_running"])
def test_run_in_failed_batch_does_not_change_the_plan_of_another_failure(outcome: str) -> None:
    result = plan(run("a", "job_failed", 1), run("a", outcome, 2, batch_status="FAILED"))
    assert actions(result) == {"a": "retry"}
    assert (result.batch_id[0], result.attempt[0]) == ("bat-1", 3)


def test_files_with_same_content_and_other_names_are_separate() -> None:
    files = files_frame(["a", "b"], "f", ["a.pdf", "copy.pdf"])
    runs = runs_frame(run("a", "succeeded"), run("b", "job_failed"), files=files)
    assert runs.attempt.tolist() == [1, 1]
    assert actions(plan_retries(runs, set(), {})) == {"b": "retry"}


@pytest.mark.parametrize("index", [[0, 0, 0], ["x", 1, None]])
def test_row_order_and_index_do_not_change_batches(index: list[Any]) -> None:
    runs = runs_frame(*(run(f"dfl-{n}", "job_failed") for n in range(2 * MAX_FILES_PER_BATCH)))
    expected = plan_retries(runs, set(), {}).set_index("source_directory_file_id").new_batch
    reversed_runs = runs[::-1].set_axis((index * len(runs))[: len(runs)])
    result = plan_retries(reversed_runs, set(), {})
    assert result.set_index("source_directory_file_id").new_batch.to_dict() == expected.to_dict()


def test_file_that_failed_twice_is_planned_once() -> None:
    result = plan(run("a", "job_failed", 2), run("a", "mapping_error", 1))
    assert (result.batch_id[0], result.outcome[0], result.attempt[0]) == ("bat-2", "job_failed", 3)
    assert len(result) == 1


def test_run_in_retry_directory_is_a_run_of_the_same_file() -> None:
    files = files_frame(["dfl-1", "dfl-2"], "f", "a.pdf")
    retry = run("dfl-2", "succeeded", 2, source_directory_id="dir-2")
    runs = runs_frame(run("dfl-1", "job_failed"), retry, files=files)
    assert runs.attempt.tolist() == [1, 2]
    assert actions(plan_retries(runs, set(), {})) == {"dfl-1": "skip"}


def test_impossible_retries_have_a_reason() -> None:
    runs = runs_frame(
        run("deleted", "job_failed", source_directory_id="dir-9"),
        run("unlisted", "job_failed"),
        run("unstored", "job_failed"),
        run("unconfigured", "job_failed", configuration_id=None),
        run("untyped", "job_failed", job_type=None),
        files=files_frame(
            ["unstored", "unconfigured", "untyped"],
            [None, "f-2", "f-3"],
            ["u.pdf", "a.pdf", "o.pdf"],
        ),
    )
    result = plan_retries(runs, {"dir-9"}, {}).set_index("source_directory_file_id")
    assert set(result.action) == {"impossible"}
    assert result.new_batch.isna().all()
    assert result.reason.to_dict() == {
        "deleted": "its directory no longer exists: dir-9",
        "unlisted": "it is no longer in its directory dir-1",
        "unstored": "it has no stored file",
        "unconfigured": "its batch has no configuration; pass configuration_id",
        "untyped": "its batch has no job type; pass job_type",
    }
    result = plan_retries(runs, {"dir-9"}, {}, "cfg-2", "extract_v2")
    possible = result.set_index("source_directory_file_id").action
    assert possible[["unconfigured", "untyped"]].tolist() == ["retry", "retry"]
    assert set(result.job_type) == {"extract_v2"}


def test_batch_has_one_configuration_and_unique_names() -> None:
    result = plan(
        run("a", "job_failed"),
        run("b", "job_failed"),
        run("c", "job_failed", configuration_id="cfg-2"),
        files=files_frame(["a", "b", "c"], ["1", "2", "3"], "same.pdf"),
    )
    assert result.new_batch.tolist() == [1, 2, 3]


def test_batch_has_at_most_the_maximum_number_of_files() -> None:
    result = plan(*(run(f"dfl-{n}", "job_failed") for n in range(2 * MAX_FILES_PER_BATCH + 1)))
    assert result.new_batch.value_counts().to_dict() == {
        1: MAX_FILES_PER_BATCH,
        2: MAX_FILES_PER_BATCH,
        3: 1,
    }


def test_empty_plan_has_columns_and_dtypes() -> None:
    some, none = plan(run("a", "job_failed")), plan(run("a", "succeeded"))
    assert len(none) == 0
    assert len(plan()) == 0
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    assert tuple(none) == retry_plan.COLUMNS


RUNS = st.lists(
    st.builds(
        run,
        st.sampled_from("abcde"),
        st.sampled_from(OUTCOMES),
        st.integers(1, 5),
        configuration_id=st.sampled_from(["cfg-1", "cfg-2", None]),
    ),
    max_size=25,
)


@few
@given(RUNS, st.sampled_from([None, "cfg-2"]))
def test_each_failed_file_is_planned_once(
    runs: list[dict[str, Any]], configuration_id: str | None
) -> None:
    frame = runs_frame(*runs)
    result = plan_retries(frame, set(), {}, configuration_id)
    failed = frame[frame.outcome.isin(FAILURES)]
    assert set(result.source_directory_file_id) == set(failed.source_directory_file_id)
    assert result.source_directory_file_id.is_unique
    assert (result.action == "retry").equals(result.new_batch.notna())
    assert (result.action == "retry").equals(result.reason.isna())
    to_retry = result[result.action == "retry"]
    unfinished = ["succeeded", "mapped", "job_running", "job_unknown"]
    excluded = frame[frame.outcome.isin(unfinished)]
    assert not set(to_retry.source_directory_file_id) & set(excluded.source_directory_file_id)
    for _, group in to_retry.groupby("new_batch"):
        assert group.configuration_id.nunique() == 1
        assert group.display_name.is_unique
