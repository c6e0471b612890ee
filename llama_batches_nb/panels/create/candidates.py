"""Batches that may be the one whose answer was lost: to look at, before another is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.http.client import Client
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.panels.widgets.table import Column, Table

MAX_CANDIDATES = 12  # of the newest batches over the directory
COLUMNS = (
    Column("batch_id", "Batch", "112px", lambda b: markup.short_id(b.batch_id)),
    Column("status", "Status", "124px", lambda b: markup.status(b.status)),
    Column(
        "configuration_id",
        "Configuration",
        "minmax(110px,1fr)",
        lambda b: markup.text(b.configuration_id),
    ),
    Column("created_at", "Created (UTC)", "126px", lambda b: markup.time(b.created_at)),
)
NONE_YET = "None has appeared. Look again in a minute, before you make a new batch."


class CandidateBatches(widgets.VBox):
    """The candidates. `choose` is called with the one that a person takes for theirs."""

    def __init__(
        self,
        runner: TaskRunner,
        get_client: Callable[[], Client],
        on_error: OnError,
        choose: Callable[[pd.DataFrame], object],
    ) -> None:
        self._runner, self._get_client, self._on_error = runner, get_client, on_error
        self._choose, self._directory_id = choose, ""
        self.look_button = widgets.Button(description="Look again")
        self.look_button.on_click(self.refresh)
        self.table = Table(
            COLUMNS, key="batch_id", row="batch", choose=self._on_choose, min_width=520
        )
        said = widgets.HTML("Is it one of these? Choose the one that is yours, to watch it.")
        super().__init__([said, self.table, widgets.HBox([self.look_button]).add_class("lb-row")])
        self.hide()

    def show(self, directory_id: str, candidates: pd.DataFrame) -> None:
        """Show what may be the batch over a directory."""
        self._directory_id = directory_id
        self.table.show(candidates, empty=NONE_YET)
        self.layout.display = None

    def hide(self) -> None:
        """Take them away."""
        self.layout.display = "none"

    def refresh(self, *_: object) -> None:
        """Fetch the newest batches over the directory."""
        self._on_error(None)
        self._runner.start("doubt", self._look)

    def _on_choose(self, batch: pd.Series[Any]) -> None:
        candidates = self.table.frame
        chosen = candidates[candidates["batch_id"] == batch.batch_id]
        self._choose(chosen.reset_index(drop=True))

    def _look(self) -> None:
        found = fetch_batches(
            source_directory_id=self._directory_id,
            limit=MAX_CANDIDATES,
            client=self._get_client(),
            progress=False,
        )
        self._runner.update_ui(lambda: self.table.show(found, empty=NONE_YET))
