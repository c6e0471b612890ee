"""What the sandbox keeps: directories, files, configurations, and the plan of each batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

JobType = Literal["parse_v2", "extract_v2"]
Status = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
JobStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
DirectoryType = Literal["user", "index", "ephemeral"]
FINAL: tuple[Status, ...] = ("COMPLETED", "FAILED", "CANCELLED")
STATUSES: tuple[Status, ...] = get_args(Status)

Nature = Literal["plain", "hard", "sound", "corrupt", "unsupported"]
"""How a file fares: plain and hard ones by the odds, a sound one always succeeds, a corrupt one
fails its job, an unsupported one gets no job."""


@dataclass(slots=True, frozen=True)
class File:
    """A file of a directory; `stored` is where it was uploaded first (directory, place)."""

    display_name: str
    unique_id: str
    created: int
    nature: Nature
    stored: tuple[int, int]


@dataclass(slots=True)
class Directory:
    """A directory and its files, in the order they came."""

    name: str
    type: DirectoryType
    created: int
    description: str | None = None
    expires: int | None = None
    files: list[File] = field(default_factory=list)
    unique_ids: set[str] = field(default_factory=set)

    def deleted_at(self, now: int) -> int | None:
        """When it was cleaned up, if it was."""
        return self.expires if self.expires is not None and self.expires <= now else None

    def add(self, file: File) -> int:
        """Append a file and return its place."""
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
    """A batch's plan; its state at a time follows from it.

    `due` is when it ends if nobody cancels it, `ended` when it does end, as `end`. The first
    `files` files of the directory take part. Some jobs of a batch may outlast it by up to
    `straggling` microseconds.
    """

    number: int
    directory: int
    configuration: int
    job_type: JobType
    files: int
    created: int
    throttled: int | None
    started: int
    due: int
    ended: int
    end: Status
    straggling: int = 0

    def status(self, now: int) -> Status:
        """Status at a time."""
        if now >= self.ended:
            return self.end
        if now >= self.started:
            return "RUNNING"
        if self.throttled is not None and now >= self.throttled:
            return "THROTTLED"
        return "PENDING"

    def updated(self, now: int) -> int:
        """Return when the status at a time was reached."""
        moments = (self.ended, self.started, self.throttled, self.created)
        return next(at for at in moments if at is not None and at <= max(now, self.created))

    def cancelled(self, at: int) -> Batch:
        """Return the plan with an end at that time, unless it ends before."""
        return self if self.ended <= at else replace(self, ended=at, end="CANCELLED")
