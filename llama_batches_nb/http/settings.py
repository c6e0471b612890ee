"""Where to connect and as whom: argument, else environment, else default. The key stays hidden."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, AnyStr, NoReturn
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from llama_batches_nb.errors import AuthenticationError

KEY_VARIABLES = ("LLAMA_CLOUD_API_KEY", "LLAMA_PARSE_API_KEY")
DEFAULT_BASE_URL = "https://api.cloud.llamaindex.ai"
EU_BASE_URL = "https://api.cloud.eu.llamaindex.ai"

MIN_REDACTED_LENGTH = (
    8  # characters; a shorter key, of a server of one's own, is in other words too
)

NO_KEY = (
    "No API key. Set the environment variable LLAMA_CLOUD_API_KEY (or LLAMA_PARSE_API_KEY), or "
    "call connect(api_key=…). To try things out, lb.sandbox() needs no key."
)


class SecretStr(str):
    """Text that no traceback shows with what else its frames hold, nor a print of headers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def as_secret(key: str | None) -> str | None:
    """Return a key so that it shows itself to nobody who prints what holds it."""
    return SecretStr(key) if isinstance(key, str) else key


class BearerAuth(AuthBase):
    """Signs the requests that go to one origin, and shows the key to nothing else."""

    __slots__ = ("_origin", "_reveal")

    def __init__(self, key: str, origin: str) -> None:
        self._origin = origin
        self._reveal: Callable[[], str] = lambda: key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, if it goes to the origin that the key is for."""
        if origin(request.url or "") == self._origin:
            request.headers["Authorization"] = SecretStr(f"Bearer {self._reveal()}")
        return request

    def redact(self, said: AnyStr) -> AnyStr:
        """Return text or bytes without the key, should a server have echoed it, in JSON or not."""
        if len(self._reveal()) < MIN_REDACTED_LENGTH:
            return said
        in_json = SecretStr(json.dumps(self._reveal())[1:-1])
        for form in {self._reveal(), in_json, SecretStr(in_json.replace("/", "\\/"))}:
            if isinstance(said, bytes):
                said = said.replace(form.encode(), b"***")
            else:
                said = said.replace(form, "***")
        return said

    def __repr__(self) -> str:
        return "<key hidden>"

    def __copy__(self) -> BearerAuth:
        return self

    def __deepcopy__(self, memo: object) -> BearerAuth:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("An API key is not pickled: call lb.connect() in the other process.")


MAX_NUMBER = 1_000_000
NUMERIC_DEFAULTS = {"max_workers": 16, "timeout": 60.0, "max_retries": 5}


@dataclass(frozen=True)
class Settings:
    """What a client works with; `sources` says where each value came from."""

    key: BearerAuth
    base_url: str
    project_id: str | None
    organization_id: str | None
    max_workers: int
    timeout: float  # seconds between two bytes of an answer
    max_retries: int
    sources: Mapping[str, str]


def resolve(
    *,
    api_key: str | None,
    base_url: str | None,
    project_id: str | None,
    organization_id: str | None,
    max_workers: int,
    timeout: float,
    max_retries: int,
) -> Settings:
    """Settle every setting, or say which can't be and what to do."""
    _check_number("max_workers", max_workers, at_least=1, integer=True)
    _check_number("max_retries", max_retries, at_least=0, integer=True)
    _check_number("timeout", timeout, at_least=0.001)
    given = {"max_workers": max_workers, "timeout": timeout, "max_retries": max_retries}
    sources = {
        n: "default" if given[n] == NUMERIC_DEFAULTS[n] else "argument" for n in NUMERIC_DEFAULTS
    }

    def settle(name: str, argument: str | None, *variables: str) -> str | None:
        if argument is not None and not isinstance(argument, str):
            raise TypeError(f"{name} must be text, not {type(argument).__name__}.")
        given = [("argument", argument), *((v, os.environ.get(v)) for v in variables)]
        for source, value in given:
            if value and value.strip():
                sources[name] = source
                return value.strip()
        sources[name] = "default"
        return None

    key = as_secret(settle("api_key", api_key, *KEY_VARIABLES))
    url = _checked_url(
        settle("base_url", base_url, "LLAMA_CLOUD_BASE_URL") or DEFAULT_BASE_URL,
        sources["base_url"],
    )
    if key is None:
        raise AuthenticationError(NO_KEY)
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise AuthenticationError(
            f"The API key ({_describe_source(sources['api_key'])}) holds characters that no key "
            f"has, such as "
            "a space or a line break: copy it again."
        )
    return Settings(
        key=BearerAuth(key, origin(url)),
        base_url=url,
        project_id=settle("project_id", project_id, "LLAMA_CLOUD_PROJECT_ID"),
        organization_id=settle("organization_id", organization_id, "LLAMA_CLOUD_ORGANIZATION_ID"),
        max_workers=int(max_workers),
        timeout=float(timeout),
        max_retries=int(max_retries),
        sources=sources,
    )


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, which together decide who gets the key."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def is_loopback(url: str) -> bool:
    """Whether a URL's host can only be this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def ca_bundle_from_env() -> str | None:
    """Return the file of certificates that OpenSSL's variable names, which `requests` ignores."""
    return os.environ.get("SSL_CERT_FILE") or None


def _checked_url(url: str, source: str) -> str:
    given = f"base_url={url!r} ({_describe_source(source)})"
    if "@" in url:
        raise ValueError("base_url must not hold a user name or password.")
    if "://" not in url:  # it may well be the key
        raise ValueError(
            f"base_url ({_describe_source(source)}) is not a URL such as {DEFAULT_BASE_URL!r}: it "
            f"has no "
            "'https://'."
        )
    if not _is_simple_url(url):
        raise ValueError(f"{given} is not a URL such as {DEFAULT_BASE_URL!r}.")
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise ValueError(f"{given} would send the key unencrypted: use https.")
    return url.rstrip("/")


def _is_simple_url(url: str) -> bool:
    """Whether a URL has a host and a path at most, and is read the same way when it is sent."""
    try:
        parts, sent = urlsplit(url), requests.Request("GET", url).prepare().url or ""
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not set("?#") & set(url)
            and origin(url) == origin(sent)
        )
    except ValueError:  # such as a port that is no number
        return False


def _describe_source(source: str) -> str:
    return f"from {source}" if source.isupper() else source


def _check_number(name: str, value: Any, *, at_least: float, integer: bool = False) -> None:
    kind = int if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} must be a number, not {value!r}.")
    if not at_least <= value:
        raise ValueError(f"{name}={value!r} must be at least {at_least:g}.")
    if value > MAX_NUMBER:
        raise ValueError(f"{name}={value!r:.40} must be at most {MAX_NUMBER:,}.")
