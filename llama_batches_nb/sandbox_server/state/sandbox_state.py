"""The state of a sandbox and the operations on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
from llama_batches_nb.sandbox_server.state.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_batches_nb.sandbox_server.options import Options
    from llama_batches_nb.sandbox_server.state.models import (
        DirectoryType,
        FileQuality,
        JobType,
        Metadata,
        ProductType,
    )

PENDING_TIME = 2 * SECOND  # of a batch that a user creates
THROTTLED_TIME = 3 * SECOND  # of one in five of them, after half of the pending time
RUN_TIME, RUN_TIME_PER_FILE = 3 * SECOND, SECOND // 10
CANCEL_TIME = SECOND  # from the request to the status CANCELLED
EPHEMERAL_LIFETIME = 2 * DAY

JobKey = tuple[str, int, int]  # type of a job, number of its batch, index in the batch


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
        self._uploads = Uploads()
        self._cancelled_jobs: dict[JobKey, int] = {}  # when
        self._deleted_jobs: set[JobKey] = set()

    def find_configuration(self, configuration_id: str) -> tuple[int, Configuration] | None:
        """Return a configuration that is not deleted, and its index."""
        for index, configuration in enumerate(self.configurations):
            if configuration.id == configuration_id and configuration.deleted is None:
                return index, configuration
        return None

    def save_configuration(
        self, index: int | None, name: str, product_type: ProductType, parameters: dict[str, Any]
    ) -> Configuration:
        """Add a configuration or, with an index, a newer version of one.

        Batches keep the version with which they were created.
        """
        now = self.clock.now()
        id_, created = self.ids.encode("configuration", len(self.configurations)), now
        if index is not None:
            previous = self.configurations[index]
            id_, created = previous.id, previous.created
            self.delete_configuration(index)
        tier = parameters.get("tier") or "cost_effective"
        self.configurations.append(
            Configuration(id_, name, product_type, tier, created, now, parameters)
        )
        return self.configurations[-1]

    def delete_configuration(self, index: int) -> None:
        """Delete a configuration."""
        deleted = replace(self.configurations[index], deleted=self.clock.now())
        self.configurations[index] = deleted

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

    def find_file(self, directory_index: int, file_id: str) -> tuple[int, File] | None:
        """Return a file that is in this directory, and its index in the directory."""
        numbers = self.ids.decode("file", file_id)
        while numbers is not None and numbers[0] < len(self.directories):
            files = self.directories[numbers[0]].files
            if numbers[1] >= len(files):
                return None
            file = files[numbers[1]]
            if file.moved_to is None:
                is_here = numbers[0] == directory_index and file.is_present
                return (numbers[1], file) if is_here else None
            numbers = file.moved_to
        return None

    def file_id(self, directory_index: int, index: int) -> str:
        """Return the id of a file of a directory."""
        numbers = self.directories[directory_index].files[index].id_numbers
        return self.ids.encode("file", *(numbers or (directory_index, index)))

    def batch_file_ids(self, batch: Batch) -> list[str]:
        """Return the ids of the files of a batch."""
        if batch.file_indexes is None:
            return self.ids.encode_range("file", batch.directory, range(batch.file_count))
        return [self.file_id(batch.directory, index) for index in batch.file_indexes]

    def add_directory(
        self,
        name: str,
        kind: DirectoryType,
        description: str | None,
        connector_subscription_id: str | None = None,
        system_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Create a directory and return its index."""
        now = self.clock.now()
        directory = Directory(name, kind, now, description)
        directory.expires = now + EPHEMERAL_LIFETIME if kind == "ephemeral" else None
        directory.connector_subscription_id = connector_subscription_id
        directory.system_metadata = system_metadata
        self.directories.append(directory)
        return len(self.directories) - 1

    def add_file(
        self,
        directory_index: int,
        name: str,
        unique_id: str,
        quality: FileQuality,
        metadata: Metadata,
        content: bytes,
    ) -> int:
        """Add a new file to a directory and return its index in the directory."""
        directory = self.directories[directory_index]
        stored = (directory_index, len(directory.files))
        self._uploads.add(stored, content)
        return directory.add(File(name, unique_id, self.clock.now(), quality, stored, metadata))

    def uploaded_bytes(self, file: File) -> bytes | None:
        """Return the content of an uploaded file, or None if it is not stored any more.

        Files of the sample data have no content.
        """
        hours, uploaded = self.options.retention, self.directories[file.stored[0]]
        created = uploaded.files[file.stored[1]].created
        if hours is not None and created + int(hours * HOUR) <= self.clock.now():
            return None
        return self._uploads.get(file.stored)

    def add_stored_file(
        self, directory_index: int, file: File, name: str, unique_id: str, metadata: Metadata
    ) -> int:
        """Add a stored file to another directory and return its index in the directory."""
        added = File(name, unique_id, self.clock.now(), file.quality, file.stored, metadata)
        return self.directories[directory_index].add(added)

    def move_file(self, directory_index: int, index: int, target_index: int) -> int:
        """Move a file to another directory and return its index there. It keeps its id."""
        source, target = self.directories[directory_index], self.directories[target_index]
        file, now = source.files[index], self.clock.now()
        numbers = file.id_numbers or (directory_index, index)
        new_index = target.add(replace(file, updated=now, id_numbers=numbers))
        place = (target_index, new_index)
        source.replace(index, replace(file, updated=now, moved_to=place))
        return new_index

    def create_batch(self, directory: int, configuration: int, job_type: JobType) -> Batch:
        """Create a batch from the current files of a directory."""
        number, now = len(self.batches), self.clock.now()
        files, present = self.directories[directory].files, None
        if any(not file.is_present or file.id_numbers for file in files):
            present = tuple(self.directories[directory].present_files())
        file_count = len(files if present is None else present)
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
            file_indexes=present,
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
            file_index = batch.file_index(index)
            outcome = simulation.draw_outcome(seed, thresholds, files[file_index])
            if outcome == "mapping_error":
                error = simulation.error_message(
                    outcome,
                    batch.job_type,
                    seed,
                    files[file_index],
                    self.file_id(batch.directory, file_index),
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
        file = self.directories[batch.directory].files[batch.file_index(index)]
        seed = mix64(index, state=thresholds.seed)
        outcome = simulation.draw_outcome(seed, thresholds, file)
        if outcome == "mapping_error":
            return None
        return self._with_cancellation(simulation.create_job(batch, index, file, outcome, seed))

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
            if (
                shared
                and shared.file.stored == job.file.stored
                and shared.outcome == "succeeded"
                and shared.ended <= job.created
            ):
                return shared
        return self._with_cancellation(simulation.create_parse_job(job))

    def cancel_job(self, job: simulation.Job) -> simulation.Job | None:
        """Cancel a job. Return None if it has ended."""
        now = self.clock.now()
        if job.ended <= now:
            return None
        self._cancelled_jobs[_key(job)] = now
        return self._with_cancellation(job)

    def delete_job(self, job: simulation.Job) -> None:
        """Delete a job. The results of its batch still refer to it."""
        self._deleted_jobs.add(_key(job))

    def is_deleted(self, job: simulation.Job) -> bool:
        """Return whether a user has deleted a job."""
        return _key(job) in self._deleted_jobs

    def _with_cancellation(self, job: simulation.Job) -> simulation.Job:
        """Return a job as it is if a user has cancelled it."""
        cancelled = self._cancelled_jobs.get(_key(job))
        return job if cancelled is None else job.cancelled(cancelled)

    def _is_expired(self, job: simulation.Job, now: int) -> bool:
        """Return whether the retention time of a job has passed."""
        hours = self.options.retention
        return hours is not None and job.ended + int(hours * HOUR) <= now


def _key(job: simulation.Job) -> JobKey:
    return job.type, job.batch.number, job.index
