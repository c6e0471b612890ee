"""Test that all responses of the sandbox match the API reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pydantic
import pytest

from llama_batches_nb.sandbox_server.process import Server

from .conftest import stopped_clock_options
from .reference import (
    CONFIGURATIONS,
    DIRECTORIES,
    ENDPOINTS,
    Batch,
    ErrorResponse,
    Page,
    Result,
    endpoint,
)

KINDS = ("text", "markdown", "items", "metadata", "forms")
EXPAND = {
    "parse": [
        *KINDS,
        *(f"{kind}_content_metadata" for kind in KINDS),
        "images_content_metadata",
        "job_metadata",
        "markdown_full",
        "text_full",
        "usage",
    ],
    "extract": ["configuration", "extract_metadata", "usage"],
}
UNUSED_UUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


class ValidatingClient(httpx.Client):
    """Validate each response against the reference, and count the responses."""

    def __init__(self, server: Server) -> None:
        super().__init__(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.api_key}"},
            event_hooks={"response": [self._check]},
            trust_env=False,
        )
        self.calls: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[int] = Counter()

    def _check(self, response: httpx.Response) -> None:
        body = response.read()
        if response.status_code != 204:
            assert response.headers["Content-Type"] == "application/json"
        if response.is_success:
            template = endpoint(response.request.method, response.request.url.path)
            model = ENDPOINTS[template]
            if model is None:
                assert (response.status_code, body) == (204, b"")
            else:
                model.model_validate_json(body)
            self.calls[template] += 1
        else:
            ErrorResponse.model_validate_json(body)
            self.errors[response.status_code] += 1

    def list_all(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return the items of all pages."""
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            query = params | ({"page_token": token} if token else {})
            page = self.get(path, params=query).json()
            items += page["items"]
            token = page["next_page_token"]
            if not token:
                return items


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = stopped_clock_options(
        batches=120,
        files=(1, 40),
        usage_in_lists=False,
        job_delay=120,
        results_delay=10,
        billing_delay=30,
    )
    with Server.start(options, thread=True) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[ValidatingClient]:
    with ValidatingClient(server) as client:
        yield client


def fetch_everything(client: ValidatingClient) -> None:
    batches = client.list_all("/api/v2/batches", page_size=7)
    for batch in batches:
        assert client.get(f"/api/v2/batches/{batch['id']}").json() == batch
        client.get(f"/api/v2/batches/{batch['id']}", params={"expand": "results"})
    client.list_all("/api/v2/projects")
    for kind in ("parse", "extract"):
        jobs = client.list_all(f"/api/v2/{kind}", page_size=500)
        for job in jobs[::25]:
            client.get(f"/api/v2/{kind}/{job['id']}", params={"expand": EXPAND[kind]})
    client.get("/api/v2/parse/versions")
    client.get("/api/v2/extract", params={"expand": ["configuration", "extract_metadata"]})
    for directory in client.list_all(DIRECTORIES, include_deleted=True, page_size=2):
        if directory["deleted_at"] is None:
            url = f"{DIRECTORIES}/{directory['id']}"
            assert client.get(url).json() == directory
            for file in client.list_all(f"{url}/files", page_size=25)[::10]:
                assert client.get(f"{url}/files/{file['id']}").json() == file
    for saved in client.list_all("/api/v1/beta/configurations", page_size=1):
        assert client.get(f"/api/v1/beta/configurations/{saved['id']}").json() == saved


