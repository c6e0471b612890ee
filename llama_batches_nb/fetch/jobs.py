"""Fetch the jobs that results refer to."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import arguments, engines, records
from llama_batches_nb.tables.schema import JOBS
from llama_batches_nb.types import IntoFrame

JOB_IDS_PER_REQUEST = 100  # ids; more make the URL too long

JobIdChunk = tuple[str, list[str]]
"""A job type and the ids of one request."""


def fetch_jobs(
    results: IntoFrame,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the jobs that results refer to; one row is one job.

    Sends one request per 100 jobs, several at a time.

    Parameters
    ----------
    results
        A frame with the columns ``job_id`` and ``job_type``, such as from `fetch_results`. Rows
        without a job are skipped, and each job is fetched once.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        Ordered by request (100 jobs each), then as returned by the API, with the columns

        ================ ===================== ======================================
        job_id           string
        job_type         category
        status           category              ``COMPLETED``, ``FAILED``, …
        error_message    string                why the job failed
        credits          Float64               billed credits; missing if not known yet
        created_at       datetime64[us, UTC]
        updated_at       datetime64[us, UTC]
        ================ ===================== ======================================

    Raises
    ------
    BatchesError
        If a request fails; ``.partial`` holds the jobs fetched so far.

    Warns
    -----
    UserWarning
        If jobs are missing: the API does not know them, or their type is not supported.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=2)
    >>> jobs = lb.fetch_jobs(results)
    >>> len(jobs) == results.job_id.nunique()
    True
    """
    chunks = split_job_ids(
        engines.select_to_pandas(engines.wrap_frame("results", results), "job_id", "job_type")
    )
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    n_requested = sum(len(ids) for _, ids in chunks)
    with progress_bar(progress, "jobs", unit="job", total=n_requested) as bar:
        jobs = fetch_concurrently(
            partial(fetch_chunk, client, scope),
            chunks,
            partial(records.concat_to_pandas, JOBS),
            client=client,
            progress=bar,
            size=lambda chunk: len(chunk[1]),
        )
    if len(jobs) < n_requested:
        warn(
            f"The API returned {len(jobs):,} of {n_requested:,} jobs; the others may be deleted or "
            "belong to another project. Their files get the outcome 'job_unknown'."
        )
    return jobs


def fetch_chunk(client: Client, scope: dict[str, Any], chunk: JobIdChunk) -> pa.Table:
    """Fetch the jobs of one chunk; jobs that the API does not know are missing."""
    job_type, job_ids = chunk
    pages = endpoints.list_jobs(client, job_type, job_ids, **scope)
    by_id = {listing.record_id(JOBS, job): job for page in pages for job in page.items}
    requested = set(job_ids)  # a server may ignore the filter and list others too
    jobs = [job for job_id, job in by_id.items() if job_id in requested]
    return records.to_arrow(JOBS, jobs, job_type=job_type)


def split_job_ids(references: pd.DataFrame) -> list[JobIdChunk]:
    """Return the distinct jobs by type, in chunks of one request each."""
    references = references.dropna(subset="job_id").drop_duplicates("job_id")
    is_supported = references.job_type.isin(list(endpoints.JOBS))
    if not is_supported.all():
        unsupported = references.job_type[~is_supported].astype(object).fillna("none")
        warn(
            f"{len(unsupported):,} jobs are skipped because their type is not supported: "
            f"{', '.join(sorted(unsupported.unique()))}."
        )
    chunks: list[JobIdChunk] = []
    groups = references[is_supported].groupby("job_type", observed=True, sort=False)
    for job_type, group in groups:
        ids = [arguments.parse_id("job_id", job_id) for job_id in group.job_id]
        chunks += [
            (str(job_type), ids[i : i + JOB_IDS_PER_REQUEST])
            for i in range(0, len(ids), JOB_IDS_PER_REQUEST)
        ]
    return chunks
