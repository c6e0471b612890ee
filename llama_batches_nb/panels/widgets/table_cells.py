"""The columns of a table, and its rows as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

import pandas as pd

from llama_batches_nb.panels import markup

RowText: TypeAlias = "Callable[[pd.Series[Any]], str]"

# A click chooses the row through its button, unless it ends a selection of text; a click on a copy
# button copies.
CLICK_HANDLER_JS = (
    f"if({markup.COPY_JS})return;"
    "const row=event.target.closest('tbody tr');"
    "if(row&&event.detail<2&&!String(getSelection()))"
    "this.closest('.lb-body').querySelectorAll('.lb-picks button')[row.sectionRowIndex]?.click()"
)


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
    search
        Returns what is shown for a value, for the search; by default, the value if it is text.
    lines
        The text may take two lines.
    """

    name: str
    head: str
    width: str
    cell: RowText
    numeric: bool = False
    sort_key: Callable[[Any], Any] | None = None
    graphic: bool = False
    search: Callable[[Any], str] | None = None
    lines: bool = False

    @property
    def css_class(self) -> str:
        """The class of the head and cells."""
        return "lb-num" if self.numeric else "lb-lines" if self.lines else ""


def table_html(
    columns: Sequence[TableColumn],
    frame: pd.DataFrame,
    *,
    sorted_by: tuple[str, bool] | None = None,
    row_style: str = "",
) -> str:
    """Return rows as an HTML table; cells that are cut off show their text on hover."""
    heads = [(column.head, column.css_class) for column in columns]
    sorts = [""] * len(columns)
    for n, column in enumerate(columns):
        if sorted_by is not None and sorted_by[0] == column.name:
            sorts[n] = "ascending" if sorted_by[1] else "descending"
    rows = [[column.cell(row) for column in columns] for _, row in frame.iterrows()]
    return markup.table(heads, rows, row_style=row_style, sorts=sorts)


def clickable(table: str) -> str:
    """Return a table whose rows a click chooses."""
    return f'<div class="lb-rows" onclick="{escape(CLICK_HANDLER_JS)}">{table}</div>'
