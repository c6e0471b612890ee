"""Test that the OpenAPI document and the behaviour of the sandbox agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from llama_batches_nb.sandbox_server.process import Server

from .conftest import stopped_clock_options

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = {"get", "post", "put", "patch", "delete"}

CONFIG = """
[headers]
Authorization = "Bearer {key}"

[generation]
deterministic = true
max-examples = 10

[phases.stateful.generation]
max-examples = 15

[checks.positive_data_acceptance]  # schemas do not express which tokens are valid
expected-statuses = ["2xx", 400, 404, 409]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start(stopped_clock_options(batches=24, files=(1, 60)), thread=True) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the documented operations by method and path."""
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


@pytest.mark.latest
def test_schemathesis_finds_no_failure(
    server: Server, document: dict[str, Any], tmp_path: Path
) -> None:
    """Run schemathesis in a separate process, without its pytest plugin."""
    (tmp_path / "config.toml").write_text(CONFIG.format(key=server.api_key))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "config.toml"]
    run = subprocess.run(
        [*command, "run", f"{server.url}/openapi.json", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    numbers = re.search(r"Tested:\s+(\d+)\n.*\s(\d+) generated, ", run.stdout, re.DOTALL)
    assert numbers, run.stdout
    assert int(numbers[1]) == len(operations(document))
    assert int(numbers[2]) > 500


def test_every_operation_requires_the_api_key(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"]
    for operation in operations(document).values():
        assert operation["security"] == [{scheme: []}]
        assert "401" in operation["responses"]


def test_every_response_has_a_complete_schema(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        if "204" in operation["responses"]:
            assert "content" not in operation["responses"]["204"]
            continue
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        model = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert model["additionalProperties"] is False
        assert set(model["required"]) == set(model["properties"])


def test_wrong_method_gets_405_with_allowed_methods(
    document: dict[str, Any], client: httpx.Client
) -> None:
    for path, item in document["paths"].items():
        method = next(each for each in ("PUT", "PATCH") if each.lower() not in item)
        wrong = client.request(method, path.replace("{", "").replace("}", ""))
        assert wrong.status_code == 405
        assert set(wrong.headers["Allow"].lower().split(", ")) == set(item)
        assert wrong.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\\ud800"}',
        b'{"name": "a", "description": "\\udfff"}',
        b'{"name": NaN}',
        b'{"name": "a", "description": -Infinity}',
        b'{"name": "a", "description": 1e999}',
        b'{"name": "\xff"}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 30_000,
        b"\xef\xbb\xbf{}",
        b"{",
        b"",
    ],
    ids=lambda body: repr(body[:30]),
)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/beta/directories",
        "/api/v1/beta/directories/dir-1/files",
        "/api/v2/batches",
        "/sandbox/advance",
    ],
)
def test_invalid_json_body_is_rejected(client: httpx.Client, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    detail = response.json()["detail"]
    assert isinstance(detail, str) or all(set(item) == {"loc", "msg", "type"} for item in detail)


@pytest.mark.parametrize("number", ["0", "0.5", "-1", "1e3", "1785578400", "20260801"])
def test_numeric_timestamp_gets_422(client: httpx.Client, number: str) -> None:
    response = client.get("/api/v2/batches", params={"created_at_on_or_after": number})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "created_at_on_or_after"]
