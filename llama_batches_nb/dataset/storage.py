"""Read, write and list the files of a folder: a local one, or a URL that fsspec supports.

A file is written whole or not at all: by a rename on a local disk, by one PUT on an object store.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import fsspec

from llama_batches_nb.dataset.atomic import atomic_write, fsync_folder, hidden_path
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.system_files import is_system_file
from llama_batches_nb.types import PathLike

if TYPE_CHECKING:
    import pyarrow.fs as pa_fs

MAX_DEPTH = 3  # of results/created=2026-11-27/data.parquet
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
"""Protocols without folders: creating the folder of a file could create a bucket."""
READ_ONLY = frozenset({"http", "https"})

_LOST_SLASH = re.compile(r"(?:^|[/\\])([A-Za-z][A-Za-z0-9+.-]+):(?:[/\\](?![/\\])|$)")
_FILE_URL = re.compile(r"^(?:file|local):(?://(?:localhost(?=/))?)?", re.IGNORECASE)
_CACHE = re.compile(r"(?:^|::)\w*cache::")


class Storage:
    """The files of a folder. File names are relative to it, with ``/`` as the separator."""

    def __init__(self, path: PathLike) -> None:
        text = path_text(path)
        self.local = local_path(text)
        if self.local is not None:
            self.local = self.local.absolute()  # the working directory may change later
        self.name = text if self.local is None else str(self.local)
        self.filesystem, self.root = open_filesystem(self.name)

    @property
    def arrow_filesystem(self) -> pa_fs.FileSystem:
        """The file system for pyarrow's readers."""
        import pyarrow.fs as pa_fs

        if self.local is not None:
            return pa_fs.LocalFileSystem()
        return pa_fs.PyFileSystem(pa_fs.FSSpecHandler(self.filesystem))

    def path(self, name: str) -> str:
        """Return the path of a file in the file system."""
        return f"{self.root.rstrip('/')}/{name}"

    def is_file(self) -> bool:
        """Return whether the path is that of a file, not of a folder."""
        self.filesystem.invalidate_cache()
        return bool(self.filesystem.isfile(self.root))

    def names(self) -> list[str]:
        """List the files in the folder and its sub-folders; empty if it does not exist.

        Files of the operating system are left out; on a local disk also files deeper than those of
        a dataset, as it may be a home folder.
        """
        self.filesystem.invalidate_cache()
        start = len(self.path(""))
        found = self.filesystem.find(self.root, maxdepth=MAX_DEPTH if self.local else None)
        names = sorted(path[start:] for path in found if path[start:] and not is_system_file(path))
        return [name for name in names if self._is_regular_file(name)]

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist."""
        with self.open(name) as file:
            return None if file is None else file.read()

    def put(self, name: str, content: bytes) -> None:
        """Create or replace a file atomically."""
        if self.local is not None:
            atomic_write(self._checked_path(self.local, name), content)
        else:
            write_bytes(self.filesystem, self.path(name), content)

    @contextmanager
    def open(self, name: str, *, download: bool = True) -> Iterator[BinaryIO | None]:
        """Open a file for reading, or yield None if it does not exist.

        A file at a URL is downloaded first, as it may be replaced while it is read, unless only a
        small part is needed.
        """
        if self.local is not None:
            path = self.local / name
            with path.open("rb") if path.is_file() else nullcontext() as file:
                yield file
            return
        self.filesystem.invalidate_cache()
        with (
            tempfile.TemporaryDirectory(prefix="llama_batches_nb-") as folder,
            ExitStack() as stack,
        ):
            remote = None
            with suppress(FileNotFoundError):
                if download:
                    self.filesystem.get_file(self.path(name), f"{folder}/copy")
                    remote = stack.enter_context(Path(folder, "copy").open("rb"))
                else:
                    opened = self.filesystem.open(self.path(name), "rb", block_size=2**17)
                    remote = stack.enter_context(opened)
            yield remote

    def temporary_path(self, name: str, folder: Path) -> Path:
        """Return a local path to write the next content of a file to, for `replace`.

        It is next to the file, or in `folder` for a URL.
        """
        if self.local is None:
            return folder / secrets.token_hex(8)
        return hidden_path(self._checked_path(self.local, name))

    def replace(self, name: str, content: Path) -> None:
        """Create or replace a file with a local one, in one step, and delete that."""
        if self.local is not None:
            content.replace(self._checked_path(self.local, name))
            fsync_folder((self.local / name).parent)
            return
        make_parent(self.filesystem, self.path(name))
        self.filesystem.put_file(str(content), self.path(name))
        content.unlink()

    def _is_regular_file(self, name: str) -> bool:
        """Return whether reading ends, which is not so for a named pipe."""
        return self.local is None or (self.local / name).is_file()

    def _checked_path(self, folder: Path, name: str) -> Path:
        """Return the path of a file that is in the folder once symbolic links are resolved."""
        if not (folder / name).parent.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(
                f"{name!r} is outside {self.name!r} because of a symbolic link. Remove the link, "
                "or choose another folder."
            )
        return folder / name


def path_text(path: PathLike, *, to_write: bool = False) -> str:
    """Return a path or URL as text, or raise an error if it is neither."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"The path must be a string or a path object, not {path!r:.80}.")
    if not text.strip():
        raise ValueError("The path is empty. Pass a file or folder, or a URL that fsspec supports.")
    if "\0" in text:
        raise ValueError(f"The path {text!r} has a null character, which no file name can have.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The path {text!r} has an unpaired surrogate, which no file name can have."
        ) from error
    protocol = text.partition("://")[0].rpartition("::")[2]
    known = {*fsspec.available_protocols(), *fsspec.registry}  # the second has registered classes
    if "://" in text and known.isdisjoint([protocol, protocol.lower()]):
        raise ValueError(
            f"fsspec knows no protocol {protocol!r}, as in {text!r:.80}. Check the spelling, or "
            "install the package for it."
        )
    if to_write and "://" in text and protocol.lower() in READ_ONLY:
        raise ValueError(
            f"{text!r:.80} cannot be written, because {protocol} can only be read. Pass a local "
            "path, or a URL of a store such as s3://…."
        )
    protocols = set(fsspec.available_protocols()) - {"file", "local"}
    if lost := [name for name in _LOST_SLASH.findall(text) if name.lower() in protocols]:
        raise ValueError(
            f"{text!r} is a URL that lost a slash, as in pathlib.Path('{lost[0]}://…'). Pass the "
            "URL as a string."
        )
    if "::" in text and not _is_local(text):
        if to_write:
            raise ValueError(f"{text!r} is a chain of URLs, which can only be read. Pass one URL.")
        if _CACHE.search(text):
            raise ValueError(
                f"{text!r} reads from a cache, which may be out of date. Pass the URL without it."
            )
    return text


