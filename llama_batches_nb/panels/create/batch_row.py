"""One batch that a panel makes: its row, from the upload to what became of its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.errors import BatchesError, ConflictError
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.cancel import cancel_batch
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.create.retry_prompt import RetryPrompt
from llama_batches_nb.panels.create.watcher import watch_batch
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

INDETERMINATE_BAR = '<progress aria-label="Batch under way"></progress>'  # how far is not told
MIN_PAUSE, MAX_PAUSE = 1.0, 30.0  # seconds between two looks at jobs that go on
PATIENCE = 600.0  # seconds for which jobs that go on after their batch are looked at


class BatchRow(widgets.VBox):
    """A row: how a batch stands, and what a person may do about it.

    Parameters
    ----------
    name
        That of the panel's thread in which the batch is made and followed.
    title
        What it is over, and with what.
    earlier
        The runs whose failed files this one runs again.
    made_by
        The lines of code that make the batch.
    show, retry, changed
        Called when its failures are to be shown, when they are to be run again, and when its frames
        have changed.
    """

    def __init__(
        self,
        runner: TaskRunner,
        get_client: Callable[[], Client],
        on_error: OnError,
        name: str,
        title: str,
        *,
        earlier: Sequence[BatchRow] = (),
        made_by: Sequence[str],
        show: Callable[[BatchRow], object],
        retry: Callable[[BatchRow], object],
        changed: Callable[[], object],
    ) -> None:
        self._runner, self._get_client, self._on_error = runner, get_client, on_error
        self.name, self._title = name, title
        self.chain = [*earlier, self]
        self.made_by = list(made_by)
        self._changed = changed
        self.batch = records.to_pandas(BATCHES, [])
        self.results: pd.DataFrame | None = None
        self.jobs: pd.DataFrame | None = None
        self._status = ""
        self._began = self._since = time.monotonic()
        self._asked_to_stop = self._may_stop = False
        self._stopping = ""

        self._head, self._bar, self.meter = (
            widgets.HTML(),
            widgets.HTML(INDETERMINATE_BAR),
            StatusLine(),
        )
        self.again = RetryPrompt(
            runner,
            get_client,
            on_error,
            f"{name} retry",
            self.files_of_chain,
            lambda: retry(self),
        )
        self.cancel_button = _button("Cancel batch", self.cancel)
        self.wait_button = _button("Wait again", self.wait_again)
        self.failures_button = _button("Show failures", lambda _: show(self))
        self.retry_button = _button("Retry failed", self.again.refresh)
        self._buttons = [
            self.cancel_button,
            self.wait_button,
            self.failures_button,
            self.retry_button,
        ]
        super().__init__(
            [_row([self._head, self._bar, self.meter]), _row(self._buttons), self.again]
        )
        self.add_class("lb-run")
        self._offer()

    @property
    def is_made(self) -> bool:
        """Whether there is a batch."""
        return len(self.batch) > 0

    @property
    def batch_id(self) -> str:
        """The batch, which there must be."""
        return str(self.batch["batch_id"].iloc[0])

    @property
    def ended(self) -> bool:
        """Whether the batch will not change any more."""
        return self._status in TERMINAL_STATUSES

    @property
    def status(self) -> str:
        """How the batch stands."""
        return self._status

    def html(self) -> str:
        """Return the row as plain HTML."""
        return f"<p>{self._head.value}</p>"

    # Before there is a batch

    def begin(self, doing: str, *, may_stop: bool) -> None:
        """Show what is done to make the batch."""
        self._head.value = f'<span role="status">{markup.text(doing)}</span>'
        self.meter.start("")
        self._may_stop = may_stop
        self._offer(*[self.cancel_button] * may_stop)

    def show_created(self, batch: pd.DataFrame) -> None:
        """Show a batch that was made; cancel it if that was wanted meanwhile."""
        self._began = time.monotonic()
        self.batch = batch
        self._offer(self.cancel_button)
        self._update_status(batch)
        if self._asked_to_stop:
            self._runner.start(f"{self.name} cancel", self._cancel)

    # While it runs

    def follow(self) -> None:
        """Show how the batch stands until it and its files have ended. For the thread."""
        try:
            batch = watch_batch(self._get_client(), self.batch_id, self._tick)
            self._runner.update_ui(lambda: self._update_status(batch))
            self._fetch_outcomes()
        except Cancelled:
            self._runner.update_ui(self._show_unwatched)
        except Exception as error:
            problem = error
            self._runner.update_ui(self._show_unwatched)
            self._runner.update_ui(lambda: self._on_error(problem))

    def cancel(self, *_: object) -> None:
        """Ask the service to stop the batch; while its files are uploaded, make none."""
        with self._runner.lock:
            if self._asked_to_stop or self.ended:
                return
            self._on_error(None)
            if self._may_stop and not self.is_made:
                self._runner.cancel(self.name)
                return
            self._asked_to_stop = self.cancel_button.disabled = True
            self._stopping = "asking it to stop"
        if self.is_made:
            self._runner.start(f"{self.name} cancel", self._cancel)

    def wait_again(self, *_: object) -> None:
        """Go on following the batch, or looking for its files."""
        self._on_error(None)
        self._offer(*[self.cancel_button] * (not self.ended))
        self._runner.start(self.name, self.follow)

    def _cancel(self) -> None:
        try:
            stands = cancel_batch(self.batch_id, client=self._get_client(), progress=False)
        except (BatchesError, Cancelled) as error:
            problem = error
            self._runner.update_ui(lambda: self._go_on(problem))
            if not isinstance(error, ConflictError):  # after that one it has ended
                return
        else:
            self._runner.update_ui(lambda: self._on_cancel_accepted(stands))
        self._runner.start(self.name, self.follow)  # it asks at once, and often at first

    def _on_cancel_accepted(self, stands: pd.DataFrame) -> None:
        self._stopping = "asked to stop"
        self._update_status(stands)
        self._tell_time()

    def _go_on(self, error: BatchesError | Cancelled) -> None:
        self._asked_to_stop = self.cancel_button.disabled = False
        self._stopping = ""
        if isinstance(error, BatchesError):
            cause = error.__cause__  # what the server said of this batch
            self._on_error(cause if isinstance(cause, BatchesError) else error)

    def _tick(self, batch: pd.DataFrame, note: str) -> None:
        if len(batch) and str(batch["status"].iloc[0]) != self._status:
            self._runner.update_ui(lambda: self._update_status(batch))
        self._tell_time(note)

    def _update_status(self, batch: pd.DataFrame) -> None:
        """Show how the batch stands; an answer that comes late does not undo its end."""
        status = str(batch["status"].iloc[0])
        if self.ended and status not in TERMINAL_STATUSES:
            return
        self.batch = batch
        if status == self._status:
            return
        self._status, self._since = status, time.monotonic()
        self._say_status()
        self._tell_time()
        if self.ended:
            self._offer()
        self._changed()

    def _say_status(self, what_became: str = "") -> None:
        id_, word = markup.short_id(self.batch_id), markup.status(self._status)
        self._head.value = (
            f'{id_} <span role="status"><b>{word}</b>{what_became}</span> '
            f'<span class="lb-muted">· {markup.text(self._title)}</span>'
        )

    def _tell_time(self, note: str = "") -> None:
        """Say since when it stands so, beside the status, which is not to be read out each time."""
        if self.ended:
            self.meter.value = ""
            return
        now = time.monotonic()
        so_far, in_all = (markup.duration(now - then) for then in (self._since, self._began))
        said = [f"for {so_far}" + ("" if so_far == in_all else f", {in_all} in all")]
        self.meter.value = markup.text(" · ".join(filter(None, (*said, self._stopping, note))))

    def _show_unwatched(self) -> None:
        """Show that nobody looks any more."""
        if not self.ended:
            said, offered = "Not watched; it goes on.", [self.cancel_button]
        elif self.results is None:
            said, offered = "What became of its files was not fetched.", []
        else:
            said = "Jobs that still run are not watched."
            offered = [self.failures_button, self.retry_button]
        self.meter.value = said
        self._offer(self.wait_button, *offered)
        self._bar.layout.display = "none"

    def _offer(self, *buttons: widgets.Button) -> None:
        """Show these buttons, and the bar while the batch is under way."""
        for one in self._buttons:
            one.layout.display = None if one in buttons else "none"
        under_way = self.is_made and not self.ended
        self._bar.layout.display = None if under_way else "none"

    # When it has ended

    def _fetch_outcomes(self) -> None:
        """Fetch what became of the files. Jobs may go on when their batch is `COMPLETED`."""
        self._runner.update_ui(lambda: self.meter.start("What became of its files …"))
        asked: dict[str, Any] = {"client": self._get_client(), "progress": self.meter.bar}
        results = fetch_results(self.batch_id, **asked)
        jobs = fetch_jobs(results, **asked)
        until, pause = time.monotonic() + PATIENCE, MIN_PAUSE
        while self._know_in_panel(results, jobs) and time.monotonic() < until:
            workers.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)
            jobs = fetch_jobs(results, client=self._get_client(), progress=False)

    def _know_in_panel(self, results: pd.DataFrame, jobs: pd.DataFrame) -> bool:
        """Show what became of the files; return whether more is to come."""
        files = outcomes(results, jobs)
        self._runner.update_ui(lambda: self._show_outcomes(results, jobs, files))
        return self._status == "COMPLETED" and (files["outcome"] == "job_running").any()

    def _show_outcomes(
        self, results: pd.DataFrame, jobs: pd.DataFrame, files: pd.DataFrame
    ) -> None:
        self.results, self.jobs = results, jobs
        failed = self._status == "FAILED"
        self._say_status(NOT_RELIABLE if failed else f": {in_words(files)}")
        self.meter.value = f'<span class="lb-muted">{_took(self.batch.iloc[0])}</span>'
        self.retry_button.disabled = failed
        self._offer(self.failures_button, self.retry_button)
        self._changed()

    def files_of_chain(self) -> pd.DataFrame:
        """Return the files of this run and of those that it retries, as `retry_failed` wants."""
        files: pd.DataFrame = pd.concat(
            [outcomes(run.results, run.jobs) for run in self.chain], ignore_index=True
        )
        return files


NOT_RELIABLE = ": its files are not reliably known. To run them all again, click New batch."


def in_words(files: pd.DataFrame) -> str:
    """Return what became of files: ``471 succeeded, 9 failed, 2 undecided``."""
    n_succeeded = int((files["outcome"] == "succeeded").sum())
    n_failed = int(files["outcome"].isin(FAILURE_OUTCOMES).sum())
    n_running = int((files["outcome"] == "job_running").sum())
    said = [f"{n_succeeded:,} succeeded", f"{n_failed:,} failed"]
    if undecided := len(files) - n_succeeded - n_failed:
        said.append(f"{undecided:,} undecided")
    return ", ".join(said) + (f" · {n_running:,} still run" if n_running else "")


def _took(batch: pd.Series[Any]) -> str:
    if pd.isna(batch.created_at) or pd.isna(batch.updated_at):
        return ""
    return f"after {markup.duration((batch.updated_at - batch.created_at).total_seconds())}"


def _button(label: str, click: Callable[..., object]) -> widgets.Button:
    button = widgets.Button(description=label)
    button.on_click(click)
    return button


def _row(parts: Sequence[widgets.Widget]) -> widgets.HBox:
    return widgets.HBox(list(parts), layout={"flex_flow": "row wrap"}).add_class("lb-row")
