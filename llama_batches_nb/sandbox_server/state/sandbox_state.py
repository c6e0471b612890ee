"""The state of a sandbox and the operations on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state import history, simulation
from llama_batches_nb.sandbox_server.state.clock import (
    DAY,
    HOUR,
    SECOND,
    Clock,
    to_microseconds,
)
from llama_batches_nb.sandbox_server.state.ids import IdCodec
from llama_batches_nb.sandbox_server.state.models import (
    TERMINAL_STATUSES,
    Batch,
    Configuration,
    Directory,
    File,
)
from llama_batches_nb.sandbox_server.state.shared_parse import SharedParseBatches
from llama_batches_nb.sandbox_server.state.simulation import mix64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_batches_nb.sandbox_server.options import Options
    from llama_batches_nb.sandbox_server.state.models import DirectoryType, FileQuality, JobType

PENDING_TIME = 2 * SECOND  # of a batch that a user creates
THROTTLED_TIME = 3 * SECOND  # of one in five of them, after half of the pending time
RUN_TIME, RUN_TIME_PER_FILE = 3 * SECOND, SECOND // 10
CANCEL_TIME = SECOND  # from the request to the status CANCELLED
EPHEMERAL_LIFETIME = 2 * DAY


class SandboxState:
    """One project with its directories, files, configurations, batches and jobs."""

    def __init__(self, options: Options) -> None:
        end = to_microseconds(options.now or datetime.now(UTC).replace(microsecond=0))
        begin = end - options.days * DAY
        self.seed = options.seed
        self.options = options
        self.creates = 0  # requests that create a record
        self.ids = IdCodec(options.seed)
        self.clock = Clock(end, options.speed)
        self.project_id = self.ids.encode("project", 0)
        self.drift_start = history.drift_start(end, options.days)
        self.configurations = history.configurations(self.ids, begin)
        self.directories = history.directories(options.seed, begin, end, options.file_range)
        self.batches = history.batches(options, begin, end)
        self._parse_batches = SharedParseBatches(self)

    def find_configuration(self, configuration_id: str) -> tuple[int, Configuration] | None:
        """Return a configuration and its index."""
        for index, configuration in enumerate(self.configurations):
            if configuration.id == configuration_id:
                return index, configuration
        return None

    def find_batch(self, batch_id: str) -> Batch | None:
        """Return a batch."""
        numbers = self.ids.decode("batch", batch_id)
        return self.batches[numbers[0]] if numbers and numbers[0] < len(self.batches) else None

    def find_directory(self, directory_id: str) -> tuple[int, Directory] | None:
        """Return a directory that is not deleted, and its index."""
        numbers = self.ids.decode("directory", directory_id)
        if not numbers or numbers[0] >= len(self.directories):
            return None
        index, directory = numbers[0], self.directories[numbers[0]]
        return None if directory.deleted_at(self.clock.now()) is not None else (index, directory)

    def find_stored_file(self, file_id: str) -> File | None:
        """Return a file by the id of its stored content."""
        numbers = self.ids.decode("stored", file_id)
        if not numbers or numbers[0] >= len(self.directories):
            return None
        files = self.directories[numbers[0]].files
        return files[numbers[1]] if numbers[1] < len(files) else None

    def has_directory_named(self, name: str) -> bool:
        """Return whether a directory that is not deleted has this name."""
        now = self.clock.now()
        return any(each.name == name and not each.deleted_at(now) for each in self.directories)

    def add_directory(self, name: str, kind: DirectoryType, description: str | None) -> int:
        """Create a directory and return its index."""
        now = self.clock.now()
        expires = now + EPHEMERAL_LIFETIME if kind == "ephemeral" else None
        self.directories.append(Directory(name, kind, now, description, expires))
        return len(self.directories) - 1

    def add_file(
        self, directory_index: int, name: str, unique_id: str, quality: FileQuality
    ) -> int:
        """Add a new file to a directory and return its index in the directory."""
        directory = self.directories[directory_index]
        stored = (directory_index, len(directory.files))
        return directory.add(File(name, unique_id, self.clock.now(), quality, stored))

    def add_stored_file(self, directory_index: int, file: File, name: str, unique_id: str) -> int:
        """Add a stored file to another directory and return its index in the directory."""
        added = replace(file, display_name=name, unique_id=unique_id, created=self.clock.now())
        return self.directories[directory_index].add(added)

    def create_batch(self, directory: int, configuration: int, job_type: JobType) -> Batch:
        """Create a batch from the current files of a directory."""
        number, now = len(self.batches), self.clock.now()
        file_count = len(self.directories[directory].files)
        started, throttled = now + PENDING_TIME, None
        if mix64(self.seed, number) % 5 == 0:
            throttled = now + PENDING_TIME // 2
            started = throttled + THROTTLED_TIME
        ended = started + RUN_TIME + RUN_TIME_PER_FILE * file_count
        delays = simulation.draw_delays(
            self.seed, number, self.options.job_delay, self.options.results_delay
        )
        batch = Batch(
            number,
            directory,
            configuration,
            job_type,
            file_count,
            now,
            throttled,
            started,
            ended,
            ended,
            "COMPLETED",
            *delays,
        )
        self.batches.append(batch)
        return batch

    def cancel_batch(self, batch: Batch) -> Batch | None:
        """Request cancellation of a batch. Return None if it has ended."""
        now = self.clock.now()
        if batch.status(now) in TERMINAL_STATUSES:
            return None
        self.batches[batch.number] = batch.cancelled(now + CANCEL_TIME)
        return self.batches[batch.number]

    def mappings(self, batch: Batch, now: int) -> Iterator[tuple[int, str | None, bool]]:
        """Yield the index, the mapping error and whether there is a job reference, of each file.

        The batch must have ended, and its results must have appeared.
        """
        files = self.directories[batch.directory].files
        thresholds = self.failure_thresholds(batch)
        is_cancelled = batch.final_status == "CANCELLED"
        mapping_end = batch.ended if is_cancelled else batch.planned_end
        for index in range(batch.file_count):
            seed = mix64(index, state=thresholds.seed)
            is_mapped = simulation.job_creation_time(batch, index) < mapping_end
            if not is_mapped or simulation.reference_time(batch, seed) > now:
                yield index, None, False
                continue
            outcome = simulation.draw_outcome(seed, thresholds, files[index])
            if outcome == "mapping_error":
                file_id = self.ids.encode("file", batch.directory, index)
                error = simulation.error_message(
                    outcome, batch.job_type, seed, files[index], file_id
                )
                yield index, error, False
            else:
                yield index, None, True

    def failure_thresholds(self, batch: Batch) -> simulation.FailureThresholds:
        """Return the failure thresholds of a batch."""
        return simulation.failure_thresholds(batch, self.seed, self.drift_start)

    def job(
        self, batch: Batch, index: int, thresholds: simulation.FailureThresholds, now: int
    ) -> simulation.Job | None:
        """Return the job of a file in a batch, or None if it has no job at `now`."""
        job = self._planned_job(batch, index, thresholds)
        if job is None or job.created > now or self._is_expired(job, now):
            return None
        return job

    def _planned_job(
        self, batch: Batch, index: int, thresholds: simulation.FailureThresholds
    ) -> simulation.Job | None:
        """Return the job of a file in a batch, also before it is created, or None without one."""
        if batch.final_status == "FAILED" or index >= batch.file_count:
            return None
        created = simulation.job_creation_time(batch, index)
        if batch.final_status == "CANCELLED" and created >= batch.ended:
            return None
        file = self.directories[batch.directory].files[index]
        seed = mix64(index, state=thresholds.seed)
        outcome = simulation.draw_outcome(seed, thresholds, file)
        if outcome == "mapping_error":
            return None
        return simulation.create_job(batch, index, file, outcome, seed)

    def parse_job(self, job: simulation.Job) -> simulation.Job:
        """Return the parse job behind an extract job, which other extract jobs may share.

        A parse job is its own parse job.
        """
        if job.type == "parse_v2":
            return job
        number = self._parse_batches.number(job.batch.number)
        if number != job.batch.number and self.batches[number].final_status == "COMPLETED":
            batch = self.batches[number]
            thresholds = self.failure_thresholds(batch)
            first = self._planned_job(batch, job.index, thresholds)
            shared = first and simulation.create_parse_job(first)
            if shared and shared.outcome == "succeeded" and shared.ended <= job.created:
                return shared
        return simulation.create_parse_job(job)

    def _is_expired(self, job: simulation.Job, now: int) -> bool:
        """Return whether the retention time of a job has passed."""
        hours = self.options.retention
        return hours is not None and job.ended + int(hours * HOUR) <= now
