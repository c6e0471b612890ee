"""HTTP connections that another thread can abort, so that Ctrl-C ends a call at once.

Two methods are private: `_new_conn` of urllib3 is the only place where a socket can be reached
before it is connected, and `_read_status` of `http.client` the only one that reads interim
responses. Without them an interrupted connection attempt leaves a thread and a socket behind.
"""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress
from typing import Any, cast

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from llama_batches_nb.http import workers
from llama_batches_nb.http.deadlines import check_deadline, on_expiry


class _SkipInterimResponses(http.client.HTTPResponse):
    """A response that skips interim ones (1xx); `http.client` itself skips only 100."""

    fp: Any

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, status, reason


class _AbortableConnection:
    """A connection that another thread can abort by shutting its socket down."""

    response_class: Any = _SkipInterimResponses
    sock: socket.socket | None
    _abort_socket: socket.socket | None = None
    debuglevel = 0  # http.client's global debuglevel would print the API key

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._register()
        super().request(*args, **kwargs)  # type: ignore[misc]
        workers.check_cancelled()  # the abort may have come before there was a socket

    def _register(self) -> None:
        workers.on_cancel(self.abort)
        on_expiry(self.abort)

    def connect(self) -> None:
        self._register()
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if self._abort_socket is not None:
                self._abort_socket.close()
            self._abort_socket = self.sock  # self.sock is None after a response without a length

    def _new_conn(self: Any) -> socket.socket:
        """Connect as urllib3 does, with a socket that can be aborted before it is connected."""
        failed = OSError("no address")
        for *family_and_type, _, address in _resolve(self):
            new_socket = self._abort_socket = socket.socket(*family_and_type)
            try:
                workers.check_cancelled()
                check_deadline()
                for option in self.socket_options or ():
                    new_socket.setsockopt(*option)
                new_socket.settimeout(self.timeout)
                new_socket.connect(address)
                self._abort_socket = new_socket.dup()  # TLS takes over the other one
                return new_socket
            except OSError as error:
                new_socket.close()
                failed = error
            except BaseException:
                new_socket.close()
                raise
        if isinstance(failed, TimeoutError):
            raise ConnectTimeoutError(f"No connection within {self.timeout:g} s") from failed
        raise NewConnectionError(self, f"No connection was made: {failed}") from failed

    def abort(self) -> None:
        if (open_socket := self._abort_socket) is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def _resolve(connection: Any) -> list[Any]:
    """Return the addresses of a host. A look-up that hangs is abandoned on cancellation."""
    host, port = connection._dns_host.strip("[]"), connection.port
    try:
        return workers.run_detached(
            lambda: socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
        )
    except (OSError, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, cast("Any", error)) from error


class AbortableHTTPConnection(_AbortableConnection, HTTPConnection):
    """An HTTP connection that another thread can abort."""


class AbortableHTTPSConnection(_AbortableConnection, HTTPSConnection):
    """An HTTPS connection that another thread can abort."""


class AbortableHTTPConnectionPool(HTTPConnectionPool):
    """A pool of abortable HTTP connections."""

    ConnectionCls = AbortableHTTPConnection


class AbortableHTTPSConnectionPool(HTTPSConnectionPool):
    """A pool of abortable HTTPS connections."""

    ConnectionCls = AbortableHTTPSConnection


class AbortableAdapter(HTTPAdapter):
    """A requests adapter with abortable connections, also to proxies."""

    pools = {"http": AbortableHTTPConnectionPool, "https": AbortableHTTPSConnectionPool}  # noqa: RUF012

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):  # the SOCKS manager has its own pools
            manager.pool_classes_by_scheme = self.pools
        return manager

    def close(self) -> None:
        """Close all connections now; urllib3 waits until their pools are unreferenced."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it is not iterable
                manager.pools[key].close()
        super().close()
