"""The panel that makes a batch by one deliberate click, and watches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd
import pyarrow as pa

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.errors import BatchesError, UnconfirmedCreateError
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.upload import upload_files
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import Panel
from llama_batches_nb.panels.browse.batch_files import BatchFiles
from llama_batches_nb.panels.browse.filters import fetch_names
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.create import browser_files
from llama_batches_nb.panels.create.batch_row import BatchRow
from llama_batches_nb.panels.create.batch_spec import (
    BatchSpec,
    create_script,
    fetch_script,
    retry_code,
)
from llama_batches_nb.panels.create.candidates import CandidateBatches
from llama_batches_nb.panels.create.form import BatchForm
from llama_batches_nb.panels.create.submit import RetryResult, create, retry
from llama_batches_nb.panels.widgets.export import ExportControls
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table

MADE = "It is made. Change the choice, or click New batch to make another one like it."


class CreatePanel(Panel):
    """Makes batches and watches them; see `llama_batches_nb.create_panel`."""

    title = "Create a batch"

    def __init__(
        self, client: Client | None, *, directory: str, configuration: str, job_type: str
    ) -> None:
        super().__init__(get_client(client))  # what is made must not go elsewhere after a `connect`
        self._given = ["client=client"] if client is not None else []
        self._making: BatchSpec | None = None
        self._made: set[BatchSpec | None] = set()  # what no click makes again
        self._sent: tuple[object, str] | None = None  # files of which some are in a directory
        self._n_runs = 0
        self.runs: list[BatchRow] = []
        self._summary = widgets.HTML().add_class("lb-summary")
        self.create_button = widgets.Button(description="Create batch", button_style="primary")
        self.new_button = widgets.Button(
            description="New batch", tooltip="Let another batch like this be made"
        )
        self.create_button.on_click(self.create)
        self.new_button.on_click(self.new)
        self.choice = BatchForm(
            self.runner,
            lambda: self.client,
            self._refresh,
            directory=directory,
            configuration=configuration,
            job_type=job_type,
        )
        self._doubt = CandidateBatches(
            self.runner, lambda: self.client, self.show_error, self._follow_existing
        )
        self._rows = widgets.VBox()
        self._files = BatchFiles(self.runner, lambda: self.client)
        self._take = ExportControls(self.runner, self.show_error, lambda: self.code)
        buttons = widgets.HBox([self.create_button, self.new_button]).add_class("lb-row")
        self.set_content(
            self.choice,
            self._summary,
            buttons,
            self._alert,
            self._doubt,
            self._rows,
            self._files,
            self._take,
        )
        self._refresh()
        self.runner.start("names", self._load_names)

    @property
    def batches(self) -> pd.DataFrame:
        """The batches that this panel made, as they last stood."""
        batches = _concat_frames(BATCHES, [run.batch for run in self.runs])
        return records.to_pandas(BATCHES, []) if batches is None else batches

    @property
    def results(self) -> pd.DataFrame | None:
        """The results of those that have ended; None as long as none has."""
        return _concat_frames(RESULTS, [run.results for run in self.runs])

    @property
    def jobs(self) -> pd.DataFrame | None:
        """The jobs of the results; None as long as there are none."""
        return _concat_frames(JOBS, [run.jobs for run in self.runs])

    @property
    def files(self) -> pd.DataFrame | None:
        """What became of each file, in the columns of `outcomes`; None as long as none is known."""
        results = self.results
        return None if results is None else outcomes(results, self.jobs)

    @property
    def code(self) -> str:
        """The lines that give the same frames; before a batch is made, those that make it."""
        made = [run for run in self.runs if run.is_made]
        if not made:
            return create_script(self._order_and_words()[0], self._given)
        made_by = [line for run in made for line in run.made_by]
        return fetch_script(made_by, [run.batch_id for run in made], self._given)

    def create(self, *_: Any) -> Self:
        """Make the batch that was chosen, once, and follow it, in a thread."""
        with self.runner.lock:
            if self._making is not None:
                return self
            try:
                order = self.choice.to_spec()
            except ValueError as error:
                self.show_message(str(error))
                return self
            if order in self._made:
                return self
            self._making = order
            run = self._add_run(self.choice.title(order), order.code(self._given))
            if order.files:
                run.begin("Uploading …", may_stop=True)
            else:
                run.begin("Creating the batch …", may_stop=False)
            self.show_message("")
            self._refresh()
        self.runner.start(run.name, lambda: self._make(run, order))
        return self

    def new(self, *_: Any) -> Self:
        """Let the batch that is chosen be made once more, by the next click."""
        with self.runner.lock:
            self._made -= {self._order_and_words()[0]}
            self._doubt.hide()
            self.show_message("")
            self._refresh()
        return self

    def cancel(self, *_: Any) -> Self:
        """Cancel the newest batch, if it has not ended."""
        if self.runs:
            self.runs[-1].cancel()
        return self

    # Making

    def _make(self, run: BatchRow, order: BatchSpec) -> None:
        chosen = order
        try:
            order = self._upload(run, order)
            workers.check_cancelled()  # from here on nothing stops it
            made = create(order, self.client)
        except UnconfirmedCreateError as error:
            doubt = error
            self.runner.update_ui(
                lambda: self._show_unconfirmed(run, {chosen, order}, str(order.source), doubt)
            )
        except (Exception, Cancelled) as error:
            problem = error
            self.runner.update_ui(lambda: self._show_create_failed(run, problem))
        else:
            run.batch = made  # also of a panel that was closed meanwhile
            self.runner.update_ui(lambda: self._show_made(run, {chosen, order}, made))
            run.follow()

    def _upload(self, run: BatchRow, order: BatchSpec) -> BatchSpec:
        """Return the order over the directory in which its files are now."""
        if not order.files:
            return order
        sent, directory_id = self._sent or (None, None)
        with browser_files.on_disk(order.files) as paths:
            try:
                files = upload_files(
                    paths,
                    source_directory_id=directory_id if sent == order.files else None,
                    progress=run.meter.bar,
                    client=self.client,
                )
            except (BatchesError, Cancelled) as error:
                if error.partial is not None and len(error.partial):
                    self._sent = order.files, error.partial["source_directory_id"].iloc[0]
                raise
        self._sent = None
        directory_id = str(files["source_directory_id"].iloc[0])
        self.runner.update_ui(lambda: self._show_uploaded(run, directory_id, len(files)))
        return order.with_directory(directory_id)

    def _show_uploaded(self, run: BatchRow, directory_id: str, n_files: int) -> None:
        self.choice.use_uploaded_directory(directory_id, n_files)
        run.begin("Creating the batch …", may_stop=False)

    def _show_made(self, run: BatchRow, orders: set[BatchSpec], made: pd.DataFrame) -> None:
        self._making = None
        self._made |= orders
        run.show_created(made)
        self._refresh()

    def _show_create_failed(self, run: BatchRow, error: Exception | Cancelled) -> None:
        """Show why no batch was made, and let it be tried again."""
        self._making = None
        self._remove(run)
        if isinstance(error, Cancelled):
            self.show_message("Stopped, and no batch was made.")
        else:
            self.show_error(error)
        self._refresh()

    def _show_unconfirmed(
        self,
        run: BatchRow,
        orders: set[BatchSpec],
        directory_id: str,
        error: UnconfirmedCreateError,
    ) -> None:
        """Show what may have been made, and let no click make another by mistake."""
        self._making = None
        self._made |= orders
        self._remove(run)
        self.show_error(error)
        self._doubt.show(directory_id, error.candidates)
        self._refresh()

    def _follow_existing(self, batch: pd.DataFrame) -> None:
        """Follow a batch that a person takes for theirs."""
        with self.runner.lock:
            self._doubt.hide()
            self.show_message("")
            if batch["batch_id"].isin(self.batches["batch_id"]).any():
                return
            row = batch.iloc[0]
            order = BatchSpec(row.source_directory_id, row.configuration_id, row.job_type)
            run = self._add_run(self.choice.title(order), order.code(self._given))
            self._follow(run, batch)

    # Retrying

    def _retry(self, failed: BatchRow) -> None:
        with self.runner.lock:
            failed.retry_button.disabled = True
            made_by = retry_code([run.batch_id for run in failed.chain], self._given)
            run = self._add_run(_again(failed), made_by, earlier=failed.chain)
            run.begin("Putting the failed files together …", may_stop=False)
            self.show_message("")
        self.runner.start(run.name, lambda: self._make_again(failed, run))

    def _make_again(self, failed: BatchRow, run: BatchRow) -> None:
        made = retry(failed.files_of_chain(), self.client, run.meter.bar)
        if made.batches:
            run.batch = made.batches[0]
        self.runner.update_ui(lambda: self._show_made_again(failed, run, made))

    def _show_made_again(self, failed: BatchRow, run: BatchRow, made: RetryResult) -> None:
        if not made.batches:
            self._remove(run)
            failed.retry_button.disabled = False
            failed.again.show_message("" if made.error else "There was nothing to run again.")
        if made.error is not None:
            self.show_error(made.error)
        elif made.warnings:
            self.show_message("\n".join(made.warnings))
        for place, batch in enumerate(made.batches):
            one = run if place == 0 else self._add_run(_again(failed), [], earlier=failed.chain)
            self._follow(one, batch)

    # Runs

    def _add_run(
        self, title: str, made_by: Sequence[str], earlier: Sequence[BatchRow] = ()
    ) -> BatchRow:
        self._n_runs += 1
        run = BatchRow(
            self.runner,
            lambda: self.client,
            self.show_error,
            f"run {self._n_runs}",
            title,
            earlier=earlier,
            made_by=made_by,
            show=self._show_failures,
            retry=self._retry,
            changed=self._take.refresh,
        )
        self.runs.append(run)
        self._rows.children = self.runs
        return run

    def _remove(self, run: BatchRow) -> None:
        self.runs.remove(run)
        self._rows.children = self.runs
        self.discard(run)

    def _follow(self, run: BatchRow, batch: pd.DataFrame) -> None:
        run.show_created(batch)
        self.runner.start(run.name, run.follow)

    def _show_failures(self, run: BatchRow) -> None:
        self._files.only_failures.value = True
        self._files.show(
            run.batch.iloc[0], FetchedFrames(run.batch, run.results, run.jobs), fetch=False
        )

    # What is shown

    def _refresh(self) -> None:
        """Say what will be made, or what keeps it from that; only then can it be."""
        with self.runner.lock:
            order, words = self._order_and_words()
            made = order in self._made
            if self._making is not None:
                words = "Under way below."
            elif made:
                words = MADE
            self._summary.value = f'<span role="status">{words}</span>'
            self.create_button.disabled = order is None or made or self._making is not None
            self.new_button.layout.visibility = None if made else "hidden"
            self._take.refresh()

    def _order_and_words(self) -> tuple[BatchSpec | None, str]:
        """Return what is chosen, if that is whole, and words about it as HTML."""
        try:
            order = self.choice.to_spec()
        except ValueError as error:
            return None, markup.text(error)
        over, with_ = self.choice.in_words(order)
        project = self.client.settings.project_id
        where = f"project {markup.text(project)}" if project else "the project of this key"
        doubt = browser_files.validation_warning(order.files)
        said = f"Will make <b>1 batch</b> over {over} with {with_} in {where}."
        return order, f"{said}<br>{markup.text(doubt)}" if doubt else said

    def _load_names(self) -> None:
        try:
            directories, configurations = fetch_names(self.client)
        except (BatchesError, Cancelled):  # ids can be typed all the same
            self.runner.update_ui(self.choice.offer_nothing)
        else:
            self.runner.update_ui(lambda: self.choice.set_options(directories, configurations))

    def _text(self) -> str:
        made = [f"{run.batch_id} {run.status}" for run in self.runs if run.is_made]
        return f"{', '.join(made) or 'no batch was made'}; .batches holds them as a frame"

    def _html(self) -> str:
        runs = "".join(run.html() for run in self.runs)
        return f"{runs or '<p>No batch was made.</p>'}{self._files.html()}"


def _again(failed: BatchRow) -> str:
    return f"again, what failed in {markup.short(failed.batch_id)}"


def _concat_frames(table: Table, frames: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
    """Return the frames as one, with the dtypes of `table`; None if all are None."""
    parts = [
        pa.Table.from_pandas(frame, schema=table.arrow_schema, preserve_index=False)
        for frame in frames
        if frame is not None
    ]
    return records.concat_to_pandas(table, parts) if parts else None
