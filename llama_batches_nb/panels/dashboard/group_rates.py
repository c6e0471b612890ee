"""Failure rates by group: a dot on its interval for each, on one scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.panels import figures, markup
from llama_batches_nb.panels.widgets.table import Column, Table

MIN_FILES_FOR_SCALE = 20  # files whose wide interval does not set the scale
PAGE = 8  # rows


class GroupRates(widgets.VBox):
    """The rates by one column. `names` gives what its ids are called."""

    def __init__(
        self,
        column: str,
        word: str,
        names: Callable[[], dict[str, str]],
        choose: Callable[[str], object],
    ) -> None:
        self._word, self._top = word, 1.0
        self._title = widgets.HTML()
        columns = [
            Column(column, word.capitalize(), "minmax(90px,3fr)",
                   lambda r: markup.name(r[column], names()),
                   order=lambda one: markup.order(one, names())),
            Column("failure_rate", "Failed", "minmax(70px,2fr)",
                   lambda r: figures.interval(r, self._top), drawn=True),
            Column("decided", "Failed of decided", "236px", lambda r: markup.text(format_rate(r))),
        ]  # fmt: skip
        self.table = Table(
            columns, key=column, row=word, page=PAGE, min_width=430,
            choose=lambda row: choose(row[column]),
            hint=lambda row: names().get(row[column], str(row[column])),
        )  # fmt: skip
        super().__init__([self._title, self.table])
        self.add_class("lb-half")

    def show(self, rates: pd.DataFrame, chosen: str | None) -> None:
        """Show the rates, with the group that is chosen marked."""
        self._top = axis_max(rates)
        beyond = ", ▸ beyond" if (rates["failure_rate"] > self._top).any() else ""
        self._title.value = (
            f"<h4>By {self._word} <span class='lb-muted'>failed, from 0 to {100 * self._top:.0f} %:"
            f" dot and 95 % interval{beyond}; click to filter</span></h4>"
        )
        self.table.show(rates, empty="No files.", keep=True)
        self.table.mark(chosen)

    def html(self) -> str:
        """Return the rates as plain HTML."""
        table = self.table.html()
        return f"<h4>By {self._word}</h4>{table}" if table else ""


def axis_max(rates: pd.DataFrame) -> float:
    """Return the end of the scale, on which all of the larger groups lie, or else all.

    Otherwise one file that failed, all that a directory has, would press all other rates to 0.
    """
    many: Any = rates["ci_high"].where(rates["decided"] >= MIN_FILES_FOR_SCALE)
    top = (rates["ci_high"] if many.isna().all() else many).max()
    return float(top) if top > 0 else 1.0
