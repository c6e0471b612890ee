"""The create panel in a real browser: one click creates one batch, and names run no script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from llama_batches_nb.sandbox_server.process import Server
from tests.browser import axe, hostile, looking
from tests.browser.lab import Lab, Notebook
from tests.browser.pictures import shoot
from tests.browser.voila import Voila

PANEL = "import llama_batches_nb as lb\npanel = lb.create_panel()\npanel"
COUNT = "print(len(lb.fetch_batches()))"
ONE_HOUR = 3600.0  # seconds in which a batch finishes
DROP = """(zone, files) => {
    const dataTransfer = new DataTransfer();
    for (const [name, text] of files) dataTransfer.items.add(new File([text], name));
    const options = {dataTransfer, bubbles: true, cancelable: true};
    return ['dragover', 'drop'].map(type => !zone.dispatchEvent(new DragEvent(type, options)));
}"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return a file that succeeds and one whose job fails."""
    good, corrupt = tmp_path / "good.txt", tmp_path / "corrupt.pdf"
    good.write_text("fine")
    corrupt.write_text("corrupt")
    return [good, corrupt]


def button(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("button", name=name, exact=True)


def choose(panel: Locator, label: str, value: str) -> None:
    panel.get_by_label(label, exact=True).fill(value)


def upload(panel: Locator, files: list[Path]) -> None:
    with panel.page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(files)


def fits(panel: Locator) -> bool:
    result: bool = panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth")
    return result


def n_batches(notebook: Notebook) -> int:
    return int(notebook.execute(COUNT))


def test_double_click_creates_one_batch_and_shows_its_files(
    lab: Lab, page: Page, sandbox: Server
) -> None:
    notebook = lab.open(page, PANEL)
    panel = page.locator(".lb-panel")
    create = button(panel, "Create batch")
    expect(create).to_be_disabled()
    choose(panel, "Directory", "Delivery notes")
    choose(panel, "Configuration", "Agentic")
    expect(panel).to_contain_text("Creates 1 batch from")
    expect(create).to_be_enabled()
    axe.check(panel, "create panel, ready")
    shoot(panel, "create-panel-chosen")
    before = n_batches(notebook)
    create.dblclick()
    expect(panel).to_contain_text("PENDING")
    expect(panel.get_by_role("progressbar")).to_be_visible()
    expect(button(panel, "Cancel batch")).to_be_enabled()
    expect(create).to_be_disabled()
    axe.check(panel, "create panel, in progress")
    shoot(panel, "create-panel-in-progress")
    sandbox.advance(ONE_HOUR)
    expect(panel).to_contain_text("COMPLETED: ")
    assert n_batches(notebook) == before + 1
    assert notebook.execute("print(panel.batches.status.tolist())") == "['COMPLETED']\n"
    button(panel, "Copy as code").click()
    code = panel.get_by_label("Code", exact=True)
    expect(code).to_have_value(re.compile("wait_for_jobs"))
    notebook.execute(code.input_value())
    notebook.execute("import pandas.testing as test")
    for name in ("batches", "results", "jobs", "files"):
        notebook.execute(f"test.assert_frame_equal({name}, panel.{name})")
    assert n_batches(notebook) == before + 1
    button(panel, "New batch").click()
    expect(create).to_be_enabled()


def test_rerun_what_failed(lab: Lab, page: Page, sandbox: Server, files: list[Path]) -> None:
    notebook = lab.open(page, PANEL, theme="JupyterLab Dark")
    panel = page.locator(".lb-panel")
    upload(panel, files)
    choose(panel, "Configuration", "Agentic")
    expect(panel).to_contain_text("from 2 files (11 B, uploaded first) with Agentic")
    button(panel, "Create batch").click()
    expect(panel).to_contain_text("PENDING")
    sandbox.advance(ONE_HOUR)
    expect(panel).to_contain_text("COMPLETED: 1 succeeded, 1 failed")
    button(panel, "Show failures").click()
    expect(panel.get_by_role("row", name="corrupt.pdf")).to_be_visible()
    expect(panel.get_by_role("row", name="good.txt")).to_have_count(0)
    before = n_batches(notebook)
    button(panel, "Retry failed").click()
    retry = button(panel, "Retry 1 file")
    expect(retry).to_be_visible()
    assert n_batches(notebook) == before
    axe.check(panel, "create panel, failures")
    shoot(panel, "create-panel-failures-dark")
    retry.dblclick()
    expect(panel.locator(".lb-run")).to_have_count(2)
    expect(panel.locator(".lb-run").last).to_contain_text("PENDING")
    sandbox.advance(ONE_HOUR)
    expect(panel.locator(".lb-run").last).to_contain_text("0 succeeded, 1 failed")
    assert n_batches(notebook) == before + 1


def test_files_can_be_dropped_or_selected(voila: Voila, page: Page, files: list[Path]) -> None:
    voila.open(page, PANEL)
    panel = page.locator(".lb-panel")
    choose(panel, "Configuration", "Agentic")
    zone = panel.get_by_text("or drop files here")
    assert zone.evaluate(DROP, [[path.name, path.read_text()] for path in files]) == [True, True]
    expect(panel).to_contain_text("from 2 files (11 B, uploaded first)")
    upload(panel, files[:1])
    expect(panel).to_contain_text("from 1 file (4 B, uploaded first)")
    assert zone.evaluate(DROP, []) == [True, True]
    expect(panel).to_contain_text("from 1 file (4 B, uploaded first)")
    page.set_viewport_size({"width": 420, "height": 800})
    assert fits(panel)


def test_error_is_shown_until_the_next_batch_which_is_cancelled(
    lab: Lab, page: Page, sandbox: Server
) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    lab.open(page, PANEL)
    panel = page.locator(".lb-panel")
    choose(panel, "Directory", "Delivery notes")
    choose(panel, "Configuration", "cfg-UNKNOWN")
    button(panel, "Create batch").click()
    expect(panel.get_by_role("alert")).to_contain_text("cfg-UNKNOWN")
    assert fits(panel)
    shoot(panel, "create-panel-error-narrow")
    choose(panel, "Configuration", "Agentic")
    button(panel, "Create batch").click()
    expect(panel).to_contain_text("PENDING")
    expect(panel.get_by_role("alert")).to_have_count(0)
    button(panel, "Cancel batch").click()
    expect(panel).to_contain_text("cancellation requested")
    sandbox.advance(ONE_HOUR)
    expect(panel).to_contain_text("CANCELLED: ")
    assert fits(panel)


def test_keyboard_alone_creates_and_cancels_a_batch_in_voila(
    voila: Voila, page: Page, sandbox: Server
) -> None:
    voila.open(page, PANEL)
    panel = page.locator(".lb-panel")
    looking.tab_to(panel.get_by_label("Directory", exact=True))
    page.keyboard.type("Delivery notes")
    page.keyboard.press("Tab")
    expect(panel).to_contain_text("files")
    expect(panel.get_by_role("button", name="Upload files")).to_be_focused()
    looking.tab_to(panel.get_by_label("Configuration", exact=True))
    page.keyboard.type("Agentic")
    expect(button(panel, "Create batch")).to_be_enabled()
    looking.press(button(panel, "Create batch"))
    expect(panel).to_contain_text("PENDING")
    looking.press(button(panel, "Cancel batch"))
    expect(panel).to_contain_text("cancellation requested")
    sandbox.advance(ONE_HOUR)
    expect(panel).to_contain_text("CANCELLED: ")


def test_hostile_names_run_no_script(
    lab: Lab, page: Page, hostile_sandbox: Server, tmp_path: Path
) -> None:
    odd = tmp_path / hostile.NAME.replace("/", "")
    odd.write_text("corrupt")
    cell = f"{hostile.connecting(hostile_sandbox)}\npanel = lb.create_panel()\npanel"
    lab.open(page, cell)
    panel = page.locator(".lb-panel")
    choose(panel, "Configuration", hostile.CONFIGURATION)
    choose(panel, "Directory", hostile.NAME)
    expect(panel).to_contain_text("2 files")
    upload(panel, [odd])
    expect(panel).to_contain_text("uploaded first")
    button(panel, "Create batch").click()
    expect(panel).to_contain_text("PENDING")
    hostile_sandbox.advance(ONE_HOUR)
    expect(panel).to_contain_text("0 succeeded, 1 failed")
    button(panel, "Show failures").click()
    expect(panel.get_by_role("row", name="onerror").first).to_be_visible()
    assert "pwned" not in page.title()
    expect(panel.locator("img")).to_have_count(0)
