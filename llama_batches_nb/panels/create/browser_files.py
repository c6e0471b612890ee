"""Files from the browser: validate their names, and write them to disk for the upload."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.messages import format_bytes, format_list

MAX_UPLOAD = 10_000_000  # bytes; servers close a connection that sends more in one message
MAX_NAME = 255  # bytes, the limit of common file systems


@dataclass(frozen=True)
class BrowserFile:
    """A file from the browser. `name` has no directories, even if the browser sent some."""

    name: str
    size: int  # bytes
    modified: Any = None
    content: Any = field(default=b"", compare=False, repr=False)


def from_upload_widget(value: Iterable[Mapping[str, Any]]) -> tuple[BrowserFile, ...]:
    """Return the files of an upload widget from its `value`."""
    return tuple(
        BrowserFile(_base_name(file["name"]), file["size"], file["last_modified"], file["content"])
        for file in value
    )


def validation_error(files: tuple[BrowserFile, ...]) -> str:
    """Return why the files cannot be uploaded to one directory, or an empty string."""
    names = [file.name for file in files]
    if (size := sum(file.size for file in files)) > MAX_UPLOAD:
        return (
            f"The files have {format_bytes(size)}; a page can send {format_bytes(MAX_UPLOAD)}. "
            'Upload them in a cell with lb.upload_files("folder/*"), and pass the result to '
            "lb.create_panel(source_directory_id=…)."
        )
    if len(names) > MAX_FILES_PER_BATCH:
        return (
            f"{len(names):,} files exceed the limit of {MAX_FILES_PER_BATCH:,} per batch. "
            "Select fewer files and create several batches."
        )
    if invalid := [name for name in names if _is_invalid_name(name)]:
        return f"Invalid file names: {format_list(invalid)}. Rename the files."
    if duplicates := [name for name, n in Counter(names).items() if n > 1]:
        return (
            f"Duplicate file names: {format_list(duplicates)}. Names must be unique within a "
            "directory; rename the files."
        )
    return ""


def validation_warning(files: tuple[BrowserFile, ...]) -> str:
    """Return which files can be uploaded but will fail, or an empty string."""
    empty = [file.name for file in files if not file.size]
    return f"Empty files will fail: {format_list(empty)}." if empty else ""


@contextmanager
def on_disk(files: tuple[BrowserFile, ...]) -> Iterator[list[Path]]:
    """Write the files to a temporary folder, which is removed on exit."""
    with TemporaryDirectory(prefix="llama_batches_nb_") as folder:
        paths = []
        for index, file in enumerate(files):
            subfolder = Path(folder, str(index))  # on some disks "A.pdf" and "a.pdf" are one file
            subfolder.mkdir()
            paths.append(subfolder / file.name)
            paths[-1].write_bytes(file.content)
        yield paths


def _base_name(name: str) -> str:
    return Path(name.replace("\\", "/")).name


def _is_invalid_name(name: str) -> bool:
    if name in ("", ".", "..") or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return True
    return len(name.encode()) > MAX_NAME
