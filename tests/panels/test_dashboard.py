"""The dashboard's frames, charts and code follow its filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.analysis.patterns import pattern_ids
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.dashboard.dashboard import Dashboard
from llama_batches_nb.panels.dashboard.overview import CONFIGURATION, DIRECTORY, PATTERN
from tests.conftest import Serve
from tests.panels import queries
from tests.panels.conftest import Keep, alert_of, closing_panels, texts
from tests.servers import Request, Response, batch, mapping, page

NAME = "<img src=x onerror=alert(1)> $\\frac$"


@pytest.fixture(scope="module")
def fetched(history: Any) -> Iterator[Dashboard]:
    with (
        closing_panels() as keep,
        lb.connect(history.api_key, base_url=history.url),
    ):
        board = cast("Dashboard", keep(lb.dashboard()))
        board.fetch().wait()
        yield board


@pytest.fixture
def board(on_history: lb.Client, fetched: Dashboard) -> Iterator[Dashboard]:
    """A dashboard that tests share, without filters."""
    yield fetched
    fetched.split.value = ""
    if _chips(fetched):
        fetched.clear()
    fetched.wait()


@pytest.fixture(scope="module")
def folder(history: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synced") / "folder"
    with lb.connect(history.api_key, base_url=history.url) as client:
        lb.sync_dataset(path, jobs=True, names=False, client=client)
    return path


def _outcomes(board: Dashboard) -> pd.DataFrame:
    assert board.outcomes is not None
    return board.outcomes


def _check(board: Dashboard) -> None:
    """Check that the dashboard's code returns the files shown."""
    files = queries.check_code(board)["files"]
    assert_frame_equal(files, _outcomes(board))


def _choices(board: Dashboard) -> list[tuple[str, str]]:
    """Return a configuration, a directory and a pattern that occur together."""
    files = _outcomes(board)
    files = files.assign(**{PATTERN: pattern_ids(files)}).dropna(subset=PATTERN)
    commonest = files.value_counts([CONFIGURATION, DIRECTORY, PATTERN]).index[0]
    return list(zip((CONFIGURATION, DIRECTORY, PATTERN), commonest, strict=True))


def test_dashboard_shows_what_the_public_functions_return(board: Dashboard) -> None:
    assert board.results is not None
    files = lb.outcomes(board.results, board.jobs)
    assert_frame_equal(_outcomes(board), files)
    rate = lb.failure_rates(files).iloc[0]
    assert f"<b>Failed {100 * rate.failure_rate:.1f} %</b>" in board._headline.value
    assert f"({int(rate.failed):,} of {int(rate.decided):,} files in" in board._headline.value
    by = lb.failure_rates(files, by=CONFIGURATION).dropna(subset=CONFIGURATION)
    assert len(board.groups[CONFIGURATION].table.frame) == len(by)
    assert board.patterns.frame["count"].sum() == rate.failed
    assert len(board.table.frame) == len(board.batches)
    assert '<svg class="tex2jax_ignore' in board._rates.value
    assert not alert_of(board)
    _check(board)


def test_click_on_a_row_filters_and_click_on_its_chip_removes_the_filter(board: Dashboard) -> None:
    whole = _outcomes(board)
    table = board.groups[CONFIGURATION].table
    row, configuration = table._row_buttons[1], table.frame[CONFIGURATION][1]
    assert row.tooltip == _name(board, configuration)
    row.click()
    board.wait()
    narrowed = whole[whole[CONFIGURATION] == configuration]
    assert_frame_equal(_outcomes(board), narrowed)
    assert _chips(board) == [f"Configuration: {_name(board, configuration)} ✕"]
    assert board.active.show_all in board.active.children
    assert "lb-chosen" in row._dom_classes
    assert set(board.table.frame["batch_id"]) >= set(narrowed["batch_id"])
    [chip] = board.active.chips
    chip.click()
    board.wait()
    assert_frame_equal(_outcomes(board), whole)
    assert not _chips(board)
    assert board.active.show_all not in board.active.children
    assert "lb-chosen" not in row._dom_classes


