"""Where a dataset lies: files in one folder, of this machine or of any store that fsspec knows.

A file is put whole or not at all: here it is written beside, brought to the disk and renamed; an
object store takes it in one PUT. Nothing else is asked of a place, so both are served alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec

from llama_batches_nb.dataset.atomic import atomic_write
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.types import PathLike


class Storage:
    """A folder, by a path or a URL; names in it are relative, with `/` between them."""

    def __init__(self, path: PathLike) -> None:
        given = os.fspath(path)
        if not isinstance(given, str):
            raise TypeError(f"The path must be text or a path, not {path!r}.")
        if not given.strip():
            raise ValueError("The path is empty: name a folder, or a URL that fsspec knows.")
        self.local = local_path(given)
        if self.local is not None:
            self.local = self.local.absolute()  # whatever becomes of the working directory
        self.name = given if self.local is None else str(self.local)
        self.filesystem, self.root = fsspec.url_to_fs(self.name)

    @property
    def arrow_filesystem(self) -> Any:
        """The place for pyarrow's readers."""
        import pyarrow.fs as pa_fs

        if self.local is not None:
            return pa_fs.LocalFileSystem()
        return pa_fs.PyFileSystem(pa_fs.FSSpecHandler(self.filesystem))

    def path(self, name: str) -> str:
        """Return a file's path in the filesystem."""
        return f"{self.root.rstrip('/')}/{name}"

    def is_file(self) -> bool:
        """Whether there is a file where the folder should be."""
        self.filesystem.invalidate_cache()
        return bool(self.filesystem.isfile(self.root))

    def names(self) -> list[str]:
        """Return all files below the folder, as they are now; none if it does not exist."""
        self.filesystem.invalidate_cache()
        start = len(self.path(""))
        found = sorted(path[start:] for path in self.filesystem.find(self.root) if path[start:])
        return [name for name in found if self._is_regular_file(name)]

    def get(self, name: str) -> bytes | None:
        """Return what a file holds, None if there is none."""
        if not self._is_regular_file(name):
            return None
        try:
            content: bytes = self.filesystem.cat_file(self.path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Make or replace a file, in one step."""
        if self.local is not None:
            if not self._is_inside(name):
                raise DatasetError(
                    f"{name!r} would not lie in {self.name!r}, for a link leads out of it: remove "
                    "the link, or name another folder."
                )
            atomic_write(self.local / name, content)
            return
        path = self.path(name)
        self.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self.filesystem.pipe_file(path, content)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, but none to which a link leads; those that are gone are no matter."""
        for name in filter(self._is_inside, names):
            with suppress(FileNotFoundError):
                self.filesystem.rm_file(self.path(name))

    def _is_regular_file(self, name: str) -> bool:
        """Whether something can be read to its end, which a pipe can't."""
        return self.local is None or (self.local / name).is_file()

    def _is_inside(self, name: str) -> bool:
        """Whether a file lies in the folder itself, and not where a link in it leads."""
        if self.local is None:
            return True
        return (self.local / name).parent.resolve().is_relative_to(self.local.resolve())


def local_path(path: PathLike) -> Path | None:
    """Return the path if it is one of this machine, None if it is a URL."""
    text = os.fspath(path)
    for scheme in ("file://", "local://"):
        text = text.removeprefix(scheme)
    return None if "://" in text or "::" in text else Path(text).expanduser()
