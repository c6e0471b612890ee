"""Send one request and get its JSON, or the error that says what to do. All HTTP is here."""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import requests
import urllib3

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from llama_batches_nb.http import workers
from llama_batches_nb.http.adapter import AbortableAdapter
from llama_batches_nb.http.multipart import MultipartStream
from llama_batches_nb.http.rate_limit import RateLimiter
from llama_batches_nb.http.settings import (
    EU_BASE_URL,
    BearerAuth,
    Settings,
    ca_bundle_from_env,
    is_loopback,
)

CONNECT_TIMEOUT = 10.0  # seconds
MAX_BODY_TIMEOUTS = (
    10.0  # times the timeout; a server may send a byte now and then, but not for ever
)
MAX_BODY_BYTES = 2**28  # bytes; with so many for each worker, a machine still has enough
PIECE = 2**18  # bytes read at a time, which is as fast as all at once
MAX_RETRY_AFTER = 120.0  # seconds; a longer one is raised, not slept
FIRST_BACKOFF, MAX_BACKOFF = 0.5, 8.0  # seconds between tries after a failure
MAX_DETAIL_LENGTH = 1000  # characters of the server's own words in a message

RETRIED_STATUSES = frozenset({408, 500, 502, 503, 504, *range(520, 531)})  # 520 on: of proxies
INVALID = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)  # of the proxy
NON_RETRYABLE = (requests.exceptions.SSLError, *INVALID)  # what another try does not change
UNCONNECTED = frozenset({"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})

Params = Mapping[str, Any]
Decode = Callable[[bytes], Any]  # raises ValueError for what is not JSON

log = logging.getLogger("llama_batches_nb")


class _RetryableError(Exception):
    """One try that failed; holds the error to raise if there is no other try."""

    def __init__(self, error: BatchesError, *, refused: bool = False, unsent: bool = False) -> None:
        self.error = error
        self.refused = refused  # by a rate limit
        self.unsent = unsent  # the server can't have acted on it


class Transport:
    """Sends requests with the key, retries what may be retried, and keeps one pace."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rate_limiter = RateLimiter(settings.max_workers)
        self._session = requests.Session()
        self._session.auth = settings.key
        self._session.headers.update(
            {"Accept": "application/json", "User-Agent": f"llama_batches_nb/{_version()}"}
        )
        for scheme in ("https://", "http://"):
            self._session.mount(
                scheme, AbortableAdapter(pool_maxsize=settings.max_workers, pool_block=True)
            )

        # All goes to one origin, so what `Session.request` finds out each time is found out once.
        self._adapter = self._session.get_adapter(settings.base_url)
        self._environment: dict[str, Any] = {
            **self._session.merge_environment_settings(settings.base_url, {}, True, None, None)
        }
        if is_loopback(settings.base_url):
            self._environment["proxies"] = {}  # no proxy on the way home
        if self._environment["verify"] is True:
            self._environment["verify"] = ca_bundle_from_env() or True

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        retry: bool = True,
        within: float | None = None,
        decode: Decode = json.loads,
        **body: Any,
    ) -> Any:
        """Return what `decode` makes of the answer's bytes: its JSON.

        With `retry=False` (what must not happen twice) only what the server can't have acted on
        is sent again: a refusal by the rate limit, a connection that was never made. With
        `within`, in seconds, there is one try, and it takes no longer.
        """
        timeout = min(self._settings.timeout, within or math.inf)
        longest = within or MAX_BODY_TIMEOUTS * timeout
        pause = self.rate_limiter.wait_left()
        if within is not None and pause > within:
            raise RateLimitError(
                f"{method} {path} was not sent: we are to wait {pause:.0f} s more."
            )
        tries = 0
        refused = False
        while True:
            try:
                with self.rate_limiter.acquire() as sent_at:
                    response = self._send_once(method, path, params, timeout, longest, body)
                self.rate_limiter.on_success(repeated=refused)
                return _decoded(f"{method} {path}", response, decode)  # others may send meanwhile
            except _RetryableError as failure:
                failed = failure
            error, retry_after = failed.error, failed.error.retry_after
            if retry_after is not None and retry_after > MAX_RETRY_AFTER:
                raise error
            if failed.refused:
                refusals = self.rate_limiter.on_throttled(sent_at, retry_after, repeated=refused)
                refused = True
                if refusals > self._settings.max_retries or within is not None:
                    raise error
                continue
            if retry_after is not None:
                self.rate_limiter.pause(retry_after)
            tries += 1
            may_repeat = within is None and (retry or failed.unsent)
            if tries > self._settings.max_retries or not may_repeat:
                raise error
            if retry_after is None:
                workers.sleep(_backoff(tries))

    def _send_once(
        self,
        method: str,
        path: str,
        params: Params | None,
        timeout: float,
        longest: float,
        body: Mapping[str, Any],
    ) -> requests.Response:
        """Send a request and read the whole answer, which is a success."""
        asked = f"{method} {path}"
        started = time.monotonic()
        form: MultipartStream | None = body.get("data")
        headers = {**self._session.headers, **(form.rewind() if form else {})}
        lost: Exception | None = None
        try:
            with workers.cancellable_io():
                request = requests.Request(
                    method,
                    self._settings.base_url + path,
                    params=params,
                    headers=headers,
                    auth=self._session.auth,
                    **body,
                )
                response = self._adapter.send(
                    request.prepare(),
                    timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                    **self._environment,
                )
                _read(response, self._settings.key, longest)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            lost = self._connection_error(asked, error)
        except BaseException as error:  # such as Ctrl-C: without the frames that hold the request
            error.__context__ = None
            raise error.with_traceback(None) from None
        if lost is not None:
            raise lost  # here, where it is not raised from what holds the request
        log.debug("%s: %d in %.3f s", asked, response.status_code, time.monotonic() - started)
        if 200 <= response.status_code < 300:
            return response
        raise self._status_error(asked, response)

    def _connection_error(self, asked: str, error: Exception) -> Exception:
        """Turn what `requests` raised into our error, without the request that it carries."""
        unsent = _was_not_sent(error)
        words = self._settings.key.redact(_root_cause_message(error)).rstrip(".")
        kind = type(error) if isinstance(error, requests.RequestException) else OSError
        ours = ConnectionFailedError(
            f"{asked} got no whole answer: {words}. {self._connection_hint(error)}"
        )
        ours.request_sent = not unsent
        ours.__cause__ = kind(words)
        is_lasting = isinstance(error, NON_RETRYABLE) or not isinstance(
            error, requests.RequestException
        )
        return ours if is_lasting else _RetryableError(ours, unsent=unsent)

    def _connection_hint(self, error: Exception) -> str:
        """Return what to do where there was no whole answer."""
        if isinstance(error, requests.exceptions.SSLError) or type(error) is OSError:
            return (
                "The server's certificate can't be verified: check base_url. If your network has "
                "certificates of its own, name their file in REQUESTS_CA_BUNDLE."
            )
        if isinstance(error, (requests.exceptions.ProxyError, *INVALID)):
            return "Check the proxy that your environment names (HTTPS_PROXY or ALL_PROXY)."
        if isinstance(error, requests.Timeout):
            return f"No answer within {self._settings.timeout:g} s; see connect(timeout=…)."
        return f"Check the network and that base_url is right ({self._settings.base_url})."

    def _status_error(self, asked: str, response: requests.Response) -> Exception:
        """Turn an answer that is no success into the error with the server's own words."""
        status, place = response.status_code, response.headers.get("Location", "")
        words, fields = _error_detail(response)
        said = f"{asked} was answered {status}: {self._settings.key.redact(words)}"
        retry_after = _retry_after(response)

        def error(kind: type[BatchesError], advice: str) -> BatchesError:
            return kind(
                f"{said.rstrip('.')}. {advice}".rstrip(),
                status_code=status,
                retry_after=retry_after,
                fields=tuple(map(self._settings.key.redact, fields)),
            )

        if status == 429:
            wait = "later" if retry_after is None else f"in {retry_after:.0f} s"
            return _RetryableError(error(RateLimitError, f"Try again {wait}."), refused=True)
        if status in (401, 403):
            return error(
                AuthenticationError,
                f"Check the key ({self._settings.sources['api_key']}), its project, and its region:"
                f" a key of one region is refused by the other (base_url is "
                f"{self._settings.base_url}; the EU's is {EU_BASE_URL}).",
            )
        if status == 404:
            return error(NotFoundError, "Check the id, and that it is of this key's project.")
        if status == 409:
            return error(ConflictError, "")
        if status == 408 or status >= 500:
            failure = error(ServerError, "The service has a fault; try again later.")
            return _RetryableError(failure) if status in RETRIED_STATUSES else failure
        if 300 <= status < 400:
            return error(
                ResponseError,
                f"It sends us to {self._settings.key.redact(place)!r}, where the key does not go: "
                "correct base_url.",
            )
        return error(InvalidRequestError, "Correct what it names and call again.")


def _read(response: requests.Response, key: BearerAuth, seconds: float) -> None:
    """Read the body, in so many seconds at most. Should it echo the key, it is read without."""
    pieces, size, until = [], 0, time.monotonic() + seconds
    with response:
        try:
            while piece := response.raw.read1(PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise ResponseError(
                        f"An answer is larger than {MAX_BODY_BYTES:,} bytes, which nothing that is "
                        "asked for is. Check that base_url is the API's."
                    )
                if time.monotonic() > until:
                    raise requests.ReadTimeout(f"its body did not end within {seconds:g} s")
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(error) from error
        response._content = key.redact(b"".join(pieces))


def _decoded(asked: str, response: requests.Response, decode: Decode) -> Any:
    try:
        return decode(response.content)
    except (ValueError, RecursionError) as error:
        ours = ResponseError(
            f"{asked} was answered {response.status_code} with what is not JSON: "
            f"{response.content[:80].decode(errors='replace')!r}. "
            "Check that base_url is the API's.",
            status_code=response.status_code,
        )
        ours.__cause__ = error
        if "html" in response.headers.get("Content-Type", ""):
            raise ours from None
        raise _RetryableError(ours) from None  # perhaps cut short: worth another try


def _error_detail(response: requests.Response) -> tuple[str, tuple[str, ...]]:
    """Return the server's own words and the names of the fields it complains of."""
    try:
        body = json.loads(response.content)
        detail = body.get("detail") or body.get("message") or body["error"]
    except (ValueError, KeyError, AttributeError, RecursionError):
        return (response.reason or "no reason given"), ()
    if not isinstance(detail, list):
        return (detail if isinstance(detail, str) else json.dumps(detail))[:MAX_DETAIL_LENGTH], ()
    fields, words = [], []
    for problem in detail:
        if not isinstance(problem, dict):
            words.append(str(problem))
            continue
        loc = problem.get("loc")
        steps = loc if isinstance(loc, list) else [loc or ""]
        fields.append(".".join(str(step) for step in steps if step not in ("query", "body")))
        words.append(f"{fields[-1]}: {problem.get('msg')}")
    return "; ".join(words)[:MAX_DETAIL_LENGTH], tuple(fields)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the answer asks us to wait, be it given as a number or as a date."""
    text = response.headers.get("Retry-After", "").strip()
    with suppress(ValueError):
        seconds = float(text)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    with suppress(ValueError, TypeError, OverflowError):
        until = parsedate_to_datetime(text)
        try:
            now = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            now = time.time()
        return max(0.0, until.timestamp() - now)
    return None


def _root_cause_message(error: Exception) -> str:
    """Return what broke, without the names of the pools and connections that it broke in."""
    return str(_root_cause(error)).rpartition("): ")[2]


def _was_not_sent(error: Exception) -> bool:
    """Whether the request was not sent for sure; a `ProxyError` may also come after it was."""
    inmost = _root_cause(error)
    refused_by_proxy = str(inmost).startswith("Tunnel connection failed")
    return type(inmost).__name__ in UNCONNECTED or refused_by_proxy


def _root_cause(error: Exception) -> object:
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    return getattr(reason, "original_error", reason)  # of a proxy


def _backoff(tries: int) -> float:
    longest = min(FIRST_BACKOFF * 2.0 ** (tries - 1), MAX_BACKOFF)
    return longest * (0.5 + random.random() / 2)


def _version() -> str:
    return version("llama_batches_nb")
