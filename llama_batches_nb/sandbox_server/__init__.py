"""The sandbox: a local emulator of the LlamaCloud API with sample data.

The modules below this package are the server. They import nothing else of the toolkit.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Self

from llama_batches_nb.http.client import Client, connect, set_default_client
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

if TYPE_CHECKING:
    from typing import Unpack

    from llama_batches_nb.sandbox_server.options import SandboxOptions


def sandbox(*, thread: bool = False, **options: Unpack[SandboxOptions]) -> Sandbox:
    """Start a local emulator of the LlamaCloud API and connect to it.

    It serves HTTP on 127.0.0.1 with several months of sample data: eight directories, two of
    them with the same name, four configurations, failures of batches, files, jobs and pages, and
    one configuration whose failure rate rises. No data leaves the machine, and no API key is
    needed.

    Parameters
    ----------
    thread
        Run the server in a thread of this process instead of a separate process.
    **options
        ``seed``, ``api_key``, ``port``; the sample data: ``batches``, ``days``, ``files`` (per
        batch), ``now``; the clock: ``speed``; what appears late: ``job_delay``,
        ``results_delay``, ``billing_delay``; outputs: ``failed_pages``, ``retention``,
        ``url_lifetime``; credits: ``usage_in_lists``,
        ``bill_failed_jobs``; the account: ``plan``, ``usage_limit``; lists and errors:
        ``max_page_size``, ``total_size``, ``object_details``; faults: ``latency``,
        ``rate_limit``, ``error_rate``, ``drop_rate``, ``throttle_rate``, ``retry_after``. See
        `llama_batches_nb.sandbox_server.options.Options` for their units and defaults.

    Returns
    -------
    Sandbox
        It has ``.url``, ``.client``, ``.advance()`` and ``.close()``, and is a context manager.
        It closes at the latest when the interpreter exits. Closing restores the previous default
        client.

    Raises
    ------
    ImportError
        If the extra is missing: ``pip install "llama_batches_nb[sandbox]"``.
    ValueError, TypeError
        If an option is invalid.
    RuntimeError
        If the server does not start, for example because the port is in use.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> with lb.sandbox(batches=20):
    ...     len(lb.fetch_batches())
    20
    """
    if not isinstance(thread, bool):
        raise TypeError(f"thread must be True or False, not {thread!r:.80}.")
    return Sandbox(Server.start(Options(**options), thread=thread))


class Sandbox:
    """A running sandbox and the client that is connected to it, created by `sandbox`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._previous_client = set_default_client(None)
        self.client: Client = connect(server.api_key, base_url=server.url)
        self._closed = False
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """Base URL of the server."""
        return self._server.url

    def advance(self, seconds: float) -> None:
        """Move the simulated clock forward, so that running batches and jobs progress."""
        self._server.advance(seconds)

    def close(self) -> None:
        """Stop the server and restore the previous default client."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        previous = self._previous_client
        current = set_default_client(previous if previous and not previous.closed else None)
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
