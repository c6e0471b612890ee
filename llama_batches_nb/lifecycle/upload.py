"""Upload local files to a directory that a batch can process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from llama_batches_nb.errors import BatchesError, ConflictError
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.endpoints import FileRecord
from llama_batches_nb.http.progress import Progress, check_progress, progress_bar
from llama_batches_nb.lifecycle.ephemeral_directory import add_file, unique_name
from llama_batches_nb.lifecycle.local_files import find_files
from llama_batches_nb.lifecycle.lost_response import note_on_interrupt
from llama_batches_nb.lifecycle.upload_targets import (
    Metadata,
    Targets,
    check_text,
    choose_directories,
    form_fields,
)
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import parse_ids
from llama_batches_nb.tables.schema import FILES
from llama_batches_nb.types import DirectoryIds, PathLike, Record


def upload_files(
    paths: PathLike | Iterable[PathLike],
    *,
    name: str | None = None,
    metadata: Metadata | Callable[[Path], Metadata | None] | None = None,
    unique_id: str | Callable[[Path], str | None] | None = None,
    source_directory_id: DirectoryIds | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Upload local files to a new ephemeral directory, or to several for more than 1,000 files.

    An upload that fails or is interrupted can be resumed with `source_directory_id`. Uploading
    costs nothing; only a batch does.

    Parameters
    ----------
    paths
        A file, a folder (with all files below it, except hidden ones and those of Windows, such as
        ``Thumbs.db``), a glob pattern such as ``"scans/*.pdf"``, or an iterable of these.
    name
        Name of the new directory, by default made from the current time. The API accepts a name
        that another directory has. Several directories get numbers after it.
    metadata
        What to store with each file: a dict whose values are text, numbers, bools or lists of
        text, or a function that returns one for the path of a file.
    unique_id
        Your own id of the file, or a function that returns one for the path of a file.
    source_directory_id
        Upload to this existing directory instead of a new one, for instance to resume an upload:
        its id, or several, or a frame with them. Files whose names it already has are not sent
        again. Files that do not fit are uploaded to new directories.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        One row per file, in the order of the paths, with the columns of `fetch_files`. Pass it on
        with ``upload_files(…).pipe(create_batch, "cfg-…")``, which creates a batch per directory.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If a path matches no file, two files have the same name (also if only their Unicode form
        differs), or the metadata or an id is invalid. Nothing is uploaded.
    OSError
        If a folder below a path cannot be read. Nothing is uploaded.
    BatchesError
        If a file cannot be uploaded. The other files still are, except after an authentication or
        rate limit error. ``.partial`` holds the uploaded files, and the message explains how to
        upload the rest. A `KeyboardInterrupt` has a note that does.

    Warns
    -----
    UserWarning
        If a folder has links that lead to no file, or several paths lead to one file: these are
        left out. If a file changes while it is uploaded, or another call uploads a file of that
        name to the same directory at the same time.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> from pathlib import Path
    >>> Path("invoice.txt").write_text("Total: 12.50")
    12
    >>> files = lb.upload_files("invoice.txt", metadata={"supplier": "Acme"})
    >>> files.display_name.tolist()
    ['invoice.txt']

    The metadata is JSON text in a column of the files. To group by one of its values, make it a
    column, and join it to the outcomes by ``source_directory_file_id``:

    >>> import json
    >>> files.assign(supplier=files.metadata.map(json.loads).str["supplier"]).supplier.tolist()
    ['Acme']
    """
    files = find_files(paths)
    sizes = {file: file.stat().st_size for file in files}
    if isinstance(unique_id, str) and len(files) > 1:
        raise ValueError(
            f"unique_id={unique_id!r:.80} would be shared by {format_count(len(files), 'file')}: "
            "pass a function that takes a path and returns the id of that file."
        )
    fields = {file: form_fields(file, metadata, unique_id) for file in files}
    if name is not None:
        check_text("name", name)
    if name is not None and source_directory_id is not None:
        raise TypeError("Pass the name of a new directory or a source_directory_id, not both.")
    scope = project_params(project_id, organization_id)
    ids = None
    if source_directory_id is not None:
        ids = parse_ids("source_directory_id", source_directory_id)
        if not ids:
            raise ValueError("source_directory_id is empty: omit it to create a directory.")
    check_progress(progress)
    client = get_client(client)
    targets = choose_directories(client, files, ids, name or unique_name("upload"), scope)
    upload = _Upload(client, targets, fields, scope)
    failed: SkippedItems[Path] = SkippedItems()
    with (
        note_on_interrupt(_resume_hint(targets.ids)),
        progress_bar(
            progress, "uploading", unit="B", total=sum(sizes.values()), unit_scale=True
        ) as shown,
    ):
        try:
            uploaded = fetch_concurrently(
                upload.store,
                files,
                partial(records.to_pandas, FILES),
                client=client,
                progress=shown,
                size=sizes.__getitem__,
                on_error=failed,
            )
        except BatchesError as error:
            if not failed.errors:  # the record of a file that the directory had is invalid
                raise
            raise _partial_upload_error(
                len(files), failed.errors, error.partial, targets.ids
            ) from error
    if failed.errors:
        first = next(iter(failed.errors.values()))
        raise _partial_upload_error(len(files), failed.errors, uploaded, targets.ids) from first
    upload.warn_changed()
    return uploaded


