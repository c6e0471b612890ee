"""Keep a folder of Parquet up to date with the API, asking only for what is new or still runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Unpack

from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.manifest import Manifest, ProjectRef
from llama_batches_nb.dataset.refresh import SyncRun
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.writer import DatasetWriter
from llama_batches_nb.fetch.filters import (
    BatchFilters,
    BatchQuery,
    check_filter_names,
    list_filters_in_signature,
    project_params,
)
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.types import PathLike


@dataclass(frozen=True, repr=False)
class SyncReport:
    """What a sync did; shown, it says so in a few lines.

    Attributes
    ----------
    path : str
        The folder or URL.
    new : int
        Batches that the dataset did not have before.
    ended : int
        Batches that were open at the last sync and have ended since.
    open : int
        Batches that go on and will be asked for again.
    gone : int
        Batches that were listed, or open, and that the API does not know any more.
    unknown_jobs : int
        Jobs that results refer to and that the API does not know.
    added, total : dict of str to int
        Rows by table: how many more than before, and how many there are.
    requests : int
        Answers that it took; a request that was sent again counts once.
    seconds : float
        How long it took.
    complete : bool
        Whether the list of batches was as long as the server said. If not, the next sync walks
        it again.
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
            f"{self.new:,} batches new",
            f"{self.ended:,} ended since",
            f"{self.open:,} still open",
            *([f"{self.gone:,} gone"] if self.gone else []),
        ]
        lines = [
            f"Synced {self.path!r} in {self.seconds:.1f} s with {self.requests:,} requests.",
            f"  {', '.join(counts)}",
            *(f"  {n}: {self.total[n]:,} rows ({self.added[n]:+,})" for n in self.total),
        ]
        if self.unknown_jobs:
            lines.append(f"  {self.unknown_jobs:,} jobs are not known to the API")
        if not self.complete:
            lines.append("  The list of batches was cut short: sync again.")
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
    """Bring a folder of plain Parquet up to date: batches, their results, and jobs if asked for.

    A batch that has ended is fetched once, ever. A sync asks for what is new, and again for what
    had not ended. Filters add up: what an earlier sync kept stays, whatever this one asks for.

    Parameters
    ----------
    path
        A folder of this machine, which is made if need be, or a URL that fsspec knows.
    jobs
        Whether to fetch the jobs that results refer to, also those of earlier syncs. Jobs that had
        not ended are asked for again; those that the API does not know are asked for once.
    status, source_directory_id, created_at_on_or_after, created_at_on_or_before, page_size
        Filters as of `fetch_batches`. A batch is kept if it has one of the statuses when it is
        asked for; one that may still come to have it is asked for again.
    project_id, organization_id
        Instead of those of the client. One dataset holds batches of one project.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    SyncReport
        What was done.

    Raises
    ------
    DatasetLockedError
        If another sync writes to the folder.
    DatasetError
        If the folder holds something else, batches of another project, or what a newer version
        wrote; or if it is damaged.
    BatchesError
        If something can't be had. What came before it is kept; a few batches or jobs that can't be
        had do not keep out the others, and the next sync asks for them again.
    ValueError, TypeError
        If an argument makes no sense; nothing was asked then.

    Warns
    -----
    UserWarning
        If batches are gone, or the list is shorter than the server says.

    Notes
    -----
    The folder holds ``_manifest.json`` and ``{batches,results,jobs}/part-….parquet``, with one
    schema per table. There are no sub-folders by date or status: batches of a time arrive together,
    and each file's statistics say what it can't hold. Small files are merged.

    The manifest names the files that count, and replacing it is the one step in which a sync
    commits: a rename on a local disk, after the files were brought to it; one PUT on an object
    store, which shows an object whole or not at all. So `open_dataset` and `read_dataset` see each
    row once at any time, also while a sync runs or after it was killed. A reader that takes the
    files as they lie (``results/*.parquet``) does so whenever no sync runs and the last one was not
    killed; the next removes what that left.

    On a local disk the lock ends with its process. On an object store it is a file that its
    holder renews; a few minutes after the last time, another sync takes it over.

    New batches are found by time of creation, from an hour before the newest of those listed
    before. A batch that appears with a time of creation further back is not found.

    A job that batches of different syncs refer to may have a row for each; `outcomes` and the like
    take it once.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> report = lb.sync_dataset("kept", jobs=True)
    >>> again = lb.sync_dataset("kept", jobs=True)
    >>> again.new
    0
    >>> lb.read_dataset("kept").pipe(lb.outcomes, lb.read_dataset("kept", "jobs")).shape[1]
    12
    """
    if not isinstance(jobs, bool):
        raise TypeError(f"jobs must be True or False, not {jobs!r}.")
    check_filter_names("sync_dataset", filters)
    selection = BatchQuery.from_filters(**filters)
    storage = Storage(path)
    client = get_client(client)
    scope = project_params(filters.get("project_id"), filters.get("organization_id"))
    origin = ProjectRef(client.base_url, *(scope[n] or getattr(client.settings, n) for n in scope))
    started = time.monotonic()
    Manifest.read(storage)  # a place that is not ours gets no lock either
    with acquire_lock(storage) as check:
        found = Manifest.read(storage)
        is_new, manifest = found is None, found or Manifest(origin=origin)
        manifest.check_origin(storage, origin)
        manifest.jobs = manifest.jobs or jobs
        before = _row_counts(manifest)
        kept = DatasetWriter(storage, manifest, check)
        if is_new:
            kept.commit()
        kept.vacuum()
        done = SyncRun(client, scope, kept, progress)
        done.batches(selection)
        if jobs:
            done.jobs()
        kept.compact()
        kept.vacuum()
        done.raise_failed()
    total = _row_counts(manifest)
    return SyncReport(
        path=storage.name,
        new=done.new,
        ended=done.ended,
        open=len(manifest.open),
        gone=len(done.gone),
        unknown_jobs=done.unknown_jobs,
        added={name: n - before.get(name, 0) for name, n in total.items()},
        total=total,
        requests=done.requests,
        seconds=time.monotonic() - started,
        complete=not done.short,
    )


def _row_counts(manifest: Manifest) -> dict[str, int]:
    names = ["batches", "results", *(["jobs"] if manifest.jobs else [])]
    return {name: manifest.rows(name) for name in names}
