"""The panel's frames equal those of the public functions and of its code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.browse.filter_panel import (
    INCOMPLETE_NOTE,
    NO_BATCHES,
    NO_MATCH,
    NOT_FETCHED,
    FilterPanel,
)
from llama_batches_nb.panels.browse.query import Query
from llama_batches_nb.panels.browse.sources import DatasetSource
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from tests.conftest import Serve
from tests.panels import queries
from tests.panels.conftest import Keep, alert_of, texts
from tests.servers import Request, Response, Script, Server, batch, mapping, page
from tests.threads import threads_left

MADE = {"id": "pjb-2", "status": "COMPLETED"}
NAME = """<img src=x onerror="document.title='pwned'">"""
query_of = pytest.mark.parametrize("query", queries.QUERIES.values(), ids=list(queries.QUERIES))


@pytest.fixture(scope="session")
def everything(history: Any) -> pd.DataFrame:
    with lb.connect(history.api_key, base_url=history.url) as client:
        return lb.fetch_batches(client=client)


@pytest.fixture(scope="session")
def directories(history: Any) -> pd.DataFrame:
    with lb.connect(history.api_key, base_url=history.url) as client:
        return lb.fetch_directories(client=client)


@pytest.fixture(scope="session")
def folder(history: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synced") / "it's a folder"
    with lb.connect(history.api_key, base_url=history.url) as client:
        lb.sync_dataset(path, jobs=True, names=False, client=client)
    return path


@query_of
def test_panel_frames_equal_those_of_the_public_functions(
    query: Query,
    everything: pd.DataFrame,
    directories: pd.DataFrame,
    on_history: lb.Client,
    keep: Keep[FilterPanel],
) -> None:
    query = queries.with_ids(query, directories)
    panel = keep(lb.filter_panel(**queries.as_arguments(query)))
    panel.fetch().wait()
    expected = queries.matching(query, everything)
    assert_frame_equal(panel.batches, expected)
    assert panel.results is not None
    assert panel.jobs is not None
    queries.check_code(panel)  # calls the public functions


@query_of
def test_dataset_frames_match_the_query(
    query: Query,
    folder: Path,
    everything: pd.DataFrame,
    directories: pd.DataFrame,
    keep: Keep[FilterPanel],
) -> None:
    query = queries.with_ids(query, directories)
    panel = keep(FilterPanel(None, query, DatasetSource(folder)))
    panel.fetch().wait()
    expected = queries.matching(query, everything)
    assert set(panel.batches.batch_id) == set(expected.batch_id)
    assert panel.batches.created_at.is_monotonic_decreasing
    assert panel.results is not None
    assert set(panel.results.batch_id) <= set(expected.batch_id)
    queries.check_code(panel)


def test_example_queries_match_different_numbers_of_batches(
    everything: pd.DataFrame, directories: pd.DataFrame
) -> None:
    found = {
        name: len(queries.matching(queries.with_ids(query, directories), everything))
        for name, query in queries.QUERIES.items()
    }
    assert found.pop("nothing") == 0
    assert all(found.values()), found
    assert len(set(found.values())) > 5


@pytest.mark.parametrize("depth", ["batches", "results", "jobs"])
def test_include_limits_what_is_fetched(
    depth: str, on_history: lb.Client, folder: Path, keep: Keep[FilterPanel]
) -> None:
    for source in (None, DatasetSource(folder)):
        panel = keep(FilterPanel(None, Query(status=("COMPLETED",), limit=2), source))
        panel.include.value = depth
        panel.fetch().wait()
        assert (panel.results is not None) == (depth != "batches")
        assert (panel.jobs is not None) == (depth == "jobs")
        queries.check_code(panel)


def test_code_passes_an_explicit_client(
    history: Any, on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    with lb.connect(history.api_key, base_url=history.url) as client:
        panel = keep(lb.filter_panel(client, limit=2))
        panel.fetch().wait()
        assert panel.code.count("client=client") == 3
        queries.check_code(panel, client=client)


def test_last_day_is_included_to_its_end(serve: Serve, keep: Keep[FilterPanel]) -> None:
    server = serve(lambda request: page([]))
    day = date(2026, 7, 20)
    keep(lb.filter_panel(created_at_on_or_after=day, created_at_on_or_before=day)).fetch().wait()
    [request] = [request for request in server.requests if request.path == "/api/v2/batches"]
    assert request.param("created_at_on_or_after") == "2026-07-20T00:00:00Z"
    assert request.param("created_at_on_or_before") == "2026-07-20T23:59:59.999999Z"


# Changed filters


def _state(panel: FilterPanel) -> dict[str, Any]:
    return {
        "filters": panel.filters.query(),
        "code": panel.code,
        "table": panel.table.html(),
        "counts": panel._counts.value,
        "html": panel._html(),
        "text": panel._saved_text(),
    }


@pytest.mark.parametrize("name", ["several", "a directory", "a day", "all at once", "nothing"])
def test_updated_panel_equals_a_new_one_with_the_same_filters(
    name: str, directories: pd.DataFrame, on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    query = queries.with_ids(queries.QUERIES[name], directories)
    built = keep(lb.filter_panel(**queries.as_arguments(query)))
    built.include.value = "results"
    built.fetch().wait()
    updated = keep(lb.filter_panel(status="RUNNING", job_type="parse_v2", limit=1))
    updated.include.value = "results"
    updated.fetch().wait()
    _set_by_hand(updated, query, directories)
    updated.fetch().wait()
    assert _state(updated) == _state(built)


def _set_by_hand(panel: FilterPanel, query: Query, directories: pd.DataFrame) -> None:
    controls = panel.filters
    names = directories.set_index("source_directory_id")["name"]
    controls.status.value = query.status
    controls.directory.value = names.get(query.source_directory_id, "")
    configurations = controls.configurations.by_id
    controls.configuration.value = configurations.get(
        query.configuration_id or "", query.configuration_id or ""
    )
    controls.job_type.value = query.job_type or ""
    controls.since.value, controls.until.value = query.since, query.until
    controls.limit.value = str(query.limit or "")


def test_code_follows_the_fetched_frames_not_the_controls(
    on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel(limit=2))
    panel.fetch().wait()
    panel._export.code_button.value = True
    before = panel.code
    panel.filters.limit.value = "3"
    assert panel.code == panel._export.text.value == before
    panel.fetch().wait()
    assert panel.code == panel._export.text.value == before.replace("limit=2", "limit=3")


# Invalid input


@pytest.mark.parametrize(
    ("control", "value", "words"),
    [
        ("limit", "abc", "Limit &#x27;abc&#x27; is not a positive integer"),
        ("limit", "0", "Limit &#x27;0&#x27;"),
        ("limit", "-1", "Limit &#x27;-1&#x27;"),
        ("limit", "1.5", "Limit &#x27;1.5&#x27;"),
        ("since", date(2026, 8, 2), "From 2026-08-02 is after To 2026-08-01"),
        ("directory", "Invoice 2026", "Did you mean &#x27;Invoices 2026&#x27;?"),
        ("directory", NAME, "No directory is named &#x27;&lt;img src=x"),
        ("configuration", "Agentisch", "Did you mean &#x27;Agentic&#x27;?"),
    ],
)
def test_invalid_control_shows_an_error_and_sends_no_request(
    control: str, value: Any, words: str, serve: Serve, keep: Keep[FilterPanel]
) -> None:
    server = serve(_named([]))
    panel = keep(lb.filter_panel(created_at_on_or_before="2026-08-01"))
    panel.wait()
    getattr(panel.filters, control).value = value
    panel.fetch().wait()
    assert words in alert_of(panel)
    assert "/api/v2/batches" not in server.paths()
    getattr(panel.filters, control).value = None if control == "since" else ""
    panel.fetch().wait()
    assert not alert_of(panel)
    assert "/api/v2/batches" in server.paths()


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "DONE"},
        {"limit": 0},
        {"job_type": "parse"},
        {"created_at_on_or_before": "soon"},
        {"created_at_on_or_after": "2026-08-02", "created_at_on_or_before": "2026-08-01"},
        {"source_directory_id": ""},
    ],
    ids=str,
)
def test_invalid_argument_raises_and_sends_no_request(serve: Serve, wrong: dict[str, Any]) -> None:
    server = serve(_named([]))
    given = next(iter(wrong))
    with pytest.raises(ValueError, match=rf"{given}|From .* is after"):
        lb.filter_panel(**wrong)
    assert not server.requests


def test_filter_panel_without_key_raises() -> None:
    with pytest.raises(lb.AuthenticationError, match="LLAMA_CLOUD_API_KEY"):
        lb.filter_panel()


# A scripted server


def _named(
    batches: list[dict[str, Any]], directory: str = "Invoices 2026", **files: list[Any]
) -> Script:
    """Return a script that serves batches, one directory and one configuration."""
    by_id = {one["id"]: one for one in batches}

    def script(request: Request) -> Any:
        path = request.path
        if path == "/api/v2/batches":
            return page([{**one, "results": None} for one in batches])
        if path.startswith("/api/v2/batches/"):
            return by_id[path.rsplit("/", 1)[1]]
        if path.endswith("/directories"):
            return page([{"id": "dir-1", "name": directory, "type": "user"}])
        if path.endswith("/configurations"):
            found = {"id": "cfg-1", "name": "Agentic", "parameters": {}, "product_type": "parse_v2"}
            return page([found])
        if path.endswith("/files"):
            return page(files.get("files", []))
        return page(files.get("jobs", [MADE]))

    return script


@pytest.fixture
def two_batches() -> list[dict[str, Any]]:
    return [
        batch("bat-1", results=[mapping("dfl-1", None, "no such file"), mapping("dfl-2", "pjb-2")]),
        batch("bat-2", "RUNNING", results=None),
    ]


class DelayedScript:
    """A script that delays some responses until `open` is set."""

    def __init__(self, script: Script, held: Callable[[Request], bool]) -> None:
        self._script, self._held = script, held
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> Any:
        if self._held(request):
            self.reached.set()
            self.open.wait(20)
        return self._script(request)


@pytest.fixture
def gated() -> Iterator[Callable[[Script, Callable[[Request], bool]], DelayedScript]]:
    gates: list[DelayedScript] = []

    def make(script: Script, held: Callable[[Request], bool]) -> DelayedScript:
        gates.append(DelayedScript(script, held))
        return gates[-1]

    yield make
    for gate in gates:
        gate.open.set()


MakeGate = Callable[[Script, Callable[[Request], bool]], DelayedScript]


def test_second_fetch_replaces_the_first(
    serve: Serve, gated: MakeGate, keep: Keep[FilterPanel]
) -> None:
    def script(request: Request) -> Any:
        first = request.param("status") == "FAILED"
        return page([batch("bat-first" if first else "bat-second", "FAILED")])

    gate = gated(script, lambda request: request.param("status") == "FAILED")
    serve(gate)
    panel = keep(lb.filter_panel(status="FAILED"))
    panel.include.value = "batches"
    shown: list[str] = []
    panel.table._cells.observe(lambda change: shown.append(change["new"]), "value")
    panel.fetch()
    assert gate.reached.wait(10)
    panel.filters.status.value = ()
    panel.fetch()
    panel.wait()
    gate.open.set()
    assert not threads_left()
    assert panel.batches.batch_id.tolist() == ["bat-second"]
    assert any("bat-seco" in html for html in shown)
    assert not any("bat-firs" in html for html in shown)
    assert "FAILED" not in panel.code
    assert "Fetched: 1 batch" in panel._status.value


def test_ending_fetch_does_not_mark_the_next_as_ended(
    serve: Serve, keep: Keep[FilterPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = {"FAILED": threading.Event(), None: threading.Event()}

    def script(request: Request) -> Any:
        if request.path == "/api/v2/batches":
            go[request.param("status")].wait(10)
        return _named([])(request)

    serve(script)
    panel = keep(lb.filter_panel(status="FAILED"))
    first, set_busy = panel.fetch().runner._tasks["fetch"], panel._set_fetching

    def busy_as_the_first_ends(busy: bool) -> None:
        set_busy(busy)
        go["FAILED"].set()
        first.join(0.5)

    monkeypatch.setattr(panel, "_set_fetching", busy_as_the_first_ends)
    panel.filters.status.value = ()
    panel.fetch()
    monkeypatch.undo()
    first.join(10)
    assert not panel.stop_button.disabled
    go[None].set()
    panel.wait()
    assert panel.stop_button.disabled


def test_late_stop_keeps_the_final_message(
    serve: Serve, two_batches: list[Any], keep: Keep[FilterPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, released = threading.Event(), threading.Event()

    def linger() -> None:
        ended.set()
        released.wait(10)

    serve(_named(two_batches))
    panel = keep(lb.filter_panel())
    monkeypatch.setattr(panel, "_on_fetched", linger)
    panel.fetch()
    assert ended.wait(10)
    threading.Timer(0.1, released.set).start()
    panel.stop()
    panel.wait()
    assert "Fetched: 2 batches" in panel._status.value


def test_stop_keeps_partial_frames_and_shows_a_message(
    serve: Serve, gated: MakeGate, two_batches: list[Any], keep: Keep[FilterPanel]
) -> None:
    gate = gated(_named(two_batches), lambda request: request.path.endswith("/bat-2"))
    serve(gate, max_workers=1)
    panel = keep(lb.filter_panel())
    panel.fetch()
    assert gate.reached.wait(10)
    assert not panel.stop_button.disabled
    panel.stop_button.click()
    panel.wait()
    assert panel.batches.batch_id.tolist() == ["bat-1", "bat-2"]
    assert panel.results is not None
    assert panel.results.batch_id.unique().tolist() == ["bat-1"]
    assert panel.jobs is None
    assert "Stopped: 2 batches" in panel._status.value
    assert panel.stop_button.disabled
    assert not alert_of(panel)
    assert INCOMPLETE_NOTE in panel.code
    gate.open.set()
    panel.fetch().wait()
    assert INCOMPLETE_NOTE not in panel.code
    assert "Fetched: 2 batches" in panel._status.value
    assert panel.jobs is not None


def test_batches_without_fetched_results_have_no_counts(
    serve: Serve, gated: MakeGate, keep: Keep[FilterPanel]
) -> None:
    batches = [batch(f"bat-{n}", results=[mapping("f", None, "no")]) for n in (1, 2)]
    gate = gated(_named(batches), lambda request: request.path.endswith("/bat-2"))
    serve(gate, max_workers=1)
    panel = keep(lb.filter_panel())
    panel.fetch()
    assert gate.reached.wait(10)
    panel.stop()
    panel.wait()
    assert panel.table.frame.n_files.astype(object).where(lambda n: n.notna(), None).tolist() == [
        1,
        None,
    ]


def _failing(status: int) -> Script:
    words = Response({"detail": f"Told you: {NAME}"}, status)
    return lambda request: words


@pytest.mark.parametrize("status", [500, 401, 422, 400])
def test_server_error_is_shown_until_the_next_fetch(
    status: int, serve: Serve, two_batches: list[Any], keep: Keep[FilterPanel]
) -> None:
    answers = [_failing(status), _named(two_batches)]
    serve(lambda request: answers[0](request), max_retries=0)
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    shown = alert_of(panel)
    assert "Told you: &lt;img src=x" in shown
    assert "<img" not in shown
    assert ("lb.connect()" in shown) == (status == 401)
    assert "Incomplete: 0 batches" in panel._status.value
    assert panel.stop_button.disabled
    answers.pop(0)
    panel.fetch().wait()
    assert not alert_of(panel)
    assert len(panel.batches) == 2
    assert panel.filters.directories.loaded  # which it could not be at first


def test_unreachable_server_shows_an_error(keep: Keep[FilterPanel]) -> None:
    with Server(_named([])) as server:
        url = server.url
    with lb.connect("llx-1", base_url=url, max_retries=0):
        panel = keep(lb.filter_panel())
        panel.fetch().wait()
        assert url.removeprefix("http://") in alert_of(panel)


def test_error_keeps_the_rows_fetched_so_far(
    serve: Serve, two_batches: list[Any], keep: Keep[FilterPanel]
) -> None:
    def script(request: Request) -> Any:
        if request.path.endswith("/bat-2"):
            return Response({"detail": "Broken"}, 500)
        return _named(two_batches)(request)

    serve(script, max_retries=0, max_workers=1)
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    assert "Broken" in alert_of(panel)
    assert len(panel.batches) == 2
    assert panel.results is not None
    assert panel.results.batch_id.unique().tolist() == ["bat-1"]


def test_missing_dataset_shows_an_error(
    folder: Path, tmp_path: Path, keep: Keep[FilterPanel]
) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    panel = keep(FilterPanel(None, Query(), DatasetSource(moved)))
    moved.unlink()
    panel.fetch().wait()
    assert "moved" in alert_of(panel)
    assert panel.stop_button.disabled
    assert "Incomplete" in panel._status.value
    moved.symlink_to(folder)
    panel.fetch().wait()
    assert not alert_of(panel)
    assert len(panel.batches) == 60


def test_all_warnings_are_shown(serve: Serve, keep: Keep[FilterPanel]) -> None:
    response = page([batch("bat-1", results=[])], total_size=9)

    def script(request: Request) -> Any:
        one = request.path.startswith("/api/v2/batches/")
        return batch("bat-1", results=[_odd("job-1")]) if one else response

    serve(script)
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    shown = alert_of(panel)
    assert "9" in shown
    assert "quilt_v1" in shown


def _odd(job: str) -> dict[str, Any]:
    return {**mapping("dfl-1"), "job_reference": {"type": "quilt_v1", "id": job}}


# Display


def test_new_panel_says_what_to_do(on_history: lb.Client, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel())
    assert any(NOT_FETCHED in html for html in texts(panel))
    assert_frame_equal(panel.batches, lb.fetch_batches(limit=1)[:0])
    assert panel.results is None
    assert panel.jobs is None
    assert panel.files is None
    assert panel.selected.columns.tolist() == [column.name for column in BATCHES.columns]
    assert panel._saved_text() == "<Batches: 0 batches; .batches is their DataFrame>"


def test_no_match_says_what_to_widen(serve: Serve, keep: Keep[FilterPanel]) -> None:
    serve(_named([]))
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    assert NO_BATCHES in panel._html()  # nothing to widen
    panel.filters.status.value = ("FAILED",)
    panel.fetch().wait()
    assert any(NO_MATCH in html for html in texts(panel))
    assert NO_MATCH in panel._html()
    assert panel.results is not None
    assert panel.results.columns.tolist() == [column.name for column in RESULTS.columns]


def test_counts_below_the_table_add_up(on_history: lb.Client, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    assert panel.results is not None
    files = lb.outcomes(panel.results, panel.jobs)
    rate = lb.failure_rates(files).iloc[0]
    share, failed = 100 * float(rate.failure_rate), int(rate.failed)
    shown = panel._counts.value
    assert f"{len(panel.batches)} batches: " in shown
    assert f"{len(files):,} files: failed {share:.1f} % ({failed} of" in shown
    assert f"{int(rate.total - rate.decided)} undecided" in shown
    for status, n in panel.batches.status.value_counts().items():
        assert not n or f"{n} {status}" in shown


def test_ids_are_shown_and_sorted_by_name(
    on_history: lb.Client, directories: pd.DataFrame, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel())
    panel.include.value = "batches"
    panel.fetch().wait()
    panel.table.sort("source_directory_id")
    names = directories.set_index("source_directory_id")["name"]
    shown = panel.table.frame.source_directory_id.map(names).tolist()
    assert shown == sorted(shown, key=str.casefold)
    assert shown[0] in panel.table.html()


@pytest.mark.parametrize("status", [404, 403, 500])
def test_ids_work_when_names_cannot_be_fetched(
    status: int, serve: Serve, two_batches: list[Any], keep: Keep[FilterPanel]
) -> None:
    def script(request: Request) -> Any:
        if "directories" in request.path or "configurations" in request.path:
            return Response({"detail": "No"}, status)
        return _named(two_batches)(request)

    server = serve(script, max_retries=0)
    panel = keep(lb.filter_panel())
    panel.filters.directory.value = "dir-1"
    panel.fetch().wait()
    assert not alert_of(panel)
    assert "dir-1" in panel.table.html()
    panel.choose("bat-1")
    panel.wait()
    assert not alert_of(panel)
    assert panel.files is not None
    assert panel.files.display_name.tolist() == ["dfl-1", "dfl-2"]
    requests = [request for request in server.requests if request.path == "/api/v2/batches"]
    assert {one.param("source_directory_id") for one in requests} == {"dir-1"}


def test_id_becomes_its_name_when_names_load(
    serve: Serve, gated: MakeGate, keep: Keep[FilterPanel]
) -> None:
    gate = gated(_named([]), lambda request: request.path.endswith("/directories"))
    serve(gate)
    panel = keep(lb.filter_panel(source_directory_id="dir-1", configuration_id="cfg-9"))
    assert panel.filters.directory.value == "dir-1"
    gate.open.set()
    panel.wait()
    assert panel.filters.directory.value == "Invoices 2026"
    assert panel.filters.directory.options == ("Invoices 2026",)
    assert panel.filters.configuration.value == "cfg-9"
    assert panel.filters.query().source_directory_id == "dir-1"


# The selected batch


def test_selected_batch_shows_its_files(on_history: lb.Client, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel(status="COMPLETED", limit=3))
    panel.fetch().wait()
    one = panel.batches.iloc[1:2].reset_index(drop=True)
    panel.choose(one.batch_id[0])
    panel.wait()
    assert_frame_equal(panel.selected, one)
    results = lb.fetch_results(one)
    files = lb.outcomes(results, lb.fetch_jobs(results))
    assert panel.files is not None
    assert_frame_equal(panel.files[files.columns.tolist()], files)
    names = lb.fetch_files(one).set_index("source_directory_file_id")["display_name"]
    assert panel.files.display_name.tolist() == names[files.source_directory_file_id].tolist()


@pytest.mark.parametrize("depth", ["batches", "results", "jobs"])
def test_files_of_a_batch_are_the_same_for_every_include(
    depth: str, on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel(status="COMPLETED", limit=2))
    panel.include.value = depth
    panel.fetch().wait()
    panel.choose(panel.batches.batch_id[0])
    panel.wait()
    assert panel.files is not None
    assert "job_error_message" in panel.files
    assert set(panel.files.outcome.dropna()) & {"succeeded", "job_failed"}


def test_batch_of_a_dataset_shows_the_files_of_the_dataset(
    folder: Path, keep: Keep[FilterPanel]
) -> None:
    panel = keep(FilterPanel(None, Query(status=("COMPLETED",), limit=2), DatasetSource(folder)))
    panel.fetch().wait()
    panel.choose(panel.batches.batch_id[0])
    panel.wait()
    assert not alert_of(panel)
    assert panel.files is not None
    assert len(panel.files)
    assert panel.files.display_name.tolist() == panel.files.source_directory_file_id.tolist()


def test_dataset_without_jobs_shows_mapping_outcomes(
    on_history: lb.Client, tmp_path: Path, keep: Keep[FilterPanel]
) -> None:
    lb.sync_dataset(tmp_path / "folder", status="COMPLETED")
    panel = keep(FilterPanel(None, Query(), DatasetSource(tmp_path / "folder")))
    panel.fetch().wait()
    assert panel.jobs is None
    queries.check_code(panel)
    panel.choose(panel.batches.batch_id[0])
    panel.wait()
    assert not any('role="alert"' in html for html in texts(panel))
    assert panel.files is not None
    assert set(panel.files.outcome) <= {"mapped", "mapping_error"}
    panel._files.table.sort("credits")
    assert markup.text(panel.files.display_name[0]) in panel._files.table.html()


def test_failure_rates_are_missing_without_jobs(
    on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel(status="COMPLETED", limit=5))
    panel.include.value = "results"
    panel.fetch().wait()
    assert panel.table.frame["n_files"].gt(0).all()
    assert panel.table.frame["failure_rate"].isna().all()
    panel.include.value = "jobs"
    panel.fetch().wait()
    assert panel.table.frame["failure_rate"].notna().all()


def test_choosing_an_unknown_batch_raises(on_history: lb.Client, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel(limit=1))
    panel.fetch().wait()
    with pytest.raises(ValueError, match="The table has no batch 'bat-nowhere'"):
        panel.choose("bat-nowhere")


@pytest.fixture
def loading(
    serve: Serve, gated: MakeGate, two_batches: list[Any], keep: Keep[FilterPanel]
) -> tuple[FilterPanel, Any]:
    """A panel that is loading the names of the selected batch's files, and the gate."""
    gate = gated(_named(two_batches), lambda request: request.path.endswith("/files"))
    serve(gate)
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    panel.choose("bat-1")
    assert gate.reached.wait(10)
    return panel, gate


