"""The details of one file, and what its job made of it: pages of text or extracted data."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.fetch.extractions import fetch_extractions
from llama_batches_nb.fetch.pages import fetch_pages
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.base import error_text
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.progress import StatusLine

MAX_CHARACTERS = 100_000  # shown: the page and a saved notebook stay small
NOTHING_YET = "The job has no output: it has not completed, or the service has deleted it."


class FileOutput(widgets.VBox):
    """All about one file, hidden until `show`."""

    def __init__(self, runner: TaskRunner, get_client: Callable[[], Client]) -> None:
        self._runner, self._get_client = runner, get_client
        self._file: pd.Series[Any] | None = None
        self._details = widgets.HTML()
        self.button = widgets.Button(description="Show pages")
        self.button.on_click(self.load)
        self._status = StatusLine()
        self._alert, self._output = widgets.HTML(), widgets.HTML()
        row = widgets.HBox([self.button, self._status], layout={"flex_flow": "row wrap"})
        super().__init__([self._details, row.add_class("lb-row"), self._alert, self._output])
        self.hide()

    def hide(self) -> None:
        """Hide the file and cancel loading its output."""
        self._runner.cancel_and_discard("output")
        self._file = None
        self._details.value = self._alert.value = self._output.value = ""
        self.layout.display = "none"

    def show(self, file: pd.Series[Any]) -> None:
        """Show all of one file, whose message is often longer than a row."""
        self.hide()
        self._file = file
        details = {
            "File": markup.text(file.display_name),
            "File id": markup.whole_id(file.source_directory_file_id),
            "Job": markup.whole_id(file.job_id),
            "Outcome": markup.status(file.outcome),
            "Message": markup.text(file.message),
        }
        rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in details.items())
        self._details.value = f'<dl class="lb-one">{rows}</dl>'
        has_output = not pd.isna(file.job_id) and str(file.outcome) in ("succeeded", "mapped")
        self.button.disabled = not has_output
        self.button.tooltip = "Show its text or data" if has_output else "It has no output"
        self._status.value = ""
        self.layout.display = None

    def load(self, *_: object) -> None:
        """Fetch and show the output of the file's job."""
        file = self._file
        if file is None or self.button.disabled:
            return
        self._alert.value = ""
        self._status.start("Loading …")
        self._runner.start("output", lambda: self._load(file))

    def html(self) -> str:
        """Return what is shown as plain HTML."""
        details = markup.without_copy_buttons(self._details.value)
        return f"{details}{self._output.value}" if self._file is not None else ""

    def _load(self, file: pd.Series[Any]) -> None:
        try:
            html, text = self._fetch(file)
        except Cancelled:
            self._runner.update_ui(lambda: self._status.finish("Stopped"))
        except Exception as error:
            problem = error_text(error)
            self._runner.update_ui(lambda: self._finish("", "Incomplete", problem))
        else:
            self._runner.update_ui(lambda: self._finish(html, text, ""))

    def _finish(self, html: str, text: str, problem: str) -> None:
        self._output.value, self._alert.value = html, markup.alert(problem)
        self._status.finish(text)

    def _fetch(self, file: pd.Series[Any]) -> tuple[str, str]:
        """Return the output as HTML, and how much it is."""
        options: dict[str, Any] = {"client": self._get_client(), "progress": self._status.bar}
        job, name = str(file.job_id), str(file.display_name)
        if str(file.job_type).startswith("extract"):
            data = fetch_extractions(job, **options)
            return _boxed(name, data_html(data), f"lb.fetch_extractions({job!r})"), format_count(
                len(data), "object"
            )
        pages = fetch_pages(job, **options)
        code = f"lb.fetch_pages({job!r})"
        if len(pages) and pages["content"].isna().all() and not pages["success"].eq(False).all():
            pages = fetch_pages(job, content="text", **options)  # of the tier that makes text only
            code = f'lb.fetch_pages({job!r}, content="text")'
        return _boxed(name, pages_html(pages), code), format_count(len(pages), "page")


def pages_html(pages: pd.DataFrame) -> str:
    """Return the pages of a file, at most `MAX_CHARACTERS` of them, as HTML."""
    parts, left = [], MAX_CHARACTERS
    for _, page in pages.iterrows():
        content = "" if pd.isna(page["content"]) else str(page["content"])
        body = f"<pre>{escape(content[:left])}</pre>"
        if not content:
            reason = page["error_message"]
            body = f"<p>{'No text.' if pd.isna(reason) else markup.text(reason)}</p>"
        parts.append(f"<p><b>Page {markup.text(page['page_number'])}</b></p>{body}")
        left -= len(content)
        if left <= 0:
            parts.append("<p>… cut here; the code above returns all.</p>")
            break
    return "".join(parts)


def data_html(data: pd.DataFrame) -> str:
    """Return extracted objects, at most `MAX_CHARACTERS` of them, as HTML."""
    fields = data.drop(columns=["job_id", "row"], errors="ignore")
    objects = json.loads(fields.to_json(orient="records", date_format="iso"))
    text = json.dumps(objects[0] if len(objects) == 1 else objects, indent=2, ensure_ascii=False)
    more = "<p>… cut here; the code above returns all.</p>" if len(text) > MAX_CHARACTERS else ""
    return f"<pre>{escape(text[:MAX_CHARACTERS])}</pre>{more}" if objects else ""


def _boxed(name: str, html: str, code: str) -> str:
    """Return HTML in a box that scrolls, also by keyboard."""
    return (
        f"<p><code>{escape(code)}</code></p>"
        f'<div class="lb-output" role="group" tabindex="0" aria-label="Output of {escape(name)}">'
        f"{html or f'<p>{NOTHING_YET}</p>'}</div>"
    )
