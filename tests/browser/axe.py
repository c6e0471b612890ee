"""Check a part of a page with axe-core, which is injected from disk.

What was checked, and what axe-core found, is kept in `axe.md` beside the screenshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.pictures import FOLDER

HEAD = (
    "| state | theme | rules passed | violated | contrast undecided | lowest computed |\n"
    "| --- | --- | --: | --: | --: | --: |\n"
)
MIN_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
RUN = Path(__file__).with_suffix(".js").read_text()

IS_DARK = "() => document.body.dataset.jpThemeLight === 'false'"
HAS_THEMES = "() => !!window.jupyterapp?.commands.hasCommand('apputils:change-theme')"
SET_THEME = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"


def check(part: Locator, state: str) -> None:
    """Check that no rule of axe-core is violated and that the contrast of each text is known.

    JupyterLab is checked in both themes.
    """
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    part.page.evaluate(source)
    for _ in _themes(part.page):
        found: dict[str, Any] = part.evaluate(RUN)
        _keep(state, found)
        assert not found["violations"], "\n".join(found["violations"])
        assert not found["undecided"], "\n".join(found["undecided"])
        assert [each for each in found["computed"] if each[0] < MIN_CONTRAST] == []


def _themes(page: Page) -> Iterator[None]:
    """Show a page in its theme and, in JupyterLab, in the other one."""
    yield
    if not page.evaluate(HAS_THEMES):
        return
    is_dark = page.evaluate(IS_DARK)
    for dark in (not is_dark, is_dark):
        page.evaluate(SET_THEME, f"JupyterLab {'Dark' if dark else 'Light'}")
        page.wait_for_function(f"dark => ({IS_DARK})() === dark", arg=dark)
        if dark is not is_dark:
            yield


def _keep(state: str, found: dict[str, Any]) -> None:
    path = FOLDER / "axe.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = path.read_text().removeprefix(HEAD).splitlines() if path.exists() else []
    start = f"| {state} | {found['theme']} |"
    lowest = min((contrast for contrast, _ in found["computed"]), default=None)
    row = (
        f"{start} {found['passed']} | {len(found['violations'])} | {len(found['undecided'])} | "
        f"{'' if lowest is None else format(lowest, '.1f')} |"
    )
    kept = [each for each in rows if not each.startswith(start)]
    path.write_text(HEAD + "\n".join(sorted([*kept, row])) + "\n")