def _chips(board: Dashboard) -> list[str]:
    return [chip.description for chip in board.active.chips]


def _name(board: Dashboard, configuration: str) -> str:
    return board.filters.configurations.by_id.get(configuration, configuration)


def test_pattern_filter_is_shown_by_its_pattern(board: Dashboard) -> None:
    row = board.patterns.frame.iloc[0]
    assert board.patterns._row_buttons[0].tooltip == row["pattern"]
    board.filter_by(PATTERN, row[PATTERN])
    board.wait()
    [chip] = board.active.chips
    assert chip.tooltip == f"Remove this filter: Error pattern: {row['pattern']} ✕"


def test_change_of_a_group_is_shown_and_filters_by_it(serve: Serve, keep: Keep[Dashboard]) -> None:
    """Two configurations, one of which fails from the second half on."""
    batches = []
    for day in range(40):
        for config in ("cfg-1", "cfg-2"):
            n_bad = 5 if config == "cfg-1" and day >= 21 else 0
            results = [mapping(f"f{n}", None, "no") for n in range(n_bad)]
            results += [mapping(f"f{n}", f"pjb-{config}-{day}-{n}") for n in range(n_bad, 10)]
            job = {"type": "parse_v2", "configuration_id": config}
            created = f"{pd.Timestamp('2026-06-01') + pd.Timedelta(days=day):%Y-%m-%dT12:00:00Z}"
            batches.append(
                batch(
                    f"bat-{config}-{day}",
                    results=results,
                    created_at=created,
                    config={"job": job},
                )
            )
    _serving(serve, *batches)
    board = keep(lb.dashboard())
    board.fetch().wait()
    [change, *_] = board.active.changes
    assert change.description.startswith("▲ A name: 0.0 % → ")
    assert "% ▲ from 0.0 % since 22 Jun, now " in board._headline_text
    change.click()
    board.wait()
    assert set(_outcomes(board)[CONFIGURATION]) == {"cfg-1"}
    _check(board)


def test_filters_combine_and_show_all_removes_them(board: Dashboard) -> None:
    whole, before = _outcomes(board), _shown(board)
    files = whole.assign(**{PATTERN: pattern_ids(whole)})
    for name, value in _choices(board):
        board.filter_by(name, value)
        board.wait()
        files = files[files[name] == value]
        assert_frame_equal(_outcomes(board), files.drop(columns=PATTERN))
    _check(board)
    assert len(files)
    board.active.show_all.click()
    board.wait()
    assert_frame_equal(_outcomes(board), whole)
    assert _shown(board) == before


def _shown(board: Dashboard) -> dict[str, Any]:
    tables: dict[str, Any] = {"batches": board.table, "patterns": board.patterns, **board.groups}
    shown = {name: table.html() for name, table in tables.items()}
    return {**shown, "headline": board._headline.value, "code": board.code}


def test_new_fetch_removes_group_filters(board: Dashboard) -> None:
    board.filter_by(*_choices(board)[0])
    board.wait()
    board.fetch().wait()
    assert len(_outcomes(board)) == len(board.results if board.results is not None else ())
    assert not _chips(board)


def test_filter_by_rejects_unknown_names_and_missing_files(
    on_history: lb.Client, keep: Keep[Dashboard], board: Dashboard
) -> None:
    with pytest.raises(ValueError, match=r"name='job_type' must be one of 'configuration_id', "):
        board.filter_by("job_type", "parse_v2")
    fresh = keep(lb.dashboard())
    with pytest.raises(ValueError, match="Include files, then fetch"):
        fresh.filter_by(CONFIGURATION, "cfg-PARSE_AGENTIC")
    assert fresh.outcomes is None


def test_configuration_without_files_shows_no_files(board: Dashboard) -> None:
    board.filter_by(CONFIGURATION, "cfg-nowhere")
    board.wait()
    assert _outcomes(board).empty
    assert not alert_of(board)


def test_rates_chart_can_be_split(board: Dashboard) -> None:
    before = board._rates.value
    for split in (CONFIGURATION, DIRECTORY):
        board.split.value = split
        board.wait()
        assert board._rates.value != before
        assert not alert_of(board)


