"""Generate the sample data: directories, files, configurations and batches, from a seed."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state import simulation
from llama_batches_nb.sandbox_server.state.clock import DAY, EPOCH, HOUR, MINUTE, SECOND
from llama_batches_nb.sandbox_server.state.models import Batch, Configuration, Directory, File
from llama_batches_nb.sandbox_server.state.sample_data import (
    COMPANIES,
    SAMPLE_CONFIGURATIONS,
    SAMPLE_DIRECTORIES,
    TOWNS,
    SampleDirectory,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_batches_nb.sandbox_server.options import Options
    from llama_batches_nb.sandbox_server.state.ids import IdCodec
    from llama_batches_nb.sandbox_server.state.models import BatchStatus, FileQuality

HARD_FILES = 1 / 12  # share of files
FAILED, CANCELLED, THROTTLED = 0.035, 0.03, 0.12  # shares of batches
RECENT_STATUSES: tuple[BatchStatus, ...] = (  # oldest first; COMPLETED ones have stragglers
    "COMPLETED",
    "RUNNING",
    "RUNNING",
    "COMPLETED",
    "RUNNING",
    "THROTTLED",
    "RUNNING",
    "THROTTLED",
    "PENDING",
    "PENDING",
    "PENDING",
)
RECENT_PERIOD = 30 * MINUTE  # before the end; only the batches of RECENT_STATUSES start in it
DRIFT_DAYS = 35


def drift_start(end: int, days: int) -> int:
    """Return when the failure rate of one configuration starts to rise."""
    return end - int(min(DRIFT_DAYS, days / 2) * DAY)


def configurations(ids: IdCodec, begin: int) -> list[Configuration]:
    """Return the configurations, created before the first batch."""
    created_configurations = []
    for index, sample in enumerate(SAMPLE_CONFIGURATIONS):
        parameters: dict[str, object] = {"product_type": sample.job_type, "tier": sample.tier}
        parameters |= sample.parameters
        created = begin - (40 - 7 * index) * DAY - index * HOUR
        created_configurations.append(
            Configuration(
                sample.id or ids.encode("configuration", index),
                sample.name,
                sample.job_type,
                sample.tier,
                created,
                created + index * 3 * HOUR,
                parameters,
            )
        )
    return created_configurations


def file_counts(sample: SampleDirectory, file_range: tuple[int, int]) -> tuple[int, int]:
    """Return the number of files in a directory at the beginning and at the end."""
    low, high = file_range
    last = low + round((high - low) * sample.max_size_share)
    return low + round((last - low) * sample.initial_share), last


def directories(seed: int, begin: int, end: int, file_range: tuple[int, int]) -> list[Directory]:
    """Return the directories with all files that they have at the end."""
    return [
        _directory(Random(f"files {seed} {index}"), index, sample, begin, end, file_range)
        for index, sample in enumerate(SAMPLE_DIRECTORIES)
    ]


def _directory(
    rng: Random,
    directory_index: int,
    sample: SampleDirectory,
    begin: int,
    end: int,
    file_range: tuple[int, int],
) -> Directory:
    first, last = file_counts(sample, file_range)
    created = begin - (20 - directory_index) * DAY
    directory = Directory(sample.name, "user", created, sample.description)
    for index in range(last):
        progress = max(index - first + 1, 0) / max(last - first, 1)
        created = begin + int(progress * (end - begin))
        if not progress:
            created = begin - DAY + index * SECOND
        name = _file_name(rng, sample.name_templates, index, created)
        quality: FileQuality = "hard" if rng.random() < HARD_FILES else "normal"
        stored = (directory_index, index)
        directory.add(File(name, f"{index:04d}/{name}", created, quality, stored))
    return directory


def _file_name(rng: Random, templates: Sequence[str], index: int, created: int) -> str:
    day = EPOCH + timedelta(microseconds=created)
    template = templates[int(len(templates) * rng.random() ** 1.5)]
    return template.format(
        n=index + 1,
        id=rng.randint(10_000, 99_999),
        y=day.year,
        m=day.month,
        d=day.day,
        company=rng.choice(COMPANIES),
        town=rng.choice(TOWNS),
    )


def batches(options: Options, begin: int, end: int) -> list[Batch]:
    """Return the plans of the batches, oldest first."""
    seed, count, file_range = options.seed, options.batches, options.file_range
    rng = Random(f"batches {seed}")
    recent = RECENT_STATUSES[len(RECENT_STATUSES) - min(len(RECENT_STATUSES), count // 4) :]
    planned = []
    times = _creation_times(rng, count - len(recent), begin, end - RECENT_PERIOD)
    for number, created in enumerate(times):
        progress = (created - begin) / (end - begin)
        delays = simulation.draw_delays(seed, number, options.job_delay, options.results_delay)
        planned.append(_finished_batch(rng, number, created, progress, file_range, delays))
    for index, status in enumerate(recent):
        offset = (index + 1) * (RECENT_PERIOD - MINUTE) // (len(recent) + 1)
        created = end - RECENT_PERIOD + offset
        planned.append(_recent_batch(rng, len(planned), created, status, end, file_range))
    return planned


def _creation_times(rng: Random, count: int, begin: int, end: int) -> list[int]:
    """Draw distinct times, most of them in working hours."""
    times: set[int] = set()
    while len(times) < count:
        at = rng.randrange(begin, end)
        is_weekend = (at // DAY + 3) % 7 >= 5
        is_daytime = 6 <= at % DAY // HOUR < 18
        if rng.random() < (0.25 if is_weekend else 1.0) * (1.0 if is_daytime else 0.12):
            times.add(at)
    return sorted(times)


def _draw_plan(
    rng: Random, progress: float, file_range: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Draw the indexes of a directory and a configuration, a number of files, and a run time."""
    weights = [sample.batch_weight for sample in SAMPLE_DIRECTORIES]
    directory = rng.choices(range(len(SAMPLE_DIRECTORIES)), weights)[0]
    sample = SAMPLE_DIRECTORIES[directory]
    configuration = rng.choices(range(len(SAMPLE_CONFIGURATIONS)), sample.configuration_weights)[0]
    first, last = file_counts(sample, file_range)
    count = first + int(progress * (last - first))
    seconds = 20 + count * SAMPLE_CONFIGURATIONS[configuration].seconds_per_file
    return directory, configuration, count, int(seconds * rng.lognormvariate(0, 0.35) * SECOND)


