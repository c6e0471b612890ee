"""Delete the ephemeral directories that uploads and retries created."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pandas as pd

from llama_batches_nb.errors import BatchesError, ConflictError, NotFoundError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.names_for_ids import id_hint
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.endpoints import DirectoryRecord
from llama_batches_nb.http.progress import Progress, check_progress, progress_bar
from llama_batches_nb.messages import agree, format_count, format_list
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import BATCHES, DIRECTORIES
from llama_batches_nb.tables.statuses import BATCH_STATUSES, TERMINAL_STATUSES
from llama_batches_nb.types import DirectoryIds, Record


def delete_directories(
    directories: DirectoryIds,
    *,
    dry_run: bool = True,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Delete ephemeral directories, such as those that `upload_files` and `retry_failed` create.

    By default nothing is deleted: look at the frame that is returned, and repeat the call with
    ``dry_run=False``. Batches, their results and jobs are kept; files that are only in these
    directories cannot be retried any more.

    Parameters
    ----------
    directories
        The directories: an id, an iterable of ids, or a frame with the column
        ``source_directory_id``, such as of `upload_files`, `fetch_directories` or batches.
    dry_run
        Only return which directories would be deleted.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row per directory, in the order of the argument, with the columns of
        `fetch_directories` and

        ======= ==== ==============================================================================
        deleted bool whether the directory is deleted now: by this call, or before it
        ======= ==== ==============================================================================

    Raises
    ------
    ValueError, TypeError
        If an id is not usable, or a directory is not ephemeral: those are created by people and
        indexes. Nothing is deleted.
    NotFoundError
        If the project has no such directory. Nothing is deleted.
    ConflictError
        If a batch over one of the directories has not ended. Nothing is deleted.
    BatchesError
        If a request fails. The other directories are deleted, unless it is an authentication or
        rate limit error; ``.partial`` holds the rows of those that are.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> from pathlib import Path
    >>> Path("invoice.txt").write_text("Total: 12.50")
    12
    >>> files = lb.upload_files("invoice.txt")
    >>> lb.delete_directories(files).deleted.tolist()
    [False]
    >>> lb.delete_directories(files, dry_run=False).deleted.tolist()
    [True]
    """
    ids = arguments.parse_ids("source_directory_id", directories)
    arguments.parse_bool("dry_run", dry_run)
    check_progress(progress)
    scope = project_params(project_id, organization_id)
    if not ids:
        return _to_frame([], set())
    client = get_client(client)
    found = _find(client, ids, scope)
    left = [id_ for id_ in ids if not found[id_].get("deleted_at")]
    if left:
        _check_unused(client, left, scope)
    if dry_run:
        return _to_frame([found[id_] for id_ in ids], set(ids) - set(left))

    def delete_one(directory_id: str) -> DirectoryRecord:
        with suppress(NotFoundError):  # after a repeated request, or one of another user
            endpoints.delete_directory(client, directory_id, **scope)
        return found[directory_id]

    failed: SkippedItems[str] = SkippedItems()
    done = set(ids) - set(left)
    with progress_bar(progress, "deleting", unit="directory", total=len(left)) as shown:
        fetch_concurrently(
            delete_one,
            left,
            partial(_to_frame, deleted=set(left)),
            client=client,
            progress=shown,
            on_error=failed,
        )
    done |= set(left) - set(failed.errors)
    rows = _to_frame([found[id_] for id_ in ids if id_ in done], done)
    if failed.errors:
        raise _not_deleted(failed.errors, len(left), rows)
    return rows


def _find(client: Client, ids: list[str], scope: Record) -> dict[str, DirectoryRecord]:
    """Return the directories by id, or raise if one does not exist or is not ephemeral."""
    pages = endpoints.list_directories(client, include_deleted="true", **scope)
    all_found = {
        listing.record_id(DIRECTORIES, directory): directory
        for directory in listing.iter_records(DIRECTORIES, pages)
    }
    if missing := [id_ for id_ in ids if id_ not in all_found]:
        names = {id_: str(directory.get("name")) for id_, directory in all_found.items()}
        hint = id_hint("directory", missing[0], names) or "check the ids and the project."
        raise NotFoundError(
            f"The project has no {_directories(missing)}. Nothing was deleted; {hint}"
        )
    found = {id_: all_found[id_] for id_ in ids}
    if kept := [id_ for id_ in ids if found[id_].get("type") != "ephemeral"]:
        named = [f"{found[id_].get('name')} ({found[id_].get('type')})" for id_ in kept]
        raise ValueError(
            f"Only ephemeral directories can be deleted, not {format_list(named)}. Nothing was "
            "deleted; leave out the others, for example with "
            "directories[directories.type == 'ephemeral']."
        )
    return found


def _check_unused(client: Client, ids: list[str], scope: Record) -> None:
    """Raise `ConflictError` if a batch over one of the directories has not ended."""
    statuses = [status for status in BATCH_STATUSES if status not in TERMINAL_STATUSES]
    wanted = set(ids)
    running = [
        listing.record_id(BATCHES, batch)
        for status in statuses
        for batch in listing.iter_records(
            BATCHES, endpoints.list_batches(client, status=status, **scope)
        )
        if str(batch.get("source_directory_id")) in wanted
    ]
    if running:
        raise ConflictError(
            f"Batches of these directories have not ended: {format_list(running)}. Nothing was "
            "deleted; wait for them with wait_for_batches, or cancel them with cancel_batch."
        )


def _to_frame(directories: list[DirectoryRecord], deleted: set[str]) -> pd.DataFrame:
    frame = records.to_pandas(DIRECTORIES, directories)
    return frame.assign(deleted=frame[DIRECTORIES.key].isin(list(deleted)).astype(bool))


def _not_deleted(
    failed: dict[str, BatchesError], n_directories: int, deleted: pd.DataFrame
) -> BatchesError:
    first = next(iter(failed.values()))
    error = type(first)(
        f"{len(failed):,} of {format_count(n_directories, 'directory')} "
        f"{agree(len(failed), 'was')} not deleted: "
        f"{format_list(failed)}. The first error was: {first} Call delete_directories again for "
        "the rest.",
        status_code=first.status_code,
        retry_after=first.retry_after,
        fields=first.fields,
    )
    error.partial = deleted
    return error


def _directories(ids: list[str]) -> str:
    return f"director{'y' if len(ids) == 1 else 'ies'} {format_list(ids)}"
