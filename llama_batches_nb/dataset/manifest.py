"""What a dataset consists of: the one file that says which others belong to it.

It is replaced in one step, and that is how a sync commits. A file that it does not name is what a
killed sync left behind, and never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import msgspec

from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError

MANIFEST = "_manifest.json"
FORMAT_VERSION = 1  # raised when older code would misread what newer code wrote
CLOCK_SKEW = timedelta(hours=1)  # what the clocks of the API's servers may differ, with room
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no batch is older, though a server may say the year 1

_NAME = re.compile(r"(batches|results|jobs)/part-[0-9a-f]{12}\.parquet")
_PART = re.compile(r"(batches|results|jobs)/\.?part-[0-9a-f]{12}\.parquet(\.[0-9a-f]{8}\.tmp)?")
_TEMPORARY = re.compile(r"\._(manifest|lock)\.json\.[0-9a-f]{8}\.tmp")
_LOCK = re.compile(r"_lock(\.json)?")

Count = Annotated[int, msgspec.Meta(ge=0)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Statuses = tuple[str, ...] | None
"""Of which statuses batches are wanted; None for all."""


class PartFile(msgspec.Struct, frozen=True):
    """One Parquet file of a table."""

    name: str
    rows: Count


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Some batches with all that belongs to them: a part of each table that has rows.

    `ended` ones are facts; the others are asked for again. `jobs_asked` says whether the API was
    asked for all their jobs, `open_jobs` how many of those had not ended.
    """

    ended: bool
    parts: dict[str, PartFile]
    jobs_asked: bool = False
    open_jobs: Count = 0

    def rows(self, table: str) -> int:
        """Return how many rows of a table belong to it."""
        part = self.parts.get(table)
        return part.rows if part else 0


class ProjectRef(msgspec.Struct, frozen=True):
    """Where the rows are from: rows of two projects must not mix."""

    base_url: str
    project_id: str | None
    organization_id: str | None

    def __str__(self) -> str:
        project = f"project {self.project_id}" if self.project_id else "the key's own project"
        of = f" of organization {self.organization_id}" if self.organization_id else ""
        return f"{project}{of} at {self.base_url}"


class SyncedRange(msgspec.Struct, frozen=True):
    """What was listed to its end: batches of these filters, created from `after` to `until`."""

    source_directory_id: str | None
    statuses: Statuses
    after: Time | None
    until: Time

    def covers(self, other: SyncedRange) -> bool:
        """Whether whatever `other` chooses, up to `until`, was listed for this."""
        return (
            self.source_directory_id in (None, other.source_directory_id)
            and is_superset(self.statuses, other.statuses)
            and (self.after is None or (other.after is not None and self.after <= other.after))
        )


