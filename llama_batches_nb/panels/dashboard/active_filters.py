"""The changes of rates that can be filtered by, and the filters that apply, as buttons."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets

MAX_TEXT = 70  # characters of a button; the rest is in its tooltip


class ActiveFilters(widgets.HBox):
    """Buttons in one row whose space is always there.

    Parameters
    ----------
    before
        Widgets before the buttons.
    on_filter
        Called with the name and the value of a filter to add or remove.
    on_clear
        Called to remove all filters.
    """

    def __init__(
        self,
        before: list[widgets.Widget],
        on_filter: Callable[[str, str], object],
        on_clear: Callable[[], object],
    ) -> None:
        self._before, self._on_filter = before, on_filter
        self.changes: list[widgets.Button] = []
        self.chips: list[widgets.Button] = []
        self.show_all = widgets.Button(description="Show all", tooltip="Remove all filters")
        self.show_all.on_click(lambda _: on_clear())
        super().__init__(before)
        self.add_class("lb-row").add_class("lb-active")

    def show(
        self, changes: list[tuple[str, str, str]], filters: list[tuple[str, str, str]]
    ) -> None:
        """Show changes and filters; each is the name and value of a filter, and a text."""
        old = [*self.changes, *self.chips]
        self.changes = [self._button(*one, "Filter by it") for one in changes]
        self.chips = [
            self._button(name, value, f"{text} ✕", "Remove this filter").add_class("lb-chip")
            for name, value, text in filters
        ]
        clear = [self.show_all] if filters else []
        self.children = [*self._before, *self.changes, *self.chips, *clear]
        for button in old:
            for part in (button.layout, button.style, button):
                part.close()

    def close(self) -> None:
        """Close the row, also a button that it does not show."""
        for part in (self.show_all.layout, self.show_all.style, self.show_all):
            part.close()
        super().close()

    def _button(self, name: str, value: str, text: str, hint: str) -> widgets.Button:
        short = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}… {text[-1]}"
        button = widgets.Button(description=short, tooltip=f"{hint}: {text}")
        button.on_click(partial(self._click, name, value))
        return button

    def _click(self, name: str, value: str, _: object) -> None:
        self._on_filter(name, value)
