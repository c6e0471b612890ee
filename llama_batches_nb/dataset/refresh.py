"""Fetch what a sync needs: open batches again, then new batches, then missing jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from llama_batches_nb.dataset.lock import utc_now
from llama_batches_nb.dataset.manifest import Chunk, SyncedRange
from llama_batches_nb.dataset.writer import (
    ChunkWriter,
    KnownBatches,
    PendingBatches,
    concat_arrow,
)
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

MAX_FAILED_REQUESTS = 8  # requests; after more, the sync stops


class FailedRequests(SkippedItems[str]):
    """Failed requests of a sync, which the next sync repeats."""

    def __call__(self, item: str, error: BatchesError) -> bool:
        """Record an error, and return whether the sync continues without the item."""
        return super().__call__(item, error) and len(self.errors) <= MAX_FAILED_REQUESTS

    def raise_first(self) -> None:
        """Raise the first error, if any, with a note that names all failed requests."""
        for first in self.errors.values():
            if len(self.errors) > 1:
                names = escape_control_chars(", ".join(self.errors))
                first.add_note(f"{len(self.errors)} requests failed, for {names}.")
            raise first


class BatchRefresh:
    """Fetch the open batches of a dataset again, then the new ones, and commit them.

    Attributes
    ----------
    new, ended, requests
        Number of batches that the dataset did not have before, of batches that have ended since
        the last sync, and of successful requests.
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
        writer: ChunkWriter,
        failed: FailedRequests,
    ) -> None:
        self.new = self.ended = self.requests = 0
        self.gone: dict[str, BatchesError] = {}
        self.truncated: list[str] = []
        self._client, self._query, self._scope = client, query, scope
        self._writer, self._manifest, self._failed = writer, writer.manifest, failed
        self._target = _target_range(query)
        self._pending = PendingBatches(writer.manifest)
        self._known = KnownBatches(writer, self._pending)
        stored_open_ids = writer.stored_open_ids()
        self._stored_open_ids = set(stored_open_ids)
        self._open_ids = dict.fromkeys([*stored_open_ids, *writer.manifest.open])
        self._newest: datetime | None = None
        self._n_rows = 0

    def run(self, progress: Progress) -> None:
        """Fetch and commit all batches; on an error, commit those fetched so far and raise."""
        with progress_bar(progress, "sync", unit="batch") as bar:
            bar.set_total(len(self._open_ids))
            try:
                self._fetch(self._open_ids, bar)
                self._fetch(self._iter_new_ids(bar), bar)
            except BatchesError:
                self._writer.write(self._pending)
                raise
            # Only now: with a wrong base_url, listing fails too, and no batch is removed.
            for batch_id in self.gone:
                if batch_id in self._open_ids:  # the API may not know a new batch everywhere yet
                    self._pending.remove(batch_id)
            if self._newest is not None and not self.truncated:
                # A creation time in the future must not hide later batches.
                until = min(self._newest, utc_now())
                self._manifest.add_synced_range(msgspec.structs.replace(self._target, until=until))
            self._writer.write(self._pending)
        self._warn()

    def _fetch(self, ids: Iterable[str], bar: ProgressBar) -> None:
        """Fetch batches with their results, and commit whenever a chunk is full."""

        def fetch(batch_id: str) -> bytes:
            decode = partial(records.validate_batch_json, batch_id)
            return endpoints.get_batch_with_results(self._client, batch_id, decode, **self._scope)

        def on_error(batch_id: str, error: BatchesError) -> bool:
            if not isinstance(error, NotFoundError):
                return self._failed(batch_id, error)
            self.requests += 1
            self.gone[batch_id] = error
            bar.advance()
            return True

        completed = iter_completed(fetch, ids, client=self._client, progress=bar, on_error=on_error)
        with closing(completed):
            for responses in completed:
                self.requests += len(responses)
                self._add(responses)
                bar.advance(len(responses))
                self._show_counts(bar)
                if self._pending.is_full():
                    self._writer.write(self._pending)

    def _add(self, responses: list[tuple[int, str, bytes]]) -> None:
        """Add batches to the buffer; an invalid response does not affect the others."""
        if not responses:
            return
        try:
            batches, results = records.parse_batches_with_results([body for *_, body in responses])
        except ResponseError as error:
            if len(responses) == 1:
                if self._failed(responses[0][1], error):
                    return
                raise
            try:
                self._add(responses[:1])
            finally:
                self._add(responses[1:])
            return
        created = batches["created_at"].to_pylist()
        for row, (position, batch_id, _) in enumerate(responses):
            if batch_id not in self._open_ids and self._known.has(batch_id, created[row]):
                self._manifest.open.pop(batch_id, None)  # the list had another creation time
                continue
            batch = batches.slice(row, 1)
            is_kept, has_ended = self._pending.add(position, batch, results[row])
            self.new += is_kept and batch_id not in self._stored_open_ids
            self._n_rows += len(results[row]) if is_kept else 0
            self.ended += has_ended and batch_id in self._stored_open_ids

    def _iter_new_ids(self, bar: ProgressBar) -> Iterator[str]:
        """List the batches that may be new, and yield the ids to fetch."""
        target = self._target
        since = self._manifest.resume_from(target)
        if target.after is not None and (since is None or since < target.after):
            since = target.after
        if since is not None and since > target.until:
            if not self.gone:
                return
            since = target.until  # nothing is new: list only to check that the server responds
        self._known.load(since)
        params = {**self._query.params, "created_at_on_or_after": format_time("since", since)}
        pages = endpoints.list_batches(self._client, page_size=self._query.page_size, **params)
        counted = self._count_requests(pages, bar)
        for record in listing.iter_records(BATCHES, counted, on_truncated=self.truncated.append):
            if self._is_to_fetch(record):
                yield listing.record_id(BATCHES, record)
            else:
                bar.advance()

    def _is_to_fetch(self, record: BatchRecord) -> bool:
        """Return whether a listed batch must be fetched; track it if it may be wanted later."""
        statuses = self._target.statuses
        batch_id, status = listing.record_id(BATCHES, record), str(record.get("status"))
        created = listing.created_at(record)
        self._newest = max(filter(None, (self._newest, created)), default=None)
        was_gone = self.gone.pop(batch_id, None) is not None
        if self._known.has(batch_id, created) and not was_gone:
            if batch_id in self._manifest.open:
                self._manifest.track_open(batch_id, statuses)
            return False
        is_wanted = statuses is None or status in statuses
        if is_wanted or status not in TERMINAL_STATUSES:
            self._manifest.track_open(batch_id, statuses)
        return is_wanted

    def _count_requests(
        self, pages: Iterable[Page[BatchRecord]], bar: ProgressBar
    ) -> Iterator[Page[BatchRecord]]:
        for page in pages:
            self.requests += 1
            self._show_counts(bar)
            if page.total_size is not None:
                bar.set_total(len(self._open_ids) + page.total_size)
            yield page

    def _show_counts(self, bar: ProgressBar) -> None:
        bar.set_postfix(f"{self._n_rows:,} rows, {self.requests:,} requests")

    def _warn(self) -> None:
        for message in self.truncated:
            warn(message)
        if self.gone:
            warn(
                f"{len(self.gone):,} batches were listed or open, but the API no longer knows "
                f"them: {', '.join(self.gone)}."
            )


