"""Fixtures for the tests of the official SDK. `make conformance` copies this file beside them.

The tests make up ids such as "directory_id" and "bat-aaaaaaaa-…". The clients here replace them by
ids of the sandbox before a request is sent. An operation that the sandbox does not serve skips its
test. Responses are not touched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import httpx_aiohttp
import pytest
from llama_cloud import (
    AsyncLlamaCloud,
    DefaultAioHttpClient,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
    LlamaCloud,
)

URL, KEY = os.environ["SANDBOX_URL"], os.environ["SANDBOX_KEY"]
SKIP_REASON = "Mock server tests are disabled"
BATCHES, DIRECTORIES = "/api/v2/batches", "/api/v1/beta/directories"
CONFIGURATIONS, PARSE, EXTRACT = "/api/v1/beta/configurations", "/api/v2/parse", "/api/v2/extract"
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
PRESET = "cfg-PARSE_AGENTIC"
EXPANSIONS = {  # a valid value for the made-up one
    BATCHES: "results",
    DIRECTORIES: "download_url",
    PARSE: "usage",
    EXTRACT: "extract_metadata",
}
n_requests = 0  # of the current test
numbers = count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Remove the marks that skip all tests."""
    for item in items:
        item.own_markers[:] = [
            mark for mark in item.own_markers if mark.kwargs.get("reason") != SKIP_REASON
        ]


@pytest.fixture(autouse=True)
def count_requests(record_property: Any) -> Iterator[None]:
    """Record the number of requests of each test in the report."""
    global n_requests
    n_requests = 0
    yield
    record_property("requests", n_requests)


