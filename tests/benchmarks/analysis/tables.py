"""Parquet files of a long history: batches, results, jobs, files, and the outcomes of all files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llama_batches_nb.tables.schema import BATCHES, FILES, JOBS, RESULTS

FILES_PER_BATCH = 500
CONFIGURATIONS = ("cfg-0", "cfg-1", "cfg-2", "cfg-3")  # each runs every directory, in one batch
BATCHES_PER_CHUNK = 2_000
START = np.datetime64("2026-01-01", "us")
MESSAGES = (
    "Page {n} of the document is blank",
    "Timed out after {n} s while the layout model was running",
    "The file is encrypted",
    "Out of memory on worker {n}",
)
N_MESSAGES = 400  # distinct ones of jobs
UNMAPPED = "The file has an unsupported format"
SCHEMAS = {
    "batches": BATCHES.arrow_schema,
    "results": RESULTS.arrow_schema,
    "jobs": JOBS.arrow_schema,
    "files": FILES.arrow_schema,
    "outcomes": pa.schema(
        [
            *RESULTS.arrow_schema,
            pa.field("outcome", pa.string()),
            pa.field("job_error_message", pa.string()),
            pa.field("credits", pa.float64()),
        ]
    ),
}

Columns = dict[str, Any]


def write_tables(folder: Path, n_rows: int) -> None:
    """Write each table with about `n_rows` results; a quarter of them are distinct files."""
    rng = np.random.default_rng(7)
    n_batches = n_rows // FILES_PER_BATCH // len(CONFIGURATIONS) * len(CONFIGURATIONS)
    writers = {
        name: pq.ParquetWriter(folder / f"{name}.parquet", SCHEMAS[name]) for name in SCHEMAS
    }
    for first in range(0, n_batches, BATCHES_PER_CHUNK):
        count = min(BATCHES_PER_CHUNK, n_batches - first)
        for name, columns in _chunk(rng, first, count, n_batches).items():
            size = len(next(iter(columns.values())))
            schema = SCHEMAS[name]
            arrays = [columns.get(f.name, pa.nulls(size, f.type)) for f in schema]
            writers[name].write_table(
                pa.table([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema)
            )
    for writer in writers.values():
        writer.close()


def _chunk(rng: np.random.Generator, first: int, count: int, n_batches: int) -> dict[str, Columns]:
    """Return the rows of some batches and of the jobs and files that belong to them."""
    n_sides = len(CONFIGURATIONS)
    batches = _batches(rng, first, count, n_batches)
    in_batch = np.repeat(np.arange(count), FILES_PER_BATCH)
    file = in_batch // n_sides * FILES_PER_BATCH + np.tile(np.arange(FILES_PER_BATCH), count)
    files = _files(rng, count // n_sides * FILES_PER_BATCH)
    drawn = rng.random(len(in_batch))
    chance = rng.beta(0.5, 9.5, count)[in_batch]  # of a failure; differs between batches
    status = np.select([drawn < chance, drawn > 0.98], [1, 2], 0)
    is_unmapped = pa.array(rng.random(len(in_batch)) < 0.01)
    job_id = _ids(rng, "pjb-", len(in_batch))
    statuses = pa.array(["COMPLETED", "FAILED", "CANCELLED"]).take(pa.array(status))
    message = pc.if_else(
        pc.equal(statuses, "FAILED"), _messages(rng, len(in_batch)), pa.scalar(None, pa.string())
    )
    charged = pa.array(rng.integers(1, 90, len(in_batch)).astype(float))
    take = {name: values.take(pa.array(in_batch)) for name, values in batches.items()}
    results = {
        **{n: take[n] for n in ("batch_id", "configuration_id", "source_directory_id", "job_type")},
        "batch_status": take["status"],
        "batch_created_at": take["created_at"],
        "source_directory_file_id": files["source_directory_file_id"].take(pa.array(file)),
        "job_id": pc.if_else(is_unmapped, pa.scalar(None, pa.string()), job_id),
        "error_message": pc.if_else(is_unmapped, UNMAPPED, pa.scalar(None, pa.string())),
    }
    outcome = pa.array(["succeeded", "job_failed", "job_cancelled"]).take(pa.array(status))
    outcomes = {
        **results,
        "outcome": pc.if_else(is_unmapped, "mapping_error", outcome),
        "job_error_message": pc.if_else(is_unmapped, pa.scalar(None, pa.string()), message),
        "credits": pc.if_else(is_unmapped, pa.scalar(None, pa.float64()), charged),
    }
    order = pa.array(rng.permutation(len(in_batch)))
    jobs = {
        "job_id": job_id,
        "job_type": take["job_type"],
        "status": statuses,
        "error_message": message,
        "credits": charged,
        "created_at": take["created_at"],
        "updated_at": take["updated_at"],
    }
    return {
        "batches": batches,
        "results": results,
        "jobs": {name: values.take(order) for name, values in jobs.items()},
        "files": files,
        "outcomes": outcomes,
    }


def _batches(rng: np.random.Generator, first: int, count: int, n_batches: int) -> Columns:
    number = np.arange(first, first + count)
    created = START + number * (365 * 86_400_000_000 // n_batches)
    directory = _ids(rng, "dir-", count // len(CONFIGURATIONS))
    return {
        "batch_id": _ids(rng, "bat-", count),
        "status": pa.array(np.where(number % 50 == 0, "FAILED", "COMPLETED")),
        "job_type": pa.repeat("parse_v2", count),
        "configuration_id": pa.array(CONFIGURATIONS).take(pa.array(number % len(CONFIGURATIONS))),
        "source_directory_id": directory.take(pa.array((number - first) // len(CONFIGURATIONS))),
        "created_at": _times(created),
        "updated_at": _times(created + np.timedelta64(3_600_000_000, "us")),
    }


def _files(rng: np.random.Generator, count: int) -> Columns:
    names = pa.array([f"scan {n}.pdf" for n in range(FILES_PER_BATCH)])
    return {
        "source_directory_file_id": _ids(rng, "dfl-", count),
        "file_id": _ids(rng, "fil-", count),
        "display_name": names.take(pa.array(np.arange(count) % FILES_PER_BATCH)),
    }


def _messages(rng: np.random.Generator, count: int) -> pa.Array:
    each = N_MESSAGES // len(MESSAGES)
    distinct = pa.array([text.format(n=n) for text in MESSAGES for n in range(each)])
    return distinct.take(pa.array(rng.integers(0, N_MESSAGES, count)))


def _ids(rng: np.random.Generator, prefix: str, count: int) -> pa.Array:
    """Return random ids as long as those of the API."""
    digits: npt.NDArray[Any] = np.frombuffer(rng.bytes(16 * count).hex().encode(), dtype="S32")
    text = pa.array(digits, pa.binary(32)).cast(pa.binary()).cast(pa.string())
    return pc.binary_join_element_wise(prefix, text, "")


def _times(values: npt.NDArray[np.datetime64]) -> pa.Array:
    return pa.array(values).cast(pa.timestamp("us", "UTC"))
