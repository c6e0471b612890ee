"""Write to stdout and to the log so that no text from a server or a file forges a line."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path

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


def print_text(text: str) -> None:
    """Print text, also where the encoding lacks a character or nobody reads the output.

    A pipe that was closed early, as by ``head``, does not change the exit code, nor does an output
    that is closed from the start, as by ``>&-``.
    """
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
