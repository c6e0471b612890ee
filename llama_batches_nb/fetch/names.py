"""Replace ids by names: of directories, configurations and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrameT

from llama_batches_nb.errors import BatchesError, NotFoundError, attach_partial
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import fetch_concurrently
from llama_batches_nb.http.progress import Progress, check_progress, progress_bar
from llama_batches_nb.tables import engines, records
from llama_batches_nb.tables.schema import (
    CONFIGURATIONS,
    DIRECTORIES,
    FILES,
    STRING_DTYPE,
    Table,
)
from llama_batches_nb.types import Record

DIRECTORY_ID, CONFIGURATION_ID = DIRECTORIES.key, CONFIGURATIONS.key
FILE_ID = FILES.key

Names = Mapping[str, str]
"""Names by id."""


def add_names(
    frame: IntoFrameT,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> IntoFrameT:
    """Add columns with the names of directories, configurations and files.

    Lists the directories and the configurations of the project once each. For files it also lists
    the files of each directory in the frame, several at a time.

    Parameters
    ----------
    frame
        Any frame with ``source_directory_id``, ``configuration_id`` or
        ``source_directory_file_id``, such as of batches, results, outcomes or rates. It is not
        changed; a lazy one is computed.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    frame of the same engine
        The frame with these columns of text, which replace columns of the same name:

        ============= ============================ ============================================
        directory     ``source_directory_id``      name; with the id if several share the name
        configuration ``configuration_id``         as for directories
        display_name  ``source_directory_file_id`` name of the file; needs
                                                   ``source_directory_id``; a name that the
                                                   frame already has is kept
        ============= ============================ ============================================

        Where no name is known, such as for a built-in configuration or a file of a directory that
        no longer exists, the value is the id.

    Raises
    ------
    ValueError, TypeError
        If it is no frame, or has none of the columns; no request is sent.
    BatchesError
        If a list cannot be fetched. ``.partial``, like that of a `KeyboardInterrupt`, holds the
        rows whose files were listed, with their names.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(limit=50)
    >>> named = lb.add_names(lb.failure_rates(batches, by="source_directory_id"))
    >>> named.columns[-1]
    'directory'
    """
    wrapped = engines.wrap_frame("frame", frame)
    eager = wrapped.collect() if isinstance(wrapped, nw.LazyFrame) else wrapped
    existing = engines.column_names(eager)
    if not {DIRECTORY_ID, CONFIGURATION_ID, FILE_ID}.intersection(existing):
        engines.check_columns(eager, DIRECTORY_ID)
    check_progress(progress)
    scope = project_params(project_id, organization_id)
    client = get_client(client)
    directory_names: dict[str, str] = {}
    configuration_names: dict[str, str] = {}
    file_names: dict[str, Names] = {}  # by directory

    def named() -> Any:
        columns: dict[str, list[str | None]] = {}
        if DIRECTORY_ID in existing:
            columns["directory"] = _replace(eager[DIRECTORY_ID].to_list(), directory_names)
        if CONFIGURATION_ID in existing:
            columns["configuration"] = _replace(
                eager[CONFIGURATION_ID].to_list(), configuration_names
            )
        if FILE_ID in existing:
            columns["display_name"] = _replace_files(eager, file_names)
        result = _with_columns(eager, columns)
        if isinstance(frame, pd.DataFrame):
            result = engines.restore_index(result, frame)
        return result

    def partial() -> Any:
        directories = eager[DIRECTORY_ID].to_list() if DIRECTORY_ID in existing else []
        is_complete = [id_ in file_names for id_ in directories] or [False] * len(eager)
        return nw.from_native(named(), eager_only=True).filter(is_complete).to_native()

    with attach_partial(partial):
        if DIRECTORY_ID in existing:
            directories = endpoints.list_directories(client, include_deleted="true", **scope)
            directory_names |= unique_names(_list_names(DIRECTORIES, directories, "name"))
        if CONFIGURATION_ID in existing:
            configurations = endpoints.list_configurations(client, **scope)
            configuration_names |= unique_names(_list_names(CONFIGURATIONS, configurations, "name"))
        if {FILE_ID, DIRECTORY_ID}.issubset(existing):
            _fetch_file_names(file_names, eager, client, scope, progress)
    return cast("IntoFrameT", named())


def find_file_names(frame: nw.DataFrame[Any], client: Client, scope: Record) -> list[str | None]:
    """Return the display name of the file in each row, or its id if no name is known."""
    found: dict[str, Names] = {}
    if DIRECTORY_ID in engines.column_names(frame):
        _fetch_file_names(found, frame, client, scope, None)
    return _replace_files(frame, found)


def _replace_files(frame: nw.DataFrame[Any], found: Mapping[str, Names]) -> list[str | None]:
    """Return the name of the file in each row: the one that the frame has, else that found."""
    names = {id_: name for of_directory in found.values() for id_, name in of_directory.items()}
    replaced = _replace(frame[FILE_ID].to_list(), names)
    return [old or new for old, new in zip(_known_file_names(frame), replaced, strict=True)]


def _known_file_names(frame: nw.DataFrame[Any]) -> list[str | None]:
    """Return the name of the file in each row that the frame already has."""
    if "display_name" not in engines.column_names(frame):
        return [None] * len(frame)
    return [name if _is_id(name) else None for name in frame["display_name"].to_list()]


def _directories_to_list(frame: nw.DataFrame[Any]) -> list[str]:
    """Return the directories of the files without a name."""
    rows = zip(
        frame[DIRECTORY_ID].to_list(),
        frame[FILE_ID].to_list(),
        _known_file_names(frame),
        strict=True,
    )
    return [
        *dict.fromkeys(
            directory
            for directory, file, name in rows
            if _is_id(directory) and _is_id(file) and not name
        )
    ]


def unique_names(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return names by id, each name for one id only.

    A name that several ids have, or that is also an id, gets its id added. An id without a name is
    its own name.
    """
    with_id = {id_: f"{name} ({id_})" for id_, name in names.items()}
    uses = Counter([*names, *filter(None, names.values()), *with_id.values()])
    return {
        id_: id_ if not name else name if uses[name] == 1 else with_id[id_]
        for id_, name in names.items()
    }


