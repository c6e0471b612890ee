"""Requests: retries, exceptions and their messages, and where the key is sent."""

from __future__ import annotations

import gzip
import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from tests.conftest import Serve
from tests.reliability.raw_server import RawServer
from tests.servers import Answer, Asked, batch, in_turn, page

GOOD = page([batch("bat-1")])


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=408),
        Answer(status=500, body={"detail": "Oops"}),
        Answer(status=502, raw=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}),
        Answer(status=503, headers={"Retry-After": "0"}),
        Answer(status=504),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(drop=True),
        Answer(GOOD, cut=10),
        Answer(raw=b'{"items": [{"id": "bat-'),
        Answer(raw=gzip.compress(b"{}")[:9], headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda answer: f"{answer.status}{answer.drop or ''}{answer.cut or ''}",
)
def test_transient_fault_is_retried(serve: Serve, fault: Answer) -> None:
    server = serve(in_turn([fault, fault, GOOD]))
    assert lb.fetch_batches().batch_id.tolist() == ["bat-1"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"detail": "No such key"}, 401), lb.AuthenticationError),
        (Answer({"detail": "Not yours"}, 403), lb.AuthenticationError),
        (Answer({"detail": "Not there"}, 404), lb.NotFoundError),
        (Answer({"detail": "Already"}, 409), lb.ConflictError),
        (Answer({"detail": "Nonsense"}, 400), lb.InvalidRequestError),
        (Answer({"detail": "Too large"}, 413), lb.InvalidRequestError),
        (Answer({"detail": "Not built"}, 501), lb.ServerError),
    ],
)
def test_error_status_raises_at_once_with_the_servers_message(
    serve: Serve, answer: Answer, error: type[lb.BatchesError]
) -> None:
    server = serve(lambda asked: answer)
    with pytest.raises(error, match=answer.body["detail"]) as caught:
        lb.fetch_batches()
    assert caught.value.status_code == answer.status
    assert "GET /api/v2/batches" in str(caught.value)
    assert len(server.asked) == 1


def test_rejected_key_error_mentions_the_regions(serve: Serve) -> None:
    serve(lambda asked: Answer({"detail": "Invalid"}, 401))
    with pytest.raises(lb.AuthenticationError, match="region") as caught:
        lb.fetch_batches()
    assert "https://api.cloud.eu.llamaindex.ai" in str(caught.value)


@pytest.mark.parametrize("body", [{"message": "Nope"}, {"error": {"code": "Nope"}}])
def test_message_is_read_from_other_error_bodies(serve: Serve, body: Any) -> None:
    serve(lambda asked: Answer(body, 400))
    with pytest.raises(lb.InvalidRequestError, match="Nope"):
        lb.fetch_batches()


def test_message_names_each_rejected_field(serve: Serve) -> None:
    detail = [
        {"loc": ["query", "limit"], "msg": "too small", "type": "x"},
        {"loc": ["body", "config", "job"], "msg": "required", "type": "y"},
        "odd",
    ]
    serve(lambda asked: Answer({"detail": detail}, 422))
    with pytest.raises(
        lb.InvalidRequestError, match=r"limit: too small; config\.job: required; odd"
    ):
        lb.fetch_batches()


@pytest.mark.parametrize("loc", [5, True, None, "limit", {"in": "query"}])
def test_unusual_field_location_keeps_the_message(serve: Serve, loc: Any) -> None:
    serve(lambda asked: Answer({"detail": [{"loc": loc, "msg": "too small"}]}, 422))
    with pytest.raises(lb.InvalidRequestError, match="too small"):
        lb.fetch_batches()


@pytest.mark.parametrize("interim", [b"102 Processing", b"103 Early Hints"])
def test_interim_response_is_skipped(interim: bytes) -> None:
    def respond(asked: Asked) -> Iterator[bytes | float]:
        body = json.dumps(batch(asked.path.rsplit("/", 1)[1])).encode()
        yield b"HTTP/1.1 %b\r\nLink: </a>; rel=preload\r\n\r\n" % interim
        yield 0.05
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    with RawServer(respond) as peer, lb.connect("llx-secret", base_url=peer.url):
        for name in ("bat-1", "bat-2"):  # the second on the same connection
            assert lb.get_batch(name).batch_id.tolist() == [name]


def test_persistent_server_error_raises_after_max_retries(serve: Serve) -> None:
    server = serve(lambda asked: Answer({"detail": "Down"}, 503), max_retries=2)
    with pytest.raises(lb.ServerError, match="Down") as caught:
        lb.fetch_batches()
    assert (caught.value.status_code, len(server.asked)) == (503, 3)


