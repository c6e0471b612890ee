"""The panels in Jupyter Notebook, where a page is one notebook."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from llama_batches_nb.sandbox_server.process import Server
from tests.browser import looking
from tests.browser.lab import Classic
from tests.browser.pictures import shoot

PANEL = "import llama_batches_nb as lb\npanel = lb.{}()\npanel"
AN_HOUR = 3600.0  # seconds in which a batch ends


def test_what_was_fetched_is_in_the_saved_notebook(classic: Classic, page: Page) -> None:
    notebook = classic.open(page, PANEL.format("filter_panel"))
    panel = looking.panel_in(page)
    panel.get_by_label("Limit", exact=True).fill("20")
    panel.get_by_role("button", name="Fetch", exact=True).click()
    expect(panel).to_contain_text("Fetched: 20 batches")
    assert notebook.execute("print(len(panel.batches))") == "20\n"
    notebook.save()
    classic.shut_kernels_down()
    page.reload()
    expect(page.locator(".lb-saved")).to_contain_text("20 batches")


def test_a_batch_is_made_and_seen_to_its_end(classic: Classic, page: Page, sandbox: Server) -> None:
    notebook = classic.open(page, PANEL.format("create_panel"))
    panel = looking.panel_in(page)
    panel.get_by_label("Directory", exact=True).fill("Delivery notes")
    panel.get_by_label("Configuration", exact=True).fill("Agentic")
    panel.get_by_role("button", name="Create batch", exact=True).click()
    expect(panel).to_contain_text("PENDING")
    sandbox.advance(AN_HOUR)
    expect(panel).to_contain_text("COMPLETED: ")
    assert notebook.execute("print(*panel.batches.status)") == "COMPLETED\n"


def test_the_dashboard_counts_and_draws(classic: Classic, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 2800})
    notebook = classic.open(
        page, PANEL.format("dashboard") + ".filters.limit.value = '60'\npanel.fetch()\npanel"
    )
    panel = looking.panel_in(page)
    expect(panel).to_contain_text(re.compile(r"Fetched: 60 batches"))
    expect(panel.get_by_role("img", name=re.compile("^Failed files"))).to_be_visible()
    n_files = int(notebook.execute("print(lb.failure_rates(panel.outcomes).decided[0])"))
    expect(panel.locator(".lb-headline")).to_contain_text(f"of {n_files:,} files")
    seen = "panel => panel.offsetHeight <= panel.closest('.jp-Cell-outputArea').clientHeight"
    assert panel.evaluate(seen)  # whole, not in a low box
    shoot(panel, "dashboard-in-notebook")
