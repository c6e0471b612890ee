"""Fetch the directories of a project, their files, and its saved configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any, get_args

import pandas as pd
import pyarrow as pa

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.names_for_ids import directory_id_hint
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import CONFIGURATIONS, DIRECTORIES, FILES, Table, with_raw
from llama_batches_nb.tables.statuses import DIRECTORY_TYPES
from llama_batches_nb.types import DirectoryIds, DirectoryType, ErrorMode, ProductType


def fetch_directories(
    *,
    name: str | None = None,
    type: DirectoryType | Iterable[DirectoryType] | None = None,  # noqa: A002  # as in the API
    include_deleted: bool = False,
    raw: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the directories of a project; one row is one directory.

    Parameters
    ----------
    name
        Only directories with this name.
    type
        One or several of ``user``, ``ephemeral`` (deleted by the service after some time),
        ``index``.
    include_deleted
        Also deleted directories, whose ``deleted_at`` is known.
    raw, project_id, organization_id, page_size, limit, progress, client
        As in `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        In the order of the API, with the columns ``source_directory_id`` and ``name`` (string),
        ``type`` (category), ``description`` (string), ``created_at``, ``expires_at`` and
        ``deleted_at`` (datetime64[us, UTC]; missing if the directory does not expire, or is not
        deleted).

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    BatchesError
        If a page cannot be fetched; ``.partial`` holds the rows fetched so far.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> "Invoices 2026" in set(lb.fetch_directories().name)
    True
    """
    types = arguments.parse_choices("type", type, DIRECTORY_TYPES)
    deleted = _deleted_param(include_deleted)
    table = with_raw(DIRECTORIES, arguments.parse_bool("raw", raw))
    limit = arguments.parse_int("limit", limit, minimum=0)
    page_size = listing.page_size_for(limit, arguments.parse_int("page_size", page_size))
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    pages = endpoints.list_directories(
        client,
        name=arguments.parse_text("name", name),
        types=types,
        include_deleted=deleted,
        page_size=page_size,
        **scope,
    )
    return listing.records_to_frame(
        table,
        lambda bar: listing.iter_records(DIRECTORIES, pages, limit=limit, bar=bar),
        progress,
    )


def fetch_configurations(
    *,
    name: str | None = None,
    job_type: ProductType | Iterable[ProductType] | None = None,
    latest_only: bool | None = None,
    raw: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    limit: int | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the saved configurations of a project; one row is one configuration.

    The list may lack built-in presets such as ``cfg-PARSE_AGENTIC``.

    Parameters
    ----------
    name
        Only configurations with this name.
    job_type
        One or several of ``parse_v2``, ``extract_v2`` and, which batches do not run,
        ``classify_v2``, ``split_v1``, ``spreadsheet_v1`` and ``unknown``.
    latest_only
        Only the latest version of each name.
    raw, project_id, organization_id, page_size, limit, progress, client
        As in `fetch_batches`.

    Returns
    -------
    pandas.DataFrame
        In the order of the API, with the columns ``configuration_id`` and ``name`` (string),
        ``job_type`` (category; also types that batches do not run), ``version`` and ``parameters``
        (string; the parameters as JSON text), ``created_at`` and ``updated_at``
        (datetime64[us, UTC]).

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    BatchesError
        If a page cannot be fetched; ``.partial`` holds the rows fetched so far.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> lb.fetch_configurations(job_type="extract_v2").job_type.unique().tolist()
    ['extract_v2']
    """
    product_type = arguments.parse_choices("job_type", job_type, get_args(ProductType))
    latest = arguments.format_bool("latest_only", latest_only)
    table = with_raw(CONFIGURATIONS, arguments.parse_bool("raw", raw))
    limit = arguments.parse_int("limit", limit, minimum=0)
    page_size = listing.page_size_for(limit, arguments.parse_int("page_size", page_size))
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    pages = endpoints.list_configurations(
        client,
        name=arguments.parse_text("name", name),
        product_type=product_type,
        latest_only=latest,
        page_size=page_size,
        **scope,
    )
    return listing.records_to_frame(
        table,
        lambda bar: listing.iter_records(CONFIGURATIONS, pages, limit=limit, bar=bar),
        progress,
    )


def fetch_files(
    directories: DirectoryIds,
    *,
    include_deleted: bool = False,
    raw: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    page_size: int | None = None,
    progress: Progress = None,
    errors: ErrorMode = "raise",
    client: Client | None = None,
) -> pd.DataFrame:
    """Fetch the files of directories; one row is one file.

    Parameters
    ----------
    directories
        A directory id, several ids, or a frame with a ``source_directory_id`` column, such as a
        frame of batches.
    include_deleted
        Also deleted files, whose ``deleted_at`` is known.
    raw, project_id, organization_id, page_size, progress, client
        As in `fetch_batches`.
    errors
        ``"raise"`` stops at the first directory that cannot be fetched; ``"warn"`` skips it and
        lists the skipped directories in a warning.

    Returns
    -------
    pandas.DataFrame
        Ordered by directory, then as returned by the API, with the columns
        ``source_directory_file_id`` (as in results), ``source_directory_id``, ``display_name``,
        ``file_id`` (string; missing if no content is stored), ``unique_id`` (string; the
        uploader's own id), ``metadata`` (string; JSON text), ``created_at``, ``updated_at`` and
        ``deleted_at`` (datetime64[us, UTC]).

    Raises
    ------
    NotFoundError
        If a directory does not exist, such as an ephemeral one that was deleted; ``.partial``
        holds the files of the others.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> invoices = lb.fetch_directories(name="Invoices 2026")
    >>> files = lb.fetch_files(invoices)
    >>> files.source_directory_id.nunique()
    1
    """
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    skipped: SkippedItems[str] = SkippedItems(allowed=errors == "warn")
    files = fetch_directory_files(
        arguments.parse_ids("source_directory_id", directories),
        skipped,
        table=with_raw(FILES, arguments.parse_bool("raw", raw)),
        include_deleted=_deleted_param(include_deleted),
        page_size=arguments.parse_int("page_size", page_size),
        progress=progress,
        client=get_client(client),
        **project_params(project_id, organization_id),
    )
    skipped.warn_skipped("directory")
    return files


def fetch_directory_files(
    directory_ids: list[str],
    on_error: Callable[[str, BatchesError], bool],
    *,
    client: Client,
    table: Table = FILES,
    progress: Progress = None,
    **params: Any,
) -> pd.DataFrame:
    """Fetch the files of directories; a directory that fails is skipped if `on_error` is true."""

    def fetch_one(directory_id: str) -> pa.Table:
        pages = endpoints.list_directory_files(client, directory_id, **params)
        typed = len(directory_ids) == 1  # not from a frame, whose ids are no names
        with directory_id_hint(client, directory_id, params) if typed else nullcontext():
            files = list(listing.iter_records(FILES, pages))
        return records.to_arrow(table, files, source_directory_id=directory_id)

    with progress_bar(progress, "files", unit="directory", total=len(directory_ids)) as bar:
        return fetch_concurrently(
            fetch_one,
            directory_ids,
            partial(records.concat_to_pandas, table),
            client=client,
            progress=bar,
            on_error=on_error,
        )


def _deleted_param(include_deleted: bool) -> str | None:
    """Return the request parameter; the API's default is to leave out what was deleted."""
    return "true" if arguments.parse_bool("include_deleted", include_deleted) else None
