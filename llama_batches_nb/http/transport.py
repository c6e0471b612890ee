"""Send a request and return its decoded response, with retries. The only module that sends HTTP."""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3

from llama_batches_nb.errors import NotFoundError, ResponseError, ServerError
from llama_batches_nb.http import workers
from llama_batches_nb.http.adapter import AbortableAdapter
from llama_batches_nb.http.deadlines import Watchdog
from llama_batches_nb.http.hidden import Hidden, HiddenBytes, HiddenMapping, raise_unseen
from llama_batches_nb.http.http_errors import (
    RetryableError,
    connection_error,
    parse_retry_after,
    status_error,
    was_not_sent,
)
from llama_batches_nb.http.multipart import MultipartStream
from llama_batches_nb.http.presigned_urls import (
    check_presigned_url,
    describe_url,
    mask_signatures,
    no_request_log,
)
from llama_batches_nb.http.rate_limit import RateLimiter
from llama_batches_nb.http.settings import (
    BearerAuth,
    Settings,
    ca_bundle_from_env,
    is_loopback,
    mask_texts,
)

CONNECT_TIMEOUT = 10.0  # seconds
MAX_TIMEOUTS = 10.0  # times the timeout; ends a request whose response arrives byte by byte
MIN_UPLOAD_RATE = 2**16  # bytes per second; adds to the time that a request may take
MAX_BODY_BYTES = 2**28  # bytes; every worker may hold one such body
MIN_TIME = 0.01  # seconds for a request whose turn comes at the deadline
CHUNK_SIZE = 2**18  # bytes per read; as fast as reading the body at once
MAX_DOWNLOAD_BYTES = 2**31  # bytes of a result at a presigned URL
MAX_REDIRECTS = 5  # of a presigned URL
EXPIRED_STATUSES = frozenset({400, 401, 403, 404, 410})  # of stores for an expired presigned URL
MAX_RETRY_AFTER = 120.0  # seconds; a longer wait raises
FIRST_BACKOFF, MAX_BACKOFF = 0.5, 8.0  # seconds between attempts after a failure

Params = Mapping[str, Any]
Decode = Callable[[bytes], Any]  # raises ValueError if the body is not JSON

log = logging.getLogger("llama_batches_nb")


