"""Check a part of a page with axe-core, which is injected from disk."""

from __future__ import annotations

from importlib.resources import files

from playwright.sync_api import Locator

RUN = """async part => (await axe.run(part, {resultTypes: ['violations']})).violations.flatMap(
    rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`)
)"""


def check(part: Locator) -> None:
    """Check that no rule of axe-core is violated."""
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    part.page.evaluate(source)
    violations: list[str] = part.evaluate(RUN)
    assert not violations, "\n".join(violations)
