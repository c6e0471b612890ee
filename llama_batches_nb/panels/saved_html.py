"""The HTML copy of a panel that a saved notebook shows without a kernel."""

from __future__ import annotations

from collections.abc import Callable

from IPython import get_ipython
from IPython.core.displaypub import CapturingDisplayPublisher
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
    text
        Returns it as plain text, for formats without HTML such as LaTeX.
    """

    def __init__(
        self,
        title: str,
        panel_class: str,
        content: Callable[[], str],
        text: Callable[[], str],
    ) -> None:
        self._title, self._panel_class = title, panel_class
        self._content, self._text = content, text
        self._outputs: list[DisplayHandle] = []  # one for each cell that shows the panel

    def html(self) -> str:
        """Return the copy."""
        panel = self._panel_class
        return (
            f"<style>{SAVED_CSS}body:has(.{panel}) .lb-saved.of-{panel}{{display:none}}</style>"
            f'<div class="lb-saved of-{panel} tex2jax_ignore mathjax_ignore">'
            f"<p><b>{self._title}</b>, as last shown:</p>{self._content()}</div>"
        )

    def show(self, *, live: bool = True) -> None:
        """Add the copy to the output of a cell; while `live`, `update` replaces it.

        A live copy is empty until it is first replaced. In an `Output` widget or in captured
        output, where that is not possible, it thus says nothing rather than something outdated.
        """
        if not live:
            display(_Copy(self.html(), self._text()))
            return
        output = display(_Copy("", ""), display_id=True)
        if output is not None:
            self._outputs.append(output)
            publisher = getattr(get_ipython(), "display_pub", None)
            if not isinstance(publisher, CapturingDisplayPublisher):
                output.update(_Copy(self.html(), self._text()))

    def update(self) -> None:
        """Replace each copy that is shown by one of what the panel shows now."""
        if self._outputs:
            copy = _Copy(self.html(), self._text())
            for output in self._outputs:
                output.update(copy)


class _Copy:
    """What the panel showed, as HTML and as plain text."""

    def __init__(self, html: str, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text
