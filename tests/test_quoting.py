"""Ids, names and page tokens in requests: each stays one path segment or one parameter."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.tables.arguments import is_id
from tests.servers import batch, mapping, page
from tests.strategies import some

BATCHES, DIRECTORIES = "/api/v2/batches", "/api/v1/beta/directories"

WORST = [
    "..", ".", "", "../..", "a/b", "//example.com", "?a=b", "#", "%2f", "%2e%2e", "a\r\nX-Evil: 1",
    "\ud800", "\\",
]  # fmt: skip
HOSTILE = [
    *WORST, "../", "a/../b", "/", "http://example.com/x", "?", "a#b", "..%2f..", "%", "%25", "%zz",
    "a b", " ", " .. ", "+", "..\\..", "C:\\x", "a\x00b", "a\nb", "\tx", "\r\n\r\nGET / HTTP/1.1",
    "&page_size=1", "a;b", "a:b@c", "*", "~", "été", "日本語", "\u202egnp.exe", "😀", "\u2028",
    "\xad", "x" * 10_000, "'; --", "<img src=x>", "{0}", "$(id)", "..;", "\u2024\u2024", "\uff0e.",
]  # fmt: skip
HEADERS = {
    "Host", "User-Agent", "Accept", "Accept-Encoding", "Connection", "Authorization",
    "Content-Length", "Content-Type",
}  # fmt: skip


@dataclass(frozen=True)
class RawRequest:
    """A request as received, before decoding."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        """The quoted path."""
        return self.target.partition("?")[0]

    @property
    def segments(self) -> list[str]:
        """The decoded segments of the path."""
        return [unquote(segment, errors="strict") for segment in self.path.split("/")[1:]]

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True, strict_parsing=True)


Reply = Callable[[RawRequest], Any]  # the JSON of the response, or None for 404


class _Handler(socketserver.StreamRequestHandler):
    server: RawServer
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(ConnectionError):
            while line := self.rfile.readline(100_000):
                self._answer(line)

    def _answer(self, line: bytes) -> None:
        method, target, version = line.decode("ascii").split(" ")
        assert version == "HTTP/1.1\r\n"
        head = b""
        while not head.endswith(b"\r\n\r\n") and head != b"\r\n":
            head += self.rfile.readline()
        headers = BytesParser().parsebytes(head, headersonly=True)
        body = self.rfile.read(int(headers["Content-Length"] or 0))
        request = RawRequest(method, target, headers, body)
        self.server.requests.append(request)
        response = self.server.reply(request)
        status = "404 Not Found" if response is None else "200 OK"
        content = json.dumps(response or {"detail": "no such thing"}).encode()
        self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        self.wfile.write(content)


class RawServer(socketserver.ThreadingTCPServer):
    """Record every request unchanged, and respond with `reply`."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[RawRequest] = []
        self.reply: Reply = lambda requests: None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture(scope="module")
def raw() -> Iterator[RawServer]:
    with RawServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def requests_of(
    raw: RawServer, call: Callable[[], Any]
) -> tuple[list[RawRequest], Exception | None]:
    """Return the requests of a call, and the error that it raises, if any."""
    raw.requests.clear()
    error: Exception | None = None
    with lb.connect("llx-secret", base_url=raw.url, max_workers=2, max_retries=0):
        try:
            call()
        except (BatchesError, ValueError) as problem:
            error = problem
    for one in raw.requests:
        assert set(one.headers) <= HEADERS
    return list(raw.requests), error


def project(request: RawRequest) -> Any:
    """Respond as a project that has every requested object."""
    segments = request.segments
    if request.method == "POST" and segments[-1] in ("files", "upload"):
        return {"id": "dfl-2", "directory_id": segments[4], "display_name": "a.pdf"}
    if request.method == "POST" and segments[-1] == "directories":
        return {"id": "dir-2", "name": "x"}
    if request.method == "POST" and segments[-1] == "batches":
        return batch("bat-1")
    if segments[-1] == "files":
        named = {"display_name": "a.pdf", "file_id": "file-1"}
        return page([{"id": "dfl-1", "directory_id": segments[4], **named}])
    if len(segments) > 3 and segments[2] == "batches":
        return batch(segments[3], results=[mapping("dfl-1", None, "no")])
    return page([])


