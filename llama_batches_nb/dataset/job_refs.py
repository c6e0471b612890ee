"""Find the jobs that results refer to and of which the dataset lacks something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.run import Facets, SyncRun
from llama_batches_nb.dataset.state import file_name
from llama_batches_nb.dataset.stored_files import batch_keys
from llama_batches_nb.tables.schema import EXTRACTIONS, JOBS, PAGES, RESULTS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

MAX_REFS = 1000  # that are in memory together
OUTPUT_TABLES = {"parse_v2": PAGES, "extract_v2": EXTRACTIONS}


class JobRef(NamedTuple):
    """A job of a batch, with what is stored of it."""

    day: str
    job_id: str
    job_type: str
    key: str  # of the batch
    batch_id: str
    status: str | None  # None if it is not stored, or had not ended
    has_credits: bool
    has_output: bool


def unsettled_jobs(run: SyncRun, day: str, keys: set[str] | None) -> Iterator[JobRef]:
    """Yield the jobs of some batches of a day, or of all, that lack something, each once."""
    if keys is not None and not keys:
        return
    jobs, with_output = _stored_jobs(run, day)
    wanted = keys and pa.array(sorted(keys))
    seen = pa.array([None, ""], pa.string())  # neither is a job
    for rows in run.changes.rows(RESULTS, day, ["batch_id", "job_id", "job_type"]):
        if wanted is not None:
            rows = rows.filter(pc.is_in(batch_keys(rows["batch_id"]), value_set=wanted))
        rows = rows.filter(pc.invert(pc.is_in(rows["job_id"], value_set=seen)))
        seen = pa.concat_arrays([seen, rows["job_id"].combine_chunks()])
        yielded: set[str] = set()
        for part in _unsettled(rows, jobs, with_output, run.facets).to_batches(MAX_REFS):
            for ref in (JobRef(day, **row) for row in part.to_pylist()):
                if ref.job_id not in yielded:
                    yielded.add(ref.job_id)
                    yield ref


def _stored_jobs(run: SyncRun, day: str) -> tuple[pa.Table, pa.Array]:
    """Return the stored jobs of a day, and the ids of those that have an output."""
    columns = ["job_id", "status", "credits"]
    no_jobs = JOBS.arrow_schema.empty_table().select(columns)
    jobs = pa.concat_tables([no_jobs, *run.stored.rows(file_name(JOBS.name, day), columns)])
    with_output = [pa.array([], pa.string())]
    for table in OUTPUT_TABLES.values() if run.facets.content else ():
        parts = run.stored.rows(file_name(table.name, day), ["job_id"])
        with_output += [part["job_id"].unique() for part in parts]
    return jobs.combine_chunks(), pa.concat_arrays(with_output)


def _unsettled(rows: pa.Table, jobs: pa.Table, with_output: pa.Array, facets: Facets) -> pa.Table:
    """Return the jobs of results that are not stored, or of which something is missing."""
    place = pc.index_in(rows["job_id"], value_set=jobs["job_id"])
    status = jobs["status"].take(place)
    has_ended = pc.is_in(status, value_set=pa.array(sorted(TERMINAL_STATUSES)))
    has_credits = jobs["credits"].take(place).is_valid()
    has_output = pc.is_in(rows["job_id"], value_set=with_output)
    is_settled = has_ended
    if facets.usage:
        is_settled = pc.and_(is_settled, has_credits)
    if facets.content:
        has_none = pc.not_equal(status, "COMPLETED").fill_null(False)
        is_settled = pc.and_(is_settled, pc.or_(has_output, has_none))
    columns = {
        "job_id": rows["job_id"],
        "job_type": rows["job_type"],
        "key": batch_keys(rows["batch_id"]),
        "batch_id": rows["batch_id"],
        "status": pc.if_else(has_ended, status, None),
        "has_credits": has_credits,
        "has_output": has_output,
    }
    return pa.table(columns).filter(pc.invert(is_settled))
