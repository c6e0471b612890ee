"""What a sync asks about each day, and the periods that days make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from llama_batches_nb.dataset.state import EPOCH, UNKNOWN_DAY, SyncedRange
from llama_batches_nb.fetch.filters import BatchQuery

MAX_GROUP_BATCHES, MAX_GROUP_DAYS = 2_000, 100  # fetched before files are replaced
END = datetime.max.replace(tzinfo=UTC)


@dataclass
class DayWork:
    """What to ask about a day: batches to fetch, by key, and those whose jobs to ask for."""

    fetch: dict[str, str] = field(default_factory=dict)
    jobs_of: set[str] | None = field(default_factory=set)  # None for all batches
    drop: list[str] = field(default_factory=list)  # batches that another day has too


def group_days(work: dict[str, DayWork]) -> Iterator[list[str]]:
    """Yield days, the oldest first, in groups that are fetched together."""
    group: list[str] = []
    n_batches = 0
    for day in sorted(work):
        if group and (n_batches >= MAX_GROUP_BATCHES or len(group) >= MAX_GROUP_DAYS):
            yield group
            group, n_batches = [], 0
        group.append(day)
        n_batches += len(work[day].fetch)
    if group:
        yield group


def merge_days(days: set[str]) -> list[tuple[datetime, datetime]]:
    """Return the first and last instant of each period without a gap."""
    if UNKNOWN_DAY in days:
        return [(EPOCH, END)]
    periods: list[tuple[datetime, datetime]] = []
    for day in map(date.fromisoformat, sorted(days)):
        first, last = (datetime.combine(day, each, UTC) for each in (time.min, time.max))
        if periods and first - periods[-1][1] <= timedelta(microseconds=1):
            first = periods.pop()[0]
        periods.append((first, last))
    return periods


def target_range(query: BatchQuery) -> SyncedRange:
    """Return the range that the query selects, without an end by default."""
    after, before = (
        None if text is None else datetime.fromisoformat(text)
        for text in (
            query.params["created_at_on_or_after"],
            query.params["created_at_on_or_before"],
        )
    )
    return SyncedRange(
        source_directory_id=query.params["source_directory_id"],
        statuses=query.statuses,
        after=after,
        until=before or END,
    )
