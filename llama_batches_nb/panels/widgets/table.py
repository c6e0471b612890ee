"""A table that is sorted by its heads and chosen from by its rows, page by page.

The cells are a real table of HTML. Over each row lies a button, named for it, so that a click
anywhere on the row chooses it, and so does the keyboard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.panels import markup

PAGE = 12  # rows
MAX_SAVED = 100  # rows of the table that a notebook keeps where panels do not live

Cell: TypeAlias = "Callable[[pd.Series[Any]], str]"


@dataclass(frozen=True)
class Column:
    """A column: the frame's name, the head, its width as a track of a CSS grid, and its cells.

    It sorts by its values, or by what `order` makes of each. One that is `drawn` has no text, and
    is left out where no panel lives.
    """

    name: str
    head: str
    width: str
    cell: Cell
    numeric: bool = False
    order: Callable[[Any], Any] | None = None
    drawn: bool = False

    @property
    def style(self) -> str:
        """The class of its head and cells."""
        return "lb-num" if self.numeric else ""


class Table(widgets.VBox):
    """A frame as a table. `choose` is called with the row that a person chose.

    Under the pointer a row says its key, or what `hint` makes of the row.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        key: str,
        row: str,
        choose: Callable[[pd.Series[Any]], object] | None = None,
        hint: Cell | None = None,
        min_width: int = 640,
        page: int = PAGE,
    ) -> None:
        self._columns, self._key, self._row, self._choose = list(columns), key, row, choose
        self._hint, self._page_size = hint, page
        self._frame = self._ordered = self._no_rows()
        self._empty = ""
        self._sort: tuple[str, bool] | None = None
        self._first = 0
        self._chosen: Any = None

        self._tracks = " ".join(column.width for column in columns)
        self._heads = [widgets.Button(tooltip=f"Sort by {c.head}") for c in columns]
        for column, head in zip(columns, self._heads, strict=True):
            head.add_class(column.style or "lb-text")
            head.on_click(partial(self._on_head, column.name))
        heads = widgets.Box(self._heads, layout={"grid_template_columns": self._tracks})
        heads.add_class("lb-heads")
        self._cells = widgets.HTML()
        self._cells.add_class("lb-cells")
        self._picks = [widgets.Button() for _ in range(page if choose else 0)]
        for place, pick in enumerate(self._picks):
            pick.on_click(partial(self._on_pick, place))
        picks = widgets.VBox(self._picks)
        picks.add_class("lb-picks")
        body = widgets.Box([self._cells, *([picks] if choose else [])])
        body.add_class("lb-body")
        grid = widgets.VBox([heads, body], layout={"min_width": f"{min_width}px"})
        grid.add_class("lb-grid")
        frame = widgets.Box([grid])
        frame.add_class("lb-table")
        self._previous = widgets.Button(description="Previous", tooltip="Previous rows")
        self._next = widgets.Button(description="Next", tooltip="Next rows")
        self._previous.on_click(lambda _: self.turn(-1))
        self._next.on_click(lambda _: self.turn(1))
        self._place = widgets.HTML()
        self._foot = widgets.HBox([self._previous, self._place, self._next])
        self._foot.add_class("lb-row").add_class("lb-foot")
        super().__init__([frame, self._foot])
        self.show(self._frame)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows in the order in which they are shown."""
        return self._ordered

    def show(self, frame: pd.DataFrame, *, empty: str = "", keep: bool = False) -> None:
        """Show a frame, or what to do if it is empty; `keep` its place, order and chosen row."""
        self._frame, self._empty = frame, empty
        if not keep:
            self._first, self._chosen = 0, None
        self._arrange()

    def choose(self, key: Any) -> None:
        """Choose the row with this key, as a click on it does."""
        rows = self._frame[self._frame[self._key] == key]
        if not len(rows):
            raise ValueError(f"No {self._row} of the table is {key!r}.")
        self._take(rows.iloc[0])

    def mark(self, key: Any) -> None:
        """Show which row is chosen, without choosing it."""
        self._chosen = key
        self._draw()

    def sort(self, name: str, *, ascending: bool = True) -> None:
        """Sort by a column; missing values come last."""
        self._sort, self._first = (name, ascending), 0
        self._arrange()

    def turn(self, pages: int) -> None:
        """Go some pages on, or back."""
        self._first = max(0, self._first + pages * self._page_size)
        self._draw()

    def clear(self, said: str) -> None:
        """Show words instead of rows."""
        self.show(self._no_rows(), empty=said)

    def _no_rows(self) -> pd.DataFrame:
        names = dict.fromkeys([self._key, *(column.name for column in self._columns)])
        return pd.DataFrame(columns=list(names))

    def redraw(self) -> None:
        """Show the same rows again, as when the names in them have become known."""
        self._arrange()

    def html(self) -> str:
        """Return the first rows as plain HTML, for where no panel lives."""
        if not len(self._ordered):
            return f"<p>{markup.text(self._empty)}</p>" if self._empty else ""
        told = [column for column in self._columns if not column.drawn]
        table = markup.table(_heads(told), _rows(told, self._ordered[:MAX_SAVED]))
        more = len(self._ordered) - MAX_SAVED
        return table + (f"<p>… and {markup.count(more, 'more row')}</p>" if more > 0 else "")

    def _on_head(self, name: str, _: object) -> None:
        self.sort(name, ascending=self._sort != (name, True))

    def _on_pick(self, place: int, _: object) -> None:
        shown = self._shown()
        if place < len(shown):
            self._take(shown.iloc[place])

    def _take(self, row: pd.Series[Any]) -> None:
        key = row[self._key]
        self._chosen = None if pd.isna(key) else key
        self._draw()
        if self._choose is not None:
            self._choose(row)

    def _shown(self) -> pd.DataFrame:
        return self._ordered[self._first : self._first + self._page_size]

    def _arrange(self) -> None:
        """Put the rows in order, and draw them."""
        self._ordered = self._frame
        if self._sort is not None and self._sort[0] in self._frame:
            by, ascending = self._sort
            order = next((c.order for c in self._columns if c.name == by), None)
            self._ordered = self._frame.sort_values(
                by,
                ascending=ascending,
                kind="stable",
                na_position="last",
                key=order and (lambda values: values.map(order, na_action="ignore")),
            )
        self._draw()

    def _draw(self) -> None:
        n_rows = len(self._ordered)
        last_page = max(0, (n_rows - 1) // self._page_size * self._page_size)
        self._first = min(self._first, last_page)
        shown = self._shown()
        for column, head in zip(self._columns, self._heads, strict=True):
            arrow = ""
            if self._sort is not None and self._sort[0] == column.name:
                arrow = " ▲" if self._sort[1] else " ▼"
            head.description = column.head + arrow
        empty = f'<div class="lb-empty">{markup.text(self._empty)}</div>' if self._empty else ""
        self._cells.value = self._table(shown) if len(shown) else empty
        keys = [None if pd.isna(key) else key for key in shown[self._key]]
        for place, pick in enumerate(self._picks):
            there = place < len(shown)
            key = keys[place] if there else None
            pick.description = pick.tooltip = (
                f"{self._row} without an id" if there and key is None else str(key or "")
            )
            if there and self._hint is not None:
                pick.tooltip = self._hint(shown.iloc[place])
            pick.layout.display = None if there else "none"
            chosen = key is not None and key == self._chosen
            (pick.add_class if chosen else pick.remove_class)("lb-chosen")
        self._foot.layout.display = None if n_rows > self._page_size else "none"
        self._place.value = (
            f"{self._first + 1:,}–{self._first + len(shown):,} of {markup.count(n_rows, self._row)}"
        )
        self._previous.disabled = self._first == 0
        self._next.disabled = self._first + len(shown) >= n_rows

    def _table(self, frame: pd.DataFrame) -> str:
        # The tracks of the heads, so that heads and rows stand in line.
        tracks = f"grid-template-columns:{self._tracks}"
        return markup.table(_heads(self._columns), _rows(self._columns, frame), row_style=tracks)


def _heads(columns: Sequence[Column]) -> list[tuple[str, str]]:
    return [(column.head, column.style) for column in columns]


def _rows(columns: Sequence[Column], frame: pd.DataFrame) -> list[list[str]]:
    return [[column.cell(row) for column in columns] for _, row in frame.iterrows()]
