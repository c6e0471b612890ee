"""Format names and text for messages, and issue warnings."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

MAX_LISTED_NAMES = 5  # in a message


CONTROL_CHAR_ESCAPES = {
    n: ascii(chr(n))[1:-1] for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"
}
"""The characters that a terminal obeys, and how they are written to be seen."""


def escape_control_chars(text: str) -> str:
    """Return text that a terminal only shows: what a server says must not move its cursor."""
    return text.translate(CONTROL_CHAR_ESCAPES)


def format_list(names: Iterable[str]) -> str:
    """Return the first few names, quoted, for a message."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:MAX_LISTED_NAMES]) + (", …" if len(shown) > MAX_LISTED_NAMES else "")


_this_thread = threading.local()


@contextmanager
def redirect_warnings(tell: Callable[[str], object]) -> Iterator[None]:
    """Have what this thread would warn of told to `tell`, for threads share `warnings`."""
    _this_thread.tell = tell
    try:
        yield
    finally:
        del _this_thread.tell


def warn(message: str) -> None:
    """Warn, and point at the line outside this package that led here."""
    message = escape_control_chars(message)
    if (tell := getattr(_this_thread, "tell", None)) is not None:
        tell(message)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
