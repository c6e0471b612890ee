"""Test access checks and the limits of request bodies."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud
from starlette.routing import Route

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.app import auth, strict_requests
from llama_batches_nb.sandbox_server.app.presigned_urls import PREFIX
from llama_batches_nb.sandbox_server.app.routes import create_app, files
from llama_batches_nb.sandbox_server.process import Server
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
from tests import servers as scripted
from tests.browser import chromium
from tests.servers import Request, Response

from .conftest import Start, connect, stopped_clock_options, total

DIRECTORIES = "/api/v1/beta/directories"
JSON = b"Content-Type: application/json"
FORM = b"Content-Type: multipart/form-data; boundary=XX"


def key(server: Server) -> bytes:
    """Return the header line with the API key."""
    return f"Authorization: Bearer {server.api_key}".encode()


def open_connection(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def read_response(connection: socket.socket, method: str = "GET") -> tuple[int, bytes]:
    """Return the status and the body of a response."""
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return response.status, response.read()


def send_head(server: Server, first: bytes, *lines: bytes) -> tuple[int, bytes]:
    """Send the given lines as a request without a body."""
    with open_connection(server) as connection:
        connection.sendall(b"\r\n".join([first, *lines, b"Connection: close", b"", b""]))
        return read_response(connection, first.split()[0].decode())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a sandbox for tests that do not change it."""
    with Server.start(stopped_clock_options(batches=5, files=3), thread=True) as server:
        yield server


