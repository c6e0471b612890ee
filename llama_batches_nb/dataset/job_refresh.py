"""Fetch the jobs that results refer to, what they were billed, and their outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.settling import FailedRequests
from llama_batches_nb.dataset.state import file_name
from llama_batches_nb.dataset.stored_files import NewFile, StoredFiles, batch_keys
from llama_batches_nb.errors import BatchesError, NotFoundError
from llama_batches_nb.fetch import jobs as jobs_module
from llama_batches_nb.fetch.extractions import read_extract_job
from llama_batches_nb.fetch.jobs import fetch_chunk
from llama_batches_nb.fetch.parse_output import ParseOutputReader
from llama_batches_nb.fetch.usage import fetch_billed_job
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.progress import Progress, ProgressBar, progress_bar
from llama_batches_nb.messages import agree, format_count, warn
from llama_batches_nb.tables import arguments, extractions
from llama_batches_nb.tables.schema import EXTRACTIONS, JOBS, PAGES
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES
from llama_batches_nb.types import PageContent

RETENTION = timedelta(days=3)  # the service documents 48 hours
MAX_REFS = 1000  # that are in memory together
OUTPUT_TABLES = {"parse_v2": PAGES.name, "extract_v2": EXTRACTIONS.name}

JobsOf = dict[str, set[str] | None]
"""By day, the batches whose jobs to ask for; None for all."""
OpenFile = Callable[[str, str], NewFile]
ReadResults = Callable[[str, list[str]], Iterable[pa.Table]]


@dataclass(frozen=True)
class Facets:
    """What to ask for beside batches and results."""

    jobs: bool
    usage: bool
    content: PageContent | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names for the record of a dataset."""
        if not (self.jobs or self.usage or self.content):
            return ()
        return tuple(filter(None, ("jobs", "usage" if self.usage else None, self.content)))


class JobRef(NamedTuple):
    """A job of a batch, with what is stored of it."""

    day: str
    job_id: str
    job_type: str
    key: str  # of the batch
    batch_id: str
    status: str | None  # None if it is not stored, or had not ended
    has_credits: bool
    has_output: bool


JobRow = tuple[JobRef, pa.Table | None]
"""A job that has ended, and its row unless that is stored."""
Chunk = tuple[str | None, list[JobRef]]


class Details(NamedTuple):
    """What the API answered about one job that has ended."""

    row: pa.Table | None  # to store
    output: pa.Table | None
    lacking: list[str]
    requests: int
    has_expired: bool


class StoredJobs:
    """The stored jobs of a day, and which of them have an output."""

    def __init__(self, stored: StoredFiles, day: str, facets: Facets) -> None:
        columns = [JOBS.key, "status", "credits"]
        empty = pa.schema([JOBS.arrow_schema.field(c) for c in columns]).empty_table()
        parts = stored.rows(file_name(JOBS.name, day), columns)
        self._jobs = pa.concat_tables([empty, *parts]).combine_chunks()
        ids = [pa.array([], pa.string())]
        for table in OUTPUT_TABLES.values() if facets.content else ():
            parts = stored.rows(file_name(table, day), ["job_id"])
            ids += [rows["job_id"].combine_chunks().unique() for rows in parts]
        self._with_output, self._facets = pa.concat_arrays(ids), facets

    def refs(self, rows: pa.Table, day: str) -> Iterator[JobRef]:
        """Yield the jobs of results that are to be requested."""
        if not len(rows):
            return
        place = pc.index_in(rows["job_id"], value_set=self._jobs[JOBS.key])
        status = self._jobs["status"].take(place)
        has_ended = pc.is_in(status, value_set=pa.array(sorted(TERMINAL_STATUSES)))
        has_credits = self._jobs["credits"].take(place).is_valid()
        has_output = pc.is_in(rows["job_id"], value_set=self._with_output)
        settled = has_ended
        if self._facets.usage:
            settled = pc.and_(settled, has_credits)
        if self._facets.content:
            needs_none = pc.not_equal(status, "COMPLETED").fill_null(False)
            settled = pc.and_(settled, pc.or_(has_output, needs_none))
        columns = {
            "job_id": rows["job_id"],
            "job_type": rows["job_type"],
            "key": batch_keys(rows["batch_id"]),
            "batch_id": rows["batch_id"],
            "status": pc.if_else(has_ended, status, None),
            "has_credits": has_credits,
            "has_output": has_output,
        }
        unsettled = pa.table(columns).filter(pc.invert(settled))
        for part in unsettled.to_batches(max_chunksize=MAX_REFS):
            yield from (JobRef(day, **row) for row in part.to_pylist())