def _fetch_file_names(
    found: dict[str, Names],
    frame: nw.DataFrame[Any],
    client: Client,
    scope: Record,
    progress: Progress,
) -> None:
    """Add the names of a frame's files by directory, without those that do not exist."""
    directory_ids = _directories_to_list(frame)

    def fetch_one(directory_id: str) -> tuple[str, dict[str, str | None]]:
        pages = endpoints.list_directory_files(
            client, directory_id, include_deleted="true", **scope
        )
        return directory_id, _list_names(FILES, pages, "display_name")

    def skip_missing(_: str, error: BatchesError) -> bool:
        return isinstance(error, NotFoundError)

    def keep(parts: list[tuple[str, dict[str, str | None]]]) -> pd.DataFrame:
        for directory_id, names in parts:
            found[directory_id] = {id_: name for id_, name in names.items() if name}
        return records.to_pandas(FILES, [])

    with progress_bar(progress, "names", unit="directory", total=len(directory_ids)) as bar:
        fetch_concurrently(
            fetch_one, directory_ids, keep, client=client, progress=bar, on_error=skip_missing
        )


def _list_names(table: Table, pages: Iterable[Any], field: str) -> dict[str, str | None]:
    """Return the name of each record of a list, stripped; None if it is empty."""
    names: dict[str, str | None] = {}
    for record in listing.iter_records(table, pages):
        name = record.get(field)
        text = name.encode(errors="replace").decode().strip() if isinstance(name, str) else ""
        names[listing.record_id(table, record)] = text or None
    return names


def _replace(ids: list[Any], names: Names) -> list[str | None]:
    return [names.get(id_, id_) if _is_id(id_) else None for id_ in ids]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _with_columns(frame: nw.DataFrame[Any], columns: Mapping[str, list[str | None]]) -> Any:
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        series = {
            name: pd.Series(values, index=native.index, dtype=STRING_DTYPE)
            for name, values in columns.items()
        }
        return native.assign(**series)
    backend = frame.implementation
    added = [
        nw.new_series(name, values, nw.String, backend=backend) for name, values in columns.items()
    ]
    return frame.with_columns(*added).to_native()
