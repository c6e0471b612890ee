"""Save the outputs of jobs as files, one per source file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import pandas as pd

from llama_batches_nb.dataset.output_names import assign_names
from llama_batches_nb.dataset.output_sources import (
    SourceFile,
    find_names,
    find_source_files,
    select_columns,
)
from llama_batches_nb.dataset.saved_files import SavedFile, SavedFiles, lock_folder
from llama_batches_nb.dataset.storage import local_path
from llama_batches_nb.errors import attach_partial
from llama_batches_nb.fetch.extractions import read_extract_job
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.job_selection import LeftOutJobs
from llama_batches_nb.fetch.parse_output import ParseOutputReader
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import SkippedItems, fetch_concurrently
from llama_batches_nb.http.progress import AmountReceived, Progress, check_progress, progress_bar
from llama_batches_nb.messages import agree, format_count, warn
from llama_batches_nb.tables import arguments
from llama_batches_nb.types import ErrorMode, IntoFrame, PageContent, PathLike, Record

SUFFIXES = {"markdown": ".md", "text": ".txt", "items": ".json", "extraction": ".json"}
PAGE_SEPARATOR = "\n\n"


def save_outputs(
    files: IntoFrame,
    folder: PathLike,
    *,
    content: PageContent = "markdown",
    errors: ErrorMode = "raise",
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Save what jobs parsed or extracted, as one file per source file.

    A second call with the same folder fetches only files that are missing, that have another job
    since, such as of a retry, or whose content on disk has changed. The same holds after an error,
    an interrupt or a killed process: what was saved is kept. The service deletes outputs after 48
    hours.

    Parameters
    ----------
    files
        A frame with a ``job_id`` column, such as from `fetch_results`, `fetch_jobs`, `outcomes` or
        `final_outcomes`. If a file has several jobs, the latest one that has an output is saved.
        Rows without a job, and failed jobs, are left out.
    folder
        Local folder; created if it does not exist. Its other files are not changed.
    content
        What to save of parse jobs: ``"markdown"`` (``.md``), ``"text"`` (``.txt``) or ``"items"``
        (``.json``). The output of extract jobs is always saved as ``.json``.
    errors
        ``"raise"`` stops at the first file that cannot be fetched; ``"warn"`` skips it and lists
        the skipped files in a warning. A rejected API key and a persistent rate limit always
        raise, and so does a file that cannot be written.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar with the files, pages and megabytes. By default only in notebooks and
        terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        The manifest, which is also in ``outputs.parquet`` in the folder. One row per saved file,
        also of earlier calls, with the columns

        ======================== ======= ======================================================
        key                      string  id of the source file, else of the job
        source_directory_file_id string  missing if the frame had none
        display_name             string  name of the source file, as in LlamaCloud
        job_id                   string
        content                  string  ``markdown``, ``text``, ``items`` or ``extraction``
        path                     string  relative to the folder
        pages                    Int64   missing for extractions
        failed_pages             Int64   pages that are not in the file because they failed
        sha256                   string  of the file's content
        ======================== ======= ======================================================

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    OSError
        If the folder or a file cannot be written, for example because the disk is full.
    DatasetLockedError
        If another call is saving to the folder.
    BatchesError
        If a file cannot be fetched. ``.partial`` holds the manifest so far, also when interrupted
        (`KeyboardInterrupt`).

    Warns
    -----
    UserWarning
        If files are left out, or pages of saved files failed.

    Notes
    -----
    A file is named after its source file (``invoice.pdf`` becomes ``invoice.md``). What a file
    system does not accept is replaced by ``_``, and equal names are numbered (``invoice-2.md``) in
    the order of the files' ids. A file of that name that is not in the manifest is never
    overwritten: if its content is the same, it is listed as saved, so that names stay the same
    after ``outputs.parquet`` was deleted; else the new file gets the next number. Pages are
    separated by an empty line. Files are replaced in one step, so that no reader sees half a file.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batches = lb.fetch_batches(status="COMPLETED")
    >>> results = lb.fetch_results(batches[batches.job_type == "parse_v2"].tail(5))
    >>> files = lb.outcomes(results, lb.fetch_jobs(results)).query("outcome == 'succeeded'")
    >>> saved = lb.save_outputs(files.head(3), "markdown")
    >>> len(saved)
    3
    """
    arguments.parse_choice("content", content, get_args(PageContent))
    arguments.parse_choice("errors", errors, ("raise", "warn"))
    check_progress(progress)
    select_columns(files)
    path = _create_folder(folder)
    client = get_client(client)
    scope = project_params(project_id, organization_id)
    with lock_folder(path):
        saved_files = SavedFiles(path)
        left_out = LeftOutJobs()
        sources = find_source_files(files, client, scope, left_out)
        planned = _plan(
            saved_files, sources, content, partial(find_names, client=client, scope=scope)
        )
        writer = _OutputWriter(client, content, scope, saved_files, left_out)
        skipped: SkippedItems[SavedFile] = SkippedItems(
            allowed=errors == "warn", name=lambda file: file.display_name or file.key
        )
        jobs = {(file.key, file.content): file_jobs for file, file_jobs in planned}
        try:
            with (
                attach_partial(saved_files.frame),
                progress_bar(progress, "saving", unit="file", total=len(planned)) as bar,
            ):
                fetch_concurrently(
                    lambda file: writer.save(file, jobs[file.key, file.content]),
                    [file for file, _ in planned],
                    lambda _: saved_files.frame(),
                    client=client,
                    progress=bar,
                    on_error=skipped,
                    note=lambda: str(writer.received),
                )
        except BaseException:
            with suppress(OSError):  # the disk may be full; the journal has what was saved
                saved_files.commit(complete=False)
            raise
        saved_files.commit(complete=not skipped.errors)
        left_out.warn("Only completed jobs have an output.")
        _warn_failed_pages(saved_files, [file for file, _ in planned])
        skipped.warn_skipped("file")
        return saved_files.frame()