def test_new_fetch_hides_the_selected_batch(loading: tuple[FilterPanel, Any]) -> None:
    panel, gate = loading
    panel.fetch()
    panel.runner._tasks["fetch"].join()
    gate.open.set()
    panel.wait()
    assert not threads_left()
    assert panel.selected.empty
    assert panel.files is None
    assert "Files of" not in panel._html()


def test_failed_file_load_shows_an_error_and_can_be_retried(
    serve: Serve, two_batches: list[Any], keep: Keep[FilterPanel]
) -> None:
    broken = [True]

    def script(request: Request) -> Any:
        if broken and request.path == "/api/v2/batches/bat-1":
            return Response({"detail": "Broken"}, 500)
        return _named(two_batches)(request)

    serve(script, max_retries=0)
    panel = keep(lb.filter_panel())
    panel.include.value = "batches"
    panel.fetch().wait()
    panel.choose("bat-1")
    panel.wait()
    assert "Broken" in alert_of(panel)
    assert not any("Loading" in html for html in texts(panel))
    broken.clear()
    panel.choose("bat-1")
    panel.wait()
    assert panel.files is not None
    assert len(panel.files) == 2
    assert not alert_of(panel)


def test_stopped_file_load_is_not_shown_as_loading(loading: tuple[FilterPanel, Any]) -> None:
    panel, _ = loading
    panel.stop()
    panel.wait()
    assert not any("Loading" in html for html in texts(panel))


