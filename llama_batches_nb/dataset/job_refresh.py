"""Fetch the jobs that results refer to, what they were billed, and their outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pyarrow as pa

from llama_batches_nb.dataset.job_refs import OUTPUT_TABLES, JobRef, unsettled_jobs
from llama_batches_nb.dataset.run import SyncRun
from llama_batches_nb.dataset.settling import Finding
from llama_batches_nb.errors import BatchesError, NotFoundError
from llama_batches_nb.fetch import jobs as jobs_module
from llama_batches_nb.fetch.extractions import read_extract_job
from llama_batches_nb.fetch.jobs import fetch_chunk
from llama_batches_nb.fetch.parse_output import ParseOutputReader
from llama_batches_nb.fetch.usage import fetch_billed_job
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.messages import agree, format_count, warn
from llama_batches_nb.tables import arguments, extractions
from llama_batches_nb.tables.schema import JOBS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES
from llama_batches_nb.types import PageContent

RETENTION = timedelta(days=3)  # the service documents 48 hours


JobRow = tuple[JobRef, pa.Table | None]
"""A job that has ended, and its row unless that is stored."""
Chunk = tuple[str | None, list[JobRef]]
"""The type and the jobs of one request; without a type they are stored, and need none."""


class Details(NamedTuple):
    """What the API answered about one job that has ended."""

    row: pa.Table | None  # to store
    output: pa.Table | None
    lacking: list[str]
    requests: int
    has_expired: bool


class JobRefresh:
    """Fetch the jobs that results refer to, unless nothing about them is missing."""

    def __init__(self, run: SyncRun) -> None:
        self._run = run
        self._skipped: Counter[str] = Counter()
        self._expired = self._total = 0

    def run(self, jobs_of: dict[str, set[str] | None], bar: ProgressBar) -> None:
        """Request the jobs of some batches of each day, or of all for None; keep their rows."""
        refs = (r for day, keys in jobs_of.items() for r in unsettled_jobs(self._run, day, keys))
        with closing(self._listed(filter(self._can_be_asked, refs), bar)) as jobs:
            self._add_details(jobs, bar)

    def warn(self) -> None:
        """Warn of jobs that are left out."""
        for reason, n in self._skipped.items():
            warn(f"{format_count(n, 'job')} {agree(n, 'is')} skipped because {reason}.")
        if self._expired:
            warn(
                f"{self._expired:,} outputs have expired: the service deletes them after 48 hours."
            )

    def _can_be_asked(self, ref: JobRef) -> bool:
        if ref.job_type not in endpoints.JOBS:
            self._skipped[f"of an unsupported type: {ref.job_type or 'none'}"] += 1
        elif not arguments.is_id(ref.job_id):
            self._skipped["of an invalid id"] += 1
        else:
            return True
        return False

    def _listed(self, refs: Iterator[JobRef], bar: ProgressBar) -> Generator[JobRow, None, None]:
        """List jobs and store those that run; yield those that have ended."""
        run = self._run

        def fetch(chunk: Chunk) -> pa.Table | None:
            job_type, found = chunk
            if job_type is None:
                return None
            return fetch_chunk(run.client, run.scope, (job_type, [ref.job_id for ref in found]))

        def on_error(chunk: Chunk, error: BatchesError) -> bool:
            job_type, found = chunk
            return self._on_failure(
                found, f"{len(found)} {job_type} jobs such as {found[0].job_id}", error
            )

        completed = iter_completed(
            fetch, self._chunks(refs, bar), client=run.client, progress=bar, on_error=on_error
        )
        with closing(completed):
            for group in completed:
                for _, (_, found), jobs in group:
                    ended: list[JobRow] = [(ref, None) for ref in found]
                    if jobs is not None:
                        run.requests += 1
                        ended = list(self._add_listed(found, jobs))
                    bar.advance(len(found) - len(ended))
                    yield from ended
                run.show(bar)

    def _chunks(self, refs: Iterator[JobRef], bar: ProgressBar) -> Iterator[Chunk]:
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
        places = {job_id: row for row, job_id in enumerate(jobs["job_id"].to_pylist())}
        statuses = jobs["status"].to_pylist()
        facets, stored_now = self._run.facets, dict[str, list[int]]()
        for ref in refs:
            row = places.get(ref.job_id)
            if row is None:
                self._run.unknown_jobs += 1
                self._mark(ref, "unknown to the API")
                continue
            has_ended = statuses[row] in TERMINAL_STATUSES
            if not has_ended:
                self._mark(ref).will_change = True
            if has_ended and (facets.usage or facets.content):
                yield ref._replace(status=statuses[row]), jobs.slice(row, 1)
            else:
                stored_now.setdefault(ref.day, []).append(row)
        for day, rows in stored_now.items():
            self._add_rows(day, jobs.take(pa.array(rows)))

    def _add_details(self, jobs: Iterator[JobRow], bar: ProgressBar) -> None:
        """Ask ended jobs for their credits and outputs, and store them."""

        def on_error(job: JobRow, error: BatchesError) -> bool:
            ref, row = job
            self._add_rows(ref.day, row)
            bar.advance()
            what = f"the credits and the output of job {ref.job_id}"
            return self._on_failure([ref], what, error)

        completed = iter_completed(
            self._fetch_details,
            jobs,
            client=self._run.client,
            progress=bar,
            on_error=on_error,
            nbytes=lambda details: 0 if details.output is None else details.output.nbytes,
        )
        with closing(completed):
            for group in completed:
                for _, (ref, _), details in group:
                    self._run.requests += details.requests
                    self._expired += details.has_expired
                    self._add_rows(ref.day, details.row)
                    if details.output is not None:
                        table, ids = OUTPUT_TABLES[ref.job_type], pa.array([ref.job_id])
                        self._run.changes.add(table, ref.day, details.output, ids)
                    for what in details.lacking:
                        self._mark(ref, what)
                bar.advance(len(group))
                self._run.show(bar)

    def _fetch_details(self, job: JobRow) -> Details:
        (ref, row), run = job, self._run
        output, lacking, requests, has_expired = None, [], 0, False
        has_credits = ref.has_credits if row is None else not row["credits"].null_count
        if run.facets.usage and not has_credits:
            with suppress(NotFoundError):
                key = (ref.job_type, ref.job_id)
                row = fetch_billed_job(run.client, run.scope, JOBS, key)
                requests += 1
            if row is None or (row["credits"].null_count and ref.status == "COMPLETED"):
                lacking.append("without credits")
        if run.facets.content and ref.status == "COMPLETED" and not ref.has_output:
            try:
                output = self._read_output(ref, run.facets.content)
                requests += 1
            except NotFoundError:
                has_expired = True
            may_come = not has_expired or ref.day >= (run.now - RETENTION).date().isoformat()
            if output is None and may_come:
                lacking.append("without output")
        return Details(row, output, lacking, requests, has_expired)

    def _read_output(self, ref: JobRef, content: PageContent) -> pa.Table | None:
        client, scope = self._run.client, self._run.scope
        if ref.job_type == "parse_v2":
            pages = ParseOutputReader(client, content, **scope).read(ref.job_id)
            return None if pages.pages is None else replace(pages, job_id=ref.job_id).to_arrow()
        job, _ = read_extract_job(client, ref.job_id, scope)
        result = job.result()
        if result is None:
            return None
        return extractions.to_arrow(extractions.parse_extraction(ref.job_id, result))

    def _add_rows(self, day: str, rows: pa.Table | None) -> None:
        if rows is not None and len(rows):
            self._run.changes.add(JOBS, day, rows, rows["job_id"].combine_chunks())

    def _on_failure(self, refs: list[JobRef], what: str, error: BatchesError) -> bool:
        for ref in refs:
            self._mark(ref).has_failed = True
        return self._run.failed(what, error)

    def _mark(self, ref: JobRef, lack: str | None = None) -> Finding:
        """Note that a job is to be requested again, and what it lacks."""
        finding = self._run.settling.finding(ref.key, ref.batch_id, ref.day)
        finding.jobs = True
        if lack is not None:
            finding.lacks["job", lack] += 1
        return finding
