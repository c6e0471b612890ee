"""Ids that look like those of the API and decode to numbers, so that no index is needed."""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

IdKind = Literal[
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
ID_KINDS: tuple[IdKind, ...] = get_args(IdKind)
PREFIXES: dict[IdKind, str] = {
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
BITS = 122  # of a UUID, without its version and its variant
HALF_BITS = BITS // 2
MASK = (1 << BITS) - 1
MAJOR_BITS, MINOR_BITS = 40, 24
LAYOUT = "%08x-%04x-4%03x-%04x-%012x"
NODE_MASK = (1 << 48) - 1  # the last group of a UUID


class IdCodec:
    """Encode (kind, major, minor) as an id that looks like a random UUID, and decode it.

    Examples
    --------
    >>> ids = IdCodec(seed=0)
    >>> ids.decode("batch", ids.encode("batch", 12))
    (12, 0)
    >>> ids.decode("batch", "bat-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee") is None
    True
    """

    def __init__(self, seed: int) -> None:
        rng = Random(f"ids {seed}")
        self._factor1, self._factor2 = (rng.getrandbits(BITS) | 1 for _ in range(2))
        self._offset = rng.getrandbits(BITS)
        self._inverse1 = pow(self._factor1, -1, 1 << BITS)
        self._inverse2 = pow(self._factor2, -1, 1 << BITS)

    def encode(self, kind: IdKind, major: int, minor: int = 0) -> str:
        """Return the id of a record."""
        return self.encode_range(kind, major, range(minor, minor + 1))[0]

    def encode_range(self, kind: IdKind, major: int, minors: range) -> list[str]:
        """Return the ids of many records at once."""
        start = (ID_KINDS.index(kind) << MAJOR_BITS | major) << MINOR_BITS
        layout = PREFIXES[kind] + LAYOUT
        factor1, factor2, offset, ids = self._factor1, self._factor2, self._offset, []
        for minor in minors:
            x = ((start | minor) * factor1 + offset) & MASK
            x = ((x ^ x >> HALF_BITS) * factor2) & MASK
            x ^= x >> HALF_BITS
            groups = (
                x >> 90,
                x >> 74 & 0xFFFF,
                x >> 62 & 0xFFF,
                x >> 48 & 0x3FFF | 0x8000,
                x & NODE_MASK,
            )
            ids.append(layout % groups)
        return ids

    def decode(self, kind: IdKind, text: str) -> tuple[int, int] | None:
        """Return the major and the minor number of an id, or None if it is not of this kind."""
        digits = text.removeprefix(PREFIXES[kind]).replace("-", "")
        try:
            number = int(digits, 16)
        except ValueError:
            return None
        x = number >> 80 << 74 | (number >> 64 & 0xFFF) << 62 | number & ((1 << 62) - 1)
        x &= MASK
        x = ((x ^ x >> HALF_BITS) * self._inverse2) & MASK
        x ^= x >> HALF_BITS
        packed = ((x - self._offset) * self._inverse1) & MASK
        major, minor = packed >> MINOR_BITS & (1 << MAJOR_BITS) - 1, packed & (1 << MINOR_BITS) - 1
        return (major, minor) if self.encode(kind, major, minor) == text else None
