"""A row of the create panel: the status of one batch, and the buttons for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.dataset.outputs import save_outputs
from llama_batches_nb.errors import BatchesError, ConflictError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.cancel import cancel_batch
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.create.batch_run import BatchRun, failed_share, outcome_counts
from llama_batches_nb.panels.create.retry_prompt import RetryPrompt
from llama_batches_nb.panels.create.watcher import watch_batch, watch_files
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.panels.widgets.progress import StatusLine

INDETERMINATE_BAR = '<progress aria-label="Batch in progress"></progress>'
NO_RESULTS = "its results are not available yet."
UNRELIABLE = "file results are unreliable. To process all files again, click New batch."


class BatchRow(widgets.VBox):
    """The status of a batch and the buttons to cancel it, wait, show failures and retry.

    Parameters
    ----------
    task_name
        The task of `runner` that creates and follows the batch.
    run
        The batch to show.
    on_error
        Called with an error to show, or with None when an action starts.
    on_change
        Called when the batch's status or frames have changed.
    on_show_failures, on_retry
        Called with this row when the user asks for it.
    """

    def __init__(
        self,
        client: Client,
        runner: TaskRunner,
        task_name: str,
        run: BatchRun,
        *,
        on_error: OnError,
        on_change: Callable[[], object],
        on_show_failures: Callable[[BatchRow], object],
        on_retry: Callable[[BatchRow], object],
    ) -> None:
        self._client, self._runner = client, runner
        self.task_name, self.run = task_name, run
        self._on_error, self._on_change = on_error, on_change
        self._cancel_requested = self._can_stop = False
        self._cancel_note = ""

        self._head, self._title = widgets.HTML(), widgets.HTML()
        self._bar = widgets.HTML(INDETERMINATE_BAR)
        self.status_line = StatusLine()
        self.retry_prompt = RetryPrompt(
            client,
            runner,
            f"{task_name} retry",
            files=run.outcomes_of_chain,
            on_retry=lambda: on_retry(self),
            on_error=on_error,
        )
        self.cancel_button = _button("Cancel batch", self.cancel)
        self.wait_button = _button("Wait again", self.wait_again)
        self.failures_button = _button("Show failures", lambda _: on_show_failures(self))
        self.retry_button = _button("Retry failed", self.retry_prompt.refresh)
        self.save_button = _button("Save outputs", self.save_outputs)
        self.folder = widgets.Text(description="Save to", value="outputs")
        self.folder.add_class("lb-short")
        self._buttons: list[widgets.Widget] = [
            self.cancel_button,
            self.wait_button,
            self.failures_button,
            self.retry_button,
            self.save_button,
            self.folder,
        ]
        head = _row([self._head, self.status_line, self._bar, self._title])
        super().__init__([head, _row(self._buttons), self.retry_prompt])
        self.add_class("lb-run")
        self._show_buttons()

    def html(self) -> str:
        """Return the row as plain HTML."""
        return f"<p>{self._head.value} {self._title.value}</p>"

    def show_preparing(self, text: str, *, can_stop: bool = False) -> None:
        """Show a step before the batch exists, with a button to cancel it if it `can_stop`."""
        self._head.value = f'<span role="status">{markup.text(text)}</span>'
        self.status_line.start("")
        self._can_stop = can_stop
        self._show_buttons(*[self.cancel_button] * can_stop)

    def show_created(self, batch: pd.DataFrame) -> None:
        """Show the new batch, and cancel it if that was requested during its creation."""
        self.run.start_clock()
        self.run.batch = batch
        self._show_buttons(self.cancel_button)
        self._update(batch)
        if self._cancel_requested:
            self._runner.start(f"{self.task_name} cancel", self._send_cancel)

    # Buttons

    def wait_again(self, *_: object) -> None:
        """Follow the batch again after an error or a stop."""
        self._on_error(None)
        self._show_buttons(*[self.cancel_button] * (not self.run.has_finished))
        self._runner.start(self.task_name, self.follow)

    def save_outputs(self, *_: object) -> None:
        """Save the outputs of the succeeded files in the folder."""
        self._on_error(None)
        folder = self.folder.value.strip()
        self.save_button.disabled = True
        self._runner.start(f"{self.task_name} save", lambda: self._save_outputs(folder))

    def cancel(self, *_: object) -> None:
        """Cancel the batch, or its upload."""
        with self._runner.lock:
            if self._cancel_requested or self.run.has_finished:
                return
            self._on_error(None)
            if self._can_stop and not self.run.is_created:
                self._runner.cancel(self.task_name)
                return
            self._cancel_requested = self.cancel_button.disabled = True
            self._cancel_note = "requesting cancellation"
        if self.run.is_created:
            self._runner.start(f"{self.task_name} cancel", self._send_cancel)

    # Background tasks

    def follow(self) -> None:
        """Show the status until the batch and its jobs have finished; run this in a task."""
        update_ui = self._runner.update_ui
        try:
            batch = watch_batch(self._client, self.run.batch_id, self._on_status)
            update_ui(lambda: self._update(batch))
            update_ui(lambda: self.status_line.start("Loading file results …"))
            for results, jobs in watch_files(self._client, batch, self.status_line.bar):
                update_ui(partial(self._show_outcomes, results, jobs))
            update_ui(self._show_duration)
        except Cancelled:
            update_ui(self._show_not_watched)
        except Exception as error:
            problem = error
            update_ui(lambda: self._show_not_watched(problem))

    def _on_status(self, batch: pd.DataFrame, note: str) -> None:
        if len(batch) and str(batch["status"].iloc[0]) != self.run.status:
            self._runner.update_ui(lambda: self._update(batch))
        self._show_elapsed(note)

    def _send_cancel(self) -> None:
        try:
            batch = cancel_batch(self.run.batch_id, client=self._client, progress=False)
        except (BatchesError, Cancelled) as error:
            problem = error
            self._runner.update_ui(lambda: self._show_cancel_failed(problem))
            if not isinstance(error, ConflictError):  # a conflict: the batch has already finished
                return
        else:
            self._runner.update_ui(lambda: self._show_cancel_accepted(batch))
        self._runner.start(self.task_name, self.follow)  # polls at once, and often at first

    def _save_outputs(self, folder: str) -> None:
        files = self.run.outcomes()
        succeeded = files[files["outcome"].isin(["succeeded", "partial"])]
        text, problem = "", None
        try:
            save_outputs(
                succeeded,
                folder,
                errors="warn",
                progress=self.status_line.bar,
                client=self._client,
            )
            text = f"Outputs of {format_count(len(succeeded), 'file')} saved in {folder}"
        except Exception as error:
            problem = error
        except Cancelled:
            text = "Stopped; what was saved is kept."
        self._runner.update_ui(lambda: self._show_saved(text, problem))

    # Display

    def _show_saved(self, text: str, error: Exception | None) -> None:
        self.save_button.disabled = False
        self.status_line.show_message(text)
        if error is not None:
            self._on_error(error)

    def _update(self, batch: pd.DataFrame) -> None:
        """Store the batch and show a new status."""
        if not self.run.update(batch):
            return
        self._show_status()
        self._show_elapsed()
        if self.run.has_finished:
            self._show_buttons()
        self._on_change()

    def _show_status(self, result: str = "", failure_rate: float | None = None) -> None:
        batch_id = markup.short_id(self.run.batch_id)
        status = markup.batch_status(self.run.status, failure_rate)
        result = f": {result}" if result else ""
        self._head.value = f'{batch_id} <span role="status"><b>{status}</b>{result}</span>'
        self._title.value = f'<span class="lb-muted">{markup.text(self.run.title)}</span>'

    def _show_elapsed(self, note: str = "") -> None:
        """Show the time outside the status element: screen readers should not repeat it."""
        parts = [] if self.run.has_finished else [self.run.elapsed(), self._cancel_note, note]
        self.status_line.value = markup.text(" · ".join(filter(None, parts)))

    def _show_outcomes(self, results: pd.DataFrame, jobs: pd.DataFrame) -> None:
        self.run.results, self.run.jobs = results, jobs
        has_failed, rate = self.run.status == "FAILED", None
        if has_failed:
            text = UNRELIABLE
        elif results.empty and self.run.status == "COMPLETED":
            text = NO_RESULTS
        else:
            files = outcomes(results, jobs)
            text, rate = outcome_counts(files), failed_share(files)
        self._show_status(text, rate)
        self.retry_button.disabled = has_failed
        self._show_buttons(*self._finished_buttons())
        self._on_change()

    def _show_duration(self) -> None:
        self.status_line.value = f'<span class="lb-muted">{self.run.duration()}</span>'

    def _finished_buttons(self) -> list[widgets.Widget]:
        return [self.failures_button, self.retry_button, self.save_button, self.folder]

    def _show_not_watched(self, error: Exception | None = None) -> None:
        """Show that the batch is no longer followed, and why."""
        if not self.run.has_finished:
            text, buttons = "No longer watching; the batch is still running.", [self.cancel_button]
        elif self.run.results is None:
            text, buttons = "File results were not loaded.", []
        else:
            text = "No longer watching; jobs are still running."
            buttons = self._finished_buttons()
        self.status_line.value = text
        self._show_buttons(self.wait_button, *buttons)
        self._bar.layout.display = "none"
        if error is not None:
            self._on_error(error)

    def _show_cancel_accepted(self, batch: pd.DataFrame) -> None:
        self._cancel_note = "cancellation requested"
        self._update(batch)
        self._show_elapsed()

    def _show_cancel_failed(self, error: BatchesError | Cancelled) -> None:
        self._cancel_requested = self.cancel_button.disabled = False
        self._cancel_note = ""
        if isinstance(error, BatchesError):
            cause = error.__cause__  # the server's response for this batch
            self._on_error(cause if isinstance(cause, BatchesError) else error)

    def _show_buttons(self, *buttons: widgets.Widget) -> None:
        """Show only these buttons, and the progress bar while the batch is running."""
        for button in self._buttons:
            button.layout.display = None if button in buttons else "none"
        is_running = self.run.is_created and not self.run.has_finished
        self._bar.layout.display = None if is_running else "none"


def _button(label: str, on_click: Callable[..., object]) -> widgets.Button:
    button = widgets.Button(description=label)
    button.on_click(on_click)
    return button


def _row(children: Sequence[widgets.Widget]) -> widgets.HBox:
    return widgets.HBox(list(children), layout={"flex_flow": "row wrap"}).add_class("lb-row")
