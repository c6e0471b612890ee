"""The filter panel: by mouse, by keyboard, narrow, dark, and in a saved notebook."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from playwright.sync_api import Dialog, Page, expect

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.browser import axe, hostile, looking
from tests.browser.lab import Lab
from tests.browser.pictures import shoot
from tests.browser.voila import Voila

PANEL = "import llama_batches_nb as lb\npanel = lb.filter_panel()\npanel"
CHECK = """
from pandas.testing import assert_frame_equal
for name in ("batches", "results", "jobs"):
    assert_frame_equal(globals()[name], getattr(panel, name))
print(len(batches))
"""
THREADS = """
import threading, time
def ours():
    names = [t.name for t in threading.enumerate()]
    return [name for name in names if name.startswith("llama_batches_nb")]
until = time.monotonic() + 20
while ours() and time.monotonic() < until:
    time.sleep(0.02)
print(ours())
"""
SHADE = "row => getComputedStyle(row).backgroundColor"


def test_filter_sort_select_and_copy_code(lab: Lab, page: Page, tmp_path: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook = lab.open(page, PANEL)
    panel = looking.panel_in(page)
    expect(page.locator(".lb-saved")).to_be_hidden()  # the twin, while the panel lives
    axe.check(panel, "filter panel, before a fetch")
    shoot(panel, "filter-panel-before")
    looking.listen(panel)
    panel.get_by_role("button", name="Fetch", exact=True).press("Enter")
    expect(panel).to_contain_text(re.compile(r"Fetched: 3\d\d batches"))  # other tests make some
    assert any(
        re.search(r"^bar: .*\d+ of 3\d\d batches", words) for words in looking.announcements(panel)
    )
    looking.check_names(panel)

    # filter
    panel.get_by_label("Status", exact=True).select_option(["COMPLETED", "FAILED"])
    panel.get_by_label("Directory", exact=True).fill("Insurance claims")
    panel.get_by_label("From", exact=True).fill("2020-01-01")
    panel.get_by_label("Limit", exact=True).fill("20")
    panel.get_by_label("Limit", exact=True).press("Tab")
    panel.get_by_role("button", name="Fetch", exact=True).click()
    expect(panel).to_contain_text("Fetched: 20 batches")
    cells = panel.locator(".lb-cells").first.locator("tbody tr")
    expect(cells).to_have_count(12)
    expect(cells.first).to_contain_text("Insurance claims")

    # sort, and turn the page
    panel.get_by_role("button", name="Failed", exact=True).click()
    panel.get_by_role("button", name="Failed ▲", exact=True).click()
    expect(panel.get_by_role("button", name="Failed ▼", exact=True)).to_be_visible()
    first, second = notebook.execute("print(*panel.table.frame.batch_id[:2])").split()
    expect(cells.first.locator("code")).to_have_attribute("title", first)
    panel.get_by_role("button", name="Next", exact=True).click()
    expect(cells).to_have_count(8)
    panel.get_by_role("button", name="Previous", exact=True).click()

    # choose, by mouse and by keyboard
    panel.get_by_role("button", name=first, exact=True).click()
    expect(panel.get_by_role("heading", name="Files of")).to_contain_text(first)
    expect(panel).to_contain_text(re.compile(r"\d+ files?: failed [\d.]+ %"))
    panel.get_by_role("button", name=first, exact=True).press("Tab")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("heading", name="Files of")).to_contain_text(second)
    assert notebook.execute("print(panel.selected.batch_id[0])").strip() == second
    panel.get_by_role("button", name=first, exact=True).click()
    files = panel.locator(".lb-cells").nth(1).locator("tbody tr")
    expect(panel.get_by_role("heading", name="Files of")).to_contain_text(first)
    expect(files.first).to_be_visible()
    panel.get_by_role("button", name="Only failures").click()
    expect(files.first).to_contain_text(re.compile("mapping_error|job_failed"))
    expect(files.filter(has_text="succeeded")).to_have_count(0)
    files.first.click()
    expect(panel.locator(".lb-one")).to_contain_text("Message")
    expect(panel.get_by_role("button", name="Show pages")).to_be_disabled()

    # take away
    panel.get_by_role("button", name="Copy as code").click()
    text = panel.get_by_label("Code", exact=True)
    expect(text).to_have_value(re.compile("import llama_batches_nb"))
    code = text.input_value()
    assert "status=['COMPLETED', 'FAILED']" in code
    assert notebook.execute(code + CHECK) == "20\n"
    panel.get_by_role("button", name="Copy", exact=True).click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == code
    panel.get_by_label("Export to").fill(str(tmp_path / "taken"))
    panel.get_by_role("button", name="Export Parquet").click()
    expect(panel).to_contain_text("batches.parquet (20)")
    assert (tmp_path / "taken" / "results.parquet").exists()
    looking.check_names(panel)
    axe.check(panel, "filter panel, a file and code")
    assert notebook.execute(THREADS) == "[]\n"
    shoot(panel, "filter-panel")


def test_get_the_text_of_yesterdays_batch_by_keyboard(
    voila: Voila, page: Page, sandbox: Server
) -> None:
    today = pd.Timestamp.now("UTC").normalize()
    with lb.connect(sandbox.api_key, base_url=sandbox.url) as client:
        batches = lb.fetch_batches(
            status="COMPLETED", created_at_on_or_before=today, limit=50, client=client
        )
    batch = batches[batches.job_type == "parse_v2"].iloc[0]
    voila.open(page, PANEL)
    panel = looking.panel_in(page)
    for label in ("From", "To"):
        looking.tab_to(panel.get_by_label(label, exact=True))
        page.keyboard.type(f"{batch.created_at:%m%d%Y}")
    looking.press(panel.get_by_role("button", name="Fetch", exact=True))
    expect(panel).to_contain_text(re.compile(r"Fetched: \d+ batch"))
    search = panel.get_by_label("Search", exact=True)
    looking.tab_to(search.first)
    page.keyboard.type(batch.batch_id)
    rows = panel.locator(".lb-cells").first.locator("tbody tr")
    expect(rows).to_have_count(1)
    looking.press(panel.get_by_role("button", name=batch.batch_id, exact=True))
    files = panel.locator(".lb-cells").nth(1).locator("tbody tr")
    expect(files.first).to_be_visible()
    looking.tab_to(search.nth(1))
    page.keyboard.type("succeeded")
    expect(files.first).to_contain_text("succeeded")
    looking.press(panel.locator(".lb-picks").nth(1).get_by_role("button").first)
    looking.press(panel.get_by_role("button", name="Show pages"))
    output = panel.locator(".lb-output")
    expect(output).to_contain_text("Page 1")
    expect(output.locator("pre").first).to_have_text(re.compile(r"\w{3}"))
    axe.check(panel, "filter panel, text of a file")


def test_saved_notebook_shows_results_without_kernel(lab: Lab, page: Page) -> None:
    cell = "import llama_batches_nb as lb\nlb.filter_panel(limit=30).fetch()"
    notebook = lab.open(page, cell, THREADS, theme="JupyterLab Dark")
    expect(looking.panel_in(page)).to_contain_text("Fetched: 30 batches")
    notebook.run_all()  # which closes the first panel
    panel = looking.panel_in(page)
    expect(panel).to_contain_text("Fetched: 30 batches")
    expect(page.locator(".lb-panel")).to_have_count(1)
    rows = panel.locator(".lb-cells").first.locator("tbody tr")
    row, beside = (rows.nth(n) for n in (1, 2))
    assert row.evaluate(SHADE) == beside.evaluate(SHADE)
    row.hover()
    assert row.evaluate(SHADE) != beside.evaluate(SHADE)
    row.click()
    expect(panel.get_by_role("heading", name="Files of")).to_be_visible()
    expect(panel.locator(".lb-picks").first.locator("button").nth(1)).to_have_class(
        re.compile("lb-chosen")
    )
    expect(panel).to_contain_text(
        re.compile(r"\d+ files?: failed|known when the batch has finished|No files")
    )
    axe.check(panel, "filter panel, a batch")
    shoot(panel, "filter-panel-dark")
    expect(page.locator(".lb-saved")).to_be_hidden()
    notebook.save()
    for trusted in (True, False):
        lab.open_again(notebook, kernel=False, trusted=trusted)
        twin = page.locator(".jp-OutputArea-output table").first
        expect(twin).to_be_visible()
        expect(twin.locator("tr")).to_have_count(31)
        expect(page.locator(".lb-panel")).to_have_count(0)
        expect(page.locator(".jp-OutputArea").first).to_contain_text("30 batches: ")
        shoot(page, f"filter-panel-saved-{'trusted' if trusted else 'untrusted'}")


def test_text_can_be_selected_and_ids_copied(voila: Voila, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    voila.open(page, PANEL.replace("filter_panel()", "filter_panel(limit=40).fetch()"))
    panel = looking.panel_in(page)
    expect(panel).to_contain_text("Fetched: 40 batches")
    rows = panel.locator(".lb-cells").first.locator("tbody tr")
    heading = panel.get_by_role("heading", name="Files of")

    name = rows.first.locator("td").nth(3).locator("span").first
    bounds = name.bounding_box()
    assert bounds is not None
    y = bounds["y"] + bounds["height"] / 2
    page.mouse.move(bounds["x"] + 1, y)
    page.mouse.down()
    page.mouse.move(bounds["x"] + bounds["width"], y)
    page.mouse.up()
    selected = page.evaluate("() => String(getSelection())")
    assert selected
    assert selected in name.inner_text()
    whole = rows.first.locator("code").get_attribute("title")
    rows.first.hover()
    rows.first.get_by_role("button", name=f"Copy {whole}").click()
    assert page.evaluate("() => navigator.clipboard.readText()") == whole
    expect(heading).to_be_hidden()  # neither of the two has chosen the row

    panel.get_by_label("Status", exact=True).locator("option", has_text="FAILED").click()
    panel.get_by_label("Status", exact=True).locator("option", has_text="CANCELLED").click()
    assert panel.get_by_label("Status", exact=True).evaluate(
        "select => [...select.selectedOptions].map(option => option.value)"
    ) == ["FAILED", "CANCELLED"]
    panel.get_by_label("Search", exact=True).first.fill(f"{whole}")
    expect(rows).to_have_count(1)
    expect(panel).to_contain_text("1–1 of 1 batch (of 40)")
    panel.get_by_label("Search", exact=True).first.fill("")
    panel.get_by_label("Rows", exact=True).first.select_option("25")
    expect(rows).to_have_count(25)
    panel.get_by_role("button", name="Last", exact=True).first.click()
    expect(rows).to_have_count(15)
    rows.last.locator("td").nth(3).click()
    expect(heading).to_be_visible()


def test_narrow_window_shows_an_error_and_recovers(voila: Voila, page: Page) -> None:
    page.set_viewport_size(looking.NARROW)
    options = Options(batches=30, files=(1, 20), speed=0)
    with Server.start(options, thread=True) as server:
        url, port = server.url, int(server.url.rpartition(":")[2])
        voila.open(
            page,
            f"import llama_batches_nb as lb\n"
            f"client = lb.connect({server.api_key!r}, base_url={url!r}, max_retries=0)\n"
            f"lb.filter_panel(client)",
        )
        panel = looking.panel_in(page)
        expect(panel).to_contain_text("Set the filters, then click Fetch.")
        looking.check_width(panel)
    panel.get_by_role("button", name="Fetch", exact=True).click()
    alert = panel.get_by_role("alert")
    expect(alert).to_contain_text(url.removeprefix("http://"))
    looking.check_width(panel)
    axe.check(panel, "filter panel, error, narrow")
    shoot(page, "filter-panel-error-narrow")
    with Server.start(Options(**{**vars(options), "port": port}), thread=True):
        panel.get_by_role("button", name="Fetch", exact=True).click()
        expect(panel).to_contain_text("Fetched: 30 batches")
        expect(alert).to_have_count(0)
        panel.locator(".lb-picks button").nth(2).click()
        expect(panel.get_by_role("heading", name="Files of")).to_be_visible()
        panel.get_by_role("button", name="Copy as code").click()
        expect(panel.get_by_label("Code", exact=True)).to_be_visible()
        panel.get_by_label("Limit", exact=True).fill("abc")
        panel.get_by_label("Limit", exact=True).press("Tab")
        panel.get_by_role("button", name="Fetch", exact=True).click()
        expect(alert).to_contain_text("Limit 'abc' is not a positive integer")
        looking.check_width(panel)
        shoot(panel, "filter-panel-narrow")


def test_names_and_messages_run_no_script(
    voila: Voila, page: Page, hostile_sandbox: Server
) -> None:
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    voila.open(
        page,
        hostile.connecting(hostile_sandbox),
        "panel = lb.filter_panel()\npanel.fetch()",
        "board = lb.dashboard()\nboard.fetch()",
    )
    title = page.title()
    panel, board = looking.panel_in(page), looking.panel_in(page, 1)
    for one in (panel, board):
        expect(one).to_contain_text("Fetched: 4 batches")
    expect(panel.locator(".lb-cells").first).to_contain_text(hostile.NAME)
    expect(board.get_by_text("Most frequent error patterns")).to_be_visible()
    row = panel.locator(".lb-cells").first.locator("tbody tr", has_text=hostile.NAME)
    bid = row.locator("code").first.get_attribute("title")
    assert bid
    panel.get_by_role("button", name=bid, exact=True).click()
    files = panel.locator(".lb-cells").nth(1)
    expect(files).to_contain_text(hostile.NAME)
    panel.locator(".lb-picks").nth(1).get_by_role("button").first.click()
    expect(panel.locator(".lb-one")).to_contain_text(hostile.NAME)
    board.get_by_label("Split by").select_option("directory")
    expect(board).not_to_contain_text("Updating charts")
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert page.title() == title
    assert dialogs == []
    shoot(page, "filter-panel-hostile")
