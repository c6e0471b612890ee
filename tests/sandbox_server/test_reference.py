"""Whatever the sandbox answers is what the API's reference promises, over a whole history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pydantic
import pytest

from llama_batches_nb.sandbox_server.process import Server

from .conftest import still
from .reference import DIRECTORIES, ENDPOINTS, Batch, Page, Refusal, Result, endpoint

NEVER = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


class Witness(httpx.Client):
    """A client that holds every answer against the reference, and counts them."""

    def __init__(self, server: Server) -> None:
        super().__init__(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.api_key}"},
            event_hooks={"response": [self._check]},
            trust_env=False,
        )
        self.seen: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[int] = Counter()

    def _check(self, response: httpx.Response) -> None:
        body = response.read()
        assert response.headers["Content-Type"] == "application/json"
        if response.is_success:
            called = endpoint(response.request.method, response.request.url.path)
            ENDPOINTS[called].model_validate_json(body)
            self.seen[called] += 1
        else:
            Refusal.model_validate_json(body)
            self.refused[response.status_code] += 1

    def walk(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return the items of all pages."""
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            chosen = params | ({"page_token": token} if token else {})
            page = self.get(path, params=chosen).json()
            items += page["items"]
            token = page["next_page_token"]
            if not token:
                return items


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start(still(batches=120, files=(1, 40)), thread=True) as server:
        yield server


@pytest.fixture(scope="module")
def witness(server: Server) -> Iterator[Witness]:
    with Witness(server) as witness:
        yield witness


def read_everything(witness: Witness) -> None:
    batches = witness.walk("/api/v2/batches", page_size=7)
    for batch in batches:
        assert witness.get(f"/api/v2/batches/{batch['id']}").json() == batch
        witness.get(f"/api/v2/batches/{batch['id']}", params={"expand": "results"})
    for kind in ("parse", "extract"):
        jobs = witness.walk(f"/api/v2/{kind}", page_size=500)
        for job in jobs[::25]:
            witness.get(f"/api/v2/{kind}/{job['id']}")
    for directory in witness.walk(DIRECTORIES, include_deleted=True, page_size=2):
        if directory["deleted_at"] is None:
            place = f"{DIRECTORIES}/{directory['id']}"
            assert witness.get(place).json() == directory
            for file in witness.walk(f"{place}/files", page_size=25)[::10]:
                assert witness.get(f"{place}/files/{file['id']}").json() == file
    for saved in witness.walk("/api/v1/beta/configurations", page_size=1):
        assert witness.get(f"/api/v1/beta/configurations/{saved['id']}").json() == saved


def make_something(witness: Witness) -> None:
    """Make a directory, files and batches; cancel one of them."""
    made = witness.post(DIRECTORIES, json={"name": "New", "type": "ephemeral"}).json()
    files = f"{DIRECTORIES}/{made['id']}/files"
    for name in ("fine.txt", "corrupt.pdf", "setup.exe", "Brief, geprüft 年.pdf"):
        uploaded = witness.post(f"{files}/upload", files={"upload_file": (name, b"text")}).json()
    other = witness.post(DIRECTORIES, json={"name": "Other", "description": "d"}).json()
    place = f"{DIRECTORIES}/{other['id']}/files"
    witness.post(place, json={"file_id": uploaded["file_id"], "display_name": "again.pdf"})
    for directory in (made, other):
        job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
        body = {"source_directory_id": directory["id"], "config": {"job": job}}
        batch = witness.post("/api/v2/batches", json=body).json()
    witness.post(f"/api/v2/batches/{batch['id']}/cancel")


def test_a_whole_history_is_as_the_reference_has_it(server: Server, witness: Witness) -> None:
    """At its end, with batches of every status; a moment later; and when all have ended."""
    read_everything(witness)
    make_something(witness)
    for seconds in (2, 4, 3 * 86400):
        server.advance(seconds)
        read_everything(witness)
    assert not witness.refused
    assert set(witness.seen) == set(ENDPOINTS)


def test_the_sandbox_serves_what_the_reference_has_and_no_more(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    document = httpx.get(f"{server.url}/openapi.json", headers=headers).json()
    served = [
        endpoint(method.upper(), path.replace("{", "").replace("}", ""))
        for path, item in document["paths"].items()
        for method in item
    ]
    assert sorted(served) == sorted(ENDPOINTS)


def test_refusals_are_as_the_reference_has_them(witness: Witness) -> None:
    witness.refused.clear()
    ended = witness.get("/api/v2/batches", params={"status": "COMPLETED"}).json()["items"][0]
    witness.get("/api/v2/batches", params={"page_token": "x"})
    witness.get("/api/v2/batches", headers={"Authorization": "Bearer llx-other"})
    witness.get(f"/api/v2/batches/bat-{NEVER}")
    witness.get("/api/v2/nothing")
    witness.delete("/api/v2/batches")
    witness.post(f"/api/v2/batches/{ended['id']}/cancel")
    witness.post(DIRECTORIES, content=b"x" * (2**20 + 1))
    witness.post("/api/v2/batches", json={})
    witness.get("/api/v2/batches", params={"status": "DONE", "page_size": 0})
    assert witness.refused == {400: 1, 401: 1, 404: 2, 405: 1, 409: 1, 413: 1, 422: 2}


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
def test_the_reference_refuses_what_it_does_not_have(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "id": f"bat-{NEVER}",
        "project_id": f"prj-{NEVER}",
        "source_directory_id": f"dir-{NEVER}",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        "status": "COMPLETED",
        "created_at": "2026-08-01T12:00:00Z",
        "results": [{"source_directory_file_id": f"dfl-{NEVER}", "error_message": "no"}],
    }
    Page[Batch].model_validate_json(pydantic.TypeAdapter(Any).dump_json({"items": [good]}))
    with pytest.raises(pydantic.ValidationError):
        Batch.model_validate_json(pydantic.TypeAdapter(Any).dump_json(good | change))


def test_the_reference_has_a_job_or_a_mapping_error() -> None:
    reference = {"type": "parse_v2", "id": f"pjb-{NEVER}"}
    file = f"dfl-{NEVER}"
    Result.model_validate({"source_directory_file_id": file, "job_reference": reference})
    with pytest.raises(pydantic.ValidationError, match="beside a job"):
        Result.model_validate(
            {
                "source_directory_file_id": file,
                "job_reference": reference,
                "error_message": "not mapped",
            }
        )