class Sandbox:
    """Look up real ids in the sandbox, and create what a test changes."""

    def __init__(self) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        self._http = httpx.Client(base_url=URL, headers=headers, timeout=60)
        self._templates = [
            (method.upper(), template, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)))
            for template, item in self._get("/openapi.json")["paths"].items()
            for method in item
        ]
        self._templates.sort(key=lambda each: "{" in each[1])  # /parse/versions is no job

    def template(self, request: httpx.Request) -> tuple[str, dict[str, str]]:
        """Return the path template of a request and its ids, or skip the test without one."""
        path = request.url.path
        for method, template, pattern in self._templates:
            if method == request.method and (found := pattern.fullmatch(path)):
                return template, found.groupdict()
        pytest.skip(f"not served: {request.method} {path}")

    def replace_ids(self, request: httpx.Request) -> httpx.Request:
        """Return a request with real ids."""
        global n_requests
        n_requests += 1
        template, ids = self.template(request)
        real = self._path_ids(request.method, template, ids)
        path = re.sub(r"\{(\w+)\}", lambda found: real[found[1]], template)
        query = self._query(request.method, template, path, list(request.url.params.multi_items()))
        url = request.url.copy_with(path=path, query=urlencode(query).encode())
        headers = request.headers.copy()
        if headers.get("Content-Type") != "application/json" or not request.content:
            return httpx.Request(
                request.method, url, headers=headers, stream=request.stream,
                extensions=request.extensions,
            )  # fmt: skip
        del headers["Content-Length"]
        body = self._body(json.loads(request.content))
        return httpx.Request(
            request.method, url, headers=headers, json=body, extensions=request.extensions
        )

    def _path_ids(self, method: str, template: str, ids: dict[str, str]) -> dict[str, str]:
        if "directory_id" in ids:
            directory, file = self._new_directory()
            return {"directory_id": directory, "directory_file_id": file["id"]}
        if "configuration_id" in ids:
            return {"configuration_id": self._new_configuration() if method != "GET" else PRESET}
        if "batch_id" in ids:
            is_cancelled = template.endswith("/cancel")
            return {"batch_id": self._new_batch() if is_cancelled else self._first(BATCHES)["id"]}
        if "job_id" in ids:
            status = "RUNNING" if template.endswith("/cancel") else "COMPLETED"
            jobs = PARSE if template.startswith(PARSE) else EXTRACT
            return {"job_id": self._first(jobs, status=status)["id"]}
        return ids

    def _query(
        self, method: str, template: str, path: str, query: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        project = {"project_id": self._first(BATCHES)["project_id"]} if query else {}
        expansion = next((EXPANSIONS[each] for each in EXPANSIONS if template.startswith(each)), "")
        made_up = {
            **project,
            "expand": expansion,
            "document_input_type": "file_id",
        }
        if method == "GET" and dict(query).get("page_token"):
            made_up["page_token"] = self._get(path, page_size=1)["next_page_token"] or ""
        return [(name, made_up.get(name, value)) for name, value in query]

    def _body(self, body: dict[str, Any]) -> dict[str, Any]:
        directory, file = self._new_directory()
        made_up = {
            "source_directory_id": directory,
            "target_directory_id": directory,
            "file_id": file["file_id"],
            "connector_subscription_id": f"csub-{next(numbers)}",
        }
        return body | {name: value for name, value in made_up.items() if name in body}

    def _new_directory(self) -> tuple[str, dict[str, Any]]:
        directory = self._post(DIRECTORIES, {"name": f"Conformance {next(numbers)}"})["id"]
        upload = f"{DIRECTORIES}/{directory}/files/upload"
        response = self._http.post(upload, files={"upload_file": (f"{next(numbers)}.txt", b"text")})
        return directory, response.raise_for_status().json()

    def _new_batch(self) -> str:
        job = {"type": "parse_v2", "configuration_id": PRESET}
        body = {"source_directory_id": self._new_directory()[0], "config": {"job": job}}
        return str(self._post(BATCHES, body)["id"])

    def _new_configuration(self) -> str:
        parameters = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
        body = {"name": f"Conformance {next(numbers)}", "parameters": parameters}
        return str(self._post(CONFIGURATIONS, body)["id"])

    def _first(self, path: str, **query: str) -> Any:
        return self._get(path, page_size=1, **query)["items"][0]

    def _get(self, path: str, **query: Any) -> Any:
        return self._http.get(path, params=query).raise_for_status().json()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()


class Transport(httpx.HTTPTransport):
    """Send requests with real ids."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        request.read()
        return super().handle_request(self._sandbox.replace_ids(request))


class AsyncTransport(httpx.AsyncBaseTransport):
    """Send requests with real ids through another transport."""

    def __init__(self, sandbox: Sandbox, transport: httpx.AsyncBaseTransport) -> None:
        self._sandbox = sandbox
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        await request.aread()
        return await self._transport.handle_async_request(self._sandbox.replace_ids(request))

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """Return the sandbox."""
    return Sandbox()


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[LlamaCloud]:
    """Yield a synchronous client, with strict validation unless the test disables it."""
    strict = getattr(request, "param", True)
    http_client = DefaultHttpxClient(transport=Transport(sandbox))
    with LlamaCloud(
        base_url=URL,
        api_key=KEY,
        http_client=http_client,
        max_retries=0,
        _strict_response_validation=strict,
    ) as client:
        yield client


@pytest.fixture(scope="session")
async def async_client(
    request: pytest.FixtureRequest, sandbox: Sandbox
) -> AsyncIterator[AsyncLlamaCloud]:
    """Yield an asynchronous client, based on httpx or on aiohttp."""
    param = getattr(request, "param", True)
    http_client: httpx.AsyncClient
    if isinstance(param, dict) and param.get("http_client") == "aiohttp":
        transport = AsyncTransport(sandbox, httpx_aiohttp.AiohttpTransport())
        http_client = DefaultAioHttpClient(transport=transport)
    else:
        transport = AsyncTransport(sandbox, httpx.AsyncHTTPTransport())
        http_client = DefaultAsyncHttpxClient(transport=transport)
    strict = param.get("strict", True) if isinstance(param, dict) else param
    async with AsyncLlamaCloud(
        base_url=URL,
        api_key=KEY,
        http_client=http_client,
        max_retries=0,
        _strict_response_validation=strict,
    ) as client:
        yield client
