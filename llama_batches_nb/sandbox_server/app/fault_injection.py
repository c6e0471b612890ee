"""Inject faults: latency, HTTP 429, HTTP 5xx and dropped connections."""

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

EXEMPT_PREFIX = "/sandbox/"  # of paths without faults
MINUTE = 60.0  # seconds
DROP = "sandbox.drop"  # scope extension: a function that closes the connection

Fault = Literal["none", "drop", "lose_response", "throttle", "500", "502", "503"]
SERVER_FAULTS: tuple[Fault, ...] = ("500", "502", "503")


class FaultInjectionMiddleware:
    """Forward requests, or respond with a fault drawn from a seeded generator."""

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app = app
        self._options = options
        self._rng = Random(f"faults {options.seed}")
        self._recent_times: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request or respond with a fault."""
        if scope["path"].startswith(EXEMPT_PREFIX):
            await self._app(scope, receive, send)
            return
        if self._options.latency:
            await asyncio.sleep(self._options.latency)
        delay = self._rate_limit_delay(time.monotonic())
        if delay is not None:
            await rate_limited(str(delay))(scope, receive, send)
            return
        fault = self._draw_fault()
        if fault == "none":
            await self._app(scope, receive, send)
            return
        if fault in ("lose_response", "502"):
            await self._app(scope, receive, _discard)
        if fault in ("lose_response", "drop"):
            scope["extensions"][DROP]()
        else:
            await self._fault_response(fault)(scope, receive, send)

    def _rate_limit_delay(self, now: float) -> int | None:
        """Return the seconds until the next request is allowed, or None if this one is."""
        if self._options.rate_limit is None:
            return None
        while self._recent_times and self._recent_times[0] <= now - MINUTE:
            self._recent_times.popleft()
        if len(self._recent_times) >= self._options.rate_limit:
            return math.ceil(self._recent_times[0] + MINUTE - now)
        self._recent_times.append(now)
        return None

    def _draw_fault(self) -> Fault:
        draw, choice = self._rng.random(), self._rng.random()
        if (draw := draw - self._options.drop_rate) < 0:
            return "drop" if choice < 0.5 else "lose_response"
        if (draw := draw - self._options.throttle_rate) < 0:
            return "throttle"
        if draw - self._options.error_rate < 0:
            return SERVER_FAULTS[int(choice * 3)]
        return "none"

    def _fault_response(self, fault: Fault) -> Response:
        if fault == "throttle":
            return rate_limited(f"{self._options.retry_after:g}")
        if fault == "502":
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        detail = "Internal Server Error" if fault == "500" else "Service temporarily unavailable"
        return JSONResponse({"detail": detail}, int(fault))


def rate_limited(retry_after: str) -> Response:
    """Return an HTTP 429 response."""
    return JSONResponse(
        {"detail": "Rate limit exceeded"}, 429, headers={"Retry-After": retry_after}
    )


async def _discard(message: Message) -> None:
    """Discard a response."""
