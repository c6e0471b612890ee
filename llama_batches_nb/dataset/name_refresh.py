"""Keep the names that ids stand for: of files, directories and configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.state import DATASET_TABLES, NAME_TABLES, State, file_name, save
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import MAX_BUFFERED_BYTES, NewFile, StoredFiles
from llama_batches_nb.errors import AuthenticationError, BatchesError, NotFoundError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.pagination import Page
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, CONFIGURATIONS, DIRECTORIES, FILES, Table

NAMES = {table.name for table in NAME_TABLES}
_NONE = pa.array([], pa.string())


class NameRefresh:
    """List the names that new batches refer to; names of what was deleted stay."""

    def __init__(
        self,
        client: Client,
        scope: dict[str, Any],
        storage: Storage,
        stored: StoredFiles,
        folder: Path,
    ) -> None:
        self.requests = 0
        self._client, self._scope = client, scope
        self._storage, self._stored, self._folder = storage, stored, folder
        self._new_files: dict[str, list[pa.Array]] = {}  # of new batches, by directory
        self._directories: dict[str, None] = {}  # whose files are to be listed
        self._has_new = False

    def note(self, batch: pa.Table, results: pa.Table) -> None:
        """Remember what a new batch refers to."""
        self._has_new = True
        (directory,) = batch["source_directory_id"].to_pylist()
        if directory is None or directory in self._directories:
            return
        if _file_of(FILES) in self._stored.names:
            ids = results["source_directory_file_id"].combine_chunks().drop_null()
            self._new_files.setdefault(directory, []).append(ids)
        else:
            self._directories[directory] = None

    def run(self, state: State, progress: Progress) -> None:
        """List the names, and replace their files; a failure leaves names out, with a warning."""
        is_first = not set(state.tables) >= NAMES
        if is_first or None in self._stored.outdated:
            self._note_stored_batches()
        if not self._has_new:
            return
        try:
            self._refresh(state, progress)
        except AuthenticationError as error:
            if error.status_code == 401:
                raise
            _warn_left_out(error)
        except BatchesError as error:
            _warn_left_out(error)

    def _refresh(self, state: State, progress: Progress) -> None:
        lists: dict[Table, Callable[..., Iterable[Page[Any]]]] = {
            DIRECTORIES: partial(endpoints.list_directories, include_deleted="true"),
            CONFIGURATIONS: endpoints.list_configurations,
        }
        new_files = {t: NewFile(self._storage, _file_of(t), self._folder) for t in NAME_TABLES}
        try:
            for table, list_pages in lists.items():
                self._add(new_files[table], list_pages(self._client, **self._scope))
            self._note_new_files()
            self._list_files(new_files[FILES], progress)
            versions = {new.name: new.finish(self._stored) for new in new_files.values()}
            if None in self._stored.overtaken:  # the next sync lists them again
                return
            state.next_files = versions
            save(self._storage, state)
            for new in new_files.values():
                new.publish()
            state.files |= versions
            state.next_files = {}
            state.tables = [n for n in DATASET_TABLES if n in {*state.tables, *NAMES}]
        finally:
            for new in new_files.values():
                new.discard()

    def _list_files(self, new: NewFile, progress: Progress) -> None:
        def fetch(directory: str) -> pa.Table:
            pages = endpoints.list_directory_files(
                self._client, directory, include_deleted="true", **self._scope
            )
            return records.to_arrow(FILES, list(listing.iter_records(FILES, pages)))

        def on_error(_: str, error: BatchesError) -> bool:
            return isinstance(error, NotFoundError)  # deleted with its files

        ids = list(self._directories)
        with progress_bar(progress, "names", unit="directory", total=len(ids)) as bar:
            completed = iter_completed(
                fetch, ids, client=self._client, progress=bar, on_error=on_error
            )
            with closing(completed):
                for group in completed:
                    for _, _, rows in group:
                        self.requests += 1
                        bar.advance()
                        new.add(rows, rows[FILES.key].combine_chunks())
                        if new.nbytes > MAX_BUFFERED_BYTES:
                            new.flush()

    def _add(self, new: NewFile, pages: Iterable[Page[Any]]) -> None:
        rows = records.to_arrow(new.table, list(listing.iter_records(new.table, pages)))
        self.requests += 1
        if len(rows):
            new.add(rows, rows[new.table.key].combine_chunks())

    def _note_new_files(self) -> None:
        """Add the directories that have a file of unknown name."""
        if not self._new_files:
            return
        stored = self._stored.rows(_file_of(FILES), [FILES.key])
        known = pa.concat_arrays([rows[FILES.key].combine_chunks() for rows in stored] or [_NONE])
        ids = [pa.concat_arrays(each) for each in self._new_files.values()]
        is_known, start = pc.is_in(pa.concat_arrays(ids), value_set=known), 0
        for directory, own in zip(self._new_files, ids, strict=True):
            if not pc.all(is_known.slice(start, len(own)), min_count=0).as_py():
                self._directories[directory] = None
            start += len(own)

    def _note_stored_batches(self) -> None:
        for name in self._stored.names:
            if name.startswith(f"{BATCHES.name}/"):
                for rows in self._stored.rows(name, ["source_directory_id"]):
                    self._has_new = True
                    ids = rows["source_directory_id"].unique().to_pylist()
                    self._directories |= dict.fromkeys(id_ for id_ in ids if id_ is not None)


def _file_of(table: Table) -> str:
    return file_name(table.name, None)


def _warn_left_out(error: BatchesError) -> None:
    warn(
        f"The names of files, directories and configurations could not be listed: {error} Pass "
        "names=False to do without."
    )
