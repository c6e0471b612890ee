"""Ids that look like the API's and can be read back, so that nothing has to be kept to find it."""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

Kind = Literal[
    "project",
    "organization",
    "directory",
    "file",
    "stored",
    "configuration",
    "batch",
    "parse_v2",
    "extract_v2",
    "page",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIXES: dict[Kind, str] = {
    "project": "prj-",
    "organization": "org-",
    "directory": "dir-",
    "file": "dfl-",
    "stored": "",
    "configuration": "cfg-",
    "batch": "bat-",
    "parse_v2": "pjb-",
    "extract_v2": "ejb-",
    "page": "",
}
BITS = 122  # of a UUID that say neither its version nor its variant
HALF = BITS // 2
MASK = (1 << BITS) - 1
MAJOR_BITS, MINOR_BITS = 40, 24
LAYOUT = "%08x-%04x-4%03x-%04x-%012x"
LOW = (1 << 48) - 1  # the bits of a UUID's last group


class Ids:
    """A reversible scramble of (kind, major, minor) into UUIDs of version 4's looks.

    Examples
    --------
    >>> ids = Ids(seed=0)
    >>> ids.read("batch", ids.make("batch", 12))
    (12, 0)
    >>> ids.read("batch", "bat-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee") is None
    True
    """

    def __init__(self, seed: int) -> None:
        draw = Random(f"ids {seed}")
        self._first, self._second = (draw.getrandbits(BITS) | 1 for _ in range(2))
        self._offset = draw.getrandbits(BITS)
        self._first_back = pow(self._first, -1, 1 << BITS)
        self._second_back = pow(self._second, -1, 1 << BITS)

    def make(self, kind: Kind, major: int, minor: int = 0) -> str:
        """Return the id of a thing."""
        return self.series(kind, major, range(minor, minor + 1))[0]

    def series(self, kind: Kind, major: int, minors: range) -> list[str]:
        """Return the ids of many things at once."""
        start = (KINDS.index(kind) << MAJOR_BITS | major) << MINOR_BITS
        layout = PREFIXES[kind] + LAYOUT
        first, second, offset, made = self._first, self._second, self._offset, []
        for minor in minors:
            x = ((start | minor) * first + offset) & MASK
            x = ((x ^ x >> HALF) * second) & MASK
            x ^= x >> HALF
            parts = (x >> 90, x >> 74 & 0xFFFF, x >> 62 & 0xFFF, x >> 48 & 0x3FFF | 0x8000, x & LOW)
            made.append(layout % parts)
        return made

    def read(self, kind: Kind, text: str) -> tuple[int, int] | None:
        """Return the major and minor number of an id; None if it is no id of that kind."""
        digits = text.removeprefix(PREFIXES[kind]).replace("-", "")
        try:
            whole = int(digits, 16)
        except ValueError:
            return None
        x = whole >> 80 << 74 | (whole >> 64 & 0xFFF) << 62 | whole & ((1 << 62) - 1)
        x &= MASK
        x = ((x ^ x >> HALF) * self._second_back) & MASK
        x ^= x >> HALF
        packed = ((x - self._offset) * self._first_back) & MASK
        major, minor = packed >> MINOR_BITS & (1 << MAJOR_BITS) - 1, packed & (1 << MINOR_BITS) - 1
        return (major, minor) if self.make(kind, major, minor) == text else None
