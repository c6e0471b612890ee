"""A button that loads the credits of jobs, which lists of jobs do not contain."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.fetch.usage import fetch_usage
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.messages import format_count, redirect_warnings
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import error_text
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.tables.schema import JOBS
from llama_batches_nb.tables.statuses import TERMINAL_STATUSES

FROM_A_DATASET = "Load them with lb.sync_dataset(…, jobs=True, usage=True)."
NONE_ENDED = "Their jobs have not ended."


class CreditLoader(widgets.VBox):
    """How many jobs have unknown credits, and a button to load them. Its space is always there.

    Parameters
    ----------
    runner
        That of the panel.
    task
        The name of the loader's task.
    get_client
        Returns the panel's client.
    on_loaded
        Called under the panel's lock with the jobs after the requests, also after a stop or an
        error: those that were not requested are as before.
    """

    def __init__(
        self,
        runner: TaskRunner,
        task: str,
        get_client: Callable[[], Client],
        on_loaded: Callable[[pd.DataFrame], object],
    ) -> None:
        self._runner, self._task = runner, task
        self._get_client, self._on_loaded = get_client, on_loaded
        self._jobs: pd.DataFrame | None = None  # those to ask for
        self._text = widgets.HTML()
        self.button = widgets.Button(description="Load credits")
        self.button.on_click(self.load)
        self.stop_button = widgets.Button(
            description="Stop loading", tooltip="Keep the credits so far"
        )
        self.stop_button.on_click(self.stop)
        self._status, self._alert = StatusLine(), widgets.HTML()
        parts = [self._text, self.button, self.stop_button, self._status]
        row = widgets.HBox(parts, layout={"flex_flow": "row wrap"}).add_class("lb-row")
        super().__init__([row, self._alert], layout={"min_height": "32px"})
        self.discard()

    def offer(self, files: pd.DataFrame, jobs: pd.DataFrame | None, *, fetch: bool) -> None:
        """Offer to load what is unknown about the jobs of files; without `fetch`, say how.

        `files` are outcomes. Nothing is shown if the jobs are not known or all credits are.
        """
        text, self._jobs = "", None
        if jobs is not None:
            n_jobs = files["job_id"].nunique()
            n_unknown = n_jobs - files["job_id"][files["credits"].notna()].nunique()
            if n_unknown:
                text = f"Credits are not known for {n_unknown:,} of {format_count(n_jobs, 'job')}."
                unknown = jobs[jobs["job_id"].isin(files["job_id"]) & jobs["credits"].isna()]
                self._jobs = unknown[unknown["status"].isin(list(TERMINAL_STATUSES))]
                n_ended = len(self._jobs)
                self.button.tooltip = f"Sends {format_count(n_ended, 'request')}, one per ended job"
                if not fetch:
                    text += f" {FROM_A_DATASET}"
                elif not n_ended:
                    text += f" {NONE_ENDED}"
        self._text.value = markup.text(text)
        can_load = fetch and self._jobs is not None and len(self._jobs) > 0
        self.button.layout.display = None if can_load else "none"
        is_empty = not (text or self._status.value or self._alert.value)
        self.layout.visibility = "hidden" if is_empty else None

    def load(self, *_: object) -> None:
        """Ask each ended job for its credits in the background."""
        with self._runner.lock:
            jobs = self._jobs
            if jobs is None or self._runner.is_running(self._task):
                return
            self._alert.value = ""
            self._set_loading(True)
            self._status.start("Loading credits …")
            self._runner.start(self._task, lambda: self._load(jobs))

    def stop(self, *_: object) -> None:
        """Stop loading; the credits loaded so far are kept."""
        self._status.show_message("Stopping …")
        self._runner.cancel(self._task)

    def discard(self) -> None:
        """Stop loading, ignore what it returns and show nothing."""
        self._runner.cancel_and_discard(self._task)
        self._jobs = None
        self._text.value = self._status.value = self._alert.value = ""
        self._set_loading(False)
        self.button.layout.display = "none"
        self.layout.visibility = "hidden"

    def html(self) -> str:
        """Return how many jobs have unknown credits as plain HTML."""
        return f"<p>{self._text.value}</p>" if self._text.value else ""

    def _load(self, jobs: pd.DataFrame) -> None:
        warnings: list[str] = []
        how, loaded = "Loaded", None
        try:
            with redirect_warnings(warnings.append):
                loaded = fetch_usage(
                    jobs,
                    JOBS,
                    {},
                    client=self._get_client(),
                    skip_failed=False,
                    progress=self._status.bar,
                )
        except Cancelled as error:
            how, loaded = "Stopped", error.partial
        except Exception as error:
            how, loaded = "Incomplete", getattr(error, "partial", None)
            warnings.append(error_text(error))
        problem = "\n".join(warnings)
        self._runner.update_ui(lambda: self._finish(jobs, loaded, how, problem))

    def _finish(
        self, jobs: pd.DataFrame, loaded: pd.DataFrame | None, how: str, problem: str
    ) -> None:
        loaded = jobs if loaded is None else loaded
        n_known = int(loaded["credits"].notna().sum())
        self._set_loading(False)
        self._alert.value = markup.alert(problem)
        self._status.finish(f"{how}: credits of {n_known:,} of {format_count(len(jobs), 'job')}")
        self._on_loaded(loaded)

    def _set_loading(self, loading: bool) -> None:
        self.button.disabled = loading
        self.stop_button.layout.display = None if loading else "none"
