"""Rates by group lie on one scale, which a few files do not stretch."""

from __future__ import annotations

import pandas as pd
import pytest

from llama_batches_nb.panels.groups import FEW, scale_of


def _rates(*groups: tuple[int, float, float]) -> pd.DataFrame:
    return pd.DataFrame(groups, columns=["decided", "failure_rate", "ci_high"])


@pytest.mark.parametrize(
    ("groups", "top"),
    [
        ([], 1.0),
        ([(0, float("nan"), float("nan"))], 1.0),
        ([(FEW, 0.0, 0.0)], 1.0),
        ([(FEW, 0.1, 0.2), (FEW - 1, 0.1, 0.9)], 0.2),
        ([(FEW, 0.1, 0.2), (FEW - 1, 0.5, 0.9)], 0.5),
        ([(FEW - 1, 0.5, 0.9)], 0.9),
    ],
)
def test_the_scale_ends_where_all_rates_lie_on_it(
    groups: list[tuple[int, float, float]], top: float
) -> None:
    assert scale_of(_rates(*groups)) == top
