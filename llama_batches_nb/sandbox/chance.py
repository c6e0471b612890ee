"""Chance without state: the same numbers in always give the same bits out."""

from __future__ import annotations

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def scramble(*numbers: int, after: int = 0) -> int:
    """Return 64 well mixed bits that depend on every number and on their order (splitmix64).

    `scramble(1, 2)` is `scramble(2, after=scramble(1))`.
    """
    x = after
    for number in numbers:
        x = (x + number + 1) * GOLDEN & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        x ^= x >> 31
    return x
