"""What leads out of a panel: the code for its frames, and the frames as Parquet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.dataset.export import export_parquet
from llama_batches_nb.dataset.storage import local_path
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner

COPY = (
    "navigator.clipboard.writeText(this.dataset.code)"
    ".then(()=>{this.textContent='Copied'},()=>{this.textContent='Select the text to copy it'})"
)


class ExportControls(widgets.VBox):
    """The code for what a panel shows, and a folder to write its frames to."""

    def __init__(
        self,
        runner: TaskRunner,
        on_error: OnError,
        code: Callable[[], str],
        tables: Callable[[], dict[str, pd.DataFrame]] | None = None,
    ) -> None:
        self._runner, self._on_error = runner, on_error
        self._code, self._tables = code, tables or dict
        self.code_button = widgets.ToggleButton(description="Copy as code")
        self.code_button.observe(lambda _: self.refresh(), "value")
        self.text = widgets.Textarea(
            description="Code", layout={"width": "auto"}, continuous_update=False
        )
        self.text.add_class("lb-code")
        self._copy = widgets.HTML()
        self._shown = widgets.VBox([self.text, self._copy])
        parts: list[widgets.Widget] = [self.code_button]
        if tables is not None:
            now = datetime.now(UTC)
            self.folder = widgets.Text(
                description="Export to", value=f"batches-{now:%Y-%m-%d-%H%M}"
            )
            self.folder.add_class("lb-short")
            self.export_button = widgets.Button(description="Export Parquet")
            self.export_button.on_click(self.export)
            self._said = widgets.HTML()
            parts += [self.folder, self.export_button, self._said]
        row = widgets.HBox(parts, layout={"flex_flow": "row wrap"})
        super().__init__([row.add_class("lb-row"), self._shown])
        self.refresh()

    def refresh(self) -> None:
        """Show the code of what the panel now shows, if it is wanted."""
        if self.code_button.value:
            code = self._code()
            self.text.value, self.text.rows = code, code.count("\n") + 1
            self._copy.value = (
                f'<button class="jupyter-button lb-copy" data-code="{escape(code)}" '
                f'onclick="{COPY}">Copy</button>'
            )
        self._shown.layout.display = None if self.code_button.value else "none"

    def export(self, *_: Any) -> None:
        """Write the frames into the folder, one file each."""
        self._on_error(None)
        self._said.value = ""
        given = self.folder.value.strip() or "."
        self._runner.start("export", lambda: self._export(given))

    def _export(self, given: str) -> None:
        folder = local_path(given)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        place = given.rstrip("/") if folder is None else str(folder.resolve())
        tables = self._tables()
        for name, frame in tables.items():
            export_parquet(frame, f"{place}/{name}.parquet")
        rows = ", ".join(f"{name}.parquet ({len(frame):,})" for name, frame in tables.items())
        said = f"Written to {place}: {rows}"
        self._runner.update_ui(lambda: self._tell(said))

    def _tell(self, said: str) -> None:
        self._said.value = f'<span role="status">{markup.text(said)}</span>'
