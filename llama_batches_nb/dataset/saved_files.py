"""Keep a record of saved files: a manifest, and a journal while a call is running.

The journal gets a line for each file that will be written, before the first one, and another when
it is written. If the process is killed, the next call reads both, so that it fetches nothing again
and knows which files in the folder are its own.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset.atomic import temporary_path
from llama_batches_nb.dataset.export import export_parquet, read_parquet
from llama_batches_nb.dataset.output_names import safe_stem
from llama_batches_nb.errors import DatasetError, DatasetLockedError
from llama_batches_nb.tables import schema
from llama_batches_nb.tables.schema import OUTPUTS

MANIFEST = "outputs.parquet"
JOURNAL = ".outputs.jsonl"
LOCK_FILE = ".outputs.lock"
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
NUMBER = re.compile(r"-\d+$")  # of a name that several files have
TEMPORARY_MAX_AGE = 3600.0  # seconds; older temporary files were left by killed processes


class SavedFile(msgspec.Struct, frozen=True):
    """A row of the manifest; without `sha256` it is only planned."""

    key: str  # of the source file
    content: str
    path: str  # relative to the folder
    source_directory_file_id: str | None = None
    display_name: str | None = None
    job_id: str | None = None
    pages: int | None = None
    failed_pages: int | None = None
    sha256: str | None = None


class SavedFiles:
    """The files that were saved to a folder, by source file and content. Workers add to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._planned: dict[tuple[str, str], SavedFile] = {}
        self.saved: dict[tuple[str, str], SavedFile] = {}
        self._order: dict[tuple[str, str], None] = {}  # of the rows of the manifest
        self._unrecorded: dict[tuple[str, int], list[str]] = {}
        self._adopted: set[str] = set()  # names of `_unrecorded` that are recorded now
        self._journal = folder / JOURNAL
        self._lock = threading.Lock()
        self._remove_old_temporary_files()
        self._load_manifest()
        self._load_journal()

    def names(self) -> set[str]:
        """Return the names in the folder, and those of files that are planned."""
        planned = {file.path for file in self._planned.values()}
        return planned | {entry.name for entry in self.folder.iterdir()}

    def find(self, key: tuple[str, str]) -> SavedFile | None:
        """Return the saved or planned file of a source file and a content, if there is one."""
        return self.saved.get(key) or self._planned.get(key)

    def is_current(self, file: SavedFile) -> bool:
        """Return whether the file on disk is as it was written."""
        try:
            with (self.folder / file.path).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
        except OSError:
            return False

    def plan(self, files: Iterable[SavedFile]) -> None:
        """Record the paths of files before they are written."""
        if not (files := list(files)):
            return
        for file in files:
            self._planned[file.key, file.content] = file
            self._order.setdefault((file.key, file.content))
        self._append(files)
        self._unrecorded = self._index_unrecorded()

    def write(self, file: SavedFile, content: bytes) -> None:
        """Write a file atomically, and record it.

        If the manifest does not know the file, but the folder has one of that name and content,
        such as after the manifest was deleted, that one is recorded instead.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            saved = msgspec.structs.replace(file, sha256=sha256)
            found = self._adopt(saved, len(content))
            if found is None:
                # Not flushed to the disk, which would take longer than the request: if the machine
                # fails, the checksum does not match, and the next call fetches the file again.
                with temporary_path(self.folder / file.path) as temporary:
                    temporary.write_bytes(content)
                    temporary.replace(self.folder / file.path)
            else:
                saved = msgspec.structs.replace(saved, path=found)
            with self._lock:
                self.saved[file.key, file.content] = saved
                self._append([saved])
        except OSError as error:
            raise type(error)(
                error.errno,
                f"Cannot write the output of {file.display_name!r}: {error.strerror}. The files "
                "saved so far are kept; call save_outputs again to save the others",
                str(self.folder / file.path),
            ) from error

    def _adopt(self, file: SavedFile, size: int) -> str | None:
        """Return an unrecorded file with the name and content of `file`, each only once."""
        if (file.key, file.content) in self.saved:
            return None
        named = safe_stem(file.display_name or file.key) + Path(file.path).suffix
        with self._lock:
            for name in self._unrecorded.get((named, size), ()):
                if name not in self._adopted and self.is_current(
                    msgspec.structs.replace(file, path=name)
                ):
                    self._adopted.add(name)
                    return name
        return None

    def _index_unrecorded(self) -> dict[tuple[str, int], list[str]]:
        """Return the files that nothing was recorded of, by size and name without its number."""
        known = (*self.saved.values(), *self._planned.values())
        recorded = {file.path for file in known}
        index: dict[tuple[str, int], list[str]] = {}
        for entry in sorted(self.folder.iterdir()):
            if entry.name not in recorded and entry.is_file() and not entry.is_symlink():
                size = entry.stat().st_size
                for name in {entry.name, NUMBER.sub("", entry.stem) + entry.suffix}:
                    index.setdefault((name, size), []).append(entry.name)
        return index

    def frame(self) -> pd.DataFrame:
        """Return the manifest."""
        with self._lock:
            files = [self.saved[key] for key in self._order if key in self.saved]
        rows = [msgspec.structs.asdict(file) for file in files]
        table = pa.Table.from_pylist(
            [{name: row[name] for name in OUTPUTS.names} for row in rows], OUTPUTS.arrow_schema
        )
        return schema.to_pandas(table, OUTPUTS.columns)

    def commit(self, *, complete: bool) -> None:
        """Write the manifest; once all planned files are written, the journal is not needed."""
        export_parquet(self.frame(), self.folder / MANIFEST)
        if complete:
            self._journal.unlink(missing_ok=True)

    def _load_manifest(self) -> None:
        if not (self.folder / MANIFEST).exists():
            return
        manifest = read_parquet(self.folder / MANIFEST)
        if missing := [name for name in OUTPUTS.names if name not in manifest]:
            raise DatasetError(
                f"{MANIFEST} in {str(self.folder)!r} has no column {missing[0]!r}, so save_outputs "
                "did not write it. Choose another folder."
            )
        for row in manifest.astype(object).to_dict("records"):
            known = {str(name): value for name, value in row.items() if not pd.isna(value)}
            if (file := _parse(known)) is not None:
                self._add(file, replace=False)

    def _load_journal(self) -> None:
        with suppress(FileNotFoundError):
            for line in self._journal.read_bytes().splitlines():
                with suppress(msgspec.DecodeError, ValueError):  # a line may be cut short
                    if (file := _parse(msgspec.json.decode(line))) is not None:
                        self._add(file, replace=True)

    def _add(self, file: SavedFile, *, replace: bool) -> None:
        """Record a file; one that is not there is only planned, which keeps its name."""
        key = file.key, file.content
        self._order.setdefault(key)
        if file.sha256 is None or not (self.folder / file.path).exists():
            self._planned[key] = file
        elif replace or key not in self.saved:
            self.saved[key] = file

    def _remove_old_temporary_files(self) -> None:
        for entry in self.folder.iterdir():
            if TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > TEMPORARY_MAX_AGE:
                        entry.unlink()

    def _append(self, files: Iterable[SavedFile]) -> None:
        # a line begins with the line end, so that none is joined to one that a kill cut short
        lines = b"".join(b"\n" + msgspec.json.encode(file) for file in files)
        with self._journal.open("ab") as journal:
            journal.write(lines)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: two calls at once could choose the same name for two files.

    The operating system releases it when the process ends.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DatasetLockedError(
            f"Another call of save_outputs is writing to {str(folder)!r}. Wait until it has "
            "finished, or choose another folder."
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # filelock tries again if it locked a file that is removed
            (folder / LOCK_FILE).unlink()
        lock.release()


def _parse(row: Any) -> SavedFile | None:
    """Return a row as a file, or None if save_outputs did not write it."""
    try:
        file = msgspec.convert(row, SavedFile)
    except msgspec.ValidationError:
        return None
    is_name = file.path == Path(file.path).name and file.path not in ("", ".", "..")
    return file if is_name and file.path not in (MANIFEST, JOURNAL) else None
