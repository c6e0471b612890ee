"""The panel that fetches batches by filter, and shows the files of the one that is chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import Panel
from llama_batches_nb.panels.browse.batch_files import BatchFiles, rate_line
from llama_batches_nb.panels.browse.filters import Filters, fetch_names
from llama_batches_nb.panels.browse.query import FetchedFrames, Query
from llama_batches_nb.panels.browse.sources import Api, Source
from llama_batches_nb.panels.widgets.export import ExportControls
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.panels.widgets.table import Column, Table

NO_BATCH = "No batch matches. Widen the dates or clear the status."
NOT_ASKED = "Choose what you want to see, then Fetch."
NOT_FETCHED = "Nothing was fetched."
INCOMPLETE = "# What the panel has is not complete; these lines fetch all of it."


class FilterPanel(Panel):
    """Batches by filter; see `llama_batches_nb.filter_panel`."""

    title = "Batches"

    def __init__(self, client: Client | None, query: Query, source: Source | None = None) -> None:
        self._source = source or Api(get_client(client), named=client is not None)
        super().__init__(client)
        self._query = query
        self._frames = FetchedFrames()
        self._summary = self._frames.summary()
        self._chosen: str | None = None
        self.filters = Filters(query)
        self.include = widgets.Dropdown(
            description="Include",
            options=[("files and jobs", "jobs"), ("files", "results"), ("batches only", "batches")],
        )
        self.fetch_button = widgets.Button(description="Fetch", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.fetch_button.on_click(self.fetch)
        self.stop_button.on_click(self.stop)
        self._meter = StatusLine()
        self.table = Table(self._columns(), key="batch_id", row="batch", choose=self._on_choose)
        self.table.show(self._summary, empty=NOT_ASKED)
        self._counts = widgets.HTML()
        self._take = ExportControls(
            self.runner, self.show_error, lambda: self.code, lambda: self._frames.tables()
        )
        self._files = BatchFiles(self.runner, lambda: self.client)
        buttons = widgets.HBox(
            [self.include, self.fetch_button, self.stop_button, self._meter],
            layout={"flex_flow": "row wrap"},
        )
        buttons.add_class("lb-row")
        self.set_content(
            self.filters, buttons, self._alert, self.table, self._counts, self._take, self._files
        )
        self.runner.start("names", self._load_names)

    @property
    def batches(self) -> pd.DataFrame:
        """The batches that were fetched, in the columns of `fetch_batches`."""
        return self._frames.batches

    @property
    def results(self) -> pd.DataFrame | None:
        """Their results, in the columns of `fetch_results`; None if they were not asked for."""
        return self._frames.results

    @property
    def jobs(self) -> pd.DataFrame | None:
        """The jobs of the results, in the columns of `fetch_jobs`; None if not asked for."""
        return self._frames.jobs

    @property
    def selected(self) -> pd.DataFrame:
        """The batch that is chosen, one row in the columns of `fetch_batches`, or none."""
        return self.batches[self.batches["batch_id"] == self._chosen].reset_index(drop=True)

    @property
    def files(self) -> pd.DataFrame | None:
        """The files of the chosen batch: the columns of `outcomes`, and `display_name`."""
        return self._files.frame

    @property
    def code(self) -> str:
        """The lines that give the same frames."""
        found = self._frames
        lines = self._source.code(self._query, found)
        if found.results is not None:
            lines.append(
                f"files = lb.outcomes(results{', jobs' if found.jobs is not None else ''})"
            )
        if found.partial:
            lines.insert(0, INCOMPLETE)
        imports = ["import llama_batches_nb as lb"]
        if any("pd." in line for line in lines):
            imports.insert(0, "import pandas as pd")
        return "\n".join([*imports, "", *lines])

    def fetch(self, *_: Any) -> Self:
        """Fetch what the filters say, in a thread; what was being fetched is given up."""
        self.show_message("")
        try:
            query = self.filters.query()
        except ValueError as error:
            self.show_message(str(error))
            return self
        depth = self.include.value
        with self.runner.lock:  # the fetch that this one replaces may be about to show its end
            self._meter.start("Fetching …")
            self._set_busy(True)
            if not (self.filters.directories.loaded or self.runner.is_running("names")):
                self.runner.start("names", self._load_names)
            self.runner.start("fetch", lambda: self._fetch(query, depth))
        return self

    def stop(self, *_: Any) -> None:
        """Stop fetching; what is there stays."""
        with self.runner.lock:
            if self._is_busy:
                self._meter.show_message("Stopping …")
            super().stop()

    def choose(self, batch_id: str) -> None:
        """Choose a batch, as a click on its row does."""
        self.table.choose(batch_id)

    def _fetch(self, query: Query, depth: str) -> None:
        try:
            for n_steps, found in enumerate(self._source.fetch(query, depth, self._meter.bar)):
                self.runner.update_ui(self._showing(query, found, keep=n_steps > 0))
            self.runner.update_ui(lambda: self._finish("Fetched"))
        except Cancelled:
            self.runner.update_ui(lambda: self._finish("Stopped"))
        except Exception as error:
            problem = error
            self.runner.update_ui(lambda: self._fail(problem))

    def _showing(
        self, query: Query, found: FetchedFrames, *, keep: bool = False
    ) -> Callable[[], None]:
        """Count what was found, and return what shows it; `keep` the place in the table."""
        said = counted(found.batches, found.outcomes(), jobs=found.jobs is not None)
        return partial(self._show, query, found, found.summary(), said, keep=keep)

    def _show(
        self, query: Query, found: FetchedFrames, summary: pd.DataFrame, said: str, *, keep: bool
    ) -> None:
        self._query, self._frames, self._summary = query, found, summary
        if not keep:
            self._chosen = None
            self._files.hide()
        self.table.show(summary, empty=NO_BATCH, keep=keep)
        self._counts.value = said
        self._take.refresh()

    def _changed(self) -> None:
        """Do what is to be done when a fetch has ended; a dashboard draws its charts."""

    def _finish(self, how: str) -> None:
        self._set_busy(False)
        if how != "Fetched" and not len(self.batches):
            self.table.clear(NOT_FETCHED)
        self._meter.finish(f"{how}: {markup.count(len(self.batches), 'batch')}")
        self._changed()

    def _fail(self, error: Exception) -> None:
        self._finish("Not complete")
        self.show_error(error)

    def _set_busy(self, busy: bool) -> None:
        self.stop_button.disabled = not busy

    @property
    def _is_busy(self) -> bool:
        return not self.stop_button.disabled

    def _on_choose(self, batch: pd.Series[Any]) -> None:
        self._chosen = batch["batch_id"]
        self._files.show(batch, self._frames, fetch=self._source.live)

    def _load_names(self) -> None:
        try:
            directories, configurations = fetch_names(self.client)
        except BatchesError:  # ids can be typed all the same
            return
        self.runner.update_ui(lambda: self._offer(directories, configurations))

    def _offer(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        self.filters.set_options(directories, configurations)
        self.table.redraw()

    def _columns(self) -> list[Column]:
        def directory(batch: pd.Series[Any]) -> str:
            return markup.name(batch.source_directory_id, self.filters.directories.by_id)

        def configuration(batch: pd.Series[Any]) -> str:
            return markup.name(batch.configuration_id, self.filters.configurations.by_id)

        return [
            Column("batch_id", "Batch", "112px", lambda b: markup.short_id(b.batch_id)),
            Column("status", "Status", "124px", lambda b: markup.status(b.status)),
            Column("n_files", "Files", "60px", lambda b: markup.number(b.n_files), numeric=True),
            Column(
                "failure_rate",
                "Failed",
                "66px",
                lambda b: markup.percent(b.failure_rate),
                numeric=True,
            ),
            Column(
                "source_directory_id",
                "Directory",
                "minmax(110px,3fr)",
                directory,
                order=lambda one: markup.order(one, self.filters.directories.by_id),
            ),
            Column(
                "configuration_id",
                "Configuration",
                "minmax(110px,3fr)",
                configuration,
                order=lambda one: markup.order(one, self.filters.configurations.by_id),
            ),
            Column("created_at", "Created (UTC)", "126px", lambda b: markup.time(b.created_at)),
        ]

    def _heading(self) -> str:
        return super()._heading() if self._source.live else self._source.name

    def _text(self) -> str:
        return f"{markup.count(len(self.batches), 'batch')}; .batches holds them as a frame"

    def _html(self) -> str:
        return f"{self._counts.value}{self.table.html()}{self._files.html()}"


def counted(batches: pd.DataFrame, files: pd.DataFrame, *, jobs: bool) -> str:
    """Return the batches by status and the rate of failed files, as HTML."""
    lines = []
    if len(batches):
        lines.append(f"{markup.count(len(batches), 'batch')}: {markup.counts(batches['status'])}")
    if len(files):
        lines.append(rate_line(files, "failed" if jobs else "got no job"))
    return "<br>".join(lines)