def test_every_table_sorts_by_every_column(board: Dashboard) -> None:
    groups = (one.table for one in board.groups.values())
    tables = (board.patterns, board.costs.table, board.open_batches, board.slowest, *groups)
    for table in tables:
        for column in table._columns:
            for ascending in (True, False):
                table.sort(column.name, ascending=ascending)
                assert len(table.frame)
    directories = board.groups[DIRECTORY].table
    directories.sort(DIRECTORY)
    names = directories.frame[DIRECTORY].map(board.filters.directories.by_id).tolist()
    assert names == sorted(names, key=str.casefold)


# Sources


def test_dataset_source_needs_no_key(folder: Path, keep: Keep[Dashboard]) -> None:
    board = keep(lb.dashboard(source=folder))
    board.wait()
    assert len(board.batches) == 60
    assert "dataset &#x27;" in board._header.value
    board.filter_by(*_choices(board)[2])
    board.wait()
    _check(board)
    board.choose(board.table.frame["batch_id"].iloc[0])
    board.wait()
    assert board.files is not None
    assert not alert_of(board)


def test_filter_panel_source_shares_its_frames(on_history: lb.Client, keep: Keep[Any]) -> None:
    panel = keep(lb.filter_panel(status="COMPLETED", limit=4))
    panel.fetch().wait()
    board = keep(lb.dashboard(source=panel))
    board.wait()
    assert board.batches is panel.batches
    assert board.filters.query() == panel.filters.query()
    assert len(_outcomes(board)) == len(panel.results)
    assert panel.code.splitlines() == board.code.splitlines()
    _check(board)


def test_unfetched_filter_panel_source_has_no_outcomes(
    on_history: lb.Client, keep: Keep[Any]
) -> None:
    board = keep(lb.dashboard(source=keep(lb.filter_panel(limit=2))))
    board.wait()
    assert board.outcomes is None
    board.fetch().wait()
    assert len(board.batches) == 2


@pytest.mark.parametrize("source", ["nowhere", 7])
def test_invalid_source_raises(source: Any, tmp_path: Path) -> None:
    given = tmp_path / source if isinstance(source, str) else source
    with pytest.raises((lb.DatasetError, FileNotFoundError, TypeError), match=r"nowhere|not 7"):
        lb.dashboard(source=given)


def test_dashboard_without_files_shows_batches(
    on_history: lb.Client, keep: Keep[Dashboard]
) -> None:
    board = keep(lb.dashboard())
    board.include.value = "batches"
    board.fetch().wait()
    assert len(board.table.frame) == 60
    assert board.outcomes is None
    assert board._body.layout.display == "none"
    queries.check_code(board)


# Kinds of histories


def _serving(serve: Serve, *batches: dict[str, Any], name: str | None = "A name") -> None:
    by_id = {one["id"]: one for one in batches}

    def script(request: Request) -> Any:
        path = request.path
        if name is None and path.endswith(("/directories", "/configurations")):
            return Response({"detail": "No"}, 403)
        if path == "/api/v2/batches":
            return page([{**one, "results": None} for one in batches])
        if path.startswith("/api/v2/batches/"):
            return by_id[path.rsplit("/", 1)[1]]
        if path.endswith("/directories"):
            return page([{"id": "dir-1", "name": name, "type": "user"}])
        if path.endswith("/configurations"):
            return page([{"id": "cfg-1", "name": name, "product_type": "parse_v2"}])
        jobs = [one for ids in request.query.get("job_ids", []) for one in ids.split(",")]
        return page([{"id": job, "status": "COMPLETED"} for job in jobs])

    serve(script)