class Manifest(msgspec.Struct, kw_only=True):
    """All that a sync has to know of those before it."""

    format: int = FORMAT_VERSION
    origin: ProjectRef
    jobs: bool = False
    chunks: list[Chunk] = []
    open: dict[str, Statuses] = {}
    """Batches to be asked for again, and of which statuses they are wanted."""
    covered: list[SyncedRange] = []

    @classmethod
    def read(cls, storage: Storage) -> Self | None:
        """Return what is there; None in a place that is empty."""
        content = storage.get(MANIFEST)
        if content is None:
            _check_empty(storage)
            return None
        try:
            found = msgspec.json.decode(content, type=_Format).format
            if found > FORMAT_VERSION:
                raise DatasetError(
                    f"{storage.name!r} was written by a newer llama_batches_nb (format {found}, "
                    f"and this one knows {FORMAT_VERSION}): upgrade llama_batches_nb."
                )
            manifest = msgspec.json.decode(content, type=cls)
            _check_parts(manifest.chunks)
            return manifest
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise DatasetError(
                f"{MANIFEST!r} of {storage.name!r} is damaged ({error}): restore it from a copy, "
                "or delete the folder and sync again."
            ) from error

    def save(self, storage: Storage) -> None:
        """Commit: from here on this is the dataset."""
        self.open = {one: statuses for one, statuses in self.open.items() if _is_valid_unicode(one)}
        storage.put(MANIFEST, msgspec.json.format(msgspec.json.encode(self)))

    def check_origin(self, storage: Storage, origin: ProjectRef) -> None:
        """Raise `DatasetError` if rows of another place would be mixed in."""
        if self.origin != origin:
            raise DatasetError(
                f"{storage.name!r} holds batches of {self.origin}, not of {origin}: connect to "
                "that, or sync to another folder."
            )

    def parts(self, table: str) -> list[PartFile]:
        """Return the files of a table."""
        return [chunk.parts[table] for chunk in self.chunks if table in chunk.parts]

    def rows(self, table: str) -> int:
        """Return how many rows a table has."""
        return sum(part.rows for part in self.parts(table))

    def resume_from(self, wanted: SyncedRange) -> datetime | None:
        """Return from when on batches may be new; None if all may be."""
        until = [past.until for past in self.covered if past.covers(wanted)]
        return max(EPOCH, *until) - CLOCK_SKEW if until else None

    def add_synced_range(self, done: SyncedRange) -> None:
        """Remember what was listed, instead of what that makes superfluous."""
        key = (done.source_directory_id, done.statuses)
        same = [past for past in self.covered if (past.source_directory_id, past.statuses) == key]
        for past in same:
            without_gap = done.after is None or done.after <= max(EPOCH, past.until) - CLOCK_SKEW
            if past.covers(done) and without_gap:
                until = max(done.until, past.until)
                done = msgspec.structs.replace(done, after=past.after, until=until)
        self.covered = [past for past in self.covered if past not in same] + [done]

    def unreferenced_files(self, names: Iterable[str]) -> list[str]:
        """Return which of the files are ours and belong to nothing any more."""
        live = {part.name for chunk in self.chunks for part in chunk.parts.values()}
        ours = [name for name in names if _PART.fullmatch(name) or _TEMPORARY.fullmatch(name)]
        return [name for name in ours if name not in live]


class _Format(msgspec.Struct):
    format: int


def is_superset(statuses: Statuses, others: Statuses) -> bool:
    """Whether some statuses include others."""
    return statuses is None or (others is not None and set(others) <= set(statuses))


def union(statuses: Statuses, others: Statuses) -> Statuses:
    """Return what is wanted by either."""
    if statuses is None or others is None:
        return None
    return tuple(dict.fromkeys((*statuses, *others)))


def _is_valid_unicode(text: str) -> bool:
    """Whether text has no half characters: a server's JSON can hold them, ours can't."""
    return text.encode(errors="ignore").decode() == text


def _check_parts(chunks: Iterable[Chunk]) -> None:
    """Raise `ValueError` unless the parts are files of ours, each once: a stranger may name any."""
    seen = set()
    for chunk in chunks:
        if "batches" not in chunk.parts:
            raise ValueError("a chunk has no batches")
        for table, part in chunk.parts.items():
            found = _NAME.fullmatch(part.name)
            if found is None or found[1] != table or part.name in seen:
                raise ValueError(f"{part.name!r:.80} can't be a part of {table!r:.80}")
            seen.add(part.name)


def _check_empty(storage: Storage) -> None:
    """Raise `DatasetError` if a place without a manifest is not free for one."""
    if storage.is_file():
        raise DatasetError(f"{storage.name!r} is a file: name a folder for the dataset.")
    names = storage.names()
    if any(_PART.fullmatch(name) for name in names):
        raise DatasetError(
            f"{storage.name!r} holds parts of a dataset but no {MANIFEST!r}: restore that from a "
            "copy, or delete the folder and sync again."
        )
    others = [name for name in names if not (_LOCK.fullmatch(name) or _TEMPORARY.fullmatch(name))]
    if others:
        raise DatasetError(
            f"{storage.name!r} holds something else ({others[0]!r}): name a new folder."
        )
