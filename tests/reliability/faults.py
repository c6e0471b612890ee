"""Faults of servers, proxies and networks, each with the error that a client must raise."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import llama_batches_nb as lb
from tests.reliability.raw_server import End, Step, chunks, response, response_head

HANG = 600.0  # seconds; longer than any test
HTML = b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>"


@dataclass(frozen=True)
class Fault:
    """One way in which a response is faulty or unusual."""

    family: str
    name: str
    corrupt: Callable[[bytes], Iterable[Step]]
    """Return what is sent instead, given the body of the correct response."""
    error: type[lb.BatchesError] | None = None
    """Error raised if the fault persists; None if the response is unusual but valid."""
    transient: bool = True
    """Whether the request is retried, so that a single occurrence has no effect."""
    timeout: float = 10.0
    """Timeout of the client in seconds."""
    executes: bool = True
    """Whether the server executes the request before it sends the faulty response."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def _statuses() -> Iterator[Fault]:
    def refusal(status: int, *lines: str, body: bytes = b'{"detail": "Oops"}') -> Any:
        return lambda _: [response(body, status, *lines)]

    family = "5xx, 408"
    for status in (408, 500, 503, 504, 520, 524):
        yield Fault(family, f"{status}", refusal(status), lb.ServerError)
    yield Fault(family, "502 with HTML", refusal(502, body=HTML), lb.ServerError)
    yield Fault(family, "503 with Retry-After: 0", refusal(503, "Retry-After: 0"), lb.ServerError)
    in_a_second = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    family = "429"
    for name, line in {
        "Retry-After in seconds": "Retry-After: 1",
        "Retry-After as a date": f"Retry-After: {in_a_second}",
        "no Retry-After": "X-Nothing: 1",
        "invalid Retry-After": "Retry-After: soon",
    }.items():
        yield Fault(family, name, refusal(429, line), lb.RateLimitError, executes=False)
    in_10_minutes = refusal(429, "Retry-After: 600")
    yield Fault(
        family,
        "Retry-After: 600",
        in_10_minutes,
        lb.RateLimitError,
        transient=False,
        executes=False,
    )
    family = "redirects"
    for status, name, place in (
        (301, "another host", "http://another-host.invalid/api/v2/batches"),
        (302, "another port", "http://127.0.0.1:9/"),
        (303, "an empty location", ""),
        (307, "itself", "/api/v2/batches"),
        (308, "a host without a scheme", "//another-host.invalid/"),
    ):
        answer = refusal(status, f"Location: {place}")
        yield Fault(
            family, f"{status} to {name}", answer, lb.ResponseError, transient=False, executes=False
        )


def _connections() -> Iterator[Fault]:
    family = "dropped connections"
    length = "Content-Length: 100000"
    for end in End:
        how = end.name.lower()
        for name, steps in {
            "before the head": [end],
            "in the head": [response_head(200, length)[:20], end],
            "in a header": [response_head(200, length)[:-6], end],
            "after the head": [response_head(200, length), end],
            "in the body": [response_head(200, length), b'{"items": [', end],
        }.items():
            is_undetected = (
                name == "in the head" and end is End.CLOSE
            )  # looks like a complete response
            error = lb.ResponseError if is_undetected else lb.ConnectionFailedError
            yield Fault(family, f"{how} {name}", lambda _, s=steps: s, error)  # type: ignore[misc]
    family = "hangs"
    for name, first in {
        "before the head": [],
        "in the head": [b"HTTP/1.1 200 O"],
        "in the body": [response_head(200, length), b'{"items": ['],
        "between chunks": [response_head(200, "Transfer-Encoding: chunked"), b'5\r\n{"ite\r\n'],
    }.items():
        steps = [*first, HANG, End.CLOSE]
        yield Fault(family, name, lambda _, s=steps: s, lb.ConnectionFailedError, timeout=0.3)  # type: ignore[misc]


