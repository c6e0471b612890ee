"""Running failed files again: what that would do, and a second click that does it."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.retry import retry_failed
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner

MAX_REASONS = 3


class RetryPrompt(widgets.HBox):
    """Words about a retry and the button that starts it, which works once."""

    def __init__(
        self,
        runner: TaskRunner,
        get_client: Callable[[], Client],
        on_error: OnError,
        name: str,
        files: Callable[[], pd.DataFrame],
        retry: Callable[[], object],
    ) -> None:
        self._runner, self._get_client, self._on_error = runner, get_client, on_error
        self._name, self._files, self._retry = name, files, retry
        self._is_planned = False
        self.button = widgets.Button(button_style="primary")
        self.button.on_click(self.retry)
        self._said = widgets.HTML()
        super().__init__([self.button, self._said], layout={"flex_flow": "row wrap"})
        self.add_class("lb-row")
        self.show_message("")

    def show_message(self, words: str) -> None:
        """Show words, and the button if there is something to run again."""
        self._said.value = f'<span role="status">{markup.text(words)}</span>' if words else ""
        self.button.layout.display = None if self._is_planned else "none"
        self.layout.display = None if words else "none"

    def refresh(self, *_: object) -> None:
        """Say what a retry would do."""
        self._on_error(None)
        self._is_planned = False
        self.show_message("Looking which files can be run again …")
        self._runner.start(self._name, self._look)

    def retry(self, *_: object) -> None:
        """Do what was said, once."""
        with self._runner.lock:
            if not self._is_planned:
                return
            self._is_planned = False
            self.show_message("They are run again below.")
        self._retry()

    def _look(self) -> None:
        try:
            plan = retry_failed(
                self._files(), dry_run=True, client=self._get_client(), progress=False
            )
        except (BatchesError, Cancelled) as error:
            problem = error
            self._runner.update_ui(lambda: self._fail(problem))
        else:
            self._runner.update_ui(lambda: self._show(plan))

    def _fail(self, error: BatchesError | Cancelled) -> None:
        self.show_message("")
        if isinstance(error, BatchesError):
            self._on_error(error)

    def _show(self, plan: pd.DataFrame) -> None:
        n_files = int((plan["action"] == "retry").sum())
        self._is_planned = n_files > 0
        self.button.description = f"Retry {markup.count(n_files, 'file')}"
        self.show_message(in_words(plan))


def in_words(plan: pd.DataFrame) -> str:
    """Say what a retry would do, what it would leave out, and why."""
    n_files = int((plan["action"] == "retry").sum())
    n_batches = int(plan["new_batch"].nunique())
    said = ["There is nothing to run again."]
    if n_files:
        files, batches = markup.count(n_files, "file"), markup.count(n_batches, "new batch")
        said = [f"{files} would be run again in {batches}, without an upload."]
    reasons = plan["reason"][plan["action"] != "retry"].value_counts()
    said += [
        f"Not {markup.count(int(n), 'file')}: {reason}."
        for reason, n in reasons.head(MAX_REASONS).items()
    ]
    if len(reasons) > MAX_REASONS:
        said.append(f"{len(reasons) - MAX_REASONS:,} more reasons are in retry_failed's plan.")
    return " ".join(said)
