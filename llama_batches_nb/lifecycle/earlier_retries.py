"""Find the batches of earlier retries, also if their directories were deleted."""

from __future__ import annotations

from collections.abc import Iterable, Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from llama_batches_nb.errors import NotFoundError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord, DirectoryRecord
from llama_batches_nb.lifecycle.ephemeral_directory import files_by_name
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, DIRECTORIES
from llama_batches_nb.types import Record

DIRECTORY_PREFIX = "retry "  # of the names of retry directories
MAX_PREPARATION = timedelta(hours=1)  # from the directory to the batch of a call


class EarlierRetries:
    """The retries of a project: what was read is kept, and `update` reads what is new.

    Attributes
    ----------
    batches : dict
        The batch that retries each failed run, by the key of the run.
    """

    def __init__(self, client: Client, scope: Record) -> None:
        self._client, self._scope = client, scope
        self.batches: dict[str, BatchRecord] = {}
        self._unreadable: dict[str, BatchRecord] = {}  # by the name of a deleted directory
        self._known_directories: set[str] = set()  # those whose batches are accounted for
        self._done: set[str] = set()
        self._unfinished: dict[str, DirectoryRecord] = {}  # without a batch
        self.update()

    def update(self) -> list[tuple[str, BatchRecord]]:
        """Read the retries that have a batch since the last call, and return their runs."""
        pages = endpoints.list_directories(self._client, include_deleted="true", **self._scope)
        to_read = []
        for directory in listing.iter_records(DIRECTORIES, pages):
            if not str(directory.get("name")).startswith(DIRECTORY_PREFIX):
                self._known_directories.add(directory["id"])
            elif directory["id"] not in self._done:
                to_read.append(directory)
        with workers.imap_unordered(
            self._read, to_read, max_workers=self._client.max_workers
        ) as completed:
            read = {index: future.result() for index, _, future in completed}
        self._unfinished, found = {}, []
        for index, directory in enumerate(to_read):
            found += self._add(directory, *read[index])
        for run, batch in found:
            self.batches.setdefault(run, batch)
        return found

    def find(self, name: str, runs: Iterable[str]) -> dict[str, BatchRecord]:
        """Return the batches that retry these runs, by run; `name` is that of their directory."""
        found = {run: self.batches[run] for run in runs if run in self.batches}
        deleted = self.of_deleted_directory(name)
        return found if found or deleted is None else dict.fromkeys(runs, deleted)

    def of_deleted_directory(self, name: str) -> BatchRecord | None:
        """Return the batch of a deleted directory with this name, which stands for its runs."""
        named = (b for n, b in self._unreadable.items() if f"{n} ".startswith(f"{name} "))
        return next(named, None)

    def unfinished_before(self, directory_id: str) -> dict[str, int]:
        """Return the number of files in each directory that an older call prepares, by id."""
        if directory_id not in self._unfinished:
            return {}
        own, n_files = _sort_key(self._unfinished[directory_id]), {}
        for other, directory in self._unfinished.items():
            key = _sort_key(directory)
            if key < own and own[0] - key[0] < MAX_PREPARATION:
                with suppress(NotFoundError):  # its call has deleted it
                    n_files[other] = len(files_by_name(self._client, other, self._scope))
        return n_files

    def unaccounted(self, since: str | None, jobs: Set[tuple[str, str]]) -> list[str]:
        """Return the ids of batches whose directory is gone, of these job types and configurations.

        Which files they ran is unknown.
        """
        pages = endpoints.list_batches(self._client, created_at_on_or_after=since, **self._scope)
        return [
            batch["id"]
            for batch in listing.iter_records(BATCHES, pages)
            if str(batch.get("source_directory_id")) not in self._known_directories
            and _job(batch) in jobs
            and _is_valid_retry(batch)
        ]

    def _read(self, directory: DirectoryRecord) -> tuple[list[BatchRecord], list[str] | None]:
        """Return the batches of a directory, and the runs that they retry if that is known."""
        directory_id = directory["id"]
        pages = endpoints.list_batches(
            self._client, source_directory_id=directory_id, **self._scope
        )
        batches = list(listing.iter_records(BATCHES, pages))
        if not any(map(_is_valid_retry, batches)):
            return batches, None
        try:
            files = files_by_name(self._client, directory_id, self._scope).values()
        except NotFoundError:
            return batches, None
        return batches, [str(file.get("unique_id")) for file in files]

    def _add(
        self, directory: DirectoryRecord, batches: list[BatchRecord], runs: list[str] | None
    ) -> list[tuple[str, BatchRecord]]:
        directory_id = directory["id"]
        batch = next(filter(_is_valid_retry, batches), None)
        if batch is None:
            if not batches and not directory.get("deleted_at"):
                self._unfinished[directory_id] = directory
            return []
        self._done.add(directory_id)
        if runs is None:
            self._unreadable[str(directory["name"])] = batch
            return []
        self._known_directories.add(directory_id)
        return [(run, batch) for run in runs]


def _is_valid_retry(batch: BatchRecord) -> bool:
    return batch.get("status") not in ("FAILED", "CANCELLED")


def _job(batch: BatchRecord) -> tuple[str | None, str | None]:
    job = records.value_at(batch, ("config", "job"))
    return records.value_at(job, ("type",)), records.value_at(job, ("configuration_id",))


def _sort_key(directory: DirectoryRecord) -> tuple[datetime, str]:
    """Return the place of a directory in the order of their creation, by the server's clock."""
    return listing.created_at(directory) or datetime.min.replace(tzinfo=UTC), directory["id"]
