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
from tests.servers import Request, Response, batch, page, responses_in_turn

GOOD = page([batch("bat-1")])


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)


@pytest.mark.parametrize(
    "fault",
    [
        Response(status=408),
        Response(status=500, body={"detail": "Oops"}),
        Response(
            status=502, raw=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}
        ),
        Response(status=503, headers={"Retry-After": "0"}),
        Response(status=504),
        Response(status=429, headers={"Retry-After": "0"}),
        Response(drop=True),
        Response(GOOD, cut=10),
        Response(raw=b'{"items": [{"id": "bat-'),
        Response(raw=gzip.compress(b"{}")[:9], headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda response: f"{response.status}{response.drop or ''}{response.cut or ''}",
)
def test_transient_fault_is_retried(serve: Serve, fault: Response) -> None:
    server = serve(responses_in_turn([fault, fault, GOOD]))
    assert lb.fetch_batches().batch_id.tolist() == ["bat-1"]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response({"detail": "No such key"}, 401), lb.AuthenticationError),
        (Response({"detail": "Not yours"}, 403), lb.AuthenticationError),
        (Response({"detail": "Not there"}, 404), lb.NotFoundError),
        (Response({"detail": "Already"}, 409), lb.ConflictError),
        (Response({"detail": "Nonsense"}, 400), lb.InvalidRequestError),
        (Response({"detail": "Out of credits"}, 402), lb.UsageLimitError),
        (Response({"detail": "Your plan has no batches"}, 403), lb.AuthenticationError),
        (Response({"detail": "Too large"}, 413), lb.InvalidRequestError),
        (Response({"detail": "Not built"}, 501), lb.ServerError),
    ],
)
def test_error_status_raises_at_once_with_the_servers_message(
    serve: Serve, response: Response, error: type[lb.BatchesError]
) -> None:
    server = serve(lambda request: response)
    with pytest.raises(error, match=response.body["detail"]) as caught:
        lb.fetch_batches()
    assert caught.value.status_code == response.status
    assert "GET /api/v2/batches" in str(caught.value)
    assert len(server.requests) == 1


def test_rejected_key_error_mentions_the_regions(serve: Serve) -> None:
    serve(lambda request: Response({"detail": "Invalid"}, 401))
    with pytest.raises(lb.AuthenticationError, match="region") as caught:
        lb.fetch_batches()
    assert "https://api.cloud.eu.llamaindex.ai" in str(caught.value)


@pytest.mark.parametrize(
    "detail",
    [
        "Batches are not available on your plan",
        "Upgrade to Pro to use batches",
        {"message": "This feature needs an Enterprise subscription", "code": "plan"},
    ],
)
def test_forbidden_by_the_plan_does_not_blame_the_key(serve: Serve, detail: Any) -> None:
    serve(lambda request: Response({"detail": detail}, 403))
    with pytest.raises(lb.AuthenticationError, match="plan of the project lacks this") as caught:
        lb.fetch_batches()
    assert "Check the API key" not in str(caught.value)


def test_forbidden_for_an_unknown_reason_names_both_causes(serve: Serve) -> None:
    serve(lambda request: Response({"detail": "Forbidden"}, 403))
    with pytest.raises(lb.AuthenticationError, match=r"Check the API key.*A plan without batches"):
        lb.fetch_batches()


def test_usage_limit_says_that_the_request_is_correct(serve: Serve) -> None:
    server = serve(lambda request: Response({"detail": "Monthly limit reached"}, 402))
    with pytest.raises(lb.UsageLimitError, match=r"Monthly limit.*reading still works") as caught:
        lb.create_batch("dir-1", "cfg-1", check_directory=False, check_configuration=False)
    assert caught.value.status_code == 402
    assert "key" not in str(caught.value)
    assert "POST" not in [request.method for request in server.requests[:-1]]


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        (
            {"message": "Name taken", "directory_id": "dir-1"},
            'Name taken {"directory_id": "dir-1"}',
        ),
        ({"error": "Name taken"}, "Name taken"),
        ({"directory_id": "dir-1"}, '{"directory_id": "dir-1"}'),
        ({"message": {"ключ": 1}}, '{"message": {"ключ": 1}}'),
    ],
)
def test_detail_that_is_an_object_is_shown_as_text(
    serve: Serve, detail: dict[str, Any], shown: str
) -> None:
    serve(lambda request: Response({"detail": detail}, 409))
    with pytest.raises(lb.ConflictError) as caught:
        lb.fetch_batches()
    assert str(caught.value) == f"GET /api/v2/batches returned HTTP 409: {shown}."


@pytest.mark.parametrize("body", [{"message": "Nope"}, {"error": {"code": "Nope"}}])
def test_message_is_read_from_other_error_bodies(serve: Serve, body: Any) -> None:
    serve(lambda request: Response(body, 400))
    with pytest.raises(lb.InvalidRequestError, match="Nope"):
        lb.fetch_batches()


def test_message_names_each_rejected_field(serve: Serve) -> None:
    detail = [
        {"loc": ["query", "limit"], "msg": "too small", "type": "x"},
        {"loc": ["body", "config", "job"], "msg": "required", "type": "y"},
        "odd",
    ]
    serve(lambda request: Response({"detail": detail}, 422))
    with pytest.raises(
        lb.InvalidRequestError, match=r"limit: too small; config\.job: required; odd"
    ):
        lb.fetch_batches()


