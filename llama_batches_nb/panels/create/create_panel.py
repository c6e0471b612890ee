"""The panel that creates batches and follows them until they have finished."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    UnconfirmedCreateError,
)
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import Panel
from llama_batches_nb.panels.browse.batch_files import BatchFiles
from llama_batches_nb.panels.browse.filters import fetch_names
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.create.batch_row import BatchRow
from llama_batches_nb.panels.create.batch_rows import BatchRows
from llama_batches_nb.panels.create.batch_run import BatchRun
from llama_batches_nb.panels.create.batch_spec import BatchSpec, create_script
from llama_batches_nb.panels.create.candidates import CandidateBatches
from llama_batches_nb.panels.create.creator import BatchCreator
from llama_batches_nb.panels.create.expectation import Expectation
from llama_batches_nb.panels.create.form import BatchForm
from llama_batches_nb.panels.widgets.export import ExportControls

ALREADY_CREATED = "Batch created. Change the selection, or click New batch to create another one."


class CreatePanel(Panel):
    """Create batches and follow them; see `llama_batches_nb.create_panel`."""

    title = "Create a batch"

    def __init__(
        self, client: Client | None, *, directory: str, configuration: str, job_type: str
    ) -> None:
        fixed = get_client(client)  # a later `connect` must not redirect this panel
        super().__init__(fixed)
        self._client_argument = ["client=client"] if client is not None else []
        self._creator = BatchCreator(fixed)
        self._summary = widgets.HTML().add_class("lb-summary")
        self.create_button = widgets.Button(description="Create batch", button_style="primary")
        self.new_button = widgets.Button(
            description="New batch", tooltip="Create another batch from the same selection"
        )
        self.create_button.on_click(self.create)
        self.new_button.on_click(self.new)
        self.form = BatchForm(
            fixed,
            self.runner,
            self._refresh,
            directory=directory,
            configuration=configuration,
            job_type=job_type,
        )
        self._expectation = Expectation(fixed, self.runner, self._refresh)
        self.candidates = CandidateBatches(
            fixed, self.runner, on_select=self._follow_existing, on_error=self.show_error
        )
        self._export = ExportControls(self.runner, self.show_error, lambda: self.code)
        self.rows = BatchRows(
            fixed,
            self.runner,
            client_argument=self._client_argument,
            on_error=self.show_error,
            on_change=self._export.refresh,
            on_show_failures=self._show_failures,
        )
        self._batch_files = BatchFiles(self.runner, lambda: fixed)
        self.set_content(
            self.form,
            self._summary,
            widgets.HBox([self.create_button, self.new_button]).add_class("lb-row"),
            self._alert,
            self.candidates,
            self.rows,
            self._batch_files,
            self._export,
        )
        self._refresh()
        self.runner.start("names", self._load_names)

    @property
    def batches(self) -> pd.DataFrame:
        """The batches of this panel, as last polled."""
        return self.rows.batches

    @property
    def results(self) -> pd.DataFrame | None:
        """The results of the finished batches; None before one has finished."""
        return self.rows.results

    @property
    def jobs(self) -> pd.DataFrame | None:
        """The jobs of the results; None before a batch has finished."""
        return self.rows.jobs

    @property
    def files(self) -> pd.DataFrame | None:
        """The outcome of each file, as of `outcomes`; None before a batch has finished."""
        return self.rows.files

    @property
    def code(self) -> str:
        """A script that fetches the same frames or, before a batch exists, creates it."""
        return self.rows.code() or create_script(self._selection()[0], self._client_argument)

    def create(self, *_: Any) -> Self:
        """Create the selected batch, once, and follow it in the background."""
        with self.runner.lock:
            if self._creator.is_creating:
                return self
            try:
                spec = self.form.to_spec()
            except ValueError as error:
                self.show_message(str(error))
                return self
            if not self._creator.begin(spec):
                return self
            row = self._add_row(spec)
            step = "Uploading …" if spec.files else "Creating the batch …"
            row.show_preparing(step, can_stop=bool(spec.files))
            self.show_message("")
            self._refresh()
        self.runner.start(row.task_name, lambda: self._create(row, spec))
        return self

    def new(self, *_: Any) -> Self:
        """Let the next click create another batch from the same selection."""
        with self.runner.lock:
            self._creator.allow_again(self._selection()[0])
            self.candidates.hide()
            self.show_message("")
            self._refresh()
        return self

    def cancel(self, *_: Any) -> Self:
        """Cancel the newest batch if it has not finished."""
        if self.rows.rows:
            self.rows.rows[-1].cancel()
        return self

    # Background tasks

    def _load_names(self) -> None:
        try:
            directories, configurations = fetch_names(self.client)
        except AuthenticationError as error:
            refused = error
            self.runner.update_ui(lambda: self._show_refused(refused))
        except BatchesError as error:
            problem = error
            self.runner.update_ui(lambda: self._show_without_names(problem))
        except Cancelled:
            self.runner.update_ui(self.form.allow_ids_only)
        else:
            self.runner.update_ui(lambda: self.form.set_options(directories, configurations))
            self._load_project()

    def _create(self, row: BatchRow, spec: BatchSpec) -> None:
        update_ui = self.runner.update_ui
        try:
            batch = self._creator.create(
                spec,
                row.status_line.bar,
                lambda *uploaded: update_ui(partial(self._show_uploaded, row, *uploaded)),
            )
        except UnconfirmedCreateError as error:
            unconfirmed = error
            update_ui(lambda: self._show_unconfirmed(row, unconfirmed))
        except (Exception, Cancelled) as error:
            problem = error
            update_ui(lambda: self._show_create_failed(row, problem))
        else:
            row.run.batch = batch  # before the update, which a closed panel skips
            update_ui(lambda: self._show_created(row, batch))
            row.follow()

    # Display

    def _show_refused(self, error: AuthenticationError) -> None:
        if error.status_code == 403:  # the key may still be allowed to create batches
            self._show_without_names(error)
            return
        self.form.disable()
        self.create_button.disabled = True
        self.show_error(error)

    def _show_without_names(self, error: BatchesError) -> None:
        """Show why there are no names to select; ids may still be typed."""
        self.form.allow_ids_only()
        self.show_error(error)

    def _show_project(self) -> None:
        super()._show_project()
        self._refresh()

    def _show_uploaded(self, row: BatchRow, directory_id: str, n_files: int) -> None:
        self.form.use_uploaded_directory(directory_id, n_files)
        row.show_preparing("Creating the batch …")

    def _show_created(self, row: BatchRow, batch: pd.DataFrame) -> None:
        self._creator.end(created=True)
        row.show_created(batch)
        self._refresh()

    def _show_create_failed(self, row: BatchRow, error: Exception | Cancelled) -> None:
        """Show why no batch was created, and allow another attempt."""
        self._creator.end(created=False)
        self.rows.remove(row)
        if isinstance(error, Cancelled):
            self.show_message("Stopped; no batch was created.")
        else:
            self.show_error(error)
        self._refresh()

    def _show_unconfirmed(self, row: BatchRow, error: UnconfirmedCreateError) -> None:
        """Show which batch may have been created, and prevent a second one by mistake."""
        self.candidates.show(self._creator.directory_id, error.candidates)
        self._creator.end(created=True)
        self.rows.remove(row)
        self.show_error(error)
        self._refresh()

    def _follow_existing(self, batch: pd.DataFrame) -> None:
        """Follow a batch that the user selected as theirs."""
        with self.runner.lock:
            self.candidates.hide()
            self.show_message("")
            if batch["batch_id"].isin(self.batches["batch_id"]).any():
                return
            values = batch.iloc[0]
            spec = BatchSpec(values.source_directory_id, values.configuration_id, values.job_type)
            self.rows.follow(self._add_row(spec), batch)

    def _add_row(self, spec: BatchSpec) -> BatchRow:
        code = spec.code(self._client_argument)
        minutes = self._expectation.minutes(spec, self.form.n_files(spec))
        return self.rows.add(BatchRun(self.form.short_title(spec), code, expected_minutes=minutes))

    def _show_failures(self, run: BatchRun) -> None:
        self._batch_files.only_failures.value = True
        frames = FetchedFrames(run.batch, run.results, run.jobs)
        self._batch_files.show(frames.summary().iloc[0], frames, fetch=True)

    def _refresh(self) -> None:
        """Show what the next click creates, or why it cannot, and enable the buttons to match."""
        with self.runner.lock:
            spec, html = self._selection()
            is_created = self._creator.is_created(spec)
            if self._creator.is_creating:
                html = "Creating the batch below."
            elif is_created:
                html = ALREADY_CREATED
            elif spec is not None:
                html += self._expected(spec)
            self._summary.value = f'<span role="status">{html}</span>'
            self.create_button.disabled = spec is None or is_created or self._creator.is_creating
            self.new_button.layout.visibility = None if is_created else "hidden"
            self._export.refresh()

    def _selection(self) -> tuple[BatchSpec | None, str]:
        """Return the selected specification, or None, and its description as HTML."""
        try:
            spec = self.form.to_spec()
        except ValueError as error:
            return None, markup.text(error)
        return spec, self.form.describe(spec)

    def _expected(self, spec: BatchSpec) -> str:
        """Return what the batch is expected to cost as HTML, and fetch what that needs."""
        self._expectation.load(spec, delay=not self.form.is_named(spec))
        text = markup.text(self._expectation.text(spec, self.form.n_files(spec)))
        return f'<br><span class="lb-muted">{text}</span>' if text else ""

    def _text(self) -> str:
        created = [f"{run.batch_id} {run.status}" for run in self.rows.created]
        return f"{', '.join(created) or 'no batch created'}; see .batches"

    def _html(self) -> str:
        rows = self.rows.html() or "<p>No batch created.</p>"
        return f"{rows}{self._batch_files.html()}"
