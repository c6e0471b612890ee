"""A real HTTP server on loopback that answers as a test says, and keeps what it was asked."""

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
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def one(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


@dataclass(frozen=True)
class Answer:
    """What to send: JSON, or raw bytes; or a fault."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    reason: str | None = None  # beside the status
    drop: bool = False  # close the connection instead of answering
    cut: int = 0  # promise so many bytes more than are sent

    def content(self) -> bytes:
        return json.dumps(self.body).encode() if self.raw is None else self.raw


Script = Callable[[Asked], Answer | Any]


class Server:
    """Runs a script in threads; closes all its connections at the end."""

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer._answer(self, script)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that went away

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler, script: Script) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        asked = Asked(
            handler.command,
            unquote(parts.path),
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(length),
        )
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = script(asked)
        finally:
            with self._lock:
                self._at_once -= 1
        self._send(handler, answer if isinstance(answer, Answer) else Answer(answer))

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        content = answer.content()
        handler.send_response(answer.status, answer.reason)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) + answer.cut))
        handler.end_headers()
        handler.wfile.write(content)
        if answer.cut:
            handler.close_connection = True

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def interrupt() -> None:
    """Press Ctrl-C: a real signal to the main thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def in_turn(answers: Iterable[Any]) -> Script:
    """Give one answer after the other, whatever is asked; the last one again and again."""
    left = list(answers)
    lock = threading.Lock()

    def script(asked: Asked) -> Any:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

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
