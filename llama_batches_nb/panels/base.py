"""What all panels are: work in threads, errors where they happened, a twin that can be saved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import DisplayHandle, display

from llama_batches_nb.errors import AuthenticationError, BatchesError
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client, get_client
from llama_batches_nb.messages import escape_control_chars, redirect_warnings
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.markup import PANEL_CSS, SAVED_CSS

_by_cell: dict[str, tuple[str, list[Panel]]] = {}  # the last run of each cell, and its panels


class Panel(widgets.VBox):
    """A panel over one client.

    The kernel stays free: what takes time is done in a thread. A panel that is closed, or whose
    cell is run again, stops its threads.
    """

    title = "Panel"
    _closed = True  # until it is made: ipywidgets closes what is forgotten, half made or whole

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._tasks: dict[str, workers.BackgroundTask] = {}
        self._turns: dict[str, object] = {}
        self._here = threading.local()  # which work this thread does
        self._saved: DisplayHandle | None = None
        self._closed = False
        self._alert, self._said = widgets.HTML(), ""
        self._head = widgets.HTML(
            f"<style>{PANEL_CSS}</style><h3>{self.title} "
            f"<span class='lb-muted'>· {markup.text(self._heading())}</span></h3>"
        )
        super().__init__([self._head])
        self._mine = f"lb-{self.model_id}"  # a class, known also when the panel is closed
        self.add_class("lb-panel").add_class(self._mine)
        self._view_count = 0  # from now on the page tells when it shows the panel
        self.observe(self._on_view, "_view_count")
        _close_earlier(self)

    def _on_view(self, _: object) -> None:
        """Tell a page that has just come all once more: what changed as it loaded, it missed."""
        with self._lock:
            for widget in () if self._closed else (*_inside(self), self):
                widget.layout.send_state()
                widget.send_state()

    def set_content(self, *parts: widgets.Widget) -> None:
        """Put parts under the heading."""
        self.children = (self._head, *parts)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until what the panel does is done, at most `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while going := [task for task in list(self._tasks.values()) if task.running]:
            going[0].join(None if until is None else max(0.0, until - time.monotonic()))
            if until is not None and time.monotonic() >= until:
                return

    def stop(self) -> None:
        """Stop what the panel does; what is running on the server goes on."""
        for task in list(self._tasks.values()):
            task.stop()

    def close(self) -> None:
        """Stop, and remove the panel from the page. Its frames stay."""
        if self._closed:
            return
        self._closed = True
        self.stop()
        for widget in _inside(self):
            _close(widget)
        self.layout.close()
        super().close()

    def discard(self, part: widgets.Box) -> None:
        """Close a part of the panel that was taken out, and all that is in it."""
        for widget in (*_inside(part), part):
            _close(widget)

    @property
    def client(self) -> Client:
        """The client that the panel asks; an `AuthenticationError` if there is no key for one."""
        return get_client(self._client)

    def _heading(self) -> str:
        settings = self.client.settings
        project = settings.project_id or "of this key"
        return f"project {project} · {settings.base_url.partition('://')[2]}"

    # Work in a thread

    def in_thread(self, name: str, work: Callable[[], None]) -> None:
        """Do something in a thread; of things of one name, the last one replaces the others."""
        with self._lock:
            if self._closed:
                return
            if name in self._tasks:
                self._tasks[name].stop()
            turn = self._turns[name] = object()
            self._tasks[name] = workers.BackgroundTask(lambda: self._run_task(name, turn, work))

    def cancel_and_discard(self, name: str) -> None:
        """Stop work of this name, and let it show nothing more."""
        with self._lock:
            self._turns.pop(name, None)
            if name in self._tasks:
                self._tasks[name].stop()

    def is_running(self, name: str) -> bool:
        """Whether work of this name is under way."""
        return name in self._tasks and self._tasks[name].running

    def stop_one(self, name: str) -> None:
        """Stop the work of this name."""
        with self._lock:
            if name in self._tasks:
                self._tasks[name].stop()

    def lock(self) -> threading.RLock:
        """Return the lock for what is done by one thread: which one runs a click is not fixed."""
        return self._lock

    def _run_task(self, name: str, turn: object, work: Callable[[], None]) -> None:
        """Work, and show what goes wrong: an error in a thread would be seen by nobody."""
        self._here.work = name, turn
        try:
            with redirect_warnings(self._tell_warning):
                work()
        except Exception as error:
            problem = error
            self.update_ui(lambda: self.show_error(problem))

    def update_ui(self, change: Callable[[], object]) -> None:
        """Change what is shown, unless this thread's work was replaced by other work."""
        with self._lock:
            name, turn = getattr(self._here, "work", ("", None))
            if self._closed or self._turns.get(name) is not turn:
                raise workers.Cancelled
            change()
            self._save()

    def show_error(self, error: Exception) -> None:
        """Show what went wrong, and what to do."""
        self.show_message(in_words(error))

    def show_message(self, words: str) -> None:
        """Show what went wrong, to eyes and to screen readers; no words take it away."""
        self._said = words
        self._alert.value = markup.alert(words)

    def _tell_warning(self, words: str) -> None:
        if words not in self._said:
            self.update_ui(lambda: self.show_message("\n".join(filter(None, (self._said, words)))))

    # The twin: HTML that is there when the panel is not

    def _text(self) -> str:
        """Return what the panel shows, in a line of plain text."""
        return self.title

    def _html(self) -> str:
        """Return what the panel shows as plain HTML."""
        return f"<p>{markup.text(self._text())}</p>"

    def _saved_html(self) -> str:
        """Return the HTML, hidden by itself on a page where this panel lives."""
        mine = self._mine
        return (
            f"<style>{SAVED_CSS}body:has(.{mine}) .lb-saved.of-{mine}{{display:none}}</style>"
            f'<div class="lb-saved of-{mine}"><p><b>{self.title}</b></p>{self._html()}</div>'
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = dict(super()._repr_mimebundle_() or {})
        return {**bundle, "text/plain": repr(self), "text/html": self._saved_html()}

    def _ipython_display_(self) -> None:
        """Show the panel, and a twin of it that a saved notebook shows without a kernel."""
        if self._closed:
            display(_Html(self._saved_html()))
            return
        where_dead = f"<p><i>{self.title}: run the cell to use the panel. It last showed:</i></p>"
        display({**self._repr_mimebundle_(), "text/html": where_dead}, raw=True)
        self._saved = display(_Html(self._saved_html()), display_id=True)

    def _save(self) -> None:
        if self._saved is not None:
            self._saved.update(_Html(self._saved_html()))

    def __repr__(self) -> str:
        return escape_control_chars(f"<{self.title}: {self._text()}>")


def _close_earlier(panel: Panel) -> None:
    """Close the panels that an earlier run of the same cell made."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId")  # JupyterLab, Notebook and VS Code tell it
    if cell is None:
        return
    run = parent["header"]["msg_id"]
    last_run, earlier = _by_cell.get(cell, (run, []))
    if last_run != run:
        for one in earlier:
            one.close()
        earlier = []
    _by_cell[cell] = run, [*earlier, panel]


def _inside(box: widgets.Box) -> Iterator[widgets.Widget]:
    for child in box.children:
        if isinstance(child, widgets.Box):
            yield from _inside(child)
        yield child


def _close(widget: widgets.Widget) -> None:
    """Close a widget, and what ipywidgets made with it and would keep."""
    for part in ("layout", "style"):
        if widget.has_trait(part):
            getattr(widget, part).close()
    widget.close()


class _Html:
    """HTML with its plain text."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return ""


def in_words(error: Exception) -> str:
    """Return what went wrong, and what to do."""
    if isinstance(error, AuthenticationError):
        advice = "Set the key with lb.connect() in a cell, and run the panel's cell again."
        return f"{error}\n{advice}"
    if isinstance(error, BatchesError | ValueError | TypeError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"