def create_examples(client: ValidatingClient) -> None:
    """Create directories, files and batches, and cancel a batch."""
    directory = client.post(DIRECTORIES, json={"name": "New", "type": "ephemeral"}).json()
    files = f"{DIRECTORIES}/{directory['id']}/files"
    for name in ("fine.txt", "corrupt.pdf", "setup.exe", "Brief, geprüft 年.pdf"):
        uploaded = client.post(f"{files}/upload", files={"upload_file": (name, b"text")}).json()
    other = client.post(DIRECTORIES, json={"name": "Other", "description": "d"}).json()
    other_files = f"{DIRECTORIES}/{other['id']}/files"
    client.post(other_files, json={"file_id": uploaded["file_id"], "display_name": "again.pdf"})
    for source in (directory, other):
        job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
        body = {"source_directory_id": source["id"], "config": {"job": job}}
        batch = client.post("/api/v2/batches", json=body).json()
    client.post(f"/api/v2/batches/{batch['id']}/cancel")
    client.patch(f"{files}/{uploaded['id']}", json={"display_name": "renamed.pdf"})
    client.delete(f"{files}/{uploaded['id']}")
    client.patch(f"{DIRECTORIES}/{other['id']}", json={"name": "Others"})
    client.delete(f"{DIRECTORIES}/{other['id']}")
    parameters = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    saved = client.post(CONFIGURATIONS, json={"name": "New", "parameters": parameters}).json()
    client.put(f"{CONFIGURATIONS}/{saved['id']}", json={"name": "Newer"})
    client.delete(f"{CONFIGURATIONS}/{saved['id']}")
    for kind in ("parse", "extract"):
        jobs = f"/api/v2/{kind}"
        running = client.get(jobs, params={"status": "RUNNING"}).json()["items"][0]
        cancelled = client.post(f"{jobs}/{running['id']}/cancel").json()
        client.delete(f"{jobs}/{cancelled['id']}")


def test_all_responses_match_the_reference(server: Server, client: ValidatingClient) -> None:
    """Fetch everything at the start, while batches progress, and after all have ended."""
    fetch_everything(client)
    create_examples(client)
    for seconds in (2, 4, 3 * 86400):
        server.advance(seconds)
        fetch_everything(client)
    assert not client.errors
    assert set(client.calls) == set(ENDPOINTS)


def test_endpoints_are_those_of_the_reference(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    document = httpx.get(f"{server.url}/openapi.json", headers=headers).json()
    served = [
        endpoint(method.upper(), path.replace("{", "").replace("}", ""))
        for path, item in document["paths"].items()
        for method in item
    ]
    assert sorted(served) == sorted(ENDPOINTS)


def test_error_responses_match_the_reference(client: ValidatingClient) -> None:
    client.errors.clear()
    ended = client.get("/api/v2/batches", params={"status": "COMPLETED"}).json()["items"][0]
    client.get("/api/v2/batches", params={"page_token": "x"})
    client.get("/api/v2/batches", headers={"Authorization": "Bearer llx-other"})
    client.get(f"/api/v2/batches/bat-{UNUSED_UUID}")
    client.get("/api/v2/nothing")
    client.delete("/api/v2/batches")
    client.post(f"/api/v2/batches/{ended['id']}/cancel")
    client.post(DIRECTORIES, content=b"x" * (2**20 + 1))
    client.post("/api/v2/batches", json={})
    client.get("/api/v2/batches", params={"status": "DONE", "page_size": 0})
    assert client.errors == {400: 1, 401: 1, 404: 2, 405: 1, 409: 1, 413: 1, 422: 2}


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"id": "bat-1"},
        {"status": "DONE"},
        {"status": "FAILED"},
        {"created_at": "2026-08-01T12:00:00"},
        {"created_at": "2026-08-01T14:00:00+02:00"},
        {"created_at": 1785578400},
        {"updated_at": "2026-08-01T11:00:00Z"},
        {"config": {"job": {"type": "split_v1", "configuration_id": "cfg-A"}}},
        {"results": [{"job_reference": None}]},
    ],
    ids=str,
)
def test_reference_rejects_undocumented_batches(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "id": f"bat-{UNUSED_UUID}",
        "project_id": f"prj-{UNUSED_UUID}",
        "source_directory_id": f"dir-{UNUSED_UUID}",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        "status": "COMPLETED",
        "created_at": "2026-08-01T12:00:00Z",
        "results": [{"source_directory_file_id": f"dfl-{UNUSED_UUID}", "error_message": "no"}],
    }
    Page[Batch].model_validate_json(pydantic.TypeAdapter(Any).dump_json({"items": [good]}))
    with pytest.raises(pydantic.ValidationError):
        Batch.model_validate_json(pydantic.TypeAdapter(Any).dump_json(good | change))


def test_reference_rejects_job_with_mapping_error() -> None:
    reference = {"type": "parse_v2", "id": f"pjb-{UNUSED_UUID}"}
    file = f"dfl-{UNUSED_UUID}"
    Result.model_validate({"source_directory_file_id": file, "job_reference": reference})
    with pytest.raises(pydantic.ValidationError, match="mapping error and a job"):
        Result.model_validate(
            {
                "source_directory_file_id": file,
                "job_reference": reference,
                "error_message": "not mapped",
            }
        )
