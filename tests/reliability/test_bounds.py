"""Reading a response takes bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from tests.reliability.leaks import no_leaks
from tests.reliability.raw_server import RawServer, Respond, Step, response_head
from tests.servers import Request


def _drip(request: Request) -> Iterator[Step]:
    """Send single bytes without end."""
    yield response_head(200, "Transfer-Encoding: chunked")
    while True:
        yield b"1\r\n \r\n"
        yield 0.05


def _flood(request: Request) -> Iterator[Step]:
    yield response_head(200, "Transfer-Encoding: chunked")
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


@pytest.mark.parametrize(
    ("respond", "error", "words"),
    [
        (_drip, lb.ConnectionFailedError, "did not end within"),
        (_flood, lb.ResponseError, "larger than 10,000,000 bytes"),
    ],
)
def test_endless_body_raises(
    respond: Respond, error: type[lb.BatchesError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_TIMEOUTS", 0.1)
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 10_000_000)
    with (
        no_leaks(),
        RawServer(respond) as server,
        lb.connect("llx-secret", base_url=server.url, timeout=10, max_retries=0),
        pytest.raises(error, match=words),
    ):
        lb.fetch_batches(progress=False)
