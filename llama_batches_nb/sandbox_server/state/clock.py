"""Simulated time, as whole microseconds since 1970 in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME = datetime(9999, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000  # microseconds
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def to_microseconds(when: datetime) -> int:
    """Return the microseconds since 1970. A time without a time zone is UTC."""
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def format_time(at: int) -> str:
    """Format a time as the API does, such as `2026-08-01T14:03:05.123456Z`."""
    return (EPOCH + timedelta(microseconds=at)).isoformat()[:-6] + "Z"


class Clock:
    """A clock that runs at a multiple of real time and can be moved forward.

    Parameters
    ----------
    start : int
        Simulated time at the beginning.
    speed : float
        Simulated seconds per real second.
    """

    def __init__(self, start: int, speed: float) -> None:
        self.speed = speed
        self._start = start
        self._started = time.monotonic()

    def now(self) -> int:
        """Return the simulated time."""
        elapsed = time.monotonic() - self._started
        return min(self._start + int(elapsed * self.speed * SECOND), to_microseconds(MAX_TIME))

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._start += int(seconds * SECOND)
