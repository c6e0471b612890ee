"""A log handler that keeps the locals of all frames, as error trackers do, also in a kernel."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType

PACKAGES = ("llama_batches_nb", "requests", "urllib3", "http", "json")
LOGGERS = ("root", "llama_batches_nb", "urllib3", "requests")


def texts_of_frames(frames: Iterable[FrameType]) -> Iterator[str]:
    """Yield the locals of frames of the packages, as `repr` and as JSON."""
    for frame in frames:
        if frame.f_globals.get("__name__", "").startswith(PACKAGES):
            values = dict(frame.f_locals)
            yield f"{frame.f_code.co_qualname}: {values!r}"
            for name, value in values.items():
                text = json.dumps(value, default=repr, skipkeys=True)
                yield f"{frame.f_code.co_qualname}, {name}: {text}"


def texts_of_error(error: BaseException) -> Iterator[str]:
    """Yield the message, the attributes and the frames of an error and of its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield "".join(traceback.format_exception_only(seen))
        yield repr(vars(seen))
        yield from texts_of_frames(frame for frame, _ in traceback.walk_tb(seen.__traceback__))
        seen = seen.__cause__ or seen.__context__


class FrameLogger(logging.Handler):
    """A handler that keeps each record with the locals of the whole stack and of its error."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(LOGGERS):
            self.texts.append(record.getMessage())
            self.texts += texts_of_frames(f for f, _ in traceback.walk_stack(sys._getframe()))
            if record.exc_info and record.exc_info[1]:
                self.texts += texts_of_error(record.exc_info[1])
