"""Format names and text for messages, and issue warnings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MAX_LISTED_NAMES = 5  # in a message

CONTROL_CHAR_ESCAPES = {
    n: ascii(chr(n))[1:-1] for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"
}
"""Control characters, except line feed and tab, and their visible escapes."""


def escape_control_chars(text: str) -> str:
    """Escape control characters, so that text from a server cannot control a terminal."""
    return text.translate(CONTROL_CHAR_ESCAPES)


def format_list(names: Iterable[str]) -> str:
    """Return the first names, quoted, for a message."""
    quoted = [repr(name) for name in names]
    more = ", …" if len(quoted) > MAX_LISTED_NAMES else ""
    return ", ".join(quoted[:MAX_LISTED_NAMES]) + more


# A thread starts with an empty context and so does not inherit the redirection.
_warning_callback: ContextVar[Callable[[str], object] | None] = ContextVar(
    "_warning_callback", default=None
)


@contextmanager
def redirect_warnings(callback: Callable[[str], object]) -> Iterator[None]:
    """Pass the warnings of this thread to a callback; threads share `warnings.showwarning`."""
    token = _warning_callback.set(callback)
    try:
        yield
    finally:
        _warning_callback.reset(token)


def warn(message: str) -> None:
    """Issue a warning whose location is the calling line outside this package."""
    message = escape_control_chars(message)
    if (callback := _warning_callback.get()) is not None:
        callback(message)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
