"""Find the source files in a frame, and the jobs that may hold the output of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa

from llama_batches_nb.fetch.job_selection import (
    WITHOUT_JOB,
    LeftOutJobs,
    reason_without_output,
)
from llama_batches_nb.fetch.jobs import JOB_IDS_PER_REQUEST, fetch_chunk
from llama_batches_nb.fetch.names import find_file_names
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.schema import JOBS
from llama_batches_nb.types import IntoFrame, Record

FILE_KEYS = ("file_id", "source_directory_file_id", "job_id")  # the first one that is known
COLUMNS = (
    *FILE_KEYS,
    "source_directory_id",
    "display_name",
    "name",
    "job_type",
    "status",
    "outcome",
    "batch_created_at",
)


@dataclass(frozen=True)
class SourceFile:
    """A source file with the jobs that processed it, all of one type, the latest first."""

    key: str
    job_type: str
    source_directory_file_id: str | None
    source_directory_id: str | None
    display_name: str | None
    job_ids: tuple[str, ...]


def find_source_files(
    files: IntoFrame, client: Client, scope: Record, left_out: LeftOutJobs
) -> list[SourceFile]:
    """Return the source files of a frame that may have an output; count the others."""
    frame = select_columns(files)
    has_job = frame["job_id"].notna() & (frame["job_id"] != "")
    left_out.add(WITHOUT_JOB, int((~has_job).sum()))
    frame = _add_job_types(frame[has_job].reset_index(drop=True), client, scope)
    if "batch_created_at" in frame:
        frame["order"] = pd.factorize(frame["batch_created_at"], sort=True)[0]
    groups: dict[tuple[str, str], list[Mapping[Any, Any]]] = {}
    for row in frame.to_dict("records"):
        key = next(str(row[name]) for name in FILE_KEYS if row.get(name))
        groups.setdefault((key, str(row["job_type"])), []).append(row)
    sources = []
    for (key, job_type), rows in groups.items():
        rows.sort(key=lambda row: row.get("order", 0))  # the latest last
        reasons = [_reason(row) for row in rows]
        candidates = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
        if not candidates:
            left_out.add(str(reasons[-1]))
            continue
        latest = candidates[-1]
        sources.append(
            SourceFile(
                key,
                job_type,
                _text(latest, "source_directory_file_id"),
                _text(latest, "source_directory_id"),
                _text(latest, "display_name") or _text(latest, "name"),
                tuple(dict.fromkeys(row["job_id"] for row in reversed(candidates))),
            )
        )
    return sources


def find_names(sources: Sequence[SourceFile], client: Client, scope: Record) -> list[str]:
    """Return a name for each source file: its display name, else its id."""
    frame = pd.DataFrame(
        {
            "source_directory_file_id": [source.source_directory_file_id for source in sources],
            "source_directory_id": [source.source_directory_id for source in sources],
            "display_name": [source.display_name for source in sources],
        },
        dtype=object,
    )
    names = find_file_names(nw.from_native(frame, eager_only=True), client, scope)
    return [name or source.key for name, source in zip(names, sources, strict=True)]


def _reason(row: Mapping[Any, Any]) -> str | None:
    """Return why a row has no output, or None if it may have one."""
    if row["job_type"] not in endpoints.JOBS:
        return f"of type {row['job_type']}"
    return reason_without_output(row, None)


def select_columns(files: IntoFrame) -> pd.DataFrame:
    """Return the columns that matter, or raise if there is no column of jobs."""
    if isinstance(files, pd.DataFrame) and "job_id" not in files and "job_id" in files.index.names:
        files = files.reset_index("job_id")
    wrapped = engines.wrap_frame("files", files)
    engines.check_columns(wrapped, "job_id")
    existing = engines.column_names(wrapped)
    frame = engines.select_to_pandas(wrapped, *(name for name in COLUMNS if name in existing))
    for name in frame:
        if name != "batch_created_at":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    for job_id in frame["job_id"].dropna():
        arguments.parse_id("job_id", job_id)
    return frame


def _add_job_types(frame: pd.DataFrame, client: Client, scope: Record) -> pd.DataFrame:
    """Look up the types of jobs that the frame does not show, such as one of final outcomes."""
    if "job_type" not in frame:
        frame["job_type"] = None
    unknown = frame["job_type"].isna()
    ids = list(dict.fromkeys(frame.loc[unknown, "job_id"]))
    types: dict[str, str] = {}
    for job_type in endpoints.JOBS:
        ids = [job_id for job_id in ids if job_id not in types]
        for start in range(0, len(ids), JOB_IDS_PER_REQUEST):
            chunk = (job_type, ids[start : start + JOB_IDS_PER_REQUEST])
            jobs: pa.Table = fetch_chunk(client, scope, chunk)
            types.update(dict.fromkeys(jobs[JOBS.key].to_pylist(), job_type))
    frame.loc[unknown, "job_type"] = [
        types.get(i, "parse_v2") for i in frame.loc[unknown, "job_id"]
    ]
    return frame


def _text(row: Mapping[Any, Any], name: str) -> str | None:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode(errors="replace").decode()  # without lone surrogates
