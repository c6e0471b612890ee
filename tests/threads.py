"""Threads of the package that are still running."""

from __future__ import annotations

import threading
import time

SOON = 10.0  # seconds within which a cancelled thread ends


def threads_left() -> list[str]:
    """Return the names of our threads that are still running after `SOON` seconds."""
    until = time.monotonic() + SOON
    while (left := _threads()) and time.monotonic() < until:
        left[0].join(0.1)
    return [thread.name for thread in left]


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("llama_batches_nb")]
