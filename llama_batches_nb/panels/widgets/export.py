"""Export controls: copy as code, export to Parquet, save a report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.dataset.export import export_parquet
from llama_batches_nb.dataset.storage import local_path
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.task_runner import OnError, TaskRunner
from llama_batches_nb.report.write import write_report

REPORT_NAME = "report.html"
COPY_HANDLER_JS = (
    "navigator.clipboard.writeText(this.dataset.code)"
    ".then(()=>{this.textContent='Copied'},()=>{this.textContent='Select the text to copy it'})"
)


class ExportControls(widgets.VBox):
    """Controls that show the code for a panel's frames, and write the frames to a folder.

    Parameters
    ----------
    runner, on_error
        Those of the panel.
    code
        Returns the code for what the panel shows.
    tables
        Returns the frames to export, by file name. Without it, only the code is offered.
    report_files
        Returns the outcomes for a report; without it, no report is offered.
    """

    def __init__(
        self,
        runner: TaskRunner,
        on_error: OnError,
        code: Callable[[], str],
        tables: Callable[[], dict[str, pd.DataFrame]] | None = None,
        report_files: Callable[[], pd.DataFrame] | None = None,
    ) -> None:
        self._runner, self._on_error = runner, on_error
        self._code, self._tables = code, tables or dict
        self._report_files = report_files
        self.code_button = widgets.ToggleButton(description="Copy as code")
        self.code_button.observe(lambda _: self.refresh(), "value")
        self.text = widgets.Textarea(
            description="Code", layout={"width": "auto"}, continuous_update=False
        )
        self.text.add_class("lb-code")
        self._copy_button = widgets.HTML()
        self._code_box = widgets.VBox([self.text, self._copy_button])
        self.folder = widgets.Text(
            description="Export to", value=f"batches-{datetime.now(UTC):%Y-%m-%d-%H%M}"
        )
        self.folder.add_class("lb-short")
        self.export_button = widgets.Button(description="Export Parquet")
        self.export_button.on_click(self.export)
        self.report_button = widgets.Button(
            description="Save report", tooltip=f"Write {REPORT_NAME}, a page to send to others"
        )
        self.report_button.on_click(self.save_report)
        if report_files is None:
            self.report_button.layout.display = "none"
        self._status = widgets.HTML()
        for widget in (self.folder, self.export_button, self._status):
            widget.layout.display = "none" if tables is None else None
        row = widgets.HBox(
            [
                self.code_button,
                self.folder,
                self.export_button,
                self.report_button,
                self._status,
            ],
            layout={"flex_flow": "row wrap"},
        )
        super().__init__([row.add_class("lb-row"), self._code_box])
        self.refresh()

    def refresh(self) -> None:
        """Update the code if it is shown."""
        if self.code_button.value:
            code = self._code()
            self.text.value, self.text.rows = code, code.count("\n") + 1
            self._copy_button.value = (
                f'<button class="jupyter-button lb-copy" data-code="{escape(code)}" '
                f'onclick="{COPY_HANDLER_JS}">Copy</button>'
            )
        self._code_box.layout.display = None if self.code_button.value else "none"

    def export(self, *_: object) -> None:
        """Write each frame to a file in the folder."""
        self._on_error(None)
        self._status.value = ""
        folder = self.folder.value.strip() or "."
        self._runner.start("export", lambda: self._export(folder))

    def save_report(self, *_: object) -> None:
        """Write a report of the files shown into the folder."""
        self._on_error(None)
        self._status.value = ""
        path = f"{self.folder.value.strip().rstrip('/') or '.'}/{REPORT_NAME}"
        self._runner.start("report", lambda: self._save_report(path))

    def _save_report(self, path: str) -> None:
        if self._report_files is None:
            return
        write_report(self._report_files(), path)
        local = local_path(path)
        text = f"Written to {path if local is None else local.resolve()}"
        self._runner.update_ui(lambda: self._show_status(text))

    def _export(self, given: str) -> None:
        local = local_path(given)
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
        folder = given.rstrip("/") if local is None else str(local.resolve())
        tables = self._tables()
        for name, frame in tables.items():
            export_parquet(frame, f"{folder}/{name}.parquet")
        files = ", ".join(f"{name}.parquet ({len(frame):,})" for name, frame in tables.items())
        text = f"Written to {folder}: {files}"
        self._runner.update_ui(lambda: self._show_status(text))

    def _show_status(self, text: str) -> None:
        self._status.value = f'<span role="status">{markup.text(text)}</span>'
