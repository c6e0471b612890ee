"""A project on a scripted server: directories, configurations, and batches that are really made."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from tests.servers import Answer, Asked, batch, mapping, page

SAVED = "cfg-11111111-2222-4333-8444-555555555555"
CONFIGURATIONS = [
    {"id": "cfg-PARSE_AGENTIC", "name": "Agentic", "product_type": "parse_v2"},
    {"id": SAVED, "name": "Key facts", "product_type": "extract_v2"},
]
FILES = re.compile(r"/api/v1/beta/directories/([^/]+)/files(/upload)?")
BATCH = re.compile(r"/api/v2/batches/([^/]+?)(/cancel)?")

Give = Callable[[dict[str, Any]], Any]


class Project:
    """Give it as a script to a server, and change what it answers as a test goes on."""

    def __init__(self, **n_files: int) -> None:
        self.n_files = n_files
        self.batches: list[dict[str, Any]] = []
        self.posts: list[Any] = []
        self.uploads: list[bytes] = []
        self.make: Give = lambda made: made  # the answer to a create
        self.upload: Callable[[int], Any] = lambda number: None  # a fault instead of a file
        self.cancel: Give = lambda made: made | {"status": "RUNNING"}
        self.statuses = ["COMPLETED"]  # of a batch, one per question, the last one for ever
        self.polls = 0
        self.job = {"status": "COMPLETED"}
        self.makes = 1  # batches at each create
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Any:
        with self._lock:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Any:
        if asked.path.endswith("/configurations"):
            return page(CONFIGURATIONS)
        if asked.path.endswith("/directories"):
            return self._directories(asked)
        if asked.path == "/api/v2/parse":
            return page([{"id": id_, **self.job} for id_ in asked.query.get("job_ids", ())])
        if found := FILES.fullmatch(asked.path):
            return self._files(found[1], asked)
        if found := BATCH.fullmatch(asked.path):
            return self._batch(found[1], found[2], asked)
        if asked.method == "POST":
            return self._create(asked)
        over = asked.one("source_directory_id")
        return page([one for one in self.batches if over in (None, one["source_directory_id"])])

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
            self.uploads.append(asked.body)
            if (fault := self.upload(len(self.uploads))) is not None:
                return fault
            self.n_files[directory] += 1
            is_upload = asked.path.endswith("/upload")
            name = _name_in(asked.body) if is_upload else asked.json["display_name"]
            return {"id": f"dfl-{len(self.uploads)}", "directory_id": directory, **_named(name)}
        files = [
            {"id": f"dfl-{n}", "directory_id": directory, **_named(f"{n}.pdf")}
            for n in range(self.n_files[directory])
        ]
        return page(files, total_size=len(files))

    def _create(self, asked: Asked) -> Any:
        self.posts.append(asked.json)
        new = [
            batch(
                f"bat-{len(self.batches) + n}",
                "PENDING",
                config=asked.json["config"],
                source_directory_id=asked.json["source_directory_id"],
            )
            for n in range(self.makes)
        ]
        self.batches += new
        return self.make(new[0] if new else {})

    def _batch(self, id_: str, cancel: str | None, asked: Asked) -> Any:
        [record] = [one for one in self.batches if one["id"] == id_]
        if cancel:
            return self.cancel(record)
        if asked.one("expand"):
            record["results"] = [mapping("dfl-0", "pjb-0"), mapping("dfl-1", None, "too long")]
            return record
        self.polls += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Answer):
            return status
        record["status"] = status
        return record


def dropped(*names: str, content: bytes = b"fine") -> tuple[dict[str, Any], ...]:
    """Return files as a browser hands them over."""
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


def names_in(bodies: Iterable[bytes]) -> set[str]:
    """Return the names under which files were uploaded."""
    return set(map(_name_in, bodies))


def _name_in(body: bytes) -> str:
    name: bytes = re.findall(rb'name="display_name"\r\n\r\n([^\r]*)', body)[0]
    return name.decode()


def _named(name: str) -> dict[str, str]:
    return {"display_name": name, "file_id": f"file-{name}"}
