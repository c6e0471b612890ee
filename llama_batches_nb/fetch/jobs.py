"""The jobs that results refer to: how each ended and what it cost."""

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

JOB_IDS_PER_REQUEST = 100  # ids in one request: more make the URL too long

JobIdChunk = tuple[str, list[str]]


def fetch_jobs(
    results: Any,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the jobs that results refer to; one row is one job.

    They are asked for by the hundred, many requests at once.

    Parameters
    ----------
    results
        A frame with the columns ``job_id`` and ``job_type``, as from `fetch_results`. Rows
        without a job are passed over, and a job that several rows refer to is asked for once.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        In the order of the results by the hundred, and therein of the API, with the columns

        ================ ===================== ======================================
        job_id           string
        job_type         category
        status           category              ``COMPLETED``, ``FAILED``, …
        error_message    string                why it failed
        credits          Float64               billed; missing until that is recorded
        created_at       datetime64[us, UTC]
        updated_at       datetime64[us, UTC]
        ================ ===================== ======================================

    Raises
    ------
    BatchesError
        If a request fails; `.partial` holds the jobs of the others.

    Warns
    -----
    UserWarning
        If jobs are of a type for which no endpoint is known, or the API does not know them; they
        are left out.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=2)
    >>> jobs = lb.fetch_jobs(results)
    >>> len(jobs) == results.job_id.nunique()
    True
    """
    chunks = split_job_ids(engines.select_to_pandas(results, "job_id", "job_type"))
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    n_wanted = sum(len(ids) for _, ids in chunks)
    with progress_bar(progress, "jobs", unit="job", total=n_wanted) as shown:
        jobs = fetch_concurrently(
            partial(fetch_chunk, client, scope),
            chunks,
            partial(records.concat_to_pandas, JOBS),
            client=client,
            shown=shown,
            size=lambda chunk: len(chunk[1]),
        )
    if len(jobs) < n_wanted:
        warn(
            f"The API returned {len(jobs):,} of {n_wanted:,} jobs; the others may have been "
            "deleted, or be another project's. Their files have the outcome 'job_unknown'."
        )
    return jobs


def fetch_chunk(client: Client, scope: dict[str, Any], chunk: JobIdChunk) -> pa.Table:
    """Fetch the jobs of one chunk; those that the API does not know are left out."""
    job_type, wanted = chunk
    pages = endpoints.list_jobs(client, job_type, wanted, **scope)
    found = {listing.record_id(JOBS, job): job for page in pages for job in page.items}
    asked_for = set(wanted)  # some servers list more
    requested = [job for job_id, job in found.items() if job_id in asked_for]
    return records.to_arrow(JOBS, requested, job_type=job_type)


def split_job_ids(references: pd.DataFrame) -> list[JobIdChunk]:
    """Return the jobs to ask for, by type and in chunks, each job once."""
    mapped = references.dropna(subset="job_id").drop_duplicates("job_id")
    known = mapped.job_type.isin(list(endpoints.JOBS))
    if not known.all():
        types = ", ".join(sorted(mapped.job_type[~known].astype(object).fillna("none").unique()))
        warn(f"{int((~known).sum()):,} jobs are left out, of a type not known here: {types}.")
    chunks: list[JobIdChunk] = []
    for job_type, group in mapped[known].groupby("job_type", observed=True, sort=False):
        ids = [arguments.parse_id("job_id", job_id) for job_id in group.job_id]
        chunks += [
            (str(job_type), ids[i : i + JOB_IDS_PER_REQUEST])
            for i in range(0, len(ids), JOB_IDS_PER_REQUEST)
        ]
    return chunks
