from __future__ import annotations

import socket
import time

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox.server import Server

from .conftest import Start, connect


def test_another_key_is_401(start: Start) -> None:
    server, _ = start(api_key="llx-mine")
    for key in ("llx-sandbox", "llx-min", "llx-minee"):
        with (
            LlamaCloud(api_key=key, base_url=server.url, max_retries=0) as client,
            pytest.raises(llama_cloud.AuthenticationError) as caught,
        ):
            client.batches.list()
        assert caught.value.response.json() == {"detail": "Invalid API key"}


@pytest.mark.parametrize(
    "path", ["/api/v2/batches", "/openapi.json", "/sandbox/clock", "/sandbox/advance", "/nowhere"]
)
def test_nothing_is_told_without_the_key(start: Start, path: str) -> None:
    server, _ = start()
    assert httpx.get(server.url + path).status_code == 401


def test_a_foreign_host_is_refused(start: Start) -> None:
    server, _ = start()
    headers = {"Authorization": f"Bearer {server.api_key}", "Host": "evil.example:80"}
    assert httpx.get(f"{server.url}/api/v2/batches", headers=headers).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_names_of_this_machine_are_taken(start: Start, host: str) -> None:
    server, _ = start()
    port = server.url.rpartition(":")[2]
    headers = {"Authorization": f"Bearer {server.api_key}", "Host": f"{host}:{port}"}
    assert httpx.get(f"{server.url}/api/v2/batches", headers=headers).status_code == 200


def test_only_loopback_is_listened_on(start: Start) -> None:
    server, _ = start()
    port = int(server.url.rpartition(":")[2])
    with socket.socket() as probe:  # another loopback address stands for any other address
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_the_clock_is_not_in_the_schema(start: Start) -> None:
    server, _ = start()
    headers = {"Authorization": f"Bearer {server.api_key}"}
    paths = httpx.get(f"{server.url}/openapi.json", headers=headers).json()["paths"]
    assert "/api/v2/batches/{batch_id}/cancel" in paths
    assert not any(path.startswith("/sandbox") for path in paths)


def test_the_clock_can_be_read_and_only_set_forward(start: Start) -> None:
    server, api = start()
    server.advance(90)
    read = api.get("/sandbox/clock", cast_to=object)
    assert read == {"now": "2026-08-01T12:01:30Z", "speed": 0}
    for bad in (-1, float("inf"), float("nan"), 1e12):
        with pytest.raises(ValueError, match="advance"):
            server.advance(bad)


def test_an_unknown_path_is_404_with_a_detail(start: Start) -> None:
    _, api = start()
    with pytest.raises(llama_cloud.NotFoundError) as caught:
        api.get("/api/v2/nothing", cast_to=object)
    assert caught.value.body == {"detail": "Not Found"}


def test_two_servers_do_not_mix(start: Start) -> None:
    one, first = start(seed=1)
    two, second = start(seed=2)
    assert one.url != two.url
    assert first.batches.list().items[0].id != second.batches.list().items[0].id


def test_close_is_quick_with_connections_open_and_may_be_repeated(start: Start) -> None:
    server, client = start(latency=0)
    client.batches.list()
    began = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - began < 1.5
    with pytest.raises(llama_cloud.APIConnectionError):
        client.batches.list()


def test_a_taken_port_is_told(start: Start) -> None:
    server, _ = start()
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=str(port)):
        start(port=port)


def test_the_repr_has_no_key(start: Start) -> None:
    server, _ = start(api_key="llx-secret")
    assert "llx-secret" not in repr(server)
    with connect(server) as client:
        assert client.batches.list().items
    assert isinstance(server, Server)
