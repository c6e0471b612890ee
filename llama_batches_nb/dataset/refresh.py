"""Fetch what a dataset lacks, and replace the files of the days that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from llama_batches_nb.dataset.day_work import DayWork, group_days, merge_days, target_range
from llama_batches_nb.dataset.job_refresh import Facets, JobRefresh
from llama_batches_nb.dataset.name_refresh import NameRefresh
from llama_batches_nb.dataset.settling import Answer, FailedRequests, Settling
from llama_batches_nb.dataset.state import (
    DAY_TABLES,
    PendingBatch,
    State,
    day_of,
    file_name,
    save,
    union,
)
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import (
    MAX_BUFFERED_BYTES,
    NewFile,
    StoredFiles,
    batch_key,
)
from llama_batches_nb.errors import BatchesError, DatasetError, NotFoundError, ResponseError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchQuery
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import format_time
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

Listed = tuple[str, datetime | None, str, tuple[str, ...] | None]
"""Id, creation time and status of a listed batch, and the statuses with which it is wanted."""


class Refresh:
    """One sync of a dataset.

    Attributes
    ----------
    new, ended, requests
        Batches that the dataset did not have, batches that have ended since the last sync, and
        successful requests.
    gone
        Batches that were open or listed, but that the API does not know.
    truncated
        Warnings about lists that are shorter than the size that the server gave.
    """

    def __init__(
        self,
        client: Client,
        query: BatchQuery,
        scope: dict[str, Any],
        storage: Storage,
        state: State,
        stored: StoredFiles,
        facets: Facets,
        folder: Path,
        now: datetime,
    ) -> None:
        self.new = self.ended = self.requests = 0
        self.gone: dict[str, BatchesError] = {}
        self.truncated: list[str] = []
        self.failed = FailedRequests()
        self.jobs = JobRefresh(client, scope, stored, facets, self.failed, now)
        self.names = NameRefresh(client, scope, storage, stored, folder)
        self._client, self._query, self._scope, self._facets = client, query, scope, facets
        self._storage, self._state, self._stored, self._folder = storage, state, stored, folder
        self._now, self._target = now, target_range(query)
        self._pending = {batch_key(p.batch_id): p for p in state.pending}
        self._settling = Settling(now, self._pending)
        self._work: dict[str, DayWork] = {}
        self._known: dict[str, list[str]] = {}
        self._files: dict[str, NewFile] = {}
        self._newest: datetime | None = None
        self._confirmed = False
        self._n_rows = 0

    def run(self, progress: Progress) -> None:
        """Fetch and store all; on an error, store what was fetched so far and raise."""
        with progress_bar(progress, "sync", unit="batch") as bar:
            self._plan(bar)
            bar.set_total(sum(len(work.fetch) for work in self._work.values()))
            try:
                for days in group_days(self._work):
                    self._refresh_days(days, bar, progress)
            finally:
                self._discard()
        self._state.pending = list(self._pending.values())  # also those that no file belongs to
        if self._newest is not None and not self.truncated:
            # A creation time in the future must not hide later batches, nor may a server that
            # ignores the times of a filter.
            until = min(self._newest, self._now, self._target.until)
            self._state.add_synced_range(msgspec.structs.replace(self._target, until=until))
        self._settling.warn()
        for message in self.truncated:
            warn(message)

    # --- what to ask ------------------------------------------------------------------------

    def _plan(self, bar: ProgressBar) -> None:
        """List the batches that may be new, and decide what to ask about each day."""
        listed = self._list_new(bar)
        self._newest = max((item[1] for item in listed.values() if item[1]), default=None)
        self._list_outdated(bar, listed)
        outdated = self._stored.outdated_ids
        outdated_keys = [key for ids in outdated.values() for key in ids]
        self._known = self._stored.locate([*listed, *self._pending, *outdated_keys])
        for key, entry in self._pending.items():
            entry.day = self._known.get(key, [entry.day])[0]
            if entry.fetch:
                self._day(entry.day).fetch[key] = entry.batch_id
            if entry.jobs and self._facets.names and entry.day not in outdated:
                self._add_jobs_of(entry.day, key)
        for key, (batch_id, created, status, statuses) in listed.items():
            if key in self._pending:
                entry = self._pending[key]
                entry.statuses = union(entry.statuses, statuses)
            elif key not in self._known:
                is_wanted = statuses is None or status in statuses
                day = day_of(created)
                if is_wanted or status not in TERMINAL_STATUSES:
                    self._pending[key] = PendingBatch(batch_id=batch_id, day=day, statuses=statuses)
                if is_wanted:
                    self._day(day).fetch[key] = batch_id
        for day, ids in outdated.items():
            self._day(day).jobs_of = None
            for key, batch_id in ids.items():
                if self._known[key][0] == day:
                    self._day(day).fetch[key] = batch_id
                    self._pending.setdefault(key, PendingBatch(batch_id=batch_id, day=day))
                else:
                    self._day(day).drop.append(key)
        for name in self._state.files_of(RESULTS.name):
            day = name.split("=")[1].split("/")[0]
            if not set(self._facets.names) <= set(self._state.asked.get(day, ())):
                self._day(day).jobs_of = None

    def _day(self, day: str) -> DayWork:
        return self._work.setdefault(day, DayWork())

    def _add_jobs_of(self, day: str, key: str) -> None:
        jobs_of = self._day(day).jobs_of
        if jobs_of is not None:
            jobs_of.add(key)

    def _list_new(self, bar: ProgressBar) -> dict[str, Listed]:
        target = self._target
        since = self._state.resume_from(target)
        if target.after is not None and (since is None or since < target.after):
            since = target.after
        if since is not None and since > target.until:
            if not any(entry.fetch for entry in self._pending.values()):
                return {}
            since = target.until  # nothing is new: list only to check that the server responds
        params = {**self._query.params, "created_at_on_or_after": format_time("since", since)}
        return self._list(bar, target.statuses, params)

    def _list_outdated(self, bar: ProgressBar, listed: dict[str, Listed]) -> None:
        """List again what earlier syncs listed of the days whose files are not as recorded."""
        n_truncated = len(self.truncated)
        for first, last in merge_days(set(self._stored.outdated_ids)):
            for past in self._state.covered:
                start = first if past.after is None else max(first, past.after)
                end = min(last, past.until)
                if start <= end:
                    params = {
                        **self._scope,
                        "source_directory_id": past.source_directory_id,
                        "created_at_on_or_after": format_time("since", start),
                        "created_at_on_or_before": format_time("until", end),
                    }
                    for key, item in self._list(bar, past.statuses, params).items():
                        statuses = union(item[3], listed[key][3]) if key in listed else item[3]
                        listed[key] = (*item[:3], statuses)
        if len(self.truncated) > n_truncated:
            self._state.covered = []  # the next sync of each filter lists all

    def _list(
        self, bar: ProgressBar, statuses: tuple[str, ...] | None, params: dict[str, Any]
    ) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        pages = endpoints.list_batches(self._client, page_size=self._query.page_size, **params)

        def counted() -> Iterator[Any]:
            for page in pages:
                self.requests += 1
                self._show_counts(bar)
                yield page

        on_truncated = self.truncated.append
        for record in listing.iter_records(BATCHES, counted(), on_truncated=on_truncated):
            batch_id, created = listing.record_id(BATCHES, record), listing.created_at(record)
            self._check_project(record.get("project_id"))
            found[batch_key(batch_id)] = (batch_id, created, str(record.get("status")), statuses)
        return found

    def _check_project(self, project_id: str | None) -> None:
        """Raise `DatasetError` for a batch of another project than the stored ones."""
        known = self._stored.project_ids
        if known and project_id not in {None, *known}:
            raise DatasetError(
                f"{self._storage.name!r} holds batches of project {', '.join(known)}, "
                f"but the API returned batches of project {project_id}. Connect to the first "
                "project, or sync to another folder. Nothing was changed."
            )
        if project_id is not None:
            known.add(project_id)

    # --- fetching and storing ---------------------------------------------------------------

    def _refresh_days(self, days: list[str], bar: ProgressBar, progress: Progress) -> None:
        """Fetch what some days lack, and replace their files."""
        error: BatchesError | None = None
        self._files = {}
        self._settling.start()
        try:
            self._fetch(days, bar)
            self._confirm_project()
        except DatasetError:
            raise
        except BatchesError as caught:
            error = caught
        for day in days:
            self._prepare(day)
        if error is None and self._facets.names:
            try:
                jobs_of = {day: self._work[day].jobs_of for day in days}
                self.jobs.run(jobs_of, self._results, self._file, progress)
            except BatchesError as caught:
                error = caught
        self._commit(days, complete=error is None)
        if error is not None:
            raise error

    def _fetch(self, days: Iterable[str], bar: ProgressBar) -> None:
        def fetch(item: tuple[str, str, str]) -> bytes:
            decode = partial(records.validate_batch_json, item[2])
            return endpoints.get_batch_with_results(self._client, item[2], decode, **self._scope)

        def on_error(item: tuple[str, str, str], error: BatchesError) -> bool:
            if not isinstance(error, NotFoundError):
                return self.failed(item[2], error)
            self.requests += 1
            self.gone[item[2]] = error
            self._settling.answers[item[1]] = Answer(gone=True)
            bar.advance()
            return True

        items = [(day, key, id_) for day in days for key, id_ in self._work[day].fetch.items()]
        completed = iter_completed(
            fetch, items, client=self._client, progress=bar, on_error=on_error
        )
        with closing(completed):
            for responses in completed:
                self.requests += len(responses)
                self._add(responses)
                bar.advance(len(responses))
                self._show_counts(bar)

    def _add(self, responses: list[tuple[int, tuple[str, str, str], bytes]]) -> None:
        """Keep batches and their results; an invalid response does not affect the others."""
        if not responses:
            return
        try:
            batches, results = records.parse_batches_with_results([body for *_, body in responses])
        except ResponseError as error:
            if len(responses) == 1:
                if self.failed(responses[0][1][2], error):
                    return
                raise
            try:
                self._add(responses[:1])
            finally:
                self._add(responses[1:])
            return
        for project_id in batches["project_id"].unique().to_pylist():
            self._check_project(project_id)
        for row, (position, (day, key, _), _) in enumerate(responses):
            self._add_batch(day, key, position, batches.slice(row, 1), results[row])

    def _add_batch(
        self, day: str, key: str, position: int, batch: pa.Table, results: pa.Table
    ) -> None:
        (status,) = batch["status"].to_pylist()
        entry, has_ended = self._pending.get(key), status in TERMINAL_STATUSES
        statuses = entry.statuses if entry else None
        is_kept, is_stored = statuses is None or status in statuses, key in self._known
        self._settling.answers[key] = Answer.of(status, batch, results, is_kept, self._now)
        self.ended += has_ended and is_stored and entry is not None and entry.open
        if not is_kept and not is_stored:
            return
        keys = pa.array([key])
        self._file(BATCHES.name, day).add(batch if is_kept else batch[:0], keys, position)
        if len(results) or not is_kept:  # an empty answer does not replace stored results
            rows = results if is_kept else results[:0]
            self._file(RESULTS.name, day).add(rows, keys, position)
            self._n_rows += len(rows)
        if is_kept:
            self.new += not is_stored
            self.names.note(batch, results)
            if self._facets.names:
                self._add_jobs_of(day, key)

    def _confirm_project(self) -> None:
        """Check that the key is of the dataset's project before a batch counts as not found."""
        if self._confirmed or not self.gone or not self._stored.project_ids:
            return
        self._confirmed = True
        pages = endpoints.list_batches(self._client, page_size=1, **self._scope)
        for record in next(pages).items:
            self._check_project(record.get("project_id"))
        self.requests += 1

    def _file(self, table: str, day: str) -> NewFile:
        name = file_name(table, day)
        self._limit_memory()
        if name not in self._files:
            self._files[name] = NewFile(self._storage, name, self._folder)
        return self._files[name]

    def _results(self, day: str, columns: list[str]) -> Iterable[pa.Table]:
        """Return the results of a day as they will be, by row group."""
        name = file_name(RESULTS.name, day)
        new = self._files.get(name)
        return new.rows(columns) if new and new.version else self._stored.rows(name, columns)

    def _limit_memory(self) -> None:
        """Move the new rows of the largest files to disk if there are too many."""
        total = sum(f.nbytes for f in self._files.values())
        if total > MAX_BUFFERED_BYTES:
            for largest in sorted(self._files.values(), key=lambda f: f.nbytes, reverse=True):
                total -= largest.nbytes
                largest.flush()
                if total < MAX_BUFFERED_BYTES / 2:
                    break

    def _prepare(self, day: str) -> None:
        """Complete the results of a day, from which the jobs to ask for are read."""
        for table in (RESULTS.name, BATCHES.name):
            if drop := self._work[day].drop:
                self._file(table, day).replaced.append(pa.array(drop))
        if day in self._stored.outdated_ids:  # take over files that are not as recorded
            for each in DAY_TABLES:
                if (name := file_name(each.name, day)) in self._stored.names:
                    self._file(each.name, day).is_wanted = True
                else:
                    self._state.files.pop(name, None)
        results = self._files.get(file_name(RESULTS.name, day))
        if results is not None and results.is_changed:
            results.finish(self._stored)

    def _commit(self, days: list[str], *, complete: bool) -> None:
        """Replace the files of some days, those of the batches last, and record them."""
        names = [file_name(table.name, day) for day in days for table in DAY_TABLES]
        changed = [f for name in names if (f := self._files.get(name)) and f.is_changed]
        versions = {f.name: f.version or f.finish(self._stored) for f in changed}
        for day in [day for day in days if day in self._stored.overtaken]:
            # The new files mix what two syncs have read. The next sync fetches the day again.
            days.remove(day)
            versions = {n: v for n, v in versions.items() if f"/created={day}/" not in n}
        changed = [f for f in changed if f.name in versions]
        if versions:
            self._save(versions)
        for new_file in changed:
            new_file.publish()
        self._stored.replaced(versions)
        self._state.files |= versions
        for day in days:
            self._settling.settle(day, self._work[day], self.jobs, complete=complete)
            self._record_asked(day, complete)
        self._state.pending = list(self._pending.values())
        self._save({})
        self._discard()

    def _discard(self) -> None:
        for new_file in self._files.values():
            new_file.discard()

    def _record_asked(self, day: str, complete: bool) -> None:
        work, asked = self._work[day], set(self._facets.names) if complete else set()
        if day in self._state.asked and day not in self._stored.outdated_ids:
            before = set(self._state.asked[day])
            # Of the batches just fetched, only what this sync wants was requested.
            kept = before & asked if work.fetch else before
            asked = kept | asked if work.jobs_of is None else kept
        self._state.asked[day] = sorted(asked)

    def _save(self, next_files: dict[str, Any]) -> None:
        self._state.next_files = next_files
        save(self._storage, self._state)

    def _show_counts(self, bar: ProgressBar) -> None:
        bar.set_postfix(f"{self._n_rows:,} rows, {self.requests:,} requests")
