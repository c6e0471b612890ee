"""Recognize files that operating systems write into folders without being asked."""

from __future__ import annotations

_NAMES = frozenset(
    {".ds_store", ".directory", ".localized", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini"}
)
ARROW_IGNORED_PREFIXES = [
    ".",
    "_",
    "Icon\r",
    "Thumbs.db",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Desktop.ini",
]
"""For pyarrow's readers of folders: hidden files, as by default, and those of the system."""


def is_system_file(path: str) -> bool:
    """Return whether a file is one of macOS, Windows or KDE: a folder of such files is empty."""
    name = path.rpartition("/")[2]
    return name.casefold() in _NAMES or name.startswith("._")
