from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import llama_cloud
import pytest

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.process import Server

    from .conftest import Start


def request_statuses(server: Server, count: int) -> list[object]:
    """Send requests and return their statuses, `None` for a dropped connection."""
    seen: list[object] = []
    headers = {"Authorization": f"Bearer {server.api_key}"}
    with httpx.Client(headers=headers) as client:
        for _ in range(count):
            try:
                seen.append(client.get(f"{server.url}/api/v2/batches?page_size=1").status_code)
            except httpx.TransportError:
                seen.append(None)
    return seen


def test_throttled_request_gets_429_with_retry_after(start: Start) -> None:
    _, api = start(throttle_rate=1, retry_after=2.5)
    with pytest.raises(llama_cloud.RateLimitError) as caught:
        api.batches.list()
    assert caught.value.response.headers["Retry-After"] == "2.5"
    assert caught.value.response.json() == {"detail": "Rate limit exceeded"}


def test_rate_limit_rejects_further_requests_with_429(start: Start) -> None:
    server, api = start(rate_limit=3)
    assert request_statuses(server, 5) == [200, 200, 200, 429, 429]
    with pytest.raises(llama_cloud.RateLimitError) as caught:
        api.batches.list()
    assert 50 <= int(caught.value.response.headers["Retry-After"]) <= 60


def test_error_rate_gives_500_502_and_503(start: Start) -> None:
    server, _ = start(error_rate=1)
    assert set(request_statuses(server, 30)) == {500, 502, 503}


def test_502_is_sent_after_the_request_was_processed(start: Start) -> None:
    _, api = start()
    directory = api.beta.directories.list(name="Insurance claims").items[0]
    server, _ = start(error_rate=0.7)
    with httpx.Client(headers={"Authorization": f"Bearer {server.api_key}"}) as client:
        body = {
            "source_directory_id": directory.id,
            "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        }
        url = f"{server.url}/api/v2/batches"
        seen = [client.post(url, json=body).status_code for _ in range(40)]
        while (response := client.get(url)).status_code != 200:
            pass
    counts = Counter(seen)
    assert counts[502]
    assert response.json()["total_size"] == 24 + counts[200] + counts[502]


def test_dropped_connection_closes_without_a_response(start: Start) -> None:
    server, api = start(drop_rate=1)
    assert request_statuses(server, 6) == [None] * 6
    with pytest.raises(llama_cloud.APIConnectionError):
        api.batches.list()


def test_rates_are_shares_of_requests(start: Start) -> None:
    server, _ = start(drop_rate=0.2, error_rate=0.2, throttle_rate=0.2)
    counts = Counter(request_statuses(server, 150))
    for part in (counts[None], counts[429], counts[500] + counts[502] + counts[503]):
        assert 12 <= part <= 50
    assert counts[200] >= 35


def test_same_seed_gives_the_same_faults(start: Start) -> None:
    runs = [request_statuses(start(error_rate=0.5, seed=seed)[0], 20) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_clock_endpoints_have_no_faults(start: Start) -> None:
    server, _ = start(drop_rate=0.5, error_rate=0.5, rate_limit=1, latency=5)

    def now() -> datetime:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        clock = httpx.get(f"{server.url}/sandbox/clock", headers=headers).json()
        return datetime.fromisoformat(clock["now"])

    began, before = time.monotonic(), now()
    for _ in range(5):
        server.advance(3600)
    assert timedelta(hours=5) <= now() - before < timedelta(hours=5, minutes=10)
    assert time.monotonic() - began < 5  # without the latency


def test_latency_delays_every_response(start: Start) -> None:
    _, api = start(latency=0.15)
    began = time.monotonic()
    api.batches.list()
    with pytest.raises(llama_cloud.NotFoundError):
        api.batches.get("bat-none")
    assert 0.3 <= time.monotonic() - began < 2


def test_latency_of_concurrent_requests_overlaps(start: Start) -> None:
    server, _ = start(latency=0.3)

    async def send_concurrently() -> None:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(headers=headers) as client:
            await asyncio.gather(*(client.get(f"{server.url}/api/v2/batches") for _ in range(10)))

    began = time.monotonic()
    asyncio.run(send_concurrently())
    assert time.monotonic() - began < 1.5


def test_all_requests_succeed_without_faults(start: Start) -> None:
    server, _ = start()
    assert request_statuses(server, 20) == [200] * 20
