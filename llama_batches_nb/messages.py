"""Format names and text for messages, and issue warnings."""

from __future__ import annotations

import difflib
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


_LINE_ESCAPES = CONTROL_CHAR_ESCAPES | {
    n: ascii(chr(n))[1:-1]
    for n in (9, 10, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
"""Also line ends, tabs, and characters that change the direction of text."""


def escape_line(text: str) -> str:
    """Escape text so that it stays part of one line and is no command of a GitHub workflow.

    A line with ``##[`` is one, wherever that occurs; ``::`` only counts where a line starts.
    """
    return text.translate(_LINE_ESCAPES).replace("##[", "#\\#[")


def format_list(names: Iterable[str]) -> str:
    """Return the first names, quoted, for a message."""
    quoted = [repr(name) for name in names]
    more = ", …" if len(quoted) > MAX_LISTED_NAMES else ""
    return ", ".join(quoted[:MAX_LISTED_NAMES]) + more


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return `` Did you mean …?`` with the known name that is most like another; else nothing."""
    folded = {str(each).casefold(): str(each) for each in known}
    close = difflib.get_close_matches(str(name).strip().casefold(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


_PLURAL_VERBS = {"is": "are", "was": "were", "has": "have", "fails": "fail", "leads": "lead"}


def format_count(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``1,200 batches``."""
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def format_bytes(n: float) -> str:
    """Return a number of bytes as text: ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:,.0f} {unit}" if unit == "B" else f"{n:,.1f} {unit}"
        n /= 1000
    raise AssertionError


def plural(noun: str) -> str:
    """Return the plural of a regular noun."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"


def agree(n: int, verb: str) -> str:
    """Return a verb in the singular as it follows a number of things: ``is`` or ``are``."""
    return verb if n == 1 else _PLURAL_VERBS[verb]


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
