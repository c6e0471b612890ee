"""The API key appears in no output, and is sent only to `base_url`."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gc
import http.client
import json
import logging
import os
import pickle
import secrets
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import pandas as pd
import pyarrow.parquet as pq
import pytest
import requests

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from llama_batches_nb.lifecycle import lost_response
from tests.servers import (
    Request,
    Response,
    Script,
    Server,
    batch,
    interrupt,
    mapping,
    page,
    responses_in_turn,
)

CORE = f"Pl4nt3d{secrets.token_hex(6)}"
KEY = f"llx-{CORE}"
FORMS = [
    CORE.encode(),
    CORE.encode().hex().encode(),
    *(base64.b64encode(CORE.encode()[start : start + 12]) for start in range(3)),
]
"""Forms of the key. In base64 text, one of three offsets of the key starts a group."""

SIGNED = f"Bearer {KEY}"
GOOD = page([batch("bat-1")])


def leaks(written: bytes | str) -> bool:
    """Return whether a text contains the key in any form."""
    content = written.encode() if isinstance(written, str) else written
    return any(form in content for form in FORMS)


def test_leak_detection_works() -> None:
    inside = [b"." * n + KEY.encode() + b"." for n in range(3)]
    assert all(leaks(base64.b64encode(content)) for content in inside)
    assert leaks(f"Authorization: {SIGNED}")
    assert leaks(KEY.encode().hex())
    assert not leaks("llx-another")


class Plant(Protocol):
    """Start a scripted server and connect to it from the environment."""

    def __call__(self, script: Script, **settings: Any) -> Server: ...


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Set the key in the environment, from which the client reads it."""
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    with ExitStack() as stack:

        def start(script: Script, **settings: Any) -> Server:
            server = stack.enter_context(Server(script))
            monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", server.url)
            stack.enter_context(lb.connect(**settings))
            return server

        yield start


# --- errors -------------------------------------------------------------------------------------


def _echo(status: int, **headers: str) -> Script:
    return lambda request: Response({"detail": f"I got {request.headers}"}, status, headers)


def _fields(request: Request) -> Any:
    key = request.headers["authorization"]
    return Response({"detail": [{"loc": ["query", key], "msg": key}, key]}, 422)


def _redirect(request: Request) -> Any:
    return Response(status=302, headers={"Location": f"https://127.0.0.1/?k={KEY}"})


def _reason(request: Request) -> Any:
    return Response(status=403, raw=b"<p>no</p>", reason=request.headers["authorization"])


def _all_escaped(request: Request) -> Any:
    text = "".join(f"\\u{ord(c):04x}" for c in request.headers["authorization"])
    return Response(
        raw=f'{{"detail": [{{"loc": ["{text}"], "msg": "{text}"}}]}}'.encode(), status=422
    )


def _lost_create(request: Request) -> Any:
    return Response(drop=True) if request.method == "POST" else page([])


def _create() -> None:
    lb.create_batch("dir-1", "cfg-1", check_directory=False, check_configuration=False)


def _interrupted(request: Request) -> Any:
    interrupt()
    return Response(drop=True)


ONE_JOB = pd.DataFrame({"job_id": ["pjb-1"], "job_type": "parse_v2"})
ONE_DIRECTORY = pd.DataFrame({"source_directory_id": ["dir-1"]})


def _one_job(request: Request) -> Any:
    return page([{"id": "pjb-1", "status": "COMPLETED"}])


def _save_output() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lb.save_outputs(ONE_JOB, folder)


def _sync_into_something_else() -> None:
    lb.sync_dataset(Path(__file__).parent)