def _bodies() -> Iterator[Fault]:
    family = "truncated bodies, wrong lengths"

    def with_length(length: object) -> Callable[[bytes], list[Step]]:
        return lambda body: [response_head(200, f"Content-Length: {length}"), body, End.CLOSE]

    def chunked(*last: bytes) -> Callable[[bytes], Iterator[Step]]:
        def corrupt(body: bytes) -> Iterator[Step]:
            yield response_head(200, "Transfer-Encoding: chunked")
            yield from list(chunks(body))[:-1]
            yield from last
            yield End.CLOSE

        return corrupt

    def encoded(encoding: str, encode: Callable[[bytes], bytes]) -> Callable[[bytes], list[Step]]:
        return lambda body: [response(encode(body), 200, f"Content-Encoding: {encoding}")]

    lost = lb.ConnectionFailedError
    half = "half of the body"
    yield Fault(family, half, lambda b: [response(b)[: -len(b) // 2], End.CLOSE], lost)
    yield Fault(
        family,
        f"{half}, no length",
        lambda b: [response_head(), b[: len(b) // 2], End.CLOSE],
        lb.ResponseError,
    )
    yield Fault(family, "Content-Length too large", lambda b: with_length(len(b) + 7)(b), lost)
    yield Fault(
        family, "Content-Length too small", lambda b: with_length(len(b) - 7)(b), lb.ResponseError
    )
    yield Fault(family, "two Content-Length headers", with_length("5\r\nContent-Length: 6"), lost)
    yield Fault(family, "empty body", lambda _: [response(b"")], lb.ResponseError)
    yield Fault(family, "204", lambda _: [response_head(204)], lb.ResponseError)
    yield Fault(family, "missing last chunk", chunked(), lost)
    yield Fault(family, "chunk without a size", chunked(b"zz\r\n{}\r\n0\r\n\r\n"), lost)
    yield Fault(family, "chunk shorter than its size", chunked(b"ff\r\n{}\r\n"), lost)
    yield Fault(family, "truncated gzip", encoded("gzip", lambda b: gzip.compress(b)[:-20]),
                lb.ResponseError)  # fmt: skip
    yield Fault(family, "gzip header, plain body", encoded("gzip", bytes), lost)
    yield Fault(family, "not HTTP", lambda _: [b"220 mail.invalid ESMTP\r\n", End.CLOSE],
                lost)  # fmt: skip

    family = "unusual but valid responses"
    yield Fault(family, "gzip", encoded("gzip", gzip.compress))
    yield Fault(family, "deflate", encoded("deflate", zlib.compress))
    yield Fault(family, "chunked", lambda b: _whole_chunks(b))
    yield Fault(family, "one byte at a time", lambda b: _one_by_one(response(b)))
    yield Fault(family, "no length", lambda b: [response_head(), b, End.CLOSE])
    yield Fault(family, "unreadable Content-Length", with_length("unknown"))
    yield Fault(family, "Connection: close", lambda b: [response(b, 200, "Connection: close"),
                                                          End.CLOSE])  # fmt: skip
    yield Fault(family, "closed without notice", lambda b: [response(b), End.CLOSE])
    yield Fault(family, "100 first", lambda b: [response_head(100), response(b)])
    yield Fault(family, "103 first", lambda b: [response_head(103, "Link: </x>"), response(b)])
    yield Fault(
        family, "102 twice first", lambda b: [response_head(102), response_head(102), response(b)]
    )
    yield Fault(
        family, "many headers", lambda b: [response(b, 200, *["X-Long: " + "x" * 999] * 40)]
    )
    yield Fault(family, "HTTP/1.0", lambda b: [response(b).replace(b"1.1", b"1.0", 1), End.CLOSE])
    yield Fault(
        family,
        "another charset",
        lambda b: [response(b).replace(b"/json", b"/json; charset=latin-1", 1)],
    )
    yield Fault(
        family, "no Content-Type", lambda b: [response(b).replace(b"Content-Type", b"X-Type", 1)]
    )
    yield Fault(
        family, "white space around the body", lambda b: [response(b" \r\n\t" + b + b"\n \n")]
    )


def _whole_chunks(body: bytes) -> Iterator[Step]:
    yield response_head(200, "Transfer-Encoding: chunked")
    yield from chunks(body)
    yield b"0\r\n\r\n"


def _one_by_one(answer: bytes) -> Iterator[Step]:
    for byte in answer:
        yield bytes([byte])


def _json() -> Iterator[Fault]:
    family = "unexpected JSON"

    def fault(name: str, corrupt: Callable[[bytes], bytes], *, transient: bool) -> Fault:
        return Fault(
            family,
            name,
            lambda body: [response(corrupt(body))],
            lb.ResponseError,
            transient=transient,
        )

    for name, text in {
        "not JSON": b"It works!",
        "a login page": b"<!DOCTYPE html><title>Log in</title>",
        "deeply nested": b"[" * 100_000,
        "bad UTF-8": b'{"items": [{"id": "\xff\xfe"}]}',
        "two documents": b'{"items": []}{"items": []}',
    }.items():
        yield fault(name, lambda _, t=text: t, transient=True)  # type: ignore[misc]
    for name, text in {
        "a list": b"[]",
        "a text": b'"items"',
        "a number": b"12",
        "null": b"null",
        "another object": b'{"data": []}',
    }.items():
        yield fault(name, lambda _, t=text: t, transient=False)  # type: ignore[misc]
    for name, corrupt in {
        "a null id": lambda item: {**item, "id": None},
        "no id": lambda item: {key: value for key, value in item.items() if key != "id"},
        "number instead of an id": lambda item: {**item, "id": 5},
        "text instead of an object": lambda item: "bat-1",
        "null instead of an object": lambda item: None,
    }.items():
        yield fault(name, _in_last_item(corrupt), transient=False)


def _values() -> Iterator[Fault]:
    family = "unknown values and fields"  # or of another type: they are missing, with a warning

    def fault(name: str, **fields: Any) -> Fault:
        corrupt = _in_last_item(lambda item: {**item, **fields})
        return Fault(family, name, lambda body: [response(corrupt(body))])

    yield fault("number instead of text", project_id=5, error_message=5)
    yield fault("object instead of text", project_id={"is": "prj-1"}, error_message={})
    yield fault("text instead of a time", created_at="yesterday")
    yield fault("number instead of a time", created_at=1_700_000_000)
    yield fault("unknown field", tomorrow={"is": ["another", 1, None]})
    yield fault("deeply nested unknown field", tomorrow=json.loads("[" * 50 + "]" * 50))
    for name, text in {
        "20 kB": "x" * 20_000,
        "many scripts": "Ωμέγα 日本語 עברית العربية ไทย हिन्दी 👩‍👩‍👧 \U000e0001",
        "control characters": "".join(map(chr, range(32))) + "\x7f\u2028\u202e\ufeff",
        "HTML": "<img src=x onerror=alert(1)></script><!--",
        "a spreadsheet formula": "=cmd|' /C calc'!A0",
    }.items():
        yield fault(f"message with {name}", error_message=text)
    for text in (
        "2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00.123456+00:00",
        "2026-01-05T14:00:00+02:00",
        "2026-01-05T12:00:00",
    ):
        yield fault(f"the time {text}", updated_at=text)


def _in_last_item(corrupt: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Corrupt the last item of a list response, the job of another, else the whole object."""

    def corrupted(body: bytes) -> bytes:
        answer = json.loads(body)
        if "job" in answer:
            return json.dumps(answer | {"job": corrupt(answer["job"])}).encode()
        if "items" not in answer:
            return json.dumps(corrupt(answer)).encode()
        *others, last = answer["items"]
        return json.dumps({**answer, "items": [*others, corrupt(last)]}).encode()

    return corrupted


FAULTS = [*_statuses(), *_connections(), *_bodies(), *_json(), *_values()]
