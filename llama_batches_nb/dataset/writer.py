"""What a sync has in hand and how it becomes part of the dataset, a commit at a time.

Every commit swaps whole chunks, so that at any instant each batch is in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.dataset import part_files
from llama_batches_nb.dataset.manifest import Chunk, Manifest, PartFile, Statuses, union
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

CHUNK_ROWS = 65_536  # results of a chunk that is full: what a sync has in memory
CHUNK_BATCHES = 8_192
MIN_CHUNK_ROWS = CHUNK_ROWS // 2
MAX_SMALL_CHUNKS = 8  # chunks that are small before they are merged

TABLES = (BATCHES, RESULTS, JOBS)


class DatasetWriter:
    """A dataset that is being written; `check` says before each commit that it is still ours."""

    def __init__(self, storage: Storage, manifest: Manifest, check: Callable[[], None]) -> None:
        self.storage, self.manifest, self._check = storage, manifest, check
        self._answered: set[str] = set()  # batches whose rows in open chunks are out of date
        self._fresh: dict[bool, list[tuple[int, pa.Table, pa.Table]]] = {True: [], False: []}
        self._n_fresh = 0
        self._open_by_part: dict[PartFile, list[str]] = {}  # read once

    def stored_open_ids(self) -> list[str]:
        """Return the batches that have rows and had not ended."""
        return [batch_id for chunk in self._open_chunks() for batch_id in self._open(chunk)]

    def known_ids(self, since: datetime | None) -> set[str]:
        """Return the batches that have rows, of those created `since` then or at no known time."""
        ended = self._ids([chunk for chunk in self.manifest.chunks if chunk.ended], since)
        known = {*ended, *self.stored_open_ids()} - self._answered
        for rows in self._fresh.values():
            known.update(i for _, batch, _ in rows for i in batch["batch_id"].to_pylist())
        return known

    def track_open(self, batch_id: str, statuses: Statuses) -> None:
        """Have a batch asked for until it has ended, to be kept while it has such a status."""
        open_ = self.manifest.open
        open_[batch_id] = union(open_[batch_id], statuses) if batch_id in open_ else statuses

    def extend_statuses(self, batch_id: str, statuses: Statuses) -> None:
        """Let a batch, if it has not ended, be kept with these statuses too."""
        if batch_id in self.manifest.open:
            self.track_open(batch_id, statuses)

    def untrack(self, batch_id: str) -> None:
        """Leave a batch out."""
        self.manifest.open.pop(batch_id, None)
        self._answered.add(batch_id)

    def add_batch(self, position: int, batch: pa.Table, results: pa.Table) -> tuple[bool, bool]:
        """Take in a remembered batch as it is now, and return whether it is kept and has ended.

        `position` orders the batches of one chunk.
        """
        (batch_id,), (status,) = (batch[name].to_pylist() for name in ("batch_id", "status"))
        statuses, has_ended = self.manifest.open.get(batch_id), status in TERMINAL_STATUSES
        is_kept = statuses is None or status in statuses
        if is_kept:
            self._fresh[has_ended].append((position, batch, results))
            self._n_fresh += len(results)
        self._answered.add(batch_id)
        if has_ended:
            self.manifest.open.pop(batch_id, None)
        return is_kept, has_ended

    def is_full(self) -> bool:
        """Whether there is enough in hand for a commit."""
        n_batches = sum(map(len, self._fresh.values()))
        return self._n_fresh >= CHUNK_ROWS or n_batches >= CHUNK_BATCHES

    def flush(self) -> None:
        """Make what is in hand part of the dataset."""
        answered = pa.chunked_array([list(self._answered)], pa.string())
        outdated = [c for c in self._open_chunks() if not self._answered.isdisjoint(self._open(c))]
        old = {table.name: self._read(table, outdated) for table in TABLES}
        rest = {
            name: old[name].filter(pc.invert(is_in(old[name]["batch_id"], answered)))
            for name in ("batches", "results")
        }
        ended, still_open = self._sorted_tables(True), self._sorted_tables(False)
        still_open = {name: pa.concat_tables([still_open[name], rest[name]]) for name in rest}
        added = [
            self._write_chunk(rows, old["jobs"], ended=is_ended)
            for rows, is_ended in ((ended, True), (still_open, False))
            if len(rows["batches"])
        ]
        self._replace_chunks(outdated, added)
        self._answered.clear()
        self._fresh = {True: [], False: []}
        self._n_fresh = 0

    def missing_job_refs(self, chunk: Chunk) -> pa.Table:
        """Return the references of a chunk's results to jobs that are not facts."""
        jobs = self._read(JOBS, [chunk])
        are_facts = is_terminal(jobs)
        references = self._read(RESULTS, [chunk], ["job_id", "job_type"])
        if chunk.jobs_asked:  # what was not known then will not be
            unfinished = jobs.filter(pc.invert(are_facts))
            to_ask = is_in(references["job_id"], unfinished["job_id"])
        else:
            facts = jobs.filter(are_facts)
            to_ask = pc.invert(is_in(references["job_id"], facts["job_id"]))
        return references.filter(to_ask)

    def set_jobs(
        self, chunk: Chunk, asked: Iterable[str], found: pa.Table, *, complete: bool
    ) -> None:
        """Give a chunk the jobs `found` of those `asked` for; `complete` if those were all."""
        before = self._read(JOBS, [chunk])
        outdated = is_in(before["job_id"], pa.chunked_array([list(asked)], pa.string()))
        jobs = pa.concat_tables([before.filter(pc.invert(outdated)), found])
        all_asked = chunk.jobs_asked or complete
        if all_asked == chunk.jobs_asked and jobs.equals(before):
            return
        kept = {name: part for name, part in chunk.parts.items() if name != JOBS.name}
        if len(jobs):
            kept[JOBS.name] = part_files.write(self.storage, JOBS, jobs)
        n_open = len(jobs) - (pc.sum(is_terminal(jobs)).as_py() or 0)
        done = msgspec.structs.replace(chunk, parts=kept, jobs_asked=all_asked, open_jobs=n_open)
        self._replace_chunks([chunk], [done])

    def compact(self) -> None:
        """Merge small chunks, if there are many."""
        small = [c for c in self.manifest.chunks if c.ended and is_small(c)]
        if len(small) <= MAX_SMALL_CHUNKS:
            return
        group: list[Chunk] = []
        for chunk in small:
            group.append(chunk)
            if not is_small(*group):
                self._merge(group)
                group = []
        self._merge(group)

    def vacuum(self) -> None:
        """Delete what killed syncs left, and what was replaced."""
        self.storage.remove(self.manifest.unreferenced_files(self.storage.names()))

    def commit(self) -> None:
        """Make the manifest as it stands the dataset."""
        self._check()
        self.manifest.save(self.storage)

    def _replace_chunks(self, old: Iterable[Chunk], new: Iterable[Chunk]) -> None:
        gone = list(old)
        self.manifest.chunks = [c for c in self.manifest.chunks if c not in gone] + list(new)
        self.commit()

    def _merge(self, group: Sequence[Chunk]) -> None:
        if len(group) < 2:
            return
        merged = {
            table.name: part_files.merge(self.storage, table, there)
            for table in TABLES
            if (there := [c.parts[table.name] for c in group if table.name in c.parts])
        }
        whole = Chunk(
            ended=True,
            parts=merged,
            jobs_asked=all(chunk.jobs_asked for chunk in group),
            open_jobs=sum(chunk.open_jobs for chunk in group),
        )
        self._replace_chunks(group, [whole])

    def _write_chunk(self, rows: dict[str, pa.Table], jobs: pa.Table, *, ended: bool) -> Chunk:
        """Write a chunk; of the jobs known before, those that its results refer to go along."""
        known = jobs.filter(is_in(jobs["job_id"], rows["results"]["job_id"]))
        whole = {**rows, "jobs": known}
        written = {
            table.name: part_files.write(self.storage, table, whole[table.name])
            for table in TABLES
            if len(whole[table.name])
        }
        return Chunk(ended=ended, parts=written)

    def _sorted_tables(self, ended: bool) -> dict[str, pa.Table]:
        fresh = sorted(self._fresh[ended], key=lambda one: one[0])
        return {
            "batches": concat(BATCHES, [batch for _, batch, _ in fresh]),
            "results": concat(RESULTS, [results for _, _, results in fresh]),
        }

    def _open_chunks(self) -> list[Chunk]:
        return [chunk for chunk in self.manifest.chunks if not chunk.ended]

    def _open(self, chunk: Chunk) -> list[str]:
        """Return the batches of an open chunk."""
        part = chunk.parts["batches"]
        if part not in self._open_by_part:
            self._open_by_part[part] = self._ids([chunk])
        return self._open_by_part[part]

    def _ids(self, chunks: Iterable[Chunk], since: datetime | None = None) -> list[str]:
        found = [chunk.parts["batches"] for chunk in chunks]
        created, recent = pc.field("created_at"), None
        if since is not None:
            recent = created.is_null() | (created >= pa.scalar(since, pa.timestamp("us", "UTC")))
        rows = part_files.read(self.storage, BATCHES, found, ["batch_id"], recent)
        ids: list[str] = rows["batch_id"].to_pylist()
        return ids

    def _read(
        self, table: Table, chunks: Iterable[Chunk], columns: list[str] | None = None
    ) -> pa.Table:
        found = [chunk.parts[table.name] for chunk in chunks if table.name in chunk.parts]
        return part_files.read(self.storage, table, found, columns)


def is_small(*chunks: Chunk) -> bool:
    """Whether chunks have, together, too few rows for a file of their own."""
    n_batches = sum(chunk.rows("batches") for chunk in chunks)
    n_results = sum(chunk.rows("results") for chunk in chunks)
    return n_results < MIN_CHUNK_ROWS and n_batches < CHUNK_BATCHES // 2


def is_terminal(jobs: pa.Table) -> pa.ChunkedArray:
    """Return which jobs are facts."""
    return pc.is_in(jobs["status"], value_set=pa.array(sorted(TERMINAL_STATUSES)))


def is_in(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which ids are among the others; a missing one is not."""
    return pc.is_in(ids, value_set=others.combine_chunks(), skip_nulls=True)


def concat(table: Table, rows: Iterable[pa.Table]) -> pa.Table:
    """Return rows of one table together."""
    return pa.concat_tables([table.arrow_schema.empty_table(), *rows])
