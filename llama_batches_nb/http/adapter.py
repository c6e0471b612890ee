"""Connections whose wait another thread can end, so that an interrupt stops a call at once."""

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


class _SkipInterimResponses(http.client.HTTPResponse):
    """The answer itself: `http.client` takes an interim one for it, but for "100 Continue"."""

    fp: Any

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, status, reason


class _AbortableConnection:
    """A connection whose wait another thread can end, by shutting its socket down."""

    response_class: Any = _SkipInterimResponses
    sock: socket.socket | None
    _wire: socket.socket | None = None
    debuglevel = 0  # if anyone sets http.client's, it would print the key

    def request(self, *args: Any, **kwargs: Any) -> None:
        workers.on_cancel(self.abort)
        super().request(*args, **kwargs)  # type: ignore[misc]
        workers.check_cancelled()  # or the cut came before there was a socket

    def connect(self) -> None:
        workers.on_cancel(self.abort)
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if self._wire is not None:
                self._wire.close()
            self._wire = self.sock  # which is gone once an answer without a length is read

    def _new_conn(self: Any) -> socket.socket:
        """Connect as urllib3 does, by a socket that can be cut before it is connected."""
        failed = OSError("no address")
        for *kind, _, address in _resolve(self):
            wire = self._wire = socket.socket(*kind)
            try:
                workers.check_cancelled()
                for option in self.socket_options or ():
                    wire.setsockopt(*option)
                wire.settimeout(self.timeout)
                wire.connect(address)
                self._wire = wire.dup()  # the other one is taken over by TLS
                return wire
            except OSError as error:
                wire.close()
                failed = error
            except BaseException:
                wire.close()
                raise
        if isinstance(failed, TimeoutError):
            raise ConnectTimeoutError(f"No connection within {self.timeout:g} s") from failed
        raise NewConnectionError(self, f"No connection was made: {failed}") from failed

    def abort(self) -> None:
        if (wire := self._wire) is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)


def _resolve(connection: Any) -> list[Any]:
    """Return where a connection may go to. A look-up that hangs is left alone when we stop."""
    place = connection._dns_host.strip("[]"), connection.port
    try:
        return workers.run_detached(
            lambda: socket.getaddrinfo(*place, allowed_gai_family(), socket.SOCK_STREAM)
        )
    except (OSError, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, cast("Any", error)) from error


class AbortableHTTPConnection(_AbortableConnection, HTTPConnection):
    """One that can be cut."""


class AbortableHTTPSConnection(_AbortableConnection, HTTPSConnection):
    """One that can be cut."""


class AbortableHTTPConnectionPool(HTTPConnectionPool):
    """Of connections that can be cut."""

    ConnectionCls = AbortableHTTPConnection


class AbortableHTTPSConnectionPool(HTTPSConnectionPool):
    """Of connections that can be cut."""

    ConnectionCls = AbortableHTTPSConnection


class AbortableAdapter(HTTPAdapter):
    """Sends by connections that can be cut; proxies too are reached by them."""

    pools = {"http": AbortableHTTPConnectionPool, "https": AbortableHTTPSConnectionPool}  # noqa: RUF012

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):  # one for SOCKS has pools of its own
            manager.pool_classes_by_scheme = self.pools
        return manager

    def close(self) -> None:
        """Close all connections now; urllib3 would wait until nothing refers to their pools."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it can't be iterated
                manager.pools[key].close()
        super().close()
