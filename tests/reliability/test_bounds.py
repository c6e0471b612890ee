"""An answer takes a bounded time and a bounded memory, whatever the server sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from tests.reliability.census import nothing_left
from tests.reliability.wire import Peer, Speak, Step, head
from tests.servers import Asked


def _drip(asked: Asked) -> Iterator[Step]:
    """Send a byte now and then, for ever."""
    yield head(200, "Transfer-Encoding: chunked")
    while True:
        yield b"1\r\n \r\n"
        yield 0.05


def _flood(asked: Asked) -> Iterator[Step]:
    yield head(200, "Transfer-Encoding: chunked")
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


@pytest.mark.parametrize(
    ("speak", "error", "words"),
    [
        (_drip, lb.ConnectionFailedError, "did not end within"),
        (_flood, lb.ResponseError, "larger than 10,000,000 bytes"),
    ],
)
def test_a_body_without_an_end(
    speak: Speak, error: type[lb.BatchesError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_TIMEOUTS", 0.1)
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 10_000_000)
    with (
        nothing_left(),
        Peer(speak) as peer,
        lb.connect("llx-secret", base_url=peer.url, timeout=10, max_retries=0),
        pytest.raises(error, match=words),
    ):
        lb.fetch_batches(progress=False)
