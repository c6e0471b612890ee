"""The files of one batch, with the outcome of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.directories import fetch_files
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.fetch.usage import replace_jobs
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import error_text
from llama_batches_nb.panels.browse.credit_loader import CreditLoader
from llama_batches_nb.panels.browse.file_output import FileOutput
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.panels.widgets.table import DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import FILES, RESULTS
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

COLUMNS = (
    TableColumn("outcome", "Outcome", "130px", lambda f: markup.status(f.outcome)),
    TableColumn(
        "message",
        "Message",
        "minmax(160px,4fr)",
        lambda f: f'<span title="{markup.text(f.message)}">{markup.text(f.message)}</span>',
    ),
    TableColumn("job_id", "Job", "118px", lambda f: markup.copied_id(f.job_id)),
    TableColumn(
        "credits", "Credits", "70px", lambda f: markup.number(f.get("credits")), numeric=True
    ),
)


class BatchFiles(widgets.VBox):
    """A table of a batch's files; `frame` has their outcomes and names, one row per file."""

    def __init__(
        self,
        runner: TaskRunner,
        get_client: Callable[[], Client],
        on_credits: Callable[[pd.DataFrame], object] | None = None,
    ) -> None:
        self._runner, self._get_client = runner, get_client
        self.frame: pd.DataFrame | None = None
        self._loaded: _LoadedFiles | None = None
        self._is_live = False
        self._files_by_directory: dict[str, pd.DataFrame] = {}
        self._names = NameIndex("file", "dfl-")
        self._title = widgets.HTML()
        self._status = StatusLine()
        self.only_failures = widgets.ToggleButton(
            description="Only failures", tooltip="Show only failed files"
        )
        self.only_failures.observe(lambda _: self._draw(), "value")
        row = widgets.HBox([self.only_failures, self._status], layout={"flex_flow": "row wrap"})
        self.output = FileOutput(runner, get_client)
        self.table = DataTable(
            [
                TableColumn("display_name", "File", "minmax(120px,2fr)", self._name_html),
                *COLUMNS,
            ],
            key="source_directory_file_id",
            noun="file",
            on_select=self.output.show,
            tooltip=lambda file: str(file.display_name),
            searchable=True,
        )
        self.credits = CreditLoader(
            runner, "credits of files", get_client, on_credits or self.set_credits
        )
        self._alert = widgets.HTML()
        row.add_class("lb-row")
        parts = [self._title, row, self._alert, self.table, self.credits, self.output]
        super().__init__(parts)
        self.layout.display = "none"

    def show(self, batch: pd.Series[Any], frames: FetchedFrames, *, fetch: bool) -> None:
        """Show a batch's files from `frames`; with `fetch`, fetch those that are missing there."""
        self.frame, self._loaded, self._is_live = None, None, fetch
        self.credits.discard()
        status = markup.batch_status(batch.status, batch.get("failure_rate"))
        self._title.value = (
            f"<h4>Files of {markup.whole_id(batch.batch_id)} {status} "
            f"<span class='lb-muted'>created {markup.time(batch.created_at)} UTC</span></h4>"
        )
        self.table.show_text("Loading …")
        self._alert.value = ""
        self.output.hide()
        self.layout.display = None
        self._status.start("Loading files …")
        self._runner.start("files", lambda: self._load(batch, frames, fetch))

    def hide(self) -> None:
        """Hide the files and cancel loading them."""
        self._runner.cancel_and_discard("files")
        self.credits.discard()
        self.output.hide()
        self.frame, self._loaded = None, None
        self.layout.display = "none"

    def set_credits(self, loaded: pd.DataFrame) -> None:
        """Show the credits of these jobs, as loaded."""
        if self._loaded is None or self._loaded.jobs is None:
            return
        self._loaded = replace(self._loaded, jobs=replace_jobs(self._loaded.jobs, loaded))
        self.frame = self._loaded.files()
        self._draw(keep_place=True)

    def html(self) -> str:
        """Return the files as plain HTML."""
        if self.layout.display == "none":
            return ""
        title = markup.without_copy_buttons(self._title.value)
        return f"{title}{self.table.html()}{self.credits.html()}{self.output.html()}"

    def _load(self, batch: pd.Series[Any], frames: FetchedFrames, fetch: bool) -> None:
        try:
            loaded = self._load_files(batch, frames, fetch)
            files = loaded.files()
        except Cancelled:
            self._runner.update_ui(self._show_incomplete)
        except Exception as error:
            text = error_text(error)
            self._runner.update_ui(lambda: self._show_incomplete(text))
        else:
            self._runner.update_ui(lambda: self._show_files(batch, loaded, files))

    def _show_incomplete(self, reason: str = "") -> None:
        self._alert.value = markup.alert(reason)
        self._status.finish("Incomplete")
        self.table.show_text("Select the batch again to load its files.")

    def _load_files(
        self, batch: pd.Series[Any], frames: FetchedFrames, fetch: bool
    ) -> _LoadedFiles:
        results, jobs = records.concat_to_pandas(RESULTS, []), frames.jobs
        if frames.results is not None:
            results = frames.results[frames.results["batch_id"] == batch.batch_id]
        if fetch and (jobs is None or not len(results)):
            options: dict[str, Any] = {"client": self._get_client(), "progress": self._status.bar}
            results = fetch_results(batch.batch_id, **options)
            jobs = fetch_jobs(results, **options)
        names = self._fetch_names(batch.source_directory_id)
        return _LoadedFiles(results, jobs, names[["source_directory_file_id", "display_name"]])

    def _fetch_names(self, directory_id: str) -> pd.DataFrame:
        """Return the files of a directory, or no rows if they cannot be fetched."""
        if directory_id not in self._files_by_directory:
            try:
                self._files_by_directory[directory_id] = fetch_files(
                    arguments.parse_id("source_directory_id", directory_id),
                    client=self._get_client(),
                    progress=self._status.bar,
                )
            except (BatchesError, TypeError):  # deleted, or the batch has no directory id
                return records.to_pandas(FILES, [])
        return self._files_by_directory[directory_id]

    def _show_files(self, batch: pd.Series[Any], loaded: _LoadedFiles, files: pd.DataFrame) -> None:
        self.frame, self._loaded = files, loaded
        names = files[["source_directory_file_id", "display_name"]].dropna()
        names = names.rename(columns={"display_name": "name"})
        self._names = NameIndex("file", "dfl-", names[names["name"] != names.iloc[:, 0]])
        if len(files):
            self._status.finish(format_failures(files))
        elif batch.status in TERMINAL_STATUSES:
            self._status.finish("No files")
        else:
            self._status.finish("The files will be known when the batch has finished")
        self._draw()

    def _name_html(self, file: pd.Series[Any]) -> str:
        """Return the name of a file, which stays different from the others where it is cut off."""
        id_ = file["source_directory_file_id"]
        if str(id_) in self._names.by_id:
            return self._names.html(id_)
        return markup.cut_name(str(file["display_name"]), 0)

    def _draw(self, *, keep_place: bool = False) -> None:
        if self.frame is None or self._loaded is None:
            return
        self.credits.offer(self.frame, self._loaded.jobs, fetch=self._is_live)
        files, empty = self.frame, "No files."
        if self.only_failures.value:
            files = files[files["outcome"].isin(FAILURE_OUTCOMES)]
            empty = "No failed files." if len(self.frame) else empty
        rank = ~files["outcome"].isin(FAILURE_OUTCOMES)  # failures first
        rows = files.loc[rank.sort_values(kind="stable").index]
        self.table.show(rows, empty=empty, keep_place=keep_place)
        if not keep_place:
            self.output.hide()


