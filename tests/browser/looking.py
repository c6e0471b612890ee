"""What can be asked of any panel in a page: that it fits, and that its controls have names."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, ViewportSize, expect

UNNAMED = re.compile(
    r"^\s*- (button|textbox|combobox|listbox|checkbox|radio|spinbutton)(?! \")", re.MULTILINE
)
NARROW: ViewportSize = {"width": 420, "height": 900}
TOO_WIDE = """panel => [document.scrollingElement, panel, ...panel.querySelectorAll('.widget-box')]
    .filter(each => !each.closest('.lb-table') && each.scrollWidth > each.clientWidth + 1)
    .map(each => `${each.className}: ${each.scrollWidth} > ${each.clientWidth}`)"""
LISTEN = """panel => {
    window.said = [];
    new MutationObserver(() => {
        for (const each of panel.querySelectorAll('[role=status]')) window.said.push(
            (each.parentElement.querySelector('progress') ? 'bar: ' : '') + each.textContent);
    }).observe(panel, {childList: true, subtree: true, characterData: true});
}"""


def panel_in(page: Page, nth: int = 0) -> Locator:
    """Return the panel of a page, once it is there."""
    panel = page.locator(".lb-panel").nth(nth)
    expect(panel).to_be_visible()
    return panel


def check_names(panel: Locator) -> None:
    """Check that a screen reader has a name for each control."""
    snapshot = panel.aria_snapshot()
    assert 'button "Fetch"' in snapshot
    assert not UNNAMED.findall(snapshot), snapshot


def check_width(panel: Locator) -> None:
    """Check that nothing but a table has to be scrolled sideways."""
    assert panel.evaluate(TOO_WIDE) == []


def listen(panel: Locator) -> None:
    """Keep what is said in the panel from now on, for `said`."""
    panel.evaluate(LISTEN)


def said(panel: Locator) -> list[str]:
    """Return what was said, marked where a bar stood beside it."""
    found: list[str] = panel.page.evaluate("() => window.said")
    return found