@pytest.mark.parametrize(
    ("status", "words"),
    [("RUNNING", "The files will be known when the batch has finished"), ("CANCELLED", "No files")],
)
def test_batch_without_files_says_why(
    status: str, words: str, serve: Serve, keep: Keep[FilterPanel]
) -> None:
    serve(_named([batch("bat-1", status, results=None, source_directory_id=None)]))
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    panel.choose("bat-1")
    panel.wait()
    assert not alert_of(panel)
    assert any(words in html for html in texts(panel))
    assert not alert_of(panel)


def test_files_of_failed_batches_are_counted_apart(serve: Serve, keep: Keep[FilterPanel]) -> None:
    serve(_named([batch("bat-1", "FAILED", results=[mapping("dfl-1", None, "no")])]))
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    assert "1 file · 1 in FAILED batches" in panel._counts.value


def test_files_that_failed_come_first(serve: Serve, keep: Keep[FilterPanel]) -> None:
    results = [mapping("dfl-1", "pjb-2"), mapping("dfl-2", None, "no"), mapping("dfl-3", "pjb-2")]
    serve(_named([batch("bat-1", results=results)]))
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    panel.choose("bat-1")
    panel.wait()
    shown = panel._files.table.frame.source_directory_file_id.tolist()
    assert shown == ["dfl-2", "dfl-1", "dfl-3"]
    assert panel.files is not None
    assert panel.files.source_directory_file_id.tolist() == ["dfl-1", "dfl-2", "dfl-3"]


