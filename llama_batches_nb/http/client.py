"""The client that functions use by default, created by `connect` or from the environment."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any, NoReturn, Self

from llama_batches_nb.http import settings as _settings
from llama_batches_nb.http.hidden import Hidden
from llama_batches_nb.http.projects import find_project
from llama_batches_nb.http.transport import Decode, Params, Transport
from llama_batches_nb.messages import escape_line
from llama_batches_nb.types import Record


class Client:
    """A connection to one LlamaCloud project, created by `connect`.

    Its `repr` shows the source of each setting, never the key. It is safe to use from several
    threads and in forked processes. As a context manager it closes its connections at the end.
    """

    def __init__(self, settings: _settings.Settings) -> None:
        self.settings = settings
        self.closed = False
        self.project: Record | None = None
        """The project as the API describes it, once `connect` or a panel has requested it."""
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        """Make another transport at the next request."""
        self._lock = threading.Lock()
        self._made: Transport | None = None

    @property
    def _transport(self) -> Transport:
        """The transport, one for all threads; a `cached_property` may make several."""
        with self._lock:
            if self._made is None:
                self._made = Transport(self.settings)
            return self._made

    @property
    def base_url(self) -> str:
        """URL of the API."""
        return self.settings.base_url

    @property
    def max_workers(self) -> int:
        """Maximum number of concurrent requests."""
        return self.settings.max_workers

    def get(
        self,
        path: str,
        params: Params,
        *,
        timeout: float | None = None,
        decode: Decode = json.loads,
        is_output: bool = False,
    ) -> Any:
        """Send a GET request and return `decode` of the response body, by default its JSON.

        Parameters that are None are not sent. With `timeout`, in seconds, there is one attempt
        that takes no longer. `is_output` is for `Transport.send`.
        """
        return self._transport.send(
            "GET",
            path,
            self._with_project_params(params),
            timeout=timeout,
            decode=decode,
            is_output=is_output,
        )

    def post(self, path: str, params: Params, *, idempotent: bool, **body: Any) -> Any:
        """Send a POST request with ``json=`` or a form as ``data=``, and return the JSON.

        A request that is not `idempotent` is never sent again once the server may have acted on it.
        """
        return self._transport.send(
            "POST", path, self._with_project_params(params), idempotent=idempotent, **body
        )

    def delete(self, path: str, params: Params) -> None:
        """Send a DELETE request, whose response has no content."""
        self._transport.send(
            "DELETE", path, self._with_project_params(params), decode=lambda content: None
        )

    def download(self, url: Hidden[str]) -> bytes:
        """Return the content at a presigned URL of the API; the key is not sent there.

        Raises `NotFoundError` if the URL has expired.
        """
        return self._transport.download(url)

    def rate_limit_delay(self) -> float:
        """Return the seconds until the rate limit allows the next request."""
        return self._transport.rate_limiter.pause_left()

    def close(self) -> None:
        """Close idle connections."""
        self.closed = True
        self._transport.close()

    def _with_project_params(self, params: Params) -> dict[str, Any]:
        """Add the client's project unless `params` name another, and drop what is None."""
        result: dict[str, Any] = {
            "project_id": self.settings.project_id,
            "organization_id": self.settings.organization_id,
        }
        result.update({name: value for name, value in params.items() if value is not None})
        return {name: value for name, value in result.items() if value is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Client cannot be pickled or copied: call lb.connect() where it is used.")

    def __repr__(self) -> str:
        values = {
            "base_url": repr(self.settings.base_url),
            "api_key": "***",
            "project_id": repr(self.settings.project_id),
            "organization_id": repr(self.settings.organization_id),
            **{n: f"{getattr(self.settings, n):g}" for n in _settings.NUMERIC_DEFAULTS},
            "headers": "{" + ", ".join(f"{n!r}: ***" for n in self.settings.header_names) + "}",
        }
        sources = dict(self.settings.sources)
        if self.project is not None:
            values["project"] = escape_line(repr(self.project.get("name")))
            sources["project"] = f"checked, {escape_line(str(self.project.get('id')))}"
        lines = [f"  {name}={value},  # {sources[name]}" for name, value in values.items()]
        return "\n".join(["Client(", *lines, ")"])


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _reset_transports_after_fork() -> None:
    """Replace the transports of all clients in a forked process.

    On the parent's connections the child would read the parent's responses, and it would wait for
    rate limiter slots that only the parent's threads can release.
    """
    global _lock
    _lock = threading.RLock()  # another thread of the parent may hold it
    for client in list(_clients):
        client._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_transports_after_fork)

