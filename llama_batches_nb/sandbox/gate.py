"""Who may come in: this machine's hosts, with the key, with bodies of a bounded size."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")  # a page of another site has another Host
MOST_BODY_BYTES = 51 * 2**20  # an upload of 50 MB and what surrounds it
TOO_LARGE = f"A request may have {MOST_BODY_BYTES} bytes"


class Gate:
    """Answers by 401 without the key and by 413 to a body that is too large."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or answer it."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            await JSONResponse({"detail": "Invalid API key"}, 401)(scope, receive, send)
        elif not length.isdigit() or int(length) > MOST_BODY_BYTES:
            await JSONResponse({"detail": TOO_LARGE}, 413)(scope, receive, send)
        else:
            await self._app(scope, bounded(receive), send)


def bounded(receive: Receive) -> Receive:
    """Count the bytes of a body, which need not have told its length."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BODY_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted


def guarded(app: ASGIApp, api_key: str) -> ASGIApp:
    """Put an application behind the gate."""
    return TrustedHostMiddleware(Gate(app, api_key), HOSTS, www_redirect=False)
