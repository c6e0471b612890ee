"""The base class of all panels: a client, background tasks, an alert and a saved HTML copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from llama_batches_nb.errors import AuthenticationError, BatchesError
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.http.projects import find_project
from llama_batches_nb.messages import escape_control_chars
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.page_style import panel_style
from llama_batches_nb.panels.saved_html import SavedHtml
from llama_batches_nb.panels.task_runner import TaskRunner

_panels_by_cell: dict[str, tuple[str, list[Panel]]] = {}  # the last run of a cell and its panels


class Panel(widgets.VBox):
    """A panel for one client.

    Slow work runs in the threads of `runner`, so the kernel stays free. Closing the panel, or
    running its cell again, cancels that work.
    """

    title = "Panel"
    _closed = True  # until __init__ has run: ipywidgets also closes half-made widgets

    def __init__(self, client: Client | None) -> None:
        self._client = client
        header = self._header_html()  # raises without an API key, before any widget is made
        self._alert, self._message = widgets.HTML(), ""
        self._header = widgets.HTML(header)
        super().__init__([self._header])
        own_class = f"lb-{self.model_id}"
        self.add_class("lb-panel").add_class(own_class)
        self._saved = SavedHtml(
            self.title, own_class, lambda: self._saved_html(), lambda: self._saved_text()
        )
        self.runner = TaskRunner(
            on_error=self.show_error,
            on_warning=self._add_warning,
            after_update=self._saved.update,
        )
        self._as_of: datetime | None = None  # when its numbers were fetched
        self._closed = False
        self._view_count = 0  # not None: the page then reports how many views it shows
        self.observe(self._on_view, "_view_count")
        _close_earlier_panels(self)

    def _on_view(self, _: object) -> None:
        """Send the whole state to a new page, which missed the changes made while it loaded."""
        with self.runner.lock:
            if self._closed:
                return
            for widget in (*_descendants(self), self):
                widget.layout.send_state()
                widget.send_state()
            self._saved.update()  # the page may show a captured output

    def set_content(self, *parts: widgets.Widget, beside: Sequence[widgets.Widget] = ()) -> None:
        """Put widgets under the heading and, in one row with it, others `beside` it."""
        heading: widgets.Widget = self._header
        if beside:
            heading = widgets.HBox([self._header, *beside]).add_class("lb-top")
        self.children = (heading, *parts)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the panel has finished its work, at most `timeout` seconds."""
        self.runner.wait(timeout)

    def stop(self) -> None:
        """Stop the panel's work; what already runs on the server continues."""
        self.runner.cancel_all()

    def close(self) -> None:
        """Stop the panel's work and remove the panel from the page. Its frames remain."""
        if self._closed:
            return
        self._closed = True
        self.runner.close()
        for widget in _descendants(self):
            _close(widget)
        self.layout.close()
        super().close()

    @property
    def client(self) -> Client:
        """The panel's client; raises `AuthenticationError` if there is no API key."""
        return get_client(self._client)

    def _header_html(self) -> str:
        return (
            f"{panel_style(self.title)}<h3>{self.title} "
            f"<span class='lb-muted'>· {markup.text(self._heading())}</span></h3>"
        )

    def _load_project(self) -> None:
        """Ask once for the project of the client, and show its name."""
        client = self.client
        if client.project is None:
            with suppress(BatchesError):  # only the name is missing then
                client.project = find_project(client.get, client.settings.project_id)
        self.runner.update_ui(self._show_project)

    def _show_project(self) -> None:
        self._header.value = self._header_html()

    def _heading(self) -> str:
        settings = self.client.settings
        return f"project {self._project()} · {settings.base_url.partition('://')[2]}"

    def _project(self) -> str:
        """Return the name of the project if the client knows it, or its id."""
        known = self.client.project or {}
        return str(known.get("name") or self.client.settings.project_id or "of this key")

    def show_error(self, error: Exception | None) -> None:
        """Show an error and what to do about it; None removes the one shown."""
        self.show_message("" if error is None else error_text(error))

    def show_message(self, text: str) -> None:
        """Show text as an alert, which screen readers read out; an empty one removes it."""
        self._message = text
        self._alert.value = markup.alert(text)

    def _add_warning(self, text: str) -> None:
        if text not in self._message:
            self.show_message("\n".join(filter(None, (self._message, text))))

    def _text(self) -> str:
        """Return what the panel shows as one line of plain text."""
        return self.title

    def _saved_html(self) -> str:
        """Return the project, the filters, the time and what the panel shows as plain HTML."""
        return f"<p>{markup.text(self._context())}</p>{self._html()}"

    def _context(self) -> str:
        """Return what the panel's numbers are of, and when they were fetched."""
        if self._as_of is None:
            return self._heading()
        return f"{self._heading()} · as of {self._as_of:%Y-%m-%d %H:%M} UTC"

    def _html(self) -> str:
        """Return what the panel shows as plain HTML."""
        return f"<p>{markup.text(self._text())}</p>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = dict(super()._repr_mimebundle_() or {})
        return {**bundle, "text/plain": self._saved_text(), "text/html": self._saved.html()}

    def _ipython_display_(self) -> None:
        """Show the panel, followed by its saved copy."""
        if not self._closed:
            hint = f"{self.title}: run the cell to use the panel."
            view = {**self._repr_mimebundle_(), "text/html": f"<p><i>{hint}</i></p>"}
            display({**view, "text/plain": hint}, raw=True)  # the numbers are in the saved copy
        self._saved.show(live=not self._closed)

    def _saved_text(self) -> str:
        """Return what the panel shows as one line, for formats without HTML."""
        return escape_control_chars(f"<{self.title}: {self._text()}>")

    def __repr__(self) -> str:
        # Without numbers: a notebook keeps the text of a container such as `Tab` as it was.
        return f"<{type(self).__name__} with the DataFrames .batches, .results, .jobs and .files>"


def _close_earlier_panels(panel: Panel) -> None:
    """Close the panels that an earlier run of the same cell made."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId")  # set by JupyterLab, Notebook and VS Code
    if cell is None:
        return
    run = parent["header"]["msg_id"]
    last_run, panels = _panels_by_cell.get(cell, (run, []))
    if last_run != run:
        for earlier in panels:
            earlier.close()
        panels = []
    _panels_by_cell[cell] = run, [*panels, panel]


def close_tree(box: widgets.Box) -> None:
    """Close a widget that was removed from its panel, and everything inside it."""
    for widget in (*_descendants(box), box):
        _close(widget)


def _descendants(box: widgets.Box) -> Iterator[widgets.Widget]:
    for child in box.children:
        if isinstance(child, widgets.Box):
            yield from _descendants(child)
        yield child


def _close(widget: widgets.Widget) -> None:
    """Close a widget with its layout and style, which ipywidgets would keep."""
    for part in ("layout", "style"):
        if widget.has_trait(part):
            getattr(widget, part).close()
    widget.close()


def error_text(error: Exception) -> str:
    """Return what went wrong and what to do about it."""
    if isinstance(error, AuthenticationError) and error.status_code != 403:
        advice = "Set the key with lb.connect() in a cell, then run the panel's cell again."
        return f"{error}\n{advice}"
    if isinstance(error, BatchesError | ValueError | TypeError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"
