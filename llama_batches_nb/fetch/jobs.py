"""Fetch the jobs that results refer to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from llama_batches_nb.errors import BatchesError, InvalidRequestError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.usage import fetch_usage
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.endpoints import JobRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import arguments, engines, records, schema
from llama_batches_nb.tables.schema import JOBS, Table
from llama_batches_nb.types import ErrorMode, IntoFrame

JOB_IDS_PER_REQUEST = 100  # ids; more make the URL too long
URL_TOO_LONG = (414, 431)  # HTTP statuses

LIST_EXPAND = {"parse_v2": None, "extract_v2": ["extract_metadata"]}
"""Fields that lists of jobs leave out unless asked; the list of parse jobs has no ``expand``."""

JobIdChunk = tuple[str, list[str]]
"""A job type and the ids of one request."""


def fetch_jobs(
    results: IntoFrame,
    *,
    usage: bool = False,
    raw: bool = False,
    errors: ErrorMode = "raise",
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
    usage
        Also ask each job that does not run any more for its credits, with one more request per
        job. Lists of jobs are not documented to contain them.
    raw
        Add a column ``raw`` with the JSON text of each job.
    errors
        ``"raise"`` stops at the first request that fails; ``"warn"`` leaves out the jobs, or the
        credits, of that request and names them in a warning. A rejected API key and a persistent
        rate limit always raise.
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

        ================ ===================== ================================================
        job_id           string
        job_type         category
        status           category              ``COMPLETED``, ``FAILED``, …
        error_message    string                why the job failed
        name             string                display name of a parse job
        tier             string                tier of the parsing, also of an extract job's
        credits          Float64               billed in total; missing if not known
        extract_credits  Float64               part of `credits` for the extraction itself
        parse_credits    Float64               part of `credits` for the parse job behind it
        pages_billed     Int64                 pages billed for an extract job
        file_input       string                file or parse job that was extracted
        parse_job_id     string                parse job behind an extract job
        user_metadata    string                tags of a parse job, as JSON text
        created_at       datetime64[us, UTC]
        updated_at       datetime64[us, UTC]
        ================ ===================== ================================================

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    BatchesError
        If a request fails; ``.partial`` holds the jobs fetched so far, also when interrupted
        (`KeyboardInterrupt`).

    Warns
    -----
    UserWarning
        If jobs are missing: the API does not know them, or their type is not supported. With
        `usage`, also if ended jobs have expired, so that their credits stay missing.

    Notes
    -----
    Credits are missing until the service has billed the job. One parse job can be behind several
    extract jobs, and each of them reports its whole cost in `parse_credits` and `credits`: the sum
    of `credits` may be too high. `summarize` counts each parse job once.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> results = lb.fetch_results(status="COMPLETED", limit=2)
    >>> jobs = lb.fetch_jobs(results, usage=True)
    >>> len(jobs) == results.job_id.nunique()
    True
    """
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    with_usage = arguments.parse_bool("usage", usage)
    table = schema.with_raw(JOBS, arguments.parse_bool("raw", raw))
    chunks = split_job_ids(
        engines.select_to_pandas(engines.wrap_frame("results", results), "job_id", "job_type")
    )
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    n_requested = sum(len(ids) for _, ids in chunks)
    skipped = _SkippedJobs(allowed=errors == "warn")
    with progress_bar(progress, "jobs", unit="job", total=n_requested) as bar:
        jobs = fetch_concurrently(
            partial(fetch_chunk, client, scope, table=table),
            chunks,
            partial(records.concat_to_pandas, table),
            client=client,
            progress=bar,
            size=lambda chunk: len(chunk[1]),
            on_error=skipped.on_chunk,
        )
    skipped.warn_skipped("job")
    n_answered = n_requested - len(skipped.errors)
    if len(jobs) < n_answered:
        warn(
            f"The API returned {len(jobs):,} of {format_count(n_answered, 'job')}; the others may "
            "be deleted, expired or belong to another project. Their files get the outcome "
            "'job_unknown'."
        )
    if with_usage:
        jobs = fetch_usage(
            jobs, table, scope, client=client, skip_failed=errors == "warn", progress=progress
        )
    return jobs


class _SkippedJobs(SkippedItems[str]):
    """The jobs of the requests that failed."""

    def on_chunk(self, chunk: JobIdChunk, error: BatchesError) -> bool:
        return all(self(job_id, error) for job_id in chunk[1])


def fetch_chunk(
    client: Client, scope: dict[str, Any], chunk: JobIdChunk, *, table: Table = JOBS
) -> pa.Table:
    """Fetch the jobs of one chunk; jobs that the API does not know are missing."""
    job_type, job_ids = chunk
    by_id = {listing.record_id(JOBS, job): job for job in iter_jobs(client, scope, chunk)}
    # A server may ignore the filter and list others too, or write an id in another case.
    requested = {job_id.casefold() for job_id in job_ids}
    jobs = [job for job_id, job in by_id.items() if job_id.casefold() in requested]
    return records.to_arrow(table, jobs, job_type=job_type)


def iter_jobs(
    client: Client, scope: dict[str, Any], chunk: JobIdChunk, **options: Any
) -> Iterator[JobRecord]:
    """Yield the jobs of one chunk, in several requests if it is too large for the server."""
    job_type, job_ids = chunk
    params = {"expand": LIST_EXPAND[job_type], **options, **scope}
    try:
        pages = list(endpoints.list_jobs(client, job_type, job_ids, **params))
    except InvalidRequestError as error:
        half = len(job_ids) // 2
        is_too_large = error.status_code in URL_TOO_LONG or "job_ids" in error.fields
        if not (is_too_large and half):
            raise
        for part in (job_ids[:half], job_ids[half:]):
            yield from iter_jobs(client, scope, (job_type, part), **options)
        return
    for page in pages:
        yield from page.items


def split_job_ids(references: pd.DataFrame) -> list[JobIdChunk]:
    """Return the distinct jobs by type, in chunks of one request each."""
    has_job = references.job_id.notna() & (references.job_id != "")
    references = references[has_job].drop_duplicates("job_id")
    is_supported = references.job_type.isin(list(endpoints.JOBS))
    if not is_supported.all():
        unsupported = references.job_type[~is_supported].astype(object).fillna("none")
        n = len(unsupported)
        warn(
            f"{format_count(n, 'job')} {agree(n, 'is')} skipped because the type is not supported: "
            f"{', '.join(sorted(unsupported.unique()))}."
        )
        references = references[is_supported]
    is_usable = [not isinstance(id_, str) or arguments.is_id(id_) for id_ in references.job_id]
    usable = pd.Series(is_usable, references.index, bool)
    if not usable.all():
        unusable = references.job_id[~usable]
        n = len(unusable)
        warn(
            f"{format_count(n, 'job')} {agree(n, 'is')} left out because of an invalid id: "
            f"{format_list(unusable)}."
        )
    chunks: list[JobIdChunk] = []
    groups = references[usable].groupby("job_type", observed=True, sort=False)
    for job_type, group in groups:
        ids = [arguments.parse_id("job_id", job_id) for job_id in group.job_id]
        chunks += [
            (str(job_type), ids[i : i + JOB_IDS_PER_REQUEST])
            for i in range(0, len(ids), JOB_IDS_PER_REQUEST)
        ]
    return chunks
