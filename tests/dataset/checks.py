"""Compare a dataset with the tables that the fetch functions return."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import TableName, open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.types import PathLike


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
