"""Reading a response takes bounded time and memory, whatever a server sends."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from llama_batches_nb.lifecycle import lost_response, polling
from tests.reliability.leaks import no_leaks
from tests.reliability.raw_server import RawServer, Step, response_head
from tests.servers import Request

CHUNKED = response_head(200, "Transfer-Encoding: chunked")
TIMEOUT = 0.2  # seconds; a request may take ten times as long


def _drip(*first: bytes, drop: bytes = b"x") -> Callable[[], Iterator[Step]]:
    """Send `drop` without end, at intervals that are shorter than the timeout."""

    def steps() -> Iterator[Step]:
        yield from first
        for _ in itertools.repeat(None):
            yield drop
            yield TIMEOUT / 4

    return steps


DRIPS: dict[str, Callable[[], Iterable[Step]]] = {
    "status line": _drip(b"HTTP/1.1 200 "),
    "header": _drip(b"HTTP/1.1 200 OK\r\nX-A: "),
    "headers": _drip(b"HTTP/1.1 200 OK\r\n", drop=b"A: b\r\n"),
    "interim responses": _drip(drop=response_head(102)),
    "continue": _drip(drop=response_head(100)),
    "body": _drip(response_head(200, "Content-Length: 100000")),
    "body without a length": _drip(response_head(200)),
    "chunks": _drip(CHUNKED, drop=b"1\r\n \r\n"),
    "chunk size": _drip(CHUNKED, drop=b"0"),
    "chunk extension": _drip(CHUNKED, b"1;"),
    "trailers": _drip(CHUNKED, b"2\r\n{}\r\n0\r\n", drop=b"A: b\r\n"),
    "compressed nothing": _drip(
        response_head(200, "Content-Encoding: gzip"), drop=gzip.compress(b"")
    ),
    "body of an error": _drip(response_head(500, "Content-Length: 100000")),
    "body of a redirect": _drip(response_head(302, "Location: /x", "Content-Length: 100000")),
}


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_TIMEOUTS", 2.0)
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0,))
    monkeypatch.setattr(lost_response, "RECOVERY_REQUEST_TIMEOUT", 0.5)


def _create(_: Path) -> object:
    return lb.create_batch("dir-1", "cfg-1", check_directory=False, check_configuration=False)


def _upload(folder: Path) -> object:
    (folder / "a.txt").write_text("a")
    return lb.upload_files(folder, source_directory_id="dir-1", progress=False)


@pytest.mark.usefixtures("short_times")
@pytest.mark.parametrize("drip", DRIPS)
def test_read_ends_when_its_response_drips(drip: str) -> None:
    started = time.monotonic()
    with (
        no_leaks(),
        RawServer(lambda request: DRIPS[drip]()) as server,
        lb.connect("llx-secret", base_url=server.url, timeout=TIMEOUT, max_retries=0),
        pytest.raises(lb.ConnectionFailedError, match=r"did not end within 0\.4 s"),
    ):
        lb.fetch_batches(progress=False)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "drip", ["header", "interim responses", "chunk size", "compressed nothing"]
)
@pytest.mark.parametrize("call", [_create, _upload])
@pytest.mark.usefixtures("short_times")
def test_write_ends_when_its_response_drips(
    call: Callable[[Path], object], drip: str, tmp_path: Path
) -> None:
    def respond(request: Request) -> Iterable[Step]:
        body = b'{"items": [], "next_page_token": null}'
        return (
            DRIPS[drip]()
            if request.method == "POST"
            else [response_head(200, f"Content-Length: {len(body)}"), body]
        )

    started = time.monotonic()
    with (
        no_leaks(),
        RawServer(respond) as server,
        lb.connect("llx-secret", base_url=server.url, timeout=TIMEOUT, max_retries=0),
        pytest.raises(lb.BatchesError, match="did not end within"),
    ):
        call(tmp_path)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("drip", ["header", "interim responses", "chunk size"])
@pytest.mark.parametrize("n_batches", [1, 3, 20])
def test_wait_ends_at_its_timeout_when_responses_drip(
    drip: str, n_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MAX_POLL_OUTAGE", 300.0)
    ids = [f"bat-{n}" for n in range(n_batches)]
    started = time.monotonic()
    with (
        no_leaks(),
        RawServer(lambda request: DRIPS[drip]()) as server,
        lb.connect("llx-secret", base_url=server.url),
        pytest.raises(lb.WaitTimeoutError, match="did not end within"),
    ):
        lb.wait_for_batches(ids, timeout=0.5, progress=False)
    assert time.monotonic() - started < 3


def _flood(request: Request) -> Iterator[Step]:
    yield CHUNKED
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def test_endless_body_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 10_000_000)
    with (
        no_leaks(),
        RawServer(_flood) as server,
        lb.connect("llx-secret", base_url=server.url, timeout=10, max_retries=0),
        pytest.raises(lb.ResponseError, match="larger than 10,000,000 bytes"),
    ):
        lb.fetch_batches(progress=False)
