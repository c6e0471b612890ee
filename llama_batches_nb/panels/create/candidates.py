"""Batches that may be the one created by a request whose response was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.http.client import Client
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.panels.widgets.table import DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn

MAX_CANDIDATES = 12  # the newest batches of the directory
COLUMNS = (
    TableColumn("batch_id", "Batch", "112px", lambda b: markup.short_id(b.batch_id)),
    TableColumn("status", "Status", "124px", lambda b: markup.status(b.status)),
    TableColumn(
        "configuration_id",
        "Configuration",
        "minmax(110px,1fr)",
        lambda b: markup.text(b.configuration_id),
    ),
    TableColumn("created_at", "Created (UTC)", "126px", lambda b: markup.time(b.created_at)),
)
INSTRUCTION = "The response was lost. If one of these batches is yours, select it to follow it."
NO_CANDIDATES = "No such batch yet. Look again in a minute before you create a new one."


class CandidateBatches(widgets.VBox):
    """A table of candidates, hidden until `show`.

    Parameters
    ----------
    on_select
        Called with the selected batch, a frame of one row.
    on_error
        Called with None when the list is fetched again, to remove an error shown before.
    """

    def __init__(
        self,
        client: Client,
        runner: TaskRunner,
        *,
        on_select: Callable[[pd.DataFrame], object],
        on_error: OnError,
    ) -> None:
        self._client, self._runner = client, runner
        self._on_select, self._on_error = on_select, on_error
        self._directory_id = ""
        self.refresh_button = widgets.Button(description="Look again")
        self.refresh_button.on_click(self.refresh)
        self.table = DataTable(
            COLUMNS, key="batch_id", noun="batch", on_select=self._on_row, min_width=520
        )
        buttons = widgets.HBox([self.refresh_button]).add_class("lb-row")
        super().__init__([widgets.HTML(INSTRUCTION), self.table, buttons])
        self.hide()

    def show(self, directory_id: str, candidates: pd.DataFrame) -> None:
        """Show the candidates for a directory."""
        self._directory_id = directory_id
        self.table.show(candidates, empty=NO_CANDIDATES)
        self.layout.display = None

    def hide(self) -> None:
        """Hide the table."""
        self.layout.display = "none"

    def refresh(self, *_: object) -> None:
        """Fetch the newest batches of the directory."""
        self._on_error(None)
        self._runner.start("candidates", self._load)

    def _load(self) -> None:
        batches = fetch_batches(
            source_directory_id=self._directory_id,
            limit=MAX_CANDIDATES,
            client=self._client,
            progress=False,
        )
        self._runner.update_ui(lambda: self.table.show(batches, empty=NO_CANDIDATES))

    def _on_row(self, row: pd.Series[Any]) -> None:
        batches = self.table.frame
        self._on_select(batches[batches["batch_id"] == row.batch_id].reset_index(drop=True))
