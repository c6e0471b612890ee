"""What becomes of a file in a batch: whether it gets a job, and how that ends.

Nothing of it is kept; each answer follows from the numbers of the batch and the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from llama_batches_nb.sandbox_server.state import error_messages
from llama_batches_nb.sandbox_server.state.clock import DAY
from llama_batches_nb.sandbox_server.state.sample_data import PRESETS, SHELVES

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import Batch, File, JobStatus, JobType

JobOutcome = Literal["succeeded", "failed", "drifted", "cancelled", "unmapped"]

UNIT = 1 << 20  # odds are counted in these
CANCELLED_ODDS = int(0.002 * UNIT)  # of a single job of a batch that goes on
HARD_FACTOR, PLAIN_FACTOR = 6.0, 0.55  # on failure rates; one file in twelve is hard
WORST = 0.9
DRIFT_RAMP = 4 * DAY
STRAGGLERS = 12  # of 256 jobs of a batch with stragglers
IMAGES = (".jpg", ".png", ".tiff", ".heic")
PAGES = 60


@dataclass(slots=True, frozen=True)
class FailureThresholds:
    """Thresholds of a batch, in `UNIT`s: mapping error, job failure by nature, drift.

    `bits` are those of the batch, from which those of its files follow.
    """

    bits: int

    unmapped: int
    plain: int
    hard: int
    drift: int


def failure_thresholds(batch: Batch, seed: int, drift_from: int) -> FailureThresholds:
    """Return the odds of a batch's files by its configuration, directory and time."""
    preset = PRESETS[batch.configuration]
    trouble, unmapped = 1.0, 0.0
    if batch.directory < len(SHELVES):
        shelf = SHELVES[batch.directory]
        trouble, unmapped = shelf.trouble, shelf.unmapped
    drifted = min(max((batch.created - drift_from) / DRIFT_RAMP, 0.0), 1.0)
    rate = preset.failure_rate * trouble
    return FailureThresholds(
        mix64(seed, batch.number),
        int(unmapped * UNIT),
        int(min(rate * PLAIN_FACTOR, WORST) * UNIT),
        int(min(rate * HARD_FACTOR, WORST) * UNIT),
        int(preset.drift * drifted * trouble**0.3 * UNIT),
    )


def draw_outcome(bits: int, chances: FailureThresholds, file: File) -> JobOutcome:
    """Return what becomes of a file that has these bits in a batch."""
    if file.nature == "sound":
        return "succeeded"
    if file.nature == "corrupt":
        return "failed"
    if file.nature == "unsupported":
        return "unmapped"
    drawn = bits % UNIT - chances.unmapped
    if drawn < 0:
        return "unmapped"
    drawn -= chances.hard if file.nature == "hard" else chances.plain
    if drawn < 0:
        return "failed"
    drawn -= chances.drift
    if drawn < 0:
        return "drifted"
    return "cancelled" if drawn < CANCELLED_ODDS else "succeeded"


def pages(file: File) -> int:
    """Return the pages of a file."""
    if file.display_name.endswith(IMAGES):
        return 1
    share = (mix64(*file.stored) >> 8) / (1 << 56)
    return 1 + int(PAGES * share**3)


def message(fate: JobOutcome, job_type: JobType, bits: int, file: File, file_id: str) -> str | None:
    """Return what is said of a file that failed; None if it did not."""
    if fate in ("succeeded", "cancelled"):
        return None
    draw = Random(bits)
    if file.nature == "unsupported":
        template = error_messages.UNSUPPORTED
    elif file.nature == "corrupt":
        template = error_messages.DAMAGED
    elif fate == "unmapped":
        template = error_messages.mapping_failure(draw)
    elif fate == "drifted":
        template = error_messages.DRIFT
    else:
        template = error_messages.job_failure(job_type, draw)
    return error_messages.fill(template, draw, file.display_name, pages(file), file_id)


@dataclass(slots=True, frozen=True)
class Job:
    """A job of a batch, with the times of its life."""

    batch: Batch
    index: int
    file: File
    fate: JobOutcome
    bits: int
    created: int
    began: int
    ended: int

    def status(self, now: int) -> JobStatus:
        """Status at a time."""
        if now < self.began:
            return "PENDING"
        if now < self.ended:
            return "RUNNING"
        if self.fate == "cancelled":
            return "CANCELLED"
        return "COMPLETED" if self.fate == "succeeded" else "FAILED"

    def updated(self, now: int) -> int:
        """Return when the status at a time was reached."""
        return next(at for at in (self.ended, self.began, self.created) if at <= now)

    def credits(self) -> tuple[int, int]:
        """Return the credits of parsing and of extracting; a failure costs the pages before it."""
        preset, count = PRESETS[self.batch.configuration], pages(self.file)
        if self.fate == "failed":
            return preset.parse_credits * (count * (self.bits >> 52 & 0xFF) >> 8), 0
        extracted = 0 if self.fate == "drifted" else count
        return preset.parse_credits * count, preset.extract_credits * extracted


def creation(batch: Batch, index: int) -> int:
    """Return when the job of a file is made: one after the other in the first part of the run."""
    return batch.started + (batch.due - batch.started) * 7 * index // (10 * batch.files)


def job(batch: Batch, index: int, file: File, fate: JobOutcome, bits: int) -> Job:
    """Return the job of a file that gets one."""
    created = creation(batch, index)
    began = created + ((batch.due - batch.started) * (bits >> 20 & 0xFF) >> 13)
    ended = began + ((batch.due - began) * (32 + (bits >> 28 & 0x7F)) >> 8) + 1
    if batch.straggling and bits >> 36 & 0xFF < STRAGGLERS:
        ended = batch.due + (batch.straggling * (1 + (bits >> 44 & 0xFF)) >> 8)
    if batch.end == "CANCELLED" and ended > batch.ended:
        fate, began, ended = "cancelled", min(began, batch.ended), batch.ended
    return Job(batch, index, file, fate, bits, created, began, ended)


MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix64(*numbers: int, after: int = 0) -> int:
    """Return 64 well mixed bits that depend on every number and on their order (splitmix64).

    `scramble(1, 2)` is `scramble(2, after=scramble(1))`.
    """
    x = after
    for number in numbers:
        x = (x + number + 1) * GOLDEN & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        x ^= x >> 31
    return x
