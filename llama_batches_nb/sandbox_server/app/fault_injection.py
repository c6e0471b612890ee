"""Faults on purpose: latency, 429, 5xx, dropped connections."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Literal

from starlette.responses import HTMLResponse, JSONResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from llama_batches_nb.sandbox_server.options import Options

EXEMPT_PREFIX = "/sandbox/"  # paths that no fault hits
MINUTE = 60.0  # seconds
DROP = "sandbox.drop"  # extension of the scope: closes the connection

Fault = Literal["none", "drop", "lose", "throttle", "500", "502", "503"]
SERVER_FAULTS: tuple[Fault, ...] = ("500", "502", "503")


class FaultInjectionMiddleware:
    """Lets requests pass, or has them meet a fault drawn from a generator of its own."""

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app = app
        self._options = options
        self._draw = Random(f"faults {options.seed}")
        self._recent: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or have it meet a fault."""
        if scope["path"].startswith(EXEMPT_PREFIX):
            await self._app(scope, receive, send)
            return
        if self._options.latency:
            await asyncio.sleep(self._options.latency)
        wait = self._wait(time.monotonic())
        if wait is not None:
            await throttled(str(wait))(scope, receive, send)
            return
        fault = self._next()
        if fault == "none":
            await self._app(scope, receive, send)
            return
        if fault in ("lose", "502"):
            await self._app(scope, receive, _discard)
        if fault in ("lose", "drop"):
            scope["extensions"][DROP]()
        else:
            await self._response(fault)(scope, receive, send)

    def _wait(self, now: float) -> int | None:
        """Return the seconds until another request is allowed; None if this one is."""
        if self._options.rate_limit is None:
            return None
        while self._recent and self._recent[0] <= now - MINUTE:
            self._recent.popleft()
        if len(self._recent) >= self._options.rate_limit:
            return math.ceil(self._recent[0] + MINUTE - now)
        self._recent.append(now)
        return None

    def _next(self) -> Fault:
        drawn, choice = self._draw.random(), self._draw.random()
        if (drawn := drawn - self._options.drop_rate) < 0:
            return "drop" if choice < 0.5 else "lose"
        if (drawn := drawn - self._options.throttle_rate) < 0:
            return "throttle"
        if drawn - self._options.error_rate < 0:
            return SERVER_FAULTS[int(choice * 3)]
        return "none"

    def _response(self, fault: Fault) -> Response:
        if fault == "throttle":
            return throttled(f"{self._options.retry_after:g}")
        if fault == "502":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        detail = "Internal Server Error" if fault == "500" else "Service temporarily unavailable"
        return JSONResponse({"detail": detail}, int(fault))


def throttled(retry_after: str) -> Response:
    """Return a 429."""
    return JSONResponse(
        {"detail": "Rate limit exceeded"}, 429, headers={"Retry-After": retry_after}
    )


async def _discard(message: Message) -> None:
    """Take an answer that nobody gets to hear."""
