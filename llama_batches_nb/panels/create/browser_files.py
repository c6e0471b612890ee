"""Files that a browser handed over: checked, and on disk while they are uploaded."""

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
from llama_batches_nb.messages import format_list

MAX_NAME = 255  # bytes, as file systems have it


@dataclass(frozen=True)
class BrowserFile:
    """A file of a browser. Its name is a last step of a path, whatever the browser said."""

    name: str
    size: int
    modified: Any = None
    content: Any = field(default=b"", compare=False, repr=False)


def from_upload_widget(value: Iterable[Mapping[str, Any]]) -> tuple[BrowserFile, ...]:
    """Return the files in an upload control."""
    return tuple(
        BrowserFile(_last_step(file["name"]), file["size"], file["last_modified"], file["content"])
        for file in value
    )


def validation_error(files: tuple[BrowserFile, ...]) -> str:
    """Say why files can't be uploaded together; nothing if they can."""
    names = [file.name for file in files]
    if len(names) > MAX_FILES_PER_BATCH:
        return (
            f"{len(names):,} files are more than the {MAX_FILES_PER_BATCH:,} of one batch: choose "
            f"fewer, "
            "and make several batches."
        )
    if odd := [name for name in names if _is_invalid_name(name)]:
        return f"Files can't be called {format_list(odd)}: rename them."
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        return (
            f"Several files are called {format_list(twice)}; names tell the files of a directory "
            f"apart, "
            "so rename them."
        )
    return ""


def validation_warning(files: tuple[BrowserFile, ...]) -> str:
    """Say what will probably not work, though it may be tried."""
    empty = [file.name for file in files if not file.size]
    return f"Empty, and sure to fail: {format_list(empty)}." if empty else ""


@contextmanager
def on_disk(files: tuple[BrowserFile, ...]) -> Iterator[list[Path]]:
    """Write files into a folder of our own, one each, and remove it at the end."""
    with TemporaryDirectory(prefix="llama_batches_nb_") as folder:
        paths = []
        for number, file in enumerate(files):
            place = Path(folder, str(number))  # names that differ in case alone may be one on disk
            place.mkdir()
            paths.append(place / file.name)
            paths[-1].write_bytes(file.content)
        yield paths


def _last_step(name: str) -> str:
    return Path(name.replace("\\", "/")).name


def _is_invalid_name(name: str) -> bool:
    if name in ("", ".", "..") or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return True
    return len(name.encode()) > MAX_NAME
