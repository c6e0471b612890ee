"""The state of a sandbox, and what can be done to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state import history, simulation
from llama_batches_nb.sandbox_server.state.clock import DAY, SECOND, Clock, to_microseconds
from llama_batches_nb.sandbox_server.state.ids import Ids
from llama_batches_nb.sandbox_server.state.models import (
    FINAL,
    Batch,
    Configuration,
    Directory,
    File,
)
from llama_batches_nb.sandbox_server.state.simulation import mix64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_batches_nb.sandbox_server.options import Options
    from llama_batches_nb.sandbox_server.state.models import DirectoryType, JobType, Nature

PROJECT_NAME = "Default"
PENDING_TIME = 2 * SECOND  # of a batch made by a user
THROTTLED_TIME = 3 * SECOND  # of one in five of them, after half of the pending time
RUN_TIME, RUN_TIME_PER_FILE = 3 * SECOND, SECOND // 10
CANCEL_TIME = SECOND  # from asking to CANCELLED
EPHEMERAL_LIFE = 2 * DAY


class SandboxState:
    """One project with its directories, files, configurations, batches and jobs."""

    def __init__(self, options: Options) -> None:
        end = to_microseconds(options.now or datetime.now(UTC).replace(microsecond=0))
        begin = end - options.days * DAY
        self.seed = options.seed
        self.ids = Ids(options.seed)
        self.clock = Clock(end, options.speed)
        self.project_id = self.ids.make("project", 0)
        self.drift_from = history.drift_start(end, options.days)
        self.configurations = history.configurations(self.ids, begin)
        self.directories = history.directories(options.seed, begin, end, options.file_range)
        self.batches = history.batches(
            options.seed, options.batches, begin, end, options.file_range
        )

    def configuration(self, configuration_id: str) -> tuple[int, Configuration] | None:
        """Find a configuration and its place."""
        for place, configuration in enumerate(self.configurations):
            if configuration.id == configuration_id:
                return place, configuration
        return None

    def batch(self, batch_id: str) -> Batch | None:
        """Find a batch."""
        found = self.ids.read("batch", batch_id)
        return self.batches[found[0]] if found and found[0] < len(self.batches) else None

    def directory(self, directory_id: str) -> tuple[int, Directory] | None:
        """Find a directory that is not deleted, and its place."""
        found = self.ids.read("directory", directory_id)
        if not found or found[0] >= len(self.directories):
            return None
        directory = self.directories[found[0]]
        return None if directory.deleted_at(self.clock.now()) is not None else (found[0], directory)

    def stored_file(self, file_id: str) -> File | None:
        """Find a file by the id of where it is stored."""
        found = self.ids.read("stored", file_id)
        if not found or found[0] >= len(self.directories):
            return None
        files = self.directories[found[0]].files
        return files[found[1]] if found[1] < len(files) else None

    def named(self, name: str) -> Directory | None:
        """Find a directory that is not deleted by its name."""
        now = self.clock.now()
        return next(
            (each for each in self.directories if each.name == name and not each.deleted_at(now)),
            None,
        )

    def add_directory(self, name: str, kind: DirectoryType, description: str | None) -> int:
        """Make a directory and return its place."""
        now = self.clock.now()
        expires = now + EPHEMERAL_LIFE if kind == "ephemeral" else None
        self.directories.append(Directory(name, kind, now, description, expires))
        return len(self.directories) - 1

    def upload(self, place: int, name: str, unique_id: str, nature: Nature) -> int:
        """Add a new file to a directory and return its place there."""
        directory = self.directories[place]
        stored = (place, len(directory.files))
        return directory.add(File(name, unique_id, self.clock.now(), nature, stored))

    def link(self, place: int, file: File, name: str, unique_id: str) -> int:
        """Add a stored file to another directory and return its place there."""
        linked = replace(file, display_name=name, unique_id=unique_id, created=self.clock.now())
        return self.directories[place].add(linked)

    def start_batch(self, directory: int, configuration: int, job_type: JobType) -> Batch:
        """Make a batch over the files that the directory has now."""
        number, now = len(self.batches), self.clock.now()
        files = len(self.directories[directory].files)
        started, throttled = now + PENDING_TIME, None
        if mix64(self.seed, number) % 5 == 0:
            throttled = now + PENDING_TIME // 2
            started = throttled + THROTTLED_TIME
        ended = started + RUN_TIME + RUN_TIME_PER_FILE * files
        batch = Batch(
            number,
            directory,
            configuration,
            job_type,
            files,
            now,
            throttled,
            started,
            ended,
            ended,
            "COMPLETED",
        )
        self.batches.append(batch)
        return batch

    def cancel(self, batch: Batch) -> Batch | None:
        """Ask a batch to stop; None if it has ended."""
        now = self.clock.now()
        if batch.status(now) in FINAL:
            return None
        self.batches[batch.number] = batch.cancelled(now + CANCEL_TIME)
        return self.batches[batch.number]

    def mappings(self, batch: Batch) -> Iterator[tuple[int, str | None, bool]]:
        """Walk the files of a batch that has ended: place, mapping error, whether it got a job."""
        files, chances = self.directories[batch.directory].files, self.odds(batch)
        cut = batch.ended if batch.end == "CANCELLED" else batch.due
        for index in range(batch.files):
            if simulation.creation(batch, index) >= cut:
                yield index, None, False
                continue
            bits = mix64(index, after=chances.bits)
            fate = simulation.draw_outcome(bits, chances, files[index])
            if fate == "unmapped":
                file_id = self.ids.make("file", batch.directory, index)
                yield (
                    index,
                    simulation.message(fate, batch.job_type, bits, files[index], file_id),
                    False,
                )
            else:
                yield index, None, True

    def odds(self, batch: Batch) -> simulation.FailureThresholds:
        """Return the odds of a batch's files."""
        return simulation.failure_thresholds(batch, self.seed, self.drift_from)

    def job(
        self, batch: Batch, index: int, chances: simulation.FailureThresholds, now: int
    ) -> simulation.Job | None:
        """Return the job of a file in a batch, if there is one by now."""
        if batch.end == "FAILED" or index >= batch.files:
            return None
        created = simulation.creation(batch, index)
        if created > now or (batch.end == "CANCELLED" and created >= batch.ended):
            return None
        file = self.directories[batch.directory].files[index]
        bits = mix64(index, after=chances.bits)
        fate = simulation.draw_outcome(bits, chances, file)
        return None if fate == "unmapped" else simulation.job(batch, index, file, fate, bits)
