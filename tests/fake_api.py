"""A small LlamaCloud API with state, to be served by `tests.servers.Server`."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from llama_batches_nb.types import Record
from tests.servers import Request, Response, batch, mapping, page

START = datetime(2025, 8, 1, tzinfo=UTC)  # in the past, so that no batch is from the future
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
JOB_PATHS = ("parse", "extract")
FILTERS = ("status", "source_directory_id", "name", "display_name")  # exact matches

Fault = Response | Callable[[Any], Any] | None


class FakeApi:
    """Answer requests from records that a test reads and changes.

    `faults` has a fault, or a list of one fault per request, by kind of request ("POST batches")
    or by the ID of a batch or job. A response replaces the execution of the request; a function
    gets the response after the execution and returns another; None is no fault.

    The kinds are GET and POST of "batches", "directories" and "files"; GET of "batch", "jobs",
    "job" and "configurations"; and POST of "cancel" and "upload". `requests` counts them, and
    "job IDs". As documented, only a single job with ``expand=usage`` shows what it was billed. The
    output of a job is made of its id.
    """

    def __init__(
        self,
        n_files: Mapping[str, int] | None = None,
        *,
        configurations: Iterable[Record] = (),
        statuses: Iterable[str] = ("COMPLETED",),
        n_created: int = 1,
        page_size: int = 1000,
        unique_names: bool = False,
    ) -> None:
        self.batches: dict[str, Record] = {}
        self.jobs: dict[str, Record] = {}
        self.directories: dict[str, Record] = {}
        self.files: dict[str, list[Record]] = {}  # by directory
        self.configurations = [*configurations]
        self.statuses = [*statuses]  # of a created batch, one per poll; the last one repeats
        self.n_created = n_created  # batches created by one request
        self.page_size = page_size
        self.unique_names = unique_names  # of directories; the API does not document it
        self.ignores_times = False
        self.faults: dict[str, Fault | list[Fault]] = {}
        self.requests: Counter[str] = Counter()
        self.create_bodies: list[Any] = []  # of all create requests, executed or not
        self.created: list[str] = []  # IDs of the batches that requests created
        self._lock = threading.Lock()
        for directory, n in (n_files or {}).items():
            self.add_directory(directory, directory.upper())
            for file in range(n):
                self.add_file(directory, f"{file}.pdf")

    @property
    def n_posts(self) -> int:
        return sum(n for kind, n in self.requests.items() if kind.startswith("POST"))

    # --- what a test adds ---------------------------------------------------------------------

    def add(self, status: str = "COMPLETED", *, files: int = 2, hours: float | None = None) -> str:
        """Add a batch created `hours` after `START`, by default an hour after the previous one."""
        n = len(self.batches)
        batch_id = f"bat-{n:03}"
        results = [mapping(f"dfl-{n}-{f}", self.add_job(f"pjb-{n}-{f}")) for f in range(files)]
        self.batches[batch_id] = batch(
            batch_id,
            status,
            created_at=(START + timedelta(hours=n if hours is None else hours)).isoformat(),
            source_directory_id=f"dir-{n % 2}",
            results=[*results, mapping(f"dfl-{n}-x", None, "no such file")],
        )
        return batch_id

    def add_job(self, job_id: str, status: str | list[str] = "COMPLETED", **fields: Any) -> str:
        """Add a job. Its ``status`` may be a list: one per request, of which the last repeats."""
        self.jobs[job_id] = {"id": job_id, "status": status, **fields}
        return job_id

    def add_directory(self, directory: str, name: str) -> Record:
        self.directories[directory], self.files[directory] = {"id": directory, "name": name}, []
        return self.directories[directory]

    def add_file(self, directory: str, name: str, **fields: str) -> Record:
        files = self.files[directory]
        names = {"display_name": name, "file_id": f"file-{name}", "unique_id": name}
        file_id = f"{directory}-{len(files)}"
        files.append({"id": file_id, "directory_id": directory, **names, **fields})
        return files[-1]

    def end(self, batch_id: str, status: str = "COMPLETED") -> None:
        self.batches[batch_id]["status"] = status

    # --- requests -----------------------------------------------------------------------------

    def __call__(self, request: Request) -> Any:
        segments = request.path.replace("/beta/", "/").split("/")[3:]
        key = segments[1] if len(segments) > 1 else ""
        one = {"batches": "batch", "directories": "directory"}.get(segments[0], "job")
        kinds = {key: one, **dict.fromkeys(JOB_PATHS, "jobs")}
        resource = kinds.get(segments[-1], segments[-1])
        kind = f"{request.method} {resource}"
        job_ids = request.query.get("job_ids", []) if resource == "jobs" else []
        with self._lock:
            self.requests[kind] += 1
            if job_ids:
                self.requests["job IDs"] += len(job_ids)
            if kind == "POST batches":
                self.create_bodies.append(request.json)
            faults = [self._next_fault(name) for name in (kind, key, *job_ids)]
            fault = next((fault for fault in faults if fault is not None), None)
            if isinstance(fault, Response):
                return fault
            response = getattr(self, f"_{request.method.lower()}_{resource}")(request, key)
            return response if fault is None else fault(response)

    def _next_fault(self, key: str) -> Fault:
        faults = self.faults.get(key)
        if isinstance(faults, list):
            return faults.pop(0) if faults else None
        return faults

    def _page(self, request: Request, records: Iterable[Record]) -> Record:
        filters = {name: request.param(name) for name in FILTERS if request.param(name)}
        found = [r for r in records if all(r.get(k) == value for k, value in filters.items())]
        start = int(request.param("page_token") or 0)
        stop = start + self.page_size
        token = str(stop) if stop < len(found) else None
        return page(found[start:stop], token, total_size=len(found))

    def _get_batches(self, request: Request, _: str) -> Any:
        after, before = (
            request.param("created_at_on_or_after"),
            request.param("created_at_on_or_before"),
        )
        records = [
            record | {"results": None}
            for record in reversed(list(self.batches.values()))
            if self.ignores_times or _is_between(record["created_at"], after, before)
        ]
        return self._page(
            request, sorted(records, key=lambda r: r["created_at"] or "", reverse=True)
        )

    def _post_batches(self, request: Request, _: str) -> Any:
        body = request.json
        directory = body["source_directory_id"]
        new = [f"bat-new-{len(self.created) + n}" for n in range(self.n_created)]
        for batch_id in new:
            first, *others = [file["id"] for file in self.files.get(directory, ())] or [None]
            job = [mapping(first, self.add_job(f"pjb-{batch_id}"))] if first else []
            self.batches[batch_id] = batch(
                batch_id,
                "PENDING",
                source_directory_id=directory,
                config=body["config"],
                results=[*job, *(mapping(file, None, "too long") for file in others)],
            )
        self.created += new
        return self.batches[new[0]] | {"results": None} if new else {}

    def _get_batch(self, request: Request, batch_id: str) -> Any:
        if batch_id not in self.batches:
            return Response({"detail": f"Batch {batch_id} not found"}, 404)
        record = self.batches[batch_id]
        if not request.param("expand"):
            if batch_id in self.created:
                several = len(self.statuses) > 1
                record["status"] = self.statuses.pop(0) if several else self.statuses[0]
            return record | {"results": None}
        return (
            record if record["status"] in TERMINAL else record | {"results": record["results"][:1]}
        )

    def _post_cancel(self, request: Request, batch_id: str) -> Any:
        if self.batches[batch_id]["status"] in TERMINAL:
            return Response({"detail": f"Batch {batch_id} has ended"}, 409)
        return self.batches[batch_id] | {"results": None}

    def _get_jobs(self, request: Request, _: str) -> Any:
        found = [i for i in request.query["job_ids"] if i in self.jobs]
        return page([self._job(i, expand=request.query.get("expand", [])) for i in found])

    def _get_job(self, request: Request, job_id: str) -> Any:
        if job_id not in self.jobs:
            return Response({"detail": f"Job {job_id} not found"}, 404)
        expand = request.query.get("expand", [])
        job = self._job(job_id, expand=expand)
        if "/extract/" in request.path:
            return {"extract_result": {"of": job_id}} | job
        pages = [{"page_number": 1, "success": True, "markdown": f"# {job_id}"}]
        return {"job": job} | ({"markdown": {"pages": pages}} if "markdown" in expand else {})

    def _job(self, job_id: str, *, expand: list[str]) -> Record:
        """Return a job with its next status, and with the fields that are only sent if asked."""
        job = self.jobs[job_id]
        statuses = job["status"]
        if isinstance(statuses, list):
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            job = job | {"status": status}
        hidden = {"usage", "extract_metadata"} - set(expand)
        return job | dict.fromkeys(hidden & job.keys())

    def _get_configurations(self, request: Request, _: str) -> Any:
        return page(self.configurations)

    def _get_projects(self, request: Request, _: str) -> Any:
        return page([{"id": "prj-1", "name": "Invoices", "is_default": True}])

    def _get_directories(self, request: Request, _: str) -> Any:
        shown = [*self.directories.values()]
        if not request.param("include_deleted"):
            shown = [record for record in shown if not record.get("deleted_at")]
        return self._page(request, shown)

    def _post_directories(self, request: Request, _: str) -> Any:
        name = request.json["name"]
        names = [directory["name"] for directory in self.directories.values()]  # also deleted ones
        if self.unique_names and name in names:
            return Response({"detail": f"Directory {name} exists"}, 409)
        n_new = sum(directory.startswith("dir-new-") for directory in self.directories)
        record = self.add_directory(f"dir-new-{n_new}", name) | {"type": request.json["type"]}
        self.directories[record["id"]] = record
        record["created_at"] = START.isoformat()  # as where all are made within one second
        return record

    def _delete_directory(self, request: Request, directory: str) -> Any:
        self.directories[directory]["deleted_at"] = START.isoformat()
        del self.files[directory]
        return Response(status=204)

    def _get_files(self, request: Request, directory: str) -> Any:
        if directory not in self.files:
            return Response({"detail": f"Directory {directory} not found"}, 404)
        return self._page(request, self.files[directory])

    def _post_files(self, request: Request, directory: str) -> Any:
        return self._add_unique(directory, request.json)

    def _post_upload(self, request: Request, directory: str) -> Any:
        name = uploaded_name(request)
        return self._add_unique(directory, {"display_name": name, "unique_id": name})

    def _add_unique(self, directory: str, body: Record) -> Any:
        if body["unique_id"] in [file["unique_id"] for file in self.files[directory]]:
            return Response({"detail": f"File {body['unique_id']} exists"}, 409)
        return self.add_file(directory, body["display_name"], **body)


def uploaded_name(request: Request) -> str:
    """Return the display name of an uploaded file, or "" if the request uploads none."""
    found = re.search(rb'name="display_name"\r\n\r\n([^\r]*)', request.body)
    return found[1].decode() if found else ""


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_between(text: str | None, after: str | None, before: str | None) -> bool:
    time = parse_time(text) if text else START
    return (after is None or parse_time(after) <= time) and (
        before is None or time <= parse_time(before)
    )
