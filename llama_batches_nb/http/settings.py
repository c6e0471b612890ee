"""Settings from arguments, the environment and defaults. Their `repr` never shows the key."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import AnyStr, NoReturn
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.auth import AuthBase

from llama_batches_nb.errors import AuthenticationError
from llama_batches_nb.http.hidden import Hidden, raise_unseen

KEY_VARIABLES = ("LLAMA_CLOUD_API_KEY", "LLAMA_PARSE_API_KEY")
DEFAULT_BASE_URL = "https://api.cloud.llamaindex.ai"
EU_BASE_URL = "https://api.cloud.eu.llamaindex.ai"

HEADERS_VARIABLE = "LLAMA_CLOUD_CUSTOM_HEADERS"
FIXED_HEADERS = frozenset(
    {"authorization", "host", "connection", "content-length", "content-type", "transfer-encoding"}
)
"""Names, in lower case, that only the client itself sets."""
SECRET_NAME = re.compile(r"token|secret|key|auth|cookie|passw|credential", re.I)
"""Names of headers whose values are masked in data, too, where the others may also occur."""
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

MIN_REDACTED_LENGTH = 8  # characters; a shorter key, of a private server, may be part of words
MIN_REDACTED_HEADER_LENGTH = 4  # characters

NO_KEY = (
    "No API key. Set the environment variable LLAMA_CLOUD_API_KEY (or LLAMA_PARSE_API_KEY), or "
    "call connect(api_key=…). To try the package without a key, call lb.sandbox()."
)


class SecretStr(str):
    """Text whose `repr` is masked, so that tracebacks and printed headers do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class BearerAuth(AuthBase):
    """Add the API key and the user's headers to requests for one origin, and show them nowhere."""

    __slots__ = ("_headers", "_origin", "_reveal")

    def __init__(self, key: str, origin: str, headers: Mapping[str, str] | None = None) -> None:
        self._origin = origin
        self._reveal: Callable[[], str] = lambda: key
        self._headers: Callable[[], Mapping[str, str]] = lambda: headers or {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key and the headers if the request goes to the key's origin."""
        if origin(request.url or "") == self._origin:
            for name, value in self._headers().items():
                request.headers[name] = SecretStr(value)
            request.headers["Authorization"] = SecretStr(f"Bearer {self._reveal()}")
        return request

    def redact(self, text: AnyStr) -> AnyStr:
        """Mask the key in text or bytes from a server, whether plain or escaped as in JSON.

        Also mask the values of headers that are named as secrets, such as ``X-Token``.
        """
        for secret in (self._reveal(), *header_secrets(_named_as_secrets(self._headers()))):
            text = _mask(text, secret, MIN_REDACTED_LENGTH)
        return text

    def redact_message(self, text: str) -> str:
        """Mask the key and the values of headers in a text that becomes part of a message.

        Not for data: a value such as a team's name may also occur there.
        """
        return self.redact(mask_texts(text, header_secrets(self._headers())))

    def __repr__(self) -> str:
        return "<key hidden>"

    def __copy__(self) -> BearerAuth:
        return self

    def __deepcopy__(self, memo: object) -> BearerAuth:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("An API key cannot be pickled: call lb.connect() in the other process.")


def _named_as_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if SECRET_NAME.search(name)}


def header_secrets(headers: Mapping[str, str]) -> list[str]:
    """Return the values of headers, and the tokens in them, as in ``Bearer …``."""
    tokens = (word for value in headers.values() for word in value.split())
    return [*headers.values(), *(word for word in tokens if len(word) >= MIN_REDACTED_LENGTH)]


def proxy_secrets() -> list[str]:
    """Return the user names and passwords of the proxies that are set, in the forms of messages."""
    users = (url.partition("://")[2] or url for url in getproxies().values())
    user_infos = [text.rpartition("@")[0] for text in users if "@" in text]
    forms = [form for text in user_infos for form in (text, unquote(text))]
    passwords = [form.partition(":")[2] for form in forms]
    parts = [part for form in forms for part in re.split(r"[^\w.~-]+", form)]
    return [*forms, *passwords, *parts]


