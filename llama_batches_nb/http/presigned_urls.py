"""Check the presigned URLs of large results, which a server chooses and no key is sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.http.settings import is_loopback


def check_presigned_url(url: str, base_url: str) -> None:
    """Raise `ResponseError` unless a URL is an https address that may hold a result.

    Addresses inside a network are refused, except by a `base_url` that is itself such an address:
    otherwise a server could make this machine read from its own network. Plain http is accepted
    from and to this machine only.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_http = parts.scheme == "http"
    if parts.scheme != "https" and not (is_http and is_loopback(base_url) and is_loopback(url)):
        problem = "is not an https address"
    elif not _is_valid(host) or parts.username is not None or not url.isprintable() or " " in url:
        problem = "is not a valid address"
    elif _is_internal(host) and not _is_internal(urlsplit(base_url).hostname or ""):
        problem = "is inside a private network"
    else:
        return
    raise ResponseError(
        f"The server's download URL {describe_url(url)!r} {problem}, so it is not opened. Check "
        f"that base_url ({base_url}) is the address of the API."
    )


def describe_url(url: str) -> str:
    """Return a URL for a message without its path and query, which are a secret."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}/…"
    except ValueError:
        return "…"


def _is_valid(host: str) -> bool:
    """Whether a host is a name, or an IP address in its usual form."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and not host.rstrip(".").rpartition(".")[2][:1].isdigit()
    return True


def _is_internal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
