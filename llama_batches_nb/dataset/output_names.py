"""Choose safe names of files for names from a server."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

K = TypeVar("K", str, tuple[str, str])

MAX_STEM_BYTES = 180  # of at most 255 for a name; leaves room for numbers and temporary names
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.I)
"""Names of devices on Windows, also with an extension."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,4}$")
_INVISIBLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\ufeff" + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
)


def safe_stem(name: str) -> str:
    """Return a name without its extension that is a valid file name on every system.

    It is one part of a path: it has no separator, and is neither hidden nor a device's name.
    """
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if _is_forbidden(char) else char for char in name).strip()
    stem = _EXTENSION.sub("", name)
    stem = stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore").rstrip(". ")
    if not stem.strip("._ "):
        return "file" if not stem.strip(". ") else f"file{stem}"
    if stem.startswith(".") or RESERVED.match(stem):
        return f"_{stem}"
    return stem


def assign_names(wanted: Mapping[K, tuple[str, str]], taken: Iterable[str]) -> dict[K, str]:
    """Return a file name for each key, none of them in `taken`.

    `wanted` has the display name and the suffix of each key. Equal names are numbered in the order
    of the keys. Names that differ only in case, or in how a character is composed, are equal: they
    are one file on some systems.
    """
    used = {fold(name) for name in taken}
    next_number: dict[str, int] = {}
    assigned = {}
    for key in sorted(wanted):
        name, suffix = wanted[key]
        stem = safe_stem(name)
        candidate = stem + suffix
        base = fold(candidate)
        number = next_number.get(base, 1)
        while fold(candidate) in used:
            number += 1
            candidate = f"{stem}-{number}{suffix}"
        next_number[base] = number
        used.add(fold(candidate))
        assigned[key] = candidate
    return assigned


def fold(name: str) -> str:
    """Return a form that is equal for names of one file on a system that ignores case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_forbidden(char: str) -> bool:
    return char in _FORBIDDEN or char in _BIDI_CONTROLS or unicodedata.category(char) in _INVISIBLE
