"""Find the local files to upload."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pandas as pd

from llama_batches_nb.messages import agree, format_count, format_list, warn
from llama_batches_nb.system_files import is_system_file
from llama_batches_nb.types import PathLike


def find_files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the files that the paths match, or raise if they cannot be uploaded together."""
    if isinstance(paths, bytes | pd.DataFrame) or not isinstance(
        paths, str | os.PathLike | Iterable
    ):
        raise TypeError(
            f"paths must be a path, a pattern or an iterable of them, not {paths!r:.80}."
        )
    items = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    try:
        matches = [file for path in items for file in _expand(path)]
        kept = {file.resolve(): file for file in reversed(matches)}
    except OSError as error:
        if error.errno is None:  # our own
            raise
        raise type(error)(
            error.errno,
            f"Cannot read a file or folder: {error.strerror}. Nothing was uploaded; change its "
            "permissions, or pass the files without it",
            error.filename,
        ) from error
    files = list(kept.values())[::-1]
    if not files:
        raise ValueError("There are no files to upload: the folder or the list is empty.")
    if not_utf8 := [file.name for file in files if not _is_utf8(file.name)]:
        raise ValueError(f"The names of {format_list(not_utf8)} are not UTF-8; rename these files.")
    counts = Counter(normalize_name(file.name) for file in files)
    if duplicates := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"Several files are named {format_list(duplicates)}. File names are unique in a "
            "directory; rename these files or upload them separately."
        )
    paths_kept = {file.absolute() for file in files}
    links = [file for file in dict.fromkeys(matches) if file.absolute() not in paths_kept]
    if n := len(links):
        warn(
            f"{format_count(n, 'path')} {agree(n, 'is')} left out, because another path leads to "
            f"the same file, which is uploaded once: {format_list(map(str, links))}."
        )
    return files


def _expand(path: PathLike) -> list[Path]:
    """Return the files that one path, folder or pattern stands for."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"A path must be text or a Path, not {path!r:.80}.")
    if not str(path).strip():
        raise ValueError(f"{path!r} is an empty path; use '.' for the current folder.")
    expanded = Path(path)
    with suppress(RuntimeError):  # no such user: a file name that begins with ~
        expanded = expanded.expanduser()
    if expanded.is_file():
        return [expanded]
    if expanded.is_dir():
        return _files_below(expanded)
    matches = sorted(Path(match) for match in glob.glob(str(expanded), recursive=True))  # noqa: PTH207
    files = [m for m in matches if m.is_file() and not is_system_file(m.name)]
    if not files:
        raise FileNotFoundError(f"No file matches {str(path)!r}.")
    return files


def normalize_name(name: str) -> str:
    """Return a file name in one Unicode form: systems write ``ä`` as one character or as two."""
    return unicodedata.normalize("NFC", name)


def _is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8; Python decodes any other byte to a surrogate."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and its sub-folders, except hidden ones, in order."""
    found: list[Path] = []
    broken: list[str] = []
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (n for n in names if not n.startswith(".") and not is_system_file(n))
        for path in (Path(root, name) for name in shown):
            if path.is_file():
                found.append(path)
            elif path.is_symlink() and not path.exists():
                broken.append(str(path.relative_to(folder)))
    if broken:
        n = len(broken)
        warn(
            f"{format_count(n, 'link')} in {str(folder)!r} {agree(n, 'leads')} to no file and "
            f"{agree(n, 'is')} left out: "
            f"{format_list(sorted(broken))}."
        )
    return sorted(found)


def _raise(error: OSError) -> NoReturn:
    raise error
