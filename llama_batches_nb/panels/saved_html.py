"""The HTML copy of a panel that a saved notebook shows without a kernel."""

from __future__ import annotations

from collections.abc import Callable

from IPython.display import DisplayHandle, display

from llama_batches_nb.panels.markup import SAVED_CSS


class SavedHtml:
    """A copy of a panel as plain HTML, hidden by CSS on a page where the panel itself is shown.

    Parameters
    ----------
    title
        The panel's title.
    panel_class
        A CSS class that only this panel has.
    content
        Returns what the panel shows, as HTML.
    """

    def __init__(self, title: str, panel_class: str, content: Callable[[], str]) -> None:
        self._title, self._panel_class, self._content = title, panel_class, content
        self._output: DisplayHandle | None = None

    def html(self) -> str:
        """Return the copy."""
        panel = self._panel_class
        return (
            f"<style>{SAVED_CSS}body:has(.{panel}) .lb-saved.of-{panel}{{display:none}}</style>"
            f'<div class="lb-saved of-{panel}"><p><b>{self._title}</b></p>{self._content()}</div>'
        )

    def show(self, *, live: bool = True) -> None:
        """Add the copy to the output of a cell; while `live`, `update` replaces it."""
        output = display(_Html(self.html()), display_id=True)
        self._output = output if live else None

    def update(self) -> None:
        """Replace the copy, if it is shown, by one of what the panel shows now."""
        if self._output is not None:
            self._output.update(_Html(self.html()))


class _Html:
    """HTML whose plain text is empty."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return ""
