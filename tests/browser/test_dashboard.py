"""The dashboard in a notebook and as a web page."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser import looking
from tests.browser.lab import Lab
from tests.browser.pictures import shoot
from tests.browser.voila import Voila

BOARD = "import llama_batches_nb as lb\nboard = lb.dashboard()\n"
CHECK = """
from pandas.testing import assert_frame_equal
assert_frame_equal(files, board.outcomes)
print(len(files))
"""


def _tile(board: Locator, what: str) -> Locator:
    label = board.page.get_by_text(what, exact=True)
    return board.locator(".lb-tile").filter(has=label).locator("b")


def _drawn(page: Page) -> Locator:
    """Return the dashboard, once all that it fetched is drawn."""
    board = looking.panel_in(page)
    expect(board).to_contain_text(re.compile(r"Fetched: \d+ batches"))
    expect(_tile(board, "credits")).to_have_text("–")  # lists of jobs have none
    expect(board).to_contain_text(re.compile(r"not known for ([\d,]+) of \1 jobs"))
    expect(board).not_to_contain_text("Updating charts")
    return board


def test_click_filters_the_dashboard_in_jupyterlab(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 2800})
    notebook = lab.open(
        page, f"{BOARD}board.filters.limit.value = '60'\nboard.fetch()", theme="JupyterLab Dark"
    )
    board = _drawn(page)
    looking.check_names(board)
    expect(board.get_by_role("img", name=re.compile("^Failure rate|[Ff]ailed"))).not_to_have_count(
        0
    )
    shoot(board, "dashboard-dark")
    files = _tile(board, "files")
    everything = files.inner_text()

    configuration = board.get_by_role("button", name="cfg-PARSE_AGENTIC", exact=True)
    configuration.click()
    expect(board).to_contain_text("Only configuration Agentic")
    expect(files).not_to_have_text(everything)
    assert _shown(notebook.execute("print(len(board.outcomes))")) == files.inner_text()
    pattern = board.locator(".lb-table", has_text="Pattern").locator(".lb-picks button").first
    pattern.press("Enter")
    expect(board).to_contain_text("Only configuration Agentic and error pattern")
    expect(_tile(board, "succeeded")).to_have_text("0")

    board.get_by_role("button", name="Copy as code").click()
    text = board.get_by_label("Code", exact=True)
    expect(text).to_have_value(re.compile("pattern_ids"))
    assert _shown(notebook.execute(text.input_value() + CHECK)) == files.inner_text()

    board.get_by_role("button", name="Show all").click()
    expect(files).to_have_text(everything)
    expect(board.get_by_role("button", name="Show all")).to_be_hidden()
    expect(text).not_to_have_value(re.compile("pattern_ids"))
    notebook.save()
    lab.open_again(notebook, kernel=False)
    twin = page.locator(".jp-OutputArea-output")
    expect(twin.filter(has_text="By configuration").first).to_be_visible()
    expect(twin.get_by_role("img", name=re.compile("ail")).first).to_be_visible()
    expect(twin.filter(has_text="By configuration").first).to_contain_text(everything)
    shoot(page, "dashboard-saved")


def _shown(printed: str) -> str:
    return f"{int(printed):,}"


def test_dashboard_in_voila_splits_and_exports(voila: Voila, page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 2800})
    voila.open(page, f"{BOARD}board.fetch()")
    board = _drawn(page)
    shoot(board, "dashboard")
    chart = board.get_by_role("img", name=re.compile("ail")).first
    board.get_by_label("Split by", exact=True).select_option("configuration")
    expect(chart).to_have_accessible_name(re.compile("by configuration"))
    shoot(board, "dashboard-split")
    board.get_by_label("Export to").fill(str(tmp_path / "taken"))
    board.get_by_role("button", name="Export Parquet").click()
    expect(board).to_contain_text("batches.parquet (3")
    assert (tmp_path / "taken" / "jobs.parquet").exists()
    page.set_viewport_size(looking.NARROW)
    looking.check_width(board)
    board.locator(".lb-table").nth(1).locator(".lb-picks button").first.click()
    expect(board.get_by_role("button", name="Show all")).to_be_visible()
    looking.check_width(board)
    page.set_viewport_size({"width": 420, "height": 3200})
    shoot(page, "dashboard-narrow")
