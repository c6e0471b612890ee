"""The client that every function uses: made by `connect`, or from the environment when needed."""

from __future__ import annotations

import json
import os
import threading
import weakref
from functools import cached_property
from typing import Any, NoReturn, Self

from llama_batches_nb.http import settings as _settings
from llama_batches_nb.http.transport import Decode, Params, Transport


class Client:
    """A connection to one LlamaCloud project. Made by `connect`.

    Its `repr` tells where each setting came from, never the key. It may be used from several
    threads, in forked processes, and as a context manager that closes its connections.
    """

    def __init__(self, settings: _settings.Settings) -> None:
        self.settings = settings
        self.closed = False
        _clients.add(self)

    @cached_property
    def _transport(self) -> Transport:
        return Transport(self.settings)

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self.settings.base_url

    @property
    def max_workers(self) -> int:
        """The most requests that are under way at once."""
        return self.settings.max_workers

    def get(
        self,
        path: str,
        params: Params,
        *,
        timeout: float | None = None,
        decode: Decode = json.loads,
    ) -> Any:
        """Send a GET request and return `decode` of the response body, by default its JSON.

        Parameters that are None are not sent. With `timeout`, in seconds, there is one attempt
        that takes no longer.
        """
        return self._transport.send(
            "GET", path, self._with_project_params(params), timeout=timeout, decode=decode
        )

    def post(self, path: str, params: Params, *, idempotent: bool, **body: Any) -> Any:
        """Send a POST request with ``json=`` or a form as ``data=``, and return the JSON.

        A request that is not `idempotent` is never sent again once the server may have acted on it.
        """
        return self._transport.send(
            "POST", path, self._with_project_params(params), idempotent=idempotent, **body
        )

    def rate_limit_delay(self) -> float:
        """Return the seconds until the rate limit allows the next request."""
        return self._transport.rate_limiter.pause_left()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.closed = True
        self._transport.close()

    def _with_project_params(self, params: Params) -> dict[str, Any]:
        scope = {
            "project_id": self.settings.project_id,
            "organization_id": self.settings.organization_id,
        }
        given = {name: value for name, value in params.items() if value is not None}
        return {**{n: v for n, v in scope.items() if v is not None}, **given}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Client is not pickled, nor copied: call lb.connect() where it is used.")

    def __repr__(self) -> str:
        shown = {
            "base_url": repr(self.settings.base_url),
            "api_key": "***",
            "project_id": repr(self.settings.project_id),
            "organization_id": repr(self.settings.organization_id),
            **{n: f"{getattr(self.settings, n):g}" for n in _settings.NUMERIC_DEFAULTS},
        }
        sources = self.settings.sources
        lines = [f"  {name}={value},  # {sources[name]}" for name, value in shown.items()]
        return "\n".join(["Client(", *lines, ")"])


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _reset_transports_after_fork() -> None:
    """Give each client, in a forked process, connections of its own.

    By those of its parent it would get its parent's answers, and it would wait for places that
    only its parent's threads can give back.
    """
    for client in list(_clients):
        client.__dict__.pop("_transport", None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_transports_after_fork)

_default: Client | None = None
_lock = threading.Lock()


def connect(
    api_key: str | None = None,
    *,
    base_url: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    max_workers: int = 16,
    timeout: float = 60.0,
    max_retries: int = 5,
) -> Client:
    """Make the client that every function uses from now on.

    Without a call, the first function that needs a client connects from the environment. No
    request is made yet.

    Parameters
    ----------
    api_key
        The key, else the variable ``LLAMA_CLOUD_API_KEY``, else ``LLAMA_PARSE_API_KEY``.
    base_url
        Where the API is, else ``LLAMA_CLOUD_BASE_URL``, else ``https://api.cloud.llamaindex.ai``
        (the EU region is ``https://api.cloud.eu.llamaindex.ai``).
    project_id, organization_id
        The project to work in, else ``LLAMA_CLOUD_PROJECT_ID`` and
        ``LLAMA_CLOUD_ORGANIZATION_ID``, else the key's own.
    max_workers
        The most requests under way at once.
    timeout
        Seconds to wait for the next byte of an answer; the whole may take ten times as long.
    max_retries
        How often a request that may be repeated is sent again after a failure.

    Returns
    -------
    Client
        For the ``client=`` argument of the functions, should you need more than one.

    Raises
    ------
    AuthenticationError
        If there is no key. A key that the server refuses shows at the first request.
    ValueError
        If a setting makes no sense, such as plain ``http`` to another machine.

    Notes
    -----
    The proxies that the environment names are used (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``),
    and so are certificates (``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``); what a
    ``.netrc`` says is not. The key goes to `base_url` alone, and a proxy does not see it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.connect("llx-…", max_workers=8)  # doctest: +SKIP
    Client(
      base_url='https://api.cloud.llamaindex.ai',  # default
      api_key=***,  # argument
      project_id=None,  # default
      organization_id=None,  # default
      max_workers=8,  # argument
      timeout=60,  # default
      max_retries=5,  # default
    )
    """
    api_key = _settings.as_secret(api_key)  # or a traceback with locals would show it
    client = Client(
        _settings.resolve(
            api_key=api_key,
            base_url=base_url,
            project_id=project_id,
            organization_id=organization_id,
            max_workers=max_workers,
            timeout=timeout,
            max_retries=max_retries,
        )
    )
    set_default_client(client)
    return client


def set_default_client(client: Client | None) -> Client | None:
    """Make `client` the default and return the one before it."""
    global _default
    with _lock:
        before, _default = _default, client
    return before


def get_client(client: Client | None = None) -> Client:
    """Return `client`, else the default one, else one made from the environment."""
    if client is not None:
        if not isinstance(client, Client):
            raise TypeError(  # what was given instead may well be the key
                f"client must come from lb.connect(), not be of the type {type(client).__name__}."
            )
        return client
    return _default or connect()
