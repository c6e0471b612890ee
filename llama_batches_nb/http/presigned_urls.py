"""Check presigned URLs, which a server chooses and no key is sent to, and keep them out of logs."""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr
from urllib.parse import urlsplit

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.http.settings import is_loopback

_URL = re.compile(r"https?:(?:\\?/){2}[^\s\"'<>]+", re.I)
_SIGNATURE = re.compile(
    r"((?:[?&]|\\u0026)(?:x-(?:amz|goog)-(?:signature|security-token|credential)|signature|sig)=)"
    r"(?:[^&\\]|\\/)+",
    re.I,
)
"""What gives access in the presigned URLs of S3, Google Cloud Storage, Azure and CloudFront."""
_HINT = re.compile("ignature=|sig=", re.I)  # is found faster than a URL, and "=" faster still
_URL_BYTES, _SIGNATURE_BYTES, _HINT_BYTES = (
    re.compile(each.pattern.encode(), re.I) for each in (_URL, _SIGNATURE, _HINT)
)

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
_thread = threading.local()


def mask_signatures(text: AnyStr) -> AnyStr:
    """Mask what gives access in presigned URLs of text or bytes, whether plain or in JSON."""
    if isinstance(text, str):
        if "=" not in text or not _HINT.search(text):
            return text
        return _URL.sub(lambda url: _SIGNATURE.sub(r"\1***", url[0]), text)
    if b"=" not in text or not _HINT_BYTES.search(text):
        return text
    return _URL_BYTES.sub(lambda url: _SIGNATURE_BYTES.sub(rb"\1***", url[0]), text)


@contextmanager
def no_request_log() -> Iterator[None]:
    """Keep urllib3 from logging the requests of this thread, with their URLs."""
    _thread.is_silent = True
    try:
        yield
    finally:
        _thread.is_silent = False


def _is_logged(record: logging.LogRecord) -> bool:
    return not getattr(_thread, "is_silent", False)


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_logged)


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
