"""Wait until the jobs of batches have ended, which may be later than the batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile

import pandas as pd

from llama_batches_nb.errors import NotFoundError, attach_partial
from llama_batches_nb.fetch import listing
from llama_batches_nb.fetch.filters import project_params
from llama_batches_nb.fetch.jobs import JobIdChunk, iter_jobs, split_job_ids
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.endpoints import JobRecord
from llama_batches_nb.http.progress import Progress, progress_bar
from llama_batches_nb.lifecycle.polling import (
    MAX_OVERRUN,
    Poller,
    check_statuses,
    count_statuses,
)
from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.tables import arguments, engines, records
from llama_batches_nb.tables.schema import JOBS, RESULTS
from llama_batches_nb.tables.statuses import JOB_STATUSES, TERMINAL_STATUSES
from llama_batches_nb.types import BatchIds, Record

MAX_REFERENCE_WAIT = 600.0  # seconds to ask an ended batch for missing job references
MAX_REFERENCE_AGE = timedelta(hours=1)  # of an ended batch; an older one is fetched only once

_OF_RESULTS = {"job_id", "source_directory_file_id", "error_message"}  # not in frames of batches
_RESULT_COLUMNS = ("batch_id", "batch_status", "job_type", "job_id", "error_message")


def wait_for_jobs(
    results: BatchIds,
    *,
    timeout: float | timedelta | None = None,
    poll_interval: float | timedelta | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Wait until all jobs of results or of batches have ended; one row is one job.

    A ``COMPLETED`` batch has mapped each file to a job; the jobs may still run, and may fail.
    Results that have neither a job nor an error message, or that a ``COMPLETED`` batch does not
    have yet, are fetched again from their batch, for up to ten minutes. Failed polls are tolerated
    for up to five minutes. An interrupt or a timeout ends the wait, not the jobs.

    Parameters
    ----------
    results
        The frame of `fetch_results`, or any frame with the columns ``job_id`` and ``job_type``.
        Missing jobs are looked up if it also has ``batch_id`` and ``error_message``. Or batches: a
        batch id, several, or a frame such as from `create_batch`; then the batches are waited for
        too, and also results that appear after a batch has ended.
    timeout
        Maximum time to wait, in seconds. By default there is no limit.
    poll_interval
        Time between two polls, in seconds. Defaults to a tenth of the time waited so far, between
        0.5 and 30 seconds.
    project_id, organization_id
        Overrides the client's project and organization.
    progress
        Show a progress bar with the ended jobs and a count per status. By default only in
        notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    pandas.DataFrame
        Ordered by the results; jobs that appeared late are last. It has the columns of
        `fetch_jobs`. Credits are usually missing:
        ``fetch_jobs(results, usage=True)`` asks for them.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; no request is sent.
    WaitTimeoutError
        If some jobs have not ended before the timeout. Its ``.partial``, like that of any other
        error and of a `KeyboardInterrupt`, holds the jobs as last polled.

    Warns
    -----
    UserWarning
        If the API does not know some jobs or batches (they have expired, or belong to another
        project), if job references have appeared since the results were fetched, or if some never
        did.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> batch = lb.create_batch(directory, "cfg-PARSE_AGENTIC").pipe(lb.wait_for_batches)
    >>> jobs = lb.wait_for_jobs(batch)
    >>> set(jobs.status) <= {"COMPLETED", "FAILED", "CANCELLED"}
    True
    """
    frame, are_batches = _select_results(results)
    timeout = arguments.parse_seconds("timeout", timeout)
    poll_interval = arguments.parse_seconds("poll_interval", poll_interval, positive=True)
    poller = JobPoller(get_client(client), frame, project_params(project_id, organization_id))
    with (
        progress_bar(progress, "waiting", unit="job", total=len(poller.ids())) as bar,
        attach_partial(poller.frame),
    ):
        poller.wait(timeout, poll_interval, bar)
    if not are_batches:
        poller.warn_late()
    poller.warn_missing()
    return poller.frame()


def _select_results(results: BatchIds) -> tuple[pd.DataFrame, bool]:
    """Return the columns of results that are needed, and whether batches were given instead."""
    frame = engines.try_wrap(results)
    existing = [] if frame is None else engines.column_names(frame)
    if frame is None or ("batch_id" in existing and _OF_RESULTS.isdisjoint(existing)):
        return results_to_come(arguments.parse_ids("batch_id", results)), True
    engines.check_columns(frame, "job_id", "job_type")
    names = [name for name in _RESULT_COLUMNS if name in existing]
    return engines.select_to_pandas(frame, *names), False


