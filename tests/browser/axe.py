"""Check a part of a page with axe-core, which is injected from disk.

What was checked, and what axe-core found, is kept in `axe.md` beside the screenshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.pictures import FOLDER

HEAD = (
    "| state | theme | rules passed | violated | contrast undecided |\n"
    "| --- | --- | --: | --: | --: |\n"
)
RUN = """async part => {
    const {passes, violations, incomplete} = await axe.run(part);
    const undecided = incomplete.filter(rule => rule.id.startsWith('color-contrast'));
    const list = rules => rules.flatMap(rule => rule.nodes.map(
        node => `${rule.id}: ${node.html.slice(0, 160)}: ${
            node.failureSummary} ${node.any.map(each => each.message)}`));
    const dark = document.querySelector('[data-jp-theme-light="false"], [theme="dark"]');
    const scheme = matchMedia('(prefers-color-scheme: dark)').matches;
    return {theme: dark || scheme ? 'dark' : 'light', passed: passes.length,
            violations: list(violations), undecided: list(undecided)};
}"""

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
    row = f"{start} {found['passed']} | {len(found['violations'])} | {len(found['undecided'])} |"
    kept = [each for each in rows if not each.startswith(start)]
    path.write_text(HEAD + "\n".join(sorted([*kept, row])) + "\n")
