"""The dashboard in a notebook and as a web page."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.browser import axe, looking
from tests.browser.lab import Lab
from tests.browser.pictures import shoot
from tests.browser.voila import Voila

BOARD = "import llama_batches_nb as lb\nboard = lb.dashboard()\n"
CHECK = """
from pandas.testing import assert_frame_equal
assert_frame_equal(files, board.outcomes)
print(len(files))
"""


def _files(board: Locator) -> int:
    """Return the number of decided files in the headline."""
    text = board.locator(".lb-headline").inner_text()
    [n] = re.findall(r"of ([\d,]+) files", text)
    return int(n.replace(",", ""))


def _drawn(page: Page) -> Locator:
    """Return the dashboard, once all that it fetched is drawn."""
    board = looking.panel_in(page)
    expect(board).to_contain_text(re.compile(r"Fetched: \d+ batches"))
    expect(board).not_to_contain_text("Updating charts")
    expect(board.locator(".lb-cells", has_text="not known")).to_contain_text("0 of")
    return board


def test_click_filters_the_dashboard_in_jupyterlab(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    notebook = lab.open(
        page, f"{BOARD}board.filters.limit.value = '60'\nboard.fetch()", theme="JupyterLab Dark"
    )
    board = _drawn(page)
    looking.check_names(board)
    expect(board.get_by_role("img", name=re.compile("^Failure rate|[Ff]ailed"))).not_to_have_count(
        0
    )
    axe.check(board, "dashboard")
    shoot(board, "dashboard-dark")
    headline, chips = board.locator(".lb-headline"), board.locator(".lb-chip")
    expect(headline).to_contain_text(re.compile(r"^Failed [\d.]+ %.*files still fail|file still"))
    everything = headline.inner_text()
    chart = _bounds(board.locator(".lb-chart"))
    assert chart["y"] < 400
    assert chart["y"] + chart["height"] < 900  # the whole chart is on the first screen

    board.get_by_role("button", name="Agentic", exact=True).first.click()
    expect(chips).to_have_text("Configuration: Agentic ✕")
    expect(headline).not_to_have_text(everything)
    decided = "print(int(lb.failure_rates(board.outcomes).decided[0]))"
    assert int(notebook.execute(decided)) == _files(board)
    pattern = board.locator(".lb-table", has_text="Layer").locator("tbody tr").first
    pattern.click()
    expect(chips).to_have_count(2)
    expect(headline).to_contain_text("Failed 100.0 %")

    board.get_by_role("button", name="Copy as code").click()
    text = board.get_by_label("Code", exact=True)
    expect(text).to_have_value(re.compile("pattern_ids"))
    axe.check(board, "dashboard, filtered, with code")
    n_files = int(notebook.execute("print(len(board.outcomes))"))
    assert int(notebook.execute(text.input_value() + CHECK)) == n_files

    chips.nth(1).click()
    expect(chips).to_have_count(1)
    board.get_by_role("button", name="Show all").click()
    expect(headline).to_have_text(everything)
    expect(board.get_by_role("button", name="Show all")).to_have_count(0)
    expect(text).not_to_have_value(re.compile("pattern_ids"))
    notebook.save()
    lab.open_again(notebook, kernel=False)
    twin = page.locator(".jp-OutputArea-output")
    expect(twin.filter(has_text="By configuration").first).to_be_visible()
    expect(twin.get_by_role("img", name=re.compile("ail")).first).to_be_visible()
    expect(twin.filter(has_text="By configuration").first).to_contain_text(everything)
    shoot(page, "dashboard-saved")


def _bounds(what: Locator) -> FloatRect:
    bounds = what.bounding_box()
    assert bounds is not None
    return bounds


def test_nothing_moves_while_the_dashboard_loads(voila: Voila, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    voila.open(page, f"{BOARD}board")
    board = looking.panel_in(page)
    expect(board).to_contain_text("Set the filters, then click Fetch.")
    tables = [table for table in board.locator(".lb-table").all() if table.is_visible()]
    assert len(tables) == 7
    controls = [_bounds(control) for control in board.locator(".lb-filters > *").all()]
    assert len({round(each["y"] + each["height"]) for each in controls}) == 1  # one row
    page.emulate_media(reduced_motion="reduce")
    looking.check_stillness(board)
    parts = [board.locator(".lb-chart"), *tables]
    before = [_bounds(part)["y"] for part in parts]
    board.get_by_role("button", name="Fetch", exact=True).click()
    _drawn(page)
    after = [_bounds(part)["y"] for part in parts]
    assert [abs(one - other) <= 40 for one, other in zip(before, after, strict=True)] == [
        True
    ] * len(parts), (before, after)


def test_what_got_worse_and_why_by_keyboard(voila: Voila, page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 2800})
    voila.open(page, f"{BOARD}board.fetch()")
    board = _drawn(page)
    axe.check(board, "dashboard, served")
    shoot(board, "dashboard")
    headline, chips = board.locator(".lb-headline"), board.locator(".lb-chip")
    expect(headline).to_contain_text(re.compile(r"▲ from [\d.]+ % since"))
    looking.press(board.get_by_role("button", name="▲ Cost effective").first)
    expect(chips).to_have_text("Configuration: Cost effective ✕")
    patterns = board.locator(".lb-table", has_text="Layer")
    expect(patterns.locator("tbody tr").first).to_contain_text("Layout model")
    looking.press(patterns.locator(".lb-picks button").first)
    expect(chips).to_have_count(2)
    expect(headline).to_contain_text("Failed 100.0 %")
    looking.press(board.get_by_role("button", name="Show all"))
    expect(chips).to_have_count(0)
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
    board.locator(".lb-table").nth(1).locator("tbody tr").first.click()
    expect(board.get_by_role("button", name="Show all")).to_be_visible()
    looking.check_width(board)
    page.set_viewport_size({"width": 420, "height": 3200})
    shoot(page, "dashboard-narrow")
