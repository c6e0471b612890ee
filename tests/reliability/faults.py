"""What a server, a proxy or a network may do to an answer, and what then has to come of it."""

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
from tests.reliability.wire import End, Step, chunks, head, whole

HANG = 600.0  # seconds: for good
HTML = b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>"


@dataclass(frozen=True)
class Fault:
    """One way in which an answer is not as it should be."""

    family: str
    name: str
    spoil: Callable[[bytes], Iterable[Step]]
    """Given the body of the right answer, what goes over the wire."""
    error: type[lb.BatchesError] | None = None
    """What is raised if it stays; nothing if it is only an unusual form."""
    passes: bool = True
    """Whether it is tried again, so that nobody sees what happens once."""
    timeout: float = 10.0
    """Seconds that the client is told to wait."""
    acts: bool = True
    """Whether the server does what it was asked before it answers so."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def _statuses() -> Iterator[Fault]:
    def refusal(status: int, *lines: str, body: bytes = b'{"detail": "Oops"}') -> Any:
        return lambda _: [whole(body, status, *lines)]

    family = "5xx, 408"
    for status in (408, 500, 503, 504, 520, 524):
        yield Fault(family, f"{status}", refusal(status), lb.ServerError)
    yield Fault(family, "502 with HTML", refusal(502, body=HTML), lb.ServerError)
    yield Fault(family, "503 in no time", refusal(503, "Retry-After: 0"), lb.ServerError)
    in_a_second = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    family = "429"
    for name, line in {
        "with seconds": "Retry-After: 1",
        "with a date": f"Retry-After: {in_a_second}",
        "without": "X-Nothing: 1",
        "with nonsense": "Retry-After: soon",
    }.items():
        yield Fault(family, name, refusal(429, line), lb.RateLimitError, acts=False)
    in_10_minutes = refusal(429, "Retry-After: 600")
    yield Fault(family, "of 10 minutes", in_10_minutes, lb.RateLimitError, passes=False, acts=False)
    family = "redirects"
    for status, name, place in (
        (301, "another host", "http://another-host.invalid/api/v2/batches"),
        (302, "another port", "http://127.0.0.1:9/"),
        (303, "nowhere", ""),
        (307, "itself", "/api/v2/batches"),
        (308, "a host without a scheme", "//another-host.invalid/"),
    ):
        answer = refusal(status, f"Location: {place}")
        yield Fault(
            family, f"{status} to {name}", answer, lb.ResponseError, passes=False, acts=False
        )


def _connections() -> Iterator[Fault]:
    family = "connections cut"
    length = "Content-Length: 100000"
    for end in End:
        how = end.name.lower()
        for name, steps in {
            "before the head": [end],
            "in the head": [head(200, length)[:20], end],
            "in a header": [head(200, length)[:-6], end],
            "after the head": [head(200, length), end],
            "in the body": [head(200, length), b'{"items": [', end],
        }.items():
            is_unseen = name == "in the head" and end is End.CLOSE  # it looks like one that is over
            error = lb.ResponseError if is_unseen else lb.ConnectionFailedError
            yield Fault(family, f"{how} {name}", lambda _, s=steps: s, error)  # type: ignore[misc]
    family = "hangs"
    for name, first in {
        "before the head": [],
        "in the head": [b"HTTP/1.1 200 O"],
        "in the body": [head(200, length), b'{"items": ['],
        "between chunks": [head(200, "Transfer-Encoding: chunked"), b'5\r\n{"ite\r\n'],
    }.items():
        steps = [*first, HANG, End.CLOSE]
        yield Fault(family, name, lambda _, s=steps: s, lb.ConnectionFailedError, timeout=0.3)  # type: ignore[misc]


def _bodies() -> Iterator[Fault]:
    family = "bodies cut short, lengths that lie"

    def says(length: object) -> Callable[[bytes], list[Step]]:
        return lambda body: [head(200, f"Content-Length: {length}"), body, End.CLOSE]

    def chunked(*last: bytes) -> Callable[[bytes], Iterator[Step]]:
        def spoil(body: bytes) -> Iterator[Step]:
            yield head(200, "Transfer-Encoding: chunked")
            yield from list(chunks(body))[:-1]
            yield from last
            yield End.CLOSE

        return spoil

    def encoded(encoding: str, encode: Callable[[bytes], bytes]) -> Callable[[bytes], list[Step]]:
        return lambda body: [whole(encode(body), 200, f"Content-Encoding: {encoding}")]

    lost = lb.ConnectionFailedError
    half = "half of the body"
    yield Fault(family, half, lambda b: [whole(b)[: -len(b) // 2], End.CLOSE], lost)
    yield Fault(family, f"{half}, no length", lambda b: [head(), b[: len(b) // 2], End.CLOSE],
                lb.ResponseError)  # fmt: skip
    yield Fault(family, "too long a length", lambda b: says(len(b) + 7)(b), lost)
    yield Fault(family, "too short a length", lambda b: says(len(b) - 7)(b), lb.ResponseError)
    yield Fault(family, "two lengths", says("5\r\nContent-Length: 6"), lost)
    yield Fault(family, "nothing at all", lambda _: [whole(b"")], lb.ResponseError)
    yield Fault(family, "204", lambda _: [head(204)], lb.ResponseError)
    yield Fault(family, "chunks that stop", chunked(), lost)
    yield Fault(family, "a chunk of no size", chunked(b"zz\r\n{}\r\n0\r\n\r\n"), lost)
    yield Fault(family, "a chunk of less", chunked(b"ff\r\n{}\r\n"), lost)
    yield Fault(family, "half of a gzip", encoded("gzip", lambda b: gzip.compress(b)[:-20]),
                lb.ResponseError)  # fmt: skip
    yield Fault(family, "no gzip at all", encoded("gzip", bytes), lost)
    yield Fault(family, "what is not HTTP", lambda _: [b"220 mail.invalid ESMTP\r\n", End.CLOSE],
                lost)  # fmt: skip

    family = "unusual forms"
    yield Fault(family, "gzip", encoded("gzip", gzip.compress))
    yield Fault(family, "deflate", encoded("deflate", zlib.compress))
    yield Fault(family, "chunked", lambda b: _whole_chunks(b))
    yield Fault(family, "one byte at a time", lambda b: _one_by_one(whole(b)))
    yield Fault(family, "no length", lambda b: [head(), b, End.CLOSE])
    yield Fault(family, "a garbled length", says("as it comes"))
    yield Fault(family, "kept open no longer", lambda b: [whole(b, 200, "Connection: close"),
                                                          End.CLOSE])  # fmt: skip
    yield Fault(family, "closed unsaid", lambda b: [whole(b), End.CLOSE])
    yield Fault(family, "100 first", lambda b: [head(100), whole(b)])
    yield Fault(family, "103 first", lambda b: [head(103, "Link: </x>"), whole(b)])
    yield Fault(family, "102 twice first", lambda b: [head(102), head(102), whole(b)])
    yield Fault(family, "many headers", lambda b: [whole(b, 200, *["X-Long: " + "x" * 999] * 40)])
    yield Fault(family, "HTTP/1.0", lambda b: [whole(b).replace(b"1.1", b"1.0", 1), End.CLOSE])
    yield Fault(family, "another charset",
                lambda b: [whole(b).replace(b"/json", b"/json; charset=latin-1", 1)])  # fmt: skip
    yield Fault(family, "no type", lambda b: [whole(b).replace(b"Content-Type", b"X-Type", 1)])
    yield Fault(family, "spaces around", lambda b: [whole(b" \r\n\t" + b + b"\n \n")])


def _whole_chunks(body: bytes) -> Iterator[Step]:
    yield head(200, "Transfer-Encoding: chunked")
    yield from chunks(body)
    yield b"0\r\n\r\n"


def _one_by_one(answer: bytes) -> Iterator[Step]:
    for byte in answer:
        yield bytes([byte])


def _json() -> Iterator[Fault]:
    family = "JSON that was not promised"

    def fault(name: str, spoil: Callable[[bytes], bytes], *, passes: bool) -> Fault:
        return Fault(
            family, name, lambda body: [whole(spoil(body))], lb.ResponseError, passes=passes
        )

    for name, text in {
        "no JSON": b"It works!",
        "a login page": b"<!DOCTYPE html><title>Log in</title>",
        "deep": b"[" * 100_000,
        "bad UTF-8": b'{"items": [{"id": "\xff\xfe"}]}',
        "two documents": b'{"items": []}{"items": []}',
    }.items():
        yield fault(name, lambda _, t=text: t, passes=True)  # type: ignore[misc]
    for name, text in {
        "a list": b"[]",
        "a text": b'"items"',
        "a number": b"12",
        "null": b"null",
        "another object": b'{"data": []}',
    }.items():
        yield fault(name, lambda _, t=text: t, passes=False)  # type: ignore[misc]
    for name, spoil in {
        "a null id": lambda one: {**one, "id": None},
        "no id": lambda one: {key: value for key, value in one.items() if key != "id"},
        "a number for an id": lambda one: {**one, "id": 5},
        "no object": lambda one: "bat-1",
        "null for an object": lambda one: None,
        "a number for text": lambda one: {**one, "status": 5},
        "an object for text": lambda one: {**one, "status": {"is": "COMPLETED"}},
        "words for a time": lambda one: {**one, "created_at": "yesterday"},
        "a number for a time": lambda one: {**one, "created_at": 1_700_000_000},
    }.items():
        yield fault(name, _of_the_last(spoil), passes=False)


def _words() -> Iterator[Fault]:
    family = "words and fields nobody knows"

    def fault(name: str, **fields: Any) -> Fault:
        spoil = _of_the_last(lambda one: {**one, **fields})
        return Fault(family, name, lambda body: [whole(spoil(body))])

    yield fault("a field", tomorrow={"is": ["another", 1, None]})
    yield fault("a deep field", tomorrow=json.loads("[" * 50 + "]" * 50))
    for name, text in {
        "20 kB": "x" * 20_000,
        "scripts of all the world": "Ωμέγα 日本語 עברית العربية ไทย हिन्दी 👩‍👩‍👧 \U000e0001",
        "control characters": "".join(map(chr, range(32))) + "\x7f\u2028\u202e\ufeff",
        "HTML": "<img src=x onerror=alert(1)></script><!--",
        "a formula": "=cmd|' /C calc'!A0",
    }.items():
        yield fault(f"{name} for a message", error_message=text)
    for text in (
        "2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00.123456+00:00",
        "2026-01-05T14:00:00+02:00",
        "2026-01-05T12:00:00",
    ):
        yield fault(f"the time {text}", updated_at=text)


def _of_the_last(spoil: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Spoil what an answer is about: the last of its items, or the thing itself."""

    def spoiled(body: bytes) -> bytes:
        answer = json.loads(body)
        if "items" not in answer:
            return json.dumps(spoil(answer)).encode()
        *others, last = answer["items"]
        return json.dumps({**answer, "items": [*others, spoil(last)]}).encode()

    return spoiled


FAULTS = [*_statuses(), *_connections(), *_bodies(), *_json(), *_words()]
