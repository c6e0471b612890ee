"""fetch_results: complete, in order, and with at most max_workers concurrent requests."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Request, Response, Script, batch, interrupt, mapping, page
from tests.threads import threads_left


def numbered(n_files: int = 2) -> Script:
    """Serve any batch with some files; the list has bat-0 to bat-9 in pages of four."""

    def script(request: Request) -> Any:
        if request.path == "/api/v2/batches":
            start = int(request.param("page_token") or 0)
            items = [batch(f"bat-{n}") for n in range(start, min(start + 4, 10))]
            return page(items, str(start + 4) if start + 4 < 10 else None, total_size=10)
        assert request.param("expand") == "results"
        name = request.path.rsplit("/", 1)[1]
        files = [mapping(f"{name}-{n}", f"pjb-{name}-{n}") for n in range(n_files)]
        return batch(name, results=files)

    return script


def test_rows_keep_the_order_of_the_batches(serve: Serve) -> None:
    def slow_first(request: Request) -> Any:
        time.sleep(0.1 if request.path.endswith("-0") else 0)
        return numbered()(request)

    serve(slow_first)
    ids = [f"bat-{n}" for n in range(20)]
    results = lb.fetch_results(ids)
    assert results.batch_id.drop_duplicates().tolist() == ids
    assert results.source_directory_file_id.tolist() == [f"{i}-{n}" for i in ids for n in (0, 1)]


@pytest.mark.parametrize(
    "batches",
    [
        "bat-1",
        ["bat-1"],
        ("bat-1", "bat-1"),
        pd.DataFrame({"batch_id": ["bat-1", "bat-1"]}),
        pd.Series(["bat-1"]),
        pd.DataFrame({"batch_id": ["bat-1"], "x": [1]}).iloc[0],
        pl.DataFrame({"batch_id": ["bat-1"]}),
        pl.LazyFrame({"batch_id": ["bat-1"]}),
        (name for name in ["bat-1"]),
    ],
    ids=lambda batches: type(batches).__name__,
)
def test_batches_are_accepted_in_many_types(serve: Serve, batches: Any) -> None:
    server = serve(numbered())
    assert len(lb.fetch_results(batches)) == 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("batches", "error"),
    [
        (pd.DataFrame({"id": ["bat-1"]}), ValueError),
        (pd.DataFrame({"batch_id": ["bat-1", None]}), ValueError),
        ([None], TypeError),
        ({"batch_id": "bat-1"}, TypeError),
        (b"bat-1", TypeError),
        (7, TypeError),
        ("", ValueError),
    ],
)
def test_invalid_batches_raise_before_any_request(
    serve: Serve, batches: Any, error: type[Exception]
) -> None:
    server = serve(numbered())
    for function in (lb.fetch_results, lb.wait_for_batches, lb.cancel_batch):
        with pytest.raises(error, match="batch_id"):
            function(batches)
    assert not server.requests


def test_empty_batches_return_no_rows_without_a_request(serve: Serve) -> None:
    server = serve(numbered())
    assert lb.fetch_results([]).empty
    assert not server.requests


def test_response_with_another_batch_raises(serve: Serve) -> None:
    serve(lambda request: batch("bat-9", results=[]))
    for function in (lb.get_batch, lb.fetch_results):
        with pytest.raises(
            lb.ResponseError, match="Expected batch 'bat-1', but the server returned 'bat-9'"
        ):
            function("bat-1")
    assert len(lb.get_batch("BAT-9")) == 1  # case is ignored


def test_filters_select_batches(serve: Serve) -> None:
    server = serve(numbered())
    assert lb.fetch_results(status="COMPLETED").batch_id.nunique() == 10
    assert server.requests[0].param("status") == "COMPLETED"
    assert lb.fetch_results(limit=3).batch_id.unique().tolist() == ["bat-0", "bat-1", "bat-2"]
    assert lb.fetch_results(["bat-7", "bat-8"], limit=1).batch_id.unique().tolist() == ["bat-7"]


def test_filters_with_batches_raise(serve: Serve) -> None:
    server = serve(numbered())
    with pytest.raises(TypeError, match="status"):
        lb.fetch_results("bat-1", status="FAILED")
    with pytest.raises(TypeError, match="colour"):
        lb.fetch_results(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="errors='ignore'"):
        lb.fetch_results("bat-1", errors="ignore")  # type: ignore[arg-type]
    assert not server.requests
    assert len(lb.fetch_results("bat-1", project_id="prj-1")) == 2


@pytest.mark.parametrize("max_workers", [1, 3])
def test_concurrent_requests_are_at_most_max_workers(serve: Serve, max_workers: int) -> None:
    def slow(request: Request) -> Any:
        time.sleep(0.01)
        return numbered()(request)

    server = serve(slow, max_workers=max_workers)
    lb.fetch_results([f"bat-{n}" for n in range(12)])
    assert server.max_concurrent == max_workers


@pytest.mark.parametrize("results", [None, []])
def test_batch_without_results_has_no_rows(serve: Serve, results: list[Any] | None) -> None:
    serve(lambda request: batch("bat-1", "RUNNING", results=results))
    assert lb.fetch_results("bat-1").empty


def _batch_3_missing(request: Request) -> Any:
    if request.path.endswith("-3"):
        time.sleep(0.5)  # let the other responses arrive first
        return Response({"detail": "No such batch"}, 404)
    return numbered()(request)


def test_missing_batch_raises_with_the_others_as_partial(serve: Serve) -> None:
    serve(_batch_3_missing)
    with pytest.raises(lb.NotFoundError, match="bat-3") as caught:
        lb.fetch_results([f"bat-{n}" for n in range(6)])
    assert caught.value.partial is not None
    others = ["bat-0", "bat-1", "bat-2", "bat-4", "bat-5"]
    assert caught.value.partial.batch_id.unique().tolist() == others


def test_missing_batch_is_skipped_with_a_warning(serve: Serve) -> None:
    serve(_batch_3_missing)
    with pytest.warns(UserWarning, match=r"1 batch .*bat-3.*No such batch") as warned:
        results = lb.fetch_results([f"bat-{n}" for n in range(6)], errors="warn")
    assert warned[0].filename == __file__
    assert results.batch_id.nunique() == 5


def _batch_7_invalid(request: Request) -> Any:
    """Serve a numeric file id in bat-7; many responses are decoded at once."""
    if request.path.endswith("/bat-7"):
        return batch("bat-7", results=[{"source_directory_file_id": 7}])
    return numbered()(request)


def test_invalid_response_raises_with_the_others_as_partial(
    serve: Serve,
) -> None:
    serve(_batch_7_invalid)
    with pytest.raises(lb.ResponseError, match="source_directory_file_id") as raised:
        lb.fetch_results([f"bat-{n}" for n in range(12)])
    assert raised.value.partial is not None
    others = [f"bat-{n}" for n in range(12) if n != 7]
    assert raised.value.partial.batch_id.unique().tolist() == others


def test_invalid_response_is_skipped_with_a_warning(serve: Serve) -> None:
    serve(_batch_7_invalid)
    with pytest.warns(UserWarning, match=r"1 batch .*bat-7.*source_directory_file_id"):
        results = lb.fetch_results([f"bat-{n}" for n in range(40)], errors="warn")
    assert results.batch_id.nunique() == 39


def test_rejected_key_raises_despite_errors_warn(serve: Serve) -> None:
    serve(lambda request: Response({"detail": "No"}, 401))
    with pytest.raises(lb.AuthenticationError):
        lb.fetch_results(["bat-1", "bat-2"], errors="warn")


def test_interrupt_stops_at_once_with_partial_rows(serve: Serve) -> None:
    release = threading.Event()

    def hang(request: Request) -> Any:
        if request.path.endswith("-5"):
            time.sleep(0.2)
            interrupt()
        if not request.path.endswith(("-0", "-1")):
            release.wait(20)
        return numbered()(request)

    serve(hang)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.fetch_results([f"bat-{n}" for n in range(50)])
    took = time.monotonic() - started
    release.set()
    assert took < 5
    assert set(caught.value.partial.batch_id) == {"bat-0", "bat-1"}  # type: ignore[attr-defined]
    assert not threads_left()
    assert len(lb.fetch_results("bat-0")) == 2  # the next call works


def test_failed_page_raises_with_partial_rows(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if request.param("page_token") == "8":
            return Response({"detail": "Expired"}, 400)
        return numbered()(request)

    serve(script, max_workers=1)
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.fetch_results()
    assert caught.value.partial is not None
    assert caught.value.partial.columns.tolist()[0] == "batch_id"


def test_results_received_while_a_page_fails_are_in_partial(serve: Serve) -> None:
    arrived = threading.Semaphore(0)

    def script(request: Request) -> Any:
        if request.param("page_token"):
            for _ in range(4):
                arrived.acquire(timeout=10)
            time.sleep(0.1)
            return Response({"detail": "Expired"}, 400)
        response = numbered()(request)
        if request.path != "/api/v2/batches":
            arrived.release()
        return response

    serve(script)
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.fetch_results()
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.nunique() == 4


def test_persistent_rate_limit_raises_at_once(serve: Serve) -> None:
    server = serve(lambda request: Response(status=429, headers={"Retry-After": "600"}))
    with pytest.raises(lb.RateLimitError):
        lb.fetch_results([f"bat-{n}" for n in range(60)], errors="warn")
    assert len(server.requests) <= 32


def test_interrupt_aborts_a_body_without_a_length() -> None:
    """An HTTP/1.0 server sends its body slowly; Ctrl-C must abort the read."""
    listening = socket.create_server(("127.0.0.1", 0))
    end = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{")
                interrupt()
                while not end.wait(0.05):
                    connection.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with lb.connect("llx-1", base_url=url) as client, pytest.raises(KeyboardInterrupt):
        lb.fetch_results("bat-1", client=client)
    assert not threads_left()
    end.set()
    thread.join()
    listening.close()


def test_raw_is_the_json_of_each_result(serve: Serve) -> None:
    sent = [mapping("dfl-1", "pjb-1") | {"tomorrow": {"é": 1}}, mapping("dfl-2", None, "too long")]
    serve(lambda request: batch("bat-1", results=sent))
    plain, raw = lb.fetch_results("bat-1"), lb.fetch_results("bat-1", raw=True)
    assert [json.loads(text) for text in raw.raw] == sent
    pd.testing.assert_frame_equal(raw.drop(columns="raw"), plain)
    empty = lb.fetch_results([], raw=True)
    pd.testing.assert_series_equal(empty.dtypes, raw.dtypes)


# --- COMPLETED batches without results ----------------------------------------------------------

ENDED = {
    **dict.fromkeys(["bat-full", "bat-mapped"], ("COMPLETED", [mapping("dfl-1", "pjb-1")])),
    **dict.fromkeys(["bat-null", "bat-null-2"], ("COMPLETED", None)),
    "bat-empty": ("COMPLETED", []),
    "bat-running": ("RUNNING", None),
    "bat-failed": ("FAILED", None),
    "bat-cancelled": ("CANCELLED", []),
    "bat-unknown": ("PAUSED", None),
}


def ended(request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "batches":
        return page([batch(each, status) for each, (status, _) in ENDED.items()])
    status, results = ENDED[name]
    return batch(name, status, results=results)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("given", [None, list(ENDED)], ids=["filters", "ids"])
def test_completed_batches_without_results_are_counted_in_one_warning(
    serve: Serve, given: list[str] | None, raw: bool
) -> None:
    serve(ended)
    message = (
        "COMPLETED batches without results: 3 ('bat-null', 'bat-null-2', 'bat-empty'). If they "
        "ended a short time ago, their results may follow: wait_for_jobs(batches) waits for them"
    )
    with pytest.warns(UserWarning, match=re.escape(message)) as caught:
        results = lb.fetch_results(given, raw=raw)
    assert len(caught) == 1
    assert results.batch_id.tolist() == ["bat-full", "bat-mapped"]


@pytest.mark.slow
def test_warning_of_many_batches_without_results_names_the_first(serve: Serve) -> None:
    serve(lambda request: batch(request.path.rsplit("/", 1)[1], results=None))
    with pytest.warns(UserWarning, match=r"results: 1,200 \('b-0', .*'b-4', …\)\. If they"):
        assert lb.fetch_results([f"b-{n}" for n in range(1200)]).empty


def test_batches_that_may_have_no_results_are_not_warned_of(serve: Serve) -> None:
    serve(ended)  # warnings are errors
    assert lb.fetch_results(["bat-running", "bat-failed", "bat-cancelled", "bat-unknown"]).empty
