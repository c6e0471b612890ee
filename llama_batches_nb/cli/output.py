"""Write to stdout, stderr and the log, whatever the text and the state of the streams."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.messages import escape_line

EXPECTED_ERRORS = (BatchesError, ImportError, OSError, ValueError)


class LineFormatter(logging.Formatter):
    """Format each log record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return escape_line(super().format(record))


def format_error(error: Exception) -> str:
    """Return the type and the message of an error, as one line.

    For an error that no code expects, also the place where it was raised.
    """
    line = escape_line(f"{type(error).__name__}: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, EXPECTED_ERRORS) or not frames:
        return line
    return f"{line} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let no fault of stdout or stderr change what a command does and returns.

    They may be closed from the start, as by ``>&-``, be closed early, as by ``| head``, lie on a
    full disk, or have an encoding that lacks a character.
    """
    with ExitStack() as stack:
        err = _Stream(sys.stderr or stack.enter_context(_null()))
        out = _Stream(sys.stdout or stack.enter_context(_null()), report=err)
        stack.enter_context(redirect_stderr(cast("TextIO", err)))
        stack.enter_context(redirect_stdout(cast("TextIO", out)))
        stack.callback(err.flush)  # not at exit, where an error would change the exit code
        stack.callback(out.flush)
        yield


def _null() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _Stream:
    """A stream of text that discards what cannot be written."""

    def __init__(self, stream: TextIO, report: _Stream | None = None) -> None:
        self._stream, self._report = stream, report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        known = text.encode(encoding, "backslashreplace").decode(encoding)
        self._attempt(lambda: self._stream.write(known))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            with suppress(OSError), _null() as null:
                os.dup2(null.fileno(), self._stream.fileno())  # also of what is in the buffer
            if self._report is not None and not isinstance(error, BrokenPipeError):
                self._report.write(f"The output could not be written: {error}\n")