def test_show_pages_shows_what_fetch_pages_returns(
    on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel(status="COMPLETED", job_type="parse_v2", limit=9))
    panel.fetch().wait()
    batches = panel.table.frame
    panel.choose(batches[batches.n_failed > 0].batch_id.iloc[0])
    panel.wait()
    assert panel.files is not None
    [file, *_] = panel.files[panel.files.outcome == "succeeded"].itertuples()
    output = panel._files.output
    panel._files.table.select(file.source_directory_file_id)
    output.button.click()
    panel.wait()
    pages = lb.fetch_pages(str(file.job_id))
    assert not output._alert.value
    for page_of in pages.itertuples():
        assert f"Page {page_of.page_number}" in output._output.value
    assert f"lb.fetch_pages(&#x27;{file.job_id}&#x27;)" in output._output.value
    [failed, *_] = panel.files[panel.files.outcome != "succeeded"].itertuples()
    panel._files.table.select(failed.source_directory_file_id)
    assert output.button.disabled
    assert not output._output.value


# Escaping


def _hostile_batches() -> list[dict[str, Any]]:
    mappings = [mapping(NAME, None, NAME), mapping("dfl-2", NAME)]
    job = {"type": NAME, "configuration_id": NAME}
    return [
        batch(f"bat-{NAME}", NAME, results=mappings, config={"job": job}),
        batch("bat-2", results=mappings),
    ]