@dataclass(frozen=True)
class _LoadedFiles:
    """The results of a batch, their jobs if known, and the names of the files."""

    results: pd.DataFrame
    jobs: pd.DataFrame | None
    names: pd.DataFrame

    def files(self) -> pd.DataFrame:
        """Return the outcomes of the files, with a message and a name for each."""
        files: pd.DataFrame = outcomes(self.results, self.jobs).merge(
            self.names, how="left", on="source_directory_file_id"
        )
        message = files["error_message"]
        if "job_error_message" in files:
            message = message.fillna(files["job_error_message"])
        name = files["display_name"].fillna(files["source_directory_file_id"])
        return files.assign(message=message, display_name=name)


def format_failures(files: pd.DataFrame, failed: str = "failed") -> str:
    """Return the number of files and the share that failed; the numbers add up."""
    rate = failure_rates(files).iloc[0]
    undecided, unreliable = int(rate.total - rate.decided), len(files) - int(rate.total)
    n_files = format_count(len(files), "file")
    parts = [f"{n_files}: {failed} {format_rate(rate)}" if rate.total else n_files]
    if undecided:
        parts.append(f"{undecided:,} undecided")
    if unreliable:
        parts.append(f"{unreliable:,} in FAILED batches (results unreliable)")
    return " · ".join(parts)
