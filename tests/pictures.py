"""Make the chart of the README and the documentation: `python -m tests.pictures`.

It shows fixed sample data, in light and dark; its caption is written from that data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs"
PAGES = (ROOT / "README.md", FOLDER / "index.md")
NAMES = ("failure-rates",)
THEMES = ("light", "dark")
DATA = Options(now=datetime(2026, 11, 23, 12, tzinfo=UTC), speed=0, usage_in_lists=True)
BACKGROUND = {"light": "#ffffff", "dark": "#111111"}
DARK: Any = dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#ffffff"
)
N_COLORS = 80


def path_of(name: str, theme: str) -> Path:
    """Return where a picture is saved."""
    return FOLDER / f"{name}-{theme}.png"


@contextmanager
def sample_data() -> Iterator[Server]:
    """Serve the data that the pictures show."""
    with Server.start(DATA, thread=True) as server:
        yield server


def fetch_files(server: Server) -> pd.DataFrame:
    """Return the outcome of each file of the sample data, with names."""
    with lb.connect(server.api_key, base_url=server.url):
        results = lb.fetch_results(lb.fetch_batches())
        return lb.add_names(lb.outcomes(results, lb.fetch_jobs(results)))


def captions(files: pd.DataFrame) -> dict[str, str]:
    """Return the text for each picture."""
    change = lb.rate_changes(files, by="configuration", freq="W").sort_values("z").iloc[-1]
    return {
        "failure-rates": (
            f"Failed files by configuration and week: the rate of “{change.configuration}” rises "
            f"from {100 * change.rate_before:.1f} % to {100 * change.rate_after:.1f} % in the "
            f"week of {change.since.day} {change.since:%B} and is marked ▲"
        ),
    }


def with_captions(text: str, captions: dict[str, str]) -> str:
    """Return a page whose pictures have these captions."""
    for name, caption in captions.items():
        text = re.sub(rf'(?<=alt=")[^"]*(?=" src="docs/{name}-)', caption, text)
        text = re.sub(rf"(image}} {name}-\w+\.png\n:alt: ).*", rf"\g<1>{caption}", text)
    return text


def make_pictures() -> Iterator[Path]:
    """Make all pictures and write their captions; yield the path of each."""
    with sample_data() as server:
        files = fetch_files(server)
    for page in PAGES:
        page.write_text(with_captions(page.read_text("utf-8"), captions(files)), "utf-8")
    for theme in THEMES:
        yield _draw_chart(files, theme)


def _draw_chart(files: pd.DataFrame, theme: str) -> Path:
    with mpl.rc_context(DARK if theme == "dark" else {}):
        figure = Figure((9.5, 4.2), layout="constrained", facecolor=BACKGROUND[theme])
        axes = figure.subplots()
        axes.set_facecolor(BACKGROUND[theme])
        lb.plot_failure_rates(files, by="configuration", freq="W", ax=axes)
        content = BytesIO()
        figure.savefig(content, dpi=150)
    return _write(content, path_of("failure-rates", theme))


def _write(content: BytesIO, path: Path) -> Path:
    """Write a PNG with a palette, which is a third of the size."""
    image = Image.open(content).convert("RGB")
    image.quantize(N_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


if __name__ == "__main__":
    for path in make_pictures():
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")
