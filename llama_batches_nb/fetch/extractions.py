"""Fetch the data that extract jobs extracted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import pandas as pd

from llama_batches_nb.errors import NotFoundError, ResponseError
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.job_selection import LeftOutJobs, expired_error, select_jobs
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import AmountReceived, Progress, progress_bar
from llama_batches_nb.tables import arguments, extractions, output_records, schema
from llama_batches_nb.tables.extractions import ExtractedRow
from llama_batches_nb.tables.output_records import JobStatusRecord
from llama_batches_nb.tables.records import check_response_id
from llama_batches_nb.tables.schema import EXTRACTIONS
from llama_batches_nb.types import ErrorMode, JobIds, Record


def fetch_extractions(
    jobs: JobIds,
    *,
    errors: ErrorMode = "raise",
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the data of completed extract jobs; one row is one extracted object.

    Sends one request per job, several at a time. The service deletes outputs after 48 hours.

    Parameters
    ----------
    jobs
        A job id, several ids, or a frame with a ``job_id`` column, such as from `fetch_results`,
        `fetch_jobs` or `outcomes`. Each job is fetched once. Jobs that have not completed are left
        out; those that the frame shows as failed, or as no extract jobs, need no request.
    errors
        ``"raise"`` stops at the first job that cannot be fetched; ``"warn"`` skips it and lists
        the skipped jobs in a warning. A rejected API key and a persistent rate limit always raise.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar with the files, rows and megabytes. By default only in notebooks and
        terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        Ordered by job as given, then as returned by the API, with the columns

        ======== ======== ===================================================================
        job_id   string
        row      Int64    number of the object in its job, from 0; several if the configuration
                          extracts per page or per table row
        …                 one column per top-level field of any object, named as the field
        ======== ======== ===================================================================

        A field that an object does not have, or has as null, is missing. A field named ``job_id``
        or ``row`` becomes the column ``job_id_`` or ``row_``. The dtype follows from all values of
        the field:

        ============================================= =======================================
        all boolean                                   boolean
        all text                                      string
        all integers of at most 64 bits               Int64
        all numbers that float64 keeps                Float64
        objects, lists, larger numbers, mixed types   string: each value as JSON text, as sent
        ============================================= =======================================

        So no value is changed, and the frame is the same after `export_parquet` and
        `read_parquet`. Read JSON text with ``column.map(json.loads, na_action="ignore")``, or with
        the JSON functions of DuckDB and Polars.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    NotFoundError
        If a job does not exist, or its output has expired.
    BatchesError
        If a job cannot be fetched; ``.partial`` holds the rows fetched so far, also when
        interrupted (`KeyboardInterrupt`).

    Warns
    -----
    UserWarning
        If jobs are left out: how many, and why.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status="COMPLETED")
    >>> results = lb.fetch_results(batches[batches.job_type == "extract_v2"].tail(5))
    >>> jobs = lb.fetch_jobs(results).query("status == 'COMPLETED'")
    >>> invoices = lb.fetch_extractions(jobs.head(3))
    >>> invoices.job_id.nunique()
    3
    """
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    left_out = LeftOutJobs()
    job_ids = select_jobs(jobs, "extract_v2", left_out)
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    received = AmountReceived("row")
    skipped: SkippedItems[str] = SkippedItems(allowed=errors == "warn")

    def fetch_one(job_id: str) -> list[ExtractedRow]:
        job, size = read_extract_job(client, job_id, scope)
        result = job.result()
        if result is None:
            left_out.add(job.reason_without("a result"))
        rows = [] if result is None else extractions.parse_extraction(job.id or job_id, result)
        received.add(len(rows), size)
        return rows

    with progress_bar(progress, "extractions", unit="file", total=len(job_ids)) as bar:
        rows = fetch_concurrently(
            fetch_one,
            job_ids,
            _to_pandas,
            client=client,
            progress=bar,
            on_error=skipped,
            note=lambda: str(received),
        )
    left_out.warn("Only completed extract jobs have data.")
    skipped.warn_skipped("job")
    return rows


def read_extract_job(client: Client, job_id: str, scope: Record) -> tuple[JobStatusRecord, int]:
    """Return an extract job with its result, and the bytes received.

    Raises `NotFoundError` if the job has expired.
    """
    sizes: list[int] = []

    def decode(body: bytes) -> JobStatusRecord:
        sizes.append(len(body))
        return output_records.decode(body, JobStatusRecord, f"job {job_id}")

    try:
        job = endpoints.get_job_output(client, "extract_v2", job_id, decode, **scope)
    except NotFoundError as error:
        raise expired_error(job_id, error) from error
    if job.id is None and job.status is None:
        raise ResponseError(
            f"The response for job {job_id} has neither an id nor a status, so it is not a job. "
            "Check that base_url is the address of the API."
        )
    check_response_id(job_id, job.id or job_id, what="job")
    return job, sum(sizes)


def _to_pandas(parts: Iterable[list[ExtractedRow]]) -> pd.DataFrame:
    rows = extractions.to_arrow(list(chain.from_iterable(parts)))
    return schema.to_pandas(rows, EXTRACTIONS.columns)
