"""Pictures that say in words what they show."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pandas as pd
import pytest

from llama_batches_nb.panels import figures


def _draw(title: str) -> Any:
    def draw(*, ax: Any) -> Any:
        ax.set_title(title, loc="left")
        return ax

    return draw


def test_chart_is_a_png_with_its_title_as_alt_text() -> None:
    html = figures.figure_to_html(_draw('Failed <i>"files"</i>\nper  week'))
    assert 'alt="Failed &lt;i&gt;&quot;files&quot;&lt;/i&gt; per week"' in html
    data = html.split("base64,")[1].split('"')[0]
    assert b64decode(data).startswith(b"\x89PNG")


def test_drawing_leaves_no_figure_open() -> None:
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    figures.figure_to_html(_draw("x"))
    assert plt.get_fignums() == before


def _rate(decided: int, **rates: float) -> pd.Series[Any]:
    return pd.Series({"decided": decided, **rates})


def test_interval_is_drawn_to_scale() -> None:
    html = figures.interval(_rate(9, ci_low=0.1, failure_rate=0.2, ci_high=0.3), 0.4)
    assert "left:25.0%;width:50.0%" in html
    assert '<b style="left:50.0%">' in html


def test_interval_beyond_the_axis_is_cut() -> None:
    html = figures.interval(_rate(1, ci_low=0.2, failure_rate=1.0, ci_high=1.0), 0.4)
    assert "left:50.0%;width:50.0%" in html
    assert '<b class="lb-beyond" style="left:100.0%">' in html


def test_interval_of_undecided_group_is_empty() -> None:
    nan = float("nan")
    assert not figures.interval(_rate(0, ci_low=nan, failure_rate=nan, ci_high=nan), 1.0)


@pytest.mark.parametrize("counts", [[3], [0, 2, 4], [0, 0]])
def test_trend_label_gives_the_counts(counts: list[int]) -> None:
    html = figures.trend(counts)
    assert html.count("<rect") == len(counts)
    label = f"{sum(counts)} failures over time, at most {max(counts)} per bar"
    assert f'role="img" aria-label="{label}"' in html