def _finished_batch(
    rng: Random,
    number: int,
    created: int,
    progress: float,
    file_range: tuple[int, int],
    delays: tuple[int, int],
) -> Batch:
    directory, configuration, count, run_time = _draw_plan(rng, progress, file_range)
    throttled = created + rng.randrange(SECOND, MINUTE) if rng.random() < THROTTLED else None
    started = created + rng.randrange(2 * SECOND, MINUTE)
    if throttled is not None:
        started = throttled + rng.randrange(MINUTE, 15 * MINUTE)
    final_status = _draw_final_status(rng, SAMPLE_DIRECTORIES[directory].failure_factor)
    planned_end = ended = started + run_time
    if final_status != "COMPLETED":
        ended = started + int(run_time * rng.uniform(0.05, 0.8))
    return Batch(
        number,
        directory,
        configuration,
        SAMPLE_CONFIGURATIONS[configuration].job_type,
        count,
        created,
        throttled,
        started,
        planned_end,
        ended,
        final_status,
        *delays,
    )


def _draw_final_status(rng: Random, failure_factor: float) -> BatchStatus:
    draw = rng.random()
    if draw < FAILED * failure_factor:
        return "FAILED"
    return "CANCELLED" if draw < FAILED * failure_factor + CANCELLED else "COMPLETED"


def _recent_batch(
    rng: Random,
    number: int,
    created: int,
    status: BatchStatus,
    end: int,
    file_range: tuple[int, int],
) -> Batch:
    """Return a batch that has this status at the end of the history and ends later."""
    directory, configuration, count, _ = _draw_plan(rng, 1.0, file_range)
    throttled = created + rng.randrange(5, 30) * SECOND if status == "THROTTLED" else None
    started = created + rng.randrange(10, 40) * SECOND
    ended = end + rng.randrange(60, 900) * SECOND
    if status == "COMPLETED":
        ended = rng.randrange(started + 20 * SECOND, end)
    elif status != "RUNNING":
        started = end + rng.randrange(20, 240) * SECOND
        ended = started + rng.randrange(60, 900) * SECOND
    return Batch(
        number,
        directory,
        configuration,
        SAMPLE_CONFIGURATIONS[configuration].job_type,
        count,
        created,
        throttled,
        started,
        ended,
        ended,
        "COMPLETED",
        40 * MINUTE if status == "COMPLETED" else 0,
    )
