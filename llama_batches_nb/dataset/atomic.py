"""Replace local files and folders atomically."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def hidden_path(path: Path) -> Path:
    """Return a path next to another one, to write its next content to."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


@contextmanager
def temporary_path(path: Path) -> Iterator[Path]:
    """Yield a path next to another one, and delete what is left there."""
    temporary = hidden_path(path)
    try:
        yield temporary
    finally:
        remove_path(temporary)


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; the file written there replaces `path` on success."""
    with temporary_path(path) as temporary:
        yield temporary
        temporary.replace(path)
    fsync_folder(path.parent)


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that readers see either the old or the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replace(path) as temporary, open_fsynced(temporary) as file:
        file.write(content)


@contextmanager
def open_fsynced(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing, and flush it to disk before it is closed."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def explain_full_disk(path: Path | str, advice: str) -> Iterator[None]:
    """Add a path and what to do to the error of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        message = f"Cannot write to the disk: {os.strerror(error.errno)}. {advice}"
        raise OSError(error.errno, message, str(path)) from error


def remove_path(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Flush a rename to disk, where folders can be opened (not on Windows)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