def test_names_and_messages_are_escaped_everywhere(serve: Serve, keep: Keep[FilterPanel]) -> None:
    jobs = [{"id": NAME, "status": "FAILED", "error_message": NAME, "job_type": "parse_v2"}]
    files = [{"id": "dfl-2", "directory_id": "dir-1", "display_name": NAME, "file_id": NAME}]
    serve(_named(_hostile_batches(), directory=NAME, jobs=jobs, files=files))
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    panel.choose("bat-2")
    panel.wait()
    panel._files.table.select("dfl-2")
    panel._export.code_button.value = True
    shown = [*texts(panel), panel._repr_mimebundle_()["text/html"]]
    assert not [html for html in shown if "<img" in html.lower()]
    assert sum("&lt;img src=x" in html for html in shown) >= 4
    assert panel.filters.directory.options == (NAME,)  # its text, for the browser to escape


# The saved copy and accessibility


def test_saved_copy_has_the_batches(on_history: lb.Client, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel(limit=5))
    panel.fetch().wait()
    bundle = panel._repr_mimebundle_()
    assert set(bundle) == {
        "application/vnd.jupyter.widget-view+json",
        "text/html",
        "text/plain",
    }
    assert bundle["text/plain"] == "<Batches: 5 batches; .batches is their DataFrame>"
    assert bundle["text/html"].count("<tr") == 6
    assert "5 batches: " in bundle["text/html"]


def test_every_control_has_an_accessible_name(
    on_history: lb.Client, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel(limit=20))
    panel.fetch().wait()
    controls = (widgets.Button, widgets.ToggleButton, widgets.Text, widgets.Textarea)
    more = (widgets.Dropdown, widgets.Combobox, widgets.DatePicker, widgets.SelectMultiple)
    found = [one for one in _all(panel) if isinstance(one, (*controls, *more))]
    assert len(found) > 20
    assert not [one for one in found if not (one.description or one.tooltip)]


def _all(box: widgets.Widget) -> list[widgets.Widget]:
    return [box, *(one for child in getattr(box, "children", ()) for one in _all(child))]
