"""Numbering the runs of files that were run again."""

from __future__ import annotations

import pandas as pd
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.tables.schema import STRING_DTYPE
from tests.strategies import few, result_frames


def runs(**days: int) -> pd.DataFrame:
    """Return one run of each file, on a day of August."""
    return pd.DataFrame(
        {
            "source_directory_file_id": list(days),
            "batch_id": [f"bat-{day}" for day in days.values()],
            "batch_created_at": [pd.Timestamp(2026, 8, day, tz="UTC") for day in days.values()],
        },
        index=[7] * len(days),
    )


FILES = pd.DataFrame(
    {
        "source_directory_file_id": ["first", "again", "other"],
        "file_id": ["f-1", "f-1", "f-2"],
        "display_name": ["a.pdf", "a.pdf", "b.pdf"],
    }
)


def test_runs_of_stored_file_are_numbered_by_time() -> None:
    result = lb.attempts(runs(again=9, other=3, first=2), FILES)
    assert result.attempt.tolist() == [2, 1, 1]
    assert result.display_name.tolist() == ["a.pdf", "b.pdf", "a.pdf"]
    assert result.index.tolist() == [7, 7, 7]


def test_duplicate_rows_are_one_run() -> None:
    assert lb.attempts(pd.concat([runs(first=1)] * 2), FILES).attempt.tolist() == [1, 1]
    assert lb.attempts(pl.from_pandas(runs(first=1)), FILES).attempt.tolist() == [1]


def test_unknown_file_is_identified_by_directory_file_id() -> None:
    result = lb.attempts(pd.concat([runs(gone=2), runs(gone=1), runs(lost=3)]), FILES)
    assert result.attempt.tolist() == [2, 1, 1]
    assert result.file_id.isna().all()


def test_files_may_come_from_another_engine() -> None:
    result = lb.attempts(runs(first=1, again=2), pl.from_pandas(FILES))
    assert result.attempt.tolist() == [1, 2]
    pd.testing.assert_frame_equal(lb.attempts(result, FILES), result)


@few
@given(result_frames(), st.booleans())
def test_attempts_keep_rows_and_count_from_one(results: pd.DataFrame, named: bool) -> None:
    files = FILES if named else FILES.head(0)
    result = lb.attempts(results, files)
    pd.testing.assert_frame_equal(result[results.columns.tolist()], results)
    assert (result.file_id.dtype, result.display_name.dtype) == (STRING_DTYPE, STRING_DTYPE)
    assert str(result.attempt.dtype) == "Int64"
    for _, group in result.groupby("source_directory_file_id"):
        assert set(group.attempt) == set(range(1, group.batch_id.nunique() + 1))
