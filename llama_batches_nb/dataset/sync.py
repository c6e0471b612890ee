"""Update a Parquet dataset from the API, fetching only what is new or has not ended."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Unpack, get_args

from llama_batches_nb.dataset.atomic import explain_full_disk
from llama_batches_nb.dataset.name_refresh import refresh_names
from llama_batches_nb.dataset.refresh import Refresh
from llama_batches_nb.dataset.run import Facets, SyncRun
from llama_batches_nb.dataset.state import (
    DATASET_TABLES,
    DamagedStateError,
    State,
    check_folder,
    is_temporary,
    parse_name,
    save,
)
from llama_batches_nb.dataset.storage import Storage, path_text
from llama_batches_nb.dataset.stored_files import StoredFiles
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.fetch.filters import (
    BatchFilters,
    BatchQuery,
    check_filter_names,
    list_filters_in_signature,
    project_params,
)
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.messages import warn
from llama_batches_nb.tables.arguments import parse_bool, parse_choice
from llama_batches_nb.tables.schema import EXTRACTIONS, JOBS, PAGES
from llama_batches_nb.types import PageContent, PathLike

MAX_TEMPORARY_AGE = timedelta(days=1)  # older temporary files were left by killed syncs


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
        Batches that were open or listed, but that the API does not know. Their rows stay.
    unknown_jobs : int
        Jobs that results refer to, but that the API does not know.
    added, total : dict of str to int
        Rows added to each table, and rows of each table.
    requests : int
        Responses received; a retried request counts once.
    seconds : float
        Duration of the sync.
    complete : bool
        Whether the list of batches was as long as the server reported, and no other sync has
        replaced the same files meanwhile. If not, the next sync fetches again what is missing.
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
            lines.append("  The list was too short, or another sync was running; sync again.")
        return "\n".join(lines)


@list_filters_in_signature
def sync_dataset(
    path: PathLike,
    *,
    jobs: bool = False,
    usage: bool = False,
    outputs: PageContent | None = None,
    names: bool = True,
    progress: Progress = None,
    client: Client | None = None,
    **filters: Unpack[BatchFilters],
) -> SyncReport:
    """Update a Parquet dataset of batches, their results and, on request, their jobs.

    Each sync fetches the new batches, and fetches those again that had not ended. Results, job
    references, jobs, credits and outputs that are missing when a batch has ended are requested
    again, until 24 hours after the sync that first saw that it had ended. Filters only add: batches
    of earlier syncs are kept, whatever the filters of this one.

    Parameters
    ----------
    path
        A local folder, which is created if necessary, or a URL that fsspec supports.
    jobs
        Fetch the jobs that results refer to, including results of earlier syncs. Jobs that had
        not ended are fetched again.
    usage
        Also ask each ended job for its credits, with one request per job. Implies `jobs`.
    outputs
        ``"markdown"``, ``"text"`` or ``"items"``: keep the pages of completed parse jobs in the
        table ``pages``, and the data of extract jobs in ``extractions``. Implies `jobs`. The
        service deletes outputs after 48 hours, so sync at least daily.
    names
        Keep the tables ``files``, ``directories`` and ``configurations``. They are listed when a
        new batch refers to them.
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
    DatasetError
        If the folder is not a dataset, has the format of an older or a newer version, or holds
        batches of another project or pages of another kind. Nothing is changed.
    OSError
        If a file cannot be written, for example because the disk is full. Completed days are kept.
    NotFoundError
        If no batch is found because the directory of the filter does not exist.
    BatchesError
        If a request fails. Everything fetched is kept: when only a few batches or jobs cannot be
        fetched, the sync completes without them before it raises, and the next sync fetches them.
    ValueError, TypeError
        If an argument is invalid; no request is sent.

    Warns
    -----
    UserWarning
        If something is given up after 24 hours, outputs have expired, a file was damaged, names
        cannot be listed, or the list of batches is shorter than the server says.

    Notes
    -----
    The folder holds ``results/created=2026-11-27/data.parquet`` and likewise ``batches``, ``jobs``,
    ``pages`` and ``extractions``: one file per table and day on which the batches were created
    (UTC). ``files``, ``directories`` and ``configurations`` are one file each. Any tool can read
    ``results/**/*.parquet`` at any time and finds each row once, also while a sync runs or after it
    was killed.

    A sync replaces the files of the days that it changes, each in one step. ``_sync.json`` records
    the files, and what to request again. A day with a file that is not as recorded, because
    it is damaged, or was replaced by another sync or by an older copy, is fetched again, and all
    batches are listed again, by the next sync of each filter; rows stay unless the API answers
    about their batch. Several syncs may therefore run at once.

    New batches are found by creation time, starting one hour before the newest batch listed so
    far. A batch that appears with an earlier creation time is not found.

    A job that batches of different days refer to has a row for each; `outcomes` and the other
    functions count it once.

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
    if outputs is not None:
        parse_choice("outputs", outputs, get_args(PageContent))
    facets = Facets(parse_bool("jobs", jobs), parse_bool("usage", usage), outputs)
    names = parse_bool("names", names)
    check_filter_names("sync_dataset", filters)
    query = BatchQuery.from_filters(**filters)
    storage = Storage(path_text(path, to_write=True))
    client = get_client(client)
    scope = project_params(filters.get("project_id"), filters.get("organization_id"))
    started, now = time.monotonic(), utc_now()
    existing = storage.names()
    check_folder(storage, existing)
    with (
        explain_full_disk(
            storage.local or tempfile.gettempdir(),
            "Completed days are kept. Free some space, then sync again",
        ),
        tempfile.TemporaryDirectory(prefix="llama_batches_nb-") as folder,
    ):
        state = _read_state(storage, existing)
        _check_content(storage, state, facets, existing)
        _remove_old_temporary_files(storage, existing, now)
        stored = StoredFiles(storage, state, existing)
        before = _row_counts(state)
        run = SyncRun(
            client, query, scope, facets, storage, state, stored, Path(folder), now, progress
        )
        work = Refresh(run).run()
        if names:
            refresh_names(run, work)
            save(storage, state)
    run.failed.raise_first()
    total = _row_counts(state)
    return SyncReport(
        path=storage.name,
        new=run.new,
        ended=run.ended,
        open=sum(entry.open for entry in state.pending),
        gone=run.gone,
        unknown_jobs=run.unknown_jobs,
        added={name: n - before.get(name, 0) for name, n in total.items()},
        total=total,
        requests=run.requests,
        seconds=time.monotonic() - started,
        complete=not (run.truncated or stored.overtaken),
    )


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def _read_state(storage: Storage, existing: list[str]) -> State:
    """Return the record of the last sync, a new one if there is none or it is damaged."""
    try:
        state = State.read(storage)
    except DamagedStateError as error:
        warn(str(error))
        return State()
    if state is None:
        state = State()
        if not any(map(parse_name, existing)):
            save(storage, state)
    return state


