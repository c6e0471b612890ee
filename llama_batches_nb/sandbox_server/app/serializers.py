"""The JSON of each record, as the API returns it."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from llama_batches_nb.sandbox_server.app.presigned_urls import SOURCE, expiry, presign
from llama_batches_nb.sandbox_server.state.clock import format_time
from llama_batches_nb.sandbox_server.state.models import TERMINAL_STATUSES, Batch, Configuration

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

Json = dict[str, Any]
CACHE_BYTES = 96 * 2**20  # of bodies with results; 300 batches of 1000 files need 60 MB


def encode(value: object) -> bytes:
    """Encode as compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def batch_json(state: SandboxState, batch: Batch, now: int) -> Json:
    """Return the JSON of a batch without its results."""
    return {
        "id": state.ids.encode("batch", batch.number),
        "config": {
            "job": {
                "type": batch.job_type,
                "configuration_id": state.configurations[batch.configuration].id,
            }
        },
        "project_id": state.project_id,
        "source_directory_id": state.ids.encode("directory", batch.directory),
        "status": batch.status(now),
        "created_at": format_time(batch.created),
        "updated_at": format_time(batch.updated(now)),
        "results": None,
    }


def results_json(state: SandboxState, batch: Batch, now: int) -> str:
    """Return the encoded results of a batch whose results have appeared."""
    files = state.batch_file_ids(batch)
    jobs = state.ids.encode_range(batch.job_type, batch.number, range(batch.file_count))
    mapped = f'"error_message":null,"job_reference":{{"type":"{batch.job_type}","id":"'
    rows = []
    for index, error, has_job in state.mappings(batch, now):
        mapping = f'{mapped}{jobs[index]}"}}'
        if not has_job:
            text = json.dumps(error, ensure_ascii=False)
            mapping = f'"error_message":{text},"job_reference":null'
        rows.append(f'{{"source_directory_file_id":"{files[index]}",{mapping}}}')
    return f"[{','.join(rows)}]"


class ResultsCache:
    """Encoded batches with results. Batches that no longer change are cached, up to a size."""

    def __init__(self, state: SandboxState, max_bytes: int = CACHE_BYTES) -> None:
        self.size = 0
        self._state = state
        self._max_bytes = max_bytes
        self._bodies: OrderedDict[int, bytes] = OrderedDict()

    def body(self, batch: Batch, now: int) -> bytes:
        """Return the encoded batch, with its results if it has them at `now`."""
        if batch.number in self._bodies:
            self._bodies.move_to_end(batch.number)
            return self._bodies[batch.number]
        body = encode(batch_json(self._state, batch, now))
        if batch.status(now) not in TERMINAL_STATUSES or now < batch.ended + batch.results_delay:
            return body
        if batch.final_status != "FAILED":
            results = results_json(self._state, batch, now).encode()
            body = body.removesuffix(b"null}") + results + b"}"
        if now >= batch.ended + 2 * batch.results_delay:
            self._store(batch.number, body)
        return body

    def _store(self, number: int, body: bytes) -> None:
        self._bodies[number] = body
        self.size += len(body)
        while self.size > self._max_bytes:
            self.size -= len(self._bodies.popitem(last=False)[1])


def directory_json(state: SandboxState, index: int) -> Json:
    """Return the JSON of a directory."""
    directory = state.directories[index]
    expires = directory.expires
    deleted = directory.deleted_at(state.clock.now())
    return {
        "id": state.ids.encode("directory", index),
        "name": directory.name,
        "project_id": state.project_id,
        "type": directory.type,
        "description": directory.description,
        "connector_subscription_id": directory.connector_subscription_id,
        "system_metadata": directory.system_metadata,
        "created_at": format_time(directory.created),
        "updated_at": format_time(max(directory.created, directory.updated)),
        "expires_at": None if expires is None else format_time(expires),
        "deleted_at": None if deleted is None else format_time(deleted),
    }


def file_json(
    state: SandboxState, directory_index: int, index: int, base_url: str | None = None
) -> Json:
    """Return the JSON of a file of a directory, with a URL of its content given a base URL."""
    file = state.directories[directory_index].files[index]
    stored_id, download_url = state.ids.encode("stored", *file.stored), None
    if base_url is not None and state.uploaded_bytes(file) is not None:
        download_url = {
            "url": presign(state, base_url, stored_id, SOURCE),
            "expires_at": format_time(expiry(state)),
            "form_fields": None,
        }
    return {
        "id": state.file_id(directory_index, index),
        "directory_id": state.ids.encode("directory", directory_index),
        "display_name": file.display_name,
        "project_id": state.project_id,
        "unique_id": file.unique_id,
        "file_id": stored_id,
        "created_at": format_time(file.created),
        "updated_at": format_time(file.last_updated),
        "deleted_at": None if file.deleted is None else format_time(file.deleted),
        "metadata": file.metadata,
        "download_url": download_url,
    }


def configuration_json(configuration: Configuration) -> Json:
    """Return the JSON of a configuration."""
    return {
        "id": configuration.id,
        "name": configuration.name,
        "product_type": configuration.job_type,
        "version": format_time(configuration.updated),
        "parameters": configuration.parameters,
        "created_at": format_time(configuration.created),
        "updated_at": format_time(configuration.updated),
    }


def project_json(state: SandboxState) -> Json:
    """Return the JSON of the project, which is as old as its first configuration."""
    created = format_time(min(each.created for each in state.configurations))
    return {
        "id": state.project_id,
        "name": "Sandbox",
        "organization_id": state.ids.encode("organization", 0),
        "is_default": True,
        "created_at": created,
        "updated_at": created,
    }
