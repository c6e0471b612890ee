"""A server in another process, which takes as little time from the measured one as possible."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"


@dataclass(frozen=True)
class Link:
    """What lies between the client and the server, and how bodies travel on it."""

    latency: float = 0.0  # seconds
    bytes_per_second: float = inf  # of all connections together
    header: bytes = b""  # of each response, with its line end


def _serve(respond: Callable[[str], bytes], link: Link, ready: Connection) -> None:
    idle_at = 0.0  # when the link has sent what it was given

    async def send(size: int) -> None:
        nonlocal idle_at
        now = time.monotonic()
        idle_at = max(now, idle_at) + size / link.bytes_per_second
        await asyncio.sleep(link.latency + idle_at - now)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                body = respond(request.split(maxsplit=2)[1].decode())
                await send(len(body))
                writer.write(HEAD % (len(body), link.header))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def serving(respond: Callable[[str], bytes], link: Link = Link()) -> Iterator[str]:
    """Respond to GET requests by their path; yield the URL. `respond` is pickled."""
    receiver, ready = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=_serve, args=(respond, link, ready), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        server.terminate()
        server.join()
