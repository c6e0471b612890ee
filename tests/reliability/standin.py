"""A server in a process of its own that has much to tell, and tells it faster than the sandbox.

Its batches are numbered, all have ended, and have the same number of files; answers are made from
templates. With a rate, it refuses as services do: a bucket that refills, and `Retry-After`.
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

from tests.reliability.wire import whole
from tests.servers import batch, mapping, page

START = datetime(2025, 1, 1, tzinfo=UTC)
NUMBER = b"#######"  # of a batch, in a template
PAGE = 1000


@dataclass
class Standin:
    """What the server has, how often it may be asked, and how it was."""

    batches: int
    files: int
    rate: float = math.inf
    """Requests a second, of all clients together; as many may come at once."""
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
        """Return the bytes of an answer."""
        now = time.monotonic()
        if self.rate < math.inf:
            self._left = min(self.rate, self._left + (now - self._looked) * self.rate)
            self._looked = now
            if self._left < 1:
                self.refused += 1
                return whole(b'{"detail": "Rate limit exceeded"}', 429, "Retry-After: 1")
            self._left -= 1
        self.answered += 1
        parts = urlsplit(target)
        name = parts.path.rsplit("/", 1)[1]
        if name == "batches":
            return whole(json.dumps(self._list(parse_qs(parts.query))).encode())
        number = name.removeprefix("bat-").encode()
        created = self._created(int(number)).encode()
        return whole(self._template.replace(NUMBER, number).replace(b"@", created, 1))

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
    def __init__(self, standin: Standin) -> None:
        self._standin = standin
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            request, _, self._heard = self._heard.partition(b"\r\n\r\n")
            self._transport.write(self._standin.answer(request.split(b" ", 2)[1].decode()))


def _serve(standin: Standin, parent: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(standin), "127.0.0.1", 0, backlog=4096
        )
        parent.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, parent.recv) != "end":
            parent.send((standin.answered, standin.refused))

    asyncio.run(serve())


class Served:
    """A stand-in that is being served."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def counts(self) -> tuple[int, int]:
        """Return how many requests were answered so far, and how many refused."""
        self._pipe.send("counts")
        answered, refused = self._pipe.recv()
        return answered, refused


@contextmanager
def served(standin: Standin) -> Iterator[Served]:
    """Serve a stand-in in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(standin, theirs), daemon=True)
    process.start()
    try:
        yield Served(f"http://127.0.0.1:{ours.recv()}", ours)
    finally:
        ours.send("end")
        process.join()