class Transport:
    """Send requests with the key, retry them, and share one rate limiter among all workers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rate_limiter = RateLimiter(settings.max_workers)
        self._watchdog = Watchdog()
        self._session = requests.Session()
        self._session.auth = settings.key
        self._session.headers.update(
            {
                "Accept": "application/json",
                "User-Agent": f"llama_batches_nb/{version('llama_batches_nb')}",
            }
        )
        for scheme in ("https://", "http://"):
            self._session.mount(
                scheme, AbortableAdapter(pool_maxsize=settings.max_workers, pool_block=True)
            )

        # All requests have one origin, so look up its adapter, proxies and certificates once.
        self._adapter = self._session.get_adapter(settings.base_url)
        self._environment = self._environment_of(settings.base_url)

    def _environment_of(self, url: str) -> dict[str, Any]:
        """Return the proxies, whose passwords are hidden, and the certificates for a URL."""
        found: dict[str, Any] = {
            **self._session.merge_environment_settings(url, {}, True, None, None)
        }
        found["proxies"] = HiddenMapping({} if is_loopback(url) else found["proxies"])
        if found["verify"] is True:
            found["verify"] = ca_bundle_from_env() or True
        return found

    def close(self) -> None:
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        idempotent: bool = True,
        timeout: float | None = None,
        decode: Decode = json.loads,
        is_output: bool = False,
        **body: Any,
    ) -> Any:
        """Send a request and return `decode` of the response body, by default its JSON.

        Signatures in its URLs are masked, unless it `is_output`: the text of a document, or the
        presigned URL of one.

        A request that is not `idempotent` is retried only if the server cannot have acted on it:
        after a 429, or if no connection was made. With `timeout`, in seconds, there is one attempt
        that takes no longer.
        """
        request_line = f"{method} {path}"
        read_timeout = min(self._settings.timeout, timeout or math.inf)
        deadline = time.monotonic() + (timeout or math.inf)
        max_seconds = MAX_TIMEOUTS * read_timeout + _body_size(body) / MIN_UPLOAD_RATE
        failures = 0
        was_rate_limited = False
        while True:
            try:
                with self.rate_limiter.acquire(timeout or math.inf) as sent_at:
                    seconds = min(max_seconds, max(MIN_TIME, deadline - time.monotonic()))
                    response = self._send_once(
                        method, path, params, read_timeout, seconds, body, is_output
                    )
                self.rate_limiter.on_success(is_retry=was_rate_limited)
                # after releasing the limiter
                return _decode_body(request_line, response, decode, self._settings.key)
            except RetryableError as failure:
                failed = failure
            error, retry_after = failed.error, failed.error.retry_after
            if retry_after is not None and retry_after > MAX_RETRY_AFTER:
                raise error
            if failed.rate_limited:
                n_throttled = self.rate_limiter.on_throttled(
                    sent_at, retry_after, is_retry=was_rate_limited
                )
                was_rate_limited = True
                if n_throttled > self._settings.max_retries or timeout is not None:
                    raise error
                continue
            if retry_after is not None:
                self.rate_limiter.pause(retry_after)
            failures += 1
            may_retry = timeout is None and (idempotent or failed.not_sent)
            if failures > self._settings.max_retries or not may_retry:
                raise error
            if retry_after is None:
                workers.sleep(_backoff(failures))

    def download(self, url: Hidden[str]) -> bytes:
        """Return the content at a presigned URL, which is requested without the key.

        Raises `NotFoundError` if the URL has expired. It does not use the API's rate limit.
        """
        failures = 0
        while True:
            try:
                return self._download_once(url)
            except RetryableError as failure:
                error = failure.error
            failures += 1
            if failures > self._settings.max_retries or (error.retry_after or 0) > MAX_RETRY_AFTER:
                raise error
            workers.sleep(error.retry_after or _backoff(failures))

    def _download_once(self, url: Hidden[str]) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            check = partial(_check_hidden_url, url, self._settings.base_url)
            raise_unseen(check, ResponseError)
            response = self._open_presigned(url)
            if not 300 <= response.status_code < 400:
                break
            url = _redirect_url(url, response)
        else:
            raise ResponseError(
                f"The download from {describe_url(url.reveal())} was redirected more than "
                f"{MAX_REDIRECTS} times. Try again later."
            )
        status = response.status_code
        if 200 <= status < 300:
            return response.content
        message = f"The download from {describe_url(url.reveal())} returned HTTP {status}"
        if status in EXPIRED_STATUSES:
            raise NotFoundError(f"{message}: its URL has expired.", status_code=status)
        if status == 429 or status >= 500:
            failed = ServerError(f"{message}. Try again later.", status_code=status)
            failed.retry_after = parse_retry_after(response)
            raise RetryableError(failed)
        raise ResponseError(f"{message}.", status_code=status)

    def _open_presigned(self, url: Hidden[str]) -> requests.Response:
        """Return the complete response of a presigned URL; redirects are not followed."""
        request_line = f"GET {describe_url(url.reveal())}"
        timeout = self._settings.timeout
        environment = self._environment_of(url.reveal())
        headers = {"Accept": "*/*", "User-Agent": self._session.headers["User-Agent"]}
        failed: Exception | None = None
        try:
            with no_request_log(), self._time_limit(MAX_TIMEOUTS * timeout):
                response = self._session.get_adapter(url.reveal()).send(
                    requests.Request("GET", url.reveal(), headers=headers).prepare(),
                    timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                    **environment,
                )
                _read_body(response, self._settings.key.redact, MAX_DOWNLOAD_BYTES)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            failed = connection_error(request_line, error, self._settings)
        except BaseException as error:  # drop the frames that hold the URL
            error.__context__ = None
            raise error.with_traceback(None) from None
        if failed is not None:
            raise failed  # outside `except`: its context would hold the URL
        return response

    def _redact(self, body: Mapping[str, Any], is_output: bool, content: bytes) -> bytes:
        """Mask the key, signatures and secrets of the request in the content of its response."""
        values = body["json"].values() if "json" in body else ()
        secrets = [text for one in values if isinstance(one, Hidden) for text in one.secrets()]
        content = self._settings.key.redact(mask_texts(content, secrets))
        return HiddenBytes(content) if is_output else mask_signatures(content)

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        """Abort the request of the block after `seconds`, and raise `requests.ReadTimeout`."""
        with self._watchdog.limit(seconds) as deadline, workers.cancellable_io():
            late = False
            try:
                yield
                late = deadline.has_aborted  # an aborted body without a length looks complete
            except (OSError, urllib3.exceptions.HTTPError) as error:
                late = deadline.has_aborted and not was_not_sent(error)
                if not late:
                    raise
        if late:
            raise requests.ReadTimeout(f"the response did not end within {seconds:g} s")

    def _send_once(
        self,
        method: str,
        path: str,
        params: Params | None,
        read_timeout: float,
        seconds: float,
        body: Mapping[str, Any],
        is_output: bool,
    ) -> requests.Response:
        """Send a request once and return its complete, successful response."""
        request_line = f"{method} {path}"
        started = time.monotonic()
        form: MultipartStream | None = body.get("data")
        headers = {**self._session.headers, **(form.rewind() if form else {})}
        content: Any = form
        if "json" in body:
            content = _encode_json(body["json"])
            headers["Content-Type"] = "application/json"
        connection_failure: Exception | None = None
        try:
            with self._time_limit(seconds):
                request = requests.Request(
                    method,
                    self._settings.base_url + path,
                    params=params,
                    headers=headers,
                    auth=self._session.auth,
                    data=content,
                )
                response = self._adapter.send(
                    request.prepare(),
                    timeout=(min(CONNECT_TIMEOUT, read_timeout), read_timeout),
                    **self._environment,
                )
                is_raw = is_output and response.status_code < 300
                _read_body(response, partial(self._redact, body, is_raw), MAX_BODY_BYTES)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            connection_failure = connection_error(request_line, error, self._settings)
        except BaseException as error:  # drop the frames that hold the request and so the key
            error.__context__ = None
            raise error.with_traceback(None) from None
        if connection_failure is not None:
            raise connection_failure  # outside `except`: its context would hold the request
        log.debug(
            "%s: %d in %.3f s", request_line, response.status_code, time.monotonic() - started
        )
        if 200 <= response.status_code < 300:
            return response
        raise status_error(request_line, response, self._settings)


def _check_hidden_url(url: Hidden[str], base_url: str) -> None:
    check_presigned_url(url.reveal(), base_url)


def _redirect_url(url: Hidden[str], response: requests.Response) -> Hidden[str]:
    """Return where a presigned URL redirects to."""
    location = response.headers.get("Location", "")
    try:
        return Hidden(urljoin(url.reveal(), location))
    except ValueError:
        return Hidden(location)  # is refused


def _encode_json(value: Any) -> HiddenBytes:
    return HiddenBytes(json.dumps(value, default=lambda hidden: hidden.reveal()).encode())


def _body_size(body: Mapping[str, Any]) -> int:
    """Return the number of bytes of a form; other bodies are small."""
    return len(body["data"]) if "data" in body else 0


def _read_body(
    response: requests.Response,
    redact: Callable[[bytes], bytes],
    max_bytes: int,
) -> None:
    """Read the whole body, and remove secrets that the server echoes."""
    chunks, size = [], 0
    with response:
        try:
            while chunk := response.raw.read1(CHUNK_SIZE, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise ResponseError(
                        f"The response is larger than {max_bytes:,} bytes, more than any "
                        "response of the API. Check that base_url is the address of the API."
                    )
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(error) from error
        response._content = redact(b"".join(chunks))


def _decode_body(
    request_line: str, response: requests.Response, decode: Decode, key: BearerAuth
) -> Any:
    try:
        return decode(response.content)
    except (ValueError, RecursionError) as error:
        start = mask_signatures(
            key.redact_message(response.content[:1000].decode(errors="replace"))
        )
        failure = ResponseError(
            f"{request_line} returned HTTP {response.status_code} with a non-JSON body: "
            f"{start[:80]!r}. "
            "Check that base_url is the address of the API.",
            status_code=response.status_code,
        )
        failure.__cause__ = ValueError(str(error))  # the error itself holds the body
        if "html" in response.headers.get("Content-Type", ""):
            raise failure from None
        raise RetryableError(failure) from None  # the body may have been cut short


def _backoff(failures: int) -> float:
    """Return a random wait in seconds that doubles with each failure."""
    max_wait = min(FIRST_BACKOFF * 2.0 ** (failures - 1), MAX_BACKOFF)
    return max_wait * (0.5 + random.random() / 2)
