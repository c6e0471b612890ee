"""Who may come in: this machine's hosts, with the key, with bodies of a bounded size."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOST = re.compile(
    rb"(127\.0\.0\.1|localhost)(:\d*)?", re.IGNORECASE
)  # other sites have other names
MAX_UPLOAD_BYTES = 51 * 2**20  # a file of 50 MB and what surrounds it
MAX_JSON_BYTES = 2**20  # of any other body
MAX_DRAINED_BYTES = 256 * 2**20  # read and forgotten, so that the client comes to read the answer
CLOSE = {"Connection": "close"}  # of what is not read to its end


class AccessMiddleware:
    """Answers by 400 to a foreign name, by 401 without the key, by 413 to a body too large."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or answer it."""
        most, refusal = most_bytes(scope), None
        if not LOOPBACK_HOST.fullmatch(header(scope, b"host")) or not scope["path"].startswith("/"):
            refusal = JSONResponse({"detail": "This host is not the sandbox's"}, 400)
        elif not hmac.compare_digest(header(scope, b"authorization"), self._expected):
            who = {"WWW-Authenticate": "Bearer"}
            refusal = JSONResponse({"detail": "Invalid API key"}, 401, who)
        elif int(header(scope, b"content-length") or 0) > most:
            await drain(receive)
            refusal = JSONResponse({"detail": too_large(most)}, 413, CLOSE)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, bounded(receive, most), send)


def header(scope: Scope, name: bytes) -> bytes:
    """Return the value of a header; nothing if it is missing, or there twice."""
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else b""


def most_bytes(scope: Scope) -> int:
    """Return how large a body may be."""
    is_form = header(scope, b"content-type").lower().startswith(b"multipart/form-data")
    return MAX_UPLOAD_BYTES if is_form and scope["path"].endswith("/upload") else MAX_JSON_BYTES


def too_large(most: int) -> str:
    """Say how much a body may have."""
    return f"The body of this request may have {most} bytes"


async def drain(receive: Receive) -> None:
    """Read the rest of a body, unless it has no end."""
    left = MAX_DRAINED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def bounded(receive: Receive, most: int) -> Receive:
    """Count the bytes of a body, which need not have told its length."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            if message.get("more_body"):
                await drain(receive)
            raise HTTPException(413, too_large(most), CLOSE)
        return message

    return counted
