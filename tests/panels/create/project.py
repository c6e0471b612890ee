"""A fake project for a scripted server: directories, configurations and batches."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from tests.servers import Answer, Asked, batch, mapping, page

EXTRACT_CONFIGURATION = "cfg-11111111-2222-4333-8444-555555555555"
CONFIGURATIONS = [
    {"id": "cfg-PARSE_AGENTIC", "name": "Agentic", "product_type": "parse_v2"},
    {"id": EXTRACT_CONFIGURATION, "name": "Key facts", "product_type": "extract_v2"},
]
FILES = re.compile(r"/api/v1/beta/directories/([^/]+)/files(/upload)?")
BATCH = re.compile(r"/api/v2/batches/([^/]+?)(/cancel)?")

Respond = Callable[[dict[str, Any]], Any]


class Project:
    """A server script with state. Tests change its attributes to change its responses.

    The keyword arguments are the directories and their numbers of files.
    """

    def __init__(self, **n_files: int) -> None:
        self.n_files = n_files
        self.batches: list[dict[str, Any]] = []
        self.create_requests: list[Any] = []
        self.upload_bodies: list[bytes] = []
        self.create_response: Respond = lambda record: record
        self.n_created = 1  # batches created by each request
        self.upload_fault: Callable[[int], Any] = lambda number: None  # by number of the upload
        self.cancel_response: Respond = lambda record: record | {"status": "RUNNING"}
        self.statuses: list[Any] = ["COMPLETED"]  # the response to each poll; the last one repeats
        self.n_polls = 0
        self.job = {"status": "COMPLETED"}
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Any:
        with self._lock:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Any:
        if asked.path.endswith("/configurations"):
            return page([dict(configuration) for configuration in CONFIGURATIONS])
        if asked.path.endswith("/directories"):
            return self._directories(asked)
        if asked.path == "/api/v2/parse":
            return page([{"id": id_, **self.job} for id_ in asked.query.get("job_ids", ())])
        if match := FILES.fullmatch(asked.path):
            return self._files(match[1], asked)
        if match := BATCH.fullmatch(asked.path):
            return self._batch(match[1], match[2], asked)
        if asked.method == "POST":
            return self._create(asked)
        directory = asked.one("source_directory_id")
        return page([b for b in self.batches if directory in (None, b["source_directory_id"])])

    def _directories(self, asked: Asked) -> Any:
        if asked.method == "POST":
            new = "dir-up" if "dir-up" not in self.n_files else f"dir-up-{len(self.n_files)}"
            self.n_files[new] = 0
            return {"id": new, "name": asked.json["name"]}
        return page([{"id": id_, "name": id_.upper()} for id_ in self.n_files])

    def _files(self, directory: str, asked: Asked) -> Any:
        if directory not in self.n_files:
            return Answer({"detail": f"Directory {directory} not found"}, 404)
        if asked.method == "POST":
            self.upload_bodies.append(asked.body)
            if (fault := self.upload_fault(len(self.upload_bodies))) is not None:
                return fault
            self.n_files[directory] += 1
            is_upload = asked.path.endswith("/upload")
            name = _display_name(asked.body) if is_upload else asked.json["display_name"]
            return {
                "id": f"dfl-{len(self.upload_bodies)}",
                "directory_id": directory,
                **_file_fields(name),
            }
        files = [
            {"id": f"dfl-{n}", "directory_id": directory, **_file_fields(f"{n}.pdf")}
            for n in range(self.n_files[directory])
        ]
        return page(files, total_size=len(files))

    def _create(self, asked: Asked) -> Any:
        self.create_requests.append(asked.json)
        new = [
            batch(
                f"bat-{len(self.batches) + n}",
                "PENDING",
                config=asked.json["config"],
                source_directory_id=asked.json["source_directory_id"],
            )
            for n in range(self.n_created)
        ]
        self.batches += new
        return self.create_response(new[0] if new else {})

    def _batch(self, id_: str, cancel: str | None, asked: Asked) -> Any:
        [record] = [b for b in self.batches if b["id"] == id_]
        if cancel:
            return self.cancel_response(record)
        if asked.one("expand"):
            record["results"] = [mapping("dfl-0", "pjb-0"), mapping("dfl-1", None, "too long")]
            return record
        self.n_polls += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Answer):
            return status
        record["status"] = status
        return record


def upload_value(*names: str, content: bytes = b"fine") -> tuple[dict[str, Any], ...]:
    """Return files as the value of an upload widget."""
    return tuple(
        {
            "name": name,
            "type": "",
            "size": len(content),
            "last_modified": datetime(2026, 8, 1, tzinfo=UTC),
            "content": memoryview(content),
        }
        for name in names
    )


def uploaded_names(bodies: Iterable[bytes]) -> set[str]:
    """Return the display names in the bodies of uploads."""
    return set(map(_display_name, bodies))


def _display_name(body: bytes) -> str:
    name: bytes = re.findall(rb'name="display_name"\r\n\r\n([^\r]*)', body)[0]
    return name.decode()


def _file_fields(name: str) -> dict[str, str]:
    return {"display_name": name, "file_id": f"file-{name}"}
