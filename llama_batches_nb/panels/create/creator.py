"""Create each batch once: upload its files, submit it, and remember what was created."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.upload import upload_files
from llama_batches_nb.panels.create import browser_files, submit
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.create.browser_files import BrowserFile


class BatchCreator:
    """Create one batch at a time, and none twice from the same specification.

    `begin` reserves a specification, `create` does the work in a thread, and `end` says how it
    ended. The caller holds a lock for `begin` and `end`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reserved: set[BatchSpec | None] = set()  # being created: before and after the upload
        self._created: set[BatchSpec | None] = set()  # created, or possibly created
        self.directory_id = ""  # of the newest submitted batch
        self._partial_upload: tuple[tuple[BrowserFile, ...], str] | None = None  # and directory id

    @property
    def is_creating(self) -> bool:
        """Whether a specification is reserved."""
        return bool(self._reserved)

    def is_created(self, spec: BatchSpec | None) -> bool:
        """Return whether a batch was, or may have been, created from this specification."""
        return spec in self._created

    def begin(self, spec: BatchSpec) -> bool:
        """Reserve a specification; return False if it, or another one, must not be created."""
        if self.is_creating or self.is_created(spec):
            return False
        self._reserved = {spec}
        return True

    def create(
        self, spec: BatchSpec, progress: Progress, on_uploaded: Callable[[str, int], object]
    ) -> pd.DataFrame:
        """Create a batch from the reserved specification.

        `on_uploaded` is called with the id of the new directory and the number of its files.
        """
        if spec.files:
            directory_id, n_files = self._upload(spec.files, progress)
            spec = spec.with_directory(directory_id)
            self._reserved.add(spec)
            on_uploaded(directory_id, n_files)
        self.directory_id = str(spec.source)
        workers.check_cancelled()  # the last point at which the creation can be cancelled
        return submit.create(spec, self._client)

    def end(self, *, created: bool) -> None:
        """Release the specification, and do not create it again if `created` or possibly so."""
        if created:
            self._created |= self._reserved
        self._reserved = set()

    def allow_again(self, spec: BatchSpec | None) -> None:
        """Allow one more batch from this specification."""
        self._created.discard(spec)

    def _upload(self, files: tuple[BrowserFile, ...], progress: Progress) -> tuple[str, int]:
        """Upload files, to the directory of an interrupted upload of the same files if any."""
        partial_files, directory_id = self._partial_upload or (None, None)
        with browser_files.on_disk(files) as paths:
            try:
                uploaded = upload_files(
                    paths,
                    source_directory_id=directory_id if partial_files == files else None,
                    progress=progress,
                    client=self._client,
                )
            except (BatchesError, Cancelled) as error:
                if error.partial is not None and len(error.partial):
                    self._partial_upload = files, error.partial["source_directory_id"].iloc[0]
                raise
        self._partial_upload = None
        return str(uploaded["source_directory_id"].iloc[0]), len(uploaded)
