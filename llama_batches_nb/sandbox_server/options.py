"""What a sandbox can be told."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral

MAX_FILES = 1000  # files that one batch may have, as in the API
MAX_BATCHES = 1_000_000
YEARS = range(1970, 9999)
KEY = re.compile(r"[!-~]+")  # printable ASCII, as a header may carry it


@dataclass(frozen=True)
class Options:
    """Options of a sandbox.

    Parameters
    ----------
    seed : int
        The same seed, `now`, `batches`, `days` and `files` give the same bytes.
    api_key : str
        The bearer key that every request needs.
    port : int
        Port on 127.0.0.1; 0 takes a free one.
    batches, days : int
        How many batches the history has, and how many days it goes back.
    files : int or tuple of int
        Files per batch: exactly so many, or a range. Ranges are skewed: most batches are small.
    now : datetime, optional
        The end of the history, where the clock starts; naive is UTC. Default: the real time.
    speed : float
        How many times faster than real the clock runs; 0 stands still and is only stepped.
    latency : float
        Seconds that every answer takes longer.
    rate_limit : int, optional
        Requests a (real) minute; those above are answered by 429 with `Retry-After`.
    error_rate : float
        Share of requests answered by 500, 502 or 503. A 502 hides an answer: the work was done.
    drop_rate : float
        Share of requests whose connection is dropped unanswered; half of them after the work.
    throttle_rate : float
        Share of requests answered by 429.
    retry_after : float
        `Retry-After` of those, in seconds.

    Raises
    ------
    ValueError, TypeError
        If a value cannot be used; names the option, the value and what is possible.

    Examples
    --------
    >>> Options(seed=7, speed=20).batches
    320
    >>> Options(files=(1, 2000))
    Traceback (most recent call last):
    ValueError: files=(1, 2000): must be a number or a range within 1 to 1000
    """

    seed: int = 0
    api_key: str = field(default="llx-sandbox", repr=False)
    port: int = 0
    batches: int = 320
    days: int = 120
    files: tuple[int, int] | int = (1, MAX_FILES)
    now: datetime | None = None
    speed: float = 1.0
    latency: float = 0.0
    rate_limit: int | None = None
    error_rate: float = 0.0
    drop_rate: float = 0.0
    throttle_rate: float = 0.0
    retry_after: float = 1.0

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.api_key):
            raise ValueError("api_key: must be printable ASCII without spaces, and not empty")
        for name in ("seed", "port", "batches", "days"):
            if not isinstance(getattr(self, name), Integral):
                raise TypeError(f"{name}={getattr(self, name)!r}: must be a whole number")
        if not isinstance(self.now, datetime | None):
            raise TypeError(f"now={self.now!r}: must be a datetime")
        if self.now is not None and self.now.year not in YEARS:
            raise ValueError(f"now={self.now!r}: must be from {YEARS[0]} to {YEARS[-1]}")
        self._within("port", 0, 65535)
        self._within("batches", 0, MAX_BATCHES)
        self._within("days", 1, 3650)
        if self.rate_limit is not None:
            self._within("rate_limit", 1, 1_000_000)
        for name in ("speed", "latency", "retry_after"):
            self._within(name, 0, 1_000_000)
        for name in ("error_rate", "drop_rate", "throttle_rate"):
            self._within(name, 0, 1)
        if self.error_rate + self.drop_rate + self.throttle_rate > 1:
            raise ValueError("error_rate + drop_rate + throttle_rate: must not exceed 1")
        low, high = self.file_range
        if not 1 <= low <= high <= MAX_FILES:
            raise ValueError(
                f"files={self.files!r}: must be a number or a range within 1 to {MAX_FILES}"
            )

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ValueError(f"{name}={value!r}: must be from {low} to {high}")

    @property
    def file_range(self) -> tuple[int, int]:
        """Fewest and most files of a batch."""
        return (self.files, self.files) if isinstance(self.files, int) else self.files
