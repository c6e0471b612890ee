"""The command `sync`, for cron and CI.

If stderr is not a terminal, the command writes log lines with UTC times instead of a progress bar:
one at the start, one per minute and one at the end. `EXIT_CODES` lists the exit codes.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from llama_batches_nb.cli.argument_types import argparse_type
from llama_batches_nb.cli.output import LineFormatter, format_error
from llama_batches_nb.dataset.state import STATE_FILE
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import SyncReport, sync_dataset
from llama_batches_nb.http.client import connect
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.messages import escape_control_chars, redirect_warnings
from llama_batches_nb.tables.arguments import format_time, parse_choices, parse_id
from llama_batches_nb.tables.statuses import BATCH_STATUSES
from llama_batches_nb.types import PageContent

DONE, FAILED, PARTIAL, INTERRUPTED, TERMINATED = 0, 1, 3, 130, 143
INVALID_ARGUMENTS = 2  # argparse's own exit code
EXIT_CODES = {
    DONE: "success: the dataset is complete for this request",
    FAILED: "failure: nothing was added to the dataset",
    INVALID_ARGUMENTS: "invalid arguments",
    PARTIAL: "partial: some data was added, but an error or a warning occurred, the list of\n"
    "       batches was incomplete, or the API did not know some batches or jobs",
    INTERRUPTED: "interrupted (SIGINT); completed days are kept",
    TERMINATED: "terminated (SIGTERM); completed days are kept",
}
LOG_INTERVAL = 60.0  # seconds between two progress lines

log = logging.getLogger("llama_batches_nb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Update a Parquet dataset from the API, as lb.sync_dataset does.\n"
        "The API key is read from LLAMA_CLOUD_API_KEY."
    )
    codes = (f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser.epilog = "\n".join(["exit codes:", *codes])
    to_time, to_id = argparse_type(format_time, "time"), argparse_type(parse_id, "id")
    add = parser.add_argument
    add(
        "path",
        type=argparse_type(Storage),
        help="folder of the dataset, or a URL that fsspec supports",
    )
    add("--jobs", action="store_true", help="also fetch the jobs that results refer to")
    add("--usage", action="store_true", help="also ask each job for its credits")
    add("--outputs", choices=get_args(PageContent), help="also keep pages and extracted data")
    add("--no-names", action="store_true", help="leave out files, directories, configurations")
    add(
        "--status",
        type=argparse_type(_status),
        nargs="+",
        action="extend",
        metavar="STATUS",
        help=f"only batches with one of these statuses: {', '.join(BATCH_STATUSES)}",
    )
    add(
        "--since",
        type=to_time,
        metavar="TIME",
        help="only batches created at or after this time (ISO 8601, UTC by default)",
    )
    add("--until", type=to_time, metavar="TIME", help="only batches created at or before this time")
    add("--directory", type=to_id, metavar="ID", help="only batches of this source directory")
    add("--project-id", type=to_id, metavar="ID", help="overrides LLAMA_CLOUD_PROJECT_ID")
    add("--quiet", action="store_true", help="print only warnings and errors")


def run(arguments: argparse.Namespace) -> int:
    """Sync, log the result, and return the exit code."""
    has_bar = sys.stderr.isatty() and not arguments.quiet
    storage, before = arguments.path, None
    warnings: list[str] = []

    def log_warning(message: str) -> None:
        log.warning("%s", message)
        warnings.append(message)

    with (
        _logging(logging.WARNING if has_bar or arguments.quiet else logging.INFO),
        redirect_warnings(log_warning),
        _sigterm_as_interrupt() as signals,
    ):
        try:
            before = storage.get(STATE_FILE) or b""
            report = _sync(arguments, True if has_bar else LogProgress)
        except KeyboardInterrupt:
            log.warning("Stopped. Completed days are kept; sync again to fetch the rest.")
            return TERMINATED if signals else INTERRUPTED
        except Exception as error:  # whatever its type, the exit code says what was added
            log.error("%s", format_error(error))  # noqa: TRY400 - no traceback
            return PARTIAL if _has_added(storage, before) else FAILED
        if has_bar:
            print(escape_control_chars(str(report)))
        is_complete = report.complete and not (report.gone or report.unknown_jobs or warnings)
        summary = "; ".join(line.strip(" .") for line in repr(report).splitlines())
        log.log(logging.INFO if is_complete else logging.WARNING, "%s", summary)
        return DONE if is_complete else PARTIAL


def _sync(arguments: argparse.Namespace, progress: Progress) -> SyncReport:
    with connect() as client:
        log.info("Syncing %r with %s.", arguments.path.name, client.base_url)
        return sync_dataset(
            arguments.path.name,
            jobs=arguments.jobs,
            usage=arguments.usage,
            outputs=arguments.outputs,
            names=not arguments.no_names,
            status=arguments.status,
            source_directory_id=arguments.directory,
            created_at_on_or_after=arguments.since,
            created_at_on_or_before=arguments.until,
            project_id=arguments.project_id,
            progress=progress,
            client=client,
        )


class LogProgress:
    """A replacement for a tqdm bar that logs the progress every `LOG_INTERVAL` seconds."""

    def __init__(self, *, desc: str, unit: str, total: int | None = None) -> None:
        self.n, self.total = 0, total
        self._label, self._postfix = f"{desc}: {unit}", ""
        self._next_log = time.monotonic() + LOG_INTERVAL

    def update(self, n: int) -> None:
        """Advance by `n`."""
        self.n += n
        self.refresh()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set the text after the count."""
        self._postfix = text
        if refresh:
            self.refresh()

    def refresh(self) -> None:
        """Log a line if the last one is `LOG_INTERVAL` seconds old."""
        if time.monotonic() < self._next_log:
            return
        self._next_log = time.monotonic() + LOG_INTERVAL
        of = "" if self.total is None else f" of {self.total:,}"
        postfix = f", {self._postfix}" if self._postfix else ""
        log.info("%s %s%s%s", self._label, f"{self.n:,}", of, postfix)

    def close(self) -> None:
        """Do nothing; `run` logs the last line."""


def _has_added(storage: Storage, before: bytes | None) -> bool:
    """Return whether the sync replaced any file; also if that cannot be read."""
    try:
        return before is not None and _files(storage.get(STATE_FILE) or b"") != _files(before)
    except Exception as error:
        log.warning("Whether data was added is unknown: %s", format_error(error))
        return True


def _files(state: bytes) -> object:
    return json.loads(state or b"{}").get("files") or None


@contextmanager
def _logging(level: int) -> Iterator[None]:
    """Write the package's log to stderr."""
    formatter = LineFormatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
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
    """Raise `KeyboardInterrupt` on the first SIGTERM; yield the list of the signals received.

    Further ones would interrupt the clean-up.
    """
    signals: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        signals.append(number)
        if len(signals) == 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGTERM, before)


def _status(text: str) -> str:
    (status,) = parse_choices("status", text, BATCH_STATUSES) or ()
    return status