class JobRefresh:
    """Fetch the jobs that stored results refer to, unless they are stored and have ended.

    Attributes
    ----------
    requests, unknown
        Number of successful requests of the whole sync, and of jobs that the API does not know.
    """

    def __init__(
        self,
        client: Client,
        scope: dict[str, Any],
        writer: ChunkWriter,
        failed: FailedRequests,
        *,
        earlier_requests: int,
    ) -> None:
        self.requests, self.unknown = earlier_requests, 0
        self._client, self._scope, self._writer, self._failed = client, scope, writer, failed

    def run(self, progress: Progress) -> None:
        """Fetch the jobs of all chunks, and commit those of each chunk."""
        chunks = self._writer.manifest.chunks
        incomplete = [chunk for chunk in chunks if not chunk.jobs_asked or chunk.open_jobs]
        with progress_bar(progress, "jobs", unit="job") as bar:
            total = 0
            for chunk in incomplete:
                requested = split_job_ids(self._writer.missing_job_refs(chunk).to_pandas())
                total += sum(len(ids) for _, ids in requested)
                bar.set_total(total)
                self._refresh_chunk(chunk, requested, bar)

    def _refresh_chunk(self, chunk: Chunk, requested: list[JobIdChunk], bar: ProgressBar) -> None:
        responses = self._fetch(requested, bar)
        self._writer.set_jobs(
            chunk,
            [job_id for (_, ids), _ in responses for job_id in ids],
            concat_arrow(JOBS, [jobs for _, jobs in responses]),
            complete=len(responses) == len(requested),
        )

    def _fetch(
        self, requested: list[JobIdChunk], bar: ProgressBar
    ) -> list[tuple[JobIdChunk, pa.Table]]:
        """Return the jobs of each successful request, in the order of the requests."""
        responses: dict[int, tuple[JobIdChunk, pa.Table]] = {}

        def on_error(request: JobIdChunk, error: BatchesError) -> bool:
            job_type, ids = request
            return self._failed(f"{len(ids)} {job_type} jobs such as {ids[0]}", error)

        completed = iter_completed(
            partial(fetch_chunk, self._client, self._scope),
            requested,
            client=self._client,
            progress=bar,
            on_error=on_error,
        )
        with closing(completed):
            for group in completed:
                for position, request, jobs in group:
                    responses[position] = request, jobs
                    n_ids = len(request[1])
                    self.requests += 1
                    self.unknown += n_ids - len(jobs)
                    bar.advance(n_ids)
                bar.set_postfix(f"{self.requests:,} requests")
        return [responses[position] for position in sorted(responses)]


def _target_range(query: BatchQuery) -> SyncedRange:
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
        until=before or datetime.max.replace(tzinfo=UTC),
    )
