"""The outputs of jobs, to be served by `tests.servers.Server`."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from llama_batches_nb.types import Record
from tests.servers import Request, Response

CONTENT_KEYS = {"markdown": "md", "text": "fullText", "items": "items"}  # as in the guides


def markdown_page(number: int, text: str | None = None) -> Record:
    text = f"# Page {number}\n" if text is None else text
    return {"page_number": number, "success": True, "markdown": text, "header": None}


def failed_page(number: int, error: str = "OCR failed") -> Record:
    return {"page_number": number, "success": False, "error": error}


class OutputApi:
    """Serve parse and extract jobs with their outputs, and downloads at presigned URLs.

    `too_large` answers inline expansions of these jobs with a status; None sends null content.
    `expired_urls` is how many presigned URLs have expired when they are first opened.
    """

    def __init__(self) -> None:
        self.url = ""  # of the store of presigned URLs; set once the server runs
        self.parse_jobs: dict[str, Record] = {}
        self.extract_jobs: dict[str, Record] = {}
        self.too_large: dict[str, int | None] = {}
        self.stored: dict[str, bytes] = {}  # replaces the stored JSON of a job's output
        self.redirects = 0
        self.expired_urls = 0
        self.signature = "s"  # of presigned URLs
        self.requests: Counter[str] = Counter()
        self.downloads: list[Request] = []
        self.faults: dict[str, list[Response]] = {}

    def add_parse_job(
        self, job_id: str, *pages: Record, status: str = "COMPLETED", **more: Any
    ) -> str:
        content = {"markdown": {"pages": [*pages]}} if status == "COMPLETED" else {}
        self.parse_jobs[job_id] = {
            "job": {"id": job_id, "project_id": "prj-1", "status": status},
            **content,
            **more,
        }
        return job_id

    def add_extract_job(self, job_id: str, result: Any, status: str = "COMPLETED") -> str:
        self.extract_jobs[job_id] = {
            "id": job_id,
            "project_id": "prj-1",
            "status": status,
            "extract_result": result,
        }
        return job_id

    def __call__(self, request: Request) -> Any:
        kind, _, job_id = request.path.removeprefix("/api/v2").strip("/").partition("/")
        self.requests[f"{kind} {job_id}"] += 1
        if self.faults.get(job_id):
            return self.faults[job_id].pop(0)
        if kind == "extract":
            return self.extract_jobs.get(job_id) or _not_found(job_id)
        if kind == "parse":
            return self._parse_job(request, job_id)
        return self._download(request, job_id)

    def _parse_job(self, request: Request, job_id: str) -> Any:
        record = self.parse_jobs.get(job_id)
        if record is None:
            return _not_found(job_id)
        response: Record = {"job": record["job"]}
        for name in request.query.get("expand", []):
            if name.endswith("_content_metadata"):
                content = name.removesuffix("_content_metadata")
                if record.get(content) is not None:
                    url = f"{self.url}/store/{job_id}?expand={content}&signature={self.signature}"
                    stored = {"size_bytes": 1, "exists": True, "presigned_url": url}
                    response["result_content_metadata"] = {CONTENT_KEYS[content]: stored}
            elif name in CONTENT_KEYS and job_id in self.too_large:
                if (status := self.too_large[job_id]) is not None:
                    return Response({"detail": "The content is too large"}, status)
                response[name] = None
            else:
                response[name] = record.get(name)
        return response

    def _download(self, request: Request, job_id: str) -> Any:
        self.downloads.append(request)
        if self.expired_urls:
            self.expired_urls -= 1
            return Response(raw=b"<Error><Code>AccessDenied</Code></Error>", status=403)
        if self.redirects:
            self.redirects -= 1
            return Response(
                raw=b"",
                status=307,
                headers={"Location": f"/store/{job_id}?signature=s"},
            )
        content = request.param("expand") or "markdown"
        default = json.dumps(self.parse_jobs[job_id][content]).encode()
        return Response(
            raw=self.stored.get(job_id, default), headers={"Content-Type": "text/plain"}
        )


def _not_found(job_id: str) -> Response:
    return Response({"detail": f"Job {job_id} not found"}, 404)
