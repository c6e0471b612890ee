"""Panels for Jupyter and Voila. ipywidgets is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.tables import arguments
from llama_batches_nb.tables.statuses import BATCH_STATUSES, JOB_TYPES
from llama_batches_nb.types import TimeLike

if TYPE_CHECKING:
    from llama_batches_nb.panels.browse.filter_panel import FilterPanel
    from llama_batches_nb.panels.browse.query import Query
    from llama_batches_nb.panels.create.create_panel import CreatePanel
    from llama_batches_nb.panels.dashboard.dashboard import Dashboard


def filter_panel(
    client: Client | None = None,
    *,
    status: str | Iterable[str] | None = None,
    source_directory_id: Any = None,
    configuration_id: Any = None,
    job_type: str | None = None,
    created_at_on_or_after: TimeLike | None = None,
    created_at_on_or_before: TimeLike | None = None,
    limit: int | None = None,
) -> FilterPanel:
    """Make a panel that fetches batches by filter, and shows the files of the one chosen.

    The kernel stays free while it works. Its frames are there for the next cell, and "Copy as code"
    shows the lines that give the same ones.

    Parameters
    ----------
    client
        Instead of the one that `connect` made.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, limit
        What the panel's filters say at first, as for `fetch_batches`; of the times, the day counts.
    configuration_id, job_type
        The same for these two, which the API can't filter by: the panel does.

    Returns
    -------
    FilterPanel
        An ipywidgets box with

        ============ ===========================================================================
        ``batches``  the batches that were fetched, as of `fetch_batches`
        ``results``  their results, as of `fetch_results`; None where they were not asked for
        ``jobs``     the jobs of these, as of `fetch_jobs`; None where not asked for
        ``selected`` the batch that is chosen, one row of ``batches``, or none
        ``files``    its files: the columns of `outcomes`, and ``display_name``
        ``code``     the lines that give the same frames
        ============ ===========================================================================

        and with ``fetch()``, ``stop()``, ``choose(batch_id)``, ``wait()`` and ``close()`` for what
        a person does by hand.

    Raises
    ------
    AuthenticationError
        If there is no key. A key is never typed into a panel, which a notebook may save.
    ValueError, TypeError
        If a filter makes no sense.

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

    query = _query(
        status,
        source_directory_id,
        configuration_id,
        job_type,
        created_at_on_or_after,
        created_at_on_or_before,
        limit,
    )
    return FilterPanel(client, query)


def dashboard(client: Client | None = None, *, source: Any = None) -> Dashboard:
    """Make a dashboard: what became of many batches, why files failed, and since when.

    It counts batches, files, failures and credits; draws the failure rate over time with its
    interval, and by configuration and directory; lists the worst error patterns, how long batches
    took, and which are open. A click on a configuration, directory or pattern shows only its files.

    Parameters
    ----------
    client
        Instead of the one that `connect` made.
    source
        What to show: None for what the filters fetch from the API; the folder of a `sync_dataset`,
        for which no key is needed; or a `filter_panel`, whose frames are shown at once.

    Returns
    -------
    Dashboard
        A `filter_panel` with more to see. Beside what that has, ``outcomes`` holds the files that
        are shown, in the columns of `lb.outcomes`, and ``filter_by(name, value)`` does what a click
        on a row does; ``name`` is ``"configuration_id"``, ``"source_directory_id"`` or
        ``"pattern_id"``. ``clear()`` shows all again.

    Raises
    ------
    AuthenticationError
        If there is no key, and no folder.
    FileNotFoundError, DatasetError
        If the folder holds no dataset.

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
    from llama_batches_nb.panels.browse.sources import Folder
    from llama_batches_nb.panels.dashboard.dashboard import Dashboard

    if isinstance(source, FilterPanel):
        return Dashboard.over(source, client)
    if source is None:
        return Dashboard(client, Query())
    return Dashboard(client, Query(), Folder(source)).fetch()


def create_panel(
    client: Client | None = None,
    *,
    source_directory_id: Any = None,
    configuration_id: Any = None,
    job_type: str = "parse_v2",
) -> CreatePanel:
    """Make a panel that starts a batch by one deliberate click, and watches it to its end.

    It runs over a directory, or over files that are uploaded first; tells before what it will make
    and what keeps it from that; shows how the batch stands, cancels it, and when it has ended shows
    what became of its files and runs those that failed again. A double click makes one batch. The
    kernel stays free.

    Parameters
    ----------
    client
        Instead of the one that `connect` made.
    source_directory_id, configuration_id, job_type
        What the panel's controls say at first, as for `create_batch`; a frame with one directory,
        such as `upload_files` returns, will do.

    Returns
    -------
    CreatePanel
        An ipywidgets box with

        ============ ===========================================================================
        ``batches``  the batches that this panel made, as they last stood, as of `fetch_batches`
        ``results``  the results of those that have ended, as of `fetch_results`; None before
        ``jobs``     the jobs of these, as of `fetch_jobs`; None before
        ``files``    what became of each file, as of `outcomes`; None before
        ``code``     the lines that give the same frames, and make no batch; before one is made,
                     the lines that make it
        ============ ===========================================================================

        and with ``create()``, ``new()``, ``cancel()``, ``stop()``, ``wait()`` and ``close()`` for
        what a person does by hand. ``stop()`` and ``close()`` end the watching, not the batch.

    Raises
    ------
    AuthenticationError
        If there is no key. A key is never typed into a panel, which a notebook may save.
    ValueError, TypeError
        If an argument makes no sense.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> panel = lb.create_panel(
    ...     source_directory_id=directory, configuration_id="cfg-PARSE_AGENTIC"
    ... )
    >>> panel.wait()  # until it has counted the files
    >>> panel.create().wait()  # until the batch has ended
    >>> panel.batches.status.tolist()
    ['COMPLETED']
    >>> len(panel.files) == len(lb.fetch_files(directory))
    True
    >>> panel.close()
    """
    from llama_batches_nb.panels.create.create_panel import CreatePanel

    return CreatePanel(
        client,
        directory=_one_id("source_directory_id", source_directory_id) or "",
        configuration=_one_id("configuration_id", configuration_id) or "",
        job_type=arguments.parse_choice("job_type", job_type, JOB_TYPES),
    )


def _query(
    status: str | Iterable[str] | None,
    directory: Any,
    configuration: Any,
    job_type: str | None,
    since: TimeLike | None,
    until: TimeLike | None,
    limit: int | None,
) -> Query:
    """Return checked filters."""
    from llama_batches_nb.panels.browse.query import Query

    days = (
        arguments.format_time("created_at_on_or_after", since),
        arguments.format_time("created_at_on_or_before", until),
    )
    since_day, until_day = (day and pd.Timestamp(day).date() for day in days)
    return Query(
        status=arguments.parse_choices("status", status, BATCH_STATUSES) or (),
        source_directory_id=_one_id("source_directory_id", directory),
        configuration_id=_one_id("configuration_id", configuration),
        job_type=job_type and arguments.parse_choice("job_type", job_type, JOB_TYPES),
        since=since_day or None,
        until=until_day or None,
        limit=arguments.parse_int("limit", limit),
    )


def _one_id(column: str, value: Any) -> str | None:
    return None if value is None else arguments.parse_single_id(column, value)
