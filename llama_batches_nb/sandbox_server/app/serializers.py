"""The API's JSON of each thing."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from llama_batches_nb.sandbox_server.state import simulation
from llama_batches_nb.sandbox_server.state.clock import iso
from llama_batches_nb.sandbox_server.state.models import FINAL, Batch, Configuration

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.world import SandboxState

Json = dict[str, Any]
CACHE_BYTES = 96 * 2**20  # of bodies with results; 300 batches of 1000 files need 60 MB


def encode(value: object) -> bytes:
    """Encode as compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def batch(world: SandboxState, it: Batch, now: int) -> Json:
    """Render a batch without its results."""
    return {
        "id": world.ids.make("batch", it.number),
        "config": {
            "job": {
                "type": it.job_type,
                "configuration_id": world.configurations[it.configuration].id,
            }
        },
        "project_id": world.project_id,
        "source_directory_id": world.ids.make("directory", it.directory),
        "status": it.status(now),
        "created_at": iso(it.created),
        "updated_at": iso(it.updated(now)),
        "results": None,
    }


def results(world: SandboxState, it: Batch) -> str:
    """Render the results of a batch that has ended."""
    files = world.ids.series("file", it.directory, range(it.files))
    jobs = world.ids.series(it.job_type, it.number, range(it.files))
    mapped = f'"error_message":null,"job_reference":{{"type":"{it.job_type}","id":"'
    rows = []
    for index, error, has_job in world.mappings(it):
        said = f'{mapped}{jobs[index]}"}}'
        if not has_job:
            text = json.dumps(error, ensure_ascii=False)
            said = f'"error_message":{text},"job_reference":null'
        rows.append(f'{{"source_directory_file_id":"{files[index]}",{said}}}')
    return f"[{','.join(rows)}]"


class ResultsCache:
    """Bodies of batches with their results; those that will not change are kept for a while."""

    def __init__(self, world: SandboxState, most_bytes: int = CACHE_BYTES) -> None:
        self.size = 0
        self._world = world
        self._most = most_bytes
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def body(self, it: Batch, now: int) -> bytes:
        """Return the body of a batch, with results if it has them by now."""
        if it.number in self._kept:
            self._kept.move_to_end(it.number)
            return self._kept[it.number]
        head = encode(batch(self._world, it, now))
        if it.status(now) not in FINAL:
            return head
        if it.end != "FAILED":
            head = head.removesuffix(b"null}") + results(self._world, it).encode() + b"}"
        self._keep(it.number, head)
        return head

    def _keep(self, number: int, body: bytes) -> None:
        self._kept[number] = body
        self.size += len(body)
        while self.size > self._most:
            self.size -= len(self._kept.popitem(last=False)[1])


def job(world: SandboxState, it: simulation.Job, now: int) -> Json:
    """Render a parse or an extract job."""
    kind, status = it.batch.job_type, it.status(now)
    file_id = world.ids.make("file", it.batch.directory, it.index)
    error = None
    if status == "FAILED":
        error = simulation.message(it.fate, kind, it.bits, it.file, file_id)
    shared = {
        "id": world.ids.make(kind, it.batch.number, it.index),
        "project_id": world.project_id,
        "status": status,
        "created_at": iso(it.created),
        "updated_at": iso(it.updated(now)),
        "error_message": error,
    }
    parsing, extracting = it.credits() if status in ("COMPLETED", "FAILED") else (None, None)
    configuration = world.configurations[it.batch.configuration]
    if kind == "parse_v2":
        return shared | {
            "name": it.file.display_name,
            "tier": configuration.tier,
            "usage": {"credits": parsing},
            "user_metadata": None,
        }
    total = None if parsing is None or extracting is None else parsing + extracting
    usage = {"credits": total, "extract_credits": extracting, "parse_credits": parsing}
    return shared | {"file_input": file_id, "configuration_id": configuration.id, "usage": usage}


def directory(world: SandboxState, place: int) -> Json:
    """Render a directory."""
    it = world.directories[place]
    deleted = it.deleted_at(world.clock.now())
    return {
        "id": world.ids.make("directory", place),
        "name": it.name,
        "project_id": world.project_id,
        "type": it.type,
        "description": it.description,
        "created_at": iso(it.created),
        "updated_at": iso(it.files[-1].created if it.files else it.created),
        "expires_at": None if it.expires is None else iso(it.expires),
        "deleted_at": None if deleted is None else iso(deleted),
    }


def file(world: SandboxState, place: int, index: int) -> Json:
    """Render a file of a directory."""
    it = world.directories[place].files[index]
    return {
        "id": world.ids.make("file", place, index),
        "directory_id": world.ids.make("directory", place),
        "display_name": it.display_name,
        "project_id": world.project_id,
        "unique_id": it.unique_id,
        "file_id": world.ids.make("stored", *it.stored),
        "created_at": iso(it.created),
        "updated_at": iso(it.created),
        "deleted_at": None,
        "metadata": {},
    }


def configuration(it: Configuration) -> Json:
    """Render a configuration."""
    return {
        "id": it.id,
        "name": it.name,
        "product_type": it.job_type,
        "version": iso(it.updated),
        "parameters": it.parameters,
        "created_at": iso(it.created),
        "updated_at": iso(it.updated),
    }
