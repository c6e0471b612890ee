"""Start threads where the system may allow no further one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from llama_batches_nb.errors import BatchesError


def daemon_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """Return a thread: one that hangs in the network must not keep the interpreter alive."""
    return threading.Thread(target=target, name=f"llama_batches_nb_{name}", daemon=True)


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises `BatchesError` if the system allows no further one."""
    try:
        thread.start()
    except RuntimeError as error:
        if "shutdown" in str(error):  # Python 3.12 and later start none while they exit
            raise BatchesError(
                "The interpreter is exiting, so no thread can be started. Wait for the result "
                "before the script ends."
            ) from error
        raise BatchesError(
            f"Cannot start another thread ({error}). Wait until other work has ended, or "
            "connect with a smaller max_workers. On Linux, `ulimit -u` shows the limit."
        ) from error
