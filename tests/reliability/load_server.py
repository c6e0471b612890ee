"""A fast server for load tests, in a separate process.

All batches have ended and have the same number of files; responses are built from templates. With a
rate limit it sends HTTP 429 with `Retry-After`, from a token bucket.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.reliability.raw_server import response
from tests.servers import batch, mapping, page

START = datetime(2025, 1, 1, tzinfo=UTC)
NUMBER = b"#######"  # of a batch, in a template
PAGE = 1000


@dataclass
class LoadServer:
    """The server's data, its rate limit, and how many requests it has answered."""

    batches: int
    files: int
    rate: float = math.inf
    """Requests per second from all clients together, and the size of a burst."""
    answered: int = 0
    refused: int = 0
    _left: float = field(init=False)
    _looked: float = field(init=False)
    _template: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._looked = self.rate, time.monotonic()
        n = NUMBER.decode()
        results = [mapping(f"dfl-{n}-{f:04}", f"pjb-{n}-{f:04}") for f in range(self.files)]
        self._template = json.dumps({**self._batch(n), "results": results}).encode()

    def answer(self, target: str) -> bytes:
        """Return the bytes of a response."""
        now = time.monotonic()
        if self.rate < math.inf:
            self._left = min(self.rate, self._left + (now - self._looked) * self.rate)
            self._looked = now
            if self._left < 1:
                self.refused += 1
                return response(b'{"detail": "Rate limit exceeded"}', 429, "Retry-After: 1")
            self._left -= 1
        self.answered += 1
        parts = urlsplit(target)
        name = parts.path.rsplit("/", 1)[1]
        if name == "batches":
            return response(json.dumps(self._list(parse_qs(parts.query))).encode())
        number = name.removeprefix("bat-").encode()
        created = self._created(int(number)).encode()
        return response(self._template.replace(NUMBER, number).replace(b"@", created, 1))

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        since = query.get("created_at_on_or_after", [""])[0]
        first = 0 if not since else _minutes(datetime.fromisoformat(since))
        start = int(query.get("page_token", ["0"])[0])
        size = min(PAGE, int(query["page_size"][0]))
        numbers = range(self.batches - 1, max(first, 0) - 1, -1)
        items = [
            {**self._batch(f"{n:07}"), "created_at": self._created(n)}
            for n in numbers[start : start + size]
        ]
        more = start + size < len(numbers)
        return page(items, str(start + size) if more else None, total_size=len(numbers))

    def _batch(self, number: str) -> dict[str, Any]:
        return batch(f"bat-{number}", created_at="@")

    def _created(self, number: int) -> str:
        return (START + timedelta(minutes=number)).isoformat()


def _minutes(time: datetime) -> int:
    return math.ceil((time - START) / timedelta(minutes=1))


class _Connection(asyncio.Protocol):
    def __init__(self, load_server: LoadServer) -> None:
        self._server = load_server
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._server.answer(request.split(b" ", 2)[1].decode()))


def _serve(load_server: LoadServer, parent: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(load_server), "127.0.0.1", 0, backlog=4096
        )
        parent.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, parent.recv) != "end":
            parent.send((load_server.answered, load_server.refused))

    asyncio.run(serve())


class RunningLoadServer:
    """A running load server."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def counts(self) -> tuple[int, int]:
        """Return the number of requests answered and refused so far."""
        self._pipe.send("counts")
        answered, refused = self._pipe.recv()
        return answered, refused


@contextmanager
def start_load_server(load_server: LoadServer) -> Iterator[RunningLoadServer]:
    """Run a load server in a separate process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(load_server, theirs), daemon=True)
    process.start()
    try:
        yield RunningLoadServer(f"http://127.0.0.1:{ours.recv()}", ours)
    finally:
        ours.send("end")
        process.join()
