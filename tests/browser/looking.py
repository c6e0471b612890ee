"""Checks for every panel in a page: it fits, and its controls have accessible names."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, ViewportSize, expect

UNNAMED = re.compile(
    r"^\s*- (button|textbox|combobox|listbox|checkbox|radio|spinbutton)(?! \")", re.MULTILINE
)
MAX_TABS = 120
NARROW: ViewportSize = {"width": 420, "height": 900}
TOO_WIDE = """panel => [document.scrollingElement, panel, ...panel.querySelectorAll('.widget-box')]
    .filter(each => !each.closest('.lb-table') && each.scrollWidth > each.clientWidth + 1)
    .map(each => `${each.className}: ${each.scrollWidth} > ${each.clientWidth}`)"""
MOVING = """panel => [panel, ...panel.querySelectorAll('*')].filter(
    each => ['', '::before', '::after'].some(part => {
        const style = getComputedStyle(each, part || null);
        return style.transitionDuration !== '0s' || style.animationName !== 'none';
    })).map(each => each.className)"""
LISTEN = """panel => {
    window.announcements = [];
    new MutationObserver(() => {
        for (const each of panel.querySelectorAll('[role=status]')) window.announcements.push(
            (each.parentElement.querySelector('progress') ? 'bar: ' : '') + each.textContent);
    }).observe(panel, {childList: true, subtree: true, characterData: true});
}"""


def panel_in(page: Page, nth: int = 0) -> Locator:
    """Return a panel of a page, after it has appeared."""
    panel = page.locator(".lb-panel").nth(nth)
    expect(panel).to_be_visible()
    return panel


def check_names(panel: Locator) -> None:
    """Check that each control has an accessible name."""
    snapshot = panel.aria_snapshot()
    assert 'button "Fetch"' in snapshot
    assert not UNNAMED.findall(snapshot), snapshot


def check_width(panel: Locator) -> None:
    """Check that only tables scroll horizontally."""
    assert panel.evaluate(TOO_WIDE) == []


def check_stillness(panel: Locator) -> None:
    """Check that nothing is animated, as a page asks that prefers reduced motion."""
    assert panel.evaluate(MOVING) == []


def tab_to(control: Locator) -> None:
    """Press Tab until a control has the focus."""
    expect(control).to_be_enabled()
    for _ in range(MAX_TABS):
        if control.evaluate("control => control === document.activeElement"):
            return
        control.page.keyboard.press("Tab")
    raise AssertionError(f"{MAX_TABS} presses of Tab do not reach {control}")


def press(control: Locator, key: str = "Enter") -> None:
    """Reach a control by Tab and press a key there."""
    tab_to(control)
    control.page.keyboard.press(key)


def listen(panel: Locator) -> None:
    """Record status messages from now on, for `announcements`."""
    panel.evaluate(LISTEN)


def announcements(panel: Locator) -> list[str]:
    """Return the recorded status messages, marked where a progress bar was shown."""
    found: list[str] = panel.page.evaluate("() => window.announcements")
    return found
