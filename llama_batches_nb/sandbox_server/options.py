"""Options of a sandbox: names, types, defaults, help texts and limits."""

import inspect
import re
import textwrap
from dataclasses import dataclass, field, fields
from datetime import datetime
from numbers import Integral, Real
from typing import Literal, TypedDict, get_args

MAX_FILES = 1000  # files per batch, as in the API
MAX_BATCHES = 1_000_000
YEARS = range(1970, 9999)
API_KEY = re.compile(r"[!-~]+")  # printable ASCII, the characters that a header may hold

Plan = Literal["free", "pro"]
TotalSize = Literal["exact", "null", "zero", "missing"]


class SandboxOptions(TypedDict, total=False):
    """Keyword arguments of `sandbox`, for editors and type checkers. See `Options`."""

    seed: int
    api_key: str
    port: int
    batches: int
    days: int
    files: tuple[int, int] | int
    now: datetime | None
    speed: float
    job_delay: float
    results_delay: float
    billing_delay: float
    failed_pages: float
    usage_in_lists: bool
    bill_failed_jobs: bool
    retention: float | None
    url_lifetime: float
    plan: Plan
    usage_limit: int | None
    max_page_size: int | None
    total_size: TotalSize
    object_details: bool
    latency: float
    rate_limit: int | None
    error_rate: float
    drop_rate: float
    throttle_rate: float
    retry_after: float


DELAYS = ("job_delay", "results_delay", "billing_delay", "url_lifetime")

HELP = {
    "seed": "Seed of the sample data. The same seed, now, batches, days and files give the same "
    "responses, byte for byte.",
    "api_key": "API key that each request must send as a bearer token.",
    "port": "Port on 127.0.0.1. 0 selects a free port.",
    "batches": "Number of batches in the sample data.",
    "days": "Days that the sample data covers, up to now.",
    "files": "Files per batch: a number or a range, such as 1-1000 on the command line and "
    "(1, 1000) in Python. Most batches are small.",
    "now": "Time at which the sample data ends and the simulated clock starts, in ISO 8601 on the "
    "command line. A time without a time zone is UTC. By default the current time.",
    "speed": "Simulated seconds per real second. 0 stops the clock; Sandbox.advance still moves "
    "it.",
    "job_delay": "Simulated seconds, at most, that jobs of a COMPLETED batch still run. Most "
    "batches have such jobs. 0: all jobs end before their batch.",
    "results_delay": "Simulated seconds, at most, from the end of a batch to its results, which "
    "are null until then; some job references appear up to as much later. 0: at once.",
    "billing_delay": "Simulated seconds, at most, from the end of a job to its credits, which are "
    "null until then.",
    "failed_pages": "Share of COMPLETED parse jobs, from 0 to 1, in which some pages failed.",
    "usage_in_lists": "Fill in usage in job lists, and without expand=usage. The documentation "
    "leaves open whether the API does.",
    "bill_failed_jobs": "Bill failed jobs for the pages they completed. The documentation leaves "
    "open whether the API does.",
    "retention": "Simulated hours after which a job gets HTTP 404, 48 in the API. By default jobs "
    "are kept, so that the sample data can be analysed.",
    "url_lifetime": "Simulated seconds until a presigned URL expires.",
    "plan": "Plan of the project: free or pro. With free, batches get HTTP 403.",
    "usage_limit": "Number of creates (directories, files, batches and others) until the monthly "
    "usage limit is reached and further ones get HTTP 402. By default there is no limit.",
    "max_page_size": "Largest page_size; a larger one gets HTTP 422. By default 1000, and a larger "
    "one returns 1000 items.",
    "total_size": "What lists report as total_size: exact, null, zero or missing.",
    "object_details": "Make the detail of errors an object instead of a text.",
    "latency": "Seconds to wait before each response.",
    "rate_limit": "Requests per real minute. Further requests get HTTP 429 with Retry-After. By "
    "default there is no limit.",
    "error_rate": "Share of requests, from 0 to 1, that get HTTP 500, 502 or 503. With 502 the "
    "request is processed but its response is lost.",
    "drop_rate": "Share of requests, from 0 to 1, whose connection closes without a response, half "
    "of them after the request was processed.",
    "throttle_rate": "Share of requests, from 0 to 1, that get HTTP 429.",
    "retry_after": "Seconds in the Retry-After header of the HTTP 429 responses that throttle_rate "
    "causes.",
}
"""The documentation of each option, for `--help` and for the docstring of `Options`."""


