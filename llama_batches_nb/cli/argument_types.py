"""Types of command-line arguments, whose errors argparse prints with the usage."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from llama_batches_nb.tables.arguments import format_time

T = TypeVar("T")

_AGE = re.compile(r"(\d{1,6})\s*(w|d|h|min)", re.ASCII | re.IGNORECASE)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "min": "minutes"}
_PERCENTAGE = re.compile(r"([^%]+?)\s*%")


def argparse_type(parse: Callable[..., T], *name: str) -> Callable[[str], T]:
    """Return an argparse type whose error message is that of `parse`."""

    def convert(text: str) -> T:
        try:
            return parse(*name, text)
        except (ImportError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def parse_rate(text: str) -> float:
    """Return a rate, at least 0 and less than 1, from a percentage or a fraction."""
    percentage = _PERCENTAGE.fullmatch(text.strip())
    try:
        rate = float(percentage[1]) / 100 if percentage else float(text)
    except ValueError:
        rate = math.nan
    if 0 <= rate < 1 and "_" not in text:
        return rate
    hint = f" For {text.strip()} percent write {text.strip()}%." if 1 <= rate < 100 else ""
    raise ValueError(
        f"{text!r} is not a rate from 0 to less than 100 %: write 5% or 0.05."
        f"{'' if percentage else hint}"
    )


def add_since(parser: argparse.ArgumentParser) -> None:
    """Add the option `--since` of commands that read a dataset."""
    parser.add_argument(
        "--since",
        type=argparse_type(parse_since),
        metavar="TIME",
        help="only files of batches created since then: an age such as 7d, 12h or 30min, or a time "
        "(ISO 8601, UTC by default)",
    )


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """Return the time of an age such as ``7d`` or ``12h``, or of an ISO 8601 text."""
    now = now or datetime.now(UTC)
    if age := _AGE.fullmatch(text.strip()):
        try:
            since = now - timedelta(**{_UNITS[age[2].lower()]: int(age[1])})
        except OverflowError:
            since = datetime.min.replace(tzinfo=UTC)
    else:
        try:
            since = datetime.fromisoformat(format_time("time", text) or "")
        except ValueError as error:
            raise ValueError(
                f"{text!r} is neither an age such as 7d, 12h or 30min nor a time in ISO 8601 such "
                "as 2026-08-01."
            ) from error
    if since >= now:
        raise ValueError(f"{text!r} is not before the current time: no batch is newer.")
    return since
