"""Simulate each file of a batch: whether it gets a job, how the job ends, and when.

Nothing is stored: every outcome is computed from the numbers of the batch and of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Literal

from llama_batches_nb.sandbox_server.state import error_messages
from llama_batches_nb.sandbox_server.state.clock import DAY, SECOND
from llama_batches_nb.sandbox_server.state.sample_data import (
    SAMPLE_DIRECTORIES,
    sample_configuration,
)

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import Batch, File, JobStatus, JobType

JobOutcome = Literal["succeeded", "failed", "drifted", "cancelled", "mapping_error"]

SCALE = 1 << 20  # a probability of 1, in the unit of the thresholds
CANCELLED_THRESHOLD = int(0.002 * SCALE)  # of a single job in a batch that is not cancelled
HARD_FACTOR, NORMAL_FACTOR = 6.0, 0.55  # on failure rates; one file in twelve is hard
MAX_FAILURE_RATE = 0.9
DRIFT_RAMP = 4 * DAY  # until the drift has its full size
STRAGGLERS_OF_256 = 24  # jobs that end late, of 256 jobs in a batch with stragglers
LATE_REFERENCES_OF_256 = 48  # job references that appear after the other results
THROTTLED_OF_256 = 12  # extract jobs that are throttled before they start
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
    sample = sample_configuration(batch.configuration, batch.job_type)
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


def draw_delays(seed: int, number: int, job_delay: float, results_delay: float) -> tuple[int, int]:
    """Return the straggler delay and the results delay of a batch, in microseconds.

    Seven in eight batches have stragglers; for three in four the results appear late. The
    arguments are the maximum delays in seconds.
    """
    draw = mix64(seed, number, 1)
    stragglers = int(job_delay * SECOND) * (1 + (draw >> 8 & 0xFF)) >> 8 if draw & 7 else 0
    results = int(results_delay * SECOND) * (1 + (draw >> 16 & 0xFF)) >> 8 if draw >> 3 & 3 else 0
    return stragglers, results


def error_message(
    outcome: JobOutcome, job_type: JobType, seed: int, file: File, file_id: str
) -> str | None:
    """Return the error message of a file, or None if the outcome has none."""
    if outcome in ("succeeded", "cancelled"):
        return None
    rng = Random(seed)
    template = draw_error_template(outcome, job_type, file, rng)
    return error_messages.format_message(
        template, rng, file.display_name, page_count(file), file_id
    )


def draw_error_template(outcome: JobOutcome, job_type: JobType, file: File, rng: Random) -> str:
    """Draw the template of the error message of a file."""
    if file.quality == "unsupported":
        return error_messages.UNSUPPORTED_FILE_ERROR
    if file.quality == "corrupt":
        return error_messages.DAMAGED_FILE_ERROR
    if outcome == "mapping_error":
        return error_messages.draw_mapping_error(rng)
    if outcome == "drifted":
        return error_messages.DRIFT_ERROR
    return error_messages.draw_job_error(job_type, rng)


@dataclass(slots=True, frozen=True)
class Job:
    """A job of a batch and the times of its status changes.

    The type of the parse job behind an extract job is not that of its batch.
    """

    type: JobType
    batch: Batch
    index: int
    file: File
    outcome: JobOutcome
    seed: int
    created: int
    started: int
    ended: int

    @property
    def throttled(self) -> int | None:
        """When the job was throttled, or None if it was not. Only extract jobs are."""
        if self.type == "extract_v2" and self.seed >> 56 < THROTTLED_OF_256:
            return (self.created + self.started) // 2
        return None

    def status(self, now: int) -> JobStatus:
        """Return the status at a time."""
        if now < self.started:
            throttled = self.throttled
            return "PENDING" if throttled is None or now < throttled else "THROTTLED"
        if now < self.ended:
            return "RUNNING"
        if self.outcome == "cancelled":
            return "CANCELLED"
        return "COMPLETED" if self.outcome == "succeeded" else "FAILED"

    def updated(self, now: int) -> int:
        """Return when the status at a time was reached."""
        changes = (self.ended, self.started, self.throttled, self.created)
        return next(at for at in changes if at is not None and at <= now)

    def completed_pages(self) -> int:
        """Return the number of pages that the job has completed when it ends."""
        pages = page_count(self.file)
        return pages if self.outcome == "succeeded" else pages * (self.seed >> 52 & 0xFF) >> 8

    def error(self, file_id: str) -> str | None:
        """Return its error message, or None if it does not fail."""
        return error_message(self.outcome, self.type, self.seed, self.file, file_id)

    def cancelled(self, at: int) -> Job:
        """Return the job cancelled at a time, or unchanged if it ends before."""
        if self.ended <= at:
            return self
        return replace(self, outcome="cancelled", started=min(self.started, at), ended=at)


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
    is_last = index == batch.file_count - 1  # so that small batches have stragglers too
    if batch.straggler_delay and (is_last or seed >> 36 & 0xFF < STRAGGLERS_OF_256):
        ended = batch.planned_end + (batch.straggler_delay * (1 + (seed >> 44 & 0xFF)) >> 8)
    if batch.final_status == "CANCELLED" and ended > batch.ended:
        outcome, started, ended = "cancelled", min(started, batch.ended), batch.ended
    return Job(batch.job_type, batch, index, file, outcome, seed, created, started, ended)


def reference_time(batch: Batch, seed: int) -> int:
    """Return when the job reference of a file appears in the results of its batch."""
    at = batch.ended + batch.results_delay
    if seed >> 12 & 0xFF < LATE_REFERENCES_OF_256:
        at += batch.results_delay * (1 + (seed >> 4 & 0xFF)) >> 8
    return at


def create_parse_job(job: Job) -> Job:
    """Return the parse job that an extract job starts and that ends before it.

    It fails if the file is damaged, or if that is the error of the extract job.
    """
    outcome: JobOutcome = "cancelled" if job.outcome == "cancelled" else "succeeded"
    if job.outcome == "failed":
        template = draw_error_template("failed", job.type, job.file, Random(job.seed))
        if template in (error_messages.DAMAGED_FILE_ERROR, error_messages.PARSE_JOB_ERROR):
            outcome = "failed"
    ended = job.started + (job.ended - job.started) * 5 // 8
    return replace(job, type="parse_v2", outcome=outcome, ended=ended)


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
