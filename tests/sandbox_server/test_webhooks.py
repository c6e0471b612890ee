"""Test the deliveries of webhooks to an endpoint on this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox_server.app import webhooks
from tests.servers import Request, Response, Server

from .conftest import Start

SECRET = "whsec-1"
TIMEOUT = 20.0  # seconds


@pytest.fixture
def endpoint() -> Iterator[Server]:
    with Server(lambda _: Response(status=204, raw=b"")) as server:
        yield server


def create(api: LlamaCloud, names: tuple[str, ...] = ("a.txt",), **webhook: Any) -> Any:
    """Create a batch over new files with one webhook."""
    directory = api.beta.directories.create(name="Webhooks")
    for name in names:
        api.beta.directories.files.upload(directory.id, upload_file=(name, b"text"))
    return api.batches.create(
        source_directory_id=directory.id,
        config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        webhook_configurations=[webhook],  # type: ignore[list-item]
    )


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.02)


def event_types(server: Server) -> Counter[str]:
    return Counter(header(request, "X-Webhook-Event-Type") for request in list(server.requests))


def header(request: Request, name: str) -> str:
    return {key.lower(): value for key, value in request.headers.items()}.get(name.lower(), "")


def test_all_events_of_a_batch_are_delivered(start: Start, endpoint: Server) -> None:
    server, api = start(failed_pages=0)
    batch = create(api, ("a.txt", "corrupt.pdf"), webhook_url=endpoint.url)
    wait_for(lambda: event_types(endpoint)["batch.pending"])
    server.advance(60)
    wait_for(lambda: sum(event_types(endpoint).values()) >= 9)
    assert event_types(endpoint) == {
        "batch.pending": 1,
        "batch.running": 1,
        "batch.success": 1,
        "parse.pending": 2,
        "parse.running": 2,
        "parse.success": 1,
        "parse.error": 1,
    }
    results = api.batches.get(batch.id, expand=["results"]).results or []
    expected = {each.job_reference.id for each in results if each.job_reference} | {batch.id}
    bodies = [json.loads(json.loads(request.body)["data"]) for request in endpoint.requests]
    assert {body["id"] for body in bodies} == expected


def test_body_is_signed_and_custom_headers_are_sent(start: Start, endpoint: Server) -> None:
    _, api = start()
    batch = create(
        api,
        webhook_url=f"{endpoint.url}/hook?team=x",
        webhook_events=["batch.pending"],
        webhook_headers={"Authorization": "Bearer mine"},
        webhook_output_format="json",
        webhook_signing_secret=SECRET,
    )
    wait_for(lambda: endpoint.requests)
    (request,) = endpoint.requests
    digest = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
    assert header(request, "LC-Signature") == f"sha256={digest}"
    assert header(request, "Authorization") == "Bearer mine"
    assert header(request, "Content-Type") == "application/json"
    assert (request.method, request.path, request.query) == ("POST", "/hook", {"team": ["x"]})
    assert request.json["data"] == {"id": batch.id, "batch_id": batch.id}
    assert request.json["event_type"] == "batch.pending"
    assert request.json["timestamp"] == batch.created_at.timestamp()
    assert header(request, "X-Webhook-Event-ID") == request.json["event_id"]


def test_only_subscribed_events_are_delivered(start: Start, endpoint: Server) -> None:
    server, api = start()
    create(api, webhook_url=endpoint.url, webhook_events=["batch.success", "extract.success"])
    server.advance(60)
    wait_for(lambda: endpoint.requests)
    assert event_types(endpoint) == {"batch.success": 1}
    assert not header(endpoint.requests[0], "LC-Signature")


def test_job_with_failed_pages_is_a_partial_success(start: Start, endpoint: Server) -> None:
    server, api = start(failed_pages=1)
    names = tuple(f"{n}.pdf" for n in range(6))
    create(api, names, webhook_url=endpoint.url, webhook_events=["parse.partial_success"])
    server.advance(60)
    wait_for(lambda: endpoint.requests)
    job_id = json.loads(endpoint.requests[0].json["data"])["job_id"]
    pages = api.parsing.get(job_id, expand=["markdown"]).markdown
    assert pages
    assert any(not page.success for page in pages.pages)


def test_cancelled_batch_and_jobs_have_cancelled_events(start: Start, endpoint: Server) -> None:
    server, api = start()
    batch = create(
        api,
        tuple(f"{n}.txt" for n in range(9)),
        webhook_url=endpoint.url,
        webhook_events=["batch.cancelled", "parse.cancelled", "batch.success"],
    )
    server.advance(3)
    api.batches.cancel(batch.id)
    server.advance(60)
    wait_for(lambda: event_types(endpoint)["batch.cancelled"])
    assert not event_types(endpoint)["batch.success"]


def test_refused_delivery_is_repeated(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "RETRY_DELAY", 0.01)
    responses = iter([Response(status=503), Response(drop=True), Response(status=200)])
    with Server(lambda _: next(responses)) as endpoint:
        _, api = start()
        create(api, webhook_url=endpoint.url, webhook_events=["batch.pending"])
        wait_for(lambda: len(endpoint.requests) == 3)
    assert len({request.body for request in endpoint.requests}) == 1


@pytest.mark.parametrize(
    "webhook",
    [
        {"webhook_url": "ftp://127.0.0.1/"},
        {"webhook_url": "http://"},
        {"webhook_url": "http://127.0.0.1:x/"},
        {"webhook_url": "http://127.0.0.1/", "webhook_events": ["batch.done"]},
        {"webhook_url": "http://127.0.0.1/", "webhook_events": []},
        {"webhook_url": "http://127.0.0.1/", "webhook_output_format": "xml"},
        {"webhook_url": "http://127.0.0.1/", "webhook_headers": {"a\nb": "c"}},
        {"webhook_url": "http://127.0.0.1/", "webhook_headers": {"a": "b\r\nc"}},
        {"url": "http://127.0.0.1/"},
    ],
    ids=str,
)
def test_invalid_webhook_gets_422(start: Start, webhook: dict[str, Any]) -> None:
    _, api = start()
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="webhook_configurations"):
        create(api, **webhook)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/hook", True),
        ("http://localhost/", True),
        ("http://[::1]:80/", True),
        ("https://127.0.0.1/", False),
        ("http://10.0.0.1/", False),
        ("http://127.0.0.1@example.com/", False),
        ("https://example.com/127.0.0.1", False),
    ],
)
def test_only_loopback_endpoints_get_events(url: str, *, expected: bool) -> None:
    assert webhooks.Webhook(url, None, {}, "json", None).is_loopback == expected
