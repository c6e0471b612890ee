"""Upload local files to a directory that a batch can process."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.endpoints import FileRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.ephemeral_directory import (
    add_file,
    create_directory,
    files_by_name,
    unique_name,
)
from llama_batches_nb.lifecycle.lost_response import note_on_interrupt
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.messages import format_list
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import parse_single_id
from llama_batches_nb.tables.schema import FILES
from llama_batches_nb.types import DirectoryIds, PathLike


def upload_files(
    paths: PathLike | Iterable[PathLike],
    *,
    name: str | None = None,
    source_directory_id: DirectoryIds | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Upload local files to a new ephemeral directory.

    An upload that fails or is interrupted can be resumed with `source_directory_id`. Uploading
    costs nothing; only a batch does.

    Parameters
    ----------
    paths
        A file, a folder (with all files below it, except hidden ones), a glob pattern such as
        ``"scans/*.pdf"``, or an iterable of these.
    name
        Name of the new directory, by default made from the current time. The API accepts a name
        that another directory has.
    source_directory_id
        Upload to this existing directory instead of a new one, for instance to resume an upload:
        its id, or a frame with one. Files whose names it already has are not sent again.
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
        with ``upload_files(…).pipe(create_batch, "cfg-…")``.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If a path matches no file, two files have the same name, or there are more than 1,000
        files. Nothing is uploaded.
    BatchesError
        If a file cannot be uploaded. The other files still are, except after an authentication or
        rate limit error. ``.partial`` holds the uploaded files, and the message explains how to
        upload the rest. A `KeyboardInterrupt` has a note that does.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> from pathlib import Path
    >>> Path("invoice.txt").write_text("Total: 12.50")
    12
    >>> lb.upload_files("invoice.txt").display_name.tolist()
    ['invoice.txt']
    """
    files = _find_files(paths)
    sizes = {file: file.stat().st_size for file in files}
    if name is not None and source_directory_id is not None:
        raise TypeError("Pass the name of a new directory or a source_directory_id, not both.")
    scope = project_params(project_id, organization_id)
    existing: dict[str, FileRecord] = {}
    if source_directory_id is not None:
        directory_id = parse_single_id("source_directory_id", source_directory_id)
        client = get_client(client)
        existing = files_by_name(client, directory_id, scope)
        _check_number(len(existing.keys() | {file.name for file in files}))
    else:
        client = get_client(client)
        directory_id = create_directory(client, name or unique_name("upload"), scope)

    def upload_one(file: Path) -> FileRecord:
        if file.name in existing:
            return existing[file.name]

        def send() -> FileRecord:
            try:
                content = file.open("rb")
            except OSError as error:
                raise BatchesError(f"Cannot read {file}: {error.strerror or error}.") from error
            with content:
                record: FileRecord = endpoints.upload_directory_file(
                    client, directory_id, file.name, content, **scope
                )
            return record

        return add_file(client, directory_id, file.name, send, scope)

    failed: SkippedItems[Path] = SkippedItems()
    with (
        note_on_interrupt(_resume_hint(directory_id)),
        progress_bar(
            progress, "uploading", unit="B", total=sum(sizes.values()), unit_scale=True
        ) as shown,
    ):
        try:
            uploaded = fetch_concurrently(
                upload_one,
                files,
                partial(records.to_pandas, FILES, source_directory_id=directory_id),
                client=client,
                progress=shown,
                size=sizes.__getitem__,
                on_error=failed,
            )
        except BatchesError as error:
            raise _partial_upload_error(
                len(files), failed.errors, error.partial, directory_id
            ) from error
    if failed.errors:
        first = next(iter(failed.errors.values()))
        raise _partial_upload_error(len(files), failed.errors, uploaded, directory_id) from first
    return uploaded


def _partial_upload_error(
    n_files: int,
    failed: dict[Path, BatchesError],
    uploaded: pd.DataFrame | None,
    directory_id: str,
) -> BatchesError:
    """Return an error like the first one, with the number of missing files and how to resume."""
    first = next(iter(failed.values()))
    n_missing = n_files - (0 if uploaded is None else len(uploaded))
    untried = ", …" if n_missing > len(failed) else ""
    error = type(first)(
        f"{n_missing:,} of {n_files:,} files were not uploaded "
        f"({format_list(file.name for file in failed)}{untried}). The first error was: {first} "
        f"{_resume_hint(directory_id)}",
        status_code=first.status_code,
        retry_after=first.retry_after,
        fields=first.fields,
    )
    error.partial = uploaded
    return error


def _resume_hint(directory_id: str) -> str:
    return (
        "To upload the missing files, call "
        f"upload_files(paths, source_directory_id={directory_id!r})."
    )


def _find_files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the files that the paths match, or raise if they cannot be uploaded together."""
    if isinstance(paths, bytes | pd.DataFrame) or not isinstance(
        paths, str | os.PathLike | Iterable
    ):
        raise TypeError(
            f"paths must be a path, a pattern or an iterable of them, not {paths!r:.80}."
        )
    items = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    matches = [file for path in items for file in _expand(path)]
    files = list({file.resolve(): file for file in reversed(matches)}.values())[::-1]
    if not files:
        raise ValueError("There are no files to upload: the folder or the list is empty.")
    _check_number(len(files))
    if not_utf8 := [file.name for file in files if not _is_utf8(file.name)]:
        raise ValueError(f"The names of {format_list(not_utf8)} are not UTF-8; rename these files.")
    counts = Counter(file.name for file in files)
    if duplicates := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"Several files are named {format_list(duplicates)}. File names are unique in a "
            "directory; rename these files or upload them separately."
        )
    return files


def _check_number(n_files: int) -> None:
    if n_files > MAX_FILES_PER_BATCH:
        raise ValueError(
            f"{n_files:,} files are more than the {MAX_FILES_PER_BATCH:,} of one batch; upload "
            "them to several directories."
        )


def _expand(path: PathLike) -> list[Path]:
    """Return the files that one path, folder or pattern stands for."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"A path must be text or a Path, not {path!r:.80}.")
    if not str(path).strip():
        raise ValueError(f"{path!r} is an empty path; use '.' for the current folder.")
    expanded = Path(path).expanduser()
    if expanded.is_file():
        return [expanded]
    if expanded.is_dir():
        below = sorted(expanded.rglob("*"))
        return [f for f in below if f.is_file() and not _is_hidden(f.relative_to(expanded))]
    matches = sorted(Path(match) for match in glob.glob(str(expanded), recursive=True))  # noqa: PTH207
    files = [match for match in matches if match.is_file()]
    if not files:
        raise FileNotFoundError(f"No file matches {str(path)!r}.")
    return files


def _is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8; Python decodes any other byte to a surrogate."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
