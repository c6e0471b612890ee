"""The public functions that create panels. They import ipywidgets only when called."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.tables import arguments
from llama_batches_nb.tables.statuses import BATCH_STATUSES, JOB_TYPES
from llama_batches_nb.types import BatchStatus, DirectoryIds, Ids, JobType, PathLike, TimeLike

if TYPE_CHECKING:
    from llama_batches_nb.panels.browse.filter_panel import FilterPanel
    from llama_batches_nb.panels.create.create_panel import CreatePanel
    from llama_batches_nb.panels.dashboard.dashboard import Dashboard


def filter_panel(
    client: Client | None = None,
    *,
    status: BatchStatus | Iterable[BatchStatus] | None = None,
    source_directory_id: DirectoryIds | None = None,
    configuration_id: Ids | None = None,
    job_type: JobType | None = None,
    created_at_on_or_after: TimeLike | None = None,
    created_at_on_or_before: TimeLike | None = None,
    limit: int | None = None,
) -> FilterPanel:
    """Create a panel that fetches batches by filter and shows the files of a selected batch.

    It runs in the background, so the kernel stays free. Its DataFrames are available to the next
    cell, and "Copy as code" prints the code that returns the same frames.

    Parameters
    ----------
    client
        Client to use. Defaults to the one created by `connect`.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, limit
        Initial values of the filters, as for `fetch_batches`. Times are cut to the day.
    configuration_id, job_type
        Initial values of two filters that the API lacks; the panel applies them itself.

    Returns
    -------
    FilterPanel
        An ipywidgets box with these attributes:

        ============ ===========================================================================
        ``batches``  the fetched batches, as returned by `fetch_batches`
        ``results``  their results, as returned by `fetch_results`; None if not included
        ``jobs``     the jobs of the results, as returned by `fetch_jobs`; None if not included
        ``selected`` the selected batch: one row of ``batches``, or an empty frame
        ``files``    its files: the columns of `outcomes`, and ``display_name``
        ``code``     code that returns the same frames
        ============ ===========================================================================

        Its methods ``fetch()``, ``stop()``, ``choose(batch_id)``, ``wait()`` and ``close()`` do
        what the controls do.

    Raises
    ------
    AuthenticationError
        If there is no API key. Panels have no field for the key, since notebooks save their
        output.
    ValueError, TypeError
        If a filter is invalid.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> panel = lb.filter_panel(status="COMPLETED", limit=3)
    >>> panel.fetch().wait()
    >>> panel.batches.status.tolist()
    ['COMPLETED', 'COMPLETED', 'COMPLETED']
    >>> print(panel.code.splitlines()[2])
    batches = lb.fetch_batches(status='COMPLETED', limit=3)
    >>> panel.close()
    """
    from llama_batches_nb.panels.browse.filter_panel import FilterPanel
    from llama_batches_nb.panels.browse.query import Query

    query = Query(
        status=arguments.parse_choices("status", status, BATCH_STATUSES) or (),
        source_directory_id=_parse_optional_id("source_directory_id", source_directory_id),
        configuration_id=_parse_optional_id("configuration_id", configuration_id),
        job_type=None
        if job_type is None
        else arguments.parse_choice("job_type", job_type, JOB_TYPES),
        since=_parse_day("created_at_on_or_after", created_at_on_or_after),
        until=_parse_day("created_at_on_or_before", created_at_on_or_before),
        limit=arguments.parse_int("limit", limit),
    )
    return FilterPanel(client, query)


def dashboard(
    client: Client | None = None, *, source: PathLike | FilterPanel | None = None
) -> Dashboard:
    """Create a dashboard of failure rates, error patterns, cost and open batches.

    It shows first the failure rate, whether it has changed, and how many files still fail; then the
    rate over time, by configuration and by directory, with confidence intervals; the most frequent
    error patterns; the cost by configuration; and the open and the slowest batches. A click on a
    configuration, directory, pattern or change filters by it; the filters are shown as buttons
    that remove them. "Load credits" asks each ended job with unknown credits for them, as
    ``fetch_jobs(results, usage=True)`` does.

    Parameters
    ----------
    client
        Client to use. Defaults to the one created by `connect`.
    source
        Where the batches come from: None fetches them from the API by the dashboard's filters; a
        path reads a dataset written by `sync_dataset` and needs no API key; a `filter_panel` shows
        the frames that it has fetched.

    Returns
    -------
    Dashboard
        A `filter_panel` with these additions: ``outcomes`` holds the files shown, in the columns
        of `lb.outcomes`; ``filter_by(name, value)`` does what a click on a row does, where
        ``name`` is ``"configuration_id"``, ``"source_directory_id"`` or ``"pattern_id"``; and
        ``clear()`` removes these filters.

    Raises
    ------
    AuthenticationError
        If there is no API key and `source` is not a dataset.
    FileNotFoundError, DatasetError
        If `source` is a path without a dataset.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> board = lb.dashboard()
    >>> board.fetch().wait()
    >>> len(board.outcomes) == len(board.results)
    True
    >>> board.filter_by("configuration_id", "cfg-PARSE_AGENTIC")
    >>> board.wait()
    >>> board.outcomes.configuration_id.unique().tolist()
    ['cfg-PARSE_AGENTIC']
    >>> board.close()
    """
    from llama_batches_nb.panels.browse.filter_panel import FilterPanel
    from llama_batches_nb.panels.browse.query import Query
    from llama_batches_nb.panels.browse.sources import DatasetSource
    from llama_batches_nb.panels.dashboard.dashboard import Dashboard

    if isinstance(source, FilterPanel):
        return Dashboard.from_panel(source, client)
    if source is None:
        return Dashboard(client, Query())
    return Dashboard(client, Query(), DatasetSource(source)).fetch()


def create_panel(
    client: Client | None = None,
    *,
    source_directory_id: DirectoryIds | None = None,
    configuration_id: Ids | None = None,
    job_type: JobType = "parse_v2",
) -> CreatePanel:
    """Create a panel that creates a batch on one click and follows it until it has finished.

    The batch runs over a directory, or over files (10 MB in total) that the panel uploads first.
    Before the click, the panel shows what it would create and the credits and time to expect, as of
    `estimate_batch`, or what prevents it. Afterwards it shows the batch's status, can cancel it,
    waits for the jobs that run longer than the batch, and shows the outcome of each file. Failed
    files can be retried, and outputs saved in a folder. A double click creates one batch. The panel
    runs in the background, so the kernel stays free.

    Parameters
    ----------
    client
        Client to use. Defaults to the one created by `connect`.
    source_directory_id, configuration_id, job_type
        Initial values of the controls, as for `create_batch`. A frame with one directory, such as
        `upload_files` returns, is accepted.

    Returns
    -------
    CreatePanel
        An ipywidgets box with these attributes:

        ============ ===========================================================================
        ``batches``  the batches created here, as last polled, in the columns of `fetch_batches`
        ``results``  results of the finished ones, in the columns of `fetch_results`, or None
        ``jobs``     the jobs of the results, in the columns of `fetch_jobs`, or None
        ``files``    the outcome of each file, in the columns of `outcomes`, or None
        ``code``     code that returns the same frames and creates nothing; until a batch is
                     created, code that creates it
        ============ ===========================================================================

        Its methods ``create()``, ``new()``, ``cancel()``, ``stop()``, ``wait()`` and ``close()``
        do what the controls do. ``stop()`` and ``close()`` stop following the batch; the batch
        continues.

    Raises
    ------
    AuthenticationError
        If there is no API key. Panels have no field for the key, since notebooks save their
        output.
    ValueError, TypeError
        If an argument is invalid.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> panel = lb.create_panel(
    ...     source_directory_id=directory, configuration_id="cfg-PARSE_AGENTIC"
    ... )
    >>> panel.wait()  # until it has counted the files
    >>> panel.create().wait()  # until the batch has finished
    >>> panel.batches.status.tolist()
    ['COMPLETED']
    >>> len(panel.files) == len(lb.fetch_files(directory))
    True
    >>> panel.close()
    """
    from llama_batches_nb.panels.create.create_panel import CreatePanel

    return CreatePanel(
        client,
        directory=_parse_optional_id("source_directory_id", source_directory_id) or "",
        configuration=_parse_optional_id("configuration_id", configuration_id) or "",
        job_type=arguments.parse_choice("job_type", job_type, JOB_TYPES),
    )


def _parse_optional_id(column: str, value: Ids | None) -> str | None:
    return None if value is None else arguments.parse_single_id(column, value)


def _parse_day(name: str, value: TimeLike | None) -> date | None:
    """Return the day, in UTC, of a time."""
    time = arguments.format_time(name, value)
    return pd.Timestamp(time).date() if time else None
