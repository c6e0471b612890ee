"""Outcome of each file from its mapping and its job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.tables import records, schema
from llama_batches_nb.tables.schema import JOBS, RESULTS
from llama_batches_nb.tables.statuses import JOB_STATUSES, OUTCOMES
from tests.strategies import few, job_frames, result_frames, results_of, some

ENDS = {
    "PENDING": "job_running",
    "THROTTLED": "job_running",
    "RUNNING": "job_running",
    "COMPLETED": "succeeded",
    "FAILED": "job_failed",
    "CANCELLED": "job_cancelled",
    "PAUSED": "job_unknown",
    None: "job_unknown",
}


def results(*files: tuple[str | None, str | None]) -> pd.DataFrame:
    """Return results of one batch, given the job and the message of each file."""
    mappings = [
        {
            "source_directory_file_id": f"dfl-{n}",
            "job_reference": job and {"id": job, "type": "parse_v2"},
            "error_message": message,
        }
        for n, (job, message) in enumerate(files)
    ]
    batch = {"id": "bat-1", "status": "COMPLETED", "created_at": "2026-08-01T00:00:00Z"}
    return results_of({**batch, "results": mappings})


def jobs(**statuses: str | None) -> pd.DataFrame:
    """Return jobs, given the status of each."""
    return records.to_pandas(
        JOBS,
        [
            {"id": job, "status": status, "error_message": f"why {job}", "usage": {"credits": 3}}
            for job, status in statuses.items()
        ],
    )


FILES = results(
    ("done", None), ("bad", ""), (None, "no such file"), (None, None), ("off", None), ("on", None),
    ("lost", None), ("odd", "")
)  # fmt: skip
ENDED = jobs(odd="PAUSED", on="RUNNING", off="CANCELLED", bad="FAILED", done="COMPLETED")
EXPECTED = [
    "succeeded", "job_failed", "mapping_error", "no_job", "job_cancelled", "job_running",
    "job_unknown", "job_unknown",
]  # fmt: skip


def words(outcome: Any) -> list[str]:
    """Return a column of any engine as a list."""
    return [str(word) for word in pd.Series(outcome)]


# --- one outcome each ---------------------------------------------------------------------------


def test_outcome_combines_mapping_and_job_status() -> None:
    assert words(lb.outcomes(FILES, ENDED).outcome) == EXPECTED


def test_file_with_job_is_mapped_without_jobs_frame() -> None:
    result = lb.outcomes(FILES)
    assert words(result.outcome) == ["mapped"] * 2 + ["mapping_error", "no_job"] + ["mapped"] * 4
    assert result.columns.tolist() == [*RESULTS.names, "outcome"]


@pytest.mark.parametrize("status", [*JOB_STATUSES, "PAUSED", None])
def test_job_status_determines_outcome(status: str | None) -> None:
    result = lb.outcomes(results(("job", None)), jobs(job=status))
    assert words(result.outcome) == [ENDS[status]]


@pytest.mark.parametrize("status", [*JOB_STATUSES, None])
def test_mapping_error_overrides_job_status(status: str | None) -> None:
    result = lb.outcomes(results(("job", "mapped too late")), jobs(job=status))
    assert words(result.outcome) == ["mapping_error"]


@pytest.mark.parametrize("message", [None, ""])
def test_empty_message_is_not_a_mapping_error(message: str | None) -> None:
    assert words(lb.outcomes(results(("job", message))).outcome) == ["mapped"]
    assert words(lb.outcomes(results((None, message))).outcome) == ["no_job"]


def test_missing_job_is_job_unknown() -> None:
    assert words(lb.outcomes(FILES, ENDED.iloc[:0]).outcome).count("job_unknown") == 6


def test_job_message_and_credits_are_added() -> None:
    result = lb.outcomes(FILES, ENDED)
    mapped = result.job_id.isin(ENDED.job_id)
    assert mapped.tolist() == [True, True, False, False, True, True, False, True]
    assert result[mapped].job_error_message.tolist() == [f"why {j}" for j in result[mapped].job_id]
    assert result[mapped].credits.tolist() == [3.0] * 5
    assert result[~mapped][["job_error_message", "credits"]].isna().to_numpy().all()


def test_jobs_without_credits_add_no_credits_column() -> None:
    result = lb.outcomes(FILES, ENDED.drop(columns="credits"))
    pd.testing.assert_frame_equal(result, lb.outcomes(FILES, ENDED).drop(columns="credits"))


# --- laws ---------------------------------------------------------------------------------------


def expected(file: Mapping[Any, Any], last: Mapping[str, str | None] | None) -> str:
    """Tell the outcome of one file, given the status that each job came to, or that none is known.

    The first that applies: mapping failed, no job, jobs were not fetched.
    """
    if file["error_message"]:
        return "mapping_error"
    if file["job_id"] is None:
        return "no_job"
    if last is None:
        return "mapped"
    return ENDS.get(last.get(file["job_id"]), "job_unknown")


ENGINES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@pytest.mark.parametrize("engine", ENGINES)
@given(files=result_frames(), ended=st.none() | job_frames())
@some
def test_every_file_has_the_expected_outcome(
    engine: str, files: pd.DataFrame, ended: pd.DataFrame | None
) -> None:
    """Each file has one outcome, the one that a plain reading of its row gives."""
    last = None
    if ended is not None:
        statuses = ended.status.astype(object).where(ended.status.notna(), None)
        last = dict(zip(ended.job_id, statuses, strict=True))
    rows = files.astype(object).where(files.notna(), None).to_dict("records")
    of = ENGINES[engine]
    result = words(lb.outcomes(of(files), ended if ended is None else of(ended))["outcome"])
    assert result == [expected(row, last) for row in rows]
    assert set(result) <= set(OUTCOMES)


@given(result_frames(), st.none() | job_frames())
@some
def test_outcomes_keep_results_unchanged(files: pd.DataFrame, ended: pd.DataFrame | None) -> None:
    before = files.copy(deep=True)
    result = lb.outcomes(files, ended)
    pd.testing.assert_frame_equal(result[RESULTS.names], before)
    pd.testing.assert_frame_equal(files, before)


@given(result_frames(), job_frames())
@few
def test_outcomes_are_idempotent(files: pd.DataFrame, ended: pd.DataFrame) -> None:
    once = lb.outcomes(files, ended)
    pd.testing.assert_frame_equal(lb.outcomes(once, ended), once)
    pd.testing.assert_frame_equal(lb.outcomes(once), lb.outcomes(files))


def test_duplicate_job_has_status_of_last_row() -> None:
    twice = pd.concat([jobs(job="RUNNING"), jobs(job="FAILED")])
    assert words(lb.outcomes(results(("job", None)), twice).outcome) == ["job_failed"]


@pytest.mark.parametrize("turned", [False, True])
def test_duplicate_job_has_status_of_latest_update(turned: bool) -> None:
    both = pd.concat([jobs(job="RUNNING"), jobs(job="FAILED")], ignore_index=True)
    both["updated_at"] = pd.to_datetime(["2026-08-01", "2026-08-02"], utc=True)
    result = lb.outcomes(results(("job", None)), both[::-1] if turned else both)
    assert words(result.outcome) == ["job_failed"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-08-01T00:00:00Z", "2026-08-01T00:00:00.5Z"),
        ("2026-08-01T00:00:00Z", pd.Timestamp("2026-08-02", tz="UTC")),
        (None, "2026-08-01"),
    ],
)
def test_times_of_repeated_jobs_may_be_text_as_after_a_csv_file(earlier: Any, later: Any) -> None:
    both = pd.concat([jobs(job="FAILED"), jobs(job="RUNNING")], ignore_index=True)
    both["updated_at"] = pd.Series([later, earlier], dtype=object)
    for rows in (both, both[::-1]):
        assert words(lb.outcomes(results(("job", None)), rows).outcome) == ["job_failed"]


@pytest.mark.parametrize("name", ["_job_status", "_has_failed_page", "_job_number"])
def test_columns_of_the_user_change_no_outcome(name: str) -> None:
    files = results(("job", None)).assign(**{name: "COMPLETED"})
    assert words(lb.outcomes(files).outcome) == ["mapped"]
    assert words(lb.outcomes(files, jobs(job="FAILED")).outcome) == ["job_failed"]


def test_status_that_is_no_text_is_unknown() -> None:
    ended = jobs(job="FAILED").assign(status=pd.Series([["FAILED"]], dtype=object))
    assert words(lb.outcomes(results(("job", None)), ended).outcome) == ["job_unknown"]


def test_objects_of_jobs_stay_objects() -> None:
    ended = jobs(job="FAILED").assign(credits=pd.Series(["1.5"], dtype=object))
    assert lb.outcomes(results(("job", None)), ended).credits.dtype == object


@given(result_frames(), job_frames())
@few
def test_duplicate_jobs_do_not_duplicate_results(files: pd.DataFrame, ended: pd.DataFrame) -> None:
    last = ended.drop_duplicates("job_id", keep="last")
    pd.testing.assert_frame_equal(lb.outcomes(files, ended), lb.outcomes(files, last))


@given(result_frames(), st.none() | job_frames())
@few
def test_outcome_dtypes_with_and_without_rows(
    files: pd.DataFrame, ended: pd.DataFrame | None
) -> None:
    result = lb.outcomes(files, ended)
    assert result.outcome.dtype == pd.CategoricalDtype(list(OUTCOMES))
    added = ["outcome"] if ended is None else ["outcome", "job_error_message", "credits"]
    assert result.columns.tolist() == [*RESULTS.names, *added]
    if ended is not None:
        assert result.job_error_message.dtype == schema.STRING_DTYPE
        assert result.credits.dtype == pd.Float64Dtype()


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([7, 7, 3, 1, 0, 2, 4, 5], name="n"),
        pd.MultiIndex.from_product([["a", "b"], [4, 3, 2, 1]], names=["x", "y"]),
        pd.date_range("2026-08-01", periods=8, tz="UTC"),
    ],
    ids=["repeated", "multi", "times"],
)
def test_outcomes_keep_index(index: pd.Index[Any]) -> None:
    result = lb.outcomes(FILES.set_axis(index), ENDED)
    pd.testing.assert_index_equal(result.index, index)
    assert words(result.outcome) == EXPECTED


def test_outcomes_keep_extra_columns() -> None:
    mine = FILES[["error_message", "job_id"]].assign(pages=range(8))
    result = lb.outcomes(mine, ENDED)
    assert result.columns.tolist()[:4] == ["error_message", "job_id", "pages", "outcome"]
    assert result.pages.tolist() == list(range(8))


def test_outcomes_keep_order_of_many_rows() -> None:
    many = pd.concat([FILES] * 500, ignore_index=True)
    assert words(lb.outcomes(many, ENDED).outcome) == EXPECTED * 500


# --- other frames -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow", None])
def test_outcomes_of_frames_read_from_parquet(backend: Any, tmp_path: Path) -> None:
    how = {"dtype_backend": backend} if backend else {}
    FILES.pipe(lb.export_parquet, tmp_path / "results.parquet")
    ENDED.pipe(lb.export_parquet, tmp_path / "jobs.parquet")
    files = pd.read_parquet(tmp_path / "results.parquet", **how)
    ended = pd.read_parquet(tmp_path / "jobs.parquet", **how)
    result = lb.outcomes(files, ended)
    assert words(result.outcome) == EXPECTED
    assert result.outcome.dtype == pd.CategoricalDtype(list(OUTCOMES))
    assert words(lb.outcomes(files, ENDED).outcome) == EXPECTED


def test_job_ids_may_be_objects_or_categories() -> None:
    for dtype in ("object", "category"):
        files = FILES.astype({"job_id": dtype})
        assert words(lb.outcomes(files, ENDED).outcome) == EXPECTED


@pytest.mark.parametrize("index", ["job_id", "batch_id"])
def test_index_may_be_named_like_a_column(index: str) -> None:
    indexed = FILES.set_index(index, drop=False)
    result = lb.outcomes(indexed, ENDED.set_index("job_id", drop=False))
    pd.testing.assert_index_equal(result.index, indexed.index)
    assert words(result.outcome) == EXPECTED


def test_extra_columns_may_have_integer_names() -> None:
    result = lb.outcomes(FILES.assign(x=1).rename(columns={"x": 0}), ENDED)
    assert words(result.outcome) == EXPECTED


@pytest.mark.parametrize("index", ["job_id", "batch_id", ["batch_id", "job_id"]])
def test_columns_may_be_in_the_index(index: str | list[str]) -> None:
    indexed = FILES.set_index(index)
    result = lb.outcomes(indexed, ENDED.set_index("job_id"))
    pd.testing.assert_index_equal(result.index, indexed.index)
    assert result.columns.tolist()[: indexed.shape[1]] == indexed.columns.tolist()
    assert words(result.outcome) == EXPECTED
    rates = lb.failure_rates(result, by="batch_id")
    pd.testing.assert_frame_equal(rates, lb.failure_rates(result.reset_index(), by="batch_id"))


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_text_is_missing(engine: str) -> None:
    files = FILES.astype("object").fillna("")
    ended = pd.concat([ENDED, jobs(x="RUNNING").assign(job_id="")])
    convert = ENGINES[engine]
    assert words(lb.outcomes(convert(files), convert(ended))["outcome"]) == EXPECTED
    counts = lb.failure_rates(convert(files))[["total", "decided", "failed"]]
    pd.testing.assert_frame_equal(counts, lb.failure_rates(FILES)[["total", "decided", "failed"]])


def test_duplicate_columns_raise() -> None:
    twice = pd.concat([FILES, FILES[["job_id"]]], axis=1)
    for frame in (twice, pa.Table.from_arrays([pa.array(["a"])] * 2, ["job_id", "job_id"])):
        with pytest.raises(ValueError, match="several columns named 'job_id'"):
            lb.outcomes(frame)


def test_results_from_csv_may_have_no_job_ids(tmp_path: Path) -> None:
    unmapped = results((None, "Too large"), (None, None))
    unmapped.to_csv(tmp_path / "results.csv", index=False)
    result = lb.outcomes(pd.read_csv(tmp_path / "results.csv"), ENDED)
    assert words(result.outcome) == ["mapping_error", "no_job"]


def test_arrow_null_and_large_string_columns_join() -> None:
    files = pa.table({"job_id": ["a", "b"], "error_message": pa.nulls(2), "mine": pa.nulls(2)})
    ended = pa.table(
        {
            "job_id": pa.array(["b", "a"], pa.large_string()),
            "status": ["COMPLETED", "FAILED"],
            "error_message": pa.nulls(2),
        }
    )
    assert lb.outcomes(files, ended)["outcome"].to_pylist() == ["job_failed", "succeeded"]
    unmapped = files.set_column(0, "job_id", pa.nulls(2))
    assert lb.outcomes(unmapped, ended)["outcome"].to_pylist() == ["no_job", "no_job"]


def test_polars_results_give_polars_outcomes() -> None:
    result = lb.outcomes(pl.from_pandas(FILES), pl.from_pandas(ENDED))
    assert isinstance(result, pl.DataFrame)
    assert result["outcome"].to_list() == EXPECTED
    assert result.columns == lb.outcomes(FILES, ENDED).columns.tolist()
    assert result["source_directory_file_id"].to_list() == FILES.source_directory_file_id.tolist()


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas, duckdb.from_df])
def test_frames_of_two_engines_raise_type_error(kind: Callable[[pd.DataFrame], Any]) -> None:
    mine, theirs = results(("pjb-1", None)), jobs(**{"pjb-1": "FAILED"})
    with pytest.raises(TypeError, match=r"results is a .* and jobs is a .*pandas"):
        lb.outcomes(kind(mine), theirs)
    with pytest.raises(TypeError, match=r"results is a .*pandas.* and jobs is a "):
        lb.outcomes(mine, kind(theirs))
    pages = pd.DataFrame({"job_id": ["pjb-1"], "success": [False]})
    with pytest.raises(TypeError, match=r"results is a .*pandas.* and pages is a "):
        lb.outcomes(mine, theirs, pages=kind(pages))


def test_polars_keeps_the_order_of_many_rows() -> None:
    many = pl.from_pandas(pd.concat([FILES] * 500, ignore_index=True))
    assert lb.outcomes(many, pl.from_pandas(ENDED))["outcome"].to_list() == EXPECTED * 500


def test_lazy_polars_results_give_lazy_outcomes() -> None:
    result = lb.outcomes(pl.from_pandas(FILES).lazy(), pl.from_pandas(ENDED).lazy())
    assert isinstance(result, pl.LazyFrame)
    assert result.collect().sort("source_directory_file_id")["outcome"].to_list() == EXPECTED


def test_arrow_results_give_arrow_outcomes_in_order() -> None:
    files, ended = (pa.Table.from_pandas(f, preserve_index=False) for f in (FILES, ENDED))
    result = lb.outcomes(files, ended)
    assert isinstance(result, pa.Table)
    assert result["outcome"].to_pylist() == EXPECTED
    assert result["source_directory_file_id"].to_pylist() == FILES.source_directory_file_id.tolist()


def test_duckdb_results_give_duckdb_outcomes() -> None:
    with duckdb.connect() as connection:
        files, ended = (connection.from_arrow(pa.Table.from_pandas(f)) for f in (FILES, ENDED))
        result = lb.outcomes(files, ended)
        assert isinstance(result, duckdb.DuckDBPyRelation)
        pairs = result.select("source_directory_file_id, outcome").order("1").fetchall()
    assert [outcome for _, outcome in pairs] == EXPECTED


@pytest.mark.parametrize("engine", ["pandas", "polars", "pyarrow"])
def test_completed_job_with_a_failed_page_is_partial(engine: str) -> None:
    convert: Any = {
        "pandas": lambda frame: frame,
        "polars": pl.from_pandas,
        "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    }[engine]
    jobs = pd.DataFrame(
        {
            "job_id": ["a", "b", "c", "d"],
            "status": ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"],
            "error_message": pd.Series([None, None, "broken", None], dtype="object"),
        }
    )
    results = jobs[["job_id"]].assign(error_message=pd.Series([None] * 4, dtype="object"))
    success = pd.array([True, False, True, False, None], "boolean")
    pages = pd.DataFrame({"job_id": ["a", "b", "b", "c", "d"], "success": success})
    files = lb.outcomes(convert(results), convert(jobs), pages=convert(pages))
    found = nw.from_native(files)["outcome"].cast(nw.String).to_list()
    assert found == ["succeeded", "partial", "job_failed", "succeeded"]
    rates = lb.failure_rates(files).iloc[0]
    assert (rates.decided, rates.failed) == (4, 1)


def test_pages_without_jobs_raise() -> None:
    results = pd.DataFrame({"job_id": ["a"], "error_message": [None]})
    with pytest.raises(ValueError, match=r"pages need jobs: call outcomes\(results, jobs, pages"):
        lb.outcomes(results, pages=pd.DataFrame({"job_id": ["a"], "success": [True]}))
