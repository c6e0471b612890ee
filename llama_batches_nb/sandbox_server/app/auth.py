"""Accept only requests to a loopback host, with the API key, and with a body of limited size.

Presigned URLs need no API key.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.responses import JSONResponse

from llama_batches_nb.sandbox_server.app.presigned_urls import PREFIX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The host name blocks DNS rebinding: web pages use the name of another site.
LOOPBACK_HOST = re.compile(rb"(127\.0\.0\.1|localhost)(:\d*)?", re.IGNORECASE)
MAX_UPLOAD_BYTES = 51 * 2**20  # a file of 50 MB and the form around it
MAX_JSON_BYTES = 2**20  # of any other body
MAX_DRAINED_BYTES = 256 * 2**20  # read and discarded, so that the client reads the response
CLOSE = {"Connection": "close"}  # sent when the body was not read completely


class AccessMiddleware:
    """Respond with 400 to a foreign host name, 401 without the API key, 413 to a large body."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request or reject it."""
        max_bytes, rejection = max_body_bytes(scope), None
        if not LOOPBACK_HOST.fullmatch(header(scope, b"host")) or not scope["path"].startswith("/"):
            rejection = JSONResponse({"detail": "This host is not the sandbox's"}, 400)
        elif not self._has_access(scope):
            challenge = {"WWW-Authenticate": "Bearer"}
            rejection = JSONResponse({"detail": "Invalid API key"}, 401, challenge)
        elif int(header(scope, b"content-length") or 0) > max_bytes:
            await drain(receive)
            rejection = JSONResponse({"detail": too_large_message(max_bytes)}, 413, CLOSE)
        if rejection is not None:
            await rejection(scope, receive, send)
        else:
            await self._app(scope, limit_body(receive, max_bytes), send)

    def _has_access(self, scope: Scope) -> bool:
        """Return whether a request has the API key, or none is needed for its path."""
        has_key = hmac.compare_digest(header(scope, b"authorization"), self._expected)
        return has_key or scope["path"].startswith(PREFIX)


def header(scope: Scope, name: bytes) -> bytes:
    """Return the value of a header, or nothing if it is missing or repeated."""
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else b""


def max_body_bytes(scope: Scope) -> int:
    """Return the maximum size of the body of a request."""
    is_form = header(scope, b"content-type").lower().startswith(b"multipart/form-data")
    return MAX_UPLOAD_BYTES if is_form and scope["path"].endswith("/upload") else MAX_JSON_BYTES


def too_large_message(max_bytes: int) -> str:
    """Return the error message of a body that is too large."""
    return f"The body of this request may have at most {max_bytes} bytes"


async def drain(receive: Receive) -> None:
    """Read and discard the rest of a body, up to a limit."""
    remaining = MAX_DRAINED_BYTES
    while remaining > 0:
        message = await receive()
        remaining -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def limit_body(receive: Receive, max_bytes: int) -> Receive:
    """Count the bytes of a body, because its length may not be declared."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            if message.get("more_body"):
                await drain(receive)
            raise HTTPException(413, too_large_message(max_bytes), CLOSE)
        return message

    return receive_limited
