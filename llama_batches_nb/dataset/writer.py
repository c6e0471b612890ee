"""Buffer synced batches and commit them to the dataset in chunks.

Every commit replaces whole chunks, so each batch is in exactly one chunk at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset import part_files
from llama_batches_nb.dataset.manifest import (
    CLOCK_SKEW,
    DATASET_TABLES,
    EPOCH,
    Chunk,
    Manifest,
    PartFile,
)
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

CHUNK_ROWS = 65_536  # results in a full chunk; bounds the memory of a sync
CHUNK_BATCHES = 8_192  # batches in a full chunk
MIN_CHUNK_ROWS = CHUNK_ROWS // 2  # results; a chunk with fewer is small
MAX_SMALL_CHUNKS = 8  # chunks; more are merged


class PendingBatches:
    """Fetched batches that the next commit writes.

    `stale_ids` are the batches whose stored rows that commit removes.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.stale_ids: set[str] = set()
        self._manifest = manifest
        self._rows: dict[bool, list[tuple[int, pa.Table, pa.Table]]] = {True: [], False: []}
        self._n_results = 0

    def add(self, position: int, batch: pa.Table, results: pa.Table) -> tuple[bool, bool]:
        """Buffer a batch if its status is wanted; return whether it is kept and has ended.

        `position` orders the batches of a chunk.
        """
        (batch_id,), (status,) = (batch[name].to_pylist() for name in ("batch_id", "status"))
        statuses, has_ended = self._manifest.open.get(batch_id), status in TERMINAL_STATUSES
        is_kept = statuses is None or status in statuses
        if is_kept:
            self._rows[has_ended].append((position, batch, results))
            self._n_results += len(results)
        self.stale_ids.add(batch_id)
        if has_ended:
            self._manifest.open.pop(batch_id, None)
        return is_kept, has_ended

    def remove(self, batch_id: str) -> None:
        """Remove a batch from the dataset with the next commit."""
        self._manifest.open.pop(batch_id, None)
        self.stale_ids.add(batch_id)

    def ids(self) -> set[str]:
        """Return the ids of the buffered batches."""
        batches = (batch for rows in self._rows.values() for _, batch, _ in rows)
        return {batch_id for batch in batches for batch_id in batch["batch_id"].to_pylist()}

    def is_full(self) -> bool:
        """Return whether the buffer has enough rows for a chunk."""
        n_batches = sum(map(len, self._rows.values()))
        return self._n_results >= CHUNK_ROWS or n_batches >= CHUNK_BATCHES

    def tables(self, *, ended: bool) -> dict[str, pa.Table]:
        """Return the batches that have ended, or the others, and their results, by position."""
        rows = sorted(self._rows[ended], key=lambda item: item[0])
        return {
            BATCHES.name: concat_arrow(BATCHES, [batch for _, batch, _ in rows]),
            RESULTS.name: concat_arrow(RESULTS, [results for _, _, results in rows]),
        }

    def clear(self) -> None:
        """Empty the buffer after a commit."""
        self.stale_ids.clear()
        self._rows = {True: [], False: []}
        self._n_results = 0