class JobRefresh:
    """Fetch the jobs that results refer to, unless nothing about them is missing.

    Attributes
    ----------
    requests, unknown, expired
        Number of successful requests, of jobs that the API does not know, and of outputs that it no
        longer has.
    running, failed_of, lacking
        Batches, by key, with jobs that run, or that could not be requested, and the counts of what
        others lack.
    """

    def __init__(
        self,
        client: Client,
        scope: dict[str, Any],
        stored: StoredFiles,
        facets: Facets,
        failed: FailedRequests,
        now: datetime,
    ) -> None:
        self.requests = self.unknown = self.expired = 0
        self.was_asked = bool(facets.names)
        self.running: set[str] = set()
        self.failed_of: set[str] = set()
        self.lacking: dict[str, Counter[str]] = {}
        self._unsettled: dict[str, dict[str, str]] = {}
        self._client, self._scope, self._stored, self._facets = client, scope, stored, facets
        self._failed, self._now = failed, now
        self._skipped: Counter[str] = Counter()
        self._total = 0

    def unsettled(self, day: str) -> dict[str, str]:
        """Return the batches of a day whose jobs are to be requested again, by key."""
        return self._unsettled.get(day, {})

    def run(
        self, jobs_of: JobsOf, results_of: ReadResults, file_of: OpenFile, progress: Progress
    ) -> None:
        """Fetch the jobs of some days, and add them to their files."""
        self._file_of = file_of
        with progress_bar(progress, "jobs", unit="job") as bar:
            jobs = self._listed(self._refs(jobs_of, results_of), bar)
            self._add_details(jobs, bar)

    def _refs(self, jobs_of: JobsOf, results_of: ReadResults) -> Iterator[JobRef]:
        """Yield the jobs to ask for, each once per day."""
        for day, keys in jobs_of.items():
            if keys is not None and not keys:
                continue
            stored = StoredJobs(self._stored, day, self._facets)
            wanted = None if keys is None else pa.array(sorted(keys), pa.string())
            seen = pa.array([], pa.string())
            for rows in results_of(day, ["batch_id", "job_id", "job_type"]):
                if wanted is not None:
                    rows = rows.filter(pc.is_in(batch_keys(rows["batch_id"]), value_set=wanted))
                is_new = pc.invert(pc.is_in(rows["job_id"], value_set=seen, skip_nulls=True))
                has_job = pc.and_kleene(rows["job_id"].is_valid(), is_new)
                rows = rows.filter(pc.and_(has_job, pc.not_equal(rows["job_id"], "")))
                seen = pa.concat_arrays([seen, rows["job_id"].combine_chunks()])
                yielded: set[str] = set()
                for ref in stored.refs(rows, day):
                    if ref.job_id not in yielded and self._can_be_asked(ref):
                        yielded.add(ref.job_id)
                        yield ref

    def _can_be_asked(self, ref: JobRef) -> bool:
        if ref.job_type not in endpoints.JOBS:
            self._skipped[f"of an unsupported type: {ref.job_type or 'none'}"] += 1
            return False
        try:
            arguments.parse_id("job_id", ref.job_id)
        except ValueError:
            self._skipped["of an invalid id"] += 1
            return False
        return True

    def _listed(self, refs: Iterator[JobRef], bar: ProgressBar) -> Iterator[JobRow]:
        """Store the jobs that run; yield those that have ended."""

        def fetch(chunk: Chunk) -> pa.Table | None:
            job_type, found = chunk
            if job_type is None:  # they are stored
                return None
            return fetch_chunk(self._client, self._scope, (job_type, [r.job_id for r in found]))

        def on_error(chunk: Chunk, error: BatchesError) -> bool:
            job_type, found = chunk
            self._mark_failed(found)
            return self._failed(f"{len(found)} {job_type} jobs such as {found[0].job_id}", error)

        completed = iter_completed(
            fetch, self._chunks(refs, bar), client=self._client, progress=bar, on_error=on_error
        )
        with closing(completed):
            for group in completed:
                for _, (_, found), jobs in group:
                    bar.advance(len(found))
                    if jobs is None:
                        yield from ((ref, None) for ref in found)
                    else:
                        self.requests += 1
                        yield from self._add_listed(found, jobs)
                bar.set_postfix(f"{self.requests:,} requests")

    def _chunks(self, refs: Iterator[JobRef], bar: ProgressBar) -> Iterator[Chunk]:
        """Yield the jobs of each request; those without a type are stored already."""
        waiting: dict[str | None, list[JobRef]] = {}
        for ref in refs:
            job_type = ref.job_type if ref.status is None else None
            chunk = waiting.setdefault(job_type, [])
            chunk.append(ref)
            self._total += 1
            if len(chunk) == jobs_module.JOB_IDS_PER_REQUEST:
                bar.set_total(self._total)
                yield job_type, waiting.pop(job_type)
        bar.set_total(self._total)
        yield from waiting.items()

    def _add_listed(self, refs: list[JobRef], jobs: pa.Table) -> Iterator[JobRow]:
        rows = dict(zip(jobs[JOBS.key].to_pylist(), range(len(jobs)), strict=True))
        statuses = jobs["status"].to_pylist()
        stored_now: list[int] = []
        for ref in refs:
            row = rows.get(ref.job_id)
            if row is None:
                self.unknown += 1
                self._mark_lacking(ref, "unknown to the API")
            elif statuses[row] not in TERMINAL_STATUSES:
                stored_now.append(row)
                self._mark(ref)
                self.running.add(ref.key)
            elif self._facets.usage or self._facets.content:
                yield ref._replace(status=statuses[row]), jobs.slice(row, 1)
            else:
                stored_now.append(row)
        for day in {ref.day for ref in refs}:
            ids = [ref.job_id for ref in refs if ref.day == day]
            rows_of_day = jobs.take(pa.array(stored_now, pa.int64()))
            self._add(day, rows_of_day.filter(pc.is_in(rows_of_day[JOBS.key], pa.array(ids))))

    def _add_details(self, jobs: Iterator[JobRow], bar: ProgressBar) -> None:
        """Ask ended jobs for their credits and outputs, and store them."""

        def on_error(job: JobRow, error: BatchesError) -> bool:
            ref, row = job
            self._add(ref.day, row)
            self._mark_failed([ref])
            return self._failed(f"the credits and the output of job {ref.job_id}", error)

        fetch = partial(self._fetch_details, self._facets.content or "markdown")
        completed = iter_completed(
            fetch,
            jobs,
            client=self._client,
            progress=bar,
            on_error=on_error,
            nbytes=lambda details: 0 if details.output is None else details.output.nbytes,
        )
        with closing(completed):
            for group in completed:
                for _, (ref, _), details in group:
                    self.requests += details.requests
                    self.expired += details.has_expired
                    self._add(ref.day, details.row)
                    if details.output is not None:
                        keys = pa.array([ref.job_id])
                        self._file_of(OUTPUT_TABLES[ref.job_type], ref.day).add(
                            details.output, keys
                        )
                    for what in details.lacking:
                        self._mark_lacking(ref, what)

    def _fetch_details(self, content: PageContent, job: JobRow) -> Details:
        ref, row = job
        output, lacking, requests, has_expired = None, [], 0, False
        has_credits = ref.has_credits if row is None else not row["credits"].null_count
        if self._facets.usage and not has_credits:
            with suppress(NotFoundError):
                key = (ref.job_type, ref.job_id)
                row = fetch_billed_job(self._client, self._scope, JOBS, key)
                requests += 1
            if row is None or (row["credits"].null_count and ref.status == "COMPLETED"):
                lacking.append("without credits")
        if self._facets.content and ref.status == "COMPLETED" and not ref.has_output:
            try:
                output = self._read_output(content, ref)
                requests += 1
            except NotFoundError:
                has_expired = True
            may_come = not has_expired or ref.day >= (self._now - RETENTION).date().isoformat()
            if output is None and may_come:
                lacking.append("without output")
        return Details(row, output, lacking, requests, has_expired)

    def _read_output(self, content: PageContent, ref: JobRef) -> pa.Table | None:
        if ref.job_type == "parse_v2":
            pages = ParseOutputReader(self._client, content, **self._scope).read(ref.job_id)
            return None if pages.pages is None else pages.to_arrow()
        job, _ = read_extract_job(self._client, ref.job_id, self._scope)
        result = job.result()
        if result is None:
            return None
        return extractions.to_arrow(extractions.parse_extraction(ref.job_id, result))

    def _add(self, day: str, rows: pa.Table | None) -> None:
        if rows is not None and len(rows):
            keys = rows[JOBS.key].combine_chunks()
            self._file_of(JOBS.name, day).add(rows, keys)

    def _mark(self, ref: JobRef) -> None:
        self._unsettled.setdefault(ref.day, {})[ref.key] = ref.batch_id

    def _mark_failed(self, refs: Iterable[JobRef]) -> None:
        for ref in refs:
            self._mark(ref)
            self.failed_of.add(ref.key)

    def _mark_lacking(self, ref: JobRef, what: str) -> None:
        self._mark(ref)
        self.lacking.setdefault(ref.key, Counter())[what] += 1

    def warn(self) -> None:
        """Warn of jobs that are left out."""
        for reason, n in self._skipped.items():
            warn(f"{format_count(n, 'job')} {agree(n, 'is')} skipped because {reason}.")
        if self.expired:
            warn(f"{self.expired:,} outputs have expired: the service deletes them after 48 hours.")