ERRORS: dict[str, tuple[Script, Callable[[], object], type[BaseException]]] = {
    "refused": (_echo(401), lb.fetch_batches, lb.AuthenticationError),
    "reason": (_reason, lb.fetch_batches, lb.AuthenticationError),
    "escaped": (_all_escaped, lb.fetch_batches, lb.InvalidRequestError),
    "not there": (_echo(404), lambda: lb.get_batch("bat-1"), lb.NotFoundError),
    "fields": (_fields, lb.fetch_batches, lb.InvalidRequestError),
    "conflict": (_echo(409), lambda: lb.cancel_batch("bat-1"), lb.ConflictError),
    "limit": (_echo(429, **{"Retry-After": "600"}), lb.fetch_batches, lb.RateLimitError),
    "fault": (_echo(500), lb.fetch_batches, lb.ServerError),
    "in a worker": (_echo(500), lambda: lb.fetch_results(["a", "b"]), lb.ServerError),
    "dropped": (lambda a: Response(drop=True), lb.fetch_batches, lb.ConnectionFailedError),
    "cut": (lambda a: Response(GOOD, cut=9), lb.fetch_batches, lb.ConnectionFailedError),
    "redirect": (_redirect, lb.fetch_batches, lb.ResponseError),
    "no JSON": (
        lambda a: Response(raw=str(a.headers).encode()),
        lb.fetch_batches,
        lb.ResponseError,
    ),
    "no page": (lambda a: {"data": a.headers}, lb.fetch_batches, lb.ResponseError),
    "no row": (lambda a: page([{"x": a.headers}]), lb.fetch_batches, lb.ResponseError),
    "pages": (lambda a: page([], a.headers["authorization"]), lb.fetch_batches, lb.PaginationError),
    "wait": (
        lambda request: batch("bat-1", request.headers["authorization"]),
        lambda: lb.wait_for_batches("bat-1", timeout=0),
        lb.WaitTimeoutError,
    ),
    "create": (_lost_create, _create, lb.UnconfirmedCreateError),
    "dataset": (lambda request: GOOD, _sync_into_something_else, lb.DatasetError),
    "output": (_echo(403), lambda: lb.fetch_pages("pjb-1"), lb.AuthenticationError),
    "extraction": (_echo(422), lambda: lb.fetch_extractions("ejb-1"), lb.InvalidRequestError),
    "credits": (
        lambda request: _echo(500)(request) if request.query.get("expand") else _one_job(request),
        lambda: lb.fetch_jobs(ONE_JOB, usage=True),
        lb.ServerError,
    ),
    "names": (_echo(403), lambda: lb.add_names(ONE_DIRECTORY), lb.AuthenticationError),
    "wait for jobs": (
        lambda request: page([{"id": "pjb-1", "status": request.headers["authorization"]}]),
        lambda: lb.wait_for_jobs(ONE_JOB, timeout=0),
        lb.WaitTimeoutError,
    ),
    "saved output": (_echo(500), _save_output, lb.ServerError),
    "Ctrl-C": (_interrupted, lb.fetch_batches, KeyboardInterrupt),
}