@pytest.mark.parametrize("loc", [5, True, None, "limit", {"in": "query"}])
def test_unusual_field_location_keeps_the_message(serve: Serve, loc: Any) -> None:
    serve(lambda request: Response({"detail": [{"loc": loc, "msg": "too small"}]}, 422))
    with pytest.raises(lb.InvalidRequestError, match="too small"):
        lb.fetch_batches()


@pytest.mark.parametrize("interim", [b"102 Processing", b"103 Early Hints"])
def test_interim_response_is_skipped(interim: bytes) -> None:
    def respond(request: Request) -> Iterator[bytes | float]:
        body = json.dumps(batch(request.path.rsplit("/", 1)[1])).encode()
        yield b"HTTP/1.1 %b\r\nLink: </a>; rel=preload\r\n\r\n" % interim
        yield 0.05
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    with RawServer(respond) as peer, lb.connect("llx-secret", base_url=peer.url):
        for name in ("bat-1", "bat-2"):  # the second on the same connection
            assert lb.get_batch(name).batch_id.tolist() == [name]


def test_persistent_server_error_raises_after_max_retries(serve: Serve) -> None:
    server = serve(lambda request: Response({"detail": "Down"}, 503), max_retries=2)
    with pytest.raises(lb.ServerError, match="Down") as caught:
        lb.fetch_batches()
    assert (caught.value.status_code, len(server.requests)) == (503, 3)


def test_refused_connection_raises_after_max_retries(serve: Serve) -> None:
    serve(lambda request: GOOD, max_retries=1).close()
    with pytest.raises(lb.ConnectionFailedError, match="base_url") as caught:
        lb.fetch_batches()
    assert not caught.value.request_sent


def test_silent_server_times_out(serve: Serve) -> None:
    import threading

    release = threading.Event()

    def hang(request: Request) -> Any:
        release.wait(10)
        return GOOD

    serve(hang, timeout=0.2, max_retries=0)
    with pytest.raises(lb.ConnectionFailedError, match=r"timeout="):
        lb.fetch_batches()
    release.set()


@pytest.mark.parametrize(
    "response",
    [
        Response(raw=b"<html>Log in</html>", headers={"Content-Type": "text/html"}),
        Response(raw=b"no json"),
        Response(raw=b"\xff", headers={"Content-Type": "application/json; charset=idna"}),
        Response([1, 2]),
        Response({"data": []}),
        Response({"items": {}}),
        Response({"items": ["x"]}),
        Response({"items": [{"id": None}]}),
        Response({"items": [], "next_page_token": 5}),
    ],
)
def test_undocumented_body_raises_response_error(serve: Serve, response: Response) -> None:
    serve(lambda request: response, max_retries=1)
    with pytest.raises(lb.ResponseError):
        lb.fetch_batches()


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("as_date", [False, True])
def test_long_retry_after_raises_instead_of_sleeping(serve: Serve, as_date: bool) -> None:
    retry_after = _in(600) if as_date else "600"
    server = serve(lambda request: Response(status=429, headers={"Retry-After": retry_after}))
    with pytest.raises(lb.RateLimitError) as caught:
        lb.fetch_batches()
    assert 500 < (caught.value.retry_after or 0) <= 600
    assert len(server.requests) == 1


LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"
NO_ZONE = "Wed, 21 Oct 2015 07:28:00 +99999999999999"


@pytest.mark.parametrize("retry_after", ["", "soon", "nan", "inf", "-5", LONG_AGO, NO_ZONE])
def test_invalid_retry_after_is_ignored(serve: Serve, retry_after: str) -> None:
    refusal = Response(status=503, headers={"Retry-After": retry_after})
    serve(responses_in_turn([refusal, GOOD]))
    assert len(lb.fetch_batches()) == 1


def test_persistent_rate_limit_raises_after_max_retries(serve: Serve) -> None:
    server = serve(
        lambda request: Response(status=429, headers={"Retry-After": "0"}), max_retries=1
    )
    with pytest.raises(lb.RateLimitError):
        lb.fetch_batches()
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(serve: Serve, status: int) -> None:
    elsewhere = serve(lambda request: GOOD)
    server = serve(lambda request: Response(status=status, headers={"Location": elsewhere.url}))
    with pytest.raises(lb.ResponseError, match=elsewhere.url):
        lb.fetch_batches()
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)


def test_key_is_in_no_error_and_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def echo(request: Request) -> Any:
        return Response({"detail": f"I got {request.headers['authorization']}"}, 400)

    serve(echo)
    with caplog.at_level(logging.DEBUG), pytest.raises(lb.InvalidRequestError) as refused:
        lb.fetch_batches()
    serve(lambda request: Response(drop=True), max_retries=0)
    with caplog.at_level(logging.DEBUG), pytest.raises(lb.ConnectionFailedError) as lost:
        lb.fetch_batches()
    for caught in (refused.value, lost.value):
        assert "llx-secret" not in repr(vars(caught))
        report = traceback.TracebackException.from_exception(caught, capture_locals=True)
        assert "llx-secret" not in "".join(report.format())
    assert "/api/v2/batches: 400" in caplog.text
    assert "llx-secret" not in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        Response(raw=b"llx-secret"),
        Response({"data": "llx-secret"}),
        Response({"items": [{"x": "llx-secret"}]}),
        Response(status=302, headers={"Location": "https://example.com/?k=llx-secret"}),
        Response({"detail": "x" * 997 + "llx-secret"}, 400),
    ],
)
def test_key_echoed_by_the_server_is_redacted(serve: Serve, response: Response) -> None:
    serve(lambda request: response, max_retries=0)
    with pytest.raises(lb.BatchesError) as caught:
        lb.fetch_batches()
    assert "llx" not in str(caught.value)