_default: Client | None = None
_lock = threading.RLock()


def connect(
    api_key: str | None = None,
    *,
    base_url: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    max_workers: int = 16,
    timeout: float = 60.0,
    max_retries: int = 5,
    headers: Mapping[str, str] | None = None,
    check: bool = False,
) -> Client:
    """Create the client that all functions use by default.

    Without this call, the first function that needs a client connects from the environment. No
    request is sent unless `check` is set.

    Parameters
    ----------
    api_key
        Defaults to the environment variable ``LLAMA_CLOUD_API_KEY``, else
        ``LLAMA_PARSE_API_KEY``.
    base_url
        URL of the API. Defaults to ``LLAMA_CLOUD_BASE_URL``, else
        ``https://api.cloud.llamaindex.ai``. The EU region is
        ``https://api.cloud.eu.llamaindex.ai``.
    project_id, organization_id
        Project to work in. Defaults to ``LLAMA_CLOUD_PROJECT_ID`` and
        ``LLAMA_CLOUD_ORGANIZATION_ID``, else to the project of the key.
    max_workers
        Maximum number of concurrent requests.
    timeout
        Seconds to wait for the next byte of a response. A whole response may take ten times as
        long.
    max_retries
        Maximum number of retries of an idempotent request after a failure.
    headers
        Further headers of each request, such as ``{"Usage-Tags": "team:x"}``. They are added to
        those in ``LLAMA_CLOUD_CUSTOM_HEADERS`` (one ``Name: value`` per line, as the official SDK
        reads it), and replace those of the same name. Like the key, their values are shown nowhere
        and sent to `base_url` only. ``Authorization`` is refused: pass `api_key`.
    check
        Ask the server for the projects of the key, so that a wrong key, region or project raises
        now. The `repr` then shows the name of the project, and ``client.project`` has its fields.

    Returns
    -------
    Client
        Pass it as ``client=`` when you use more than one project.

    Raises
    ------
    AuthenticationError
        If there is no key. A key that the server rejects raises at the first request, or here with
        `check`.
    NotFoundError
        With `check`, if the key has no project with this `project_id`.
    ValueError, TypeError
        If a setting is invalid, such as an unencrypted ``http`` URL of another machine.

    Notes
    -----
    Proxies (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``) and certificates
    (``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``) are read from the environment;
    ``.netrc`` is ignored. The key is sent to `base_url` only, and a proxy does not see it.

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
      headers={},  # default
    )
    """
    hidden_key, hidden_url, hidden_headers = Hidden(api_key), Hidden(base_url), Hidden(headers)
    del api_key, base_url, headers  # tracebacks with locals must not show secrets in them
    if not isinstance(check, bool):
        raise TypeError(f"check must be True or False, not {check!r:.80}.")
    client = Client(
        _settings.resolve(
            api_key=hidden_key,
            base_url=hidden_url,
            project_id=project_id,
            organization_id=organization_id,
            max_workers=max_workers,
            timeout=timeout,
            max_retries=max_retries,
            headers=hidden_headers,
        )
    )
    if check:
        client.project = find_project(client.get, client.settings.project_id)
    set_default_client(client)
    return client


def set_default_client(client: Client | None) -> Client | None:
    """Make `client` the default and return the previous default."""
    global _default
    with _lock:
        previous, _default = _default, client
    return previous


def get_client(client: Client | None = None) -> Client:
    """Return `client`, else the default client, else one created from the environment."""
    if client is not None:
        if not isinstance(client, Client):
            raise TypeError(  # without the value, which may be the key
                f"client must be a Client from lb.connect(), not {type(client).__name__}."
            )
        return client
    with _lock:  # threads that call their first function together share one client
        return _default or connect()
