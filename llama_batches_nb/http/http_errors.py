"""Exceptions for HTTP error responses and failed connections. Needs no session."""

from __future__ import annotations

import json
import math
import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import requests

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
    UsageLimitError,
)
from llama_batches_nb.http.presigned_urls import mask_signatures
from llama_batches_nb.http.settings import EU_BASE_URL, Settings, mask_texts, proxy_secrets

ABOUT_PLAN = re.compile(
    r"\b(plans?|upgrad(e|es|ed|ing)|subscriptions?|subscribe|enterprise|free tier|feature)\b", re.I
)
"""Words of a 403 that is about the plan and not about the key."""

MAX_DETAIL_LENGTH = 1000  # characters of the server's own message in ours

RETRIED_STATUSES = frozenset({408, 500, 502, 503, 504, *range(520, 531)})  # 520–530: Cloudflare's
INVALID_PROXY = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
NON_RETRYABLE = (requests.exceptions.SSLError, *INVALID_PROXY)
NOT_CONNECTED = frozenset({"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})


class RetryableError(Exception):
    """A failed attempt. `error` is what to raise if there is no further attempt."""

    def __init__(
        self, error: BatchesError, *, rate_limited: bool = False, not_sent: bool = False
    ) -> None:
        self.error = error
        self.rate_limited = rate_limited
        self.not_sent = not_sent  # the server cannot have acted on the request


def connection_error(request_line: str, error: Exception, settings: Settings) -> Exception:
    """Return the error for a request without a complete response.

    Neither it nor its cause refers to the request, whose headers hold the key.
    """
    not_sent = was_not_sent(error)
    reason = mask_texts(mask_signatures(_root_cause_message(error)), proxy_secrets())
    reason = settings.key.redact_message(reason).rstrip(".")
    failure = ConnectionFailedError(
        f"{request_line}: no complete response: {reason}. {_connection_hint(error, settings)}",
        request_sent=not not_sent,
    )
    is_from_requests = isinstance(error, requests.RequestException)
    failure.__cause__ = (type(error) if is_from_requests else OSError)(reason)
    if isinstance(error, NON_RETRYABLE) or not is_from_requests:
        return failure
    return RetryableError(failure, not_sent=not_sent)


def status_error(request_line: str, response: requests.Response, settings: Settings) -> Exception:
    """Return the error for a response that is no success, with the server's own message."""
    status = response.status_code
    redact = settings.key.redact_message
    detail, fields = _error_detail(response)
    retry_after = parse_retry_after(response)

    def error(kind: type[BatchesError], hint: str = "") -> BatchesError:
        message = f"{request_line} returned HTTP {status}: {redact(detail)}".rstrip(".")
        return kind(
            f"{message}. {hint}".rstrip(),
            status_code=status,
            retry_after=retry_after,
            fields=tuple(map(redact, fields)),
        )

    if status == 429:
        when = "later" if retry_after is None else f"in {retry_after:.0f} s"
        return RetryableError(error(RateLimitError, f"Try again {when}."), rate_limited=True)
    if status == 402:
        return error(
            UsageLimitError,
            "The project has reached its usage limit, so nothing new can be created; reading still "
            "works. Raise the limit or wait until it is reset. The request itself is correct.",
        )
    if status == 403 and ABOUT_PLAN.search(detail):
        return error(
            AuthenticationError,
            "The plan of the project lacks this feature; batches need Pro or Enterprise. The key "
            "is valid: change the plan, or connect to a project whose plan has the feature.",
        )
    if status in (401, 403):
        plan = " A plan without batches (below Pro) also gives a 403." if status == 403 else ""
        return error(
            AuthenticationError,
            f"Check the API key ({settings.sources['api_key']}), its project and its region: a key "
            f"is valid in one region only (base_url is {settings.base_url}; the EU region is "
            f"{EU_BASE_URL}).{plan}",
        )
    if status == 404:
        return error(NotFoundError, "Check the id, and that it belongs to the key's project.")
    if status == 409:
        return error(ConflictError)
    if status == 408 or status >= 500:
        failure = error(ServerError, "The service failed; try again later.")
        return RetryableError(failure) if status in RETRIED_STATUSES else failure
    if 300 <= status < 400:
        location = redact(mask_signatures(response.headers.get("Location", "")))
        return error(
            ResponseError,
            f"The server redirects to {location!r}. Redirects are not followed because they could "
            "leak the API key; check base_url.",
        )
    return error(InvalidRequestError, "Correct the request as the message says.")


def _connection_hint(error: Exception, settings: Settings) -> str:
    if isinstance(error, requests.exceptions.SSLError) or type(error) is OSError:
        return (
            "The server's certificate cannot be verified: check base_url. If your network uses "
            "its own certificates, set REQUESTS_CA_BUNDLE to their file."
        )
    if isinstance(error, (requests.exceptions.ProxyError, *INVALID_PROXY)):
        return "Check the proxy in your environment (HTTPS_PROXY or ALL_PROXY)."
    if isinstance(error, requests.Timeout):
        return f"The client's timeout is {settings.timeout:g} s; see connect(timeout=…)."
    return f"Check the network and base_url ({settings.base_url})."


def _error_detail(response: requests.Response) -> tuple[str, tuple[str, ...]]:
    """Return the server's message and the names of the fields that it rejects."""
    try:
        body = json.loads(response.content)
        detail = body.get("detail") or body.get("message") or body["error"]
    except (ValueError, KeyError, AttributeError, RecursionError):
        return (response.reason or "no reason given"), ()
    if not isinstance(detail, list):
        return _detail_text(detail)[:MAX_DETAIL_LENGTH], ()
    fields, messages = [], []
    for problem in detail:
        if not isinstance(problem, dict):
            messages.append(str(problem))
            continue
        loc = problem.get("loc")
        steps = loc if isinstance(loc, list) else [loc or ""]
        fields.append(".".join(str(step) for step in steps if step not in ("query", "body")))
        messages.append(f"{fields[-1]}: {problem.get('msg')}")
    return "; ".join(messages)[:MAX_DETAIL_LENGTH], tuple(fields)


def _detail_text(detail: Any) -> str:
    """Return a message, also from an object such as ``{"message": …, "directory_id": …}``."""
    if isinstance(detail, dict):
        for name in ("message", "msg", "detail", "error", "reason"):
            if isinstance(text := detail.get(name), str) and text:
                others = {key: value for key, value in detail.items() if key != name}
                return f"{text} {json.dumps(others, ensure_ascii=False)}" if others else text
    return detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)


def parse_retry_after(response: requests.Response) -> float | None:
    """Return the seconds in ``Retry-After``, which is a number or a date."""
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
    """Return the root cause's message without the names of pools and connections."""
    return str(_root_cause(error)).rpartition("): ")[2]


def was_not_sent(error: Exception) -> bool:
    """Whether the request was certainly not sent; a `ProxyError` may also follow a sent one."""
    cause = _root_cause(error)
    refused_by_proxy = str(cause).startswith("Tunnel connection failed")
    return type(cause).__name__ in NOT_CONNECTED or refused_by_proxy


def _root_cause(error: Exception) -> object:
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    return getattr(reason, "original_error", reason)  # of a proxy error
