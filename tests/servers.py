"""A real HTTP server on loopback that responds as a script says and records its requests."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """A received request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def param(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


@dataclass(frozen=True)
class Response:
    """A response: JSON, raw bytes, or a fault."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    reason: str | None = None  # the reason phrase after the status code
    drop: bool = False  # close the connection without a response
    cut: int = 0  # how many bytes Content-Length exceeds the body by

    def content(self) -> bytes:
        return json.dumps(self.body).encode() if self.raw is None else self.raw


Script = Callable[[Request], Response | Any]


class Server:
    """Respond to requests with the result of a script, each in a thread."""

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.max_concurrent = 0
        self._n_concurrent = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer._respond(self, script)

            do_POST = do_GET  # noqa: N815
            do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the client closed the connection

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _respond(self, handler: BaseHTTPRequestHandler, script: Script) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        request = Request(
            handler.command,
            unquote(parts.path),
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(length),
        )
        with self._lock:
            self.requests.append(request)
            self._n_concurrent += 1
            self.max_concurrent = max(self.max_concurrent, self._n_concurrent)
        try:
            response = script(request)
        finally:
            with self._lock:
                self._n_concurrent -= 1
        self._send(handler, response if isinstance(response, Response) else Response(response))

    def _send(self, handler: BaseHTTPRequestHandler, response: Response) -> None:
        if response.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        content = response.content()
        handler.send_response(response.status, response.reason)
        for name, value in {"Content-Type": "application/json", **response.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) + response.cut))
        handler.end_headers()
        handler.wfile.write(content)
        if response.cut:
            handler.close_connection = True

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def interrupt() -> None:
    """Send SIGINT to the main thread, as Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def responses_in_turn(responses: Iterable[Any]) -> Script:
    """Return a script that gives these responses in order, and then repeats the last one."""
    remaining = list(responses)
    lock = threading.Lock()

    def script(request: Request) -> Any:
        with lock:
            return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return script


def page(items: list[Any], next_page_token: str | None = None, **more: Any) -> dict[str, Any]:
    return {"items": items, "next_page_token": next_page_token, **more}


def batch(name: str, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    """Return the record of a batch."""
    return {
        "id": name,
        "project_id": "prj-1",
        "source_directory_id": "dir-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "status": status,
        "created_at": "2026-08-01T12:00:00Z",
        "updated_at": None,
        **more,
    }


def mapping(file: str, job: str | None = None, message: str | None = None) -> dict[str, Any]:
    """Return one result of a batch."""
    reference = {"type": "parse_v2", "id": job} if job else None
    return {
        "source_directory_file_id": file,
        "job_reference": reference,
        "error_message": message,
    }
