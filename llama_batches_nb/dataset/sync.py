"""Update a Parquet dataset from the API, fetching only what is new or has not ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Unpack

from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.manifest import DATASET_TABLES, Manifest, ProjectRef
from llama_batches_nb.dataset.refresh import BatchRefresh, FailedRequests, JobRefresh
from llama_batches_nb.dataset.storage import Storage, path_text
from llama_batches_nb.dataset.writer import ChunkWriter
from llama_batches_nb.fetch.filters import (
    BatchFilters,
    BatchQuery,
    check_filter_names,
    list_filters_in_signature,
    project_params,
)
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.tables.schema import JOBS
from llama_batches_nb.types import PathLike


@dataclass(frozen=True, repr=False)
class SyncReport:
    """The result of a sync; its repr is a short summary.

    Attributes
    ----------
    path : str
        The folder or URL.
    new : int
        Batches that the dataset did not have before.
    ended : int
        Batches that were open at the last sync and have ended since.
    open : int
        Batches that have not ended; the next sync fetches them again.
    gone : int
        Batches that were open or listed, but that the API does not know.
    unknown_jobs : int
        Jobs that results refer to, but that the API does not know.
    added, total : dict of str to int
        Rows added to each table, and rows of each table.
    requests : int
        Responses received; a retried request counts once.
    seconds : float
        Duration of the sync.
    complete : bool
        Whether the list of batches was as long as the server reported. If not, the next sync lists
        the same batches again.
    """

    path: str
    new: int
    ended: int
    open: int
    gone: int
    unknown_jobs: int
    added: dict[str, int]
    total: dict[str, int]
    requests: int
    seconds: float
    complete: bool

    def __repr__(self) -> str:
        counts = [
            f"{self.new:,} new batches",
            f"{self.ended:,} ended",
            f"{self.open:,} still open",
            *([f"{self.gone:,} not found"] if self.gone else []),
        ]
        lines = [
            f"Synced {self.path!r} in {self.seconds:.1f} s with {self.requests:,} requests.",
            f"  {', '.join(counts)}",
            *(f"  {n}: {self.total[n]:,} rows ({self.added[n]:+,})" for n in self.total),
        ]
        if self.unknown_jobs:
            lines.append(f"  {self.unknown_jobs:,} jobs not found")
        if not self.complete:
            lines.append("  The list of batches was incomplete; sync again.")
        return "\n".join(lines)


@list_filters_in_signature
def sync_dataset(
    path: PathLike,
    *,
    jobs: bool = False,
    progress: Progress = None,
    client: Client | None = None,
    **filters: Unpack[BatchFilters],
) -> SyncReport:
    """Update a Parquet dataset of batches, their results and, on request, their jobs.

    A batch that has ended is fetched only once. Each sync fetches the new batches, and fetches
    those again that had not ended. Filters only add: batches of earlier syncs are kept, whatever
    the filters of this one.

    Parameters
    ----------
    path
        A local folder, which is created if necessary, or a URL that fsspec supports.
    jobs
        Fetch the jobs that results refer to, including results of earlier syncs. Jobs that had
        not ended are fetched again; jobs that the API does not know are requested only once.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, page_size
        Filters, as in `fetch_batches`. A batch is kept if it has one of the statuses when it is
        fetched; a batch that has not ended is fetched again, as its status may still match.
    project_id, organization_id
        Overrides the client's project and organization. A dataset holds batches of one project.
    progress
        Show a progress bar. By default only in notebooks and terminals.
    client
        Client to use. Defaults to the one created by `connect`.

    Returns
    -------
    SyncReport
        Counts of batches, rows and requests.

    Raises
    ------
    DatasetLockedError
        If another sync is writing to the folder.
    DatasetError
        If the folder is not a dataset, is damaged, holds batches of another project, or was
        written by a newer version.
    BatchesError
        If a request fails. Everything fetched is kept: when only a few batches or jobs cannot be
        fetched, the sync completes without them before it raises, and the next sync fetches them.
    ValueError, TypeError
        If an argument is invalid; no request is sent.

    Warns
    -----
    UserWarning
        If the API no longer knows some batches, or the list is shorter than the server says.

    Notes
    -----
    The folder holds ``_manifest.json`` and ``{batches,results,jobs}/part-….parquet``, with one
    schema per table. Files are not partitioned by date or status: a file holds batches that were
    synced together, and its statistics let readers skip it. Small files are merged.

    The manifest lists the files of the dataset, and a sync commits by replacing it in one step: by
    a rename on a local disk, after the files were flushed to disk; by one PUT on an object store.
    `open_dataset` and `read_dataset` therefore return each row once at any time, even while a sync
    runs or after it was killed. Tools that read the files directly (``results/*.parquet``) do so
    too while no sync runs and the last one was not killed; the next sync deletes what a killed one
    left.

    On a local disk the lock is released when its process ends. On an object store the lock is a
    file that its owner renews; another sync may take over a lock that was not renewed for five
    minutes.

    New batches are found by creation time, starting one hour before the newest batch listed so
    far. A batch that appears with an earlier creation time is not found.

    A job that batches of different syncs refer to may have a row for each; `outcomes` and the
    other functions count it once.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("history", jobs=True)
    >>> again = lb.sync_dataset("history", jobs=True)
    >>> again.new
    0
    >>> files = lb.read_dataset("history").pipe(lb.outcomes, lb.read_dataset("history", "jobs"))
    >>> files.shape[1]
    12
    """
    if not isinstance(jobs, bool):
        raise TypeError(f"jobs must be True or False, not {jobs!r}.")
    check_filter_names("sync_dataset", filters)
    query = BatchQuery.from_filters(**filters)
    storage = Storage(path_text(path, to_write=True))
    client = get_client(client)
    scope = project_params(filters.get("project_id"), filters.get("organization_id"))
    origin = ProjectRef(client.base_url, *(scope[n] or getattr(client.settings, n) for n in scope))
    started = time.monotonic()
    Manifest.read(storage)  # raises before a lock file is written to a folder of something else
    with acquire_lock(storage) as verify_lock:
        existing = Manifest.read(storage)
        manifest = existing or Manifest(origin=origin)
        manifest.check_origin(storage, origin)
        manifest.jobs = manifest.jobs or jobs
        before = _row_counts(manifest)
        writer = ChunkWriter(storage, manifest, verify_lock)
        if existing is None:
            writer.commit()
        writer.vacuum()
        failed = FailedRequests()
        batch_refresh = BatchRefresh(client, query, scope, writer, failed)
        batch_refresh.run(progress)
        job_refresh = JobRefresh(
            client, scope, writer, failed, earlier_requests=batch_refresh.requests
        )
        if jobs:
            job_refresh.run(progress)
        writer.compact()
        writer.vacuum()
        failed.raise_first()
    total = _row_counts(manifest)
    return SyncReport(
        path=storage.name,
        new=batch_refresh.new,
        ended=batch_refresh.ended,
        open=len(manifest.open),
        gone=len(batch_refresh.gone),
        unknown_jobs=job_refresh.unknown,
        added={name: n - before.get(name, 0) for name, n in total.items()},
        total=total,
        requests=job_refresh.requests,
        seconds=time.monotonic() - started,
        complete=not batch_refresh.truncated,
    )


def _row_counts(manifest: Manifest) -> dict[str, int]:
    tables = [table.name for table in DATASET_TABLES if table is not JOBS or manifest.jobs]
    return {name: manifest.rows(name) for name in tables}
