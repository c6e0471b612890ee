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
from llama_batches_nb.panels.browse.filter_panel import NO_MATCH, FilterPanel, counts_html
from llama_batches_nb.panels.browse.query import Query
from llama_batches_nb.panels.browse.sources import ApiSource, Source
from llama_batches_nb.panels.dashboard.group_rates import GroupRates
from llama_batches_nb.panels.dashboard.overview import (
    CONFIGURATION,
    DIRECTORY,
    PATTERN,
    Overview,
    tiles_html,
)
from llama_batches_nb.panels.widgets.table import DataTable, TableColumn
from llama_batches_nb.plotting.durations import plot_durations
from llama_batches_nb.plotting.failure_rates import plot_failure_rates

NOUNS = {CONFIGURATION: "configuration", DIRECTORY: "directory", PATTERN: "error pattern"}
PATTERNS_PER_PAGE, OPEN_BATCHES_PER_PAGE = 8, 6
DURATIONS_SIZE = (9.6, 2.4)  # inches


class Dashboard(FilterPanel):
    """Failure rates, error patterns and durations; see `llama_batches_nb.dashboard`."""

    title = "Dashboard"

    def __init__(self, client: Client | None, query: Query, source: Source | None = None) -> None:
        source = source or ApiSource(client)  # raises without an API key, before widgets are made
        self._group_filters: dict[str, str] = {}
        self._overview: Overview | None = None
        self._tiles, self._rates, self._durations = (widgets.HTML() for _ in range(3))
        self._filters_text, self._note = widgets.HTML(), widgets.HTML()
        self.show_all = widgets.Button(description="Show all", tooltip="Remove these filters")
        self.show_all.on_click(self.clear)
        self._filters_row = widgets.HBox([self._filters_text, self.show_all]).add_class("lb-row")
        self.split = widgets.Dropdown(
            description="Split by",
            options=[
                ("nothing", ""),
                (NOUNS[CONFIGURATION], CONFIGURATION),
                (NOUNS[DIRECTORY], DIRECTORY),
            ],
        )
        self.split.observe(lambda _: self._draw(), "value")
        self.groups = {
            name: GroupRates(
                name,
                NOUNS[name],
                partial(self._names_of, name),
                partial(self._on_select_group, name),
            )
            for name in (CONFIGURATION, DIRECTORY)
        }
        self.patterns = DataTable(
            _pattern_columns(),
            key=PATTERN,
            noun="pattern",
            page_size=PATTERNS_PER_PAGE,
            on_select=lambda row: self._on_select_group(PATTERN, row[PATTERN]),
            tooltip=lambda row: str(row["pattern"]),
        )
        self.open_batches = DataTable(
            self._open_columns(),
            key="batch_id",
            noun="batch",
            page_size=OPEN_BATCHES_PER_PAGE,
            on_select=lambda row: self.table.select(row["batch_id"]),
        )
        self._open_box = widgets.VBox(
            [widgets.HTML("<h4>Open, oldest first</h4>"), self.open_batches]
        )
        self._body = widgets.VBox(self._parts(), layout={"display": "none"})
        # Last, since it starts a task that may draw the dashboard.
        super().__init__(client, query, source)
        filters, buttons, alert, *rest = self.children[1:]
        self.set_content(filters, buttons, alert, self._note, self._body, *rest)

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

    def _on_fetched(self) -> None:
        self._group_filters.clear()
        self._overview = None
        self._draw()

    def _draw(self) -> None:
        if self._is_fetching:
            return  # the end of the fetch draws
        if self._frames.results is None:
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
        changes = [
            partial(setattr, self._tiles, "value", tiles_html(overview.tiles())),
            partial(setattr, self._rates, "value", self._rates_chart(overview)),
            partial(setattr, self._durations, "value", _durations_chart(overview)),
            partial(self._show_open, overview.open_batches()),
            partial(self.table.show, self._summary[is_shown], empty=NO_MATCH, keep_place=True),
            partial(setattr, self._counts, "value", counts),
            partial(
                self.patterns.show, overview.patterns(), empty="No failed files.", keep_place=True
            ),
            *(
                partial(group.show, overview.rates_by(name), filters.get(name))
                for name, group in self.groups.items()
            ),
        ]

        def show() -> None:
            self._overview = overview
            self._note.value = ""
            for change in changes:
                change()
            self._show_filters()
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
        return figures.figure_to_html(draw)

    def _show_open(self, batches: pd.DataFrame) -> None:
        self._open_box.layout.display = None if len(batches) else "none"
        self.open_batches.show(batches, keep_place=True)

    def _show_filters(self) -> None:
        self.patterns.highlight(self._group_filters.get(PATTERN))
        parts = [
            f"{NOUNS[name]} <b>{markup.name(value, self._names_of(name))}</b>"
            for name, value in self._group_filters.items()
        ]
        self._filters_text.value = f"Only {' and '.join(parts)}" if parts else ""
        self._filters_row.layout.display = None if parts else "none"

    def _names_of(self, name: str) -> dict[str, str]:
        if name == PATTERN:
            patterns = self.patterns.frame
            return dict(zip(patterns[PATTERN], patterns["pattern"], strict=True))
        index = self.filters.directories if name == DIRECTORY else self.filters.configurations
        return index.by_id

    def _parts(self) -> list[widgets.Widget]:
        groups = widgets.HBox(list(self.groups.values()), layout={"flex_flow": "row wrap"})
        return [
            self._tiles,
            self._filters_row,
            widgets.HBox([self.split]).add_class("lb-row"),
            self._rates,
            groups.add_class("lb-halves"),
            widgets.HTML(
                "<h4>Most frequent error patterns "
                "<span class='lb-muted'>click to filter</span></h4>"
            ),
            self.patterns,
            self._durations,
            self._open_box,
            widgets.HTML("<h4>Batches <span class='lb-muted'>click to show the files</span></h4>"),
        ]

    def _open_columns(self) -> list[TableColumn]:
        def created(batch: pd.Series[Any]) -> str:
            age = markup.ago(batch.created_at, datetime.now(UTC))
            return f"{markup.time(batch.created_at)} · {age}"

        return [
            TableColumn("batch_id", "Batch", "112px", lambda b: markup.short_id(b.batch_id)),
            TableColumn("status", "Status", "124px", lambda b: markup.status(b.status)),
            TableColumn("created_at", "Created (UTC)", "216px", created),
            *self._name_columns("minmax(110px,2fr)"),
        ]

    def _set_names(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        super()._set_names(directories, configurations)
        self._draw()

    def _html(self) -> str:
        groups = "".join(group.html() for group in self.groups.values())
        patterns = f"<h4>Most frequent error patterns</h4>{self.patterns.html()}"
        return f"{self._tiles.value}{self._rates.value}{groups}{patterns}{super()._html()}"


def _durations_chart(overview: Overview) -> str:
    return figures.figure_to_html(partial(plot_durations, overview.batches), size=DURATIONS_SIZE)


def _pattern_columns() -> list[TableColumn]:
    return [
        TableColumn("pattern", "Pattern", "minmax(200px,1fr)", lambda p: markup.text(p["pattern"])),
        TableColumn("layer", "Layer", "70px", lambda p: markup.text(p["layer"])),
        TableColumn("count", "Files", "60px", lambda p: markup.number(p["count"]), numeric=True),
        TableColumn("share", "Share", "62px", lambda p: markup.percent(p["share"]), numeric=True),
        TableColumn("trend", "Trend", "84px", lambda p: figures.trend(p["trend"]), sort_key=sum),
        TableColumn("first_seen", "First (UTC)", "124px", lambda p: markup.time(p["first_seen"])),
        TableColumn("last_seen", "Last (UTC)", "124px", lambda p: markup.time(p["last_seen"])),
    ]
