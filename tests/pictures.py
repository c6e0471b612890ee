"""Make the pictures of the README and the documentation: `python -m tests.pictures`.

All show the same sample data, in light and dark; their captions are written from it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import (
    Browser,
    FloatRect,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.browser import chromium
from tests.browser.serving import kernel_environment
from tests.browser.voila import Theme, Voila

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs"
PAGES = (ROOT / "README.md", FOLDER / "index.md", FOLDER / "project" / "panels.md")
NAMES = ("failure-rates", "dashboard", "narrow-dashboard", "filter-panel", "create-panel")
THEMES: tuple[Theme, ...] = ("light", "dark")
DATA = Options(
    files=(1, 200), now=datetime(2026, 11, 23, 12, tzinfo=UTC), speed=0, usage_in_lists=True
)
AN_HOUR = 3600.0  # seconds in which a batch finishes
BACKGROUND = {"light": "#ffffff", "dark": "#111111"}  # as in Voila's themes
PORT = 8765  # the panels show it
DARK: Any = dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#ffffff"
)
SCALE = 1.5  # pixels per CSS pixel
SIZE: ViewportSize = {"width": 1140, "height": 1240}
NARROW: ViewportSize = {"width": 420, "height": 1240}
MARGIN = 12  # CSS pixels around a panel
NARROW_MARGIN = 4  # CSS pixels below a table in a narrow page, where the next heading is close
N_COLORS = 160
# The height of a panel up to the last table that the window shows whole.
SHOWN = """panel => {
    const bounds = [panel, ...panel.querySelectorAll('.lb-table')].map(
        part => part.getBoundingClientRect());
    const ends = bounds.map(each => each.bottom).filter(end => end <= innerHeight);
    return Math.max(...ends) - bounds[0].top;
}"""
# How long a fetch took differs from run to run.
HIDE_TIMES = """panel => panel.querySelectorAll('.lb-meter [role=status]').forEach(
    status => { status.textContent = status.textContent.split(' · ')[0]; })"""
MAX_WAIT = 240_000.0  # milliseconds, for a loaded machine


def path_of(name: str, theme: Theme) -> Path:
    """Return where a picture is saved."""
    return FOLDER / f"{name}-{theme}.png"


@contextmanager
def sample_data(port: int = 0) -> Iterator[Server]:
    """Serve the data that the pictures show."""
    with Server.start(replace(DATA, port=port), thread=True) as server:
        yield server


def fetch_files(server: Server) -> pd.DataFrame:
    """Return the outcome of each file of the sample data, with names."""
    with lb.connect(server.api_key, base_url=server.url):
        results = lb.fetch_results(lb.fetch_batches())
        return lb.add_names(lb.outcomes(results, lb.fetch_jobs(results)))


def captions(files: pd.DataFrame) -> dict[str, str]:
    """Return the text for each picture."""
    all_files = lb.failure_rates(files).iloc[0]
    change = lb.rate_changes(files, by="configuration", freq="W").sort_values("z").iloc[-1]
    return {
        "failure-rates": (
            f"Failed files by configuration and week: the rate of “{change.configuration}” rises "
            f"from {100 * change.rate_before:.1f} % to {100 * change.rate_after:.1f} % in the "
            f"week of {change.since.day} {change.since:%B} and is marked ▲"
        ),
        "dashboard": (
            f"The dashboard: {int(all_files.failed):,} of {int(all_files.decided):,} files failed; "
            "below it, what changed and since when, the rate by week with its interval, and the "
            "rates by configuration and by directory"
        ),
        "narrow-dashboard": (
            "The dashboard in a window of 420 pixels: the chart shows the whole time range"
        ),
        "filter-panel": "The filter panel: batches, and the files of one of them, failures first",
        "create-panel": (
            "The create panel: a batch that has ended, how many of its files failed, and which"
        ),
    }


def with_captions(text: str, captions: dict[str, str]) -> str:
    """Return a page whose pictures have these captions."""
    for name, caption in captions.items():
        text = re.sub(rf'(?<=alt=")[^"]*(?=" src="docs/{name}-)', caption, text)
        text = re.sub(rf"(image}} (?:\.\./)?{name}-\w+\.png\n:alt: ).*", rf"\g<1>{caption}", text)
    return text


def make_pictures() -> Iterator[Path]:
    """Make all pictures and write their captions; yield the path of each."""
    executable = chromium.find()
    if executable is None:
        raise SystemExit(chromium.MISSING)
    expect.set_options(timeout=MAX_WAIT)
    with sample_data() as server:
        files = fetch_files(server)
    for path in PAGES:
        path.write_text(with_captions(path.read_text("utf-8"), captions(files)), "utf-8")
    yield from (_draw_chart(files, theme) for theme in THEMES)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable, args=chromium.flags()) as chrome,
    ):
        for theme in THEMES:
            yield from _draw_panels(chrome, theme)


def _draw_panels(browser: Browser, theme: Theme) -> Iterator[Path]:
    with (
        sample_data(PORT) as server,  # for each theme: the create panel adds a batch
        tempfile.TemporaryDirectory() as folder,
        Voila(Path(folder), kernel_environment(server)) as voila,
    ):
        for name, size, show in (
            ("dashboard", SIZE, _dashboard),
            ("narrow-dashboard", NARROW, _dashboard),
            ("filter-panel", SIZE, _filter_panel),
            ("create-panel", SIZE, partial(_create_panel, server)),
        ):
            page = browser.new_page(viewport=size, device_scale_factor=SCALE)
            page.set_default_timeout(MAX_WAIT)
            yield _save(show(voila, page, theme), name, theme)
            page.close()


def _draw_chart(files: pd.DataFrame, theme: Theme) -> Path:
    with mpl.rc_context(DARK if theme == "dark" else {}):
        figure = Figure((9.5, 4.2), layout="constrained", facecolor=BACKGROUND[theme])
        axes = figure.subplots()
        axes.set_facecolor(BACKGROUND[theme])
        lb.plot_failure_rates(files, by="configuration", freq="W", ax=axes)
        content = BytesIO()
        figure.savefig(content, dpi=150)
    return _write(content.getvalue(), path_of("failure-rates", theme))


def _open(voila: Voila, page: Page, code: str, theme: Theme) -> Locator:
    voila.open(page, f"import llama_batches_nb as lb\nlb.connect(check=True)\n{code}", theme=theme)
    panel = page.locator(".lb-panel")
    expect(panel).to_be_visible()
    return panel


def _dashboard(voila: Voila, page: Page, theme: Theme) -> Locator:
    panel = _open(voila, page, "lb.dashboard().fetch()", theme)
    expect(panel).to_contain_text(f"Fetched: {DATA.batches} batches")
    expect(panel.get_by_role("button", name="▲").first).to_be_visible()
    expect(panel).not_to_contain_text("Updating charts")
    expect(panel.locator(".lb-cells", has_text="Layout model").first).to_be_visible()
    return panel


def _filter_panel(voila: Voila, page: Page, theme: Theme) -> Locator:
    panel = _open(voila, page, "lb.filter_panel().fetch()", theme)
    expect(panel).to_contain_text(f"Fetched: {DATA.batches} batches")
    panel.get_by_label("Search", exact=True).first.fill("completed delivery cost")
    rows = panel.locator(".lb-cells").first.locator("tbody tr")
    expect(rows.first).to_contain_text("Delivery notes")
    panel.get_by_role("button", name="Failed", exact=True).click()
    panel.get_by_role("button", name="Failed ▲", exact=True).click()
    expect(panel.get_by_role("button", name="Failed ▼", exact=True)).to_be_visible()
    rows.first.locator("td").nth(3).click()
    expect(panel.get_by_role("row", name="job_failed").first).to_be_visible()
    panel.page.mouse.move(0, 0)
    return panel


def _create_panel(server: Server, voila: Voila, page: Page, theme: Theme) -> Locator:
    panel = _open(voila, page, "lb.create_panel()", theme)
    panel.get_by_label("Directory", exact=True).fill("Delivery notes")
    panel.get_by_label("Configuration", exact=True).fill("Agentic")
    panel.get_by_role("button", name="Create batch", exact=True).click()
    expect(panel).to_contain_text("PENDING")
    server.advance(AN_HOUR)
    expect(panel).to_contain_text("COMPLETED: ")
    panel.get_by_role("button", name="Show failures").click()
    expect(panel.get_by_role("row", name="job_failed").first).to_be_visible()
    page.mouse.move(0, 0)
    return panel


def _save(panel: Locator, name: str, theme: Theme) -> Path:
    """Save what the window shows of a panel, without a table that is cut, and a margin."""
    panel.evaluate(HIDE_TIMES)
    bounds = panel.bounding_box()
    assert bounds is not None
    below = NARROW_MARGIN if panel.page.viewport_size == NARROW else MARGIN
    x, y = max(0, bounds["x"] - MARGIN), max(0, bounds["y"] - MARGIN)
    clip: FloatRect = {
        "x": x,
        "y": y,
        "width": bounds["width"] + 2 * MARGIN,
        "height": MARGIN + panel.evaluate(SHOWN) + below,
    }
    content = panel.page.screenshot(clip=clip, animations="disabled")
    return _write(content, path_of(name, theme))


def _write(content: bytes, path: Path) -> Path:
    """Write a PNG with a palette, which is a third of the size."""
    image = Image.open(BytesIO(content)).convert("RGB")
    palette = image.quantize(
        N_COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    )
    palette.save(path, optimize=True)
    return path


if __name__ == "__main__":
    for path in make_pictures():
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")
