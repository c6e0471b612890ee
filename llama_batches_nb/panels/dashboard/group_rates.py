"""Failure rates by group: a dot on its interval for each, all on one axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.panels import figures, markup
from llama_batches_nb.panels.browse.filter_panel import name_column
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.table import DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn

MIN_FILES_FOR_AXIS = 20  # effective files; the wide interval of fewer does not set the axis
GROUPS_PER_PAGE = 6


class GroupRates(widgets.VBox):
    """The failure rates by one column of ids.

    Parameters
    ----------
    column
        The column to group by.
    noun
        What the ids are of: ``directory``.
    names
        Returns the names of all ids.
    on_select
        Called with the id of a selected group.
    """

    def __init__(
        self,
        column: str,
        noun: str,
        names: Callable[[], NameIndex],
        on_select: Callable[[str], object],
    ) -> None:
        self._noun, self._axis_max = noun, 1.0
        columns = [
            name_column(column, noun.capitalize(), "minmax(112px,3fr)", names),
            TableColumn(
                "failure_rate",
                "Failed",
                "minmax(70px,2fr)",
                lambda rate: figures.interval(rate, self._axis_max),
                graphic=True,
            ),
            TableColumn(
                "decided",
                "Failed of decided",
                "212px",
                lambda rate: markup.text(format_rate(rate, with_batches=False)),
            ),
            TableColumn(
                "batches",
                "Batches",
                "56px",
                lambda rate: markup.number(rate["batches"]),
                numeric=True,
            ),
        ]
        self.table = DataTable(
            columns,
            key=column,
            noun=noun,
            page_size=GROUPS_PER_PAGE,
            reserved=GROUPS_PER_PAGE,
            min_width=512,
            on_select=lambda row: on_select(row[column]),
            tooltip=lambda row: names().by_id.get(row[column], str(row[column])),
        )
        self.table.title.value = f"<h4>By {noun}</h4>"
        super().__init__([self.table])
        self.add_class("lb-half")

    def show(self, rates: pd.DataFrame, selected: str | None) -> None:
        """Show the rates and highlight the selected group."""
        self._axis_max = axis_max(rates)
        beyond = ", ▸ beyond" if (rates["failure_rate"] > self._axis_max).any() else ""
        axis = f"axis from 0 to {100 * self._axis_max:.0f} %{beyond}" if len(rates) else ""
        self.table.title.value = f"<h4>By {self._noun} <span class='lb-muted'>{axis}</span></h4>"
        self.table.show(rates, empty="No files.", keep_place=True)
        self.table.highlight(selected)

    def html(self) -> str:
        """Return the rates as plain HTML."""
        table = self.table.html()
        return f"<h4>By {self._noun}</h4>{table}" if table else ""


def axis_max(rates: pd.DataFrame) -> float:
    """Return the end of the axis: the highest interval end of well-known groups, or else of all.

    Otherwise a group of one failed file would squeeze all other rates near 0.
    """
    large: pd.Series[Any] = rates["ci_high"].where(rates["n_effective"] >= MIN_FILES_FOR_AXIS)
    highest = (rates["ci_high"] if large.isna().all() else large).max()
    return float(highest) if highest > 0 else 1.0
