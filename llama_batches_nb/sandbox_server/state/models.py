"""The records that the sandbox stores: directories, files, configurations and batches.

All times are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

JobType = Literal["parse_v2", "extract_v2"]
ProductType = Literal[
    "classify_v2", "extract_v2", "parse_v2", "split_v1", "spreadsheet_v1", "unknown"
]
Metadata = dict[str, str | int | float | bool | list[str] | None]
BatchStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
JobStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
ParseJobStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
DirectoryType = Literal["user", "index", "ephemeral"]
TERMINAL_STATUSES: tuple[BatchStatus, ...] = ("COMPLETED", "FAILED", "CANCELLED")

FileQuality = Literal["normal", "hard", "valid", "corrupt", "unsupported"]
"""How processing a file ends: at random for normal and for hard files, which fail more often; a
valid file always succeeds, the job of a corrupt file fails, an unsupported file gets no job."""


@dataclass(slots=True, frozen=True)
class File:
    """A file of a directory.

    `stored` identifies the stored content: the index of the directory to which it was first
    uploaded, and its index there. A file keeps its id when it moves to another directory:
    `moved_to` is its new place, and at that place `id_numbers` is the place where it got its id.
    """

    display_name: str
    unique_id: str
    created: int
    quality: FileQuality
    stored: tuple[int, int]
    metadata: Metadata = field(default_factory=dict)
    updated: int | None = None
    deleted: int | None = None
    moved_to: tuple[int, int] | None = None
    id_numbers: tuple[int, int] | None = None

    @property
    def is_present(self) -> bool:
        """Whether the file is in its directory, neither deleted nor moved."""
        return self.deleted is None and self.moved_to is None

    @property
    def last_updated(self) -> int:
        """When the file was last changed."""
        return self.created if self.updated is None else self.updated


@dataclass(slots=True)
class Directory:
    """A directory and its files, in the order in which they were added."""

    name: str
    type: DirectoryType
    created: int
    description: str | None = None
    expires: int | None = None
    files: list[File] = field(default_factory=list)
    unique_ids: set[str] = field(default_factory=set)
    updated: int = 0
    deleted: int | None = None
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None

    def deleted_at(self, now: int) -> int | None:
        """Return when the directory was deleted or expired, or None if it exists at `now`."""
        ends = [at for at in (self.deleted, self.expires) if at is not None and at <= now]
        return min(ends, default=None)

    def present_files(self) -> list[int]:
        """Return the indexes of the files that are neither deleted nor moved."""
        return [index for index, file in enumerate(self.files) if file.is_present]

    def add(self, file: File) -> int:
        """Append a file and return its index."""
        self.files.append(file)
        self.unique_ids.add(file.unique_id)
        self.updated = file.last_updated
        return len(self.files) - 1

    def replace(self, index: int, file: File) -> None:
        """Replace a file by a changed one."""
        self.unique_ids.discard(self.files[index].unique_id)
        if file.is_present:
            self.unique_ids.add(file.unique_id)
        self.files[index] = file
        self.updated = file.last_updated


@dataclass(slots=True, frozen=True)
class Configuration:
    """A version of a saved configuration, or a preset.

    `deleted` is when it was deleted or replaced by a newer version.
    """

    id: str
    name: str
    job_type: ProductType
    tier: str
    created: int
    updated: int
    parameters: dict[str, Any]
    deleted: int | None = None


@dataclass(slots=True, frozen=True)
class Batch:
    """The plan of a batch, which determines its status at any time.

    `directory` and `configuration` are indexes. The batch processes the files at `file_indexes` of
    its directory, by default the first `file_count`. It ends at `ended` with `final_status`;
    without a cancellation that is `planned_end`. Some of its jobs end up to `straggler_delay`
    microseconds later. Its results appear `results_delay` microseconds after its end, and some job
    references up to as much later.
    """

    number: int
    directory: int
    configuration: int
    job_type: JobType
    file_count: int
    created: int
    throttled: int | None
    started: int
    planned_end: int
    ended: int
    final_status: BatchStatus
    straggler_delay: int = 0
    results_delay: int = 0
    file_indexes: tuple[int, ...] | None = None

    def file_index(self, index: int) -> int:
        """Return the index in its directory of a file of the batch."""
        return index if self.file_indexes is None else self.file_indexes[index]

    def status(self, now: int) -> BatchStatus:
        """Return the status at a time."""
        if now >= self.ended:
            return self.final_status
        if now >= self.started:
            return "RUNNING"
        if self.throttled is not None and now >= self.throttled:
            return "THROTTLED"
        return "PENDING"

    def updated(self, now: int) -> int:
        """Return when the status at a time was reached."""
        changes = (self.ended, self.started, self.throttled, self.created)
        return next(at for at in changes if at is not None and at <= max(now, self.created))

    def cancelled(self, at: int) -> Batch:
        """Return the batch cancelled at a time, or unchanged if it ends before."""
        return self if self.ended <= at else replace(self, ended=at, final_status="CANCELLED")
