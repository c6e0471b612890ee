"""Credits that are not known can be loaded in the dashboard and in the files of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.panels.browse.credit_loader import FROM_A_DATASET, CreditLoader
from llama_batches_nb.panels.browse.filter_panel import CREDITS_NOTE, FilterPanel
from llama_batches_nb.panels.dashboard.dashboard import Dashboard
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.panels import queries
from tests.panels.conftest import Keep
from tests.servers import Response

UNKNOWN = "Credits are not known for {} of {} jobs."


@pytest.fixture
def api(serve: Serve) -> FakeApi:
    """Three batches of two jobs each; the last job still runs."""
    api = FakeApi()
    for _ in range(3):
        api.add()
    for job in api.jobs.values():
        job["usage"] = {"credits": 3}
    api.jobs["pjb-2-1"]["status"] = "RUNNING"
    serve(api, max_workers=1, max_retries=0)
    return api


@pytest.fixture
def board(api: FakeApi, keep: Keep[Dashboard]) -> Dashboard:
    board = keep(lb.dashboard())
    board.fetch().wait()
    return board


def _offers(loader: CreditLoader) -> bool:
    return loader.layout.visibility is None and loader.button.layout.display is None


def test_dashboard_loads_credits_with_one_request_per_ended_job(
    api: FakeApi, board: Dashboard
) -> None:
    loader = board.costs.loader
    assert _offers(loader)
    assert UNKNOWN.format(6, 6) in loader.html()
    assert UNKNOWN.format(6, 6) in board._saved.html()
    assert loader.button.tooltip == "Sends 5 requests, one per ended job"
    assert "usage=True" not in board.code
    loader.button.click()
    board.wait()
    assert api.requests["GET job"] == 5
    assert "Loaded: credits of 5 of 5 jobs" in loader._status.value
    assert board.costs.table.frame.credits.tolist() == [15]
    assert UNKNOWN.format(1, 6) in board._saved.html()
    assert not loader._alert.value
    assert not _offers(loader)  # the last job runs
    assert CREDITS_NOTE in board.code
    assert board.jobs is not None
    assert board.results is not None
    assert_frame_equal(board.jobs, lb.fetch_jobs(board.results, usage=True))
    queries.check_code(board)
    board.fetch().wait()
    assert not loader._status.value
    assert "usage=True" not in board.code
    assert UNKNOWN.format(6, 6) in loader.html()


def test_dashboard_loads_credits_of_the_files_shown(api: FakeApi, board: Dashboard) -> None:
    board.filter_by("source_directory_id", "dir-1")
    board.wait()
    assert UNKNOWN.format(2, 2) in board.costs.loader.html()
    board.costs.loader.load()
    board.wait()
    assert api.requests["GET job"] == 2
    assert not board.costs.loader.html()
    assert not _offers(board.costs.loader)
    board.clear()
    board.wait()
    assert UNKNOWN.format(4, 6) in board.costs.loader.html()


def test_stop_keeps_the_credits_so_far(api: FakeApi, board: Dashboard) -> None:
    loader = board.costs.loader

    def stop(response: Any) -> Any:
        loader.stop_button.click()
        board.wait(10)  # for the end of the task, which does not wait for this response
        return response

    assert loader.stop_button.layout.display == "none"
    api.faults["GET job"] = [None, stop]
    loader.load()
    board.wait()
    assert "Stopped: credits of 1 of 5 jobs" in loader._status.value
    assert loader.stop_button.layout.display == "none"
    assert board.jobs is not None
    assert board.jobs.credits.notna().sum() == 1
    asked = api.requests["GET job"]
    loader.load()
    board.wait()
    assert api.requests["GET job"] - asked == 4
    assert board.jobs.credits.notna().sum() == 5


def test_error_is_shown_in_place_and_keeps_the_credits_so_far(
    api: FakeApi, board: Dashboard
) -> None:
    loader = board.costs.loader
    api.faults["GET job"] = [None, Response({"detail": "Broken <b>"}, 400)]
    loader.load()
    board.wait()
    assert "Broken &lt;b&gt;" in loader._alert.value
    assert not board._alert.value
    assert "Incomplete: credits of " in loader._status.value
    assert board.jobs is not None
    assert 1 <= board.jobs.credits.notna().sum() < 5
    loader.load()
    assert not loader._alert.value
    board.wait()
    assert board.jobs.credits.notna().sum() == 5


def test_expired_jobs_are_named_in_place(api: FakeApi, board: Dashboard) -> None:
    api.faults["pjb-0-0"] = Response({"detail": "Not found"}, 404)
    board.costs.loader.load()
    board.wait()
    assert "Their credits stay missing" in board.costs.loader._alert.value
    assert not board._alert.value


def test_files_of_a_batch_load_their_credits(api: FakeApi, keep: Keep[FilterPanel]) -> None:
    panel = keep(lb.filter_panel())
    panel.fetch().wait()
    panel.choose("bat-001")
    panel.wait()
    loader = panel._files.credits
    assert _offers(loader)
    assert UNKNOWN.format(2, 2) in panel._saved.html()
    loader.button.click()
    panel.wait()
    assert api.requests["GET job"] == 2
    assert panel.files is not None
    assert panel.files.credits.dropna().tolist() == [3, 3]
    assert not _offers(loader)
    assert UNKNOWN.format(2, 2) not in panel._saved.html()
    assert "fetch_jobs(results, usage=True)" in panel.code
    assert CREDITS_NOTE in panel.code
    assert panel.jobs is not None
    assert panel.jobs.credits.notna().sum() == 2


def test_files_load_their_credits_when_the_panel_has_no_jobs(
    api: FakeApi, keep: Keep[FilterPanel]
) -> None:
    panel = keep(lb.filter_panel())
    panel.include.value = "batches"
    panel.fetch().wait()
    panel.choose("bat-001")
    panel.wait()
    panel._files.credits.load()
    panel.wait()
    assert panel.files is not None
    assert panel.files.credits.dropna().tolist() == [3, 3]
    assert "usage=True" not in panel.code


def test_dataset_says_how_to_load_credits(
    api: FakeApi, keep: Keep[Dashboard], tmp_path: Path
) -> None:
    lb.sync_dataset(tmp_path / "data", jobs=True, progress=False)
    board = keep(lb.dashboard(source=tmp_path / "data"))
    board.wait()
    assert FROM_A_DATASET in board.costs.loader._text.value
    assert not _offers(board.costs.loader)