class ChunkWriter:
    """Write chunks and commit the manifest; `verify_lock` raises if the lock was lost."""

    def __init__(
        self, storage: Storage, manifest: Manifest, verify_lock: Callable[[], None]
    ) -> None:
        self.storage, self.manifest, self._verify_lock = storage, manifest, verify_lock
        self._open_ids: dict[PartFile, list[str]] = {}  # cache: a part file never changes

    def stored_open_ids(self) -> list[str]:
        """Return the stored batches that had not ended."""
        return [batch_id for chunk in self._open_chunks() for batch_id in self._ids_of(chunk)]

    def stored_ids(self, since: datetime | None) -> set[str]:
        """Return the stored batches that were open, or were created `since` or at no known time."""
        ended = [chunk for chunk in self.manifest.chunks if chunk.ended]
        return {*self._read_ids(ended, since), *self.stored_open_ids()}

    def write(self, pending: PendingBatches) -> None:
        """Commit the buffered batches and empty the buffer."""
        stale = pa.chunked_array([list(pending.stale_ids)], pa.string())
        outdated = [
            chunk
            for chunk in self._open_chunks()
            if not pending.stale_ids.isdisjoint(self._ids_of(chunk))
        ]
        old = {table.name: self._read(table, outdated) for table in DATASET_TABLES}
        ended, still_open = pending.tables(ended=True), pending.tables(ended=False)
        for name, rows in still_open.items():
            unchanged = old[name].filter(pc.invert(_is_in(old[name]["batch_id"], stale)))
            still_open[name] = pa.concat_tables([rows, unchanged])
        added = [
            self._write_chunk(tables, old[JOBS.name], ended=is_ended)
            for tables, is_ended in ((ended, True), (still_open, False))
            if len(tables[BATCHES.name])
        ]
        self._replace_chunks(outdated, added)
        pending.clear()

    def missing_job_refs(self, chunk: Chunk) -> pa.Table:
        """Return the job references of a chunk whose jobs have not ended or are not stored.

        Jobs that the API did not know when all jobs of the chunk were requested are left out.
        """
        jobs = self._read(JOBS, [chunk])
        have_ended = _have_ended(jobs)
        references = self._read(RESULTS, [chunk], ["job_id", "job_type"])
        if chunk.jobs_asked:
            running = jobs.filter(pc.invert(have_ended))
            return references.filter(_is_in(references["job_id"], running["job_id"]))
        ended = jobs.filter(have_ended)
        return references.filter(pc.invert(_is_in(references["job_id"], ended["job_id"])))

    def set_jobs(
        self, chunk: Chunk, requested: Iterable[str], jobs: pa.Table, *, complete: bool
    ) -> None:
        """Replace the `requested` jobs of a chunk with `jobs`; `complete` if no request failed."""
        stored = self._read(JOBS, [chunk])
        outdated = _is_in(stored["job_id"], pa.chunked_array([list(requested)], pa.string()))
        jobs = pa.concat_tables([stored.filter(pc.invert(outdated)), jobs])
        jobs_asked = chunk.jobs_asked or complete
        if jobs_asked == chunk.jobs_asked and jobs.equals(stored):
            return
        parts = {name: part for name, part in chunk.parts.items() if name != JOBS.name}
        if len(jobs):
            parts[JOBS.name] = part_files.write(self.storage, JOBS, jobs)
        n_open = len(jobs) - (pc.sum(_have_ended(jobs)).as_py() or 0)
        updated = msgspec.structs.replace(
            chunk, parts=parts, jobs_asked=jobs_asked, open_jobs=n_open
        )
        self._replace_chunks([chunk], [updated])

    def compact(self) -> None:
        """Merge small chunks if there are more than `MAX_SMALL_CHUNKS`."""
        small = [chunk for chunk in self.manifest.chunks if chunk.ended and _is_small(chunk)]
        if len(small) <= MAX_SMALL_CHUNKS:
            return
        group: list[Chunk] = []
        for chunk in small:
            group.append(chunk)
            if not _is_small(*group):
                self._merge(group)
                group = []
        self._merge(group)

    def vacuum(self) -> None:
        """Delete the files that no chunk refers to: replaced ones, and those of killed syncs."""
        self.storage.remove(self.manifest.unreferenced_files(self.storage.names()))

    def commit(self) -> None:
        """Save the manifest."""
        self._verify_lock()
        self.manifest.save(self.storage)

    def _replace_chunks(self, old: Sequence[Chunk], new: Iterable[Chunk]) -> None:
        kept = [chunk for chunk in self.manifest.chunks if chunk not in old]
        self.manifest.chunks = [*kept, *new]
        self.commit()

    def _merge(self, group: Sequence[Chunk]) -> None:
        if len(group) < 2:
            return
        parts = {table.name: _parts_of(table, group) for table in DATASET_TABLES}
        merged = Chunk(
            ended=True,
            parts={
                table.name: part_files.merge(self.storage, table, parts[table.name])
                for table in DATASET_TABLES
                if parts[table.name]
            },
            jobs_asked=all(chunk.jobs_asked for chunk in group),
            open_jobs=sum(chunk.open_jobs for chunk in group),
        )
        self._replace_chunks(group, [merged])

    def _write_chunk(self, tables: dict[str, pa.Table], jobs: pa.Table, *, ended: bool) -> Chunk:
        """Write a chunk, with those of the stored `jobs` that its results refer to."""
        referenced = jobs.filter(_is_in(jobs["job_id"], tables[RESULTS.name]["job_id"]))
        rows = {**tables, JOBS.name: referenced}
        parts = {
            table.name: part_files.write(self.storage, table, rows[table.name])
            for table in DATASET_TABLES
            if len(rows[table.name])
        }
        return Chunk(ended=ended, parts=parts)

    def _open_chunks(self) -> list[Chunk]:
        return [chunk for chunk in self.manifest.chunks if not chunk.ended]

    def _ids_of(self, open_chunk: Chunk) -> list[str]:
        part = open_chunk.parts[BATCHES.name]
        if part not in self._open_ids:
            self._open_ids[part] = self._read_ids([open_chunk])
        return self._open_ids[part]

    def _read_ids(self, chunks: Iterable[Chunk], since: datetime | None = None) -> list[str]:
        created, recent = pc.field("created_at"), None
        if since is not None:
            recent = created.is_null() | (created >= pa.scalar(since, pa.timestamp("us", "UTC")))
        parts = _parts_of(BATCHES, chunks)
        ids: list[str] = part_files.read(self.storage, BATCHES, parts, ["batch_id"], recent)[
            "batch_id"
        ].to_pylist()
        return ids

    def _read(
        self, table: Table, chunks: Iterable[Chunk], columns: list[str] | None = None
    ) -> pa.Table:
        return part_files.read(self.storage, table, _parts_of(table, chunks), columns)


