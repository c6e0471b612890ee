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

from llama_batches_nb.errors import listed
from llama_batches_nb.preconditions import MOST_FILES

LONGEST_NAME = 255  # bytes, as file systems have it


@dataclass(frozen=True)
class Dropped:
    """A file of a browser. Its name is a last step of a path, whatever the browser said."""

    name: str
    size: int
    modified: Any = None
    content: Any = field(default=b"", compare=False, repr=False)


def received(value: Iterable[Mapping[str, Any]]) -> tuple[Dropped, ...]:
    """Return the files in an upload control."""
    return tuple(
        Dropped(_last_step(file["name"]), file["size"], file["last_modified"], file["content"])
        for file in value
    )


def problem(files: tuple[Dropped, ...]) -> str:
    """Say why files can't be uploaded together; nothing if they can."""
    names = [file.name for file in files]
    if len(names) > MOST_FILES:
        return (
            f"{len(names):,} files are more than the {MOST_FILES:,} of one batch: choose fewer, "
            "and make several batches."
        )
    if odd := [name for name in names if _is_odd(name)]:
        return f"Files can't be called {listed(odd)}: rename them."
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        return (
            f"Several files are called {listed(twice)}; names tell the files of a directory apart, "
            "so rename them."
        )
    return ""


def doubt(files: tuple[Dropped, ...]) -> str:
    """Say what will probably not work, though it may be tried."""
    empty = [file.name for file in files if not file.size]
    return f"Empty, and sure to fail: {listed(empty)}." if empty else ""


@contextmanager
def on_disk(files: tuple[Dropped, ...]) -> Iterator[list[Path]]:
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


def _is_odd(name: str) -> bool:
    if name in ("", ".", "..") or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return True
    return len(name.encode()) > LONGEST_NAME
