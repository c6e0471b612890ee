"""The files of one batch, with what became of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.directories import fetch_files
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import error_text
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.progress import StatusLine
from llama_batches_nb.panels.widgets.table import Column, Table
from llama_batches_nb.tables import arguments, records
from llama_batches_nb.tables.schema import FILES, RESULTS
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES

COLUMNS = (
    Column("display_name", "File", "minmax(120px,2fr)", lambda f: markup.text(f.display_name)),
    Column("outcome", "Outcome", "130px", lambda f: markup.status(f.outcome)),
    Column("message", "Message", "minmax(160px,4fr)", lambda f: markup.text(f.message)),
    Column("job_id", "Job", "110px", lambda f: markup.short_id(f.job_id)),
    Column("credits", "Credits", "70px", lambda f: markup.number(f.get("credits")), numeric=True),
)


class BatchFiles(widgets.VBox):
    """A table of a batch's files; `frame` has a row per file, with its name beside its outcome."""

    def __init__(self, runner: TaskRunner, get_client: Callable[[], Client]) -> None:
        self._runner, self._get_client = runner, get_client
        self.frame: pd.DataFrame | None = None
        self._names: dict[str, pd.DataFrame] = {}
        self._title = widgets.HTML()
        self._meter = StatusLine()
        self.only_failures = widgets.ToggleButton(
            description="Only failures", tooltip="Show only files that failed"
        )
        self.only_failures.observe(lambda _: self._draw(), "value")
        bar = widgets.HBox([self.only_failures, self._meter], layout={"flex_flow": "row wrap"})
        self.table = Table(COLUMNS, key="source_directory_file_id", row="file", choose=self._tell)
        self._alert, self._one = widgets.HTML(), widgets.HTML()
        bar.add_class("lb-row")
        super().__init__([self._title, bar, self._alert, self.table, self._one])
        self.layout.display = "none"

    def show(self, batch: pd.Series[Any], found: FetchedFrames, *, fetch: bool) -> None:
        """Show a batch's files: those of the frames, and where they have none, fetch them."""
        self.frame = None
        self._title.value = (
            f"<h4>Files of {markup.whole_id(batch.batch_id)} {markup.status(batch.status)} "
            f"<span class='lb-muted'>created {markup.time(batch.created_at)} UTC</span></h4>"
        )
        self.table.clear("Fetching …")
        self._alert.value = self._one.value = ""
        self.layout.display = None
        self._meter.start("Fetching its files …")
        self._runner.start("files", lambda: self._load(batch, found, fetch))

    def hide(self) -> None:
        """Take the files away."""
        self._runner.cancel_and_discard("files")
        self.frame = None
        self.layout.display = "none"

    def html(self) -> str:
        """Return the files as plain HTML."""
        shown = self.layout.display != "none"
        return f"{self._title.value}{self.table.html()}" if shown else ""

    def _load(self, batch: pd.Series[Any], found: FetchedFrames, fetch: bool) -> None:
        try:
            files = self._named(batch, found, fetch)
        except Cancelled:
            self._runner.update_ui(self._show_incomplete)
        except Exception as error:
            words = error_text(error)
            self._runner.update_ui(lambda: self._show_incomplete(words))
        else:
            self._runner.update_ui(lambda: self._show(batch, files))

    def _show_incomplete(self, why: str = "") -> None:
        self._alert.value = markup.alert(why)
        self._meter.finish("Not complete")
        self.table.clear("Choose the batch again to fetch its files.")

    def _named(self, batch: pd.Series[Any], found: FetchedFrames, fetch: bool) -> pd.DataFrame:
        """Return the files of a batch, with their names."""
        mine, jobs = records.concat_to_pandas(RESULTS, []), found.jobs
        if found.results is not None:
            mine = found.results[found.results["batch_id"] == batch.batch_id]
        if fetch and (jobs is None or not len(mine)):
            asked: dict[str, Any] = {"client": self._get_client(), "progress": self._meter.bar}
            mine = fetch_results(batch.batch_id, **asked)
            jobs = fetch_jobs(mine, **asked)
        files = outcomes(mine, jobs)
        names = self._names_of(batch.source_directory_id)[
            ["source_directory_file_id", "display_name"]
        ]
        named: pd.DataFrame = files.merge(names, how="left", on="source_directory_file_id")
        message = named["error_message"]
        if "job_error_message" in named:
            message = message.fillna(named["job_error_message"])
        name = named["display_name"].fillna(named["source_directory_file_id"])
        return named.assign(message=message, display_name=name)

    def _names_of(self, directory_id: str) -> pd.DataFrame:
        """Return the files of a directory; where they can't be had, ids have to do."""
        if directory_id not in self._names:
            try:
                self._names[directory_id] = fetch_files(
                    arguments.parse_id("source_directory_id", directory_id),
                    client=self._get_client(),
                    progress=self._meter.bar,
                )
            except (BatchesError, TypeError):  # it is gone, or none is told
                return records.to_pandas(FILES, [])
        return self._names[directory_id]

    def _show(self, batch: pd.Series[Any], files: pd.DataFrame) -> None:
        self.frame = files
        if len(files):
            self._meter.finish(rate_line(files))
        else:
            ended = batch.status in TERMINAL_STATUSES
            self._meter.finish("No files" if ended else "Its files are known once it has ended")
        self._draw()

    def _draw(self) -> None:
        if self.frame is None:
            return
        only = self.only_failures.value
        shown = self.frame[self.frame["outcome"].isin(FAILURE_OUTCOMES)] if only else self.frame
        empty = "None of its files failed." if only and len(self.frame) else "No files to show."
        self.table.show(shown, empty=empty)
        self._one.value = ""

    def _tell(self, file: pd.Series[Any]) -> None:
        """Show one file whole: its message is longer than a row."""
        parts = {
            "File": markup.text(file.display_name),
            "File id": markup.whole_id(file.source_directory_file_id),
            "Job": markup.whole_id(file.job_id),
            "Outcome": markup.status(file.outcome),
            "Message": markup.text(file.message),
        }
        rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in parts.items())
        self._one.value = f'<dl class="lb-one">{rows}</dl>'


def rate_line(files: pd.DataFrame, failed: str = "failed") -> str:
    """Return how many files there are, and what share of them failed; the numbers add up."""
    rate = failure_rates(files).iloc[0]
    undecided, left_out = int(rate.total - rate.decided), len(files) - int(rate.total)
    n_files = markup.count(len(files), "file")
    parts = [f"{n_files}: {failed} {format_rate(rate)}" if rate.total else n_files]
    if undecided:
        parts.append(f"{undecided:,} undecided")
    if left_out:
        parts.append(f"{left_out:,} in FAILED batches, of which nothing is sure")
    return " · ".join(parts)