class _OutputWriter:
    """Fetch and write one output after the other, in several threads."""

    def __init__(
        self,
        client: Client,
        content: PageContent,
        scope: Record,
        saved_files: SavedFiles,
        left_out: LeftOutJobs,
    ) -> None:
        self.received = AmountReceived("page")
        self._client, self._scope = client, scope
        self._reader = ParseOutputReader(client, content, **scope)
        self._saved_files, self._left_out = saved_files, left_out

    def save(self, file: SavedFile, job_ids: Iterable[str]) -> None:
        """Write the output of the first job that has one."""
        reasons: list[str] = []
        for job_id in job_ids:
            file = msgspec.structs.replace(file, job_id=job_id)
            read = self._read_extraction if file.content == "extraction" else self._read_pages
            file, written, reason = read(file, job_id)
            if written is not None:
                self._saved_files.write(file, written)
                return
            reasons.append(reason)
        self._left_out.add(reasons[0])

    def _read_pages(self, file: SavedFile, job_id: str) -> tuple[SavedFile, bytes | None, str]:
        output = self._reader.read(job_id)
        self.received.add(len(output.pages or ()), output.size)
        if reason := output.reason_without_pages():
            return file, None, reason
        pages = output.pages or []
        failed = sum(page.succeeded(output.content) is False for page in pages)
        file = msgspec.structs.replace(file, pages=len(pages), failed_pages=failed)
        if output.content == "items":
            return file, output.items_json, ""
        texts = [page.content(output.content) for page in pages]
        return file, PAGE_SEPARATOR.join(text for text in texts if text is not None).encode(), ""

    def _read_extraction(self, file: SavedFile, job_id: str) -> tuple[SavedFile, bytes | None, str]:
        job, size = read_extract_job(self._client, job_id, self._scope)
        self.received.add(0, size)
        if (result := job.result()) is None:
            return file, None, job.reason_without("a result")
        return file, msgspec.json.format(result, indent=2) + b"\n", ""


def _create_folder(folder: PathLike) -> Path:
    """Create the folder, or raise `OSError` if it cannot be written."""
    path = local_path(folder)
    if path is None:
        raise ValueError(
            f"folder={folder!r} is a URL; save_outputs needs a local folder. Copy it from there."
        )
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{os.getpid()}.00000000.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise type(error)(
            error.errno, f"Cannot write to the folder: {error.strerror}", str(path)
        ) from error
    return path


def _plan(
    saved_files: SavedFiles,
    sources: list[SourceFile],
    content: PageContent,
    find_names: Callable[[list[SourceFile]], list[str]],
) -> list[tuple[SavedFile, tuple[str, ...]]]:
    """Return the files to write with the jobs that may hold them; record their names."""
    wanted: dict[tuple[str, str], SourceFile] = {}
    for source in sources:
        kind = "extraction" if source.job_type == "extract_v2" else content
        existing = saved_files.saved.get((source.key, kind))
        is_latest = existing is not None and existing.job_id == source.job_ids[0]
        if existing is None or not is_latest or not saved_files.is_current(existing):
            wanted[source.key, kind] = source
    earlier = {key: file for key in wanted if (file := saved_files.find(key)) is not None}
    new = [key for key in wanted if key not in earlier]
    names = dict(zip(new, find_names([wanted[key] for key in new]), strict=True))
    paths = assign_names({key: (names[key], SUFFIXES[key[1]]) for key in new}, saved_files.names())
    planned = []
    for key, source in wanted.items():
        name, path = names.get(key) or source.display_name, paths.get(key, "")
        if key in earlier:
            name, path = name or earlier[key].display_name, earlier[key].path
        file = SavedFile(*key, path, source.source_directory_file_id, name, source.job_ids[0])
        planned.append((file, source.job_ids))
    saved_files.plan(file for file, _ in planned)
    return planned


def _warn_failed_pages(saved_files: SavedFiles, files: list[SavedFile]) -> None:
    saved: list[Any] = [saved_files.saved.get((file.key, file.content)) for file in files]
    counts = [file.failed_pages for file in saved if file is not None and file.failed_pages]
    if counts:
        n = sum(counts)
        warn(
            f"{format_count(n, 'failed page')} {agree(n, 'is')} missing from {len(counts):,} of "
            "the saved files. "
            "See the column 'failed_pages', and fetch_pages for the reasons."
        )
