"""Pictures that say in words what they show."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from llama_batches_nb.panels import figures


def test_chart_has_a_wide_and_a_narrow_version() -> None:
    html = figures.figure_to_html(lambda *, ax: ax.set_title("<Rates>", loc="left"))
    widths = re.findall(r'aria-label="&lt;Rates&gt;" width="(\d+)', html)
    assert [int(width) for width in widths] == [921, 403]


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
