"""A seeded history: the directories, files, configurations and batches to start with."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state.clock import DAY, EPOCH, HOUR, MINUTE, SECOND
from llama_batches_nb.sandbox_server.state.models import Batch, Configuration, Directory, File
from llama_batches_nb.sandbox_server.state.sample_data import (
    FIRMS,
    PRESETS,
    SCHEMA,
    SHELVES,
    TOWNS,
    SampleDirectory,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_batches_nb.sandbox_server.state.ids import Ids
    from llama_batches_nb.sandbox_server.state.models import Nature, Status

HARD = 1 / 12  # share of files that are hard
FAILED, CANCELLED, THROTTLED = 0.035, 0.03, 0.12  # shares of batches
OPEN: tuple[Status, ...] = (  # the last batches, oldest first; COMPLETED ones have stragglers
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
QUIET = 30 * MINUTE  # before the end, left to those last batches
DRIFT_DAYS = 35


def drift_start(end: int, days: int) -> int:
    """Return when the one configuration begins to get worse."""
    return end - int(min(DRIFT_DAYS, days / 2) * DAY)


def configurations(ids: Ids, begin: int) -> list[Configuration]:
    """Return the configurations, made before the history begins."""
    made = []
    for place, preset in enumerate(PRESETS):
        parameters: dict[str, object] = {"product_type": preset.job_type, "tier": preset.tier}
        parameters |= {"version": "latest"} if preset.id else {"data_schema": SCHEMA}
        created = begin - (40 - 7 * place) * DAY - place * HOUR
        made.append(
            Configuration(
                preset.id or ids.make("configuration", place),
                preset.name,
                preset.job_type,
                preset.tier,
                created,
                created + place * 3 * HOUR,
                parameters,
            )
        )
    return made


def sizes(shelf: SampleDirectory, file_range: tuple[int, int]) -> tuple[int, int]:
    """Return the files of a directory at the beginning and at the end."""
    low, high = file_range
    last = low + round((high - low) * shelf.size)
    return low + round((last - low) * shelf.young), last


def directories(seed: int, begin: int, end: int, file_range: tuple[int, int]) -> list[Directory]:
    """Return the directories with all files that they have at the end."""
    return [
        _directory(Random(f"files {seed} {place}"), place, shelf, begin, end, file_range)
        for place, shelf in enumerate(SHELVES)
    ]


def _directory(
    draw: Random,
    place: int,
    shelf: SampleDirectory,
    begin: int,
    end: int,
    file_range: tuple[int, int],
) -> Directory:
    first, last = sizes(shelf, file_range)
    directory = Directory(shelf.name, "user", begin - (20 - place) * DAY, shelf.description)
    for index in range(last):
        grown = max(index - first + 1, 0) / max(last - first, 1)
        created = begin - DAY + index * SECOND if not grown else begin + int(grown * (end - begin))
        name = _name(draw, shelf.names, index, created)
        nature: Nature = "hard" if draw.random() < HARD else "plain"
        directory.add(File(name, f"{index:04d}/{name}", created, nature, (place, index)))
    return directory


def _name(draw: Random, names: Sequence[str], index: int, created: int) -> str:
    day = EPOCH + timedelta(microseconds=created)
    template = names[int(len(names) * draw.random() ** 1.5)]
    return template.format(
        n=index + 1,
        id=draw.randint(10_000, 99_999),
        y=day.year,
        m=day.month,
        d=day.day,
        firm=draw.choice(FIRMS),
        town=draw.choice(TOWNS),
    )


def batches(
    seed: int, count: int, begin: int, end: int, file_range: tuple[int, int]
) -> list[Batch]:
    """Return the plans of the batches, oldest first."""
    draw = Random(f"batches {seed}")
    last = OPEN[len(OPEN) - min(len(OPEN), count // 4) :]
    made = []
    for number, created in enumerate(_times(draw, count - len(last), begin, end - QUIET)):
        made.append(_ended(draw, number, created, _growth(created, begin, end), file_range))
    for place, status in enumerate(last):
        created = end - QUIET + (place + 1) * (QUIET - MINUTE) // (len(last) + 1)
        made.append(_open(draw, len(made), created, status, end, file_range))
    return made


def _growth(at: int, begin: int, end: int) -> float:
    return (at - begin) / (end - begin)


def _times(draw: Random, count: int, begin: int, end: int) -> list[int]:
    """Draw moments, most of them in the working hours of working days."""
    moments: set[int] = set()
    while len(moments) < count:
        at = draw.randrange(begin, end)
        weekend = (at // DAY + 3) % 7 >= 5
        busy = 6 <= at % DAY // HOUR < 18
        if draw.random() < (0.25 if weekend else 1.0) * (1.0 if busy else 0.12):
            moments.add(at)
    return sorted(moments)


def _choices(draw: Random, grown: float, file_range: tuple[int, int]) -> tuple[int, int, int, int]:
    """Draw a directory, a configuration, the files of the directory by then, and the run time."""
    place = draw.choices(range(len(SHELVES)), [shelf.weight for shelf in SHELVES])[0]
    choice = draw.choices(range(len(PRESETS)), SHELVES[place].favour)[0]
    first, last = sizes(SHELVES[place], file_range)
    files = first + int(grown * (last - first))
    run = int((20 + files * PRESETS[choice].pace) * draw.lognormvariate(0, 0.35) * SECOND)
    return place, choice, files, run


def _ended(
    draw: Random, number: int, created: int, grown: float, file_range: tuple[int, int]
) -> Batch:
    place, choice, files, run = _choices(draw, grown, file_range)
    throttled = created + draw.randrange(SECOND, MINUTE) if draw.random() < THROTTLED else None
    started = created + draw.randrange(2 * SECOND, MINUTE)
    if throttled is not None:
        started = throttled + draw.randrange(MINUTE, 15 * MINUTE)
    end, due = _end(draw, SHELVES[place].trouble), started + run
    return Batch(
        number,
        place,
        choice,
        PRESETS[choice].job_type,
        files,
        created,
        throttled,
        started,
        due,
        due if end == "COMPLETED" else started + int(run * draw.uniform(0.05, 0.8)),
        end,
    )


def _end(draw: Random, trouble: float) -> Status:
    drawn = draw.random()
    if drawn < FAILED * trouble:
        return "FAILED"
    return "CANCELLED" if drawn < FAILED * trouble + CANCELLED else "COMPLETED"


def _open(
    draw: Random, number: int, created: int, status: Status, end: int, file_range: tuple[int, int]
) -> Batch:
    """Return a batch that has this status at the end of the history and moves on after it."""
    place, choice, files, _ = _choices(draw, 1.0, file_range)
    throttled = created + draw.randrange(5, 30) * SECOND if status == "THROTTLED" else None
    started = created + draw.randrange(10, 40) * SECOND
    ended = end + draw.randrange(60, 900) * SECOND
    if status == "COMPLETED":
        ended = draw.randrange(started + 20 * SECOND, end)
    elif status != "RUNNING":
        started = end + draw.randrange(20, 240) * SECOND
        ended = started + draw.randrange(60, 900) * SECOND
    return Batch(
        number,
        place,
        choice,
        PRESETS[choice].job_type,
        files,
        created,
        throttled,
        started,
        ended,
        ended,
        "COMPLETED",
        40 * MINUTE if status == "COMPLETED" else 0,
    )