class KnownBatches:
    """Ids of the batches that the dataset or the buffer has, from a time on where possible."""

    def __init__(self, writer: ChunkWriter, pending: PendingBatches) -> None:
        self._writer, self._pending = writer, pending
        self._since: datetime | None = None
        self._ids: set[str] = set()

    def load(self, since: datetime | None) -> None:
        """Load the ids of the batches created since a time; None loads all."""
        self._since = None if since is None or since < EPOCH else since - CLOCK_SKEW
        stored = self._writer.stored_ids(self._since)
        self._ids = (stored - self._pending.stale_ids) | self._pending.ids()

    def has(self, batch_id: str, created: datetime | None) -> bool:
        """Return whether a batch is known; one from before the loaded range loads all ids."""
        if self._since is not None and (created is None or created < self._since):
            self.load(None)
        return batch_id in self._ids


def concat_arrow(table: Table, parts: Iterable[pa.Table]) -> pa.Table:
    """Concatenate rows of one table."""
    return pa.concat_tables([table.arrow_schema.empty_table(), *parts])


def _parts_of(table: Table, chunks: Iterable[Chunk]) -> list[PartFile]:
    return [chunk.parts[table.name] for chunk in chunks if table.name in chunk.parts]


def _is_small(*chunks: Chunk) -> bool:
    """Return whether chunks together have too few rows for a chunk of their own."""
    n_batches = sum(chunk.rows(BATCHES.name) for chunk in chunks)
    n_results = sum(chunk.rows(RESULTS.name) for chunk in chunks)
    return n_results < MIN_CHUNK_ROWS and n_batches < CHUNK_BATCHES // 2


def _have_ended(jobs: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(jobs["status"], value_set=pa.array(sorted(TERMINAL_STATUSES)))


def _is_in(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which ids are among the others; a missing id never is."""
    return pc.is_in(ids, value_set=others.combine_chunks(), skip_nulls=True)
