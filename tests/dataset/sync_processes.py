"""Syncs in processes of their own, that stop at any operation on the files of the dataset.

An operation is one of which Python informs audit hooks: opening, renaming, deleting or listing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import llama_batches_nb as lb
from llama_batches_nb.dataset import sync

Action = Literal["kill", "suspend", "fail"]
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.scandir"}
COMPLETED, FAILED, UNEXPECTED = 0, 1, 2
NOT_REACHED = 10  # added to these statuses if the sync had fewer operations


class SyncProcesses:
    """Start syncs of one project, each in a process of its own."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.dataset.sync_processes", url]
        self._parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()

    def start(
        self, path: Path, at: int = 0, action: Action = "suspend", hours: float = 0
    ) -> tuple[int, int]:
        """Sync until an operation, with a clock that differs by `hours`.

        Returns the process and its status: one of the above, -1 if it is suspended, or -9.
        """
        request = {"path": str(path), "at": at, "action": action, "hours": hours}
        return self._ask({"start": request})

    def resume(self, process: int) -> int:
        """Let a suspended sync continue, and return its status."""
        return self._ask({"resume": process})[1]

    def _ask(self, request: dict[str, Any]) -> tuple[int, int]:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        process, status = json.loads(self._parent.stdout.readline())
        return process, status


def main(url: str) -> None:
    """Start and resume processes as standard input says."""
    import fsspec  # noqa: F401
    import pyarrow.dataset
    import pyarrow.fs
    import pyarrow.parquet  # noqa: F401

    from llama_batches_nb.dataset import read  # noqa: F401  so that each process has all modules

    for line in sys.stdin:
        request = json.loads(line)
        if "resume" in request:
            process = request["resume"]
            os.kill(process, signal.SIGCONT)
        else:
            process = os.fork()
            if not process:
                os._exit(_sync(url, **request["start"]))
        _, status = os.waitpid(process, os.WUNTRACED)
        is_suspended = os.WIFSTOPPED(status)
        print(json.dumps([process, -1 if is_suspended else os.waitstatus_to_exitcode(status)]))
        sys.stdout.flush()


def _sync(url: str, path: str, at: int, action: Action, hours: float) -> int:
    sync.utc_now = lambda: datetime.now(UTC) + timedelta(hours=hours)
    n = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal n
        if event in EVENTS and str(arguments[0]).startswith(path):
            n += 1
            if n == at and action == "fail":
                raise OSError(28, "No space left on device")
            if n == at:
                os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)

    sys.addaudithook(count)
    try:
        lb.connect("llx-secret", base_url=url, max_retries=0)
        sync.sync_dataset(path, jobs=True, names=False, progress=False)
        status = COMPLETED
    except OSError:
        status = FAILED
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        status = UNEXPECTED
    return status if n >= at else status + NOT_REACHED


if __name__ == "__main__":
    main(sys.argv[1])