def _family(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error with its causes and contexts, including suppressed ones."""
    if error is not None:
        yield error
        yield from _family(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from _family(error.__context__)


def _all_texts(error: BaseException) -> str:
    """Return all texts of an error: message, notes, attributes, pickle, traceback with locals."""
    texts = [pickle.dumps(error).decode("latin-1")]
    texts += [repr(vars(way(error))) for way in (copy.copy, copy.deepcopy)]
    for one in _family(error):
        texts += [str(one), repr(one), repr(vars(one)), repr(getattr(one, "__notes__", ()))]
        frames = traceback.TracebackException.from_exception(one, capture_locals=True)
        texts += frames.format()
    return "\n".join(texts)


def _check(error: BaseException) -> None:
    assert not leaks(_all_texts(error))
    assert not [one for one in _family(error) if _reachable_key(vars(one), one.args)]


@pytest.mark.parametrize("case", list(ERRORS))
def test_key_is_in_no_error(plant: Plant, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0,))
    script, call, kind = ERRORS[case]
    server = plant(script, max_retries=1)
    with pytest.raises(kind) as caught:
        call()
    assert kind is lb.DatasetError or server.requests[0].headers["authorization"] == SIGNED
    _check(caught.value)


@pytest.mark.parametrize("odd", ['"', "\\", "/", "%2f+=", "'"])
def test_key_with_json_escapes_is_in_no_error(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", f"{KEY}{odd}{CORE}")

    def script(request: Request) -> Any:
        text = f"I got {request.headers['authorization']}!"
        good = page([batch("bat-1", text, project_id=text)])
        body = good if request.query else {"detail": [{"loc": [text], "msg": text}]}
        written = json.dumps(body).replace("/", "\\/")
        return Response(raw=written.encode(), status=200 if request.query else 422)

    server = plant(script)
    with pytest.raises(lb.InvalidRequestError, match=r"I got Bearer \*\*\*!") as caught:
        lb.get_batch("bat-1")
    _check(caught.value)
    frame = lb.fetch_batches(limit=1)
    assert frame.status.tolist() == frame.project_id.tolist() == ["I got Bearer ***!"]
    assert odd in server.requests[0].headers["authorization"]


def test_key_is_in_no_connection_error(plant: Plant) -> None:
    plant(lambda request: GOOD, max_retries=1).close()
    with pytest.raises(lb.ConnectionFailedError) as refused:
        lb.fetch_batches()
    _check(refused.value)
    end = threading.Event()
    plant(lambda request: end.wait(10), max_retries=0, timeout=0.1)
    with pytest.raises(lb.ConnectionFailedError) as silent:
        lb.fetch_batches()
    end.set()
    _check(silent.value)


class Enough(Exception):  # noqa: N818
    """Raised by a signal handler of the user, for example for a timeout."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Enough, lb.ServerError, MemoryError])
def test_key_is_in_no_error_raised_while_sending(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    server = plant(lambda request: GOOD)

    def send(self: http.client.HTTPConnection, data: bytes) -> None:
        raise error("now")

    with monkeypatch.context() as patched:
        patched.setattr(http.client.HTTPConnection, "send", send)
        with pytest.raises(error, match="now") as caught:
            lb.fetch_batches()
    _check(caught.value)
    assert not server.requests
    assert len(lb.fetch_batches()) == 1


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "http://10.0.0.1"}, {"timeout": -1}, {"project_id": 5}],
    ids=lambda s: next(iter(s)),
)
@pytest.mark.parametrize("by", ["argument", "variable"])
def test_key_is_in_no_error_of_connect(
    monkeypatch: pytest.MonkeyPatch, by: str, settings: dict[str, Any]
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    with pytest.raises((TypeError, ValueError)) as caught:
        lb.connect(*[KEY] * (by == "argument"), **settings)
    _check(caught.value)


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_key_passed_as_url_is_in_no_error(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "variable":
        monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", KEY)
    with pytest.raises(ValueError, match=r"base_url \(.*\) is not a URL") as caught:
        lb.connect("https://127.0.0.1", base_url=KEY if by == "argument" else None)
    assert not leaks(str(caught.value))


def test_invalid_key_is_in_no_error() -> None:
    with pytest.raises(lb.AuthenticationError) as caught:
        lb.connect(f"{KEY} {KEY}")
    _check(caught.value)


# --- objects ------------------------------------------------------------------------------------

CODE = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    FrameType,
    TracebackType,
)
"""Types that are not followed: a closure of `BearerAuth` holds the key; frames lead anywhere."""


def _reachable_key(*starts: object) -> list[object]:
    """Return the texts with the key that are reachable from objects."""
    todo, seen, found = list(starts), set[int](), list[object]()
    kept = []  # so that no id is reused
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, CODE):
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, str | bytes | bytearray) and leaks(
            bytes(one) if not isinstance(one, str) else one
        ):
            found.append(one)
        todo += gc.get_referents(one)
    return found


def test_key_is_in_no_attribute_repr_of_client(plant: Plant) -> None:
    plant(responses_in_turn([GOOD, Response(status=500), Response(drop=True), batch("bat-1")]))
    client = lb.connect()
    assert len(lb.fetch_batches()) == 1
    assert len(lb.get_batch("bat-1")) == 1
    assert not _reachable_key(client)
    assert not _reachable_key(client._transport._session, client.settings.key)
    plain = dataclasses.asdict(client.settings)
    for shown in (repr(client), str(client), f"{client.settings}", repr(vars(client)), repr(plain)):
        assert not leaks(shown)
    assert not leaks(json.dumps(plain, default=str))


def test_key_is_in_no_copy_or_pickle_of_client(plant: Plant) -> None:
    plant(lambda request: GOOD)
    client = lb.connect()
    for whole in (client, client.settings, client.settings.key):
        with pytest.raises(TypeError):
            pickle.dumps(whole)
    for key in (copy.copy(client.settings.key), copy.deepcopy(client.settings.key)):
        assert not leaks(repr(key))
        assert not _reachable_key(key)
    assert not _reachable_key(copy.deepcopy(client.settings))


