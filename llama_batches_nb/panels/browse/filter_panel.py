"""The panel that fetches batches by filter and shows the files of a selected batch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import Panel
from llama_batches_nb.panels.browse.batch_files import BatchFiles, format_failures
from llama_batches_nb.panels.browse.filters import Filters, fetch_names
from llama_batches_nb.panels.browse.query import FetchedFrames, Query
from llama_batches_nb.panels.browse.sources import ApiSource, Source
from llama_batches_nb.panels.widgets.export import ExportControls
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.panels.widgets.table import PAGE_SIZE, DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn

NO_MATCH = "No batches match. Widen the dates or clear the status."
NO_BATCHES = "There are no batches yet. Create one with lb.create_panel()."
EMPTY_DATASET = "The dataset has no batches."
NOT_FETCHED = "Set the filters, then click Fetch."
FETCHED_NOTHING = "No batches were fetched."
INCOMPLETE_NOTE = "# The panel's frames are incomplete; this code fetches all rows."
CREDITS_NOTE = "# Some credits are missing in the panel; this code requests all of them."


class FilterPanel(Panel):
    """Batches by filter; see `llama_batches_nb.filter_panel`."""

    title = "Batches"
    offers_report = False

    def __init__(self, client: Client | None, query: Query, source: Source | None = None) -> None:
        self._source = source or ApiSource(client)
        super().__init__(client)
        self._query = query
        self._frames = FetchedFrames()
        self._summary = self._frames.summary()
        self._selected_id: str | None = None
        self.filters = Filters(query)
        self.include = widgets.Dropdown(
            description="Include",
            options=[("jobs", "jobs"), ("files", "results"), ("batches", "batches")],
            tooltip="Jobs: also files. Files: also batches.",
        )
        self.fetch_button = widgets.Button(description="Fetch", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.fetch_button.on_click(self.fetch)
        self.stop_button.on_click(self.stop)
        self._status = StatusLine()
        self.table = DataTable(
            self._columns(),
            key="batch_id",
            noun="batch",
            on_select=self._on_select,
            min_width=860,
            reserved=PAGE_SIZE,
            searchable=True,
        )
        self.table.show(self._summary, empty=NOT_FETCHED)
        self._counts = widgets.HTML()
        self._export = ExportControls(
            self.runner,
            self.show_error,
            lambda: self.code,
            lambda: self._frames.tables(),
            self._report_files if self.offers_report else None,
        )
        self._files = BatchFiles(self.runner, lambda: self.client, self._on_credits)
        self.filters.add(self.include, self.fetch_button, self.stop_button)
        self.set_content(*self._content(), beside=self._beside_heading())
        self.runner.start("names", self._load_names)  # last: the panel is whole

    def _report_files(self) -> pd.DataFrame:
        """Return the outcomes that a report is of."""
        return self._frames.outcomes

    def _beside_heading(self) -> list[widgets.Widget]:
        """Return the widget that shows how far the work is."""
        return [self._status]

    def _content(self) -> list[widgets.Widget]:
        """Return what is under the heading."""
        return [self.filters, self._alert, self.table, self._counts, self._export, self._files]

    @property
    def batches(self) -> pd.DataFrame:
        """The fetched batches, in the columns of `fetch_batches`."""
        return self._frames.batches

    @property
    def results(self) -> pd.DataFrame | None:
        """Their results, in the columns of `fetch_results`; None if not included."""
        return self._frames.results

    @property
    def jobs(self) -> pd.DataFrame | None:
        """The jobs of the results, in the columns of `fetch_jobs`; None if not included."""
        return self._frames.jobs

    @property
    def selected(self) -> pd.DataFrame:
        """The selected batch: one row in the columns of `fetch_batches`, or no row."""
        return self.batches[self.batches["batch_id"] == self._selected_id].reset_index(drop=True)

    @property
    def files(self) -> pd.DataFrame | None:
        """The files of the selected batch: the columns of `outcomes`, and `display_name`."""
        return self._files.frame

    @property
    def code(self) -> str:
        """Code that returns the same frames."""
        frames = self._frames
        lines = self._source.code(self._query, frames)
        if frames.results is not None:
            jobs = "" if frames.jobs is None else ", jobs"
            lines.append(f"files = lb.outcomes(results{jobs})")
        if frames.partial:
            lines.insert(0, INCOMPLETE_NOTE)
        if frames.unknown_credits:
            lines.insert(0, CREDITS_NOTE)
        imports = ["import llama_batches_nb as lb"]
        if any("pd." in line for line in lines):
            imports.insert(0, "import pandas as pd")
        return "\n".join([*imports, "", *lines])

    def fetch(self, *_: object) -> Self:
        """Fetch by the filters in the background; a fetch that is still running is cancelled."""
        self.show_message("")
        try:
            query = self.filters.query()
        except ValueError as error:
            self.show_message(str(error))
            return self
        depth = self.include.value
        with self.runner.lock:  # an earlier fetch may be about to show that it has ended
            self._discard_credits()
            self._status.start("Fetching …")
            self._set_fetching(True)
            if not (self.filters.directories.loaded or self.runner.is_running("names")):
                self.runner.start("names", self._load_names)
            self.runner.start("fetch", lambda: self._fetch(query, depth))
        return self

    def stop(self, *_: object) -> None:
        """Stop fetching; the rows fetched so far remain."""
        with self.runner.lock:
            if self._is_fetching:
                self._status.show_message("Stopping …")
            super().stop()

    def choose(self, batch_id: str) -> None:
        """Select a batch, as a click on its row does."""
        self.table.select(batch_id)

    def _fetch(self, query: Query, depth: str) -> None:
        try:
            for n_steps, frames in enumerate(self._source.fetch(query, depth, self._status.bar)):
                self.runner.update_ui(self._prepare(query, frames, keep_place=n_steps > 0))
            self.runner.update_ui(lambda: self._finish("Fetched"))
        except Cancelled:
            self.runner.update_ui(lambda: self._finish("Stopped"))
        except Exception as error:
            problem = error
            self.runner.update_ui(lambda: self._fail(problem))

    def _prepare(
        self, query: Query, frames: FetchedFrames, *, keep_place: bool = False
    ) -> Callable[[], None]:
        """Compute what to show for frames, and return a function that shows it."""
        counts = counts_html(frames.batches, frames.outcomes, jobs=frames.jobs is not None)
        return partial(self._show, query, frames, frames.summary(), counts, keep_place=keep_place)

    def _show(
        self,
        query: Query,
        frames: FetchedFrames,
        summary: pd.DataFrame,
        counts: str,
        *,
        keep_place: bool,
    ) -> None:
        self._query, self._frames, self._summary = query, frames, summary
        self._as_of = datetime.now(UTC)
        if not keep_place:
            self._selected_id = None
            self._files.hide()
        self.table.show(summary, empty=self._no_batches(query), keep_place=keep_place)
        self._counts.value = counts
        self._export.refresh()

    def _no_batches(self, query: Query) -> str:
        """Return what to do about a fetch without rows, which may have had no filters."""
        if query.words():
            return NO_MATCH
        return NO_BATCHES if self._source.is_live else EMPTY_DATASET

    def _discard_credits(self) -> None:
        """Stop loading credits, whose jobs are about to be replaced."""
        self._files.credits.discard()

    def _on_credits(self, loaded: pd.DataFrame) -> None:
        """Show the credits of these jobs, as loaded."""
        self._frames = self._frames.with_credits(loaded)
        self._summary = self._frames.summary()
        self._files.set_credits(loaded)
        self._export.refresh()

    def _on_fetched(self) -> None:
        """Run when a fetch has ended; a dashboard draws its charts."""

    def _finish(self, how: str) -> None:
        self._set_fetching(False)
        if how != "Fetched" and not len(self.batches):
            self.table.show_text(FETCHED_NOTHING)
        self._status.finish(f"{how}: {format_count(len(self.batches), 'batch')}")
        self._on_fetched()

    def _fail(self, error: Exception) -> None:
        self._finish("Incomplete")
        self.show_error(error)

    def _set_fetching(self, fetching: bool) -> None:
        self.stop_button.disabled = not fetching

    @property
    def _is_fetching(self) -> bool:
        return not self.stop_button.disabled

    def _on_select(self, batch: pd.Series[Any]) -> None:
        self._selected_id = batch["batch_id"]
        self._files.show(batch, self._frames, fetch=self._source.is_live)

    def _load_names(self) -> None:
        try:
            directories, configurations = fetch_names(self.client)
        except BatchesError:  # ids can still be typed
            return
        self.runner.update_ui(lambda: self._set_names(directories, configurations))

    def _set_names(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        self.filters.set_options(directories, configurations)
        self.table.redraw()

    def _columns(self) -> list[TableColumn]:
        return [
            TableColumn(
                "status", "Status", "112px", lambda b: markup.batch_status(b.status, b.failure_rate)
            ),
            TableColumn(
                "failure_rate",
                "Failed",
                "154px",
                lambda b: markup.failed_share(b.failure_rate, b.n_failed, b.n_decided),
            ),
            TableColumn(
                "n_files", "Files", "56px", lambda b: markup.number(b.n_files), numeric=True
            ),
            *self._name_columns("minmax(110px,3fr)"),
            TableColumn(
                "created_at", "Created (UTC)", "122px", lambda b: markup.time(b.created_at)
            ),
            TableColumn("batch_id", "Batch", "118px", lambda b: markup.copied_id(b.batch_id)),
        ]

    def _name_columns(self, width: str) -> list[TableColumn]:
        """Return columns that show and sort directories and configurations by name."""
        return [
            name_column(
                "source_directory_id", "Directory", width, lambda: self.filters.directories
            ),
            name_column(
                "configuration_id",
                "Configuration",
                width,
                lambda: self.filters.configurations,
            ),
        ]

    def _heading(self) -> str:
        return super()._heading() if self._source.is_live else self._source.name

    def _context(self) -> str:
        return " · ".join([super()._context(), *self._query.words()])

    def _text(self) -> str:
        return f"{format_count(len(self.batches), 'batch')}; .batches is their DataFrame"

    def _html(self) -> str:
        return f"{self._counts.value}{self.table.html()}{self._files.html()}"


def name_column(name: str, head: str, width: str, names: Callable[[], NameIndex]) -> TableColumn:
    """Return a column of ids that shows, searches and sorts by their names."""
    return TableColumn(
        name,
        head,
        width,
        lambda row: names().html(row[name]),
        sort_key=lambda id_: markup.name_sort_key(id_, names().by_id),
        search=lambda id_: names().by_id.get(id_, ""),
    )


def counts_html(batches: pd.DataFrame, files: pd.DataFrame, *, jobs: bool) -> str:
    """Return the batches by status and the share of failed files, as HTML."""
    lines = []
    if len(batches):
        lines.append(f"{format_count(len(batches), 'batch')}: {markup.counts(batches['status'])}")
    if len(files):
        lines.append(format_failures(files, "failed" if jobs else "without a job"))
    return "<br>".join(lines)