def mask_texts(text: AnyStr, secrets: Iterable[str]) -> AnyStr:
    """Mask each of these texts, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = _mask(text, secret, MIN_REDACTED_HEADER_LENGTH)
    return text


def _mask(text: AnyStr, secret: str, min_length: int) -> AnyStr:
    if len(secret) < min_length:
        return text
    for form in _written_forms(secret):
        if isinstance(text, bytes):
            text = text.replace(form.encode(), b"***")
        else:
            text = text.replace(form, "***")
    return text


def _written_forms(secret: str) -> set[SecretStr]:
    """Return text as it is, in JSON, and in JSON that is quoted in JSON, as a body in a message."""
    in_json = json.dumps(secret)[1:-1]
    escaped = [in_json, json.dumps(in_json)[1:-1]]
    slashes = [text.replace("/", "\\/") for text in escaped]
    return {SecretStr(text) for text in (secret, *escaped, *slashes)}


MAX_NUMBER = 1_000_000  # of any numeric setting
NUMERIC_DEFAULTS = {"max_workers": 16, "timeout": 60.0, "max_retries": 5}


@dataclass(frozen=True)
class Settings:
    """Validated settings of a client; `sources` names where each value came from."""

    key: BearerAuth
    base_url: str
    project_id: str | None
    organization_id: str | None
    max_workers: int
    timeout: float  # seconds without a byte of the response
    max_retries: int
    header_names: tuple[str, ...]
    sources: Mapping[str, str]


def resolve(
    *,
    api_key: Hidden[str | None],
    base_url: Hidden[str | None],
    project_id: str | None,
    organization_id: str | None,
    max_workers: int,
    timeout: float,
    max_retries: int,
    headers: Hidden[Mapping[str, str] | None],
) -> Settings:
    """Return validated settings: each the argument, else from the environment, else the default."""
    _check_number("max_workers", max_workers, minimum=1, integer=True)
    _check_number("max_retries", max_retries, minimum=0, integer=True)
    _check_number("timeout", timeout, minimum=0.001)
    numbers = {"max_workers": max_workers, "timeout": timeout, "max_retries": max_retries}
    sources = {
        name: "default" if numbers[name] == default else "argument"
        for name, default in NUMERIC_DEFAULTS.items()
    }

    def lookup(name: str, argument: str | None, *variables: str) -> str | None:
        if argument is not None and not isinstance(argument, str):
            raise TypeError(f"{name} must be text, not {type(argument).__name__}.")
        candidates = [("argument", argument), *((v, os.environ.get(v)) for v in variables)]
        for source, value in candidates:
            if value and value.strip():
                sources[name] = source
                return value.strip()
        sources[name] = "default"
        return None

    key = raise_unseen(
        lambda: Hidden(lookup("api_key", api_key.reveal(), *KEY_VARIABLES)), TypeError
    )
    url = raise_unseen(
        lambda: _validate_url(
            lookup("base_url", base_url.reveal(), "LLAMA_CLOUD_BASE_URL") or DEFAULT_BASE_URL,
            sources["base_url"],
        ),
        TypeError,
        ValueError,
    )
    if key.reveal() is None:
        raise AuthenticationError(NO_KEY)
    if not re.fullmatch(r"[!-~]+", key.reveal() or ""):
        raise AuthenticationError(
            f"The API key ({_describe_source(sources['api_key'])}) contains a character that no "
            "key has, such as a space or a line break. Copy it again."
        )
    all_headers, sources["headers"] = raise_unseen(
        lambda: _resolve_headers(headers.reveal()), TypeError, ValueError
    )
    return Settings(
        key=BearerAuth(key.reveal() or "", origin(url), all_headers.reveal()),
        base_url=url,
        project_id=lookup("project_id", project_id, "LLAMA_CLOUD_PROJECT_ID"),
        organization_id=lookup("organization_id", organization_id, "LLAMA_CLOUD_ORGANIZATION_ID"),
        max_workers=int(max_workers),
        timeout=float(timeout),
        max_retries=int(max_retries),
        header_names=tuple(all_headers.reveal()),
        sources=sources,
    )


def _resolve_headers(
    headers: Mapping[str, str] | None,
) -> tuple[Hidden[Mapping[str, str]], str]:
    """Return the headers of the environment and of the argument, which wins, and their source."""
    variable = _parse_headers(os.environ.get(HEADERS_VARIABLE, ""))
    for name, value in variable.items():
        _check_header(HEADERS_VARIABLE, name, value)
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a dict of text, not {type(headers).__name__}.")
    for name, value in (headers or {}).items():
        _check_header("headers", name, value)
    merged = {
        name.lower(): (name, value) for name, value in (*variable.items(), *(headers or {}).items())
    }
    sources = [HEADERS_VARIABLE] * bool(variable) + ["argument"] * bool(headers)
    return Hidden(dict(merged.values())), " and ".join(sources) or "default"


def _parse_headers(text: str) -> dict[str, str]:
    """Return the headers in a variable, read as the official SDK does: ``Name: value`` per line."""
    lines = (line.partition(":") for line in text.split("\n") if ":" in line)
    return {name.strip(): SecretStr(value.strip()) for name, _, value in lines}


def _check_header(source: str, name: object, value: object) -> None:
    """Raise if a header cannot be sent; a message never has its value."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"{source}: names and values must be text; check {name!r:.40}.")
    if not HEADER_NAME.fullmatch(name):
        raise ValueError(f"{source}: {name!r:.40} is not the name of a header.")
    if name.lower() in FIXED_HEADERS:
        how = " Pass the key as api_key." if name.lower() == "authorization" else ""
        raise ValueError(f"{source}: the header {name!r} is set by the client itself.{how}")
    if not (value.isprintable() and value.isascii()):
        raise ValueError(
            f"{source}: the value of {name!r} has a character that a header cannot have, such as a "
            "line break."
        )


