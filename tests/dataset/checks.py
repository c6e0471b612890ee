"""Compare a dataset with the tables that the fetch functions return."""

from __future__ import annotations

import fnmatch
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import TableName, read_dataset
from llama_batches_nb.dataset.state import DATASET_TABLES, STATE_FILE, State
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import SyncReport
from llama_batches_nb.types import PathLike

EVERY_CALL = int(os.environ.get("EVERY_CALL", "0"))
"""With 1, all cases are tried and not a sample, as in `make reliability`; with n, each n-th."""


def fetch_tables(
    *, jobs: bool = False, pages: bool = False, **filters: Any
) -> dict[TableName, pd.DataFrame]:
    """Fetch what a dataset should hold, by table; `pages` needs `jobs`."""
    tables: dict[TableName, pd.DataFrame] = {
        "batches": lb.fetch_batches(**filters, progress=False),
        "results": lb.fetch_results(**filters, progress=False),
    }
    if jobs:
        tables["jobs"] = lb.fetch_jobs(tables["results"], progress=False)
    if pages:
        completed = tables["jobs"].query("status == 'COMPLETED' and job_type == 'parse_v2'")
        tables["pages"] = lb.fetch_pages(completed, progress=False)
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
        "pages": ["job_id", "page_number"],
    }
    for table, frame in expected.items():
        by = keys[table]
        pd.testing.assert_frame_equal(
            read_dataset(path, table).sort_values(by, ignore_index=True),
            frame.sort_values(by, ignore_index=True),
        )
    assert_no_other_files(path)


def assert_no_other_files(path: PathLike) -> None:
    """Assert that a dataset has the recorded files and no others."""
    storage = Storage(path)
    state = State.read(storage)
    assert state is not None
    assert not state.next_files
    assert set(storage.names()) == {STATE_FILE, *state.files}


def assert_rows_unique(path: PathLike) -> None:
    """Assert that a dataset has each row once, read as plain files, and no result alone."""
    batches, results = read_files(path, "batches"), read_files(path, "results")
    assert batches.batch_id.is_unique
    assert not results.duplicated(["batch_id", "source_directory_file_id"]).any()
    jobs = read_files(path, "jobs")
    assert jobs.job_id.is_unique
    assert not read_files(path, "pages").duplicated(["job_id", "page_number"]).any()


def read_files(path: PathLike, table: TableName) -> pd.DataFrame:
    """Read the files of a table as another program does, without the record of the sync."""
    storage = Storage(path)
    empty = DATASET_TABLES[table].arrow_schema.empty_table()
    parts = [
        pq.read_table(pa.BufferReader(storage.get(name)))
        for name in storage.names()
        if fnmatch.fnmatch(name, f"{table}/*.parquet")
    ]
    frame: pd.DataFrame = pa.concat_tables([empty, *parts]).to_pandas()
    return frame


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """Limit the size of a file to `free` bytes, as a disk does that has so many left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def sync_dataset(path: PathLike, **options: Any) -> SyncReport:
    """Sync without names, which few tests are about."""
    return lb.sync_dataset(path, **{"names": False, **options})
