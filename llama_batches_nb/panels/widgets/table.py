"""A table that searches, sorts, selects rows and shows one page at a time.

The cells are a real HTML table, whose text can be selected. Each row has a button in front of it,
named after the row's key, so that rows can be selected by keyboard; a click on the row presses it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.widgets.search import SearchIndex
from llama_batches_nb.panels.widgets.table_cells import (
    RowText,
    TableColumn,
    clickable,
    table_html,
)

PAGE_SIZE = 12  # rows
PAGE_SIZES = (12, 25, 50, 100)
MAX_SAVED_ROWS = 100  # in the copy that a saved notebook shows
ROW_HEIGHT, TALL_ROW_HEIGHT = 30, 46  # pixels; as in panel.css


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
        Returns the name of a row's button; by default, the row's key.
    min_width
        In pixels; a narrower page scrolls the table sideways.
    page_size
        Rows per page.
    reserved
        Rows for which there is space even if there are fewer, so that nothing below moves.
    searchable
        Show a search box, a choice of the page size, and buttons for the first and last page.
    tall
        Rows have two lines.
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
        reserved: int = 0,
        searchable: bool = False,
        tall: bool = False,
    ) -> None:
        self._columns, self._key, self._noun = list(columns), key, noun
        self._on_select, self._tooltip, self._page_size = on_select, tooltip, page_size
        self._frame = self._sorted = self._no_rows()
        self._index: SearchIndex | None = None  # made by the first search
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
        self._row_buttons: list[widgets.Button] = []
        self._row_look = {"layout": widgets.Layout(), "style": widgets.ButtonStyle()}  # of all
        self._picks = widgets.VBox()
        self._picks.add_class("lb-picks")
        height = reserved * (TALL_ROW_HEIGHT if tall else ROW_HEIGHT)
        body = widgets.Box([self._picks, self._cells], layout={"min_height": f"{height}px"})
        body.add_class("lb-body")
        grid = widgets.VBox([heads, body], layout={"min_width": f"{min_width}px"})
        grid.add_class("lb-grid")
        for name, wanted in (("lb-pickable", on_select is not None), ("lb-tall", tall)):
            if wanted:
                grid.add_class(name)
        scroll_box = widgets.Box([grid])
        scroll_box.add_class("lb-table")
        super().__init__([self._make_bar(searchable), scroll_box])
        self.show(self._frame)

    def _make_bar(self, searchable: bool) -> widgets.Box:
        """Return the row above the table: title, search, position, pages."""
        self.title = widgets.HTML(layout={"flex": "1 1 auto"})
        self._range = widgets.HTML().add_class("lb-range")
        self._previous = widgets.Button(description="Previous", tooltip="Previous page")
        self._next = widgets.Button(description="Next", tooltip="Next page")
        self._previous.on_click(lambda _: self.turn_pages(-1))
        self._next.on_click(lambda _: self.turn_pages(1))
        self._pager: list[widgets.Widget] = [self._range, self._previous, self._next]
        bar = [self.title, *self._pager]
        self.search: Any = None
        self.rows: Any = None
        if searchable:
            self.search = widgets.Text(
                description="Search", placeholder=f"any text of a {self._noun}"
            )
            self.search.observe(lambda _: self._on_search(), "value")
            self.rows = widgets.Dropdown(
                description="Rows",
                options=sorted({*PAGE_SIZES, self._page_size}),
                value=self._page_size,
            )
            self.rows.observe(lambda change: self._set_page_size(change["new"]), "value")
            self._first_page = widgets.Button(description="First", tooltip="First page")
            self._last_page = widgets.Button(description="Last", tooltip="Last page")
            self._first_page.on_click(lambda _: self._go_to(0))
            self._last_page.on_click(lambda _: self._go_to(len(self._sorted)))
            self.search.add_class("lb-short").add_class("lb-search")
            self.rows.add_class("lb-short").add_class("lb-page-size")
            buttons = [self._first_page, self._previous, self._next, self._last_page]
            bar = [self.title, self.search, self._range, *buttons, self.rows]
        row = widgets.HBox(bar, layout={"flex_flow": "row wrap"})
        if not searchable:
            row.add_class("lb-one-line")
        return row.add_class("lb-row").add_class("lb-bar")

    @property
    def frame(self) -> pd.DataFrame:
        """The rows that match the search, in the order shown."""
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
        self._draw_row_buttons(self._page())

    def sort(self, name: str, *, ascending: bool = True) -> None:
        """Sort by a column; missing values come last."""
        self._sort, self._first = (name, ascending), 0
        self._arrange()

    def turn_pages(self, n: int) -> None:
        """Go `n` pages forward, or back if negative."""
        self._go_to(self._first + n * self._page_size)

    def redraw(self) -> None:
        """Search, sort and draw the rows again, for example when names of ids are loaded."""
        self._index = None
        self._arrange()

    def html(self) -> str:
        """Return the first rows as plain HTML, for the saved copy."""
        if not len(self._sorted):
            return f"<p>{markup.text(self._message())}</p>" if self._message() else ""
        columns = [column for column in self._columns if not column.graphic]
        table = markup.without_copy_buttons(table_html(columns, self._sorted[:MAX_SAVED_ROWS]))
        more = len(self._sorted) - MAX_SAVED_ROWS
        return table + (f"<p>… and {format_count(more, 'more row')}</p>" if more > 0 else "")

    def _no_rows(self) -> pd.DataFrame:
        names = dict.fromkeys([self._key, *(column.name for column in self._columns)])
        return pd.DataFrame(columns=list(names))

    def _on_head(self, name: str, _: object) -> None:
        self.sort(name, ascending=self._sort != (name, True))

    def _on_search(self) -> None:
        self._first = 0
        self._arrange()

    def _on_row(self, position: int, _: object) -> None:
        rows = self._page()
        if position < len(rows):
            self._select_row(rows.iloc[position])

    def _set_page_size(self, n: int) -> None:
        self._page_size = n
        self._first = self._first // n * n
        self._draw()

    def _go_to(self, position: int) -> None:
        self._first = max(0, position)
        self._draw()

    def _select_row(self, row: pd.Series[Any]) -> None:
        key = row[self._key]
        self.highlight(None if pd.isna(key) else key)
        if self._on_select is not None:
            self._on_select(row)

    def _words(self) -> str:
        return "" if self.search is None else str(self.search.value).strip()

    def _message(self) -> str:
        if not len(self._frame) or not self._words():
            return self._empty_text
        return f"No {self._noun} contains “{self._words()}”."

    def _arrange(self) -> None:
        """Keep the rows that match the search, sort them and draw."""
        rows = self._frame
        if self._words() and len(rows):
            if self._index is None:
                self._index = SearchIndex(self._columns, rows)
            rows = rows[self._index.rows_with(self._words())]
        if self._sort is not None and self._sort[0] in rows:
            by, ascending = self._sort
            key = next((c.sort_key for c in self._columns if c.name == by), None)
            rows = rows.sort_values(
                by,
                ascending=ascending,
                kind="stable",
                na_position="last",
                key=key and partial(_sort_keys, key),
            )
        self._sorted = rows
        self._draw()

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
            table = table_html(self._columns, rows, sorted_by=self._sort, row_style=tracks)
            self._cells.value = clickable(table)
        else:
            text = markup.text(self._message())
            self._cells.value = f'<div class="lb-empty">{text}</div>' if self._message() else ""
        self._draw_row_buttons(rows)
        self._draw_pager(n_rows, self._first + len(rows))

    def _draw_pager(self, n_rows: int, last: int) -> None:
        is_hidden = self.search is None and n_rows <= self._page_size
        for widget in self._pager:
            widget.layout.display = "none" if is_hidden else None
        first = self._first + 1 if n_rows else 0
        n_all = len(self._frame)
        found = f" (of {n_all:,})" if n_rows < n_all else ""
        rows = f"{first:,}–{last:,} of " if len(self._frame) else ""
        self._range.value = (
            f'<span role="status">{rows}{format_count(n_rows, self._noun)}{found}</span>'
        )
        self._previous.disabled = self._first == 0
        self._next.disabled = last >= n_rows
        if self.search is not None:
            self._first_page.disabled = self._previous.disabled
            self._last_page.disabled = self._next.disabled

    def _draw_heads(self) -> None:
        for column, head in zip(self._columns, self._heads, strict=True):
            arrow = ""
            if self._sort is not None and self._sort[0] == column.name:
                arrow = " ▲" if self._sort[1] else " ▼"
            head.description = column.head + arrow

    def _draw_row_buttons(self, rows: pd.DataFrame) -> None:
        """Give each row shown a button that is named after it."""
        if self._on_select is None:
            return
        while len(self._row_buttons) < len(rows):
            button = widgets.Button(**self._row_look)
            button.on_click(partial(self._on_row, len(self._row_buttons)))
            self._row_buttons.append(button)
        for button, (_, row) in zip(self._row_buttons, rows.iterrows(), strict=False):
            missing = pd.isna(row[self._key])
            key = f"{self._noun} without an id" if missing else str(row[self._key])
            button.tooltip = key if self._tooltip is None else self._tooltip(row)
            is_chosen = not missing and row[self._key] == self._selected
            (button.add_class if is_chosen else button.remove_class)("lb-chosen")
        self._picks.children = self._row_buttons[: len(rows)]

    def close(self) -> None:
        """Close the table, also the buttons of rows that it does not show now."""
        for widget in (*self._row_buttons, *self._row_look.values()):
            widget.close()
        super().close()


def _sort_keys(key: Callable[[Any], Any], values: pd.Series[Any]) -> pd.Series[Any]:
    """Return what values are sorted by; the key of equal texts is computed once."""
    if not isinstance(values.dtype, pd.StringDtype):
        return values.map(key, na_action="ignore")
    codes, known = pd.factorize(values)
    ranks = pd.Series([key(value) for value in known], dtype=object).rank(method="dense")
    return pd.Series(ranks.reindex(codes).to_numpy(), values.index)
