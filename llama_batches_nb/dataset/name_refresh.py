"""Keep the names that ids stand for: of files, directories and configurations."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset.plan import DayWork
from llama_batches_nb.dataset.run import SyncRun
from llama_batches_nb.dataset.state import DATASET_TABLES, NAME_TABLES, file_name
from llama_batches_nb.dataset.stored_files import batch_keys
from llama_batches_nb.errors import AuthenticationError, BatchesError, NotFoundError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.pagination import Page
from llama_batches_nb.http.progress import progress_bar
from llama_batches_nb.messages import warn
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import (
    BATCHES,
    CONFIGURATIONS,
    DIRECTORIES,
    FILES,
    RESULTS,
    Table,
)

DIRECTORY, FILE = "source_directory_id", "source_directory_file_id"


def refresh_names(run: SyncRun, work: dict[str, DayWork]) -> None:
    """List the names that the fetched batches refer to; names of what was deleted stay.

    The first time, and when a file of names is not as recorded, those of all batches are listed.
    A failure leaves names out, with a warning.
    """
    batches_of: dict[str, set[str] | None] = {
        day: set(asked.fetch) for day, asked in work.items() if asked.fetch
    }
    is_first = not {table.name for table in NAME_TABLES} <= set(run.state.tables)
    if is_first or None in run.stored.outdated:
        batches_of = dict.fromkeys(run.state.days_of(BATCHES))
    if not batches_of:
        return
    try:
        _refresh_names(run, batches_of)
    except BatchesError as error:
        if isinstance(error, AuthenticationError) and error.status_code == 401:
            raise
        warn(
            f"The names of files, directories and configurations could not be listed: {error} Pass "
            "names=False to do without."
        )
    finally:
        run.changes.discard()


def _refresh_names(run: SyncRun, batches_of: dict[str, set[str] | None]) -> None:
    client, scope = run.client, run.scope

    def fetch(directory: str) -> list[Page[Any]]:
        pages = endpoints.list_directory_files(client, directory, include_deleted="true", **scope)
        return list(pages)

    def on_error(_: str, error: BatchesError) -> bool:
        return isinstance(error, NotFoundError)  # deleted with its files

    for table in NAME_TABLES:
        run.changes.rewrite(table, None)
    with progress_bar(run.progress, "names", unit="directory") as bar:
        _add(run, DIRECTORIES, endpoints.list_directories(client, include_deleted="true", **scope))
        _add(run, CONFIGURATIONS, endpoints.list_configurations(client, **scope))
        directories = _directories(run, batches_of)
        bar.set_total(len(directories))
        completed = iter_completed(
            fetch, directories, client=client, progress=bar, on_error=on_error
        )
        with closing(completed):
            for group in completed:
                for _, _, pages in group:
                    _add(run, FILES, pages)
                    bar.advance()
    if run.changes.commit([None]):
        tables = {*run.state.tables, *(table.name for table in NAME_TABLES)}
        run.state.tables = [name for name in DATASET_TABLES if name in tables]


def _add(run: SyncRun, table: Table, pages: Iterable[Page[Any]]) -> None:
    rows = records.to_arrow(table, list(listing.iter_records(table, run.counted(pages))))
    run.changes.add(table, None, rows, rows[table.key].combine_chunks())


def _directories(run: SyncRun, batches_of: dict[str, set[str] | None]) -> list[str]:
    """Return the directories of some batches that have a file of unknown name."""
    names = run.stored.rows(file_name(FILES.name, None), [FILE])
    known = pa.concat_arrays([pa.nulls(1, pa.string()), *(rows[FILE].unique() for rows in names)])
    found: dict[str, None] = {}
    for day, keys in batches_of.items():
        for rows in run.stored.rows(file_name(RESULTS.name, day), ["batch_id", DIRECTORY, FILE]):
            rows = rows.filter(pc.invert(pc.is_in(rows[FILE], value_set=known)))
            if keys is not None:
                is_wanted = pc.is_in(batch_keys(rows["batch_id"]), value_set=pa.array(list(keys)))
                rows = rows.filter(is_wanted)
            found |= dict.fromkeys(rows[DIRECTORY].drop_null().unique().to_pylist())
    return list(found)