def failed(directory: str) -> pd.DataFrame:
    """Return the outcome of a failed file of this directory."""
    outcome = {
        "batch_id": "bat-0",
        "batch_created_at": pd.Timestamp("2026-08-01", tz="UTC"),
        "configuration_id": "cfg-1",
        "source_directory_id": directory,
        "source_directory_file_id": "dfl-1",
        "job_type": "parse_v2",
        "outcome": "job_failed",
    }
    return pd.DataFrame([outcome])


FILE = Path(__file__)
HISTORY = pd.DataFrame(columns=["batch_id", "configuration_id", "job_id", "credits"])

PATHS: dict[str, tuple[Callable[[str], Any], str]] = {
    "get_batch": (lb.get_batch, BATCHES + "/{}"),
    "fetch_results": (lb.fetch_results, BATCHES + "/{}"),
    "cancel_batch": (lb.cancel_batch, BATCHES + "/{}/cancel"),
    "wait_for_batches": (lb.wait_for_batches, BATCHES + "/{}"),
    "fetch_files": (lb.fetch_files, DIRECTORIES + "/{}/files"),
    "create_batch": (lambda one: lb.create_batch(one, "cfg-1"), DIRECTORIES + "/{}/files"),
    "estimate_batch": (
        lambda one: lb.estimate_batch(one, "cfg-1", history=HISTORY),
        DIRECTORIES + "/{}/files",
    ),
    "upload_files": (
        lambda one: lb.upload_files(FILE, source_directory_id=one),
        DIRECTORIES + "/{}/files/upload",
    ),
    "retry_failed": (lambda one: lb.retry_failed(failed(one)), DIRECTORIES + "/{}/files"),
}
"""The functions that put an id into a path, and the path of the last such request."""

FIXED = {
    BATCHES,
    DIRECTORIES,
    "/api/v1/beta/configurations",
    *(f"{DIRECTORIES}/dir-{n}/files" for n in (1, 2)),
}


def check_paths(requests: list[RawRequest], path: str, given_id: str) -> None:
    """Fail unless each request has a fixed path, or the id as one segment in its position."""
    wanted = path.format("\0").split("/")[1:]
    for one in requests:
        assert not {".", "..", ""} & set(one.segments), one.target
        there = [given_id if segment == "\0" else segment for segment in wanted]
        assert one.path in FIXED or one.segments == there[: len(one.segments)], one.target


@pytest.mark.parametrize("name", PATHS)
def test_id_is_one_path_segment_or_is_refused(raw: RawServer, name: str) -> None:
    call, path = PATHS[name]
    raw.reply = project
    for given_id in WORST if name == "retry_failed" else HOSTILE:
        requests, error = requests_of(raw, partial(call, given_id))
        if error is not None:
            assert isinstance(error, ValueError)
            assert {one.path for one in requests} <= (
                {DIRECTORIES} if name == "retry_failed" else set()
            )
        else:
            check_paths(requests, path, given_id)
            assert any(given_id in one.segments for one in requests)


@given(st.text(max_size=20))
@some
def test_any_text_is_one_path_segment_or_is_refused(raw: RawServer, text: str) -> None:
    raw.reply = project
    requests, error = requests_of(raw, lambda: lb.cancel_batch(text))
    if isinstance(error, ValueError):
        assert requests == []
    else:
        (one,) = requests
        assert one.target == f"{BATCHES}/{quote(text, safe='')}/cancel"


# --- ids returned by the server -----------------------------------------------------------------


def listing(listed: dict[str, str]) -> Reply:
    """Respond as a project whose lists contain these ids."""

    def reply(request: RawRequest) -> Any:
        if request.path == BATCHES and request.method == "GET":
            return page([batch(listed["batch"])] if "batch" in listed else [])
        if request.path == DIRECTORIES and request.method == "POST":
            return {"id": listed.get("directory", "dir-2"), "name": "x"}
        if request.path == DIRECTORIES:
            name = {"name": "retry 0123456789abcdef"}
            return page([{"id": listed["retried"], **name}] if "retried" in listed else [])
        return project(request)

    return reply


