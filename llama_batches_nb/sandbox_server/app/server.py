"""Uvicorn, on a loopback socket of our own, with connections that can be dropped."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from llama_batches_nb.sandbox_server.app.auth import AccessMiddleware
from llama_batches_nb.sandbox_server.app.fault_injection import DROP, FaultInjectionMiddleware
from llama_batches_nb.sandbox_server.app.routes import application
from llama_batches_nb.sandbox_server.state.world import SandboxState

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from llama_batches_nb.sandbox_server.options import Options

HOST = "127.0.0.1"
KEEP_ALIVE = 75  # seconds that an idle connection stays open
BACKLOG = 2048

Peer = tuple[str, int]


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback.

    Raises
    ------
    OSError
        If the port is taken or not allowed.
    """
    # asyncio turns off the delays of small packets only for sockets that name their protocol
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there, it would let two listen on one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class Protocol(H11Protocol):
    """HTTP/1.1 that knows the transport of each peer."""

    transports: dict[Peer, asyncio.Transport]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport."""
        super().connection_made(transport)
        if self.client is not None:
            self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self.client is not None:
            self.transports.pop(self.client, None)
        super().connection_lost(exc)


class DropConnectionMiddleware:
    """Gives the application a way to drop the connection, and is silent when it went away."""

    def __init__(self, app: ASGIApp, transports: dict[Peer, asyncio.Transport]) -> None:
        self._app = app
        self._transports = transports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        transport = self._transports.get(scope["client"])
        if transport is None:
            return
        scope["extensions"] = {DROP: transport.abort}
        try:
            await self._app(scope, receive, send)
            while transport.is_closing() and (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:  # at shutdown, when nobody listens any more
            transport.abort()


class Uvicorn(uvicorn.Server):
    """Uvicorn that tells when it is ready and closes all connections when it stops."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop at once, whatever clients keep open or wait for."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def server(options: Options, ready: Callable[[], None]) -> Uvicorn:
    """Return a server over a new world; it runs on the socket given to its `run`."""
    transports: dict[Peer, asyncio.Transport] = {}
    app = AccessMiddleware(
        FaultInjectionMiddleware(application(SandboxState(options)), options), options.api_key
    )
    protocol = type("SandboxProtocol", (Protocol,), {"transports": transports})
    config = uvicorn.Config(
        DropConnectionMiddleware(app, transports),
        http=protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    return Uvicorn(config, ready)
