"""Test charts as SVG text: well-formed, small, in the page's colours, with values on hover."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.plotting.svg import PAGE_COLOUR, figure_to_svg
from tests.analysis.test_intervals import clustered_files
from tests.strategies import batch_frames, batches, few

SVG = "{http://www.w3.org/2000/svg}"
MAX_SIZE = 60_000  # bytes
DAY = "2026-08-01T00:00Z"
PERIODS, GROUPS = 26, 4


def weekly_files() -> pd.DataFrame:
    """Return the files of two batches a week of four configurations."""
    rng = np.random.default_rng(17)
    sizes = [(40, int(rng.integers(0, 8))) for _ in range(2 * PERIODS)]
    parts = [
        clustered_files(*sizes, per_week=2).assign(configuration_id=f"configuration {n}")
        for n in range(GROUPS)
    ]
    files = pd.concat(parts, ignore_index=True)
    return files.assign(batch_id=files["batch_id"] + files["configuration_id"])


def some_batches() -> pd.DataFrame:
    statuses = ["COMPLETED", "FAILED", "CANCELLED"] * 100
    frame = batches(*statuses, created_at=pd.Timestamp(DAY))
    seconds = np.random.default_rng(1).lognormal(5, 1, len(frame))
    return frame.assign(updated_at=frame["created_at"] + pd.to_timedelta(seconds, unit="s"))


FILES = weekly_files()
CHARTS: dict[str, Callable[..., Any]] = {
    "rates": partial(lb.plot_failure_rates, FILES, by="configuration_id"),
    "rates over time": partial(lb.plot_failure_rates, FILES, by="configuration_id", freq="W"),
    "outcomes": partial(lb.plot_outcomes, FILES, by="configuration_id"),
    "outcomes over time": partial(lb.plot_outcomes, FILES, by="configuration_id", freq="W"),
    "durations": partial(lb.plot_durations, some_batches()),
}


def titles(svg: str) -> list[str]:
    return [str(title.text) for title in ET.fromstring(svg).iter(f"{SVG}title")]


def written(svg: str) -> list[str]:
    return [str(text.text) for text in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("width", [4.2, 9.6])
@pytest.mark.parametrize("name", CHARTS)
def test_chart_is_small_and_takes_all_neutral_colours_from_the_page(
    name: str, width: float
) -> None:
    svg = figure_to_svg(CHARTS[name], (width, 3.6))
    root = ET.fromstring(svg)
    assert len(svg.encode()) <= MAX_SIZE
    assert root.get("role") == "img"
    assert str(root.get("aria-label")).split(". ")[0] in svg
    assert written(svg)
    assert not re.search("<(script|style|image|metadata|foreignObject)|font-family|on[a-z]+=", svg)
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg)) - {"none", "currentColor"}
    for colour in colours - {PAGE_COLOUR}:
        red, green, blue = mpl.colors.to_rgb(colour) if colour[0] == "#" else (0, 0.5, 1)
        assert max(red, green, blue) - min(red, green, blue) > 0.1, f"{colour} is neutral"


def test_rows_show_value_base_and_interval_on_hover() -> None:
    rates = lb.failure_rates(FILES, by="configuration_id")
    expected = {f"{row['configuration_id']}: {format_rate(row)}" for _, row in rates.iterrows()}
    assert set(titles(figure_to_svg(CHARTS["rates"]))) == expected


def test_period_shows_the_rates_of_all_groups_on_hover() -> None:
    shown = titles(figure_to_svg(CHARTS["rates over time"]))
    assert len(shown) == PERIODS
    rates = lb.failure_rates(FILES, by="configuration_id", freq="W")
    for _, row in rates.iterrows():
        line = f"{row['configuration_id']}: {format_rate(row)}"
        (title,) = [t for t in shown if t.startswith(f"from {row['batch_created_at']:%Y-%m-%d}")]
        assert line in title.split("\n")


def test_bars_show_their_share_on_hover() -> None:
    shown = titles(figure_to_svg(CHARTS["outcomes"]))
    counts = FILES.groupby(["configuration_id", "outcome"], observed=True).size()
    assert len(shown) == len(counts)
    for group, outcome, n in counts.reset_index(name="n").itertuples(index=False):
        assert any(title.startswith(f"{group}: {outcome}: {n:,} of ") for title in shown)


def test_charts_on_one_page_share_no_ids() -> None:
    svgs = [figure_to_svg(CHARTS["outcomes"]) for _ in range(2)]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip(svgs, ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= own


@given(st.text(min_size=1))
@few
def test_any_name_is_text_and_never_markup(name: str) -> None:
    frame = batches("FAILED", "COMPLETED", configuration_id=[name, "other"])
    svg = figure_to_svg(partial(lb.plot_failure_rates, frame, by="configuration_id"))
    svg.encode()
    assert {element.tag for element in ET.fromstring(svg).iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "g", "path", "rect", "title", "text")
    }


@pytest.mark.parametrize(
    "name", ["A $1 and B $2", "<b>&\"'", r"a\b_c^2 100 %", "请求书 2026", "ملفات", "\x00\x1b]x"]
)
def test_name_is_written_as_it_is_without_warnings(name: str) -> None:
    frame = batches(
        "FAILED", "COMPLETED", configuration_id=[name, "other"], created_at=pd.Timestamp(DAY)
    )
    for freq in (None, "W"):
        draw = partial(lb.plot_failure_rates, frame, by="configuration_id", freq=freq)
        svg = figure_to_svg(draw)
        expected = re.sub(r"[\x00\x1b]", "", name)
        assert any(expected in text for text in written(svg))
        assert any(expected in title for title in titles(svg))


def test_global_settings_neither_change_nor_show() -> None:
    expected = figure_to_svg(CHARTS["rates"])
    before = dict(mpl.rcParams)
    with mpl.style.context("dark_background"):
        assert figure_to_svg(CHARTS["rates"]) == expected
    assert dict(mpl.rcParams) == before


@given(batch_frames(), st.sampled_from([None, "W"]))
@few
def test_arbitrary_frames_become_well_formed_svg(frame: pd.DataFrame, freq: str | None) -> None:
    for plot in (lb.plot_failure_rates, lb.plot_outcomes):
        ET.fromstring(figure_to_svg(partial(plot, frame, by="job_type", freq=freq)))
    ET.fromstring(figure_to_svg(partial(lb.plot_durations, frame, by="job_type")))
