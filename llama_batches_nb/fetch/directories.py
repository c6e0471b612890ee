"""What can be run: the directories of a project, their files, and the saved configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import CONFIGURATIONS, DIRECTORIES, FILES
from llama_batches_nb.tables.statuses import DIRECTORY_TYPES, JOB_TYPES

Errors = Literal["raise", "warn"]


def fetch_directories(
    *,
    name: str | None = None,
    type: str | Iterable[str] | None = None,  # noqa: A002  # the API's word
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the directories of a project, whose files batches run over; one row is one directory.

    Parameters
    ----------
    name
        Only the directory of this name.
    type
        Only directories of this type or these types: ``user``, ``ephemeral`` (cleaned up by the
        service after a while), ``index``.
    project_id, organization_id, page_size, limit, progress, client
        As for `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        In the order of the API, with the columns ``source_directory_id`` and ``name`` (string),
        ``type`` (category), ``created_at`` and ``expires_at`` (datetime64[us, UTC]; missing where
        it is kept).

    Raises
    ------
    ValueError, TypeError
        If a filter makes no sense; nothing was asked then.
    BatchesError
        If a page can't be had; `.partial` holds the rows before it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> "Invoices 2026" in set(lb.fetch_directories().name)
    True
    """
    types = arguments.parse_choices("type", type, DIRECTORY_TYPES)
    limit = arguments.parse_int("limit", limit, minimum=0)
    page_size = listing.page_size_for(limit, arguments.parse_int("page_size", page_size))
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    pages = endpoints.list_directories(client, name=name, types=types, page_size=page_size, **scope)
    return listing.records_to_frame(
        DIRECTORIES,
        lambda bar: listing.iter_records(DIRECTORIES, pages, limit=limit, bar=bar),
        progress,
    )


def fetch_configurations(
    *,
    name: str | None = None,
    job_type: str | Iterable[str] | None = None,
    latest_only: bool | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the saved configurations of a project; one row is one configuration.

    Built-in presets, such as ``cfg-PARSE_AGENTIC``, need not be among them.

    Parameters
    ----------
    name
        Only configurations of this name.
    job_type
        Only those for this job type or these: ``parse_v2``, ``extract_v2``.
    latest_only
        Only the newest version of each name.
    project_id, organization_id, page_size, limit, progress, client
        As for `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        In the order of the API, with the columns ``configuration_id`` and ``name`` (string),
        ``job_type`` (category), ``version`` (string), ``created_at`` and ``updated_at``
        (datetime64[us, UTC]).

    Raises
    ------
    ValueError, TypeError
        If a filter makes no sense; nothing was asked then.
    BatchesError
        If a page can't be had; `.partial` holds the rows before it.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.fetch_configurations(job_type="extract_v2").job_type.unique().tolist()
    ['extract_v2']
    """
    product_type = arguments.parse_choices("job_type", job_type, JOB_TYPES)
    latest = arguments.format_bool("latest_only", latest_only)
    limit = arguments.parse_int("limit", limit, minimum=0)
    page_size = listing.page_size_for(limit, arguments.parse_int("page_size", page_size))
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    pages = endpoints.list_configurations(
        client,
        name=name,
        product_type=product_type,
        latest_only=latest,
        page_size=page_size,
        **scope,
    )
    return listing.records_to_frame(
        CONFIGURATIONS,
        lambda bar: listing.iter_records(CONFIGURATIONS, pages, limit=limit, bar=bar),
        progress,
    )


def fetch_files(
    directories: Any,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    progress: Progress = None,
    errors: Errors = "raise",
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the files of source directories, with their names; one row is one file.

    Parameters
    ----------
    directories
        The id of a directory, several, or a frame with the column ``source_directory_id``, such
        as one of batches.
    project_id, organization_id, page_size, progress, client
        As for `fetch_batches`.
    errors
        ``"raise"`` stops at the first directory that can't be had; ``"warn"`` returns the files of
        the others with a warning that names those left out.

    Returns
    -------
    pandas.DataFrame
        In the order of the directories, and in each of the API, with the columns
        ``source_directory_file_id`` (the one that results have), ``source_directory_id``,
        ``display_name``, ``file_id`` (string; missing where nothing is stored), ``created_at`` and
        ``updated_at`` (datetime64[us, UTC]).

    Raises
    ------
    NotFoundError
        If a directory is gone, as ephemeral ones are after a while; `.partial` holds the others.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> invoices = lb.fetch_directories(name="Invoices 2026")
    >>> files = lb.fetch_files(invoices)
    >>> files.source_directory_id.nunique()
    1
    """
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    left_out: SkippedItems[str] = SkippedItems(allowed=errors == "warn")
    files = fetch_directory_files(
        arguments.parse_ids("source_directory_id", directories),
        left_out,
        page_size=arguments.parse_int("page_size", page_size),
        progress=progress,
        client=get_client(client),
        **project_params(project_id, organization_id),
    )
    left_out.warn_skipped("directories")
    return files


def fetch_directory_files(
    directory_ids: list[str],
    leave_out: Callable[[str, BatchesError], bool],
    *,
    client: Client,
    page_size: int | None = None,
    progress: Progress = None,
    **scope: Any,
) -> pd.DataFrame:
    """Fetch the files of directories, but of those that may be left out."""

    def fetch_one(directory_id: str) -> pa.Table:
        pages = endpoints.list_directory_files(client, directory_id, page_size=page_size, **scope)
        return records.to_arrow(
            FILES, list(listing.iter_records(FILES, pages)), source_directory_id=directory_id
        )

    with progress_bar(progress, "files", unit="directory", total=len(directory_ids)) as shown:
        return fetch_concurrently(
            fetch_one,
            directory_ids,
            partial(records.concat_to_pandas, FILES),
            client=client,
            shown=shown,
            bear=leave_out,
        )
