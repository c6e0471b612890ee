"""What a sync asks the API: again for what was open, then for what is new, then for jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from llama_batches_nb.dataset import writer
from llama_batches_nb.dataset.lock import utc_now
from llama_batches_nb.dataset.manifest import CLOCK_SKEW, SyncedRange
from llama_batches_nb.dataset.writer import DatasetWriter
from llama_batches_nb.errors import BatchesError, NotFoundError, ResponseError
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import BatchQuery
from llama_batches_nb.fetch.jobs import JobIdChunk, fetch_chunk, split_job_ids
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import SkippedItems, iter_completed
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.http.pagination import Page
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import escape_control_chars, warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.arguments import format_time
from llama_batches_nb.tables.schema import BATCHES, JOBS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

MAX_FAILED_REQUESTS = 8  # requests that fail before it is taken for the server that fails


class SyncRun:
    """What one sync asks, and what came of it."""

    def __init__(
        self, client: Client, scope: dict[str, Any], kept: DatasetWriter, progress: Progress
    ) -> None:
        self._client, self._scope, self._kept, self._progress = client, scope, kept, progress
        self._had: set[str] = set()  # batches that were open and have rows
        self._again: dict[str, None] = {}
        self._newest: datetime | None = None
        self._n_rows = 0
        self.new = self.ended = self.unknown_jobs = self.requests = 0
        self.gone: dict[str, BatchesError] = {}
        self.failed: SkippedItems[str] = SkippedItems()
        self.short: list[str] = []

    def batches(self, selection: BatchQuery) -> None:
        """Ask again for the batches that were open, then for those that are new."""
        wanted = _target_range(selection)
        with_rows = self._kept.stored_open_ids()
        self._had = set(with_rows)
        self._again = dict.fromkeys([*with_rows, *self._kept.manifest.open])
        with progress_bar(self._progress, "sync", unit="batch") as shown:
            shown.set_total(len(self._again))
            try:
                self._fetch_batches(self._again, shown)
                self._fetch_batches(self._iter_new_ids(selection, wanted, shown), shown)
            except BatchesError:
                self._kept.flush()
                raise
            for batch_id in self.gone:  # only now: a server that lost its way has no list either
                if batch_id in self._again:  # one that is new may not be known everywhere yet
                    self._kept.untrack(batch_id)
            if self._newest is not None and not self.short:
                until = min(self._newest, utc_now())  # one from the future must not hide the next
                self._kept.manifest.add_synced_range(msgspec.structs.replace(wanted, until=until))
            self._kept.flush()
        self._warn()

    def jobs(self) -> None:
        """Ask for the jobs of results that came without, and again for those not ended."""
        todo = [c for c in self._kept.manifest.chunks if not c.jobs_asked or c.open_jobs]
        with progress_bar(self._progress, "jobs", unit="job") as shown:
            n_wanted = 0
            for chunk in todo:
                wanted = split_job_ids(self._kept.missing_job_refs(chunk).to_pandas())
                n_wanted += sum(len(ids) for _, ids in wanted)
                shown.set_total(n_wanted)
                answers = self._fetch_jobs(wanted, shown)
                self._kept.set_jobs(
                    chunk,
                    [job_id for (_, ids), _ in answers for job_id in ids],
                    writer.concat(JOBS, [jobs for _, jobs in answers]),
                    complete=len(answers) == len(wanted),
                )

    def raise_failed(self) -> None:
        """Raise the first error of what could not be had, now that all else is kept."""
        failed = self.failed.errors
        for first in failed.values():
            if len(failed) > 1:
                names = escape_control_chars(", ".join(failed))
                first.add_note(f"{len(failed)} requests failed, for {names}.")
            raise first

    def _fetch_batches(self, ids: Iterable[str], shown: ProgressBar) -> None:
        """Ask for batches, and keep them as they arrive."""

        def fetch(batch_id: str) -> bytes:
            decode = partial(records.validate_batch_json, batch_id)
            return endpoints.get_batch_with_results(self._client, batch_id, decode, **self._scope)

        def leave_out(batch_id: str, error: BatchesError) -> bool:
            if not isinstance(error, NotFoundError):
                return self._skip_failed(batch_id, error)
            self.requests += 1
            self.gone[batch_id] = error
            shown.advance()
            return True

        arriving = iter_completed(fetch, ids, client=self._client, shown=shown, bear=leave_out)
        with closing(arriving):
            for pack in arriving:
                self.requests += len(pack)
                self._store(pack)
                shown.advance(len(pack))
                self._note(shown)
                if self._kept.is_full():
                    self._kept.flush()

    def _store(self, pack: list[tuple[int, str, bytes]]) -> None:
        """Keep some batches; if one is not what was promised, the others all the same."""
        if not pack:
            return
        try:
            batches, results = records.parse_batches_with_results([body for _, _, body in pack])
        except ResponseError as error:
            if len(pack) == 1:
                if self._skip_failed(pack[0][1], error):
                    return
                raise
            try:
                self._store(pack[:1])
            finally:
                self._store(pack[1:])
            return
        created = batches["created_at"].to_pylist()
        for n, (position, batch_id, _) in enumerate(pack):
            if batch_id not in self._again and self._known.has(batch_id, created[n]):
                self._kept.manifest.open.pop(batch_id, None)  # the list had another time for it
                continue
            is_kept, has_ended = self._kept.add_batch(position, batches.slice(n, 1), results[n])
            self.new += is_kept and batch_id not in self._had
            self._n_rows += len(results[n]) if is_kept else 0
            self.ended += has_ended and batch_id in self._had

    def _skip_failed(self, name: str, error: BatchesError) -> bool:
        """Whether to go on without something: the next sync asks for it again."""
        return self.failed(name, error) and len(self.failed.errors) <= MAX_FAILED_REQUESTS

    def _iter_new_ids(
        self, selection: BatchQuery, wanted: SyncedRange, shown: ProgressBar
    ) -> Iterator[str]:
        """List what may be new, and yield what is to be asked for."""
        since = self._kept.manifest.resume_from(wanted)
        if wanted.after is not None and (since is None or since < wanted.after):
            since = wanted.after
        if since is not None and since > wanted.until:
            if not self.gone:
                return
            since = wanted.until  # nothing is new: this only sees whether the list can be had
        self._known = _KnownBatches(self._kept, since)
        filters = {**selection.params, "created_at_on_or_after": format_time("since", since)}
        pages = endpoints.list_batches(self._client, page_size=selection.page_size, **filters)
        counted = self._counted(pages, shown)
        for record in listing.iter_records(BATCHES, counted, on_truncated=self.short.append):
            batch_id, status = listing.record_id(BATCHES, record), str(record.get("status"))
            created = listing.created_at(record)
            self._newest = max(filter(None, (self._newest, created)), default=None)
            is_wanted = wanted.statuses is None or status in wanted.statuses
            was_gone = self.gone.pop(batch_id, None) is not None
            if self._known.has(batch_id, created) and not was_gone:
                self._kept.extend_statuses(batch_id, wanted.statuses)
            elif is_wanted or status not in TERMINAL_STATUSES:
                self._kept.track_open(batch_id, wanted.statuses)
                if is_wanted:
                    yield batch_id
                    continue
            shown.advance()

    def _counted(
        self, pages: Iterable[Page[BatchRecord]], shown: ProgressBar
    ) -> Iterator[Page[BatchRecord]]:
        for page in pages:
            self.requests += 1
            self._note(shown)
            if page.total_size is not None:
                shown.set_total(len(self._again) + page.total_size)
            yield page

    def _fetch_jobs(
        self, wanted: list[JobIdChunk], shown: ProgressBar
    ) -> list[tuple[JobIdChunk, pa.Table]]:
        """Return what the API knows of each chunk of jobs, but for those that can't be had."""
        found: dict[int, tuple[JobIdChunk, pa.Table]] = {}

        def leave_out(chunk: JobIdChunk, error: BatchesError) -> bool:
            job_type, ids = chunk
            return self._skip_failed(f"{len(ids)} jobs of {job_type} such as {ids[0]}", error)

        arriving = iter_completed(
            partial(fetch_chunk, self._client, self._scope),
            wanted,
            client=self._client,
            shown=shown,
            bear=leave_out,
        )
        with closing(arriving):
            for pack in arriving:
                for position, chunk, jobs in pack:
                    found[position] = chunk, jobs
                    self.requests += 1
                    self.unknown_jobs += len(chunk[1]) - len(jobs)
                    shown.advance(len(chunk[1]))
                shown.set_postfix(f"{self.requests:,} requests")
        return [found[position] for position in sorted(found)]

    def _note(self, shown: ProgressBar) -> None:
        shown.set_postfix(f"{self._n_rows:,} rows, {self.requests:,} requests")

    def _warn(self) -> None:
        for message in self.short:
            warn(message)
        if self.gone:
            warn(
                f"{len(self.gone):,} batches were listed or open, and are not known to the API any "
                f"more: {', '.join(self.gone)}."
            )


class _KnownBatches:
    """Which batches a dataset has already, as far as that must be looked up."""

    def __init__(self, kept: DatasetWriter, since: datetime | None) -> None:
        self._kept = kept
        self._since = None if since is None or since.year < 1970 else since - CLOCK_SKEW
        self._ids = kept.known_ids(self._since)

    def has(self, batch_id: str, created: datetime | None) -> bool:
        """Whether there is such a batch; all are looked up if the server lists older ones too."""
        if self._since is not None and (created is None or created < self._since):
            self._since = None
            self._ids = self._kept.known_ids(None)
        return batch_id in self._ids


def _target_range(selection: BatchQuery) -> SyncedRange:
    """Return which batches a sync is to have, up to the end of time if no other is named."""
    after, before = (
        None if text is None else datetime.fromisoformat(text)
        for text in (
            selection.params["created_at_on_or_after"],
            selection.params["created_at_on_or_before"],
        )
    )
    return SyncedRange(
        source_directory_id=selection.params["source_directory_id"],
        statuses=selection.statuses,
        after=after,
        until=before or datetime.max.replace(tzinfo=UTC),
    )
