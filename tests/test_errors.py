"""Attributes of exceptions, redirected warnings, and escaped control characters."""

from __future__ import annotations

import io
import pickle
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
from tests.servers import Request, Response, batch, mapping, page

CONTROL_TEXT = "\x1b]0;mine\x07\x1b[2J\r\x08\x9b31m\x7f"
"""Sequences that set a terminal's title, clear its screen and colour its text."""

ROWS = pd.DataFrame({"batch_id": ["bat-1"]})


def test_every_attribute_exists_on_a_new_exception() -> None:
    error = lb.UnconfirmedCreateError("lost")
    assert (error.status_code, error.retry_after, error.fields, error.partial) == (
        None,
        None,
        (),
        None,
    )
    assert error.candidates.empty
    assert lb.ConnectionFailedError("reset").request_sent


def test_exceptions_keep_their_attributes_when_pickled() -> None:
    unconfirmed = lb.UnconfirmedCreateError("lost", candidates=ROWS)
    unconfirmed.partial = ROWS
    copied = pickle.loads(pickle.dumps(unconfirmed))
    pd.testing.assert_frame_equal(copied.candidates, ROWS)
    pd.testing.assert_frame_equal(copied.partial, ROWS)
    refused = lb.ConnectionFailedError("refused", request_sent=False)
    assert not pickle.loads(pickle.dumps(refused)).request_sent


@pytest.mark.parametrize(
    "error",
    [lb.ServerError, ValueError, KeyboardInterrupt, workers.Cancelled],
    ids=lambda e: e.__name__,
)
def test_any_exception_carries_the_partial_frame(error: type[BaseException]) -> None:
    with pytest.raises(error) as raised, errors.attach_partial(lambda: ROWS):
        raise error("stopped")
    assert raised.value.partial is ROWS  # type: ignore[attr-defined]


def test_invalid_partial_frame_does_not_replace_the_error() -> None:
    def broken() -> pd.DataFrame:
        raise lb.ResponseError("odd rows")

    with pytest.raises(lb.ServerError, match="first") as raised, errors.attach_partial(broken):
        raise lb.ServerError("first")
    assert raised.value.partial is None


def test_partial_frame_is_not_built_without_an_error() -> None:
    calls: list[pd.DataFrame] = []

    def partial_frame() -> pd.DataFrame:
        calls.append(pd.DataFrame())
        return calls[-1]

    with errors.attach_partial(partial_frame):
        assert not calls
    assert not calls


def test_redirect_warnings_passes_messages_to_the_callback() -> None:
    redirected: list[str] = []
    with messages.redirect_warnings(redirected.append):
        messages.warn("here")
    assert redirected == ["here"]
    with pytest.warns(UserWarning, match="afterwards"):
        messages.warn("afterwards")
    assert redirected == ["here"]


def test_redirect_warnings_ends_after_an_error() -> None:
    with pytest.raises(KeyError), messages.redirect_warnings(pytest.fail):
        raise KeyError
    with pytest.warns(UserWarning, match="as ever"):
        messages.warn("as ever")


def test_nested_redirect_warnings_restores_the_outer_callback() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with messages.redirect_warnings(outer.append):
        with messages.redirect_warnings(inner.append):
            messages.warn("first")
        messages.warn("second")
    assert (inner, outer) == (["first"], ["second"])


def test_redirect_warnings_leaves_other_threads_alone() -> None:
    redirected: list[str] = []
    caught: list[warnings.WarningMessage] = []

    def other() -> None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            messages.warn("elsewhere")
        caught.extend(found)

    with messages.redirect_warnings(redirected.append):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert redirected == []
    assert [str(one.message) for one in caught] == ["elsewhere"]


def test_format_list_shows_five_names_at_most() -> None:
    assert messages.format_list("ab") == "'a', 'b'"
    assert messages.format_list("abcdefg") == "'a', 'b', 'c', 'd', 'e', …"


# --- control characters from a server ------------------------------------------------------------


def check_escaped(text: str) -> None:
    """Check that the control characters are visible as escapes and none is left."""
    assert "\\x1b]0;mine\\x07\\x1b[2J" in text
    assert all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 418, 422, 429, 500])
@pytest.mark.parametrize(
    "body", [{"detail": CONTROL_TEXT}, {"detail": [{"loc": [CONTROL_TEXT], "msg": CONTROL_TEXT}]}]
)
def test_errors_escape_control_characters(serve: Serve, status: int, body: Any) -> None:
    serve(lambda request: Response(body, status, {"Retry-After": "600"}))
    with pytest.raises(lb.BatchesError) as caught:
        lb.fetch_batches()
    check_escaped(str(caught.value))


def control_text_everywhere(request: Request) -> Any:
    job = {"job": {"type": CONTROL_TEXT, "configuration_id": CONTROL_TEXT}}
    if request.path.endswith("/batches"):
        return page([batch(f"bat-1{CONTROL_TEXT}", f"RUNNING{CONTROL_TEXT}", config=job)])
    if request.path.endswith("bat-none"):
        return Response({"detail": CONTROL_TEXT}, 404)
    return batch(
        f"bat-1{CONTROL_TEXT}",
        f"RUNNING{CONTROL_TEXT}",
        config=job,
        results=[mapping("dfl-1", CONTROL_TEXT)],
    )


def test_warnings_escape_control_characters(serve: Serve) -> None:
    serve(control_text_everywhere)
    with pytest.warns(UserWarning, match="left out") as caught:
        lb.fetch_results(["bat-1", "bat-none"], errors="warn")
    check_escaped(str(caught[0].message))
    results = pd.DataFrame({"job_id": ["pjb-1"], "job_type": [CONTROL_TEXT]})
    with pytest.warns(UserWarning, match="type is not supported") as caught:
        lb.fetch_jobs(results)
    check_escaped(str(caught[0].message))


def test_sync_error_notes_escape_control_characters(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)

    def script(request: Request) -> Any:
        if request.path.endswith("/batches"):
            return page([batch(f"bat-{n}{CONTROL_TEXT}") for n in range(2)])
        return Response({"detail": CONTROL_TEXT}, 500)

    serve(script, max_retries=0)
    with pytest.raises(lb.ServerError) as caught:
        lb.sync_dataset(tmp_path, names=False)
    check_escaped("\n".join([str(caught.value), *caught.value.__notes__]))


def test_progress_bar_escapes_control_characters(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = batch("bat-1", f"RUNNING{CONTROL_TEXT}")
    serve(lambda request: page([running]) if request.path.endswith("/batches") else running)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(lb.WaitTimeoutError):
        lb.wait_for_batches("bat-1", timeout=0, progress=True)
    check_escaped(written.getvalue().replace("\r", ""))