def results_to_come(batch_ids: list[str]) -> pd.DataFrame:
    """Return a result without a job for each batch, so that `JobPoller` asks for its results."""
    row = {"batch_status": "COMPLETED", "job_type": None, "job_id": None, "error_message": None}
    rows = [{"batch_id": batch_id, **row} for batch_id in batch_ids]
    return pd.DataFrame(rows, columns=[*_RESULT_COLUMNS], dtype=object)


class JobPoller(Poller):
    """Poll the jobs of results, and ask batches again for results that have no job yet.

    Attributes
    ----------
    refetched
        Results of the batches that were fetched again, by batch id.
    """

    noun = "job"
    timeout_advice = "They keep running and may be billed: wait again."

    def __init__(
        self,
        client: Client,
        results: pd.DataFrame,
        scope: Record,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = workers.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(client, scope, clock=clock, sleep=sleep)
        self._now = now
        self._types: dict[str, str] = {}
        self._records: dict[str, JobRecord | None] = {}
        self._gone: list[str] = []
        self.refetched: dict[str, pd.DataFrame] = {}
        ended_at: dict[str, float | None] = dict.fromkeys(_batches_without_jobs(results))
        self._incomplete = ended_at  # batches to fetch again, and when each was seen to have ended
        self._unknown_batches: list[str] = []
        self._without_results: list[str] = []
        self._n_late = self._n_never = 0
        self._add_references(results)

    def frame(self) -> pd.DataFrame:
        """Return the jobs as last polled, without those that were never listed."""
        found = [(job, self._types[i]) for i, job in self._records.items() if job is not None]
        return records.to_pandas(JOBS, [{**job, "job_type": kind} for job, kind in found])

    def ids(self) -> list[str]:
        """Return the jobs, and the batches whose results are fetched again."""
        return [*self._records, *self._incomplete]

    def open_ids(self) -> list[str]:
        """Return the jobs that are not known to have ended, and the batches still incomplete."""
        gone = set(self._gone)
        jobs = [
            job_id
            for job_id, job in self._records.items()
            if job_id not in gone
            and (job is None or str(job.get("status")) not in TERMINAL_STATUSES)
        ]
        return [*jobs, *self._incomplete]

    def statuses(self) -> Counter[str]:
        """Count the statuses, as last polled."""
        return count_statuses(self._records.values(), JOB_STATUSES)

    def poll(self, *, deadline: float) -> None:
        """Ask for missing job references, then for the jobs that have not ended."""
        self._ask_batches(deadline)
        open_ids = [job_id for job_id in self.open_ids() if job_id in self._records]
        chunks = split_job_ids(
            pd.DataFrame({"job_id": open_ids, "job_type": [self._types[i] for i in open_ids]})
        )
        listed = partial(self._list_chunk, deadline=deadline)
        for group in iter_completed(listed, chunks, client=self._client, progress=self._bar):
            for _, (_, job_ids), jobs in group:
                self._update(job_ids, jobs)

    def warn_late(self) -> None:
        """Warn of references that have appeared since the results were fetched."""
        if self._n_late:
            warn(
                f"{format_count(self._n_late, 'file')} got a job after these results were fetched. "
                "Fetch the results again before you combine them with the jobs."
            )

    def warn_missing(self) -> None:
        """Warn of jobs and batches that are unknown, and of results that never appeared."""
        if self._gone:
            warn(
                f"The API does not know {len(self._gone):,} of "
                f"{format_count(len(self._records), 'job')}: "
                f"{format_list(self._gone)}. They have expired or belong to another project."
            )
        if self._unknown_batches:
            warn(
                f"The API does not know {format_count(len(self._unknown_batches), 'batch')}: "
                f"{format_list(self._unknown_batches)}. Check the ids, and that they belong to the "
                "key's project."
            )
        if self._without_results:
            warn(f"COMPLETED batches without results: {format_list(self._without_results)}.")
        if self._n_never:
            n = self._n_never
            warn(
                f"{format_count(n, 'file')} {agree(n, 'has')} neither a job nor an error message, "
                "although the batch has ended. The outcome is 'no_job'."
            )

    def _list_chunk(self, chunk: JobIdChunk, *, deadline: float) -> dict[str, JobRecord]:
        if self._clock() >= deadline + MAX_OVERRUN:
            return {}
        timeout = self._request_timeout(deadline)
        try:
            jobs = list(iter_jobs(self._client, self._scope, chunk, timeout=timeout))
        except NotFoundError:
            return {}
        by_id = {listing.record_id(JOBS, job): job for job in jobs}
        check_statuses(JOBS, by_id.values())
        return by_id

    def _update(self, requested: list[str], jobs: dict[str, JobRecord]) -> None:
        """Keep jobs as polled; give up those that stay missing from the list."""
        for job_id in requested:
            if job_id in jobs:
                self._records[job_id] = jobs[job_id]
                self._missing_since.pop(job_id, None)
            elif self._is_gone(job_id, seen=self._records[job_id] is not None):
                self._gone.append(job_id)

    def _ask_batches(self, deadline: float) -> None:
        """Fetch the results of incomplete batches, and stop asking where no more jobs follow."""
        fetch = partial(self._fetch_batch, deadline=deadline)
        batch_ids = list(self._incomplete)
        answers: dict[str, tuple[Record, pd.DataFrame] | None] = {}
        in_time = takewhile(lambda _: self._clock() < deadline + MAX_OVERRUN, batch_ids)
        for group in iter_completed(fetch, in_time, client=self._client, progress=self._bar):
            answers |= {batch_id: answer for _, batch_id, answer in group}
        for batch_id in filter(answers.__contains__, batch_ids):
            if (answer := answers[batch_id]) is not None:
                self._read_batch(batch_id, *answer)
            elif self._is_gone(batch_id, seen=batch_id in self.refetched):
                del self._incomplete[batch_id]
                self._unknown_batches.append(batch_id)

    def _fetch_batch(self, batch_id: str, *, deadline: float) -> tuple[Record, pd.DataFrame] | None:
        """Return a batch and its results, or None if the API does not know it."""
        decode = partial(records.validate_batch_json, batch_id)
        timeout = self._request_timeout(deadline)
        try:
            body = endpoints.get_batch_with_results(
                self._client, batch_id, decode, timeout=timeout, **self._scope
            )
        except NotFoundError:
            return None
        batches, (rows,) = records.parse_batches_with_results([body])
        return batches.to_pylist()[0], records.concat_to_pandas(RESULTS, [rows])

    def _read_batch(self, batch_id: str, batch: Record, results: pd.DataFrame) -> None:
        """Add the jobs of a batch, and stop asking it if it can give no more."""
        self._missing_since.pop(batch_id, None)
        self.refetched[batch_id] = results
        self._n_late += self._add_references(results[results["job_type"].isin(endpoints.JOBS)])
        if not self._may_follow(batch_id, batch, results):
            del self._incomplete[batch_id]

    def _may_follow(self, batch_id: str, batch: Record, results: pd.DataFrame) -> bool:
        """Return whether a batch may still give jobs; count the files that never got one."""
        if batch["status"] not in TERMINAL_STATUSES:
            return True
        ended_at = self._incomplete[batch_id] = self._incomplete[batch_id] or self._clock()
        n_missing = int(_is_without_job(results).sum())
        if batch["status"] != "COMPLETED" or (len(results) and not n_missing):
            return False
        is_old = (batch["updated_at"] or self._now()) < self._now() - MAX_REFERENCE_AGE
        may_follow = not is_old and self._clock() < ended_at + MAX_REFERENCE_WAIT
        if not may_follow:
            self._n_never += n_missing
            self._without_results += [] if len(results) else [batch_id]
        return may_follow

    def _add_references(self, results: pd.DataFrame) -> int:
        """Add the jobs of results, and return how many were not known."""
        before = len(self._records)
        for job_type, ids in split_job_ids(results[["job_id", "job_type"]]):
            self._types |= dict.fromkeys(ids, job_type)
        for job_id in results["job_id"].dropna():
            if job_id in self._types:
                self._records.setdefault(job_id, None)
        return len(self._records) - before


def _batches_without_jobs(results: pd.DataFrame) -> list[str]:
    """Return the batches that may still give jobs for some of their files."""
    if not {"batch_id", "error_message"} <= set(results):
        return []
    may_follow = _is_without_job(results)
    if "batch_status" in results:
        status = results["batch_status"].astype(object)
        is_open = status.notna() & ~status.isin(list(TERMINAL_STATUSES))
        may_follow = is_open | (may_follow & (status == "COMPLETED"))
    return arguments.parse_ids("batch_id", results["batch_id"][may_follow].dropna().tolist())


def _is_without_job(results: pd.DataFrame) -> pd.Series[bool]:
    message = results["error_message"]
    return results["job_id"].isna() & (message.isna() | (message == ""))
