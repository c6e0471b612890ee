"""Simulate each file of a batch: whether it gets a job, how the job ends, and when.

Nothing is stored: every outcome is computed from the numbers of the batch and of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from llama_batches_nb.sandbox_server.state import error_messages
from llama_batches_nb.sandbox_server.state.clock import DAY
from llama_batches_nb.sandbox_server.state.sample_data import (
    SAMPLE_CONFIGURATIONS,
    SAMPLE_DIRECTORIES,
)

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import Batch, File, JobStatus, JobType

JobOutcome = Literal["succeeded", "failed", "drifted", "cancelled", "mapping_error"]

SCALE = 1 << 20  # a probability of 1, in the unit of the thresholds
CANCELLED_THRESHOLD = int(0.002 * SCALE)  # of a single job in a batch that is not cancelled
HARD_FACTOR, NORMAL_FACTOR = 6.0, 0.55  # on failure rates; one file in twelve is hard
MAX_FAILURE_RATE = 0.9
DRIFT_RAMP = 4 * DAY  # until the drift has its full size
STRAGGLERS_OF_256 = 12  # jobs that end late, of 256 jobs in a batch with stragglers
IMAGE_EXTENSIONS = (".jpg", ".png", ".tiff", ".heic")
MAX_PAGES = 60


@dataclass(slots=True, frozen=True)
class FailureThresholds:
    """Probability of each failure in a batch, in units of 1 / `SCALE`.

    The seeds of the files derive from `seed`.
    """

    seed: int

    mapping_error: int
    normal: int
    hard: int
    drift: int


def failure_thresholds(batch: Batch, seed: int, drift_start: int) -> FailureThresholds:
    """Return the thresholds of a batch from its configuration, directory and time."""
    sample = SAMPLE_CONFIGURATIONS[batch.configuration]
    failure_factor, mapping_error_rate = 1.0, 0.0
    if batch.directory < len(SAMPLE_DIRECTORIES):
        directory = SAMPLE_DIRECTORIES[batch.directory]
        failure_factor = directory.failure_factor
        mapping_error_rate = directory.mapping_error_rate
    drift_progress = min(max((batch.created - drift_start) / DRIFT_RAMP, 0.0), 1.0)
    rate = sample.failure_rate * failure_factor
    return FailureThresholds(
        mix64(seed, batch.number),
        int(mapping_error_rate * SCALE),
        int(min(rate * NORMAL_FACTOR, MAX_FAILURE_RATE) * SCALE),
        int(min(rate * HARD_FACTOR, MAX_FAILURE_RATE) * SCALE),
        int(sample.drift * drift_progress * failure_factor**0.3 * SCALE),
    )


def draw_outcome(seed: int, thresholds: FailureThresholds, file: File) -> JobOutcome:
    """Return the outcome of the file that has this seed in a batch."""
    if file.quality == "valid":
        return "succeeded"
    if file.quality == "corrupt":
        return "failed"
    if file.quality == "unsupported":
        return "mapping_error"
    draw = seed % SCALE - thresholds.mapping_error
    if draw < 0:
        return "mapping_error"
    draw -= thresholds.hard if file.quality == "hard" else thresholds.normal
    if draw < 0:
        return "failed"
    draw -= thresholds.drift
    if draw < 0:
        return "drifted"
    return "cancelled" if draw < CANCELLED_THRESHOLD else "succeeded"


def page_count(file: File) -> int:
    """Return the number of pages of a file."""
    if file.display_name.endswith(IMAGE_EXTENSIONS):
        return 1
    share = (mix64(*file.stored) >> 8) / (1 << 56)
    return 1 + int(MAX_PAGES * share**3)


def error_message(
    outcome: JobOutcome, job_type: JobType, seed: int, file: File, file_id: str
) -> str | None:
    """Return the error message of a file, or None if the outcome has none."""
    if outcome in ("succeeded", "cancelled"):
        return None
    rng = Random(seed)
    if file.quality == "unsupported":
        template = error_messages.UNSUPPORTED_FILE_ERROR
    elif file.quality == "corrupt":
        template = error_messages.DAMAGED_FILE_ERROR
    elif outcome == "mapping_error":
        template = error_messages.draw_mapping_error(rng)
    elif outcome == "drifted":
        template = error_messages.DRIFT_ERROR
    else:
        template = error_messages.draw_job_error(job_type, rng)
    return error_messages.format_message(
        template, rng, file.display_name, page_count(file), file_id
    )


@dataclass(slots=True, frozen=True)
class Job:
    """A job of a batch and the times of its status changes."""

    batch: Batch
    index: int
    file: File
    outcome: JobOutcome
    seed: int
    created: int
    started: int
    ended: int

    def status(self, now: int) -> JobStatus:
        """Return the status at a time."""
        if now < self.started:
            return "PENDING"
        if now < self.ended:
            return "RUNNING"
        if self.outcome == "cancelled":
            return "CANCELLED"
        return "COMPLETED" if self.outcome == "succeeded" else "FAILED"

    def updated(self, now: int) -> int:
        """Return when the status at a time was reached."""
        return next(at for at in (self.ended, self.started, self.created) if at <= now)

    def credits(self) -> tuple[int, int]:
        """Return the parse and the extract credits. A failed job bills the pages it completed."""
        sample, pages = SAMPLE_CONFIGURATIONS[self.batch.configuration], page_count(self.file)
        if self.outcome == "failed":
            return sample.parse_credits * (pages * (self.seed >> 52 & 0xFF) >> 8), 0
        extracted = 0 if self.outcome == "drifted" else pages
        return sample.parse_credits * pages, sample.extract_credits * extracted


def job_creation_time(batch: Batch, index: int) -> int:
    """Return when the job of a file is created: one by one in the first 70 % of the run."""
    return batch.started + (batch.planned_end - batch.started) * 7 * index // (
        10 * batch.file_count
    )


def create_job(batch: Batch, index: int, file: File, outcome: JobOutcome, seed: int) -> Job:
    """Return the job of a file that was mapped to one."""
    created = job_creation_time(batch, index)
    started = created + ((batch.planned_end - batch.started) * (seed >> 20 & 0xFF) >> 13)
    ended = started + ((batch.planned_end - started) * (32 + (seed >> 28 & 0x7F)) >> 8) + 1
    if batch.straggler_delay and seed >> 36 & 0xFF < STRAGGLERS_OF_256:
        ended = batch.planned_end + (batch.straggler_delay * (1 + (seed >> 44 & 0xFF)) >> 8)
    if batch.final_status == "CANCELLED" and ended > batch.ended:
        outcome, started, ended = "cancelled", min(started, batch.ended), batch.ended
    return Job(batch, index, file, outcome, seed, created, started, ended)


MASK = (1 << 64) - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the increment of splitmix64


def mix64(*numbers: int, state: int = 0) -> int:
    """Hash integers to 64 bits that depend on each number and on their order (splitmix64).

    `mix64(1, 2)` equals `mix64(2, state=mix64(1))`.
    """
    x = state
    for number in numbers:
        x = (x + number + 1) * GOLDEN_RATIO & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        x ^= x >> 31
    return x