def test_refused_connection_raises_after_max_retries(serve: Serve) -> None:
    serve(lambda asked: GOOD, max_retries=1).close()
    with pytest.raises(lb.ConnectionFailedError, match="base_url") as caught:
        lb.fetch_batches()
    assert not caught.value.request_sent


def test_silent_server_times_out(serve: Serve) -> None:
    import threading

    release = threading.Event()

    def hang(asked: Asked) -> Any:
        release.wait(10)
        return GOOD

    serve(hang, timeout=0.2, max_retries=0)
    with pytest.raises(lb.ConnectionFailedError, match=r"timeout="):
        lb.fetch_batches()
    release.set()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"<html>Log in</html>", headers={"Content-Type": "text/html"}),
        Answer(raw=b"no json"),
        Answer(raw=b"\xff", headers={"Content-Type": "application/json; charset=idna"}),
        Answer([1, 2]),
        Answer({"data": []}),
        Answer({"items": {}}),
        Answer({"items": ["x"]}),
        Answer({"items": [{"id": None}]}),
        Answer({"items": [], "next_page_token": 5}),
    ],
)
def test_undocumented_body_raises_response_error(serve: Serve, answer: Answer) -> None:
    serve(lambda asked: answer, max_retries=1)
    with pytest.raises(lb.ResponseError):
        lb.fetch_batches()


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("as_date", [False, True])
def test_long_retry_after_raises_instead_of_sleeping(serve: Serve, as_date: bool) -> None:
    retry_after = _in(600) if as_date else "600"
    server = serve(lambda asked: Answer(status=429, headers={"Retry-After": retry_after}))
    with pytest.raises(lb.RateLimitError) as caught:
        lb.fetch_batches()
    assert 500 < (caught.value.retry_after or 0) <= 600
    assert len(server.asked) == 1


LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"
NO_ZONE = "Wed, 21 Oct 2015 07:28:00 +99999999999999"


@pytest.mark.parametrize("retry_after", ["", "soon", "nan", "inf", "-5", LONG_AGO, NO_ZONE])
def test_invalid_retry_after_is_ignored(serve: Serve, retry_after: str) -> None:
    refusal = Answer(status=503, headers={"Retry-After": retry_after})
    serve(in_turn([refusal, GOOD]))
    assert len(lb.fetch_batches()) == 1


def test_persistent_rate_limit_raises_after_max_retries(serve: Serve) -> None:
    server = serve(lambda asked: Answer(status=429, headers={"Retry-After": "0"}), max_retries=1)
    with pytest.raises(lb.RateLimitError):
        lb.fetch_batches()
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(serve: Serve, status: int) -> None:
    elsewhere = serve(lambda asked: GOOD)
    server = serve(lambda asked: Answer(status=status, headers={"Location": elsewhere.url}))
    with pytest.raises(lb.ResponseError, match=elsewhere.url):
        lb.fetch_batches()
    assert (len(server.asked), len(elsewhere.asked)) == (1, 0)


def test_key_is_in_no_error_and_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def echo(asked: Asked) -> Any:
        return Answer({"detail": f"I got {asked.headers['authorization']}"}, 400)

    serve(echo)
    with caplog.at_level(logging.DEBUG), pytest.raises(lb.InvalidRequestError) as refused:
        lb.fetch_batches()
    serve(lambda asked: Answer(drop=True), max_retries=0)
    with caplog.at_level(logging.DEBUG), pytest.raises(lb.ConnectionFailedError) as lost:
        lb.fetch_batches()
    for caught in (refused.value, lost.value):
        assert "llx-secret" not in repr(vars(caught))
        report = traceback.TracebackException.from_exception(caught, capture_locals=True)
        assert "llx-secret" not in "".join(report.format())
    assert "/api/v2/batches: 400" in caplog.text
    assert "llx-secret" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"llx-secret"),
        Answer({"data": "llx-secret"}),
        Answer({"items": [{"x": "llx-secret"}]}),
        Answer(status=302, headers={"Location": "https://example.com/?k=llx-secret"}),
        Answer({"detail": "x" * 997 + "llx-secret"}, 400),
    ],
)
def test_key_echoed_by_the_server_is_redacted(serve: Serve, answer: Answer) -> None:
    serve(lambda asked: answer, max_retries=0)
    with pytest.raises(lb.BatchesError) as caught:
        lb.fetch_batches()
    assert "llx" not in str(caught.value)
