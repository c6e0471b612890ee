"""Fetch what a dataset lacks, and replace the files of the days that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial

import pyarrow as pa

from llama_batches_nb.dataset.job_refresh import JobRefresh
from llama_batches_nb.dataset.plan import DayWork, Plan
from llama_batches_nb.dataset.run import SyncRun
from llama_batches_nb.dataset.settling import UNKNOWN, missing_results
from llama_batches_nb.errors import BatchesError, DatasetError, NotFoundError, ResponseError
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.progress import ProgressBar, progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

Item = tuple[str, str, str]
"""Day, key and id of a batch to fetch."""
Response = tuple[int, Item, bytes]
"""Position in the order of the items, the item, and the JSON of the batch."""


class Refresh:
    """Fetch batches with their results, then their jobs, a group of days after the other."""

    def __init__(self, run: SyncRun) -> None:
        self._run, self._jobs = run, JobRefresh(run)
        self._confirmed = False

    def run(self) -> dict[str, DayWork]:
        """Fetch and store all; on an error, store what was fetched so far and raise.

        Return what was asked about each day.
        """
        run = self._run
        with progress_bar(run.progress, "sync", unit="batch") as bar:
            self._plan = Plan(run, bar)
            bar.set_total(sum(len(work.fetch) for work in self._plan.days.values()))
            asks_jobs = bool(run.facets.names and self._plan.days)
            try:
                with progress_bar(run.progress if asks_jobs else False, "jobs", unit="job") as jobs:
                    for days in self._plan.groups():
                        self._refresh_days(days, bar, jobs)
            finally:
                run.changes.discard()
        self._plan.record_listing()
        run.save_pending()  # also those that no file belongs to
        run.settling.warn()
        self._jobs.warn()
        for message in run.truncated:
            warn(message)
        return self._plan.days

    def _refresh_days(self, days: list[str], bar: ProgressBar, jobs: ProgressBar) -> None:
        """Fetch what some days lack, and replace their files."""
        run, error = self._run, None
        try:
            self._fetch(days, bar)
            if run.facets.names:
                self._jobs.run({day: self._plan.days[day].jobs_of for day in days}, jobs)
        except DatasetError:
            raise
        except BatchesError as caught:
            error = caught
        committed = run.changes.commit(days)
        run.settling.settle(committed, jobs=bool(run.facets.names), complete=error is None)
        for day in [day for day in days if day in committed]:
            self._record_asked(day, complete=error is None)
        run.save_pending()
        if error is not None:
            raise error

    def _fetch(self, days: Iterable[str], bar: ProgressBar) -> None:
        run = self._run

        def fetch(item: Item) -> bytes:
            decode = partial(records.validate_batch_json, item[2])
            return endpoints.get_batch_with_results(run.client, item[2], decode, **run.scope)

        def on_error(item: Item, error: BatchesError) -> bool:
            return self._on_failure(item, error, bar)

        completed = iter_completed(
            fetch, self._items(days), client=run.client, progress=bar, on_error=on_error
        )
        with closing(completed):
            for responses in completed:
                run.requests += len(responses)
                for response, batch, results in self._parsed(responses, bar):
                    self._add_batch(response, batch, results)
                bar.advance(len(responses))
                run.show(bar)
        self._confirm_project()

    def _items(self, days: Iterable[str]) -> list[Item]:
        """Return the batches to fetch; nothing is known about those that need none."""
        items = []
        for day in days:
            work = self._plan.days[day]
            for key in work.jobs_of or ():
                self._run.settling.finding(key, key, day)
            for key, batch_id in work.fetch.items():
                self._run.settling.finding(key, batch_id, day)
                items.append((day, key, batch_id))
        return items

    def _on_failure(self, item: Item, error: BatchesError, bar: ProgressBar) -> bool:
        """Note that a batch could not be fetched; return whether the sync continues."""
        day, key, batch_id = item
        finding = self._run.settling.finding(key, batch_id, day)
        if not isinstance(error, NotFoundError):
            finding.has_failed = True
            return self._run.failed(batch_id, error)
        self._run.requests += 1
        self._run.gone += 1
        finding.lacks[UNKNOWN] += 1
        bar.advance()
        return True

    def _parsed(
        self, responses: list[Response], bar: ProgressBar
    ) -> Iterator[tuple[Response, pa.Table, pa.Table]]:
        """Yield batches and their results; an invalid response does not affect the others."""
        try:
            batches, results = records.parse_batches_with_results([body for *_, body in responses])
        except ResponseError as error:
            if len(responses) > 1:
                for response in responses:
                    yield from self._parsed([response], bar)
            elif not self._on_failure(responses[0][1], error, bar):
                raise
            return
        for row, response in enumerate(responses):
            yield response, batches.slice(row, 1), results[row]

    def _add_batch(self, response: Response, batch: pa.Table, results: pa.Table) -> None:
        run, (position, (day, key, batch_id), _) = self._run, response
        ((status, project_id),) = zip(
            batch["status"].to_pylist(), batch["project_id"].to_pylist(), strict=True
        )
        run.check_project(project_id)
        entry, has_ended = run.settling.pending[key], status in TERMINAL_STATUSES
        is_kept = entry.statuses is None or status in entry.statuses
        finding = run.settling.finding(key, batch_id, day)
        finding.is_answered, finding.is_open = True, not has_ended
        finding.fetch = finding.will_change = not has_ended
        if has_ended and is_kept and (lack := missing_results(status, batch, results, run.now)):
            finding.fetch = True
            finding.lacks[lack] += 1
        is_stored = key in self._plan
        run.ended += has_ended and is_stored and entry.open
        if not is_kept and not is_stored:
            return
        keys = pa.array([key])
        run.changes.add(BATCHES, day, batch if is_kept else batch[:0], keys, position)
        if len(results) or not is_kept:  # an empty answer does not replace stored results
            rows = results if is_kept else results[:0]
            run.changes.add(RESULTS, day, rows, keys, position)
            run.n_rows += len(rows)
        if is_kept:
            run.new += not is_stored
            if run.facets.names:
                self._plan.add_jobs_of(day, key)

    def _confirm_project(self) -> None:
        """Check that the key is of the dataset's project before a batch counts as not found."""
        run = self._run
        if self._confirmed or not run.gone or not run.stored.project_ids:
            return
        self._confirmed = True
        pages = endpoints.list_batches(run.client, page_size=1, **run.scope)
        for record in next(pages).items:
            run.check_project(record.get("project_id"))
        run.requests += 1

    def _record_asked(self, day: str, *, complete: bool) -> None:
        """Record what was requested for all batches of a day."""
        run, work = self._run, self._plan.days[day]
        asked = set(run.facets.names) if complete else set()
        if day in run.state.asked and day not in run.stored.outdated_ids:
            before = set(run.state.asked[day])
            # Of the batches just fetched, only what this sync wants was requested.
            kept = before & asked if work.fetch else before
            asked = kept | asked if work.jobs_of is None else kept
        run.state.asked[day] = sorted(asked)
