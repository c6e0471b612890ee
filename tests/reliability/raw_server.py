"""A server of raw sockets on loopback, whose responses are given byte by byte."""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum, auto
from http.client import parse_headers
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers import Request


class End(Enum):
    """How a connection ends early."""

    CLOSE = auto()  # with FIN
    RESET = auto()  # with RST


Step = bytes | float | End
"""Bytes to send, seconds to wait, or the end of the connection."""

Respond = Callable[[Request], Iterable[Step]]


class RawServer:
    """Send to each request what `respond` yields; close all connections at the end."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, name="peer")]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError):
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._connections.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), name="peer")
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            while (request := _request(stream)) and not self._closed.is_set():
                for step in self._respond(request):
                    if isinstance(step, float):
                        if self._closed.wait(step):
                            return
                    elif isinstance(step, bytes):
                        connection.sendall(step)
                    else:
                        _end(connection, step)
                        return
        with self._lock:
            self._connections.discard(connection)

    def close(self) -> None:
        """Stop listening and shut down all connections."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _request(stream: io.BufferedReader) -> Request | None:
    """Read one request; None at the end of the connection."""
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = {name.lower(): value for name, value in parse_headers(stream).items()}
    body = stream.read(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    return Request(method, unquote(parts.path), query, headers, body)


def _end(connection: socket.socket, end: End) -> None:
    if end is End.RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        connection.shutdown(socket.SHUT_RDWR)


def response_head(status: int = 200, *lines: str) -> bytes:
    """Return the status line and headers of a response."""
    return "\r\n".join([f"HTTP/1.1 {status} Scripted", *lines, "", ""]).encode()


def response(body: bytes, status: int = 200, *lines: str) -> bytes:
    """Return a complete response with a JSON body."""
    values = ["Content-Type: application/json", f"Content-Length: {len(body)}", *lines]
    return response_head(status, *values) + body


def chunks(body: bytes, size: int = 97) -> Iterator[bytes]:
    """Yield a body in HTTP chunks, without the final empty chunk."""
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
