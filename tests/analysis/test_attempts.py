"""Which run of a file is which."""

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


def test_runs_of_one_stored_file_are_counted_by_time() -> None:
    found = lb.attempts(runs(again=9, other=3, first=2), FILES)
    assert found.attempt.tolist() == [2, 1, 1]
    assert found.display_name.tolist() == ["a.pdf", "b.pdf", "a.pdf"]
    assert found.index.tolist() == [7, 7, 7]


def test_a_row_that_is_there_twice_is_one_run() -> None:
    assert lb.attempts(pd.concat([runs(first=1)] * 2), FILES).attempt.tolist() == [1, 1]
    assert lb.attempts(pl.from_pandas(runs(first=1)), FILES).attempt.tolist() == [1]


def test_a_file_that_is_not_known_is_one_of_its_own() -> None:
    found = lb.attempts(pd.concat([runs(gone=2), runs(gone=1), runs(lost=3)]), FILES)
    assert found.attempt.tolist() == [2, 1, 1]
    assert found.file_id.isna().all()


def test_files_may_be_of_another_kind() -> None:
    found = lb.attempts(runs(first=1, again=2), pl.from_pandas(FILES))
    assert found.attempt.tolist() == [1, 2]
    pd.testing.assert_frame_equal(lb.attempts(found, FILES), found)


@few
@given(result_frames(), st.booleans())
def test_rows_stay_and_attempts_count_from_one(results: pd.DataFrame, named: bool) -> None:
    files = FILES if named else FILES.head(0)
    found = lb.attempts(results, files)
    pd.testing.assert_frame_equal(found[results.columns.tolist()], results)
    assert (found.file_id.dtype, found.display_name.dtype) == (STRING_DTYPE, STRING_DTYPE)
    assert str(found.attempt.dtype) == "Int64"
    for _, group in found.groupby("source_directory_file_id"):
        assert set(group.attempt) == set(range(1, group.batch_id.nunique() + 1))
