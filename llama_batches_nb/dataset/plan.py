"""Plan a sync: list the batches that may be new, and decide what to ask about each day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import pyarrow as pa

from llama_batches_nb.dataset.run import SyncRun
from llama_batches_nb.dataset.state import (
    PendingBatch,
    SyncedRange,
    day_of,
    union,
)
from llama_batches_nb.dataset.stored_files import batch_key
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchQuery
from llama_batches_nb.fetch.names_for_ids import check_directory_exists
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.tables.arguments import format_time
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

MAX_GROUP_BATCHES = 500  # fetched before files are replaced; the ids of their jobs stay in memory
MAX_GROUP_DAYS = 100
END = datetime.max.replace(tzinfo=UTC)


@dataclass
class DayWork:
    """What to ask about a day: batches to fetch, by key, and those whose jobs to ask for."""

    fetch: dict[str, str] = field(default_factory=dict)
    jobs_of: set[str] | None = field(default_factory=set)  # None for all batches


class Listed(NamedTuple):
    """A batch in a list."""

    batch_id: str
    created_at: datetime | None
    status: str


class Plan:
    """The work of a sync by day, and the batches of it that the dataset has already."""

    def __init__(self, run: SyncRun, bar: ProgressBar) -> None:
        self.days: dict[str, DayWork] = {}
        self._run, self._bar, self._target = run, bar, target_range(run.query)
        outdated, pending = run.stored.outdated_ids, run.settling.pending
        if outdated:  # they may have lost batches: this and each other filter lists all again
            run.state.covered = []
        listed = self._list_new()
        self._newest = max((b.created_at for b in listed.values() if b.created_at), default=None)
        keys = [*listed, *pending, *(key for ids in outdated.values() for key in ids)]
        self._days_of = run.stored.locate(keys)
        for key, entry in pending.items():
            entry.day = self._first_day(key) or entry.day
            if entry.fetch:
                self._day(entry.day).fetch[key] = entry.batch_id
            if entry.jobs and run.facets.names:
                self.add_jobs_of(entry.day, key)
        self._add_listed(listed)
        self._add_outdated()
        for day in run.state.days_of(RESULTS):
            if not set(run.facets.names) <= set(run.state.asked.get(day, ())):
                self._day(day).jobs_of = None

    def __contains__(self, key: str) -> bool:
        """Return whether the dataset had a batch before the sync."""
        return key in self._days_of

    def groups(self) -> Iterator[list[str]]:
        """Yield days, the oldest first, in groups that are fetched together."""
        group: list[str] = []
        n_batches = 0
        for day in sorted(self.days):
            if group and (n_batches >= MAX_GROUP_BATCHES or len(group) >= MAX_GROUP_DAYS):
                yield group
                group, n_batches = [], 0
            group.append(day)
            n_batches += len(self.days[day].fetch)
        if group:
            yield group

    def add_jobs_of(self, day: str, key: str) -> None:
        """Plan to ask for the jobs of a batch."""
        jobs_of = self._day(day).jobs_of
        if jobs_of is not None:
            jobs_of.add(key)

    def record_listing(self) -> None:
        """Record up to when batches were listed, unless the list was too short."""
        if self._newest is not None and not self._run.truncated:
            # A creation time in the future must not hide later batches, nor may a server that
            # ignores the times of a filter.
            until = min(self._newest, self._run.now, self._target.until)
            self._run.state.add_synced_range(msgspec.structs.replace(self._target, until=until))

    def _day(self, day: str) -> DayWork:
        return self.days.setdefault(day, DayWork())

    def _first_day(self, key: str) -> str | None:
        """Return the day that keeps a batch: one whose files are as recorded, if there is any."""
        outdated = self._run.stored.outdated_ids
        return min(self._days_of.get(key, ()), key=lambda day: (day in outdated, day), default=None)

    def _add_listed(self, listed: dict[str, Listed]) -> None:
        """Plan to fetch the batches that are new; those that may match later are pending."""
        pending, statuses = self._run.settling.pending, self._target.statuses
        for key, (batch_id, created_at, status) in listed.items():
            if key in pending:
                pending[key].statuses = union(pending[key].statuses, statuses)
            elif key not in self:
                is_wanted, day = statuses is None or status in statuses, day_of(created_at)
                if is_wanted or status not in TERMINAL_STATUSES:
                    pending[key] = PendingBatch(batch_id=batch_id, day=day, statuses=statuses)
                if is_wanted:
                    self._day(day).fetch[key] = batch_id

    def _add_outdated(self) -> None:
        """Plan to fetch all batches of days whose files are not as recorded."""
        for day, ids in self._run.stored.outdated_ids.items():
            self._day(day).jobs_of = None
            for key, batch_id in ids.items():
                if self._first_day(key) == day:
                    self._day(day).fetch[key] = batch_id
                    entry = PendingBatch(batch_id=batch_id, day=day, open=False)
                    self._run.settling.pending.setdefault(key, entry)
                else:  # it is in two files
                    for table in (RESULTS, BATCHES):
                        no_rows = table.arrow_schema.empty_table()
                        self._run.changes.add(table, day, no_rows, pa.array([key]))

    # --- lists ------------------------------------------------------------------------------

    def _list_new(self) -> dict[str, Listed]:
        run, target = self._run, self._target
        since = run.state.resume_from(target)
        if target.after is not None:
            since = max(since or target.after, target.after)
        if since is not None and since > target.until:
            if not any(entry.fetch for entry in run.settling.pending.values()):
                return {}
            since = target.until  # nothing is new: list only to check that the server responds
        until = None if target.until == END else format_time("until", target.until)
        pages = endpoints.list_batches(
            run.client,
            page_size=run.query.page_size,
            source_directory_id=target.source_directory_id,
            created_at_on_or_after=format_time("since", since),
            created_at_on_or_before=until,
            **run.scope,
        )
        found = {}
        counted, on_truncated = run.counted(pages, self._bar), run.truncated.append
        for record in listing.iter_records(BATCHES, counted, on_truncated=on_truncated):
            run.check_project(record.get("project_id"))
            batch_id, created = listing.record_id(BATCHES, record), listing.created_at(record)
            found[batch_key(batch_id)] = Listed(batch_id, created, str(record.get("status")))
        if not found and target.source_directory_id is not None:
            check_directory_exists(run.client, target.source_directory_id, run.scope)
        return found


def target_range(query: BatchQuery) -> SyncedRange:
    """Return the range that the query selects, without an end by default."""
    names = ("created_at_on_or_after", "created_at_on_or_before")
    after, before = (text and datetime.fromisoformat(text) for text in map(query.params.get, names))
    return SyncedRange(
        source_directory_id=query.params["source_directory_id"],
        statuses=query.statuses,
        after=after,
        until=before or END,
    )