@dataclass(frozen=True)
class Options:
    """Options of a sandbox, checked when they are set.

    Raises
    ------
    ValueError, TypeError
        If a value is invalid. The message names the option, the value and the valid range.

    Examples
    --------
    >>> Options(seed=7, speed=20).batches
    320
    >>> Options(files=(1, 2000))
    Traceback (most recent call last):
    ValueError: files=(1, 2000): must be a number or a range within 1 to 1000, such as (1, 1000)
    """

    seed: int = 0
    api_key: str = field(default="llx-sandbox", repr=False)
    port: int = 0
    batches: int = 320
    days: int = 120
    files: tuple[int, int] | int = (1, MAX_FILES)
    now: datetime | None = None
    speed: float = 1.0
    job_delay: float = 120.0
    results_delay: float = 5.0
    billing_delay: float = 30.0
    failed_pages: float = 0.05
    usage_in_lists: bool = False
    bill_failed_jobs: bool = True
    retention: float | None = None
    url_lifetime: float = 900.0
    plan: Plan = "pro"
    usage_limit: int | None = None
    max_page_size: int | None = None
    total_size: TotalSize = "exact"
    object_details: bool = False
    latency: float = 0.0
    rate_limit: int | None = None
    error_rate: float = 0.0
    drop_rate: float = 0.0
    throttle_rate: float = 0.0
    retry_after: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.api_key, str) or not API_KEY.fullmatch(self.api_key):
            raise ValueError("api_key: must be printable ASCII without spaces, and not empty")
        for name in ("seed", "port", "batches", "days"):
            if not isinstance(getattr(self, name), Integral):
                raise TypeError(f"{name}={getattr(self, name)!r:.80}: must be a whole number")
        for name in ("usage_in_lists", "bill_failed_jobs", "object_details"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: must be True or False")
        for name, choices in (("plan", get_args(Plan)), ("total_size", get_args(TotalSize))):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name}={value!r:.80}: must be {' or '.join(choices)}")
        if not isinstance(self.now, datetime | None):
            raise TypeError(f"now={self.now!r}: must be a datetime")
        if self.now is not None and self.now.year not in YEARS:
            raise ValueError(f"now={self.now!r}: must be from {YEARS[0]} to {YEARS[-1]}")
        self._check_range("port", 0, 65535)
        self._check_range("batches", 0, MAX_BATCHES)
        self._check_range("days", 1, 3650)
        for name, low in (("rate_limit", 1), ("usage_limit", 0), ("retention", 0)):
            if getattr(self, name) is not None:
                self._check_range(name, low, 1_000_000)
        if self.max_page_size is not None:
            self._check_range("max_page_size", 1, 1000)
        for name in ("speed", "latency", "retry_after", *DELAYS):
            self._check_range(name, 0, 1_000_000)
        for name in ("error_rate", "drop_rate", "throttle_rate", "failed_pages"):
            self._check_range(name, 0, 1)
        if self.error_rate + self.drop_rate + self.throttle_rate > 1:
            raise ValueError("error_rate + drop_rate + throttle_rate: must not exceed 1")
        try:
            low, high = self.file_range
            are_whole = all(isinstance(n, Integral) for n in self.file_range)
            is_valid = are_whole and 1 <= low <= high <= MAX_FILES
        except (TypeError, ValueError):
            is_valid = False
        if not is_valid:
            raise ValueError(
                f"files={self.files!r}: must be a number or a range within 1 to {MAX_FILES}, "
                f"such as (1, {MAX_FILES})"
            )

    def _check_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not _is_number(value):
            raise TypeError(f"{name}={value!r:.80}: must be a number")
        if not low <= value <= high:
            raise ValueError(f"{name}={value!r}: must be from {low} to {high}")

    @property
    def file_range(self) -> tuple[int, int]:
        """Smallest and largest number of files per batch."""
        return (self.files, self.files) if isinstance(self.files, int) else self.files


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _parameters_section() -> str:
    """Return the numpydoc section of all options."""
    lines = ["Parameters", "----------"]
    for option in fields(Options):
        annotation = inspect.formatannotation(option.type)
        lines.append(f"{option.name} : {annotation}, default {option.default!r}")
        text = HELP[option.name]
        lines += textwrap.wrap(text, 92, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


_summary, _raises, _rest = inspect.cleandoc(Options.__doc__ or "").partition("Raises\n")
Options.__doc__ = f"{_summary}{_parameters_section()}\n\n{_raises}{_rest}"
