"""Who may come in: this machine's hosts, with the key, with bodies of a bounded size."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")  # a page of another site has another Host
MOST_UPLOAD_BYTES = 51 * 2**20  # a file of 50 MB and what surrounds it
MOST_JSON_BYTES = 2**20
MOST_DRAINED_BYTES = 256 * 2**20  # read and forgotten, so that the client comes to read the answer


class Gate:
    """Answers by 401 without the key and by 413 to a body that is too large."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or answer it."""
        headers = dict(scope["headers"])
        most = MOST_UPLOAD_BYTES if scope["path"].endswith("/upload") else MOST_JSON_BYTES
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            await JSONResponse({"detail": "Invalid API key"}, 401)(scope, receive, send)
        elif int(headers.get(b"content-length", 0)) > most:
            await drain(receive)
            await JSONResponse({"detail": too_large(most)}, 413)(scope, receive, send)
        else:
            await self._app(scope, bounded(receive, most), send)


def too_large(most: int) -> str:
    """Say how much a body may have."""
    return f"The body of this request may have {most} bytes"


async def drain(receive: Receive) -> None:
    """Read the rest of a body."""
    left = MOST_DRAINED_BYTES
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
            raise HTTPException(413, too_large(most))
        return message

    return counted


def guarded(app: ASGIApp, api_key: str) -> ASGIApp:
    """Put an application behind the gate."""
    return TrustedHostMiddleware(Gate(app, api_key), HOSTS, www_redirect=False)
