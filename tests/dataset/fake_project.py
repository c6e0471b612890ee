"""A small LlamaCloud project whose batches and jobs a test controls, and checks of its dataset."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import TableName, open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.types import PathLike
from tests.servers import Answer, Asked, batch, mapping, page

START = datetime(2025, 8, 1, tzinfo=UTC)  # in the past, so that no batch is from the future
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass
class FakeProject:
    """Answer requests from `batches` and `jobs`, and count them in `requests`."""

    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    page_size: int = 4
    broken: set[str] = field(default_factory=set)
    broken_status: int = 400
    missing_from_list: int = 0
    ignores_times: bool = False

    def add(self, status: str = "COMPLETED", *, files: int = 2, hours: float | None = None) -> str:
        """Create a batch `hours` after `START`, by default an hour after the previous one."""
        n = len(self.batches)
        name = f"bat-{n:03}"
        created = START + timedelta(hours=n if hours is None else hours)
        results = [mapping(f"dfl-{n}-{f}", f"pjb-{n}-{f}") for f in range(files)]
        results += [mapping(f"dfl-{n}-x", None, "no such file")]
        self.batches[name] = batch(
            name,
            status,
            created_at=created.isoformat(),
            source_directory_id=f"dir-{n % 2}",
            results=results,
        )
        for f in range(files):
            self.jobs[f"pjb-{n}-{f}"] = {"id": f"pjb-{n}-{f}", "status": "COMPLETED"}
        return name

    def end(self, name: str, status: str = "COMPLETED") -> None:
        self.batches[name]["status"] = status

    def __call__(self, asked: Asked) -> Any:
        if asked.path.split("/")[3] == "parse":
            return self._list_jobs(asked.query["job_ids"])
        name = asked.path.rsplit("/", 1)[1]
        if name == "batches":
            self.requests["list"] += 1
            return self.list_batches(asked)
        self.requests["get"] += 1
        if name in self.broken:
            return Answer({"detail": "broken"}, self.broken_status)
        if name not in self.batches:
            return Answer({"detail": "not here"}, 404)
        record = self.batches[name]
        if record["status"] in TERMINAL:
            return record
        return {**record, "results": record["results"][:1]}

    def _list_jobs(self, ids: list[str]) -> Any:
        self.requests["jobs"] += len(ids)
        self.requests["job requests"] += 1
        if not self.broken.isdisjoint(ids):
            return Answer({"detail": "broken"}, self.broken_status)
        return page([self.jobs[job_id] for job_id in ids if job_id in self.jobs])

    def list_batches(self, asked: Asked) -> Any:
        """Return a page of the batches that match the query, the newest first."""
        after, before = asked.one("created_at_on_or_after"), asked.one("created_at_on_or_before")
        matching = [
            {**record, "results": None}
            for record in list(self.batches.values())
            if asked.one("status") in (None, record["status"])
            and asked.one("source_directory_id") in (None, record["source_directory_id"])
            and (self.ignores_times or _is_between(record["created_at"], after, before))
        ]
        matching.sort(key=lambda record: record["created_at"], reverse=True)
        start = int(asked.one("page_token") or 0)
        stop = start + self.page_size
        token = str(stop) if stop < len(matching) else None
        total_size = len(matching) + self.missing_from_list
        return page(matching[start:stop], token, total_size=total_size)


def _is_between(text: str, after: str | None, before: str | None) -> bool:
    time = parse_time(text)
    return (after is None or parse_time(after) <= time) and (
        before is None or time <= parse_time(before)
    )


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def fetch_tables(*, jobs: bool = False, **filters: Any) -> dict[TableName, pd.DataFrame]:
    """Fetch what a dataset should hold, by table."""
    tables: dict[TableName, pd.DataFrame] = {
        "batches": lb.fetch_batches(**filters, progress=False),
        "results": lb.fetch_results(**filters, progress=False),
    }
    if jobs:
        tables["jobs"] = lb.fetch_jobs(tables["results"], progress=False)
    return tables


def assert_dataset_complete(path: PathLike, **filters: Any) -> None:
    """Assert that a dataset holds the rows that fetching returns, and no other files."""
    assert_dataset_equal(path, fetch_tables(**filters))


def assert_dataset_equal(path: PathLike, expected: dict[TableName, pd.DataFrame]) -> None:
    """Assert that a dataset holds these rows, in any order, and no other files."""
    keys = {
        "batches": ["batch_id"],
        "results": ["batch_id", "source_directory_file_id"],
        "jobs": ["job_id"],
    }
    for table, frame in expected.items():
        by = keys[table]
        pd.testing.assert_frame_equal(
            read_dataset(path, table).sort_values(by, ignore_index=True),
            frame.sort_values(by, ignore_index=True),
        )
    assert_no_other_files(path)


def assert_no_other_files(path: PathLike) -> None:
    """Assert that every file of a dataset belongs to a table."""
    storage = Storage(path)
    files = {
        name.removeprefix(storage.path(""))
        for table in _table_names(storage)
        for name in open_dataset(path, table).files
    }
    assert {name for name in storage.names() if not name.startswith("_")} == files


def assert_rows_unique(path: PathLike) -> None:
    """Assert that a dataset has each row once, and no result without its batch."""
    batches, results = read_dataset(path, "batches"), read_dataset(path)
    assert batches.batch_id.is_unique
    assert not results.duplicated(["batch_id", "source_directory_file_id"]).any()
    assert set(results.batch_id) <= set(batches.batch_id)
    if "jobs" in _table_names(Storage(path)):
        assert read_dataset(path, "jobs").job_id.is_unique


def _table_names(storage: Storage) -> list[TableName]:
    has_jobs = json.loads(storage.get("_manifest.json") or b"")["jobs"]
    return ["batches", "results", "jobs"] if has_jobs else ["batches", "results"]