def test_key_is_in_no_frame(plant: Plant) -> None:
    def script(request: Request) -> Any:
        text = f"what about {request.headers['authorization']}?"
        one = batch("bat-1", config={"job": {"type": text}}, project_id=text)
        if request.path.endswith("bat-1"):
            return one | {"results": [mapping("dfl-1", None, text)]}
        return page([one | {"note": text}])

    plant(script)
    batches, results = lb.fetch_batches(), lb.fetch_results("bat-1")
    assert results.error_message.tolist() == ["what about Bearer ***?"]
    for frame in (batches, results):
        assert frame.attrs == {}
        assert not leaks(pickle.dumps(frame))
        assert not _reachable_key(frame)


def test_short_key_does_not_alter_responses(plant: Plant) -> None:
    plant(lambda request: page([batch("bat-1", "RUNNING")]))
    with lb.connect("a"):
        assert lb.fetch_batches().iloc[0, :2].tolist() == ["bat-1", "RUNNING"]


# --- written output -----------------------------------------------------------------------------


def test_key_is_in_no_log_at_any_level(
    plant: Plant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)  # it prints what is sent
    server = plant(
        responses_in_turn([Response(status=500), Response(drop=True), Response(status=429), GOOD])
    )
    lb.fetch_batches()
    assert len(server.requests) == 4
    assert "Starting new HTTP connection" in caplog.text
    assert "GET /api/v2/batches: 200" in caplog.text
    assert not leaks(caplog.text)
    assert not leaks("".join(capfd.readouterr()))
    requests.get(server.url, headers={"Authorization": SIGNED}, timeout=10)
    assert leaks(capfd.readouterr().out)


def test_key_is_in_no_warning(plant: Plant) -> None:
    plant(
        lambda request: (
            _fields(request) if request.path.endswith("bat-1") else page([], total_size=9)
        )
    )
    with pytest.warns(UserWarning, match="left out") as left_out:
        lb.fetch_results("bat-1", errors="warn")
    with pytest.warns(UserWarning, match="but received 0") as short:
        lb.fetch_batches()
    for warning in (*left_out, *short):
        assert not leaks(repr(vars(warning)))


def test_key_is_in_no_parquet_or_dataset_file(plant: Plant, tmp_path: Path) -> None:
    while_it_ran: dict[str, bytes] = {}

    def script(request: Request) -> Any:
        text = [mapping(f"dfl-{n}", None, f"{n}: {request.headers}") for n in range(20)]
        if request.path.endswith("bat-1"):
            while_it_ran.update(_content_of(tmp_path))
            return batch("bat-1", results=text)
        return page([batch("bat-1", results=None)])

    plant(script)
    lb.sync_dataset(tmp_path / "kept", names=False)
    lb.export_parquet(lb.fetch_results("bat-1"), tmp_path / "results.parquet")
    assert {"_sync.json"} <= {Path(name).name for name in while_it_ran}
    for name, content in [*while_it_ran.items(), *_content_of(tmp_path).items()]:
        assert not leaks(content), name
    tables = list(tmp_path.rglob("*.parquet"))
    assert len(tables) == 3
    for table in tables:
        texts = pq.read_table(table)
        assert not leaks(repr(texts.to_pylist()))
        assert not leaks(repr([texts.schema.metadata, pq.read_metadata(table).to_dict()]))