def origin(url: str) -> str:
    """Return scheme, host and port of a URL; the key is sent to one origin only."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def is_loopback(url: str) -> bool:
    """Whether a URL's host is certainly this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def ca_bundle_from_env() -> str | None:
    """Return the path in ``SSL_CERT_FILE``, which OpenSSL reads but `requests` does not."""
    return os.environ.get("SSL_CERT_FILE") or None


def _validate_url(url: str, source: str) -> str:
    described = f"base_url={url!r} ({_describe_source(source)})"
    if "@" in url:
        raise ValueError("base_url must not contain a user name or password.")
    if "://" not in url:  # the message omits the value, which may be the key
        raise ValueError(
            f"base_url ({_describe_source(source)}) is not a URL such as {DEFAULT_BASE_URL!r}: "
            "'https://' is missing."
        )
    if not _is_simple_url(url):
        raise ValueError(f"{described} is not a URL such as {DEFAULT_BASE_URL!r}.")
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise ValueError(f"{described} would send the API key unencrypted: use https.")
    return url.rstrip("/")


def _is_simple_url(url: str) -> bool:
    """Whether a URL is a host with at most a path, and `requests` parses it as we do."""
    try:
        parts, sent = urlsplit(url), requests.Request("GET", url).prepare().url or ""
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not set("?#") & set(url)
            and origin(url) == origin(sent)
        )
    except ValueError:  # such as a port that is not a number
        return False


def _describe_source(source: str) -> str:
    return f"from {source}" if source.isupper() else source


def _check_number(name: str, value: object, *, minimum: float, integer: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        kind = "an integer" if integer else "a number"
        raise TypeError(f"{name} must be {kind}, not {value!r}.")
    if not minimum <= value:
        raise ValueError(f"{name}={value!r} must be at least {minimum:g}.")
    if value > MAX_NUMBER:
        raise ValueError(f"{name}={value!r:.40} must be at most {MAX_NUMBER:,}.")