@dataclass(frozen=True)
class _Upload:
    """Send files to their directories, and note those that change meanwhile."""

    client: Client
    targets: Targets
    fields: dict[Path, dict[str, str]]
    scope: Record
    changed: list[str] = field(default_factory=list)
    tried: set[Path] = field(default_factory=set)
    of_others: list[str] = field(default_factory=list)  # names that were taken meanwhile

    def store(self, file: Path) -> FileRecord:
        """Return the record of a file, which is sent if its directory does not have it yet."""
        directory_id = self.targets.directory_of[file]
        record = self.targets.existing.get(file) or add_file(
            self.client, directory_id, file.name, partial(self._send, file), self.scope
        )
        return {**record, "directory_id": directory_id}

    def _send(self, file: Path) -> FileRecord:
        try:
            content = file.open("rb")
        except OSError as error:
            raise BatchesError(f"Cannot read {file}: {error.strerror or error}.") from error
        with content:
            before = os.fstat(content.fileno())
            if before.st_size == 0 and content.read(1):
                raise BatchesError(
                    f"{file} has content but a size of 0, as files in /proc do. Copy it and upload "
                    "the copy."
                )
            is_first = file not in self.tried
            self.tried.add(file)
            try:
                record = endpoints.upload_directory_file(
                    self.client,
                    self.targets.directory_of[file],
                    file.name,
                    content,
                    self.fields[file],
                    **self.scope,
                )
            except ConflictError:
                if is_first:  # else an attempt whose response was lost has stored it
                    self.of_others.append(file.name)
                raise
            after = os.fstat(content.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self.changed.append(file.name)
        return record

    def warn_changed(self) -> None:
        """Warn of files that changed while they were sent, or that another call sent meanwhile."""
        if n := len(self.of_others):
            warn(
                f"{n:,} of {format_count(len(self.fields), 'file')} {agree(n, 'was')} uploaded to "
                f"the directory by another call at the same time: "
                f"{format_list(sorted(self.of_others))}. They were not stored twice; whether their "
                "content is the same is not known."
            )
        if self.changed:
            warn(
                f"{len(self.changed):,} of {format_count(len(self.fields), 'file')} changed during "
                f"the upload, so a copy may be incomplete: {format_list(sorted(self.changed))}. "
                "Once they no longer change, upload these files again, to another directory."
            )


def _partial_upload_error(
    n_files: int,
    failed: dict[Path, BatchesError],
    uploaded: pd.DataFrame | None,
    directory_ids: list[str],
) -> BatchesError:
    """Return an error like the first one, with the number of missing files and how to resume."""
    first = next(iter(failed.values()))
    n_missing = n_files - (0 if uploaded is None else len(uploaded))
    untried = ", …" if n_missing > len(failed) else ""
    error = type(first)(
        f"{n_missing:,} of {format_count(n_files, 'file')} {agree(n_missing, 'was')} not uploaded "
        f"({format_list(file.name for file in failed)}{untried}). The first error was: {first} "
        f"{_resume_hint(directory_ids)}",
        status_code=first.status_code,
        retry_after=first.retry_after,
        fields=first.fields,
    )
    error.partial = uploaded
    return error


def _resume_hint(directory_ids: list[str]) -> str:
    ids = directory_ids[0] if len(directory_ids) == 1 else directory_ids
    return f"To upload the missing files, call upload_files(paths, source_directory_id={ids!r})."