def _check_content(storage: Storage, state: State, facets: Facets, existing: list[str]) -> None:
    """Record which tables are kept; raise `DatasetError` for another content of pages."""
    if facets.content and state.content not in (None, facets.content):
        raise DatasetError(
            f"{storage.name!r} holds pages as {state.content!r}, not {facets.content!r}. Pass "
            f"outputs={state.content!r}, or sync to another folder."
        )
    state.content = facets.content or state.content
    wanted = [parsed[0] for parsed in map(parse_name, existing) if parsed]
    wanted += [JOBS.name] if facets.names else []
    wanted += [PAGES.name, EXTRACTIONS.name] if facets.content else []
    state.tables = [name for name in DATASET_TABLES if name in {*state.tables, *wanted}]


def _remove_old_temporary_files(storage: Storage, existing: list[str], now: datetime) -> None:
    """Delete what killed syncs left; a file of a sync that runs is younger."""
    if storage.local is None:
        return
    for name in filter(is_temporary, existing):
        with suppress(OSError):
            path = storage.local / name
            if path.stat().st_mtime < (now - MAX_TEMPORARY_AGE).timestamp():
                path.unlink()


def _row_counts(state: State) -> dict[str, int]:
    counts = dict.fromkeys(state.tables, 0)
    for name, version in state.files.items():
        table = name.partition("/")[0]
        counts[table] = counts.get(table, 0) + version.rows
    return counts
