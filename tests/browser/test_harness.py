"""The browser tests' own ground: what they rely on, tried on a button and a label."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.process import Server
from tests.browser import hostile
from tests.browser.lab import Lab
from tests.browser.pictures import shoot
from tests.browser.voila import Voila
from tests.browser.watching import Watch

PANEL = """\
import threading
import ipywidgets as widgets

button, label = widgets.Button(description="Greet"), widgets.Label("nobody yet")
mark = widgets.HTML("<b>● ◐ ○ ◔ ✕ ⊘ ✓ ⚠ ▾ … – × ÷ ≥</b>")

def greet(_):
    threading.Thread(target=lambda: setattr(label, "value", "Good morning")).start()

button.on_click(greet)
panel = widgets.VBox([button, label, mark]).add_class("panel")
panel"""


def test_a_notebook_in_jupyterlab(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, PANEL, "import llama_batches_nb as lb", theme="JupyterLab Dark")
    panel = page.locator(".panel")
    panel.get_by_role("button", name="Greet").click()
    expect(panel).to_contain_text("Good morning")
    expect(page.locator(".jp-NotebookPanel")).to_have_css("background-color", "rgb(17, 17, 17)")
    assert notebook.execute("print(label.value)") == "Good morning\n"
    assert notebook.execute("print(len(lb.fetch_batches(limit=7)))") == "7\n"
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        notebook.execute("1 / 0")
    shoot(panel, "harness-panel")


def test_a_saved_notebook_is_opened_again(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, PANEL, "print('to be', 'kept')")
    notebook.save()
    lab.open_again(notebook, kernel=False, trusted=False)
    outputs = page.locator(".jp-OutputArea-output")
    expect(outputs.first).to_contain_text("VBox(children=(Button")  # as text, which needs no trust
    expect(outputs.last).to_have_text("to be kept")


def test_a_notebook_in_voila(voila: Voila, page: Page) -> None:
    voila.open(page, PANEL)
    panel = page.locator(".panel")
    panel.get_by_role("button", name="Greet").click()
    expect(panel).to_contain_text("Good morning")


REACHING = {
    "image": "new Promise(end => Object.assign(new Image(), {src: address, onerror: () => end()}))",
    "fetch": "fetch(address).catch(() => {})",
    "websocket": "new Promise(end => { new WebSocket(address).onclose = () => end(); })",
}


@pytest.mark.parametrize("way", REACHING)
def test_what_reaches_beyond_this_machine_is_stopped_and_kept(
    way: str, page: Page, watch: Watch
) -> None:
    address = f"{'wss' if way == 'websocket' else 'https'}://example.com/it"
    page.evaluate(f"address => {REACHING[way]}", address)
    assert watch.outside.pop() == address
    with pytest.raises(AssertionError, match=address):
        Watch(outside=[address]).check()


def test_an_error_that_no_script_caught_is_kept(page: Page, watch: Watch) -> None:
    with page.context.expect_event("weberror"):
        page.evaluate("() => void setTimeout(() => { throw new Error('lost') })")
    assert "lost" in watch.errors.pop()


def test_the_hostile_sandbox_says_its_name_in_every_layer(hostile_sandbox: Server) -> None:
    with lb.connect(hostile_sandbox.api_key, base_url=hostile_sandbox.url):
        batches = lb.fetch_batches(status="COMPLETED", limit=1)
        results = lb.fetch_results(batches)
        outcomes = lb.outcomes(results, lb.fetch_jobs(results))
        assert hostile.NAME in set(lb.fetch_directories()["name"])
    messages = outcomes["error_message"].fillna(outcomes["job_error_message"])
    assert messages.str.contains(hostile.NAME, regex=False).tolist() == [True, True]
