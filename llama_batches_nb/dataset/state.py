"""The record of what the last sync wrote, listed and left to request again.

The record is never needed to know which rows a dataset has. It saves requests: a file that is as
recorded needs no request, and any other is fetched again. So a writer that replaces the files or
the record of another one causes repeated work, and no loss.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import msgspec

from llama_batches_nb.dataset.parquet_files import FileVersion
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables.schema import (
    BATCHES,
    CONFIGURATIONS,
    DIRECTORIES,
    EXTRACTIONS,
    FILES,
    JOBS,
    PAGES,
    RESULTS,
    Table,
)

STATE_FILE = "_sync.json"
OLD_STATE_FILE = "_manifest.json"  # of format 1
FORMAT_VERSION = 2  # increased when older versions would misread the format
DAY_TABLES = (RESULTS, JOBS, PAGES, EXTRACTIONS, BATCHES)  # in the order in which they are written
NAME_TABLES = (FILES, DIRECTORIES, CONFIGURATIONS)
DATASET_TABLES = {table.name: table for table in (*DAY_TABLES, *NAME_TABLES)}
UNKNOWN_DAY = "unknown"  # partition of the batches without a creation time
CLOCK_SKEW = timedelta(hours=1)  # upper bound for the clock difference of two API servers
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no batch is older, even if the server says year 1

_DAY = rf"\d{{4}}-\d\d-\d\d|{UNKNOWN_DAY}"
_FILE = re.compile(
    rf"(?P<table>{'|'.join(t.name for t in DAY_TABLES)})/created=(?P<day>{_DAY})/data\.parquet"
    rf"|(?P<names>{'|'.join(t.name for t in NAME_TABLES)})/data\.parquet"
)
_TEMPORARY = re.compile(r"(.*/|)\.(.+)\.[0-9a-f]{8}\.tmp")

AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
Statuses = tuple[str, ...] | None
"""Statuses to keep; None keeps all."""


class SyncedRange(msgspec.Struct, frozen=True):
    """A completed listing: batches that match these filters, created from `after` to `until`."""

    source_directory_id: str | None
    statuses: Statuses
    after: AwareDatetime | None
    until: AwareDatetime

    @property
    def key(self) -> tuple[object, ...]:
        """The filters apart from times; the last listing of each is recorded."""
        return self.source_directory_id, self.statuses

    def includes(self, after: datetime | None) -> bool:
        """Return whether the listing began no later."""
        return self.after is None or (after is not None and self.after <= after)


class PendingBatch(msgspec.Struct, kw_only=True):
    """A batch to request again: it has not ended, or something about it is still missing.

    `since` is when a sync first saw that the batch and its jobs had ended, or did not find it.
    """

    batch_id: str
    day: str
    statuses: Statuses = None  # with which it is kept
    fetch: bool = True  # the batch with its results
    jobs: bool = False  # jobs, credits or outputs that its results refer to
    open: bool = True  # not known to have ended
    since: AwareDatetime | None = None


class State(msgspec.Struct, kw_only=True):
    """The content of `_sync.json`."""

    format: int = FORMAT_VERSION
    content: str | None = None  # of the pages
    tables: list[str] = msgspec.field(default_factory=lambda: [BATCHES.name, RESULTS.name])
    covered: list[SyncedRange] = []
    asked: dict[str, list[str]] = {}
    """By day: what was requested for all its batches, of jobs, usage and outputs."""
    pending: list[PendingBatch] = []
    files: dict[str, FileVersion] = {}
    next_files: dict[str, FileVersion] = {}
    """Files that a sync is replacing, so that readers accept the old and the new ones."""

    @classmethod
    def read(cls, storage: Storage) -> Self | None:
        """Return the state of a dataset, or None if there is none; raise if it is damaged."""
        if (content := storage.get(STATE_FILE)) is None:
            return None
        try:
            if (version := msgspec.json.decode(content, type=_Format).format) > FORMAT_VERSION:
                raise DatasetError(
                    f"{storage.name!r} was written by a newer version of llama_batches_nb (format "
                    f"{version}; this version reads {FORMAT_VERSION}). Upgrade llama_batches_nb."
                )
            state = msgspec.json.decode(content, type=cls)
            if unknown := [n for n in (*state.files, *state.next_files) if not parse_name(n)]:
                raise ValueError(f"{unknown[0]!r:.80} is not the name of a file")
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise DamagedStateError(
                f"{STATE_FILE!r} in {storage.name!r} is damaged ({error}). Run sync_dataset, which "
                "rebuilds it and fetches what the API still has; no row is deleted."
            ) from error
        return state

    def encode(self) -> bytes:
        """Return the JSON of this state, without ids that are not valid Unicode."""
        self.pending = [p for p in self.pending if _is_valid_unicode(p.batch_id)]
        return msgspec.json.format(msgspec.json.encode(self))

    def days_of(self, table: Table) -> list[str]:
        """Return the days of which a table has a recorded file."""
        names = map(split_name, self.files)
        return [day for name, day in names if name == table.name and day is not None]

    def resume_from(self, target: SyncedRange) -> datetime | None:
        """Return the creation time from which batches may be new, or None for any time."""
        for past in self.covered:
            if past.key == target.key and past.includes(target.after):
                return max(EPOCH, past.until) - CLOCK_SKEW
        return None

    def add_synced_range(self, new: SyncedRange) -> None:
        """Record a completed listing, joined to an earlier one of the same filters."""
        for past in self.covered:
            if past.key == new.key and past.includes(new.after):
                if new.after is not None and new.after > max(EPOCH, past.until) - CLOCK_SKEW:
                    return  # nothing between them was listed
                until = max(new.until, past.until)
                new = msgspec.structs.replace(new, after=past.after, until=until)
        self.covered = [*(past for past in self.covered if past.key != new.key), new]


class DamagedStateError(DatasetError):
    """The record of a dataset cannot be read; the next sync rebuilds it."""


class _Format(msgspec.Struct):
    format: int


def save(storage: Storage, state: State) -> None:
    """Write the record of a dataset, unless it is the same."""
    content = state.encode()
    if storage.get(STATE_FILE) != content:
        storage.put(STATE_FILE, content)


def _is_valid_unicode(text: str) -> bool:
    return text.encode(errors="ignore").decode() == text


def file_name(table: str, day: str | None) -> str:
    """Return the name of the file of a table, and of a day if the table has days."""
    return f"{table}/data.parquet" if day is None else f"{table}/created={day}/data.parquet"


def parse_name(name: str) -> tuple[str, str | None] | None:
    """Return the table and the day of a file, or None if a dataset has no such file."""
    match = _FILE.fullmatch(name)
    return (match["table"] or match["names"], match["day"]) if match else None


def split_name(name: str) -> tuple[str, str | None]:
    """Return the table and the day of a file of a dataset."""
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"{name!r} is not a file of a dataset.")
    return parsed


def day_of(created: datetime | None) -> str:
    """Return the partition of a batch."""
    return UNKNOWN_DAY if created is None else created.astimezone(UTC).date().isoformat()


def check_folder(storage: Storage, names: list[str]) -> None:
    """Raise `DatasetError` if a folder is no dataset and not empty, or is of the old format."""
    if storage.is_file():
        raise DatasetError(f"{storage.name!r} is a file. Choose a folder for the dataset.")
    if OLD_STATE_FILE in names:
        raise DatasetError(
            f"{storage.name!r} has the format of an older version, which this one cannot read. "
            "Sync to a new folder. The old files are plain Parquet and stay as they are."
        )
    is_dataset = STATE_FILE in names or any(map(parse_name, names))
    others = [name for name in names if not is_temporary(name)]
    if others and not is_dataset:
        raise DatasetError(
            f"{storage.name!r} is not a dataset: it holds other files ({others[0]!r}). Choose an "
            "empty or new folder."
        )


def is_temporary(name: str) -> bool:
    """Return whether a file is one that a sync writes before it replaces another one."""
    match = _TEMPORARY.fullmatch(name)
    final = match[1] + match[2] if match else ""
    return final == STATE_FILE or parse_name(final) is not None


def union(statuses: Statuses, others: Statuses) -> Statuses:
    """Return the statuses that are in either."""
    if statuses is None or others is None:
        return None
    return tuple(dict.fromkeys((*statuses, *others)))