SERVED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "fetch_results": (
        "batch",
        lambda _: lb.fetch_results(status="COMPLETED"),
        BATCHES + "/{}",
    ),
    "sync_dataset": (
        "batch",
        lambda folder: lb.sync_dataset(folder / "kept", names=False),
        BATCHES + "/{}",
    ),
    "upload_files": (
        "directory",
        lambda _: lb.upload_files(FILE),
        DIRECTORIES + "/{}/files/upload",
    ),
    "retry into": (
        "directory",
        lambda _: lb.retry_failed(failed("dir-1")),
        DIRECTORIES + "/{}/files",
    ),
    "retried before": (
        "retried",
        lambda _: lb.retry_failed(failed("dir-1"), dry_run=True),
        DIRECTORIES + "/{}/files",
    ),
}
"""The functions that request an id that the server returned, its kind, and the path."""


@pytest.mark.parametrize("name", SERVED)
def test_id_from_server_is_one_path_segment_or_raises(
    raw: RawServer, name: str, tmp_path: Path
) -> None:
    what, call, path = SERVED[name]
    for n, given_id in enumerate(WORST):
        raw.reply = listing({what: given_id})
        requests, error = requests_of(raw, partial(call, tmp_path / str(n)))
        assert error is None or isinstance(error, BatchesError), given_id
        check_paths(requests, path, given_id)


# --- parameters and page tokens -----------------------------------------------------------------

RESULTS = pd.DataFrame({"job_id": ["x"], "job_type": ["parse_v2"]})

PARAMETERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a directory of batches": (
        "source_directory_id",
        lambda text: lb.fetch_batches(source_directory_id=text),
    ),
    "a project": ("project_id", lambda text: lb.fetch_directories(project_id=text)),
    "an organization": (
        "organization_id",
        lambda text: lb.get_batch("bat-1", organization_id=text),
    ),
    "a directory's name": ("name", lambda text: lb.fetch_directories(name=text)),
    "a configuration's name": ("name", lambda text: lb.fetch_configurations(name=text)),
    "a job": ("job_ids", lambda text: lb.fetch_jobs(RESULTS.assign(job_id=text))),
}


@pytest.mark.filterwarnings("ignore:The API returned 0 of 1 job;:UserWarning")
@pytest.mark.filterwarnings("ignore:1 job is left out because of an invalid id:UserWarning")
@pytest.mark.parametrize("name", PARAMETERS)
def test_query_parameter_stays_one_parameter_or_is_refused(raw: RawServer, name: str) -> None:
    parameter, call = PARAMETERS[name]
    raw.reply = project
    for text in HOSTILE:
        requests, error = requests_of(raw, partial(call, text))
        if error is not None:
            assert isinstance(error, ValueError)
            assert requests == []
        elif parameter == "job_ids" and not is_id(
            text
        ):  # without a job, or left out with a warning
            assert requests == []
        else:
            one, *checks = requests
            assert len(checks) <= 1  # that a directory without batches exists
            assert one.query.pop(parameter) == [text]
            assert one.query.keys() <= {"page_size"}


def test_page_token_stays_one_parameter_or_raises(raw: RawServer) -> None:
    for token in filter(None, HOSTILE):
        pages = iter([page([], token), page([])])
        raw.reply = lambda requests, pages=pages: next(pages)  # type: ignore[misc]
        requests, error = requests_of(raw, lb.fetch_batches)
        if error is not None:
            assert isinstance(error, lb.ResponseError)
            assert len(requests) == 1
        else:
            assert requests[1].query == {"page_size": ["1000"], "page_token": [token]}


# --- file names ---------------------------------------------------------------------------------

NAMES = [
    "a b.pdf", 'a".pdf', 'a"; filename="b.pdf', "a\r\nX-Evil: 1\r\n\r\nx", "a\n--x--", "%0d%0a",
    "été.pdf", "日本語.pdf", "\u202egnp.exe", "x" * 250, "<img src=x>", "C:\\x", "CON", "=cmd|x",
]  # fmt: skip


def test_uploaded_file_name_adds_no_header(raw: RawServer, tmp_path: Path) -> None:
    raw.reply = project
    for name in NAMES:
        file = tmp_path / name
        file.write_bytes(b"content")
        requests, _ = requests_of(raw, partial(lb.upload_files, file))
        head = f"Content-Type: {requests[-1].headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = message_from_bytes(head + requests[-1].body, policy=HTTP).get_payload()
        assert [part.keys() for part in parts] == [["Content-Disposition"]] * 2
        sent = {part.get_param("name", header="Content-Disposition"): part for part in parts}
        assert sent["display_name"].get_payload(decode=True).decode() == name
        assert sent["upload_file"].get_payload(decode=True) == b"content"
        file.unlink()
