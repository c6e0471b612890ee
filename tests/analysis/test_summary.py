"""Summary of each batch, and the ledger of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.costs import COST_PARTS, TOTALS, sum_credits
from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.analysis.page_counts import PAGE_COLUMNS
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
ANY_STATUS = [*BATCH_STATUSES, "PAUSED", None]
MAPPING_WORDS = ["mapped", "mapping_error", "no_job"]
JOB_WORDS = [word for word in OUTCOMES if word not in ("mapped", "partial")]


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


def batches_of(*result: Record) -> pd.DataFrame:
    return records.to_pandas(BATCHES, result)


def summary(*result: Record, jobs: Any = None) -> pd.DataFrame:
    return summarize(batches_of(*result), results_of(*result), jobs)


def rows_of(result: pd.DataFrame, *names: str) -> list[list[Any]]:
    """Return columns as rows, with None for what is missing."""
    return [
        [None if pd.isna(value) else value for value in row]
        for row in result[list(names)].astype(object).to_numpy().tolist()
    ]


def assert_exact_dtypes(result: pd.DataFrame, *, jobs: bool) -> None:
    names = [*SUMMARY_COLUMNS, *(CREDIT_COLUMNS if jobs else [])]
    assert result.columns[-len(names) :].tolist() == names
    dtypes = dict.fromkeys(SUMMARY_COLUMNS[:3], "Int64") | {"failure_rate": "Float64"}
    dtypes |= {"duration": "timedelta64[us]"} | dict.fromkeys(CREDIT_COLUMNS, "Float64")
    assert {name: str(result[name].dtype) for name in names} == {n: dtypes[n] for n in names}


# --- counts -------------------------------------------------------------------------------------


def test_summary_without_jobs_counts_mappings() -> None:
    result = summary(batch())
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == [[4, 3, 1, 1 / 3]]
    assert_exact_dtypes(result, jobs=False)
    assert result.columns.tolist() == [*BATCHES.names, *SUMMARY_COLUMNS]


def test_summary_with_jobs_counts_outcomes() -> None:
    result = summary(batch(), jobs=ENDED_JOBS)
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == [[4, 3, 2, 2 / 3]]
    assert_exact_dtypes(result, jobs=True)


def test_counts_are_missing_unless_batch_ended_reliably() -> None:
    result = summary(*(batch(f"bat-{status}", status) for status in ANY_STATUS))
    known = [status in ("COMPLETED", "CANCELLED") for status in ANY_STATUS]
    expected = [[4, 3, 1, 1 / 3] if each else [None] * 4 for each in known]
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == expected


def test_results_fetched_before_end_give_no_counts() -> None:
    before = ["PENDING", "RUNNING", "THROTTLED", "PAUSED", "FAILED"]
    result = summarize(
        batches_of(*(batch(f"bat-{status}") for status in before)),
        results_of(*(batch(f"bat-{status}", status) for status in before)),
    )
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == [[None] * 4] * len(before)
    assert result.duration.notna().all()


def test_results_without_batch_status_are_counted() -> None:
    results = results_of(batch(status="RUNNING")).drop(columns="batch_status")
    assert rows_of(summarize(batches_of(batch()), results), "n_files") == [[4]]


@pytest.mark.parametrize(("status", "n"), [("COMPLETED", None), ("CANCELLED", 0)])
def test_completed_batch_without_results_has_unknown_counts(status: str, n: int | None) -> None:
    result = summary(batch(status=status, results=[]), batch("bat-2", "RUNNING", results=None))
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == [[n, n, n, None], [None] * 4]


def test_rate_is_missing_without_decided_rows() -> None:
    result = summary(batch(results=[mapping(None)]))
    assert rows_of(result, *SUMMARY_COLUMNS[:4]) == [[1, 0, 0, None]]
    assert result.failure_rate.isna().all()


def test_summary_accepts_outcomes_as_results() -> None:
    one = batch()
    files = lb.outcomes(results_of(one), ENDED_JOBS)
    expected = summary(one, jobs=ENDED_JOBS)
    pd.testing.assert_frame_equal(summarize(batches_of(one), files), expected)
    pd.testing.assert_frame_equal(summarize(batches_of(one), files, ENDED_JOBS), expected)
    mapped = lb.outcomes(results_of(one))
    pd.testing.assert_frame_equal(summarize(batches_of(one), mapped), summary(one))
    pd.testing.assert_frame_equal(summarize(batches_of(one), mapped, ENDED_JOBS), expected)


# --- durations ----------------------------------------------------------------------------------


def test_only_ended_batches_have_duration() -> None:
    result = summary(*(batch(f"bat-{status}", status) for status in ANY_STATUS)).duration
    ended = [status in TERMINAL_STATUSES for status in ANY_STATUS]
    assert result.notna().tolist() == ended
    assert (result[ended] == pd.Timedelta("2min 30.5s")).all()


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_duration_is_missing_without_time(name: str) -> None:
    one = {**batch(), name: None}
    assert summary(one).duration.isna().all()


@pytest.mark.parametrize(
    ("unit", "zone"), [("s", "UTC"), ("ms", "America/New_York"), ("us", None), ("ns", "+05:30")]
)
def test_duration_does_not_depend_on_unit_or_zone(unit: Any, zone: str | None) -> None:
    one = batch(created_at="2026-11-01T05:30:00Z", updated_at="2026-11-01T06:30:00Z")
    frame = batches_of(one)
    for name in ("created_at", "updated_at"):
        times = frame[name].dt.as_unit(unit)
        frame[name] = times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)
    result = summarize(frame, results_of(one))
    assert result.duration.tolist() == [pd.Timedelta("1h")]
    assert_exact_dtypes(result, jobs=False)


def test_summary_times_may_be_text_in_several_formats() -> None:
    batches = batches_of(batch("bat-1"), batch("bat-2")).assign(
        created_at=["2026-08-01T12:00:00Z", "2026-08-01 12:00:00.5"],
        updated_at=["2026-08-01T12:00:01.250Z", "2026-08-01T14:00:01+02:00"],
    )
    result = summarize(batches, results_of(batch("bat-1")))
    assert result.duration.dt.total_seconds().tolist() == [1.25, 0.5]


# --- credits ------------------------------------------------------------------------------------


def test_credits_include_those_on_failed_files() -> None:
    assert rows_of(summary(batch(), jobs=ENDED_JOBS), *CREDIT_COLUMNS) == [[5.0, 2.0]]


def test_credits_are_missing_if_no_job_has_any() -> None:
    result = summary(
        batch(results=[mapping("free"), mapping("on"), mapping("lost")]),
        batch("bat-2", results=[]),
        batch("bat-3", results=[mapping("done"), mapping("free")]),
        jobs=ENDED_JOBS,
    )
    assert rows_of(result, *CREDIT_COLUMNS) == [[None, None], [None, None], [3.0, None]]


def test_batch_of_any_status_has_recorded_credits() -> None:
    files = {status: [mapping(f"done-{status}"), mapping(f"bad-{status}")] for status in ANY_STATUS}
    jobs = pd.concat(
        ENDED_JOBS.assign(job_id=ENDED_JOBS.job_id + f"-{status}") for status in ANY_STATUS
    )
    each = (batch(f"bat-{status}", status, results=files[status]) for status in ANY_STATUS)
    result = summary(*each, jobs=jobs)
    assert rows_of(result, *CREDIT_COLUMNS) == [[5.0, 2.0]] * len(ANY_STATUS)


def test_shared_job_is_billed_once() -> None:
    result = summary(
        batch(results=[mapping("bad"), mapping("bad"), mapping("done")]), jobs=ENDED_JOBS
    )
    assert rows_of(result, "n_failed", *CREDIT_COLUMNS) == [[2, 5.0, 2.0]]


def extract_jobs(*costs: tuple[str, float | None, float | None, str | None]) -> pd.DataFrame:
    """Return extract jobs: id, credits of extraction and of parsing, and the parse job."""
    return records.to_pandas(
        JOBS,
        [
            {
                "id": job_id,
                "status": "COMPLETED",
                "usage": {
                    "credits": None if extract is None else extract + (parse or 0),
                    "extract_credits": extract,
                    "parse_credits": parse,
                },
                "extract_metadata": {"parse_job_id": parse_job},
            }
            for job_id, extract, parse, parse_job in costs
        ],
        job_type="extract_v2",
    )


def test_shared_parse_job_is_billed_once() -> None:
    jobs = extract_jobs(("a", 5, 30, "pjb"), ("b", 5, 30, "pjb"), ("c", 5, 7, "other"))
    one = batch(results=[mapping("a"), mapping("b"), mapping("c"), mapping("a")])
    assert rows_of(summary(one, jobs=jobs), *CREDIT_COLUMNS) == [[5 * 3 + 30 + 7, 0.0]]


def test_parse_job_shared_by_batches_counts_in_one_of_them() -> None:
    jobs = extract_jobs(("a", 5, 30, "pjb"), ("b", 6, 30, "pjb"))
    parse = records.to_pandas(JOBS, [{"id": "pjb", "usage": {"credits": 30}}], job_type="parse_v2")
    result = summary(
        batch("bat-1", results=[mapping("a")]),
        batch("bat-2", results=[mapping("b")]),
        batch("bat-3", results=[mapping("pjb")]),
        jobs=pd.concat([jobs, parse], ignore_index=True),
    )
    assert result.credits.tolist() == [35, 6, 0]


def test_job_without_the_parts_of_its_credits_counts_in_whole() -> None:
    jobs = extract_jobs(("a", 5, 30, None), ("b", 5, None, "pjb"), ("c", None, None, "pjb"))
    one = batch(results=[mapping("a"), mapping("b"), mapping("c")])
    assert rows_of(summary(one, jobs=jobs), *CREDIT_COLUMNS) == [[40.0, 0.0]]


def test_unknown_credits_are_counted() -> None:
    results = results_of(batch(results=[mapping(i) for i in ("done", "bad", "free", "free")]))
    files = add_outcomes(nw.from_native(results), nw.from_native(ENDED_JOBS), cost_parts=True)
    (row,) = sum_credits(files, [])[TOTALS].to_numpy().tolist()
    assert row == [5.0, 2.0, 3, 1]


def test_mapping_error_with_job_counts_as_failed_credits() -> None:
    result = summary(batch(results=[mapping("done", "mapped too late")]), jobs=ENDED_JOBS)
    assert rows_of(result, *CREDIT_COLUMNS) == [[3.0, 3.0]]


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
def test_summary_keeps_rows_columns_and_index(index: Any) -> None:
    result = [batch(), batch("bat-2", results=[]), batch("bat-3", results=FILES[:1])]
    mine = batches_of(*result).assign(note=["x", "y", "z"]).set_axis(index)
    before = mine.copy(deep=True)
    answer = summarize(mine, results_of(*result))
    assert rows_of(answer, "n_files") == [[4], [None], [1]]
    pd.testing.assert_frame_equal(answer[mine.columns], before)
    pd.testing.assert_frame_equal(mine, before)


def test_batch_ids_may_be_in_the_index() -> None:
    batches, results = batches_of(batch(), batch("bat-2", results=[])), results_of(batch())
    by_id = summarize(batches.set_index("batch_id"), results.set_index("batch_id"))
    expected = summarize(batches, results).set_index("batch_id")
    pd.testing.assert_frame_equal(by_id, expected)


def test_duplicate_batch_is_summarized_twice() -> None:
    twice = batches_of(batch(), batch("bat-2", "RUNNING"), batch())
    answer = summarize(twice, results_of(batch()))
    assert rows_of(answer, "n_files") == [[4], [None], [4]]


def test_results_of_other_batches_are_ignored() -> None:
    both = results_of(batch(), batch("bat-2"))
    pd.testing.assert_frame_equal(summarize(batches_of(batch()), both), summary(batch()))


@pytest.mark.parametrize("jobs", [None, ENDED_JOBS], ids=["mappings", "jobs"])
@pytest.mark.parametrize("any_results", [False, True])
def test_summary_dtypes_without_rows(jobs: Any, any_results: bool) -> None:
    results = results_of(batch()) if any_results else results_of()
    result = summarize(batches_of(), results, jobs)
    assert len(result) == 0
    assert_exact_dtypes(result, jobs=jobs is not None)


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_ids_and_statuses_may_have_any_dtype(dtype: str) -> None:
    result = [batch(), batch("bat-2", "FAILED"), batch("bat-3", "RUNNING")]
    batches = batches_of(*result).astype({"batch_id": dtype, "status": dtype})
    results = results_of(*result).astype({"batch_id": dtype, "batch_status": dtype})
    assert rows_of(summarize(batches, results), "n_files") == [[4], [None], [None]]
    assert rows_of(summarize(batches, results_of(*result)), "n_files") == [[4], [None], [None]]


def test_summary_survives_parquet(tmp_path: Path) -> None:
    result = summary(batch(), batch("bat-2", "RUNNING"), jobs=ENDED_JOBS)
    lb.export_parquet(result, tmp_path / "summary.parquet")
    back = lb.read_parquet(tmp_path / "summary.parquet")
    assert rows_of(back, *SUMMARY_COLUMNS, *CREDIT_COLUMNS) == rows_of(
        result, *SUMMARY_COLUMNS, *CREDIT_COLUMNS
    )


# --- laws ---------------------------------------------------------------------------------------

Project = tuple[pd.DataFrame, pd.DataFrame]


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """Batches of a project, each once, and their results."""
    result = [
        {**record, "results": draw(st.lists(mappings(), max_size=4))}
        for record in draw(
            st.lists(api_records(BATCHES), max_size=6, unique_by=lambda one: one["id"])
        )
    ]
    return batches_of(*result), results_of(*result)


@given(projects(), st.none() | job_frames())
@few
def test_summary_counts_add_up_to_failure_rates(
    project: Project, jobs: pd.DataFrame | None
) -> None:
    batches, results = project
    result = summarize(batches, results, jobs)
    files = lb.outcomes(results, jobs)
    known = files[files.batch_status.isin(["COMPLETED", "CANCELLED"])]
    (expected,) = lb.failure_rates(known)[COUNT_COLUMNS].to_numpy().tolist()
    assert result[SUMMARY_COLUMNS[:3]].fillna(0).sum().tolist() == expected
    decided = result[result.n_decided.fillna(0) > 0]
    assert (decided.failure_rate == decided.n_failed / decided.n_decided).all()
    assert result.failure_rate.notna().tolist() == (result.n_decided.fillna(0) > 0).tolist()


@given(projects(), st.none() | job_frames())
@few
def test_summary_keeps_batches_and_has_exact_dtypes(
    project: Project, jobs: pd.DataFrame | None
) -> None:
    batches, results = project
    before = [frame.copy(deep=True) for frame in project]
    result = summarize(batches, results, jobs)
    pd.testing.assert_frame_equal(result[BATCHES.names], batches)
    for frame, as_it_was in zip(project, before, strict=True):
        pd.testing.assert_frame_equal(frame, as_it_was)
    assert_exact_dtypes(result, jobs=jobs is not None)


@given(projects(), job_frames())
@few
def test_summary_is_idempotent(project: Project, jobs: pd.DataFrame) -> None:
    batches, results = project
    once = summarize(batches, results, jobs)
    pd.testing.assert_frame_equal(summarize(once, results, jobs), once)
    pd.testing.assert_frame_equal(summarize(once, results), summarize(batches, results))


@given(projects(), job_frames())
@few
def test_credits_on_failed_do_not_exceed_credits(project: Project, jobs: pd.DataFrame) -> None:
    batches, results = project
    jobs = jobs.drop(columns=[*COST_PARTS])  # no shared parse jobs
    result = summarize(batches, results, jobs)
    assert result.credits_on_failed[result.credits.isna()].isna().all()
    spent = result.dropna(subset=CREDIT_COLUMNS)
    assert (spent.credits_on_failed <= spent.credits).all()
    last = jobs.drop_duplicates("job_id", keep="last")
    billed = last[last.job_id.isin(results.job_id.dropna())]
    assert float(result.credits.sum()) == pytest.approx(float(billed.credits.sum()))


# --- the ledger ---------------------------------------------------------------------------------


def outcomes_of(*words: str | None, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"outcome": pd.Series(words, dtype=STRING_DTYPE)}).assign(**columns)


def assert_ledger_dtypes(result: pd.DataFrame, by: list[str]) -> None:
    counts = [name for name in result.columns if name not in by]
    assert {str(result[name].dtype) for name in counts} == {"int64"}


@given(outcome_frames(), st.lists(st.sampled_from(["batch_id", "job_type"]), unique=True))
@few
def test_ledger_adds_up_to_rows(files: pd.DataFrame, by: list[str]) -> None:
    result = ledger(files, by=by)
    words = JOB_WORDS if "credits" in files else MAPPING_WORDS
    words = [word for word in OUTCOMES if word in words]
    assert result.columns.tolist() == [*by, "rows", *words, "in_failed_batches"]
    assert_ledger_dtypes(result, by)
    assert (result[words].sum(axis=1) == result.rows).all()
    assert int(result.rows.sum()) == len(files)
    for word in words:
        assert int(result[word].sum()) == int((files.outcome == word).sum())
    assert int(result.in_failed_batches.sum()) == int((files.batch_status == "FAILED").sum())
    assert not result[by].duplicated().any() or not by


@given(outcome_frames())
@few
def test_ledger_agrees_with_failure_rates(files: pd.DataFrame) -> None:
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
def test_ledger_of_results_counts_mappings(results: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ledger(results), ledger(lb.outcomes(results)))


def test_ledger_without_by_has_one_row() -> None:
    result = ledger(results_of())
    assert result.columns.tolist() == ["rows", *MAPPING_WORDS, "in_failed_batches"]
    assert result.to_numpy().tolist() == [[0] * 5]
    assert_ledger_dtypes(result, [])
    assert len(ledger(results_of(), by="job_type")) == 0
    assert_ledger_dtypes(ledger(results_of(), by="job_type"), ["job_type"])


def test_ledger_columns_depend_on_jobs_not_rows() -> None:
    files = lb.outcomes(results_of(batch(results=[])), ENDED_JOBS)
    assert ledger(files).columns.tolist() == ["rows", *JOB_WORDS, "in_failed_batches"]


def test_unexpected_outcome_gets_its_column() -> None:
    result = ledger(outcomes_of("succeeded", "mapped", "job_failed", "succeeded"))
    assert result.columns.tolist() == [
        "rows", "succeeded", "mapped", "mapping_error", "job_failed", "no_job", "in_failed_batches"
    ]  # fmt: skip
    assert result.to_numpy().tolist() == [[4, 2, 1, 0, 1, 0, 0]]


def test_ledger_is_sorted_with_missing_keys_last() -> None:
    files = outcomes_of(
        "mapped", "no_job", "mapped", key=pd.Series(["b", None, "a"], dtype=STRING_DTYPE)
    )
    result = ledger(files, by="key")
    assert result.key.fillna("missing").tolist() == ["a", "b", "missing"]
    assert result.no_job.tolist() == [0, 0, 1]


def test_ledger_duplicate_key_groups_once() -> None:
    files = outcomes_of("mapped", "no_job", key=["a", "b"])
    pd.testing.assert_frame_equal(ledger(files, by=["key", "key"]), ledger(files, by="key"))


def test_ledger_groups_by_outcome() -> None:
    result = ledger(outcomes_of("mapped", "no_job", "mapped"), by="outcome")
    assert result[["outcome", "rows"]].to_numpy().tolist() == [["mapped", 2], ["no_job", 1]]


@pytest.mark.parametrize("word", [None, "état"])
def test_unknown_outcome_raises_in_ledger(word: str | None) -> None:
    with pytest.raises(
        ValueError,
        match=r"2 rows have no outcome or an unknown one; known are succeeded, partial, mapped",
    ):
        ledger(outcomes_of("mapped", word, word))
    with pytest.raises(ValueError, match="1 row has no outcome"):
        ledger(outcomes_of("mapped", word).astype({"outcome": "category"}))


@pytest.mark.parametrize("name", ["rows", "in_failed_batches", *OUTCOMES])
def test_ledger_by_result_column_raises(name: str) -> None:
    with pytest.raises(ValueError, match=f"by='{name}'"):
        ledger(outcomes_of("mapped", **{name: 1}), by=name)


def test_ledger_ignores_extra_column_named_like_count() -> None:
    assert ledger(outcomes_of("mapped", rows=5, no_job="x")).rows.tolist() == [1]


# --- pages --------------------------------------------------------------------------------------

PAGES = pd.DataFrame(
    {
        "job_id": ["done", "done", "done", "bad", None, "other"],
        "success": pd.array([True, False, None, True, True, True], "boolean"),
    }
)


def test_pages_of_each_batch_are_counted() -> None:
    both = [batch(), batch("bat-2", results=[mapping("free"), mapping("done"), mapping("done")])]
    both.append(batch("bat-3", results=[mapping("on")]))
    result = summarize(batches_of(*both), results_of(*both), ENDED_JOBS, pages=PAGES)
    assert result.columns[-3:].tolist() == PAGE_COLUMNS
    assert rows_of(result, *PAGE_COLUMNS) == [[4, 1, 5 / 4], [3, 1, 1.0], [None, None, None]]
    assert result.dtypes[-3:].astype(str).tolist() == ["Int64", "Int64", "Float64"]


def test_credits_per_page_are_of_jobs_with_known_credits() -> None:
    jobs = ENDED_JOBS.assign(credits=ENDED_JOBS.credits.where(ENDED_JOBS.job_id == "bad"))
    one = batch()
    result = summarize(batches_of(one), results_of(one), jobs, pages=PAGES)
    assert rows_of(result, *PAGE_COLUMNS) == [[4, 1, 2.0]]


def test_columns_of_objects_give_the_same_summary() -> None:
    jobs = ENDED_JOBS.assign(credits=ENDED_JOBS.credits.where(ENDED_JOBS.job_id == "bad"))
    frames = batches_of(batch()), results_of(batch()), jobs, PAGES
    as_objects = [frame.astype(object) for frame in frames]
    expected = summarize(*frames[:3], pages=PAGES)[[*CREDIT_COLUMNS, *PAGE_COLUMNS]]
    result = summarize(*as_objects[:3], pages=as_objects[3])
    pd.testing.assert_frame_equal(result[expected.columns], expected)


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize("n_pages", [0, 6])
def test_credits_per_page_are_missing_without_credits(convert: Any, n_pages: int) -> None:
    one = batch()
    result = summarize(
        batches_of(one), convert(results_of(one)), pages=convert(PAGES.iloc[:n_pages])
    )
    expected = [4, 1] if n_pages else [None, None]
    assert rows_of(result, *PAGE_COLUMNS) == [[*expected, None]]
    assert str(result.credits_per_page.dtype) == "Float64"


TIME = pd.Timestamp("2026-08-01", tz="UTC").as_unit("us")


@pytest.mark.parametrize("convert", [pd.DataFrame.copy, pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize("dtype", [object, str])
def test_empty_text_is_missing_in_numbers_and_ids(
    convert: Callable[[pd.DataFrame], Any], dtype: type
) -> None:
    if dtype is object and convert is not pd.DataFrame.copy:
        pytest.skip("columns of these engines have one type")
    batches = pd.DataFrame({"batch_id": ["a"], "status": ["COMPLETED"], "created_at": [TIME]})
    batches = batches.assign(updated_at=TIME)
    files = pd.DataFrame(
        {
            "batch_id": "a",
            "batch_created_at": TIME,
            "configuration_id": "cfg-1",
            "source_directory_file_id": ["x", "y", "z"],
            "job_id": ["job-x", "job-y", None],
            "outcome": ["succeeded", "job_failed", "no_job"],
            "credits": [1.5, None, None],
            "error_message": None,
        }
    )
    empty = files.astype(object).where(files.notna(), "").astype(dtype)
    empty["batch_created_at"] = TIME
    expected = lb.summarize(batches, files)
    pd.testing.assert_frame_equal(lb.summarize(batches, convert(empty)), expected)
    found = lb.final_outcomes(convert(empty)).drop(columns="error_message")
    pd.testing.assert_frame_equal(found, lb.final_outcomes(files)[[*found]])
    assert found.credits.sum() == 1.5


@pytest.mark.parametrize("convert", [pd.DataFrame.copy, pl.from_pandas, pa.Table.from_pandas])
def test_column_of_ids_without_any_is_of_numbers_after_a_csv_file(
    convert: Callable[[pd.DataFrame], Any],
) -> None:
    batches = pd.DataFrame({"batch_id": ["a"], "status": ["FAILED"], "created_at": [TIME]})
    batches = batches.assign(updated_at=TIME)
    files = pd.DataFrame({"batch_id": ["a", "a"], "outcome": "no_job", "job_id": float("nan")})
    found = lb.summarize(batches, convert(files))
    pd.testing.assert_frame_equal(found, lb.summarize(batches, files.assign(job_id=None)))


def test_empty_message_of_a_run_is_missing() -> None:
    files = pd.DataFrame({"batch_id": ["a", "a"], "source_directory_file_id": ["x", "y"]})
    files = files.assign(batch_created_at=TIME, configuration_id="cfg-1", job_id=["s", "t"])
    files = files.assign(outcome="succeeded", error_message="", job_error_message=["", "slow"])
    assert lb.final_outcomes(files).error_message.fillna("none").tolist() == ["none", "slow"]