def _content_of(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- processes ----------------------------------------------------------------------------------

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc is Linux's")


def _processes(what: str) -> list[bytes]:
    """Return the `cmdline` or `environ` of each process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / what).read_bytes())
    return found


@ON_LINUX
def test_key_is_in_no_command_line_or_child_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    monkeypatch.setenv("LLAMA_PARSE_API_KEY", KEY)
    with lb.sandbox(batches=1, files=1):
        assert any(b"--batches=1" in process for process in _processes("cmdline"))
        assert not any(map(leaks, _processes("cmdline")))
        assert not any(map(leaks, _processes("environ")))
    with lb.sandbox(batches=1, files=1, api_key=KEY):
        assert len(lb.fetch_batches()) == 1
        assert not any(map(leaks, _processes("cmdline")))


@ON_LINUX
def test_key_is_not_in_sync_command_line(plant: Plant, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def script(request: Request) -> Any:
        seen.extend(_processes("cmdline"))
        return _echo(401)(request)

    plant(script)
    command = [sys.executable, "-m", "llama_batches_nb", "sync", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert b"I got" in done.stderr
    assert not leaks(done.stdout + done.stderr)
    assert any(b"llama_batches_nb\0sync" in process for process in seen)
    assert not any(map(leaks, seen))
    assert not any(map(leaks, _content_of(tmp_path).values()))


def test_sandbox_does_not_reveal_other_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    command = [sys.executable, "-m", "llama_batches_nb.sandbox_server", "--batches=1", "--files=1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        lb.connect(base_url=first.split()[2])
        with pytest.raises(lb.AuthenticationError):
            lb.fetch_batches()
        with pytest.raises(lb.AuthenticationError):
            lb.upload_files(__file__)
        text = "".join(process.communicate(timeout=30))
    assert "llx-sandbox" in first + text
    assert not leaks(first + text)


# --- destinations -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings of proxies and certificates from the environment."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or "CA_BUNDLE" in name or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["another port", "another name", "another scheme", "our own path"])
def test_no_redirect_is_followed(plant: Plant, status: int, to: str) -> None:
    another = plant(lambda request: GOOD)
    places: list[str] = []
    server = plant(lambda request: Response(status=status, headers={"Location": places[0]}))
    port = urlsplit(server.url).port
    places.append(
        {
            "another port": f"{another.url}/api/v2/batches",
            "another name": f"http://localhost:{port}/api/v2/batches",
            "another scheme": f"https://127.0.0.1:{port}/api/v2/batches",
            "our own path": "/api/v2/batches?again=1",
        }[to]
    )
    with pytest.raises(lb.ResponseError, match="check base_url"):
        lb.fetch_batches()
    with pytest.raises((lb.ResponseError, lb.UnconfirmedCreateError)):
        lb.upload_files(__file__)
    assert not another.requests
    assert not [request for request in server.requests if request.query.get("again")]


def test_key_is_sent_to_no_other_origin(plant: Plant) -> None:
    another, server = plant(lambda request: GOOD), plant(lambda request: GOOD)
    key = lb.connect().settings.key
    urls = [server.url, server.url.replace("127.0.0.1", "localhost"), another.url]
    for url in urls:
        requests.get(url, auth=key, timeout=10)
    signed = [
        request.headers.get("authorization") for request in (*server.requests, *another.requests)
    ]
    assert signed == [SIGNED, None, None]


def test_netrc_is_ignored(plant: Plant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (None, netrc):
        if place is not None:
            monkeypatch.setenv("NETRC", str(place))
        server = plant(lambda request: GOOD)
        requests.get(server.url, timeout=10)  # requests uses the file
        lb.fetch_batches()
        heeding, ours = (request.headers["authorization"] for request in server.requests)
        assert heeding.startswith("Basic ")
        assert ours == SIGNED


def test_no_cookie_is_kept(plant: Plant) -> None:
    cookie = {"Set-Cookie": f"session={KEY}; Path=/; Domain=127.0.0.1"}
    server = plant(
        responses_in_turn([Response(page([], "2"), headers=cookie), Response(GOOD, headers=cookie)])
    )
    lb.fetch_batches()
    lb.fetch_batches()
    another = plant(lambda request: GOOD)
    lb.fetch_batches()
    assert len(server.requests) == 3
    assert not [a for a in (*server.requests, *another.requests) if "cookie" in a.headers]


ELSEWHERE = ["{}/api", "//{0}", "@{0}/", "..//..//{0}", "\\\\{0}", "?x={}", "#{}"]


@pytest.mark.parametrize("form", ELSEWHERE)
def test_id_or_token_cannot_change_the_host(plant: Plant, form: str) -> None:
    another = plant(lambda request: GOOD)
    place = form.format(another.url if form.startswith("{}") else urlsplit(another.url).netloc)

    def script(request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        if name == "parse":
            return page([{"id": place}])
        if request.method == "POST":
            return batch("bat-1")
        return page([], None if request.param("page_token") else place)

    server = plant(script)
    results = pd.DataFrame({"job_id": [place], "job_type": ["parse_v2"]})
    calls: list[Callable[[], object]] = [
        lb.fetch_batches,
        lambda: lb.fetch_batches(project_id=place, source_directory_id=place),
        lambda: lb.get_batch(place),
        lambda: lb.fetch_files(place),
        lambda: lb.fetch_jobs(results),
        lambda: lb.create_batch(place, place, check_directory=False, check_configuration=False),
    ]
    for call in calls:
        with suppress(ValueError, lb.BatchesError):  # it may be refused or not found
            call()
    assert server.requests[1].param("page_token") == place
    assert not another.requests


NOT_LOOPBACK = [
    "http://127.0.0.1.evil.test",
    "http://localhost.",
    "http://localhost.evil.test",
    "http://[::ffff:10.0.0.1]",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.0.0.1",
    "http://0177.0.0.1",
    "http://127.1",
    "http://0.0.0.0",
    "http://10.0.0.1",
    "HTTP://10.0.0.1",
    "hTTp://EVIL.TEST",
    "http://[::1].evil.test",
    "http://[::1]evil.test:80",
    "http://127.0.0.1%2eevil.test",
    "http://127.0.0.1\\.evil.test",
    "http://127.0.0.1\n.evil.test",
    "http://127.0.0.1 .evil.test",
    "http://127.0.0.1;evil.test",
    "http://127.0.0.1。evil.test",
    "http://１２７.0.0.1",
    "http:127.0.0.1",
    "//127.0.0.1",
    "ftp://127.0.0.1",
    "file:///etc/hosts",
]


@pytest.mark.parametrize("url", NOT_LOOPBACK, ids=ascii)
def test_plain_http_beyond_loopback_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        lb.connect(KEY, base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:word@127.0.0.1",
        "https://me@127.0.0.1",
        "https://:word@127.0.0.1",
        "http://127.0.0.1:80@evil.test",
        "https://evil.test\\@127.0.0.1",
        "https://evil.test\\.127.0.0.1",
        "https://127.0.0.1?",
        "https://127.0.0.1#",
        "https://[::1",
        "https://a b",
        "https://exämple.test",
    ],
    ids=ascii,
)
def test_ambiguous_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        lb.connect(KEY, base_url=url)
    assert "word" not in str(caught.value).replace("password", "")


# --- TLS and proxies ----------------------------------------------------------------------------


class Relay(socketserver.ThreadingTCPServer):
    """Forward bytes to a server and record them.

    With a certificate it terminates TLS in front of that server. Without one it is a proxy that
    accepts or refuses `CONNECT` with `answer`, and connects to that server whatever the target.
    """

    daemon_threads = True

    def __init__(
        self, to: str, certificate: Path | None = None, answer: bytes = b"200 Fine"
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Relaying)
        self.to, self.answer, self.context = urlsplit(to), answer, None
        self.heads: list[bytes] = []
        self.seen = bytearray()
        self.port = self.server_address[1]
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.context is not None:
            connection = self.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that does not trust the certificate

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Relaying(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        if self.server.context is None:
            lines = iter(self.rfile.readline, b"\r\n")
            self.server.heads.append(b"".join(lines))
            self.wfile.write(b"HTTP/1.1 " + self.server.answer + b"\r\n\r\n")
            if not self.server.answer.startswith(b"200"):
                return
        address = self.server.to.hostname, self.server.to.port
        with socket.create_connection(address, 10) as other:
            back = threading.Thread(target=self._pass_back, args=(other,))
            back.start()
            while sent := self.rfile.read1():
                self.server.seen += sent
                other.sendall(sent)
            other.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_back(self, other: socket.socket) -> None:
        with suppress(OSError):
            while answered := other.recv(65536):
                self.wfile.write(answered)
            self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a self-signed certificate for 127.0.0.1 and api.test, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:api.test,IP:127.0.0.1"]
    out = ["-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run([*command.split(), *names, *out], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def behind_tls(plant: Plant, certificate: Path) -> Iterator[tuple[Server, Relay]]:
    """Start a server behind TLS."""

    def script(request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        return GOOD if name == "batches" else batch(name)

    server = plant(script)
    with Relay(server.url, certificate) as relay:
        yield server, relay


def test_untrusted_certificate_is_refused(
    behind_tls: tuple[Server, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, relay = behind_tls
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "")  # with this, some versions of requests verify nothing
    for name in ("PYTHONHTTPSVERIFY", "SSL_VERIFY", "GIT_SSL_NO_VERIFY"):
        monkeypatch.setenv(name, "1" if "NO" in name else "0")
    lb.connect(base_url=f"https://127.0.0.1:{relay.port}")
    with pytest.raises(lb.ConnectionFailedError, match=r"certificate.*REQUESTS_CA_BUNDLE") as why:
        lb.fetch_batches()
    assert not server.requests
    assert not relay.seen
    _check(why.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificate_trusted_by_environment_is_accepted(
    behind_tls: tuple[Server, Relay],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    server, relay = behind_tls
    monkeypatch.setenv(name, str(certificate))
    lb.connect(base_url=f"https://127.0.0.1:{relay.port}")
    assert len(lb.fetch_batches()) == 1
    assert server.requests[0].headers["authorization"] == SIGNED
    lb.connect(base_url=f"https://localhost:{relay.port}")  # not a name of the certificate
    with pytest.raises(lb.ConnectionFailedError, match="certificate"):
        lb.fetch_batches()
    assert len(server.requests) == 1


def test_missing_certificate_file_is_named(
    behind_tls: tuple[Server, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, relay = behind_tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    lb.connect(base_url=f"https://127.0.0.1:{relay.port}")
    with pytest.raises(lb.ConnectionFailedError, match=r"/nowhere\.pem"):
        lb.fetch_batches()
    assert not server.requests


def test_redirect_out_of_tls_is_not_followed(
    plant: Plant, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    plain = plant(lambda request: GOOD)
    server = plant(lambda request: Response(status=301, headers={"Location": plain.url}))
    with Relay(server.url, certificate) as relay:
        lb.connect(base_url=f"https://127.0.0.1:{relay.port}")
        with pytest.raises(lb.ResponseError, match=plain.url):
            lb.fetch_batches()
    assert len(server.requests) == 1
    assert not plain.requests


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy_sees_host_but_not_key(
    behind_tls: tuple[Server, Relay],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    server, relay = behind_tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with Relay(f"http://127.0.0.1:{relay.port}") as proxy:
        monkeypatch.setenv(name, f"http://me:word@127.0.0.1:{proxy.port}")
        with lb.connect(base_url="https://api.test"):
            assert len(lb.fetch_batches()) == 1
            with pytest.warns(UserWarning, match="without results"):
                assert lb.fetch_results(["bat-1", "bat-2"]).empty
    assert server.requests[0].headers["authorization"] == SIGNED
    assert proxy.heads
    for head in proxy.heads:
        assert head.startswith(b"CONNECT api.test:443 HTTP/1.")
        assert b"\r\nAuthorization:" not in head
        assert b"Proxy-Authorization: Basic" in head
        assert not leaks(head)
    assert proxy.seen
    assert not leaks(bytes(proxy.seen))


def test_proxy_refusal_is_reported(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plant(lambda request: GOOD)
    with Relay(server.url, answer=b"407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        lb.connect(base_url="https://api.test", max_retries=0)
        with pytest.raises(lb.ConnectionFailedError, match=r"407.*HTTPS_PROXY") as caught:
            lb.fetch_batches()
    assert not caught.value.request_sent
    assert len(proxy.heads) == 1
    _check(caught.value)


def test_lost_create_behind_proxy_is_not_sent_again(
    plant: Plant, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def script(request: Request) -> Any:
        if request.method == "GET":
            return page(made)
        made.append(batch(f"bat-{len(made)}", "PENDING", config=request.json["config"]))
        return Response(drop=True)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = plant(script)
    with Relay(server.url, certificate) as tls, Relay(f"http://127.0.0.1:{tls.port}") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with lb.connect(base_url="https://api.test"):
            created = lb.create_batch("dir-1", "cfg-1", check_directory=False)
    assert created.batch_id.tolist() == ["bat-0"]
    assert len(made) == 1


def test_no_proxy_setting_is_honoured(
    behind_tls: tuple[Server, Relay], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, relay = behind_tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with Relay(server.url) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for url in (server.url, f"https://127.0.0.1:{relay.port}"):
            lb.connect(base_url=url, max_retries=0, timeout=5)
            assert len(lb.fetch_batches()) == 1
        monkeypatch.setenv("NO_PROXY", "api.test")
        lb.connect(base_url="https://api.test", max_retries=0)
        with pytest.raises(lb.ConnectionFailedError):
            lb.fetch_batches()
    assert not proxy.heads
