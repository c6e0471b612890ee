"""The sandbox: a LlamaCloud API of one's own, on loopback, with a history worth looking at.

All below this package is the server, and knows nothing of the toolkit that is tried out on it.
"""

from __future__ import annotations

import atexit
from typing import Any, Self

from llama_batches_nb.http.client import Client, connect, set_default_client
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server


def sandbox(*, thread: bool = False, **options: Any) -> Sandbox:
    """Start a server like LlamaCloud's on this machine, and connect to it.

    It speaks real HTTP on loopback, with a made-up history of several months: seven directories,
    four configurations, failures in all three layers, one configuration that gets worse. Nothing
    leaves the machine, and no key is needed.

    Parameters
    ----------
    thread
        Whether it runs in a thread of this process, instead of a process of its own.
    **options
        Such as ``seed=0``, ``batches=320``, ``days=120``, ``files=(1, 1000)``, ``speed=1.0`` (how
        many times faster than real the clock runs), ``latency=0.0`` seconds, ``rate_limit``
        requests a minute, ``error_rate``, ``drop_rate`` and ``throttle_rate`` as shares of the
        requests. `llama_batches_nb.sandbox_server.options.Options` has them all.

    Returns
    -------
    Sandbox
        It has ``.url``, ``.client`` and ``.close()``, may be used in a ``with``, and is closed at
        the end of the interpreter. Closing gives back the client that was the default before.

    Raises
    ------
    ImportError
        If the extra is missing: ``pip install 'llama_batches_nb[sandbox]'``.
    ValueError, TypeError
        If an option makes no sense.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> with lb.sandbox(batches=20):
    ...     len(lb.fetch_batches())
    20
    """
    return Sandbox(Server.start(Options(**options), thread=thread))


class Sandbox:
    """A running sandbox and the client that is connected to it. Made by `sandbox`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = set_default_client(None)
        self.client: Client = connect(server.api_key, base_url=server.url)
        self._closed = False
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def advance(self, seconds: float) -> None:
        """Set its clock forward, so that what runs goes on."""
        self._server.advance(seconds)

    def close(self) -> None:
        """Stop the server and give back the client that was the default before."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        before = self._before
        current = set_default_client(before if before and not before.closed else None)
        if current is not self.client:
            set_default_client(current)
        self.client.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sandbox({self.url!r}{', closed' if self._closed else ''})"
