"""Connect: the source of each setting, invalid settings, and secrecy of the key."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

import llama_batches_nb as lb
from llama_batches_nb.http import client as client_module
from llama_batches_nb.http.client import get_client
from llama_batches_nb.http.transport import Transport
from tests.conftest import Serve
from tests.servers import Request, Response, batch, page

KEY = "llx-secret-1234"


def test_missing_key_error_names_the_variable_and_the_sandbox() -> None:
    with pytest.raises(lb.AuthenticationError, match=r"LLAMA_CLOUD_API_KEY.*lb\.sandbox\(\)"):
        lb.fetch_batches()


def test_arguments_override_variables_and_variables_override_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_PARSE_API_KEY", "llx-parse")
    monkeypatch.setenv("LLAMA_CLOUD_PROJECT_ID", "prj-environment")
    client = lb.connect(organization_id="org-argument")
    assert client.settings.sources == {
        "api_key": "LLAMA_PARSE_API_KEY",
        "base_url": "default",
        "project_id": "LLAMA_CLOUD_PROJECT_ID",
        "organization_id": "argument",
        "max_workers": "default",
        "timeout": "default",
        "max_retries": "default",
        "headers": "default",
    }
    assert client.base_url == "https://api.cloud.llamaindex.ai"
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "llx-cloud")
    assert lb.connect().settings.sources["api_key"] == "LLAMA_CLOUD_API_KEY"
    assert lb.connect(KEY).settings.sources["api_key"] == "argument"


def test_first_call_connects_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    assert get_client() is get_client()


def test_blank_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "  ")
    with pytest.raises(lb.AuthenticationError):
        lb.connect()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": 2.5}, TypeError),
        ({"max_workers": True}, TypeError),
        ({"max_retries": -1}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "60"}, TypeError),
        ({"timeout": 1e10}, ValueError),
        ({"base_url": "api.cloud.llamaindex.ai"}, ValueError),
        ({"base_url": "https://"}, ValueError),
        ({"base_url": "https://host:port"}, ValueError),
        ({"base_url": "https://me:word@host"}, ValueError),
        ({"base_url": "https://host/?a=b"}, ValueError),
        ({"base_url": "http://api.cloud.llamaindex.ai"}, ValueError),
        ({"base_url": "http://10.0.0.1"}, ValueError),
        ({"base_url": "http://localhost.example.com"}, ValueError),
        ({"project_id": 5}, TypeError),
        ({"headers": "Usage-Tags: team:x"}, TypeError),
        ({"headers": {"Usage-Tags": 5}}, TypeError),
        ({"headers": {5: "team:x"}}, TypeError),
        ({"headers": {"Usage Tags": "team:x"}}, ValueError),
        ({"headers": {"": "team:x"}}, ValueError),
        ({"headers": {"Usage-Tags": "team:x\r\nHost: other"}}, ValueError),
        ({"headers": {"authorization": "Bearer llx-other"}}, ValueError),
        ({"headers": {"Content-Length": "0"}}, ValueError),
    ],
)
def test_invalid_setting_raises(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        lb.connect(KEY, **settings)


# --- headers ------------------------------------------------------------------------------------

HEADERS = "LLAMA_CLOUD_CUSTOM_HEADERS"


def test_headers_of_argument_and_environment_are_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HEADERS, "Usage-Tags: team:env\r\nX-Trace: a:b \nno colon\n\n")
    server = serve(lambda request: page([]), headers={"usage-tags": "team:argument"})
    lb.fetch_batches()
    sent = server.requests[0].headers
    assert sent["usage-tags"] == "team:argument"
    assert sent["x-trace"] == "a:b"
    assert sent["authorization"] == "Bearer llx-secret"


def test_repr_shows_names_of_headers_and_never_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(HEADERS, "X-Trace: a-value")
    client = lb.connect(KEY, headers={"Usage-Tags": "team:argument"})
    shown = f"headers={{'X-Trace': ***, 'Usage-Tags': ***}},  # {HEADERS} and argument"
    assert shown in repr(client)
    for text in (repr(client), repr(client.settings), repr(vars(client._transport._session))):
        assert "a-value" not in text
        assert "team:argument" not in text


@pytest.mark.parametrize("name", ["Authorization", "host"])
def test_header_of_the_environment_cannot_replace_the_clients_own(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(HEADERS, f"{name}: a-value")
    with pytest.raises(ValueError, match=rf"{HEADERS}: the header '{name}'") as caught:
        lb.connect(KEY)
    assert "a-value" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_header_echoed_by_the_server_is_in_no_message(serve: Serve, status: int) -> None:
    echo = lambda request: Response(  # noqa: E731
        raw=f"no {request.headers['usage-tags']}".encode(), status=status, reason="team:x"
    )
    serve(echo, headers={"Usage-Tags": "team:x"}, max_retries=0)
    with pytest.raises(lb.BatchesError) as caught:
        lb.fetch_batches()
    assert "team:x" not in str(caught.value)


def test_header_value_that_occurs_in_data_is_kept_there(serve: Serve) -> None:
    serve(lambda request: page([{"id": "dir-1", "name": "invoices"}]), headers={"Tag": "invoices"})
    assert lb.fetch_directories().name.tolist() == ["invoices"]


def test_headers_go_to_no_other_origin() -> None:
    auth = lb.connect(KEY, headers={"Usage-Tags": "team:x"}).settings.key
    request = requests.Request("GET", "https://elsewhere.example/", auth=auth).prepare()
    assert not {"usage-tags", "authorization"} & {name.lower() for name in request.headers}


# --- origins and keys ---------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_unencrypted_http_is_allowed_for_loopback(url: str) -> None:
    assert lb.connect(KEY, base_url=f"{url}/").base_url == url


@pytest.mark.parametrize("key", ["llx secret", "llx-ä", "llx-\n1"])
def test_malformed_key_is_rejected_without_showing_it(key: str) -> None:
    with pytest.raises(lb.AuthenticationError) as caught:
        lb.connect(key)
    assert key not in str(caught.value)


def test_repr_shows_sources_but_not_the_key() -> None:
    shown = repr(lb.connect(KEY, max_workers=4))
    assert "api_key=***,  # argument" in shown
    assert "project_id=None,  # default" in shown
    assert "max_workers=4,  # argument" in shown
    assert "timeout=60,  # default" in shown
    assert KEY not in shown


def test_client_never_shows_or_pickles_the_key() -> None:
    client = lb.connect(KEY)
    assert KEY not in repr(vars(client)) + repr(client.settings) + str(client)
    assert KEY not in repr(vars(client._transport)) + repr(vars(client._transport._session))
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"lb\.connect\(\)"):
            way(client)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client.settings)


def test_client_argument_of_another_type_raises() -> None:
    given: Any = KEY
    for call in (lb.fetch_batches, lb.filter_panel, lb.create_panel, lb.dashboard):
        with pytest.raises(TypeError, match=r"Client from lb\.connect\(\), not str\.") as caught:
            call(client=given)
        assert KEY not in str(caught.value)


def test_requests_carry_the_clients_project_unless_overridden(serve: Serve) -> None:
    server = serve(lambda request: page([]))
    with lb.connect(KEY, base_url=server.url, project_id="prj-a", organization_id="org-a"):
        lb.fetch_batches()
        lb.fetch_batches(project_id="prj-b")
    projects = [
        (request.param("project_id"), request.param("organization_id"))
        for request in server.requests
    ]
    assert projects == [("prj-a", "org-a"), ("prj-b", "org-a")]


def test_client_argument_overrides_the_default_client(serve: Serve) -> None:
    first, second = serve(lambda request: page([])), serve(lambda request: page([]))
    client = lb.connect(KEY, base_url=first.url)
    lb.connect(KEY, base_url=second.url)
    lb.fetch_batches(client=client)
    assert (len(first.requests), len(second.requests)) == (1, 0)


def test_requests_carry_the_key_and_the_user_agent(serve: Serve) -> None:
    server = serve(lambda request: page([]))
    lb.fetch_batches()
    assert server.requests[0].headers["authorization"] == "Bearer llx-secret"
    assert server.requests[0].headers["user-agent"].startswith("llama_batches_nb/")


def test_requests_to_loopback_bypass_the_proxy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Request) -> Any:
        raise AssertionError("the proxy received a request")

    proxy = serve(refuse)
    monkeypatch.setenv("http_proxy", proxy.url)
    server = serve(lambda request: page([]))
    assert lb.fetch_batches().empty
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def _fork(fn: Callable[[], object]) -> int:
    """Run `fn` in a forked process, which exits with 0 if `fn` returns within ten seconds."""
    if (process := os.fork()) == 0:
        status = 1
        try:
            signal.alarm(10)
            fn()
            status = 0
        finally:
            os._exit(status)
    return process


def _fetch_all(names: list[str]) -> None:
    assert [lb.get_batch(name).batch_id.item() for name in names] == names


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_opens_its_own_connections(serve: Serve) -> None:
    serve(lambda request: batch(request.path.rsplit("/", 1)[1]))
    _fetch_all(["bat-1"])
    child = _fork(lambda: _fetch_all([f"bat-child-{n}" for n in range(100)]))
    try:
        _fetch_all([f"bat-parent-{n}" for n in range(100)])
    finally:
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_does_not_wait_for_requests_of_its_parent(serve: Serve) -> None:
    received, release = threading.Event(), threading.Event()

    def script(request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        if name == "bat-slow":
            received.set()
            release.wait(20)
        return batch(name)

    serve(script, max_workers=1)
    thread = threading.Thread(target=_fetch_all, args=(["bat-slow"],))
    thread.start()
    assert received.wait(10)
    child = _fork(lambda: _fetch_all(["bat-1"]))
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        release.set()
        thread.join()


def test_threads_share_one_client_and_one_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def slow(settings: Any) -> object:
        made.append(settings)
        time.sleep(0.05)
        return Transport(settings)

    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
    monkeypatch.setattr(client_module, "Transport", slow)
    start = threading.Barrier(12)

    def ask(_: int) -> tuple[int, int]:
        start.wait(10)
        client = get_client()
        return id(client), id(client._transport)

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(ask, range(12)))) == len(made) == 1


# --- check ----------------------------------------------------------------------------------------

PROJECTS = [
    {"id": "prj-1", "name": "Invoices\nx", "is_default": True},
    {"id": "prj-2", "name": "Contracts", "is_default": False},
]


def test_check_says_whose_project_the_key_is(serve: Serve) -> None:
    server = serve(lambda request: page(PROJECTS))
    client = lb.connect(KEY, base_url=server.url, check=True)
    assert r"project='Invoices\nx',  # checked, prj-1" in repr(client)
    assert client.project == PROJECTS[0]
    client = lb.connect(KEY, base_url=server.url, project_id="prj-2", check=True)
    assert "project='Contracts',  # checked, prj-2" in repr(client)
    assert [request.path for request in server.requests] == ["/api/v2/projects"] * 2
    with pytest.raises(lb.NotFoundError, match=r"no project 'prj-3', but .*Contracts \(prj-2\)"):
        lb.connect(KEY, base_url=server.url, project_id="prj-3", check=True)
    assert get_client() is client


@pytest.mark.parametrize("project_id", [None, "prj-1"])
def test_check_rejects_projects_that_are_no_objects(serve: Serve, project_id: str | None) -> None:
    server = serve(lambda request: page(["prj-1", None]))
    with pytest.raises(lb.ResponseError, match="a project that is not a JSON object: 'prj-1'"):
        lb.connect(KEY, base_url=server.url, project_id=project_id, check=True)


def test_check_of_key_without_projects_names_none(serve: Serve) -> None:
    server = serve(lambda request: page([]))
    with pytest.raises(lb.NotFoundError, match=r"has no project 'prj-1'\. Check project_id"):
        lb.connect(KEY, base_url=server.url, project_id="prj-1", check=True)


def test_check_raises_for_rejected_key_and_keeps_the_default_client(serve: Serve) -> None:
    server = serve(lambda request: Response({"detail": "Invalid API key"}, 401))
    before = get_client()
    with pytest.raises(lb.AuthenticationError):
        lb.connect(KEY, base_url=server.url, check=True)
    assert get_client() is before
    assert lb.connect(KEY, base_url=server.url).project is None


def test_misspelled_function_has_a_suggestion() -> None:
    with pytest.raises(AttributeError, match=r"'fetch_result'\. Did you mean 'fetch_results'"):
        lb.fetch_result  # type: ignore[attr-defined]  # noqa: B018 - the access raises
    assert not hasattr(lb, "zzz")


def test_suggestion_for_misspelled_function_is_shown_once() -> None:
    with pytest.raises(AttributeError) as caught:
        lb.fetch_result  # type: ignore[attr-defined]  # noqa: B018 - the access raises
    shown = "".join(traceback.format_exception_only(caught.value))
    assert shown.count("fetch_results") == 1
