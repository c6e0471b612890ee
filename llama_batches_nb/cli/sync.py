"""The command `sync`, for a schedule: cron, CI.

Where stderr is no terminal it says what it does in lines of a log, with times in UTC, instead of a
bar: one at the start, one a minute, one at the end. `EXIT_CODES` tell how it went.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from llama_batches_nb.dataset.manifest import Chunk, Manifest
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import SyncReport, sync_dataset
from llama_batches_nb.errors import BatchesError, DatasetLockedError
from llama_batches_nb.http.client import connect
from llama_batches_nb.messages import redirect_warnings
from llama_batches_nb.tables.arguments import format_time, parse_choices, parse_id
from llama_batches_nb.tables.statuses import BATCH_STATUSES

T = TypeVar("T")

DONE, FAILED, PARTIAL, LOCKED, INTERRUPTED, TERMINATED = 0, 1, 3, 4, 130, 143
EXIT_CODES = {
    DONE: "all that was asked for is in the dataset",
    FAILED: "it failed, and nothing that it fetched was kept",
    2: "the arguments make no sense; nothing was asked",
    PARTIAL: "some was kept and not all: an error came later, the list was cut short, batches\n"
    "       or jobs are not known to the API any more, or there was another warning",
    LOCKED: "another process writes to the dataset",
    INTERRUPTED: "interrupted; what was committed before is kept",
    TERMINATED: "the same by SIGTERM, as when a job's time is up",
}
LOG_INTERVAL = 60.0  # seconds between two lines of a long run

log = logging.getLogger("llama_batches_nb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Bring a folder of Parquet up to date with the API, as lb.sync_dataset does.\n"
        "The key is that of LLAMA_CLOUD_API_KEY."
    )
    codes = (f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser.epilog = "\n".join(["exit codes:", *codes])
    a_time, an_id = _argparse_type(format_time, "time"), _argparse_type(parse_id, "id")
    add = parser.add_argument
    add("path", type=_argparse_type(Storage), help="a folder, or a URL that fsspec knows")
    add("--jobs", action="store_true", help="fetch the jobs of the results too")
    add(
        "--status",
        type=_argparse_type(_status),
        nargs="+",
        action="extend",
        metavar="S",
        help=f"only batches that are {', '.join(BATCH_STATUSES)}",
    )
    add("--since", type=a_time, metavar="TIME", help="only batches created from then on (ISO 8601)")
    add("--until", type=a_time, metavar="TIME", help="only batches created until then")
    add("--directory", type=an_id, metavar="ID", help="only batches over this source directory")
    add("--project-id", type=an_id, metavar="ID", help="instead of LLAMA_CLOUD_PROJECT_ID")
    add("--quiet", action="store_true", help="say nothing but warnings and errors")


def run(arguments: argparse.Namespace) -> int:
    """Sync, say what was done, and return the exit code."""
    has_bar = sys.stderr.isatty() and not arguments.quiet
    storage, before = arguments.path, None
    warned: list[str] = []

    def warn(message: str) -> None:
        log.warning("%s", message)
        warned.append(message)

    with (
        _logging(logging.WARNING if has_bar or arguments.quiet else logging.INFO),
        redirect_warnings(warn),
        _sigterm_as_interrupt() as terminated,
    ):
        try:
            before = _chunks(storage)
            report = _sync(arguments, True if has_bar else LogProgress)
        except KeyboardInterrupt:
            log.warning("Stopped. What was committed before is kept; sync again for the rest.")
            return TERMINATED if terminated else INTERRUPTED
        except (BatchesError, ImportError, OSError, ValueError) as error:
            log.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - it says enough
            if isinstance(error, DatasetLockedError):
                return LOCKED
            return FAILED if before in (None, _chunks(storage)) else PARTIAL
        if has_bar:
            print(report)
        is_whole = report.complete and not (report.gone or report.unknown_jobs or warned)
        said = "; ".join(line.strip(" .") for line in repr(report).splitlines())
        log.log(logging.INFO if is_whole else logging.WARNING, "%s", said)
        return DONE if is_whole else PARTIAL


def _sync(arguments: argparse.Namespace, progress: Any) -> SyncReport:
    with connect() as client:
        log.info("Syncing %r with %s.", arguments.path.name, client.base_url)
        return sync_dataset(
            arguments.path.name,
            jobs=arguments.jobs,
            status=arguments.status,
            source_directory_id=arguments.directory,
            created_at_on_or_after=arguments.since,
            created_at_on_or_before=arguments.until,
            project_id=arguments.project_id,
            progress=progress,
            client=client,
        )


class LogProgress:
    """Takes the place of a bar, and says now and then in the log how far it has come."""

    def __init__(self, *, desc: str, unit: str, total: int | None = None) -> None:
        self.n, self.total = 0, total
        self._what, self._note = f"{desc}: {unit}", ""
        self._due = time.monotonic() + LOG_INTERVAL

    def update(self, n: int) -> None:
        """Go on by so many."""
        self.n += n
        self.refresh()

    def set_postfix_str(self, note: str) -> None:
        """Have something more to say."""
        self._note = note
        self.refresh()

    def refresh(self) -> None:
        """Say how things stand, if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOG_INTERVAL
        of = "" if self.total is None else f" of {self.total:,}"
        log.info("%s %s%s%s", self._what, f"{self.n:,}", of, self._note and f", {self._note}")

    def close(self) -> None:
        """Say no more."""


def _chunks(storage: Storage) -> list[Chunk]:
    """Return what the dataset has, to see later whether something was kept."""
    manifest = Manifest.read(storage)
    return manifest.chunks if manifest else []


@contextmanager
def _logging(level: int) -> Iterator[None]:
    """Write our log to stderr."""
    form = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


@contextmanager
def _sigterm_as_interrupt() -> Iterator[list[int]]:
    """Have SIGTERM stop a sync as Ctrl-C does; give a list that then is not empty."""
    caught: list[int] = []

    def interrupt(number: int, frame: object) -> NoReturn:
        caught.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)


def _status(text: str) -> str:
    (word,) = parse_choices("status", text, BATCH_STATUSES) or ()
    return word


def _argparse_type(check: Callable[..., T], *name: str) -> Callable[[str], T]:
    """Return how an argument is read, so that the command's error has our words."""

    def read(text: str) -> T:
        try:
            return check(*name, text)
        except (ImportError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
