"""Bring files from disk into a directory that a batch can run over."""

from __future__ import annotations

import glob
import os
import secrets
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from llama_batches_nb import endpoints, frames, listing
from llama_batches_nb.client import Client, current
from llama_batches_nb.errors import BatchesError, ConnectionFailedError, ResponseError, ServerError
from llama_batches_nb.gathering import gather
from llama_batches_nb.paging import Record
from llama_batches_nb.progress import Progress, bar
from llama_batches_nb.schema import DIRECTORIES, FILES
from llama_batches_nb.selection import scope_of

MOST_FILES = 1000  # of one batch

PathLike = str | os.PathLike[str]


def upload_files(
    paths: PathLike | Iterable[PathLike],
    *,
    name: str | None = None,
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
        If an upload fails; `.partial` holds the files that arrived.

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
    scope = scope_of(project_id, organization_id)
    client = current(client)
    if name is None:
        name = f"upload {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(3)}"
    directory = endpoints.create_directory(client, {"name": name, "type": "ephemeral"}, **scope)
    directory_id = listing.key_of(DIRECTORIES, directory)
    n_bytes = sum(file.stat().st_size for file in files)
    with bar(progress, "uploading", unit="B", total=n_bytes, unit_scale=True) as shown:
        return gather(
            lambda file: _upload(client, directory_id, file, scope),
            files,
            partial(frames.frame, FILES),
            client=client,
            shown=shown,
            size=lambda file: file.stat().st_size,
        )


def _upload(client: Client, directory_id: str, file: Path, scope: Record) -> Record:
    """Upload a file once: if the answer is lost, see whether it arrived before another try."""
    content = file.read_bytes()
    for last_try in (False, True):
        try:
            record: Record = endpoints.upload_directory_file(
                client, directory_id, file.name, content, **scope
            )
            return record
        except (ConnectionFailedError, ServerError, ResponseError) as error:
            pages = endpoints.list_directory_files(
                client, directory_id, display_name=file.name, **scope
            )
            try:
                there = list(listing.records(FILES, pages))
            except BatchesError as second:
                raise error from second
            for record in there:
                if record.get("display_name") == file.name:
                    return record
            if last_try:
                raise
    raise AssertionError("the second try returns or raises")


def _files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the files that are meant, or say why they can't be uploaded together."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = list(dict.fromkeys(file for path in given for file in _expand(path)))
    if not files:
        raise ValueError("There are no files to upload: the folder or the list is empty.")
    if len(files) > MOST_FILES:
        raise ValueError(
            f"{len(files):,} files are more than the {MOST_FILES:,} of one batch: upload them in "
            "several directories."
        )
    twice = [name for name, n in Counter(file.name for file in files).items() if n > 1]
    if twice:
        raise ValueError(
            f"Several files have the name {', '.join(map(repr, twice[:5]))}; names in a directory "
            "tell files apart, so upload them separately or rename them."
        )
    return files


def _expand(path: PathLike) -> list[Path]:
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


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
