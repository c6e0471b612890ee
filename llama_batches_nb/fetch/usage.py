"""Ask jobs for what they were billed, which lists of jobs do not contain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.errors import BatchesError, NotFoundError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.messages import format_list, warn
from llama_batches_nb.tables import records, schema
from llama_batches_nb.tables.schema import JOBS, Table
from llama_batches_nb.tables.statuses import RUNNING_STATUSES

USAGE_EXPAND = {"parse_v2": ["usage"], "extract_v2": ["usage", "extract_metadata"]}
"""Fields to ask of one job: its credits, and the parse job behind an extract job."""

JobKey: TypeAlias = tuple[str, str]
"""Job type and job id."""


def fetch_usage(
    jobs: pd.DataFrame,
    table: Table,
    scope: dict[str, Any],
    *,
    client: Client,
    skip_failed: bool,
    progress: Progress,
) -> pd.DataFrame:
    """Return the jobs in the same order, each as it is when asked with ``expand=usage``.

    Jobs that still run are not asked; those with an unknown status are, as they may have ended.

    A job that the API does not know any more has expired: it stays as it is, with a warning. With
    `skip_failed`, so do the jobs whose request fails.
    """
    asked = jobs[~jobs["status"].isin(list(RUNNING_STATUSES))]
    keys: list[JobKey] = list(zip(asked["job_type"].astype(str), asked["job_id"], strict=True))
    skipped = _SkippedJobs(allowed=skip_failed)
    listed = pa.Table.from_pandas(jobs, schema=table.arrow_schema, preserve_index=False)
    with progress_bar(progress, "credits", unit="job", total=len(keys)) as bar:
        result = fetch_concurrently(
            partial(fetch_billed_job, client, scope, table),
            keys,
            partial(_replace_rows, table, listed),
            client=client,
            progress=bar,
            on_error=skipped.on_job,
        )
    skipped.warn_expired()
    skipped.warn_skipped("job", of="credits")
    return result


def replace_jobs(jobs: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """Return the jobs in the same order, each as it is in `newer` if it is there."""
    old, new = (
        pa.Table.from_pandas(frame, schema=JOBS.arrow_schema, preserve_index=False)
        for frame in (jobs, newer)
    )
    return _replace_rows(JOBS, old, [new])


def fetch_billed_job(client: Client, scope: dict[str, Any], table: Table, key: JobKey) -> pa.Table:
    """Return one job as it is when asked with ``expand=usage``."""
    job_type, job_id = key
    job = endpoints.get_job(client, job_type, job_id, expand=USAGE_EXPAND[job_type], **scope)
    records.check_response_id(job_id, listing.record_id(JOBS, job), what="job")
    return records.to_arrow(table, [job], job_type=job_type, job_id=job_id)


def _replace_rows(table: Table, jobs: pa.Table, replacements: Sequence[pa.Table]) -> pd.DataFrame:
    """Return the jobs in their order, with the rows of some replaced."""
    new = pa.concat_tables([table.arrow_schema.empty_table(), *replacements]).combine_chunks()
    is_old = pc.invert(pc.is_in(jobs[table.key], value_set=new[table.key]))
    rows = pa.concat_tables([jobs.filter(is_old), new]).combine_chunks()
    order = pc.index_in(jobs[table.key], value_set=rows[table.key])
    return schema.to_pandas(rows.take(order), table.columns)


class _SkippedJobs(SkippedItems[str]):
    """Jobs whose request failed; those that have expired are always skipped."""

    def __init__(self, *, allowed: bool) -> None:
        super().__init__(allowed=allowed)
        self._expired: list[str] = []

    def on_job(self, key: JobKey, error: BatchesError) -> bool:
        if isinstance(error, NotFoundError):
            self._expired.append(key[1])
            return True
        return self(key[1], error)

    def warn_expired(self) -> None:
        if self._expired:
            warn(
                f"The API no longer knows {len(self._expired):,} of the jobs that it lists: "
                f"{format_list(self._expired)}. Their credits stay missing, since the service "
                "deletes jobs after 48 hours."
            )
