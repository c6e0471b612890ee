"""What each configuration cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.messages import format_count
from llama_batches_nb.panels.browse.credit_loader import CreditLoader
from llama_batches_nb.panels.browse.filter_panel import name_column
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.table import DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn

GROUPS_PER_PAGE = 5
NOT_KNOWN = "not known"
TITLE = (
    "<h4>Cost by configuration <span class='lb-muted'>credits of the jobs whose credits are known"
    "</span></h4>"
)


class Costs(widgets.VBox):
    """Credits by configuration, also per succeeded file.

    Parameters
    ----------
    names
        Returns the names of all configurations.
    on_select
        Called with the id of a selected configuration.
    loader
        Loads credits that are not known.
    """

    def __init__(
        self,
        names: Callable[[], NameIndex],
        on_select: Callable[[str], object],
        loader: CreditLoader,
    ) -> None:
        columns = [
            name_column("configuration_id", "Configuration", "minmax(110px,3fr)", names),
            TableColumn("credits", "Credits", "90px", lambda c: _credits(c["credits"]), True),
            TableColumn(
                "per_succeeded",
                "Per succeeded file",
                "130px",
                lambda c: _credits(c["per_succeeded"], 2),
                True,
            ),
            TableColumn(
                "credits_on_failed",
                "On failed files",
                "120px",
                lambda c: _credits(c["credits_on_failed"]),
                True,
            ),
            TableColumn("jobs_unknown", "Credits known for", "minmax(130px,2fr)", _known),
        ]
        self.table = DataTable(
            columns,
            key="configuration_id",
            noun="configuration",
            page_size=GROUPS_PER_PAGE,
            reserved=GROUPS_PER_PAGE,
            on_select=lambda row: on_select(row["configuration_id"]),
            tooltip=lambda row: names().by_id.get(
                row["configuration_id"], str(row["configuration_id"])
            ),
        )
        self.table.title.value = TITLE
        self.loader = loader
        super().__init__([self.table, loader])

    def show(self, costs: pd.DataFrame, selected: str | None) -> None:
        """Show the costs and highlight the selected configuration."""
        empty = "No configuration has jobs. Include files and jobs, then fetch."
        self.table.show(costs, empty=empty, keep_place=True)
        self.table.highlight(selected)

    def html(self) -> str:
        """Return the costs as plain HTML."""
        return f"{TITLE}{self.table.html()}{self.loader.html()}"


def _credits(value: Any, digits: int = 0) -> str:
    return NOT_KNOWN if pd.isna(value) else f"{value:,.{digits}f}"


def _known(cost: pd.Series[Any]) -> str:
    jobs, unknown = int(cost["jobs"]), int(cost["jobs_unknown"])
    return f"{jobs - unknown:,} of {format_count(jobs, 'job')}"
