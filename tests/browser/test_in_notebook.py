"""Notebook use: a panel shown in several places, saving, the interrupt button."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser import looking
from tests.browser.lab import CELLS, Lab
from tests.servers import Request, batch
from tests.servers import page as page_of
from tests.test_interrupts import SOON, Slow

SHOWN = """\
import ipywidgets as widgets
import llama_batches_nb as lb
from IPython.display import display

panel = lb.filter_panel(limit=20)
panel"""
PLACES = (
    "panel",
    "widgets.Tab([panel], titles=['Batches'])",
    "output = widgets.Output()\nwith output:\n    display(panel)\noutput",
    "%%capture captured\ndisplay(panel)",
    "panel.fetch().wait()",
    "captured.show()",
    "lb.fetch_batches(limit=50, progress=True)[[]]",
)
BUSY = 60.0  # seconds that a loaded machine takes for imports
OUTDATED = re.compile(r"\b0 batches|Set the filters")


def _texts(outputs: list[dict[str, Any]]) -> list[str]:
    return [
        "".join(text)
        for each in outputs
        for text in each.get("data", {}).values()
        if not isinstance(text, dict)
    ]


def test_saved_notebook_has_one_state_in_every_place(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, SHOWN, *PLACES)
    expect(page.locator(".lb-panel")).to_have_count(5)
    for panel in page.locator(".lb-panel").all():
        expect(panel).to_contain_text("Fetched: 20 batches")
    panel = looking.panel_in(page)
    panel.get_by_label("Limit", exact=True).fill("7")
    panel.get_by_role("button", name="Fetch", exact=True).click()
    for panel in page.locator(".lb-panel").all():
        expect(panel).to_contain_text("Fetched: 7 batches")
    saved = notebook.save()
    copies = [text for text in _texts(notebook.outputs()) if "as last shown" in text]
    assert len(copies) == 3
    assert len(set(copies)) == 1
    assert ">7 batches: " in copies[0].replace("<p>", ">")
    assert not OUTDATED.search(json.dumps(saved["cells"]))


def _two_pages(server: Slow, request: Request) -> Any:
    if not request.path.endswith("/batches"):
        return page_of([])
    if request.param("page_token") is None:
        return page_of([batch("bat-0"), batch("bat-1")], "2", total_size=3)
    return server.hang()


def test_interrupt_button_ends_a_wait_a_fetch_and_a_sync(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    with Slow(_two_pages) as server:
        connect = f"import llama_batches_nb as lb\nlb.connect('llx-1', base_url={server.url!r})\n"
        calls = (
            "lb.fetch_batches()",
            f"lb.sync_dataset({str(tmp_path / 'kept')!r})",
            "panel = lb.filter_panel()\ndisplay(panel.fetch())\npanel.wait()",
        )
        notebook = lab.open(page, connect, *calls, run=False)
        page.locator(CELLS).first.locator(".jp-Editor").click()
        page.keyboard.press("Shift+Enter")
        for n, _ in enumerate(calls, 1):
            cell = page.locator(CELLS).nth(n)
            cell.locator(".jp-Editor").click()
            page.keyboard.press("Shift+Enter")
            assert server.hanging.acquire(timeout=BUSY)
            page.get_by_role("button", name="Interrupt the kernel").click()
            pressed = time.monotonic()
            expect(cell.locator(".jp-OutputArea")).to_contain_text("KeyboardInterrupt")
            assert time.monotonic() - pressed < SOON
            notebook.wait_until_idle()
            while server.hanging.acquire(blocking=False):
                pass  # requests of the same call
        panel = looking.panel_in(page)
        panel.get_by_role("button", name="Stop", exact=True).click()
        expect(panel).to_contain_text("Stopped: ")
