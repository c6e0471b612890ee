"""Hypothesis strategies for API records, frames and times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import (
    BATCHES,
    CONFIGURATIONS,
    DIRECTORIES,
    FILES,
    JOBS,
    MAPPINGS,
    RESULTS,
    Column,
    Table,
)
from llama_batches_nb.tables.statuses import BATCH_STATUSES, JOB_STATUSES, JOB_TYPES
from llama_batches_nb.types import Record

LISTED = (BATCHES, JOBS, FILES, DIRECTORIES, CONFIGURATIONS, MAPPINGS)
"""Tables whose rows are API records."""
TABLES = (*LISTED, RESULTS)

few = settings(max_examples=12, deadline=None)
some = settings(max_examples=30, deadline=None)
many = settings(max_examples=300, deadline=None)

texts = st.text(max_size=12)
ids = st.text(min_size=1, max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
job_ids = st.sampled_from(["pjb-1", "pjb-2", "pjb-3", "ejb-ж"])


def known_or_unknown(known: Iterable[str]) -> st.SearchStrategy[str]:
    """One of the known values, or an unknown one."""
    return st.sampled_from(tuple(known)) | st.sampled_from(["PAUSED", "NaN", "None", "état"])


def instants(year: int = 2026) -> st.SearchStrategy[datetime]:
    """Times within 18 months, in UTC."""
    return st.datetimes(datetime(year, 1, 1), datetime(year + 1, 6, 30), timezones=st.just(UTC))


def zones() -> st.SearchStrategy[timezone]:
    return st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def values(column: Column) -> st.SearchStrategy[Any]:
    """Values that the API can send for a column, including missing ones."""
    if column.type == "category":
        return st.none() | known_or_unknown(column.categories)
    if column.type == "time":
        return st.none() | instants().map(datetime.isoformat)
    if column.type == "Float64":
        return st.none() | st.integers(-10, 10**6) | st.floats(0, 1e9)
    if column.type == "Int64":
        return st.none() | st.integers(-(2**63), 2**63 - 1)
    if column.type == "json":
        return st.none() | st.dictionaries(texts, json_values, max_size=3)
    return st.none() | texts


@st.composite
def api_records(draw: st.DrawFn, table: Table) -> Record:
    """One record of a table, with some fields missing and an unknown field."""
    record: Record = {"tomorrow": draw(st.none() | st.integers())}
    for column in table.columns:
        required = column.name == table.key
        if required or draw(st.integers(0, 4)):
            *parents, last = column.path
            parent = record
            for key in parents:
                parent = parent.setdefault(key, {})
            parent[last] = draw(ids if required else values(column))
    return record


def at(record: Record, path: Iterable[str]) -> Any:
    """Return the value at a path of a record, or None if a key is missing."""
    value: Any = record
    for key in path:
        value = None if value is None else value.get(key)
    return value


@st.composite
def mappings(draw: st.DrawFn) -> Record:
    """The mapping of a file: with or without a job, with or without a message."""
    job = st.fixed_dictionaries(
        {"id": st.none() | job_ids}, optional={"type": known_or_unknown(JOB_TYPES)}
    )
    return {
        "source_directory_file_id": draw(ids),
        "job_reference": draw(st.none() | job),
        "error_message": draw(st.none() | st.sampled_from(["", "no such file"]) | texts),
    }


def result_frames() -> st.SearchStrategy[pd.DataFrame]:
    """Frames of the results of a few batches, some without files."""
    batch = st.builds(
        lambda record, results: {**record, "results": results},
        api_records(BATCHES),
        st.none() | st.lists(mappings(), max_size=4),
    )
    return st.lists(batch, max_size=4).map(lambda batches: results_of(*batches))


def results_of(*batches: Record) -> pd.DataFrame:
    """Return the results of batches, from the API's record of each."""
    return records.concat_to_pandas(RESULTS, map(records.results_from_record, batches))


def job_frames() -> st.SearchStrategy[pd.DataFrame]:
    """Frames of jobs, with duplicates and with jobs that no result refers to."""
    job = st.fixed_dictionaries(
        {"id": job_ids | ids, "status": st.none() | known_or_unknown(JOB_STATUSES)},
        optional={"error_message": st.none() | texts, "usage": st.just({"credits": 3})},
    )
    return st.lists(job, max_size=6).map(lambda jobs: records.to_pandas(JOBS, jobs))


def outcome_frames() -> st.SearchStrategy[pd.DataFrame]:
    return st.builds(outcomes, result_frames(), st.none() | job_frames())


def batch_frames() -> st.SearchStrategy[pd.DataFrame]:
    return st.lists(api_records(BATCHES), max_size=12).map(
        lambda found: records.to_pandas(BATCHES, found)
    )


def table_frames(table: Table) -> st.SearchStrategy[pd.DataFrame]:
    """Frames of a table."""
    if table is RESULTS:
        return result_frames()
    return st.lists(api_records(table), max_size=6).map(
        lambda found: records.to_pandas(table, found)
    )


def batches(*statuses: str, **columns: Any) -> pd.DataFrame:
    """Return batches with these statuses, and set columns."""
    assert set(statuses) <= set(BATCH_STATUSES)
    found = [{"id": f"bat-{n}", "status": status} for n, status in enumerate(statuses)]
    return records.to_pandas(BATCHES, found).assign(**columns)
