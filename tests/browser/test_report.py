"""The report in a browser: nothing is loaded, it fits a phone, and axe-core finds no fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

import llama_batches_nb as lb
from tests.browser import axe
from tests.browser.pictures import shoot
from tests.report.test_write_report import outcomes_of_batches


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (420, "dark")])
def test_report_fits_and_is_accessible(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    lb.write_report(outcomes_of_batches(), path, title="Weekly report")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # for axe-core only: the page itself has no script
    )
    with context:
        page = context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        assert requests == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"report-{width}-{scheme}")
        axe.check(page.locator("html"), "report")