KINDS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "all running": [batch("bat-1", "RUNNING"), batch("bat-2", "PENDING")],
    "no results": [batch("bat-1", results=[]), batch("bat-2", results=None)],
    "only failed": [batch("bat-1", "FAILED", results=[mapping("f", None, "no")])],
    "one": [batch("bat-1", results=[mapping("f", "pjb-1")])],
    "three": [
        batch("bat-1", results=[mapping("f", "pjb-1"), mapping("g", None, "no such file")]),
        batch("bat-2", results=[mapping("f", "pjb-2")], created_at="2026-08-02T12:00:00Z"),
        batch("bat-3", "CANCELLED", results=[mapping("f")]),
    ],
    "no times": [batch("bat-1", created_at=None, results=[mapping("f", None, "no")])],
    "no ends": [
        batch("bat-1", config=None, source_directory_id=None, results=[mapping("f", "pjb-1", None)])
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_dashboard_draws_every_kind_of_history(
    kind: str, serve: Serve, keep: Keep[Dashboard]
) -> None:
    _serving(serve, *KINDS[kind])
    board = keep(lb.dashboard())
    board.fetch().wait()
    assert ("without results" in alert_of(board)) == (kind == "no results")
    assert "Updating" not in board._note.value
    n_files = sum(len(one.get("results") or ()) for one in KINDS[kind])
    assert len(_outcomes(board)) == n_files
    assert board._body.layout.display is None
    assert board._rates.value.count("<svg ") == 2
    _check(board)


def test_charts_show_ids_when_names_cannot_be_fetched(serve: Serve, keep: Keep[Dashboard]) -> None:
    _serving(serve, *KINDS["three"], name=None)
    board = keep(lb.dashboard())
    board.fetch().wait()
    for split in (CONFIGURATION, DIRECTORY):
        board.split.value = split
        board.wait()
        assert not alert_of(board)


def test_names_are_escaped_in_tables_charts_and_saved_copy(
    serve: Serve, keep: Keep[Dashboard]
) -> None:
    results = [mapping("f", None, NAME), mapping("g", "pjb-1")]
    _serving(serve, batch("bat-1", results=results), batch("bat-2", "RUNNING"), name=NAME)
    board = keep(lb.dashboard())
    board.fetch().wait()
    for split in (CONFIGURATION, DIRECTORY):
        board.split.value = split
        board.wait()
        assert not alert_of(board)
    board.filter_by(PATTERN, board.patterns.frame[PATTERN][0])
    board.filter_by(DIRECTORY, "dir-1")
    board.wait()
    shown = [*texts(board), board._repr_mimebundle_()["text/html"]]
    assert not [html for html in shown if "<img src=x" in html]
    assert sum("&lt;img src=x" in html for html in shown) >= 5


def test_saved_copy_has_the_headline_charts_and_tables(board: Dashboard) -> None:
    saved = board._repr_mimebundle_()["text/html"]
    assert board._headline.value in saved
    assert "Cost by configuration" in saved
    assert board._rates.value in saved
    assert markup.text(board.patterns.frame["pattern"][0]) in saved
    assert board._saved_text() == (
        f"<Dashboard: {board._headline_text}; 60 batches; .batches is their DataFrame>"
    )


def test_click_during_a_fetch_is_ignored(board: Dashboard) -> None:
    assert board.outcomes is not None
    whole = len(board.outcomes)
    chosen = board.outcomes.configuration_id[0]
    board._set_fetching(True)
    board.groups[CONFIGURATION].table.select(chosen)
    board.wait()
    assert len(board.outcomes) == whole
    board._set_fetching(False)
    board.groups[CONFIGURATION].table.select(chosen)
    board.wait()
    assert set(board.outcomes.configuration_id) == {chosen}
    assert len(board.outcomes) < whole


def test_report_is_of_the_files_shown(board: Dashboard, tmp_path: Path) -> None:
    board.filter_by(CONFIGURATION, _choices(board)[0][1])
    board.wait()
    board._export.folder.value = str(tmp_path / "new")
    board._export.report_button.click()
    board.wait()
    assert not alert_of(board)
    page = (tmp_path / "new" / "report.html").read_text("utf-8")
    rate = lb.failure_rates(_outcomes(board)).iloc[0]
    assert f"{100 * rate.failure_rate:.1f} %" in page
    assert _name(board, _choices(board)[0][1]) in page
    assert f"Written to {tmp_path / 'new' / 'report.html'}" in board._export._status.value
