"""The dashboard: counts, rates over time and by group, the worst error patterns, durations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.panels import figures, markup
from llama_batches_nb.panels.browse.filter_panel import NO_BATCH, FilterPanel, counted
from llama_batches_nb.panels.browse.query import Query
from llama_batches_nb.panels.browse.sources import Source
from llama_batches_nb.panels.dashboard.group_rates import GroupRates
from llama_batches_nb.panels.dashboard.overview import (
    CONFIGURATION,
    DIRECTORY,
    PATTERN,
    Overview,
    tile_html,
)
from llama_batches_nb.panels.widgets.table import Column, Table
from llama_batches_nb.plotting.durations import plot_durations
from llama_batches_nb.plotting.failure_rates import plot_failure_rates

WORDS = {CONFIGURATION: "configuration", DIRECTORY: "directory", PATTERN: "error pattern"}
PATTERN_PAGE, OPEN_PAGE = 8, 6  # rows


class Dashboard(FilterPanel):
    """What became of many batches; see `llama_batches_nb.dashboard`."""

    title = "Dashboard"

    def __init__(self, client: Client | None, query: Query, source: Source | None = None) -> None:
        self._narrowed: dict[str, str] = {}
        super().__init__(client, query, source)
        self._overview: Overview | None = None
        self._tiles, self._rates, self._durations = (widgets.HTML() for _ in range(3))
        self._scope, self._note = widgets.HTML(), widgets.HTML()
        self.show_all = widgets.Button(description="Show all", tooltip="Take these filters away")
        self.show_all.on_click(self.clear)
        self._scope_row = widgets.HBox([self._scope, self.show_all]).add_class("lb-row")
        self.split = widgets.Dropdown(
            description="Split by",
            options=[
                ("nothing", ""),
                (WORDS[CONFIGURATION], CONFIGURATION),
                (WORDS[DIRECTORY], DIRECTORY),
            ],
        )
        self.split.observe(lambda _: self._draw(), "value")
        self.groups = {
            name: GroupRates(
                name,
                WORDS[name],
                partial(self._names_of, name),
                partial(self._on_choose_group, name),
            )
            for name in (CONFIGURATION, DIRECTORY)
        }
        self.patterns = Table(
            _pattern_columns(), key=PATTERN, row="pattern", page=PATTERN_PAGE,
            choose=lambda row: self._on_choose_group(PATTERN, row[PATTERN]),
            hint=lambda row: str(row["pattern"]),
        )  # fmt: skip
        self.open = Table(
            self._open_columns(),
            key="batch_id",
            row="batch",
            page=OPEN_PAGE,
            choose=lambda row: self.table.choose(row["batch_id"]),
        )
        self._open_box = widgets.VBox(
            [widgets.HTML("<h4>Still open, the oldest first</h4>"), self.open]
        )
        self._body = widgets.VBox(self._parts(), layout={"display": "none"})
        filters, buttons, alert, *rest = self.children[1:]
        self.set_content(filters, buttons, alert, self._note, self._body, *rest)

    @classmethod
    def over(cls, panel: FilterPanel, client: Client | None) -> Self:
        """Make a dashboard over what another panel shows."""
        board = cls(client or panel._client, panel._query, panel._source)
        board.runner.update_ui(board._showing(panel._query, panel._frames))
        board._changed()
        return board

    @property
    def outcomes(self) -> pd.DataFrame | None:
        """The files that are shown, in the columns of `outcomes`; None before a fetch."""
        overview = self._overview
        return None if overview is None else overview.shown.drop(columns=PATTERN)

    @property
    def code(self) -> str:
        """The lines that give the same frames."""
        lines = super().code.splitlines()
        if PATTERN in self._narrowed:
            lines.insert(1, "from llama_batches_nb.analysis.patterns import pattern_ids")
        for name, value in self._narrowed.items():
            column = "pattern_ids(files)" if name == PATTERN else f"files.{name}"
            lines.append(f"files = files[{column} == {value!r}]")
        return "\n".join(lines)

    def filter_by(self, name: str, value: str) -> None:
        """Show only the files of a configuration, directory or pattern; or all again, if so now."""
        if name not in WORDS:
            raise ValueError(f"name={name!r} must be one of {', '.join(map(repr, WORDS))}.")
        if self._frames.results is None:
            raise ValueError("There are no files to choose from: include them, and fetch.")
        with self.runner.lock:
            if self._narrowed.get(name) == value:
                del self._narrowed[name]
            else:
                self._narrowed[name] = value
        self._draw()

    def clear(self, *_: Any) -> None:
        """Show all files again."""
        with self.runner.lock:
            self._narrowed.clear()
        self._draw()

    def _on_choose_group(self, name: str, value: str) -> None:
        if not self._is_busy:  # what is shown is about to be replaced
            self.filter_by(name, value)

    def _changed(self) -> None:
        self._narrowed.clear()
        self._overview = None
        self._draw()

    def _draw(self) -> None:
        if self._is_busy:
            return  # the fetch ends with it
        if self._frames.results is None:
            self._body.layout.display = "none"
            return
        self._note.value = '<span class="lb-muted" role="status">Counting and drawing …</span>'
        self.runner.start("draw", self._compute)

    def _compute(self) -> None:
        """Count and draw in a thread, and show all of it at once."""
        with self.runner.lock:
            found, overview, narrowed = self._frames, self._overview, dict(self._narrowed)
        overview = replace(overview or Overview.of(found), chosen=narrowed)
        said = counted(overview.batches, overview.shown, jobs=found.jobs is not None)
        shows = [
            partial(setattr, self._tiles, "value", tile_html(overview.tiles())),
            partial(setattr, self._rates, "value", self._rates_picture(overview)),
            partial(setattr, self._durations, "value", _durations_picture(overview)),
            partial(self._show_open, overview.open_batches()),
            partial(self.table.show, self._summary_of(overview), empty=NO_BATCH, keep=True),
            partial(setattr, self._counts, "value", said),
            partial(self.patterns.show, overview.patterns(), empty="No file failed.", keep=True),
            *(
                partial(group.show, overview.by(name), narrowed.get(name))
                for name, group in self.groups.items()
            ),
        ]

        def show() -> None:
            self._overview = overview
            self._note.value = ""
            for one in shows:
                one()
            self._show_scope()
            self._take.refresh()
            self._body.layout.display = None

        self.runner.update_ui(show)

    def _summary_of(self, overview: Overview) -> pd.DataFrame:
        mine = self._summary["batch_id"].isin(overview.batches["batch_id"])
        return self._summary[mine]

    def show_error(self, error: Exception | None) -> None:
        """Show an error and what to do about it; None removes the one shown."""
        self._note.value = ""
        super().show_error(error)

    def _rates_picture(self, overview: Overview) -> str:
        files, split = overview.shown, self.split.value
        if overview.found.jobs is None:
            files = files.drop(columns="outcome")  # then the chart says that it is of the mapping
        if split:
            names = self._names_of(split)
            named = files[split].map(lambda one: names.get(one, one), na_action="ignore")
            files = files.assign(**{WORDS[split]: named})
        by = WORDS[split] if split else None
        draw = partial(plot_failure_rates, files, by=by, freq=overview.freq())
        return figures.figure_to_html(draw)

    def _show_open(self, going: pd.DataFrame) -> None:
        self._open_box.layout.display = None if len(going) else "none"
        self.open.show(going, keep=True)

    def _show_scope(self) -> None:
        self.patterns.mark(self._narrowed.get(PATTERN))
        parts = [
            f"{WORDS[name]} <b>{markup.name(value, self._names_of(name))}</b>"
            for name, value in self._narrowed.items()
        ]
        self._scope.value = f"Only {' and '.join(parts)}" if parts else ""
        self._scope_row.layout.display = None if parts else "none"

    def _names_of(self, name: str) -> dict[str, str]:
        if name == PATTERN:
            patterns = self.patterns.frame
            return dict(zip(patterns[PATTERN], patterns["pattern"], strict=True))
        names = {
            CONFIGURATION: self.filters.configurations.by_id,
            DIRECTORY: self.filters.directories.by_id,
        }
        return names[name]

    def _parts(self) -> list[widgets.Widget]:
        side_by_side = widgets.HBox(list(self.groups.values()), layout={"flex_flow": "row wrap"})
        return [
            self._tiles,
            self._scope_row,
            widgets.HBox([self.split]).add_class("lb-row"),
            self._rates,
            side_by_side.add_class("lb-halves"),
            widgets.HTML(
                "<h4>Worst error patterns <span class='lb-muted'>click to filter</span></h4>"
            ),
            self.patterns,
            self._durations,
            self._open_box,
            widgets.HTML("<h4>Batches <span class='lb-muted'>click for their files</span></h4>"),
        ]

    def _open_columns(self) -> list[Column]:
        now = partial(datetime.now, UTC)
        return [
            Column("batch_id", "Batch", "112px", lambda b: markup.short_id(b.batch_id)),
            Column("status", "Status", "124px", lambda b: markup.status(b.status)),
            Column("created_at", "Created (UTC)", "216px",
                   lambda b: f"{markup.time(b.created_at)} · {markup.ago(b.created_at, now())}"),
            Column(DIRECTORY, "Directory", "minmax(110px,2fr)",
                   lambda b: markup.name(b[DIRECTORY], self._names_of(DIRECTORY)),
                   order=lambda one: markup.order(one, self._names_of(DIRECTORY))),
            Column(CONFIGURATION, "Configuration", "minmax(110px,2fr)",
                   lambda b: markup.name(b[CONFIGURATION], self._names_of(CONFIGURATION)),
                   order=lambda one: markup.order(one, self._names_of(CONFIGURATION))),
        ]  # fmt: skip

    def _offer(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        super()._offer(directories, configurations)
        self._draw()

    def _html(self) -> str:
        return (
            f"{self._tiles.value}{self._rates.value}"
            + "".join(group.html() for group in self.groups.values())
            + f"<h4>Worst error patterns</h4>{self.patterns.html()}{super()._html()}"
        )


def _durations_picture(overview: Overview) -> str:
    draw = partial(plot_durations, overview.batches)
    return figures.figure_to_html(draw, size=(9.6, 2.4))


def _pattern_columns() -> list[Column]:
    return [
        Column("pattern", "Pattern", "minmax(200px,1fr)", lambda p: markup.text(p["pattern"])),
        Column("layer", "Layer", "70px", lambda p: markup.text(p["layer"])),
        Column("count", "Files", "60px", lambda p: markup.number(p["count"]), numeric=True),
        Column("share", "Share", "62px", lambda p: markup.percent(p["share"]), numeric=True),
        Column("trend", "Trend", "84px", lambda p: figures.trend(p["trend"]), order=sum),
        Column("first_seen", "First (UTC)", "124px", lambda p: markup.time(p["first_seen"])),
        Column("last_seen", "Last (UTC)", "124px", lambda p: markup.time(p["last_seen"])),
    ]
