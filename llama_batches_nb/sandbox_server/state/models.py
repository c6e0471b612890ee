"""The records that the sandbox stores: directories, files, configurations and batches.

All times are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

JobType = Literal["parse_v2", "extract_v2"]
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
    uploaded, and its index there.
    """

    display_name: str
    unique_id: str
    created: int
    quality: FileQuality
    stored: tuple[int, int]


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

    def deleted_at(self, now: int) -> int | None:
        """Return when the directory expired, or None if it exists at `now`."""
        return self.expires if self.expires is not None and self.expires <= now else None

    def add(self, file: File) -> int:
        """Append a file and return its index."""
        self.files.append(file)
        self.unique_ids.add(file.unique_id)
        return len(self.files) - 1


@dataclass(slots=True, frozen=True)
class Configuration:
    """A saved configuration or preset."""

    id: str
    name: str
    job_type: JobType
    tier: str
    created: int
    updated: int
    parameters: dict[str, Any]


@dataclass(slots=True, frozen=True)
class Batch:
    """The plan of a batch, which determines its status at any time.

    `directory` and `configuration` are indexes. The batch processes the first `file_count` files of
    its directory. It ends at `ended` with `final_status`; without a cancellation that is
    `planned_end`. Some of its jobs end up to `straggler_delay` microseconds later. Its results
    appear `results_delay` microseconds after its end, and some job references up to as much later.
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
