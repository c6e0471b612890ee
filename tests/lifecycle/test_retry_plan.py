"""Which failed files are run again: each once, none that succeeded or still runs."""

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

FAILED = ["mapping_error", "job_failed"]


def run(file: str, outcome: str, day: int = 1, **more: Any) -> dict[str, Any]:
    """Return the outcome of a file's run; its batch is named after the day."""
    return {
        "batch_id": f"bat-{day}",
        "batch_created_at": pd.Timestamp(2026, 8, day, tz="UTC"),
        "configuration_id": "cfg-1",
        "source_directory_id": "dir-1",
        "source_directory_file_id": file,
        "job_type": "parse_v2",
        "outcome": outcome,
        **more,
    }


def runs_of(*runs: dict[str, Any], files: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the runs as `attempts` does; each file is stored, and has a name, of its own."""
    frame = pd.DataFrame(list(runs), columns=list(run("", "")))
    frame["batch_created_at"] = pd.to_datetime(frame["batch_created_at"], utc=True)
    ids = frame["source_directory_file_id"].drop_duplicates()
    stored = pd.DataFrame(
        {"source_directory_file_id": ids, "file_id": "stored " + ids, "display_name": ids + ".pdf"}
    )
    return attempts(frame, stored if files is None else files)


def planned(*runs: dict[str, Any], **more: Any) -> pd.DataFrame:
    return plan_retries(runs_of(*runs), **{"gone": set(), "rerun": {}, **more})


def actions(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["source_directory_file_id"], frame["action"], strict=True))


def test_what_failed_is_run_again_and_nothing_else() -> None:
    found = planned(*(run(outcome, outcome) for outcome in OUTCOMES))
    assert actions(found) == {"mapping_error": "retry", "job_failed": "retry"}
    assert found.attempt.tolist() == [2, 2]
    assert found.new_batch.tolist() == [1, 1]


@pytest.mark.parametrize("day", [1, 3])
@pytest.mark.parametrize("outcome", ["succeeded", "mapped", "job_running", "job_unknown"])
def test_what_succeeded_or_still_runs_in_another_batch_is_not(outcome: str, day: int) -> None:
    found = planned(run("a", "job_failed", 2), run("a", outcome, day), run("b", "job_failed"))
    assert actions(found) == {"a": "skip", "b": "retry"}
    assert f"bat-{day}" in found.reason[0]


def test_what_succeeded_with_another_configuration_is_not_either() -> None:
    other = run("a", "succeeded", 2, configuration_id="cfg-2")
    assert actions(planned(run("a", "job_failed"), other)) == {"a": "skip"}
    assert actions(planned(run("a", "job_failed"), other, configuration_id="cfg-3")) == {
        "a": "skip"
    }


def test_the_configuration_is_that_of_the_last_failure_unless_told() -> None:
    failed = run("a", "job_failed", 2, configuration_id="cfg-2"), run("a", "job_failed", 1)
    assert planned(*failed).configuration_id.tolist() == ["cfg-2"]
    assert planned(*failed, configuration_id="cfg-3").configuration_id.tolist() == ["cfg-3"]


def test_what_was_run_again_already_is_not() -> None:
    rerun = {run_key("a", "bat-1"): "bat-9"}
    found = planned(run("a", "job_failed"), run("b", "job_failed"), rerun=rerun)
    assert actions(found) == {"a": "skip", "b": "retry"}
    assert "bat-9" in found.reason[0]
    again = planned(run("a", "job_failed"), run("a", "job_failed", 2), rerun=rerun)
    assert actions(again) == {"a": "retry"}


def test_two_files_with_the_same_content_are_two() -> None:
    files = pd.DataFrame(
        {
            "source_directory_file_id": ["a", "b"],
            "file_id": "f",
            "display_name": ["a.pdf", "copy.pdf"],
        }
    )
    runs = runs_of(run("a", "succeeded"), run("b", "job_failed"), files=files)
    assert runs.attempt.tolist() == [1, 1]
    assert actions(plan_retries(runs, set(), {})) == {"b": "retry"}


@pytest.mark.parametrize("index", [[0, 0, 0], ["x", 1, None]])
def test_neither_order_nor_index_changes_the_batches(index: list[Any]) -> None:
    runs = runs_of(*(run(f"dfl-{n}", "job_failed") for n in range(2 * MAX_FILES_PER_BATCH)))
    whole = plan_retries(runs, set(), {}).set_index("source_directory_file_id").new_batch
    turned = runs[::-1].set_axis((index * len(runs))[: len(runs)])
    found = plan_retries(turned, set(), {}).set_index("source_directory_file_id").new_batch
    assert found.to_dict() == whole.to_dict()


def test_what_failed_twice_is_run_once_more() -> None:
    found = planned(run("a", "job_failed", 2), run("a", "mapping_error", 1))
    assert (found.batch_id[0], found.outcome[0], found.attempt[0]) == ("bat-2", "job_failed", 3)
    assert len(found) == 1


def test_a_run_in_the_directory_of_a_retry_is_one_of_the_same_file() -> None:
    ids = ["dfl-1", "dfl-2"]
    files = pd.DataFrame(
        {"source_directory_file_id": ids, "file_id": "f", "display_name": ["a.pdf", "a.pdf"]}
    )
    again = run("dfl-2", "succeeded", 2, source_directory_id="dir-2")
    runs = runs_of(run("dfl-1", "job_failed"), again, files=files)
    assert runs.attempt.tolist() == [1, 2]
    assert actions(plan_retries(runs, set(), {})) == {"dfl-1": "skip"}


def test_what_cannot_be_added_is_named_with_the_reason() -> None:
    runs = runs_of(
        run("gone", "job_failed", source_directory_id="dir-9"),
        run("unlisted", "job_failed"),
        run("unstored", "job_failed"),
        run("aimless", "job_failed", configuration_id=None),
        run("odd", "job_failed", job_type=None),
        files=pd.DataFrame(
            {
                "source_directory_file_id": ["unstored", "aimless", "odd"],
                "file_id": [None, "f-2", "f-3"],
                "display_name": ["u.pdf", "a.pdf", "o.pdf"],
            }
        ),
    )
    found = plan_retries(runs, {"dir-9"}, {}).set_index("source_directory_file_id")
    assert set(found.action) == {"impossible"}
    assert found.new_batch.isna().all()
    for file, word in {
        "gone": "is gone: dir-9",
        "unlisted": "no longer in its directory dir-1",
        "unstored": "no stored file",
        "aimless": "no configuration",
        "odd": "no job type",
    }.items():
        assert word in found.reason[file]
    able = plan_retries(runs, {"dir-9"}, {}, "cfg-2", "extract_v2").set_index(
        "source_directory_file_id"
    )
    assert able.action[["aimless", "odd"]].tolist() == ["retry", "retry"]
    assert set(able.job_type) == {"extract_v2"}


def test_batches_have_one_configuration_and_no_name_twice() -> None:
    runs = runs_of(
        run("a", "job_failed"),
        run("b", "job_failed"),
        run("c", "job_failed", configuration_id="cfg-2"),
        files=pd.DataFrame(
            {
                "source_directory_file_id": ["a", "b", "c"],
                "file_id": ["1", "2", "3"],
                "display_name": "same.pdf",
            }
        ),
    )
    assert plan_retries(runs, set(), {}).new_batch.tolist() == [1, 2, 3]


def test_a_batch_takes_no_more_than_the_service_does() -> None:
    found = planned(*(run(f"dfl-{n}", "job_failed") for n in range(2 * MAX_FILES_PER_BATCH + 1)))
    assert found.new_batch.value_counts().to_dict() == {
        1: MAX_FILES_PER_BATCH,
        2: MAX_FILES_PER_BATCH,
        3: 1,
    }


def test_without_failures_the_plan_is_empty_and_has_its_dtypes() -> None:
    some, none = planned(run("a", "job_failed")), planned(run("a", "succeeded"))
    assert len(none) == 0
    assert len(planned()) == 0
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
def test_each_failed_file_is_planned_for_once(runs: list[dict[str, Any]], target: str) -> None:
    frame = runs_of(*runs)
    found = plan_retries(frame, set(), {}, target)
    failed = frame[frame.outcome.isin(FAILED)]
    assert set(found.source_directory_file_id) == set(failed.source_directory_file_id)
    assert found.source_directory_file_id.is_unique
    assert (found.action == "retry").equals(found.new_batch.notna())
    assert (found.action == "retry").equals(found.reason.isna())
    chosen = found[found.action == "retry"]
    open_or_done = frame[frame.outcome.isin(["succeeded", "mapped", "job_running", "job_unknown"])]
    assert not set(chosen.source_directory_file_id) & set(open_or_done.source_directory_file_id)
    for _, group in chosen.groupby("new_batch"):
        assert group.configuration_id.nunique() == 1
        assert group.display_name.is_unique
