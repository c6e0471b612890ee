"""The number of files in the selected directory, counted in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.directories import fetch_files
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels.task_runner import TaskRunner

CountError = BatchesError | Cancelled


class FileCount(widgets.HTML):
    """The count of one directory. `on_change` is called when a count arrives or fails."""

    def __init__(self, client: Client, runner: TaskRunner, on_change: Callable[[], object]) -> None:
        self._client, self._runner, self._on_change = client, runner, on_change
        self.directory_id: str | None = None
        self.n_files: int | None = None
        self._error: CountError | None = None
        super().__init__()
        self.add_class("lb-count")

    def count(self, directory_id: str | None, *, delay: float = 0.0) -> None:
        """Count the files of another directory, after `delay` seconds; None clears the count."""
        if directory_id != self.directory_id:
            self.set_count(directory_id, None)
            if directory_id is not None:
                self._runner.start("count", partial(self._load, directory_id, delay))

    def set_count(
        self, directory_id: str | None, n_files: int | None, error: CountError | None = None
    ) -> None:
        """Set the directory and its count; without a count and an error it is being counted."""
        self.directory_id, self.n_files, self._error = directory_id, n_files, error
        if directory_id is None:
            self.value = ""
        elif n_files is not None:
            self.value = format_count(n_files, "file")
        else:
            self.value = "? files" if error else "Counting …"

    def check(self, name: str) -> None:
        """Raise `ValueError` if no batch can be created from the directory called `name`.

        A count that failed does not prevent a batch, unless the directory does not exist.
        """
        if self.n_files is None and self._error is None:
            raise ValueError(f"Counting the files of {name} …")
        if isinstance(self._error, BatchesError) and self._error.status_code == 404:
            raise ValueError(str(self._error))
        if self.n_files == 0:
            raise ValueError(f"{name} has no files. Upload some first.")
        if self.n_files is not None and self.n_files > MAX_FILES_PER_BATCH:
            raise ValueError(
                f"{name} has {self.n_files:,} files; the limit is {MAX_FILES_PER_BATCH:,} per "
                "batch. Split them over several directories."
            )

    def _load(self, directory_id: str, delay: float) -> None:
        n_files, failure = None, None
        try:
            if delay:
                workers.sleep(delay)
            n_files = len(fetch_files(directory_id, client=self._client, progress=False))
        except (BatchesError, Cancelled) as error:
            failure = error
        self._runner.update_ui(lambda: self._show(directory_id, n_files, failure))

    def _show(self, directory_id: str, n_files: int | None, error: CountError | None) -> None:
        if directory_id == self.directory_id:
            self.set_count(directory_id, n_files, error)
            self._on_change()
