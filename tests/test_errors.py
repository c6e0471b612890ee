"""What errors carry, and who is told of warnings."""

from __future__ import annotations

import threading
import warnings

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb import errors, workers

ROWS = pd.DataFrame({"batch_id": ["bat-1"]})


@pytest.mark.parametrize(
    "error",
    [lb.ServerError, ValueError, KeyboardInterrupt, workers.Stopped],
    ids=lambda e: e.__name__,
)
def test_whatever_ends_the_work_carries_the_rows_so_far(error: type[BaseException]) -> None:
    with pytest.raises(error) as raised, errors.carrying_partial(lambda: ROWS):
        raise error("it ends")
    assert raised.value.partial is ROWS  # type: ignore[attr-defined]


def test_rows_that_make_no_frame_do_not_hide_what_happened() -> None:
    def broken() -> pd.DataFrame:
        raise lb.ResponseError("odd rows")

    with pytest.raises(lb.ServerError, match="first") as raised, errors.carrying_partial(broken):
        raise lb.ServerError("first")
    assert raised.value.partial is None


def test_where_nothing_goes_wrong_no_rows_are_made() -> None:
    made: list[pd.DataFrame] = []

    def rows_so_far() -> pd.DataFrame:
        made.append(pd.DataFrame())
        return made[-1]

    with errors.carrying_partial(rows_so_far):
        assert not made
    assert not made


def test_warnings_of_a_thread_are_told_to_the_one_who_asked() -> None:
    told: list[str] = []
    with errors.warnings_told(told.append):
        errors.warn("here")
    assert told == ["here"]
    with pytest.warns(UserWarning, match="afterwards"):
        errors.warn("afterwards")
    assert told == ["here"]


def test_also_after_an_error() -> None:
    with pytest.raises(KeyError), errors.warnings_told(pytest.fail):
        raise KeyError
    with pytest.warns(UserWarning, match="as ever"):
        errors.warn("as ever")


def test_warnings_of_other_threads_are_not() -> None:
    told: list[str] = []
    caught: list[warnings.WarningMessage] = []

    def other() -> None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            errors.warn("elsewhere")
        caught.extend(found)

    with errors.warnings_told(told.append):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert told == []
    assert [str(one.message) for one in caught] == ["elsewhere"]


def test_names_in_a_message_are_few() -> None:
    assert errors.listed("ab") == "'a', 'b'"
    assert errors.listed("abcdefg") == "'a', 'b', 'c', 'd', 'e', …"
