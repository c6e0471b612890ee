"""What the parts of a sync share: where it reads and writes, and what it has found so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from llama_batches_nb.dataset.new_files import Changes
from llama_batches_nb.dataset.settling import FailedRequests, Settling
from llama_batches_nb.dataset.state import State, save
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import StoredFiles, batch_key
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.fetch.filters import BatchQuery
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.pagination import Page
from llama_batches_nb.http.progress import Progress, ProgressBar
from llama_batches_nb.messages import format_count
from llama_batches_nb.types import PageContent

T = TypeVar("T")


@dataclass(frozen=True)
class Facets:
    """What to ask for beside batches and results."""

    jobs: bool
    usage: bool
    content: PageContent | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names for the record of a dataset."""
        if not (self.jobs or self.usage or self.content):
            return ()
        return tuple(filter(None, ("jobs", "usage" if self.usage else None, self.content)))


@dataclass
class SyncRun:
    """One sync of a dataset.

    Attributes
    ----------
    new, ended, requests
        Batches that the dataset did not have, batches that have ended since the last sync, and
        successful requests.
    gone, unknown_jobs
        Batches and jobs that the API does not know.
    truncated
        Warnings about lists that are shorter than the size that the server gave.
    """

    client: Client
    query: BatchQuery
    scope: dict[str, Any]
    facets: Facets
    storage: Storage
    state: State
    stored: StoredFiles
    folder: Path  # for temporary files
    now: datetime
    progress: Progress
    new: int = 0
    ended: int = 0
    requests: int = 0
    gone: int = 0
    unknown_jobs: int = 0
    n_rows: int = 0
    truncated: list[str] = field(default_factory=list)
    failed: FailedRequests = field(default_factory=FailedRequests)

    def __post_init__(self) -> None:
        self.changes = Changes(self.storage, self.state, self.stored, self.folder)
        pending = {batch_key(entry.batch_id): entry for entry in self.state.pending}
        self.settling = Settling(self.now, pending)

    def counted(
        self, pages: Iterable[Page[T]], bar: ProgressBar | None = None
    ) -> Iterator[Page[T]]:
        """Yield pages, and count their requests."""
        for page in pages:
            self.requests += 1
            if bar is not None:
                self.show(bar)
            yield page

    def show(self, bar: ProgressBar) -> None:
        """Show the counts after a bar."""
        rows, requests = format_count(self.n_rows, "row"), format_count(self.requests, "request")
        bar.set_postfix(f"{rows}, {requests}")

    def save_pending(self) -> None:
        """Record what the next sync is to request again."""
        self.state.pending = list(self.settling.pending.values())
        save(self.storage, self.state)

    def check_project(self, project_id: object) -> None:
        """Raise `DatasetError` for a batch of another project than the stored ones."""
        known = self.stored.project_ids
        if not isinstance(project_id, str):
            return
        if known and project_id not in known:
            raise DatasetError(
                f"{self.storage.name!r} holds batches of project {', '.join(known)}, "
                f"but the API returned batches of project {project_id}. Connect to the first "
                "project, or sync to another folder. Nothing was changed."
            )
        known.add(project_id)
