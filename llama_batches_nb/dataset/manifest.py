"""Read and write the manifest: the file that lists which files belong to a dataset.

A sync commits by replacing the manifest in one step. Files that it does not list were left by a
killed sync and are never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import msgspec

from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS

DATASET_TABLES = (BATCHES, RESULTS, JOBS)
MANIFEST_FILE = "_manifest.json"
FORMAT_VERSION = 1  # increased when older versions would misread the format
CLOCK_SKEW = timedelta(hours=1)  # upper bound for the clock difference of two API servers
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no batch is older, even if the server says year 1

_TABLE_NAMES = "|".join(table.name for table in DATASET_TABLES)
_PART_NAME = re.compile(rf"({_TABLE_NAMES})/part-[0-9a-f]{{12}}\.parquet")
_PART_OR_TEMPORARY = re.compile(
    rf"({_TABLE_NAMES})/\.?part-[0-9a-f]{{12}}\.parquet(\.[0-9a-f]{{8}}\.tmp)?"
)
_TEMPORARY = re.compile(r"\._(manifest|lock)\.json\.[0-9a-f]{8}\.tmp")
_LOCK = re.compile(r"_lock(\.json)?")

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
Statuses = tuple[str, ...] | None
"""Statuses to keep; None keeps all."""


class PartFile(msgspec.Struct, frozen=True):
    """One Parquet file of a table."""

    name: str
    rows: NonNegativeInt


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A set of batches with their results and jobs: one part file for each table that has rows.

    The batches of an `ended` chunk never change; the others are fetched again. `jobs_asked` is set
    once all jobs of the chunk were requested, and `open_jobs` counts those that had not ended.
    """

    ended: bool
    parts: dict[str, PartFile]
    jobs_asked: bool = False
    open_jobs: NonNegativeInt = 0

    def rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        part = self.parts.get(table)
        return part.rows if part else 0


class ProjectRef(msgspec.Struct, frozen=True):
    """The project that the rows come from; a dataset never mixes two."""

    base_url: str
    project_id: str | None
    organization_id: str | None

    def __str__(self) -> str:
        project = f"project {self.project_id}" if self.project_id else "the key's default project"
        of = f" of organization {self.organization_id}" if self.organization_id else ""
        return f"{project}{of} at {self.base_url}"


class SyncedRange(msgspec.Struct, frozen=True):
    """A completed listing: batches that match these filters, created from `after` to `until`."""

    source_directory_id: str | None
    statuses: Statuses
    after: AwareDatetime | None
    until: AwareDatetime

    def covers(self, other: SyncedRange) -> bool:
        """Return whether this listing included all batches of `other` that it had reached."""
        return (
            self.source_directory_id in (None, other.source_directory_id)
            and is_superset(self.statuses, other.statuses)
            and (self.after is None or (other.after is not None and self.after <= other.after))
        )


