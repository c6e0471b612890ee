"""Rates by group lie on one scale, which a few files do not stretch."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances

from llama_batches_nb.panels.dashboard.group_rates import MIN_FILES_FOR_AXIS, GroupRates, axis_max
from llama_batches_nb.panels.widgets.name_lookup import NameIndex


def _rates(*groups: tuple[int, float, float]) -> pd.DataFrame:
    rates = pd.DataFrame(groups, columns=["decided", "failure_rate", "ci_high"])
    return rates.assign(n_effective=rates["decided"], batches=2)


@pytest.mark.parametrize(
    ("groups", "top"),
    [
        ([], 1.0),
        ([(0, float("nan"), float("nan"))], 1.0),
        ([(MIN_FILES_FOR_AXIS, 0.0, 0.0)], 1.0),
        ([(MIN_FILES_FOR_AXIS, 0.1, 0.2), (MIN_FILES_FOR_AXIS - 1, 0.1, 0.9)], 0.2),
        ([(MIN_FILES_FOR_AXIS, 0.1, 0.2), (MIN_FILES_FOR_AXIS - 1, 0.5, 0.9)], 0.2),
        ([(MIN_FILES_FOR_AXIS - 1, 0.5, 0.9)], 0.9),
    ],
)
def test_axis_covers_all_large_groups(groups: list[tuple[int, float, float]], top: float) -> None:
    assert axis_max(_rates(*groups)) == top


@pytest.fixture
def groups() -> Iterator[GroupRates]:
    """Rates by directory, one of which is small and failed."""
    before = set(_instances)
    named = pd.DataFrame({"source_directory_id": ["dir-1"], "name": ["<Invoices>"]})
    names = NameIndex("directory", "dir-", named)
    groups = GroupRates("source_directory_id", "directory", lambda: names, on_select=print)
    rates = _rates((1, 1.0, 1.0), (MIN_FILES_FOR_AXIS, 0.1, 0.2))
    rates = rates.assign(
        source_directory_id=["dir-1", "dir-2"], total=MIN_FILES_FOR_AXIS, failed=[1, 2], ci_low=0.0
    )
    groups.show(rates, None)
    yield groups
    for name in set(_instances) - before:
        if name in _instances:
            _instances[name].close()


def test_rate_beyond_the_axis_is_an_explained_arrow(groups: GroupRates) -> None:
    assert groups.table._cells.value.count("lb-beyond") == 1
    assert "axis from 0 to 20 %, ▸ beyond" in groups.table.title.value


def test_tooltip_is_the_whole_name(groups: GroupRates) -> None:
    hints = [pick.tooltip for pick in groups.table._row_buttons[:2]]
    assert hints == ["<Invoices>", "dir-2"]


def test_saved_copy_leaves_out_the_graphic_column(groups: GroupRates) -> None:
    html = groups.html()
    assert "<h4>By directory</h4>" in html
    assert html.count("<th ") == 3
    assert "&lt;Invoices&gt;" in html
    assert "100.0 % (1 of 1; 0.0–100.0)" in html
