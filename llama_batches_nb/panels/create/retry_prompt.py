"""The prompt before a retry: what it would do, and the button that starts it."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.retry import retry_failed
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner

MAX_REASONS = 3  # reasons for skipped files that are listed


class RetryPrompt(widgets.HBox):
    """A retry plan and the button that runs it once.

    Parameters
    ----------
    task_name
        The task of `runner` that fetches the plan.
    files
        Returns the outcomes to retry.
    on_retry
        Called when the user clicks the button.
    on_error
        Called with an error to show, or with None when the plan is requested.
    """

    def __init__(
        self,
        client: Client,
        runner: TaskRunner,
        task_name: str,
        *,
        files: Callable[[], pd.DataFrame],
        on_retry: Callable[[], object],
        on_error: OnError,
    ) -> None:
        self._client, self._runner, self._task_name = client, runner, task_name
        self._files, self._on_retry, self._on_error = files, on_retry, on_error
        self._is_ready = False
        self.button = widgets.Button(button_style="primary")
        self.button.on_click(self.retry)
        self._text = widgets.HTML()
        super().__init__([self.button, self._text], layout={"flex_flow": "row wrap"})
        self.add_class("lb-row")
        self.show_message("")

    def show_message(self, text: str) -> None:
        """Show text, with the button if a retry is ready; hide the prompt if it is empty."""
        self._text.value = f'<span role="status">{markup.text(text)}</span>' if text else ""
        self.button.layout.display = None if self._is_ready else "none"
        self.layout.display = None if text else "none"

    def refresh(self, *_: object) -> None:
        """Fetch and show the plan."""
        self._on_error(None)
        self._is_ready = False
        self.show_message("Checking which files can be retried …")
        self._runner.start(self._task_name, self._load_plan)

    def retry(self, *_: object) -> None:
        """Run the plan, once."""
        with self._runner.lock:
            if not self._is_ready:
                return
            self._is_ready = False
            self.show_message("Retrying below.")
        self._on_retry()

    def _load_plan(self) -> None:
        try:
            plan = retry_failed(self._files(), dry_run=True, client=self._client, progress=False)
        except (BatchesError, Cancelled) as error:
            problem = error
            self._runner.update_ui(lambda: self._show_failed(problem))
        else:
            self._runner.update_ui(lambda: self._show_plan(plan))

    def _show_failed(self, error: BatchesError | Cancelled) -> None:
        self.show_message("")
        if isinstance(error, BatchesError):
            self._on_error(error)

    def _show_plan(self, plan: pd.DataFrame) -> None:
        n_files = int((plan["action"] == "retry").sum())
        self._is_ready = n_files > 0
        self.button.description = f"Retry {format_count(n_files, 'file')}"
        self.show_message(plan_text(plan))


def plan_text(plan: pd.DataFrame) -> str:
    """Return what a retry would do, how many files it would skip, and why."""
    n_files = int((plan["action"] == "retry").sum())
    files = format_count(n_files, "file")
    batches = format_count(int(plan["new_batch"].nunique()), "new batch")
    sentences = [
        f"Would retry {files} in {batches}; no upload needed." if n_files else "Nothing to retry."
    ]
    reasons = plan["reason"][plan["action"] != "retry"].value_counts()
    sentences += [
        f"Skipped {format_count(int(n), 'file')}: {reason}."
        for reason, n in reasons.head(MAX_REASONS).items()
    ]
    if len(reasons) > MAX_REASONS:
        n_more = len(reasons) - MAX_REASONS
        sentences.append(
            f"For {format_count(n_more, 'more reason')}, see retry_failed(…, dry_run=True)."
        )
    return " ".join(sentences)
