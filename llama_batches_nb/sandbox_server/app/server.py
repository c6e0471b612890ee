"""Uvicorn on a loopback socket, with connections that can be dropped."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from llama_batches_nb.sandbox_server.app.auth import AccessMiddleware
from llama_batches_nb.sandbox_server.app.fault_injection import DROP, FaultInjectionMiddleware
from llama_batches_nb.sandbox_server.app.routes import create_app
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from llama_batches_nb.sandbox_server.options import Options

HOST = "127.0.0.1"
KEEP_ALIVE = 75  # seconds before an idle connection closes
BACKLOG = 2048  # connections waiting to be accepted

Peer = tuple[str, int]


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback.

    Raises
    ------
    OSError
        If the port is in use or not permitted.
    """
    # asyncio sets TCP_NODELAY only on sockets created with an explicit protocol
    listening_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # on Windows, two sockets could then listen on one port
            listening_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening_socket.bind((HOST, port))
        listening_socket.listen(BACKLOG)
    except OSError:
        listening_socket.close()
        raise
    return listening_socket


class Protocol(H11Protocol):
    """HTTP/1.1 protocol that records the transport of each peer."""

    transports: dict[Peer, asyncio.Transport]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Record the transport."""
        super().connection_made(transport)
        if self.client is not None:
            self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the transport."""
        if self.client is not None:
            self.transports.pop(self.client, None)
        super().connection_lost(exc)


class DropConnectionMiddleware:
    """Let the application drop its connection, and ignore requests of closed connections."""

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
        except asyncio.CancelledError:  # at shutdown
            transport.abort()


class UvicornServer(uvicorn.Server):
    """Uvicorn server that reports when it is ready and closes all connections when it stops."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start and report readiness."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop at once, without waiting for open connections or running requests."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def create_server(options: Options, on_ready: Callable[[], None]) -> UvicornServer:
    """Return a server with a new state. Call its `run` with a listening socket."""
    transports: dict[Peer, asyncio.Transport] = {}
    app = AccessMiddleware(
        FaultInjectionMiddleware(create_app(SandboxState(options)), options), options.api_key
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
    return UvicornServer(config, on_ready)
