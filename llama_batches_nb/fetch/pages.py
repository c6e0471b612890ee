"""Fetch the pages of parse jobs."""

from __future__ import annotations

from functools import partial
from typing import get_args

import pandas as pd
import pyarrow as pa

from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.job_selection import LeftOutJobs, select_jobs
from llama_batches_nb.fetch.parse_output import ParseOutputReader
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import AmountReceived, Progress, progress_bar
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import CONFIDENCE_COLUMNS, PAGES, Table
from llama_batches_nb.types import ErrorMode, JobIds, PageContent

PAGES_WITH_CONFIDENCE = Table(PAGES.name, PAGES.row, (*PAGES.columns, *CONFIDENCE_COLUMNS))


def fetch_pages(
    jobs: JobIds,
    *,
    content: PageContent = "markdown",
    confidence: bool = False,
    errors: ErrorMode = "raise",
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the pages of completed parse jobs; one row is one page.

    Sends one request per job, several at a time. An output that is too large for a response is
    downloaded from the presigned URL of the service, without the API key. The service deletes
    outputs after 48 hours.

    Parameters
    ----------
    jobs
        A job id, several ids, or a frame with a ``job_id`` column, such as from `fetch_results`,
        `fetch_jobs` or `outcomes`. Each job is fetched once. Jobs that have not completed are left
        out; those that the frame shows as failed, or as no parse jobs, need no request.
    content
        ``"markdown"``, ``"text"`` or ``"items"``. The parsing tier ``fast`` makes text only.
    confidence
        Add columns with the confidence of the page and of the document, where the service scored
        them.
    errors
        ``"raise"`` stops at the first job that cannot be fetched; ``"warn"`` skips it and lists
        the skipped jobs in a warning. A rejected API key and a persistent rate limit always raise.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar with the files, pages and megabytes. By default only in notebooks and
        terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        Ordered by job as given, then as returned by the API, with the columns

        =================== ========= ==========================================================
        job_id              string
        page_number         Int64     from 1; missing if a stored output is not divided in pages
        success             boolean   whether the page was parsed; a COMPLETED job can contain
                                      failed pages
        content             string    Markdown or text; for ``"items"`` the page's list of items
                                      as JSON text, as sent. Missing for a failed page
        error_message       string    why the page failed
        confidence          Float64   with ``confidence=True``: from 0 to 1; missing if not scored
        document_confidence Float64   with ``confidence=True``: the mean over the scored pages
        =================== ========= ==========================================================

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    NotFoundError
        If a job does not exist, or its output has expired.
    BatchesError
        If a job cannot be fetched; ``.partial`` holds the pages fetched so far, also when
        interrupted (`KeyboardInterrupt`).

    Warns
    -----
    UserWarning
        If jobs are left out: how many, and why.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status="COMPLETED")
    >>> results = lb.fetch_results(batches[batches.job_type == "parse_v2"].tail(5))
    >>> jobs = lb.fetch_jobs(results).query("status == 'COMPLETED'")
    >>> pages = lb.fetch_pages(jobs.head(3))
    >>> pages.job_id.nunique()
    3
    """
    arguments.parse_choice("content", content, get_args(PageContent))
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    arguments.format_bool("confidence", confidence)
    left_out = LeftOutJobs()
    job_ids = select_jobs(jobs, "parse_v2", left_out)
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    reader = ParseOutputReader(client, content, confidence=confidence, **scope)
    received = AmountReceived("page")
    skipped: SkippedItems[str] = SkippedItems(allowed=errors == "warn")

    def fetch_one(job_id: str) -> pa.Table:
        output = reader.read(job_id)
        if reason := output.reason_without_pages():
            left_out.add(reason)
        pages = output.to_arrow()
        received.add(len(pages), output.size)
        return pages

    table = PAGES_WITH_CONFIDENCE if confidence else PAGES
    with progress_bar(progress, "pages", unit="file", total=len(job_ids)) as bar:
        pages = fetch_concurrently(
            fetch_one,
            job_ids,
            partial(records.concat_to_pandas, table),
            client=client,
            progress=bar,
            on_error=skipped,
            note=lambda: str(received),
        )
    left_out.warn("Only completed parse jobs have pages.")
    skipped.warn_skipped("job")
    return pages