def local_path(path: PathLike) -> Path | None:
    """Return a local path as a `Path`, or None for a URL."""
    text = path_text(path)
    if not _is_local(text):
        return None
    text = _FILE_URL.sub("", text)
    with suppress(RuntimeError):  # no such user: a file name that begins with ~
        return Path(text).expanduser()
    return Path(text)


def open_filesystem(path: PathLike) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a path or URL, without cached listings, and the path in it."""
    local = local_path(path)
    if local is not None:
        return fsspec.filesystem("file"), local.absolute().as_posix()
    text = path_text(path)
    try:
        filesystem, root = fsspec.url_to_fs(
            text, use_listings_cache=False, skip_instance_cache=True
        )
    except ImportError as error:
        raise ImportError(
            f"Cannot open {text!r:.80}, because a package for its protocol is missing: {error}. "
            "Install it with pip, and restart the kernel."
        ) from error
    return filesystem, root


def write_bytes(
    filesystem: fsspec.AbstractFileSystem, path: str, content: bytes, **options: object
) -> None:
    """Create or replace a file; raise an `OSError` also where the store's client raises others."""
    make_parent(filesystem, path)
    try:
        filesystem.pipe_file(path, content, **options)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # adlfs does not convert all errors of Azure
        is_missing = getattr(error, "status_code", None) == 404
        kind = FileNotFoundError if is_missing else OSError
        raise kind(f"Cannot write {path!r}: {error}") from error


def make_parent(filesystem: fsspec.AbstractFileSystem, path: str) -> None:
    """Create the folder of a file, except on object stores."""
    protocol = filesystem.protocol
    if OBJECT_STORES.isdisjoint([protocol] if isinstance(protocol, str) else protocol):
        filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)


def _is_local(text: str) -> bool:
    """Return whether a text is a path or `file:` URL; a file name may have two colons."""
    rest = _FILE_URL.sub("", text)
    chained = rest.partition("::")[0] in fsspec.available_protocols() if "::" in rest else False
    return "://" not in rest and not chained
