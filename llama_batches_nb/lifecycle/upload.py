"""Bring files from disk into a directory that a batch can run over."""

from __future__ import annotations

import glob
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from llama_batches_nb.errors import (
    BatchesError,
    ConflictError,
    ConnectionFailedError,
    ResponseError,
    ServerError,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.endpoints import FileRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.messages import format_list
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import parse_single_id
from llama_batches_nb.tables.schema import DIRECTORIES, FILES
from llama_batches_nb.types import PathLike, Record

MAX_ATTEMPTS = 3  # to put a file into a directory


def upload_files(
    paths: PathLike | Iterable[PathLike],
    *,
    name: str | None = None,
    source_directory_id: Any = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Upload files to a new ephemeral directory; one row is one file.

    Parameters
    ----------
    paths
        A file, a folder (all files in it and below, but hidden ones), a pattern such as
        ``"scans/*.pdf"``, or several of these.
    name
        Name of the new directory, which no other of the project may have; made from the time if
        left out.
    source_directory_id
        Instead of a new directory one that is there, such as that of an upload which failed half
        way: its id, or a frame with one. Files whose names it has already are not sent again.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        In the order of the paths and in the columns of `fetch_files`, so that
        ``upload_files(…).pipe(create_batch, "cfg-…")`` reads well.

    Raises
    ------
    FileNotFoundError, ValueError
        If a path leads to no file, two files have one name, or there are more than 1,000. Nothing
        was uploaded then.
    BatchesError
        If an upload fails. The others go on, unless the key or the rate limit is what failed;
        `.partial` holds the files that arrived, and the message says how to send the rest; on a
        `KeyboardInterrupt` a note does.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> from pathlib import Path
    >>> Path("invoice.txt").write_text("Total: 12.50")
    12
    >>> lb.upload_files("invoice.txt").display_name.tolist()
    ['invoice.txt']
    """
    files = _files(paths)
    sizes = {file: file.stat().st_size for file in files}
    if name is not None and source_directory_id is not None:
        raise TypeError("Pass the name of a new directory or a source_directory_id, not both.")
    scope = project_params(project_id, organization_id)
    there: dict[str, FileRecord] = {}
    if source_directory_id is not None:
        directory_id = parse_single_id("source_directory_id", source_directory_id)
        client = get_client(client)
        there = files_by_name(client, directory_id, scope)
        _check_number(len(there.keys() | {file.name for file in files}))
    else:
        client = get_client(client)
        directory_id = create_directory_once(client, name or unique_name("upload"), scope)

    def send(file: Path) -> FileRecord:
        if file.name in there:
            return there[file.name]

        def upload() -> FileRecord:
            try:
                opened = file.open("rb")
            except OSError as error:
                raise BatchesError(f"The file {file} can't be read: {error}.") from error
            with opened:
                record: FileRecord = endpoints.upload_directory_file(
                    client, directory_id, file.name, opened, **scope
                )
            return record

        return put_once(client, directory_id, file.name, upload, scope)

    failed: SkippedItems[Path] = SkippedItems()
    with (
        _noted_if_interrupted(directory_id),
        progress_bar(
            progress, "uploading", unit="B", total=sum(sizes.values()), unit_scale=True
        ) as shown,
    ):
        try:
            arrived = fetch_concurrently(
                send,
                files,
                partial(records.to_pandas, FILES, source_directory_id=directory_id),
                client=client,
                shown=shown,
                size=sizes.__getitem__,
                bear=failed,
            )
        except BatchesError as error:
            raise _partial_upload_error(
                len(files), failed.errors, error.partial, directory_id
            ) from error
    if failed.errors:
        first = next(iter(failed.errors.values()))
        raise _partial_upload_error(len(files), failed.errors, arrived, directory_id) from first
    return arrived


def _partial_upload_error(
    n_files: int,
    failed: dict[Path, BatchesError],
    arrived: pd.DataFrame | None,
    directory_id: str,
) -> BatchesError:
    first = next(iter(failed.values()))
    n_missing = n_files - (0 if arrived is None else len(arrived))
    untried = ", …" if n_missing > len(failed) else ""
    error = type(first)(
        f"{n_missing:,} of {n_files:,} files did not arrive "
        f"({format_list(file.name for file in failed)}{untried}). The first error was: {first} "
        f"{_resume_hint(directory_id)}",
        status_code=first.status_code,
        retry_after=first.retry_after,
        fields=first.fields,
    )
    error.partial = arrived
    return error


@contextmanager
def _noted_if_interrupted(directory_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(_resume_hint(directory_id))
        raise


def _resume_hint(directory_id: str) -> str:
    return f"To send what is missing: upload_files(paths, source_directory_id={directory_id!r})."


def create_directory_once(client: Client, name: str, scope: Record) -> str:
    """Make an ephemeral directory once and return its id: if the answer is lost, look for it."""
    body = {"name": name, "type": "ephemeral"}
    for last_try in (False, True):
        try:
            return listing.record_id(DIRECTORIES, endpoints.create_directory(client, body, **scope))
        except (ConnectionFailedError, ServerError, ResponseError, ConflictError) as error:
            if isinstance(error, ConflictError) and not last_try:
                raise  # the name is another's; at the second try it may be of our first
            try:
                found = find_directory(client, name, scope)
                ours = found is not None and not files_by_name(client, found, scope)
            except BatchesError as second:
                raise error from second
            if found is not None and ours:
                return found
            if last_try or found is not None:
                raise
    raise AssertionError("the second try returns or raises")


def find_directory(client: Client, name: str, scope: Record) -> str | None:
    """Return the id of the directory that has a name."""
    pages = endpoints.list_directories(client, name=name, **scope)
    found = [d for d in listing.iter_records(DIRECTORIES, pages) if d.get("name") == name]
    return listing.record_id(DIRECTORIES, found[0]) if found else None


def unique_name(what: str) -> str:
    """Return a name that no other directory has."""
    return f"{what} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(3)}"


def files_by_name(client: Client, directory_id: str, scope: Record) -> dict[str, FileRecord]:
    """Return the files that a directory has."""
    pages = endpoints.list_directory_files(client, directory_id, **scope)
    return {str(file.get("display_name")): file for file in listing.iter_records(FILES, pages)}


def put_once(
    client: Client, directory_id: str, name: str, send: Callable[[], FileRecord], scope: Record
) -> FileRecord:
    """Put a file into a directory once: if the answer is lost, look for it before another try."""
    for tries_left in reversed(range(MAX_ATTEMPTS)):
        try:
            record = send()
            records.to_arrow(FILES, [record])  # raises if it is no file
            return record
        except (ConnectionFailedError, ServerError, ResponseError, ConflictError) as error:
            pages = endpoints.list_directory_files(client, directory_id, display_name=name, **scope)
            try:
                there = list(listing.iter_records(FILES, pages))
            except BatchesError as second:
                raise error from second
            for record in there:
                if record.get("display_name") == name:
                    return record
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the files that are meant, or say why they can't be uploaded together."""
    if isinstance(paths, bytes | pd.DataFrame) or not isinstance(
        paths, str | os.PathLike | Iterable
    ):
        raise TypeError(f"paths must be a path, a pattern or several of them, not {paths!r:.80}.")
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found = [file for path in given for file in _expand(path)]
    files = list({file.resolve(): file for file in reversed(found)}.values())[::-1]
    if not files:
        raise ValueError("There are no files to upload: the folder or the list is empty.")
    _check_number(len(files))
    if unfit := [file.name for file in files if not _is_text(file.name)]:
        raise ValueError(f"The names of {format_list(unfit)} are not UTF-8, so rename these files.")
    twice = [name for name, n in Counter(file.name for file in files).items() if n > 1]
    if twice:
        raise ValueError(
            f"Several files have the name {format_list(twice)}; names in a directory tell files "
            f"apart, "
            "so upload them separately or rename them."
        )
    return files


def _check_number(n_files: int) -> None:
    if n_files > MAX_FILES_PER_BATCH:
        raise ValueError(
            f"{n_files:,} files are more than the {MAX_FILES_PER_BATCH:,} of one batch: upload "
            f"them in "
            "several directories."
        )


def _expand(path: PathLike) -> list[Path]:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"A path must be text or a Path, not {path!r:.80}.")
    if not str(path).strip():
        raise ValueError(f"{path!r} is an empty path: write '.' for the folder you are in.")
    here = Path(path).expanduser()
    if here.is_file():
        return [here]
    if here.is_dir():
        below = sorted(here.rglob("*"))
        return [f for f in below if f.is_file() and not _is_hidden(f.relative_to(here))]
    found = sorted(Path(match) for match in glob.glob(str(here), recursive=True))  # noqa: PTH207
    files = [file for file in found if file.is_file()]
    if not files:
        raise FileNotFoundError(f"There is no file or folder {str(path)!r}, and it matches none.")
    return files


def _is_text(name: str) -> bool:
    """Whether a name holds no bytes that Python could not read as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
