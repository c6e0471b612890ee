"""The rows of the create panel: its batches, their frames, their code and their retries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets
import pandas as pd
import pyarrow as pa

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.http.client import Client
from llama_batches_nb.messages import warn
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import close_tree
from llama_batches_nb.panels.create import submit
from llama_batches_nb.panels.create.batch_row import BatchRow
from llama_batches_nb.panels.create.batch_run import BatchRun
from llama_batches_nb.panels.create.batch_spec import fetch_script, retry_code
from llama_batches_nb.panels.create.submit import RetryResult
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table


class BatchRows(widgets.VBox):
    """A row for each batch, in the order of creation.

    Parameters
    ----------
    client_argument
        ``["client=client"]`` or empty: the last argument of each call in the code.
    on_error
        Called with an error to show, or with None when an action starts.
    on_change
        Called when a batch's status or frames have changed.
    on_show_failures
        Called with the run whose failed files the user wants to see.
    """

    def __init__(
        self,
        client: Client,
        runner: TaskRunner,
        *,
        client_argument: Sequence[str] = (),
        on_error: OnError,
        on_change: Callable[[], object],
        on_show_failures: Callable[[BatchRun], object],
    ) -> None:
        self._client, self._runner, self._client_argument = client, runner, client_argument
        self._on_error, self._on_change = on_error, on_change
        self._on_show_failures = on_show_failures
        self._n_added = 0
        self.rows: list[BatchRow] = []
        super().__init__()

    @property
    def created(self) -> list[BatchRun]:
        """The runs whose batch exists."""
        return [row.run for row in self.rows if row.run.is_created]

    @property
    def batches(self) -> pd.DataFrame:
        """The batches, as last polled."""
        frame = _concat(BATCHES, [row.run.batch for row in self.rows])
        return records.to_pandas(BATCHES, []) if frame is None else frame

    @property
    def results(self) -> pd.DataFrame | None:
        """The results of the finished batches, or None."""
        return _concat(RESULTS, [row.run.results for row in self.rows])

    @property
    def jobs(self) -> pd.DataFrame | None:
        """The jobs of the finished batches, or None."""
        return _concat(JOBS, [row.run.jobs for row in self.rows])

    @property
    def files(self) -> pd.DataFrame | None:
        """The outcome of each file of the finished batches, or None."""
        results = self.results
        return None if results is None else outcomes(results, self.jobs)

    def code(self) -> str:
        """Return a script that fetches the same frames, or an empty string without batches."""
        created = self.created
        if not created:
            return ""
        lines = [line for run in created for line in run.create_code]
        return fetch_script(lines, [run.batch_id for run in created], self._client_argument)

    def html(self) -> str:
        """Return the rows as plain HTML."""
        return "".join(row.html() for row in self.rows)

    def add(self, run: BatchRun) -> BatchRow:
        """Add a row for a batch."""
        self._n_added += 1
        row = BatchRow(
            self._client,
            self._runner,
            f"batch {self._n_added}",
            run,
            on_error=self._on_error,
            on_change=self._on_change,
            on_show_failures=lambda row: self._on_show_failures(row.run),
            on_retry=self.retry,
        )
        self.rows.append(row)
        self.children = self.rows
        return row

    def remove(self, row: BatchRow) -> None:
        """Remove a row whose batch was not created."""
        self.rows.remove(row)
        self.children = self.rows
        close_tree(row)

    def follow(self, row: BatchRow, batch: pd.DataFrame) -> None:
        """Show a batch in its row, and its status until it has finished."""
        row.show_created(batch)
        self._runner.start(row.task_name, row.follow)

    def retry(self, failed: BatchRow) -> None:
        """Retry the failed files of a row in a new row."""
        with self._runner.lock:
            failed.retry_button.disabled = True
            batch_ids = [run.batch_id for run in failed.run.chain]
            row = self.add(_retry_of(failed.run, retry_code(batch_ids, self._client_argument)))
            row.show_preparing("Preparing the retry …")
            self._on_error(None)
        self._runner.start(row.task_name, lambda: self._retry(failed, row))

    def _retry(self, failed: BatchRow, row: BatchRow) -> None:
        files = failed.run.outcomes_of_chain()
        result = submit.retry(files, self._client, row.status_line.bar)
        if result.batches:
            row.run.batch = result.batches[0]  # before updates, which a closed panel skips
        for text in result.warnings:
            warn(text)
        self._runner.update_ui(lambda: self._show_retry(failed, row, result))

    def _show_retry(self, failed: BatchRow, row: BatchRow, result: RetryResult) -> None:
        if not result.batches:
            self.remove(row)
            failed.retry_button.disabled = False
            text = "" if result.error else "There was nothing to retry."
            failed.retry_prompt.show_message(text)
        if result.error is not None:
            self._on_error(result.error)
        for index, batch in enumerate(result.batches):
            self.follow(row if index == 0 else self.add(_retry_of(failed.run)), batch)


def _retry_of(failed: BatchRun, create_code: Sequence[str] = ()) -> BatchRun:
    title = f"retry of {markup.short(failed.batch_id)}"
    return BatchRun(title, create_code, earlier=failed.chain)


def _concat(table: Table, frames: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
    """Return the frames as one, with the dtypes of `table`; None if all are None."""
    parts = [
        pa.Table.from_pandas(frame, schema=table.arrow_schema, preserve_index=False)
        for frame in frames
        if frame is not None
    ]
    return records.concat_to_pandas(table, parts) if parts else None
