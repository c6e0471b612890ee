"""A table that sorts by its column heads, selects rows and shows one page at a time.

The cells are a real HTML table. A transparent button, named after the row's key, covers each row,
so that a row can be selected by a click anywhere on it or by keyboard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.panels import markup

PAGE_SIZE = 12  # rows
MAX_SAVED_ROWS = 100  # in the copy that a saved notebook shows

RowText: TypeAlias = "Callable[[pd.Series[Any]], str]"


@dataclass(frozen=True)
class TableColumn:
    """A column of a `DataTable`.

    Parameters
    ----------
    name
        The frame's column.
    head
        The text of the head.
    width
        A track of a CSS grid.
    cell
        Returns a cell's HTML.
    numeric
        Align to the right.
    sort_key
        Returns what a value is sorted by; by default, the value.
    graphic
        The cells have no text, so the saved copy leaves this column out.
    """

    name: str
    head: str
    width: str
    cell: RowText
    numeric: bool = False
    sort_key: Callable[[Any], Any] | None = None
    graphic: bool = False

    @property
    def css_class(self) -> str:
        """The class of the head and cells."""
        return "lb-num" if self.numeric else ""


class DataTable(widgets.VBox):
    """A frame as a table.

    Parameters
    ----------
    columns
        The columns to show.
    key
        The frame's column that identifies a row.
    noun
        What one row is, for messages: ``batch``.
    on_select
        Called with the selected row. Without it, rows cannot be selected.
    tooltip
        Returns a row's tooltip; by default, its key.
    min_width
        In pixels; a narrower page scrolls the table sideways.
    page_size
        Rows per page.
    """

    def __init__(
        self,
        columns: Sequence[TableColumn],
        *,
        key: str,
        noun: str,
        on_select: Callable[[pd.Series[Any]], object] | None = None,
        tooltip: RowText | None = None,
        min_width: int = 640,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._columns, self._key, self._noun = list(columns), key, noun
        self._on_select, self._tooltip, self._page_size = on_select, tooltip, page_size
        self._frame = self._sorted = self._no_rows()
        self._empty_text = ""
        self._sort: tuple[str, bool] | None = None  # column and whether ascending
        self._first = 0  # position of the first row shown
        self._selected: Any = None  # the key of the selected row

        self._tracks = " ".join(column.width for column in columns)
        self._heads = [widgets.Button(tooltip=f"Sort by {c.head}") for c in columns]
        for column, head in zip(columns, self._heads, strict=True):
            head.add_class(column.css_class or "lb-text")
            head.on_click(partial(self._on_head, column.name))
        heads = widgets.Box(self._heads, layout={"grid_template_columns": self._tracks})
        heads.add_class("lb-heads")
        self._cells = widgets.HTML()
        self._cells.add_class("lb-cells")
        self._row_buttons = [widgets.Button() for _ in range(page_size if on_select else 0)]
        for position, button in enumerate(self._row_buttons):
            button.on_click(partial(self._on_row, position))
        row_buttons = widgets.VBox(self._row_buttons)
        row_buttons.add_class("lb-picks")
        body = widgets.Box([self._cells, *([row_buttons] if on_select else [])])
        body.add_class("lb-body")
        grid = widgets.VBox([heads, body], layout={"min_width": f"{min_width}px"})
        grid.add_class("lb-grid")
        scroll_box = widgets.Box([grid])
        scroll_box.add_class("lb-table")
        self._previous = widgets.Button(description="Previous", tooltip="Previous page")
        self._next = widgets.Button(description="Next", tooltip="Next page")
        self._previous.on_click(lambda _: self.turn_pages(-1))
        self._next.on_click(lambda _: self.turn_pages(1))
        self._range = widgets.HTML()
        self._footer = widgets.HBox([self._previous, self._range, self._next])
        self._footer.add_class("lb-row").add_class("lb-foot")
        super().__init__([scroll_box, self._footer])
        self.show(self._frame)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, in the order shown."""
        return self._sorted

    def show(self, frame: pd.DataFrame, *, empty: str = "", keep_place: bool = False) -> None:
        """Show a frame, or the text `empty` if it has no rows.

        With `keep_place`, the page and the selected row remain.
        """
        self._frame, self._empty_text = frame, empty
        if not keep_place:
            self._first, self._selected = 0, None
        self.redraw()

    def show_text(self, text: str) -> None:
        """Show text instead of rows."""
        self.show(self._no_rows(), empty=text)

    def select(self, key: Any) -> None:
        """Select the row with this key, as a click on it does."""
        rows = self._frame[self._frame[self._key] == key]
        if not len(rows):
            raise ValueError(f"The table has no {self._noun} {key!r}.")
        self._select_row(rows.iloc[0])

    def highlight(self, key: Any) -> None:
        """Show a row as selected without calling `on_select`."""
        self._selected = key
        self._draw()

    def sort(self, name: str, *, ascending: bool = True) -> None:
        """Sort by a column; missing values come last."""
        self._sort, self._first = (name, ascending), 0
        self.redraw()

    def turn_pages(self, n: int) -> None:
        """Go `n` pages forward, or back if negative."""
        self._first = max(0, self._first + n * self._page_size)
        self._draw()

    def redraw(self) -> None:
        """Sort and draw the rows again, for example when the names of their ids are loaded."""
        self._sorted = self._frame
        if self._sort is not None and self._sort[0] in self._frame:
            by, ascending = self._sort
            key = next((c.sort_key for c in self._columns if c.name == by), None)
            self._sorted = self._frame.sort_values(
                by,
                ascending=ascending,
                kind="stable",
                na_position="last",
                key=key and (lambda values: values.map(key, na_action="ignore")),
            )
        self._draw()

    def html(self) -> str:
        """Return the first rows as plain HTML, for the saved copy."""
        if not len(self._sorted):
            return f"<p>{markup.text(self._empty_text)}</p>" if self._empty_text else ""
        columns = [column for column in self._columns if not column.graphic]
        table = markup.table(_heads(columns), _rows(columns, self._sorted[:MAX_SAVED_ROWS]))
        more = len(self._sorted) - MAX_SAVED_ROWS
        return table + (f"<p>… and {markup.count(more, 'more row')}</p>" if more > 0 else "")

    def _no_rows(self) -> pd.DataFrame:
        names = dict.fromkeys([self._key, *(column.name for column in self._columns)])
        return pd.DataFrame(columns=list(names))

    def _on_head(self, name: str, _: object) -> None:
        self.sort(name, ascending=self._sort != (name, True))

    def _on_row(self, position: int, _: object) -> None:
        rows = self._page()
        if position < len(rows):
            self._select_row(rows.iloc[position])

    def _select_row(self, row: pd.Series[Any]) -> None:
        key = row[self._key]
        self._selected = None if pd.isna(key) else key
        self._draw()
        if self._on_select is not None:
            self._on_select(row)

    def _page(self) -> pd.DataFrame:
        return self._sorted[self._first : self._first + self._page_size]

    def _draw(self) -> None:
        n_rows = len(self._sorted)
        last_page = max(0, (n_rows - 1) // self._page_size * self._page_size)
        self._first = min(self._first, last_page)
        rows = self._page()
        self._draw_heads()
        # The rows have the tracks of the heads, so that both line up.
        tracks = f"grid-template-columns:{self._tracks}"
        if len(rows):
            table = markup.table(
                _heads(self._columns), _rows(self._columns, rows), row_style=tracks
            )
            self._cells.value = table
        else:
            text = markup.text(self._empty_text)
            self._cells.value = f'<div class="lb-empty">{text}</div>' if self._empty_text else ""
        for position, button in enumerate(self._row_buttons):
            self._draw_row_button(button, rows.iloc[position] if position < len(rows) else None)
        self._footer.layout.display = None if n_rows > self._page_size else "none"
        last = self._first + len(rows)
        self._range.value = f"{self._first + 1:,}–{last:,} of {markup.count(n_rows, self._noun)}"
        self._previous.disabled = self._first == 0
        self._next.disabled = last >= n_rows

    def _draw_heads(self) -> None:
        for column, head in zip(self._columns, self._heads, strict=True):
            arrow = ""
            if self._sort is not None and self._sort[0] == column.name:
                arrow = " ▲" if self._sort[1] else " ▼"
            head.description = column.head + arrow

    def _draw_row_button(self, button: widgets.Button, row: pd.Series[Any] | None) -> None:
        """Name the button after its row; hide it if it has none."""
        button.layout.display = "none" if row is None else None
        key = None if row is None or pd.isna(row[self._key]) else row[self._key]
        unnamed = "" if row is None else f"{self._noun} without an id"
        button.description = button.tooltip = unnamed if key is None else str(key)
        if row is not None and self._tooltip is not None:
            button.tooltip = self._tooltip(row)
        selected = key is not None and key == self._selected
        (button.add_class if selected else button.remove_class)("lb-chosen")


def _heads(columns: Sequence[TableColumn]) -> list[tuple[str, str]]:
    return [(column.head, column.css_class) for column in columns]


def _rows(columns: Sequence[TableColumn], frame: pd.DataFrame) -> list[list[str]]:
    return [[column.cell(row) for column in columns] for _, row in frame.iterrows()]