def iter_routes(routes: Iterable[Any] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the methods and paths of the application."""
    if routes is None:
        routes = create_app(SandboxState(stopped_clock_options(batches=1))).routes
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in route.methods or ())
        else:  # newer FastAPI versions nest included routers
            yield from iter_routes(getattr(route, "original_router").routes)  # noqa: B009


ROUTES = [
    (method, path.translate({ord("{"): None, ord("}"): None})) for method, path in iter_routes()
]


def test_wrong_api_key_gets_401(start: Start) -> None:
    server, _ = start(api_key="llx-mine")
    for key in ("llx-sandbox", "llx-min", "llx-minee"):
        with (
            LlamaCloud(api_key=key, base_url=server.url, max_retries=0) as client,
            pytest.raises(llama_cloud.AuthenticationError) as caught,
        ):
            client.batches.list()
        assert caught.value.response.json() == {"detail": "Invalid API key"}


def test_routes_are_complete_and_unique() -> None:
    assert {path for _, path in ROUTES} >= {"/openapi.json", "/api/v2/batches", "/sandbox/clock"}
    assert len(ROUTES) == len(set(ROUTES)) >= 20


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "llx-sandbox", "twice"])
def test_every_path_gets_401_without_the_api_key(server: Server, authorization: str | None) -> None:
    lines = [] if authorization is None else [f"Authorization: {authorization}".encode()]
    if authorization == "twice":
        lines = [b"Authorization: Bearer x", key(server)]
    paths = [*ROUTES, ("GET", "/nowhere"), ("OPTIONS", "/api/v2/batches")]
    for method, path in paths:
        if path.startswith(PREFIX):  # a presigned URL
            continue
        status, body = send_head(
            server, f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", *lines
        )
        assert status == 401
        assert body == (b"" if method == "HEAD" else b'{"detail":"Invalid API key"}')


@pytest.mark.parametrize(("verdict", "status"), [(True, 200), (False, 401)])
def test_api_keys_are_compared_in_constant_time(
    server: Server, monkeypatch: pytest.MonkeyPatch, verdict: bool, status: int
) -> None:
    calls = []

    def compare(a: bytes, b: bytes) -> bool:
        calls.append((a, b))
        return verdict

    monkeypatch.setattr("hmac.compare_digest", compare)
    for line in (key(server), b"Authorization: Bearer x"):
        assert (
            send_head(server, b"GET /sandbox/clock HTTP/1.1", b"Host: localhost", line)[0] == status
        )
    assert calls == [(b"Bearer llx-sandbox",) * 2, (b"Bearer x", b"Bearer llx-sandbox")]


LOOPBACK = ["127.0.0.1", "127.0.0.1:80", "localhost", "localhost:8765", "LocalHost", "localhost:"]
FOREIGN = [
    "evil.example",
    "evil.example:8765",
    "EVIL.EXAMPLE",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "localhost.",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "127.0.0.01",
    "127.0.0.2",
    "0.0.0.0",
    "[::1]",
    "[::1]:8765",
    "::1",
    "[::ffff:127.0.0.1]",
    "127.0.0.1@evil.example",
    "user@127.0.0.1",
    "127.0.0.1:evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1,evil.example",
    "127.0.0.1 evil.example",
    "http://127.0.0.1",
    "127.0.0.1/",
    "",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_host_is_accepted(server: Server, host: str) -> None:
    response = send_head(
        server, b"GET /api/v2/batches HTTP/1.1", f"Host: {host}".encode(), key(server)
    )
    assert response[0] == 200


def assert_all_paths_get_400(
    server: Server, *lines: bytes, version: str = "1.1", before: str = ""
) -> None:
    """Assert that requests to all paths get 400, although they send the API key."""
    for method, path in [*ROUTES, ("GET", "/nowhere"), ("OPTIONS", "/api/v2/batches")]:
        first = f"{method} {before}{path} HTTP/{version}".encode()
        status, body = send_head(server, first, *lines, key(server))
        assert status == 400
        assert body in (b"", b"Invalid HTTP request received.") or b"not the sandbox" in body


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_host_gets_400_on_every_path(server: Server, host: str) -> None:
    assert_all_paths_get_400(server, f"Host: {host}".encode())
    assert_all_paths_get_400(
        server, f"Host: {host}".encode(), b"X-Forwarded-Host: 127.0.0.1", version="1.0"
    )


def test_missing_or_repeated_host_header_gets_400(server: Server) -> None:
    for version in ("1.0", "1.1"):
        assert_all_paths_get_400(server, version=version)
        assert_all_paths_get_400(server, b"Host: 127.0.0.1", b"Host: evil.example", version=version)
        assert_all_paths_get_400(server, b"Host: 127.0.0.1", b"Host: 127.0.0.1", version=version)


def test_absolute_request_target_gets_400(server: Server) -> None:
    for origin in ("http://evil.example", "http://127.0.0.1", "evil.example:80"):
        assert_all_paths_get_400(server, b"Host: 127.0.0.1", before=origin)
    assert send_head(server, b"OPTIONS * HTTP/1.1", b"Host: localhost", key(server))[0] == 400


def test_forwarded_headers_are_ignored(server: Server) -> None:
    with open_connection(server) as connection:
        connection.sendall(
            b"GET /api/v2/batches/ HTTP/1.1\r\nHost: localhost\r\n"
            b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n"
            b"Forwarded: host=evil.example\r\n" + key(server) + b"\r\n\r\n"
        )
        with HTTPResponse(connection) as response:
            response.begin()
            assert response.headers["Location"] == "http://localhost/api/v2/batches"


def test_cors_requests_get_no_permission(server: Server) -> None:
    """A browser sends a preflight request before it sends the key, and gets no CORS headers."""
    preflight = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
        "Access-Control-Request-Private-Network": "true",
    }
    authorization = {"Authorization": f"Bearer {server.api_key}"}
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for method, path in ROUTES:
            before = client.options(path, headers=preflight)
            after = client.request(method, path, headers=preflight | authorization)
            assert before.status_code == (405 if path.startswith(PREFIX) else 401)
            for response in (before, after):
                assert not [name for name in response.headers if name.startswith("access-control")]


def test_server_listens_on_loopback_only(start: Start) -> None:
    server, _ = start()
    port = int(server.url.rpartition(":")[2])
    with socket.socket() as probe:  # another loopback address represents all other addresses
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_clock_is_not_in_the_openapi_document(start: Start) -> None:
    server, _ = start()
    headers = {"Authorization": f"Bearer {server.api_key}"}
    paths = httpx.get(f"{server.url}/openapi.json", headers=headers).json()["paths"]
    assert "/api/v2/batches/{batch_id}/cancel" in paths
    assert not any(path.startswith("/sandbox") for path in paths)


def test_clock_only_moves_forward(start: Start) -> None:
    server, api = start()
    server.advance(90)
    read = api.get("/sandbox/clock", cast_to=object)
    assert read == {"now": "2026-08-01T12:01:30Z", "speed": 0}
    for bad in (-1, float("inf"), float("nan"), 1e12):
        with pytest.raises(ValueError, match="advance"):
            server.advance(bad)


def test_unknown_path_gets_404_with_detail(start: Start) -> None:
    _, api = start()
    with pytest.raises(llama_cloud.NotFoundError) as caught:
        api.get("/api/v2/nothing", cast_to=object)
    assert caught.value.body == {"detail": "Not Found"}


def test_two_servers_are_independent(start: Start) -> None:
    one, first = start(seed=1)
    two, second = start(seed=2)
    assert one.url != two.url
    assert first.batches.list().items[0].id != second.batches.list().items[0].id


def test_close_is_quick_with_open_connections_and_idempotent(start: Start) -> None:
    server, client = start(latency=0)
    client.batches.list()
    began = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - began < 1.5
    with pytest.raises(llama_cloud.APIConnectionError):
        client.batches.list()


def test_port_in_use_raises_with_the_port(start: Start) -> None:
    server, _ = start()
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=str(port)):
        start(port=port)


def test_repr_does_not_contain_api_key(start: Start) -> None:
    server, _ = start(api_key="llx-secret")
    assert "llx-secret" not in repr(server)
    with connect(server) as client:
        assert client.batches.list().items
    assert isinstance(server, Server)


# --- web pages ---------------------------------------------------------------------

PAGE = """<script>
const key = {Authorization: "Bearer llx-sandbox"}, results = {};
async function ask(name, url, options) {
  try {
    const answer = await fetch(url, options);
    results[name] = [answer.type, answer.status, await answer.text()];
  } catch (error) {
    results[name] = ["refused by the browser"];
  }
}
async function main() {
  do {  // until the name resolves to the sandbox
    await new Promise(done => setTimeout(done, 50));
    await ask("rebound", "/api/v2/batches", {headers: key});
  } while (results.rebound.length < 3);
  for (const host of ["127.0.0.1", "localhost"]) {
    const url = `http://${host}:${location.port}/api/v1/beta/directories`;
    await ask(`${host}`, url);
    await ask(`${host} with the key`, url, {headers: key});
    await ask(`${host} blindly`, url, {mode: "no-cors", method: "POST", body: '{"name": "New"}'});
  }
  await fetch("REPORT", {mode: "no-cors", method: "POST", body: JSON.stringify(results)});
}
main();
</script>"""


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_web_page_cannot_read_or_change_anything(tmp_path: Path) -> None:
    """Try another origin, and the own origin resolving to the sandbox (DNS rebinding)."""
    path = chromium.find() or chromium.do_without()
    served, reported = threading.Event(), threading.Event()

    def page(request: Request) -> Response:
        if request.path != "/":
            return Response(drop=True)
        served.set()
        content = PAGE.replace("REPORT", reports.url).encode()
        return Response(raw=content, headers={"Content-Type": "text/html"})

    def report(request: Request) -> Any:
        if request.method == "POST":
            reported.set()
        return {}

    with scripted.Server(report) as reports:
        with scripted.Server(page) as evil:
            port = urlsplit(evil.url).port
            rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
            profile = f"--user-data-dir={tmp_path}"
            where = f"http://evil.example:{port}/"
            browser = subprocess.Popen(
                [path, "--headless", *chromium.flags(), rules, profile, where],
                stderr=subprocess.DEVNULL,
            )
            assert served.wait(120)
        try:
            with Server.start(stopped_clock_options(batches=1, port=port), thread=True) as server:
                assert reported.wait(120)
                with connect(server) as api:
                    assert total(api.beta.directories.list()) == 8
        finally:
            browser.terminate()
            browser.wait()
    outcomes = next(request.json for request in reports.requests if request.method == "POST")
    assert outcomes.pop("rebound") == ["basic", 400, '{"detail":"This host is not the sandbox\'s"}']
    for host in ("127.0.0.1", "localhost"):
        assert (
            outcomes.pop(host) == outcomes.pop(f"{host} with the key") == ["refused by the browser"]
        )
        assert outcomes.pop(f"{host} blindly") == ["opaque", 0, ""]
    assert not outcomes


# --- body limits --------------------------------------------------------------------


def part(name: str, content: bytes = b"", filename: str | None = None) -> bytes:
    """Return a part of a multipart form."""
    file = "" if filename is None else f'; filename="{filename}"'
    disposition = f'Content-Disposition: form-data; name="{name}"{file}'
    return b"--XX\r\n" + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


FILE = part("upload_file", b"text", "a.txt")


@pytest.fixture
def upload(server: Server) -> Iterator[str]:
    """Return the upload path of a new directory."""
    with connect(server) as api:
        directory = api.beta.directories.create(name=f"Upload {time.monotonic_ns()}")
        yield f"{DIRECTORIES}/{directory.id}/files/upload"


def post(
    server: Server, path: str, kind: bytes, body: bytes, *, chunked: bool
) -> tuple[int, bytes]:
    """Send a body with its length or in chunks, and return status and body of the response."""
    length = f"Content-Length: {len(body)}".encode()
    if chunked:
        length = b"Transfer-Encoding: chunked"
        pieces = [body[n : n + 50_000] for n in range(0, len(body), 50_000)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in [*pieces, b""])
    first = f"POST {path} HTTP/1.1".encode()
    with open_connection(server) as connection:
        connection.sendall(
            b"\r\n".join([first, b"Host: localhost", key(server), kind, length, b"", body])
        )
        return read_response(connection)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (FORM, form(part("upload_file", b"x" * auth.MAX_UPLOAD_BYTES, "a")), b"53477376 bytes"),
        (
            FORM,
            form(part("upload_file", b"x" * (files.MAX_FILE_BYTES + 1), "a")),
            b"52428800 bytes",
        ),
        (FORM, form(*[FILE] * (strict_requests.MAX_PARTS + 1)), b"Too many files"),
        (FORM, form(FILE, *[part("x")] * (strict_requests.MAX_PARTS + 1)), b"Too many fields"),
        (FORM, form(FILE, part("display_name", b"x" * 2**21)), b"maximum size of 1024KB"),
        (b"Content-Type: application/x-www-form-urlencoded", b"a=" + b"x" * 2**20, b""),
    ],
    ids=["form", "file", "files", "fields", "field", "urlencoded"],
)
def test_body_over_a_limit_gets_413(
    server: Server, upload: str, kind: bytes, body: bytes, message: bytes, chunked: bool
) -> None:
    status, content = post(server, upload, kind, body, chunked=chunked)
    assert (status, message in content) == (413, True), content
    assert (
        httpx.get(
            server.url + upload.removesuffix("/upload"),
            headers={"Authorization": f"Bearer {server.api_key}"},
        ).json()["items"]
        == []
    )


def test_body_at_the_limits_is_accepted(server: Server, upload: str) -> None:
    largest = part("upload_file", b"x" * files.MAX_FILE_BYTES, "a.txt")
    fields = [part("display_name") for _ in range(strict_requests.MAX_PARTS)]
    assert post(server, upload, FORM, form(largest, *fields), chunked=True)[0] == 200


@pytest.mark.parametrize("field", ["display_name", "unique_id", "external_file_id", "filename"])
@pytest.mark.parametrize(
    ("charset", "half"), [(b"utf-7", b"+2AA-"), (b"unicode_escape", rb"\ud800")]
)
def test_name_with_lone_surrogate_is_rejected(
    server: Server, upload: str, field: str, charset: bytes, half: bytes
) -> None:
    kind = FORM + b"; charset=" + charset
    file = part("upload_file", b"text", half.decode() if field == "filename" else "a.txt")
    body = form(file, *[part(field, half)] * (field != "filename"))
    status, content = post(server, upload, kind, body, chunked=False)
    assert (status, b"surrogate" in content) == (400, True), content
    with connect(server) as api:
        directory = upload.split("/")[-3]
        assert total(api.beta.directories.files.list(directory)) == 0


ENDLESS = 320 * 2**20  # bytes that are sent at most
PIECE = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
OPEN_FILE = b'--XX\r\nContent-Disposition: form-data; name="upload_file"; filename="a"\r\n'


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


@pytest.fixture(scope="module")
def process() -> Iterator[Server]:
    """Return a sandbox in a separate process."""
    with Server.start(stopped_clock_options(batches=5, files=3)) as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("target", "lines", "begin"),
    [
        ("{directories}", [JSON, b"KEY"], b""),
        ("{directories}", [JSON], b""),
        ("{upload}", [FORM, b"KEY"], OPEN_FILE + b"\r\n"),
        ("{upload}", [FORM, b"KEY"], OPEN_FILE + b"X-A: "),
        ("{upload}", [FORM, b"KEY"], b""),
        ("{upload}", [FORM, b"KEY"], part("display_name")[:-2]),
        ("/nowhere", [b"KEY"], b""),
    ],
    ids=["json", "no key", "file", "head of a part", "preamble", "field", "nowhere"],
)
def test_endless_body_does_not_use_memory(
    process: Server, target: str, lines: list[bytes], begin: bytes
) -> None:
    with connect(process) as api:
        directory = api.beta.directories.list().items[0].id
    path = target.format(directories=DIRECTORIES, upload=f"{DIRECTORIES}/{directory}/files/upload")
    headers = [key(process) if line == b"KEY" else line for line in lines]
    head = [f"POST {path} HTTP/1.1".encode(), b"Host: localhost", b"Transfer-Encoding: chunked"]
    pid = process._running._process.pid  # type: ignore[attr-defined]
    before = peak_memory(pid)
    with open_connection(process) as connection:
        connection.sendall(b"\r\n".join([*head, *headers, b"", b""]))
        connection.sendall(b"%x\r\n%s\r\n" % (len(begin), begin) if begin else b"")
        with suppress(ConnectionError):  # the server may have closed the connection
            for _ in range(ENDLESS // 2**16):
                connection.sendall(PIECE)
        assert read_response(connection)[0] in (400, 401, 404, 413)
    assert peak_memory(pid) - before < 40


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nX-A: ", b""])
def test_endless_headers_are_rejected(server: Server, begin: bytes) -> None:
    with open_connection(server) as connection:
        connection.sendall(begin)
        sent = 0
        with suppress(ConnectionError):
            while sent < 8 * 2**20:
                sent += connection.send(b"x" * 2**16)
        with suppress(ConnectionError):
            assert read_response(connection)[0] == 400
    assert sent < 8 * 2**20


def test_client_error_names_file_that_is_too_large(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1000)
    for name, size in (("small.txt", 10), ("large.txt", 1001)):
        (tmp_path / name).write_bytes(b"x" * size)
    with (
        lb.connect(server.api_key, base_url=server.url) as client,
        pytest.raises(
            lb.InvalidRequestError, match=r"1 of 2 .*large\.txt.*413.*1000 bytes"
        ) as caught,
    ):
        lb.upload_files(tmp_path, client=client)
    assert caught.value.status_code == 413
    assert caught.value.partial is not None
    assert caught.value.partial.display_name.tolist() == ["small.txt"]


def test_uploaded_file_names_do_not_become_paths(
    server: Server, upload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large uploads are buffered on disk in unnamed temporary files."""
    for folder in ("here", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    names = [
        "plain.txt",
        "../victim.txt",
        "..\\..\\victim.txt",
        str(victim),
        "a/b/c.txt",
        ".",
        "..",
        "nul\x00.txt",
        "%2e%2e%2fvictim.txt",
        "~/x",
    ]
    for n, name in enumerate(names):
        body = form(part("upload_file", b"x" * 2**21, name), part("unique_id", str(n).encode()))
        assert post(server, upload, FORM, body, chunked=False)[0] == 200
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "temporary", "victim.txt"]
    assert victim.read_text() == "mine"