class Manifest(msgspec.Struct, kw_only=True):
    """The state of a dataset, as the last commit left it."""

    format: int = FORMAT_VERSION
    origin: ProjectRef
    jobs: bool = False
    chunks: list[Chunk] = []
    open: dict[str, Statuses] = {}
    """Batches to fetch again, and the statuses with which each is kept."""
    covered: list[SyncedRange] = []

    @classmethod
    def read(cls, storage: Storage) -> Self | None:
        """Return the manifest of a folder, or None if the folder is empty."""
        content = storage.get(MANIFEST_FILE)
        if content is None:
            _check_empty(storage)
            return None
        try:
            version = msgspec.json.decode(content, type=_Format).format
            if version > FORMAT_VERSION:
                raise DatasetError(
                    f"{storage.name!r} was written by a newer version of llama_batches_nb (format "
                    f"{version}; this version reads {FORMAT_VERSION}). Upgrade llama_batches_nb."
                )
            manifest = msgspec.json.decode(content, type=cls)
            _check_parts(manifest.chunks)
            return manifest
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise DatasetError(
                f"{MANIFEST_FILE!r} in {storage.name!r} is damaged ({error}). Restore it from a "
                "backup, or delete the folder and sync again."
            ) from error

    def save(self, storage: Storage) -> None:
        """Commit this state."""
        self.open = {
            batch_id: statuses
            for batch_id, statuses in self.open.items()
            if _is_valid_unicode(batch_id)
        }
        storage.put(MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(self)))

    def check_origin(self, storage: Storage, origin: ProjectRef) -> None:
        """Raise `DatasetError` if the dataset holds batches of another project."""
        if self.origin != origin:
            raise DatasetError(
                f"{storage.name!r} holds batches of {self.origin}, not of {origin}. Connect to "
                "that project, or sync to another folder."
            )

    def parts(self, table: str) -> list[PartFile]:
        """Return the files of a table."""
        return [chunk.parts[table] for chunk in self.chunks if table in chunk.parts]

    def rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return sum(part.rows for part in self.parts(table))

    def track_open(self, batch_id: str, statuses: Statuses) -> None:
        """Fetch a batch again until it has ended, and keep it while it has one of the statuses."""
        if batch_id in self.open:
            statuses = union(self.open[batch_id], statuses)
        self.open[batch_id] = statuses

    def resume_from(self, target: SyncedRange) -> datetime | None:
        """Return the creation time from which batches may be new, or None for any time."""
        until = [past.until for past in self.covered if past.covers(target)]
        return max(EPOCH, *until) - CLOCK_SKEW if until else None

    def add_synced_range(self, new: SyncedRange) -> None:
        """Record a completed listing, merged with an earlier one of the same filters."""
        key = (new.source_directory_id, new.statuses)
        same = [past for past in self.covered if (past.source_directory_id, past.statuses) == key]
        for past in same:
            without_gap = new.after is None or new.after <= max(EPOCH, past.until) - CLOCK_SKEW
            if past.covers(new) and without_gap:
                until = max(new.until, past.until)
                new = msgspec.structs.replace(new, after=past.after, until=until)
        self.covered = [past for past in self.covered if past not in same] + [new]

    def unreferenced_files(self, names: Iterable[str]) -> list[str]:
        """Return the files that a sync wrote and that no chunk refers to."""
        referenced = {part.name for chunk in self.chunks for part in chunk.parts.values()}
        return [
            name
            for name in names
            if name not in referenced
            and (_PART_OR_TEMPORARY.fullmatch(name) or _TEMPORARY.fullmatch(name))
        ]


class _Format(msgspec.Struct):
    format: int


def is_superset(statuses: Statuses, others: Statuses) -> bool:
    """Return whether `statuses` include all `others`."""
    return statuses is None or (others is not None and set(others) <= set(statuses))


def union(statuses: Statuses, others: Statuses) -> Statuses:
    """Return the statuses that are in either."""
    if statuses is None or others is None:
        return None
    return tuple(dict.fromkeys((*statuses, *others)))


def _is_valid_unicode(text: str) -> bool:
    """Return whether text has no lone surrogates, which JSON can contain but UTF-8 cannot."""
    return text.encode(errors="ignore").decode() == text


def _check_parts(chunks: Iterable[Chunk]) -> None:
    """Raise `ValueError` unless every part has a valid name and is listed once.

    A manifest from elsewhere must not make a sync read or delete other files.
    """
    seen = set()
    for chunk in chunks:
        if BATCHES.name not in chunk.parts:
            raise ValueError("a chunk has no batches")
        for table, part in chunk.parts.items():
            match = _PART_NAME.fullmatch(part.name)
            if match is None or match[1] != table or part.name in seen:
                raise ValueError(f"{part.name!r:.80} is not a valid part of {table!r:.80}")
            seen.add(part.name)


def _check_empty(storage: Storage) -> None:
    """Raise `DatasetError` if a folder without a manifest holds anything."""
    if storage.is_file():
        raise DatasetError(f"{storage.name!r} is a file. Choose a folder for the dataset.")
    names = storage.names()
    if any(_PART_OR_TEMPORARY.fullmatch(name) for name in names):
        raise DatasetError(
            f"{storage.name!r} holds files of a dataset but no {MANIFEST_FILE!r}. Restore it from "
            "a backup, or delete the folder and sync again."
        )
    others = [name for name in names if not (_LOCK.fullmatch(name) or _TEMPORARY.fullmatch(name))]
    if others:
        raise DatasetError(
            f"{storage.name!r} is not a dataset: it holds other files ({others[0]!r}). Choose an "
            "empty or new folder."
        )
