"""What errors carry, and who is told of warnings."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb import errors, messages
from llama_batches_nb.http import transport, workers
from tests.conftest import Serve
from tests.servers import Answer, Asked, batch, mapping, page

SLY = "\x1b]0;mine\x07\x1b[2J\r\x08\x9b31m\x7f"
"""What a terminal obeys: a new title, an empty screen, red letters over those before."""

ROWS = pd.DataFrame({"batch_id": ["bat-1"]})


@pytest.mark.parametrize(
    "error",
    [lb.ServerError, ValueError, KeyboardInterrupt, workers.Cancelled],
    ids=lambda e: e.__name__,
)
def test_whatever_ends_the_work_carries_the_rows_so_far(error: type[BaseException]) -> None:
    with pytest.raises(error) as raised, errors.attach_partial(lambda: ROWS):
        raise error("it ends")
    assert raised.value.partial is ROWS  # type: ignore[attr-defined]


def test_rows_that_make_no_frame_do_not_hide_what_happened() -> None:
    def broken() -> pd.DataFrame:
        raise lb.ResponseError("odd rows")

    with pytest.raises(lb.ServerError, match="first") as raised, errors.attach_partial(broken):
        raise lb.ServerError("first")
    assert raised.value.partial is None


def test_where_nothing_goes_wrong_no_rows_are_made() -> None:
    made: list[pd.DataFrame] = []

    def rows_so_far() -> pd.DataFrame:
        made.append(pd.DataFrame())
        return made[-1]

    with errors.attach_partial(rows_so_far):
        assert not made
    assert not made


def test_warnings_of_a_thread_are_told_to_the_one_who_asked() -> None:
    told: list[str] = []
    with messages.redirect_warnings(told.append):
        messages.warn("here")
    assert told == ["here"]
    with pytest.warns(UserWarning, match="afterwards"):
        messages.warn("afterwards")
    assert told == ["here"]


def test_also_after_an_error() -> None:
    with pytest.raises(KeyError), messages.redirect_warnings(pytest.fail):
        raise KeyError
    with pytest.warns(UserWarning, match="as ever"):
        messages.warn("as ever")


def test_warnings_of_other_threads_are_not() -> None:
    told: list[str] = []
    caught: list[warnings.WarningMessage] = []

    def other() -> None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            messages.warn("elsewhere")
        caught.extend(found)

    with messages.redirect_warnings(told.append):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert told == []
    assert [str(one.message) for one in caught] == ["elsewhere"]


def test_names_in_a_message_are_few() -> None:
    assert messages.format_list("ab") == "'a', 'b'"
    assert messages.format_list("abcdefg") == "'a', 'b', 'c', 'd', 'e', …"


# --- a server that speaks to the terminal -------------------------------------------------------


def check_shown(said: str) -> None:
    """Check that all of it is there to be seen, and nothing to be obeyed."""
    assert "\\x1b]0;mine\\x07\\x1b[2J" in said
    assert all(c.isprintable() or c == "\n" for c in said)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 418, 422, 429, 500])
@pytest.mark.parametrize("body", [{"detail": SLY}, {"detail": [{"loc": [SLY], "msg": SLY}]}])
def test_no_error_moves_a_terminals_cursor(serve: Serve, status: int, body: Any) -> None:
    serve(lambda asked: Answer(body, status, {"Retry-After": "600"}))
    with pytest.raises(lb.BatchesError) as caught:
        lb.fetch_batches()
    check_shown(str(caught.value))


def sly(asked: Asked) -> Any:
    job = {"job": {"type": SLY, "configuration_id": SLY}}
    if asked.path.endswith("/batches"):
        return page([batch(f"bat-1{SLY}", f"RUNNING{SLY}", config=job)])
    if asked.path.endswith("bat-none"):
        return Answer({"detail": SLY}, 404)
    return batch(f"bat-1{SLY}", f"RUNNING{SLY}", config=job, results=[mapping("dfl-1", SLY)])


def test_nor_does_a_warning(serve: Serve) -> None:
    serve(sly)
    with pytest.warns(UserWarning, match="left out") as caught:
        lb.fetch_results(["bat-1", "bat-none"], errors="warn")
    check_shown(str(caught[0].message))
    results = pd.DataFrame({"job_id": ["pjb-1"], "job_type": [SLY]})
    with pytest.warns(UserWarning, match="type is not supported") as caught:
        lb.fetch_jobs(results)
    check_shown(str(caught[0].message))


def test_nor_does_the_end_of_a_sync(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)

    def script(asked: Asked) -> Any:
        if asked.path.endswith("/batches"):
            return page([batch(f"bat-{n}{SLY}") for n in range(2)])
        return Answer({"detail": SLY}, 500)

    serve(script, max_retries=0)
    with pytest.raises(lb.ServerError) as caught:
        lb.sync_dataset(tmp_path)
    check_shown("\n".join([str(caught.value), *caught.value.__notes__]))


def test_nor_does_a_bar(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = batch("bat-1", f"RUNNING{SLY}")
    serve(lambda asked: page([running]) if asked.path.endswith("/batches") else running)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=0, progress=True)
    check_shown(written.getvalue().replace("\r", ""))
