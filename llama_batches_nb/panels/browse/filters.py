"""The filter controls, and the query that they describe."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.fetch.directories import fetch_configurations, fetch_directories
from llama_batches_nb.http.client import Client
from llama_batches_nb.panels.browse.query import Query
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.tables.statuses import BATCH_STATUSES, JOB_TYPES


class Filters(widgets.Box):
    """Controls for status, directory, configuration, job type, dates and limit."""

    def __init__(self, query: Query) -> None:
        self.directories = NameIndex("directory", "dir-")
        self.configurations = NameIndex("configuration", "cfg-")
        self.status = widgets.SelectMultiple(
            description="Status",
            options=BATCH_STATUSES,
            rows=len(BATCH_STATUSES),
            tooltip="Select none for all.",
        ).add_class("lb-chips")
        self.directory = _name_control("Directory")
        self.configuration = _name_control("Configuration")
        self.job_type = widgets.Dropdown(
            description="Job type", options=[("all", ""), *((t, t) for t in JOB_TYPES)]
        )
        self.since = widgets.DatePicker(description="From", tooltip="First day, in UTC")
        self.until = widgets.DatePicker(description="To", tooltip="Last day, in UTC")
        self.limit = widgets.Text(description="Limit", placeholder="all", continuous_update=False)
        self._controls = [
            self.status,
            self.directory.add_class("lb-name-control"),
            self.configuration.add_class("lb-name-control"),
            self.job_type,
            self.since,
            self.until,
            self.limit.add_class("lb-limit"),
        ]
        super().__init__(self._controls, layout={"flex_flow": "row wrap"})
        self.add_class("lb-filters")
        self.set_query(query)

    def add(self, *controls: widgets.Widget) -> None:
        """Add controls at the end of the row."""
        self._controls.extend(controls)
        self.children = self._controls

    def set_query(self, query: Query) -> None:
        """Set the controls to a query."""
        directory, configuration = query.source_directory_id or "", query.configuration_id or ""
        self.status.value = query.status
        self.directory.value = self.directories.by_id.get(directory, directory)
        self.configuration.value = self.configurations.by_id.get(configuration, configuration)
        self.job_type.value = query.job_type or ""
        self.since.value, self.until.value = query.since, query.until
        self.limit.value = "" if query.limit is None else str(query.limit)

    def query(self) -> Query:
        """Return the query; raise `ValueError` if a control's value is invalid."""
        return Query(
            status=tuple(self.status.value),
            source_directory_id=self.directories.id_of(self.directory.value),
            configuration_id=self.configurations.id_of(self.configuration.value),
            job_type=self.job_type.value or None,
            since=self.since.value,
            until=self.until.value,
            limit=_parse_limit(self.limit.value),
        )

    def set_options(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        """Offer the names of directories and configurations, and show names instead of ids."""
        self.directories = NameIndex("directory", "dir-", directories)
        self.configurations = NameIndex("configuration", "cfg-", configurations)
        for control, names in (
            (self.directory, self.directories),
            (self.configuration, self.configurations),
        ):
            control.options = names.choices
            control.value = names.by_id.get(control.value, control.value)


def fetch_names(client: Client) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fetch all directories and configurations."""
    return (
        fetch_directories(client=client, progress=False),
        fetch_configurations(client=client, progress=False),
    )


def _name_control(label: str) -> widgets.Combobox:
    return widgets.Combobox(description=label, placeholder="all", continuous_update=False)


def _parse_limit(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        limit = int(text.replace(",", "").strip())
    except ValueError:
        limit = 0
    if limit < 1:
        raise ValueError(f"Limit {text!r} is not a positive integer; leave it empty for all.")
    return limit
