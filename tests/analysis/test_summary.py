"""What is told of a batch adds up to what is told of its files, and nothing else is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.rates import COUNT_COLUMNS
from llama_batches_nb.analysis.summary import CREDIT_COLUMNS, SUMMARY_COLUMNS, ledger, summarize
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, JOBS, STRING_DTYPE
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES, TERMINAL_STATUSES
from llama_batches_nb.types import Record
from tests.strategies import (
    api_records,
    few,
    job_frames,
    mappings,
    outcome_frames,
    result_frames,
    results_of,
)

CREATED, UPDATED = "2026-08-01T10:00:00Z", "2026-08-01T10:02:30.5Z"
MAPPING_WORDS = ["mapped", "mapping_error", "no_job"]
JOB_WORDS = [word for word in OUTCOMES if word != "mapped"]


def mapping(job: str | None, message: str | None = None) -> Record:
    reference = job and {"id": job, "type": "parse_v2"}
    return {"source_directory_file_id": "f", "job_reference": reference, "error_message": message}


FILES = [mapping("done"), mapping("bad"), mapping(None, "no such file"), mapping(None)]
ENDED_JOBS = records.to_pandas(
    JOBS,
    [
        {"id": "done", "status": "COMPLETED", "usage": {"credits": 3}},
        {"id": "bad", "status": "FAILED", "usage": {"credits": 2}},
        {"id": "free", "status": "FAILED"},
        {"id": "on", "status": "RUNNING"},
    ],
)


def batch(id: str = "bat-1", status: str | None = "COMPLETED", **fields: Any) -> Record:  # noqa: A002
    """Return a batch as the API has it, of four files."""
    times = {"created_at": CREATED, "updated_at": UPDATED}
    return {"id": id, "status": status, **times, "results": FILES, **fields}


def batches_of(*found: Record) -> pd.DataFrame:
    return records.to_pandas(BATCHES, found)


def summary(*found: Record, jobs: Any = None) -> pd.DataFrame:
    return summarize(batches_of(*found), results_of(*found), jobs)


def told(found: pd.DataFrame, *names: str) -> list[list[Any]]:
    """Return columns as rows, with None for what is missing."""
    return [
        [None if pd.isna(value) else value for value in row]
        for row in found[list(names)].astype(object).to_numpy().tolist()
    ]


def assert_exact_dtypes(found: pd.DataFrame, *, jobs: bool) -> None:
    names = [*SUMMARY_COLUMNS, *(CREDIT_COLUMNS if jobs else [])]
    assert found.columns[-len(names) :].tolist() == names
    dtypes = dict.fromkeys(SUMMARY_COLUMNS[:3], "Int64") | {"failure_rate": "Float64"}
    dtypes |= {"duration": "timedelta64[us]"} | dict.fromkeys(CREDIT_COLUMNS, "Float64")
    assert {name: str(found[name].dtype) for name in names} == {n: dtypes[n] for n in names}


# --- counts -------------------------------------------------------------------------------------


def test_without_jobs_the_mapping_is_counted() -> None:
    found = summary(batch())
    assert told(found, *SUMMARY_COLUMNS[:4]) == [[4, 3, 1, 1 / 3]]
    assert_exact_dtypes(found, jobs=False)
    assert found.columns.tolist() == [*BATCHES.names, *SUMMARY_COLUMNS]


def test_with_jobs_their_ends_are_counted() -> None:
    found = summary(batch(), jobs=ENDED_JOBS)
    assert told(found, *SUMMARY_COLUMNS[:4]) == [[4, 3, 2, 2 / 3]]
    assert_exact_dtypes(found, jobs=True)


@pytest.mark.parametrize("status", [*BATCH_STATUSES, "PAUSED", None])
def test_counts_are_missing_unless_the_batch_has_told_of_all_its_files(status: str | None) -> None:
    known = status in ("COMPLETED", "CANCELLED")
    expected = [4, 3, 1, 1 / 3] if known else [None] * 4
    assert told(summary(batch(status=status)), *SUMMARY_COLUMNS[:4]) == [expected]


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "THROTTLED", "PAUSED", "FAILED"])
def test_results_from_before_the_end_are_not_taken_for_all(status: str) -> None:
    found = summarize(batches_of(batch()), results_of(batch(status=status)))
    assert told(found, *SUMMARY_COLUMNS[:4]) == [[None] * 4]
    assert found.duration.notna().all()


def test_results_that_tell_no_status_are_believed() -> None:
    results = results_of(batch(status="RUNNING")).drop(columns="batch_status")
    assert told(summarize(batches_of(batch()), results), "n_files") == [[4]]


def test_an_ended_batch_without_files_has_none() -> None:
    found = summary(batch(results=[]), batch("bat-2", "RUNNING", results=None))
    assert told(found, *SUMMARY_COLUMNS[:4]) == [[0, 0, 0, None], [None] * 4]


def test_rate_is_missing_where_nothing_is_decided() -> None:
    found = summary(batch(results=[mapping(None)]))
    assert told(found, *SUMMARY_COLUMNS[:4]) == [[1, 0, 0, None]]
    assert found.failure_rate.isna().all()


def test_outcomes_are_taken_for_results() -> None:
    one = batch()
    files = lb.outcomes(results_of(one), ENDED_JOBS)
    expected = summary(one, jobs=ENDED_JOBS)
    pd.testing.assert_frame_equal(summarize(batches_of(one), files), expected)
    pd.testing.assert_frame_equal(summarize(batches_of(one), files, ENDED_JOBS), expected)
    mapped = lb.outcomes(results_of(one))
    pd.testing.assert_frame_equal(summarize(batches_of(one), mapped), summary(one))
    pd.testing.assert_frame_equal(summarize(batches_of(one), mapped, ENDED_JOBS), expected)


# --- durations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [*BATCH_STATUSES, "PAUSED", None])
def test_duration_is_of_ended_batches(status: str | None) -> None:
    found = summary(batch(status=status)).duration
    if status in TERMINAL_STATUSES:
        assert found.tolist() == [pd.Timedelta("2min 30.5s")]
    else:
        assert found.isna().all()


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_duration_is_missing_without_a_time(name: str) -> None:
    one = {**batch(), name: None}
    assert summary(one).duration.isna().all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+05:30", None])
def test_duration_is_the_same_in_any_unit_and_zone(unit: Any, zone: str | None) -> None:
    one = batch(created_at="2026-11-01T05:30:00Z", updated_at="2026-11-01T06:30:00Z")
    frame = batches_of(one)
    for name in ("created_at", "updated_at"):
        times = frame[name].dt.as_unit(unit)
        frame[name] = times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)
    found = summarize(frame, results_of(one))
    assert found.duration.tolist() == [pd.Timedelta("1h")]
    assert_exact_dtypes(found, jobs=False)


def test_times_may_be_text_of_several_forms() -> None:
    batches = batches_of(batch("bat-1"), batch("bat-2")).assign(
        created_at=["2026-08-01T12:00:00Z", "2026-08-01 12:00:00.5"],
        updated_at=["2026-08-01T12:00:01.250Z", "2026-08-01T14:00:01+02:00"],
    )
    found = summarize(batches, results_of(batch("bat-1")))
    assert found.duration.dt.total_seconds().tolist() == [1.25, 0.5]


# --- credits ------------------------------------------------------------------------------------


def test_credits_are_told_with_those_on_failed_files() -> None:
    assert told(summary(batch(), jobs=ENDED_JOBS), *CREDIT_COLUMNS) == [[5.0, 2.0]]


def test_credits_are_missing_where_no_job_has_any() -> None:
    found = summary(
        batch(results=[mapping("free"), mapping("on"), mapping("lost")]),
        batch("bat-2", results=[]),
        batch("bat-3", results=[mapping("done"), mapping("free")]),
        jobs=ENDED_JOBS,
    )
    assert told(found, *CREDIT_COLUMNS) == [[None, None], [None, None], [3.0, 0.0]]


@pytest.mark.parametrize("status", [*BATCH_STATUSES, "PAUSED", None])
def test_credits_are_what_is_recorded_so_far(status: str | None) -> None:
    assert told(summary(batch(status=status), jobs=ENDED_JOBS), *CREDIT_COLUMNS) == [[5.0, 2.0]]


def test_a_job_is_billed_once_whichever_files_share_it() -> None:
    found = summary(
        batch(results=[mapping("bad"), mapping("bad"), mapping("done")]), jobs=ENDED_JOBS
    )
    assert told(found, "n_failed", *CREDIT_COLUMNS) == [[2, 5.0, 2.0]]


def test_a_mapping_error_outweighs_its_job_for_the_credits_too() -> None:
    found = summary(batch(results=[mapping("done", "mapped too late")]), jobs=ENDED_JOBS)
    assert told(found, *CREDIT_COLUMNS) == [[3.0, 3.0]]


# --- the batches stay as they were --------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([7, 7, 3], name="n"),
        pd.MultiIndex.from_tuples([("a", 2), ("a", 1), ("b", 1)]),
        pd.date_range("2026-08-01", periods=3, tz="UTC"),
        pd.Index(["bat-1", "bat-2", "bat-3"], name="batch_id"),
    ],
    ids=["repeated", "multi", "times", "ids"],
)
def test_rows_columns_and_index_are_kept(index: Any) -> None:
    found = [batch(), batch("bat-2", results=[]), batch("bat-3", results=FILES[:1])]
    mine = batches_of(*found).assign(note=["x", "y", "z"]).set_axis(index)
    before = mine.copy(deep=True)
    answer = summarize(mine, results_of(*found))
    assert answer.n_files.tolist() == [4, 0, 1]
    pd.testing.assert_frame_equal(answer[mine.columns], before)
    pd.testing.assert_frame_equal(mine, before)


def test_a_batch_that_stands_twice_is_told_of_twice() -> None:
    twice = batches_of(batch(), batch("bat-2", "RUNNING"), batch())
    answer = summarize(twice, results_of(batch()))
    assert told(answer, "n_files") == [[4], [None], [4]]


def test_results_of_other_batches_do_not_matter() -> None:
    both = results_of(batch(), batch("bat-2"))
    pd.testing.assert_frame_equal(summarize(batches_of(batch()), both), summary(batch()))


@pytest.mark.parametrize("jobs", [None, ENDED_JOBS], ids=["mappings", "jobs"])
@pytest.mark.parametrize("any_results", [False, True])
def test_dtypes_are_exact_without_rows(jobs: Any, any_results: bool) -> None:
    results = results_of(batch()) if any_results else results_of()
    found = summarize(batches_of(), results, jobs)
    assert len(found) == 0
    assert_exact_dtypes(found, jobs=jobs is not None)


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_ids_and_statuses_may_be_of_any_dtype(dtype: str) -> None:
    found = [batch(), batch("bat-2", "FAILED"), batch("bat-3", "RUNNING")]
    batches = batches_of(*found).astype({"batch_id": dtype, "status": dtype})
    results = results_of(*found).astype({"batch_id": dtype, "batch_status": dtype})
    assert told(summarize(batches, results), "n_files") == [[4], [None], [None]]
    assert told(summarize(batches, results_of(*found)), "n_files") == [[4], [None], [None]]


def test_a_summary_comes_back_from_parquet(tmp_path: Path) -> None:
    found = summary(batch(), batch("bat-2", "RUNNING"), jobs=ENDED_JOBS)
    lb.export_parquet(found, tmp_path / "summary.parquet")
    back = lb.read_parquet(tmp_path / "summary.parquet")
    assert told(back, *SUMMARY_COLUMNS, *CREDIT_COLUMNS) == told(
        found, *SUMMARY_COLUMNS, *CREDIT_COLUMNS
    )


# --- laws ---------------------------------------------------------------------------------------

Project = tuple[pd.DataFrame, pd.DataFrame]


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """Batches of a project, each once, and their results."""
    found = [
        {**record, "results": draw(st.lists(mappings(), max_size=4))}
        for record in draw(
            st.lists(api_records(BATCHES), max_size=6, unique_by=lambda one: one["id"])
        )
    ]
    return batches_of(*found), results_of(*found)


@given(projects(), st.none() | job_frames())
@few
def test_counts_add_up_to_those_of_the_rates(project: Project, jobs: pd.DataFrame | None) -> None:
    batches, results = project
    found = summarize(batches, results, jobs)
    files = lb.outcomes(results, jobs)
    known = files[files.batch_status.isin(["COMPLETED", "CANCELLED"])]
    (expected,) = lb.failure_rates(known)[COUNT_COLUMNS].to_numpy().tolist()
    assert found[SUMMARY_COLUMNS[:3]].fillna(0).sum().tolist() == expected
    decided = found[found.n_decided.fillna(0) > 0]
    assert (decided.failure_rate == decided.n_failed / decided.n_decided).all()
    assert found.failure_rate.notna().tolist() == (found.n_decided.fillna(0) > 0).tolist()


@given(projects(), st.none() | job_frames())
@few
def test_summary_keeps_the_batches_and_its_dtypes(
    project: Project, jobs: pd.DataFrame | None
) -> None:
    batches, results = project
    before = [frame.copy(deep=True) for frame in project]
    found = summarize(batches, results, jobs)
    pd.testing.assert_frame_equal(found[BATCHES.names], batches)
    for frame, as_it_was in zip(project, before, strict=True):
        pd.testing.assert_frame_equal(frame, as_it_was)
    assert_exact_dtypes(found, jobs=jobs is not None)


@given(projects(), job_frames())
@few
def test_twice_is_once(project: Project, jobs: pd.DataFrame) -> None:
    batches, results = project
    once = summarize(batches, results, jobs)
    pd.testing.assert_frame_equal(summarize(once, results, jobs), once)
    pd.testing.assert_frame_equal(summarize(once, results), summarize(batches, results))


@given(projects(), job_frames())
@few
def test_no_more_is_spent_on_failures_than_on_all(project: Project, jobs: pd.DataFrame) -> None:
    batches, results = project
    found = summarize(batches, results, jobs)
    assert (found.credits.isna() == found.credits_on_failed.isna()).all()
    spent = found.dropna(subset=CREDIT_COLUMNS)
    assert (spent.credits_on_failed <= spent.credits).all()
    billed = results[["batch_id", "job_id"]].drop_duplicates()
    last = jobs.drop_duplicates("job_id", keep="last")
    assert float(found.credits.sum()) == float(billed.merge(last, on="job_id").credits.sum())


# --- the ledger ---------------------------------------------------------------------------------


def outcomes_of(*words: str | None, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"outcome": pd.Series(words, dtype=STRING_DTYPE)}).assign(**columns)


def assert_ledger_dtypes(found: pd.DataFrame, by: list[str]) -> None:
    counts = [name for name in found.columns if name not in by]
    assert {str(found[name].dtype) for name in counts} == {"int64"}


@given(outcome_frames(), st.lists(st.sampled_from(["batch_id", "job_type"]), unique=True))
@few
def test_the_ledger_adds_up(files: pd.DataFrame, by: list[str]) -> None:
    found = ledger(files, by=by)
    words = JOB_WORDS if "credits" in files else MAPPING_WORDS
    words = [word for word in OUTCOMES if word in words]
    assert found.columns.tolist() == [*by, "rows", *words, "in_failed_batches"]
    assert_ledger_dtypes(found, by)
    assert (found[words].sum(axis=1) == found.rows).all()
    assert int(found.rows.sum()) == len(files)
    for word in words:
        assert int(found[word].sum()) == int((files.outcome == word).sum())
    assert int(found.in_failed_batches.sum()) == int((files.batch_status == "FAILED").sum())
    assert not found[by].duplicated().any() or not by


@given(outcome_frames())
@few
def test_the_ledger_reconciles_with_the_rates(files: pd.DataFrame) -> None:
    counts = ledger(files, by="job_type")
    rates = lb.failure_rates(files, by="job_type")
    assert int((counts.rows - counts.in_failed_batches).sum()) == int(rates.total.sum())
    kept = ledger(files[files.batch_status.astype(object) != "FAILED"])
    (expected,) = lb.failure_rates(files)[COUNT_COLUMNS].to_numpy().tolist()
    failed = kept.mapping_error[0] + (kept.job_failed[0] if "credits" in files else 0)
    succeeded = kept.succeeded[0] if "credits" in files else kept.mapped[0]
    assert [kept.rows[0], failed + succeeded, failed] == expected


@given(result_frames())
@few
def test_results_have_the_ledger_of_their_mappings(results: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ledger(results), ledger(lb.outcomes(results)))


def test_the_whole_is_one_row_also_without_files() -> None:
    found = ledger(results_of())
    assert found.columns.tolist() == ["rows", *MAPPING_WORDS, "in_failed_batches"]
    assert found.to_numpy().tolist() == [[0] * 5]
    assert_ledger_dtypes(found, [])
    assert len(ledger(results_of(), by="job_type")) == 0
    assert_ledger_dtypes(ledger(results_of(), by="job_type"), ["job_type"])


def test_columns_follow_from_the_jobs_and_not_from_the_rows() -> None:
    files = lb.outcomes(results_of(batch(results=[])), ENDED_JOBS)
    assert ledger(files).columns.tolist() == ["rows", *JOB_WORDS, "in_failed_batches"]


def test_an_outcome_that_only_a_row_tells_of_gets_its_column_too() -> None:
    found = ledger(outcomes_of("succeeded", "mapped", "job_failed", "succeeded"))
    assert found.columns.tolist() == [
        "rows", "succeeded", "mapped", "mapping_error", "job_failed", "no_job", "in_failed_batches"
    ]  # fmt: skip
    assert found.to_numpy().tolist() == [[4, 2, 1, 0, 1, 0, 0]]


def test_groups_are_sorted_with_missing_keys_last() -> None:
    files = outcomes_of(
        "mapped", "no_job", "mapped", key=pd.Series(["b", None, "a"], dtype=STRING_DTYPE)
    )
    found = ledger(files, by="key")
    assert found.key.fillna("missing").tolist() == ["a", "b", "missing"]
    assert found.no_job.tolist() == [0, 0, 1]


def test_a_column_named_twice_groups_once() -> None:
    files = outcomes_of("mapped", "no_job", key=["a", "b"])
    pd.testing.assert_frame_equal(ledger(files, by=["key", "key"]), ledger(files, by="key"))


def test_outcomes_may_be_a_key_themselves() -> None:
    found = ledger(outcomes_of("mapped", "no_job", "mapped"), by="outcome")
    assert found[["outcome", "rows"]].to_numpy().tolist() == [["mapped", 2], ["no_job", 1]]


@pytest.mark.parametrize("word", [None, "état"])
def test_a_ledger_that_would_not_add_up_is_refused(word: str | None) -> None:
    with pytest.raises(
        ValueError, match=r"2 rows have no outcome or an unknown one; known are succeeded, mapped"
    ):
        ledger(outcomes_of("mapped", word, word))
    with pytest.raises(ValueError, match="1 rows have no outcome"):
        ledger(outcomes_of("mapped", word).astype({"outcome": "category"}))


@pytest.mark.parametrize("name", ["rows", "in_failed_batches", *OUTCOMES])
def test_keys_are_not_named_like_counts(name: str) -> None:
    with pytest.raises(ValueError, match=f"by='{name}'"):
        ledger(outcomes_of("mapped", **{name: 1}), by=name)


def test_a_column_of_that_name_which_is_no_key_does_not_matter() -> None:
    assert ledger(outcomes_of("mapped", rows=5, no_job="x")).rows.tolist() == [1]
