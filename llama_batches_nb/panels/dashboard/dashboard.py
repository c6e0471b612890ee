"""The dashboard: counts, rates over time and by group, error patterns, durations, open batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.panels import figures, markup
from llama_batches_nb.panels.browse.credit_loader import CreditLoader
from llama_batches_nb.panels.browse.filter_panel import NO_MATCH, FilterPanel, counts_html
from llama_batches_nb.panels.browse.query import Query
from llama_batches_nb.panels.browse.sources import ApiSource, Source
from llama_batches_nb.panels.dashboard.active_filters import ActiveFilters
from llama_batches_nb.panels.dashboard.costs import Costs
from llama_batches_nb.panels.dashboard.group_rates import GroupRates
from llama_batches_nb.panels.dashboard.headline import change_text
from llama_batches_nb.panels.dashboard.overview import (
    CONFIGURATION,
    DIRECTORY,
    PATTERN,
    Overview,
)
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.table import DataTable
from llama_batches_nb.panels.widgets.table_cells import TableColumn
from llama_batches_nb.plotting.failure_rates import plot_failure_rates

NOUNS = {CONFIGURATION: "configuration", DIRECTORY: "directory", PATTERN: "error pattern"}
PATTERNS_PER_PAGE, OPEN_BATCHES_PER_PAGE = 5, 5
CHART_SIZE = (9.6, 3.2)  # inches; as the placeholder in panel.css
HEADLINE_PLACEHOLDER = (
    '<div class="lb-headline"><b>Failed –</b> <span>Set the filters, then click Fetch.</span></div>'
)
CHART_PLACEHOLDER = '<div class="lb-chart lb-placeholder"></div>'


class Dashboard(FilterPanel):
    """Failure rates, error patterns and durations; see `llama_batches_nb.dashboard`."""

    title = "Dashboard"
    offers_report = True

    def __init__(self, client: Client | None, query: Query, source: Source | None = None) -> None:
        source = source or ApiSource(client)  # raises without an API key, before widgets are made
        self._group_filters: dict[str, str] = {}
        self._overview: Overview | None = None
        self._headline_text = ""
        self._headline = widgets.HTML(HEADLINE_PLACEHOLDER)
        self._rates, self._note = widgets.HTML(CHART_PLACEHOLDER), widgets.HTML()
        self.split = (
            widgets.Dropdown(
                description="Split by",
                options=[
                    ("nothing", ""),
                    (NOUNS[CONFIGURATION], CONFIGURATION),
                    (NOUNS[DIRECTORY], DIRECTORY),
                ],
            )
            .add_class("lb-short")
            .add_class("lb-split")
        )
        self.split.observe(lambda _: self._draw(), "value")
        self.active = ActiveFilters([self.split], self._on_select_group, self.clear)
        self.groups = {
            name: GroupRates(
                name,
                NOUNS[name],
                partial(self._name_index, name),
                partial(self._on_select_group, name),
            )
            for name in (CONFIGURATION, DIRECTORY)
        }
        self.patterns = DataTable(
            _pattern_columns(),
            key=PATTERN,
            noun="pattern",
            page_size=PATTERNS_PER_PAGE,
            reserved=PATTERNS_PER_PAGE,
            tall=True,
            min_width=760,
            on_select=lambda row: self._on_select_group(PATTERN, row[PATTERN]),
            tooltip=lambda row: str(row["pattern"]),
        )
        self.patterns.title.value = "<h4>Most frequent error patterns</h4>"
        self.open_batches = self._make_batches_table(
            "Open batches, the oldest first", [self._created_column()]
        )
        self.slowest = self._make_batches_table("Slowest batches", [_duration_column()])
        # Last, since it starts a task that may draw the dashboard.
        super().__init__(client, query, source)

    def _beside_heading(self) -> list[widgets.Widget]:
        return [*super()._beside_heading(), self._note]

    def _content(self) -> list[widgets.Widget]:
        self.table.title.value = "<h4>Batches</h4>"
        self.costs = Costs(
            lambda: self.filters.configurations,
            partial(self._on_select_group, CONFIGURATION),
            CreditLoader(self.runner, "credits", lambda: self.client, self._on_credits),
        )
        self._body = widgets.VBox(self._parts())
        filters, alert, *rest = super()._content()
        return [filters, alert, self._body, *rest]

    @classmethod
    def from_panel(cls, panel: FilterPanel, client: Client | None) -> Self:
        """Return a dashboard of the frames that a filter panel has fetched."""
        board = cls(client or panel._client, panel._query, panel._source)
        board.runner.update_ui(board._prepare(panel._query, panel._frames))
        board._on_fetched()
        return board

    @property
    def outcomes(self) -> pd.DataFrame | None:
        """The files shown, in the columns of `outcomes`; None before a fetch."""
        overview = self._overview
        return None if overview is None else overview.shown.drop(columns=PATTERN)

    @property
    def code(self) -> str:
        """Code that returns the same frames."""
        lines = [super().code]
        for name, value in self._group_filters.items():
            column = "lb.pattern_ids(files)" if name == PATTERN else f"files.{name}"
            lines.append(f"files = files[{column} == {value!r}]")
        return "\n".join(lines)

    def _report_files(self) -> pd.DataFrame:
        """Return the files shown, with the names of directories and configurations."""
        files = self.outcomes
        if files is None:
            raise ValueError("The dashboard has no files to report. Include files, then fetch.")
        for name, column in ((DIRECTORY, "directory"), (CONFIGURATION, "configuration")):
            named = files[name].map(partial(self._name_of, name), na_action="ignore")
            files = files.assign(**{column: named})
        return files

    def filter_by(self, name: str, value: str) -> None:
        """Show only the files of a configuration, directory or pattern; repeat it to undo that."""
        if name not in NOUNS:
            raise ValueError(f"name={name!r} must be one of {', '.join(map(repr, NOUNS))}.")
        if self._frames.results is None:
            raise ValueError("The dashboard has no files to filter. Include files, then fetch.")
        with self.runner.lock:
            if self._group_filters.get(name) == value:
                del self._group_filters[name]
            else:
                self._group_filters[name] = value
        self._draw()

    def clear(self, *_: object) -> None:
        """Remove the filters by configuration, directory and pattern."""
        with self.runner.lock:
            self._group_filters.clear()
        self._draw()

    def _on_select_group(self, name: str, value: str) -> None:
        if not self._is_fetching:  # otherwise the rows are about to be replaced
            self.filter_by(name, value)

    def _discard_credits(self) -> None:
        super()._discard_credits()
        self.costs.loader.discard()

    def _on_credits(self, loaded: pd.DataFrame) -> None:
        super()._on_credits(loaded)
        self._overview = None
        self._draw()

    def _on_fetched(self) -> None:
        self._group_filters.clear()
        self._overview = None
        self._draw()

    def _draw(self) -> None:
        if self._is_fetching:
            return  # the end of the fetch draws
        if self._frames.results is None:
            if self._as_of is not None:  # only batches were fetched
                self._body.layout.display = "none"
            return
        self._note.value = '<span class="lb-muted" role="status">Updating charts …</span>'
        self.runner.start("draw", self._compute)

    def _compute(self) -> None:
        """Compute everything in the background, then show it at once."""
        with self.runner.lock:
            frames, overview, filters = self._frames, self._overview, dict(self._group_filters)
        overview = replace(overview or Overview.from_frames(frames), filters=filters)
        counts = counts_html(overview.batches, overview.shown, jobs=frames.jobs is not None)
        is_shown = self._summary["batch_id"].isin(overview.batches["batch_id"])
        headline, found = overview.headline(), overview.changes()
        changes = [
            partial(setattr, self._headline, "value", headline.html()),
            partial(setattr, self._rates, "value", self._rates_chart(overview)),
            *(
                partial(group.show, overview.rates_by(name), filters.get(name))
                for name, group in self.groups.items()
            ),
            partial(self.open_batches.show, overview.open_batches(), empty="No open batches."),
            partial(self.slowest.show, overview.slowest_batches(), empty="No batch has ended."),
            partial(
                self.table.show,
                self._summary[is_shown],
                empty=NO_MATCH if filters else self._no_batches(self._query),
                keep_place=True,
            ),
            partial(setattr, self._counts, "value", counts),
            partial(
                self.patterns.show, overview.patterns(), empty="No failed files.", keep_place=True
            ),
            partial(self.costs.show, overview.costs(), filters.get(CONFIGURATION)),
            partial(
                self.costs.loader.offer, overview.shown, frames.jobs, fetch=self._source.is_live
            ),
        ]

        def show() -> None:
            self._overview, self._headline_text = overview, headline.text()
            self._note.value = ""
            for change in changes:
                change()
            self._show_filters(found)
            self._export.refresh()
            self._body.layout.display = None

        self.runner.update_ui(show)

    def show_error(self, error: Exception | None) -> None:
        """Show an error and what to do about it; None removes the one shown."""
        self._note.value = ""
        super().show_error(error)

    def _rates_chart(self, overview: Overview) -> str:
        files, split = overview.shown, self.split.value
        if overview.frames.jobs is None:
            files = files.drop(columns="outcome")  # the chart's title then says "mapping"
        if split:
            names = self._names_of(split)
            named = files[split].map(lambda id_: names.get(id_, id_), na_action="ignore")
            files = files.assign(**{NOUNS[split]: named})
        by = NOUNS[split] if split else None
        draw = partial(plot_failure_rates, files, by=by, freq=overview.freq())
        return figures.figure_to_html(draw, CHART_SIZE)

    def _show_filters(self, found: list[tuple[str, pd.Series[Any]]]) -> None:
        self.patterns.highlight(self._group_filters.get(PATTERN))
        changes = [
            (name, str(change[name]), change_text(self._name_of(name, change[name]), change))
            for name, change in found
        ]
        filters = [
            (name, value, f"{NOUNS[name].capitalize()}: {self._name_of(name, value)}")
            for name, value in self._group_filters.items()
        ]
        self.active.show(changes, filters)

    def _name_of(self, name: str, value: str) -> str:
        return self._names_of(name).get(value, value)

    def _names_of(self, name: str) -> dict[str, str]:
        if name == PATTERN:
            patterns = self.patterns.frame
            return dict(zip(patterns[PATTERN], patterns["pattern"], strict=True))
        return self._name_index(name).by_id

    def _name_index(self, name: str) -> NameIndex:
        return self.filters.directories if name == DIRECTORY else self.filters.configurations

    def _parts(self) -> list[widgets.Widget]:
        halves = [
            widgets.HBox(pair, layout={"flex_flow": "row wrap"}).add_class("lb-halves")
            for pair in (list(self.groups.values()), [self.open_batches, self.slowest])
        ]
        return [
            self._headline,
            self.active,
            self._rates,
            halves[0],
            self.patterns,
            self.costs,
            halves[1],
        ]

    def _make_batches_table(self, title: str, columns: list[TableColumn]) -> DataTable:
        table = DataTable(
            [
                TableColumn("status", "Status", "112px", lambda b: markup.status(b.status)),
                *columns,
                *self._name_columns("minmax(90px,2fr)")[:1],
                TableColumn("batch_id", "Batch", "118px", lambda b: markup.copied_id(b.batch_id)),
            ],
            key="batch_id",
            noun="batch",
            page_size=OPEN_BATCHES_PER_PAGE,
            reserved=OPEN_BATCHES_PER_PAGE,
            min_width=490,
            on_select=lambda row: self.table.select(row["batch_id"]),
        )
        table.title.value = f"<h4>{title}</h4>"
        table.add_class("lb-half")
        return table

    def _created_column(self) -> TableColumn:
        def created(batch: pd.Series[Any]) -> str:
            if pd.isna(batch.created_at):
                return markup.MISSING
            age = markup.ago(batch.created_at, datetime.now(UTC))
            return f'<span title="{markup.time(batch.created_at)} UTC">{age}</span>'

        return TableColumn("created_at", "Created", "90px", created)

    def _set_names(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        super()._set_names(directories, configurations)
        self._draw()

    def _html(self) -> str:
        groups = "".join(group.html() for group in self.groups.values())
        patterns = f"<h4>Most frequent error patterns</h4>{self.patterns.html()}"
        shown = f"{self._headline.value}{self._rates.value}{groups}{patterns}{self.costs.html()}"
        return f"{shown}{super()._html()}"

    def _text(self) -> str:
        return "; ".join(filter(None, (self._headline_text, super()._text())))


def _duration_column() -> TableColumn:
    return TableColumn(
        "duration",
        "Took",
        "90px",
        lambda b: markup.duration(b["duration"].total_seconds()),
    )


def _pattern_columns() -> list[TableColumn]:
    def since(pattern: pd.Series[Any]) -> str:
        first = pattern["first_seen"]
        if pd.isna(first):
            return markup.MISSING
        new = "<b>new</b> " if pattern["is_new"] else ""
        return f'<span title="{markup.time(first)} UTC">{new}{first.day} {first:%b}</span>'

    def message(pattern: pd.Series[Any]) -> str:
        text = markup.text(pattern["pattern"])
        return f'<span title="{text}">{text}</span>'

    return [
        TableColumn("pattern", "Message", "minmax(260px,1fr)", message, lines=True),
        TableColumn("layer", "Layer", "62px", lambda p: markup.text(p["layer"])),
        TableColumn("count", "Files", "56px", lambda p: markup.number(p["count"]), numeric=True),
        TableColumn("share", "Share", "62px", lambda p: markup.percent(p["share"]), numeric=True),
        TableColumn("first_seen", "New since", "84px", since),
        TableColumn("trend", "Trend", "84px", lambda p: figures.trend(p["trend"]), sort_key=sum),
    ]
