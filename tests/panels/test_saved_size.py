"""What a panel adds to a saved notebook stays small."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ipywidgets.embed import dependency_state

import llama_batches_nb as lb
from tests.panels.conftest import Keep


@pytest.mark.parametrize(
    ("make", "max_bytes"),
    [(lb.filter_panel, 300_000), (lb.create_panel, 300_000), (lb.dashboard, 600_000)],
)
def test_widget_state_and_saved_copy_are_small(
    make: Callable[[], Any], max_bytes: int, on_history: lb.Client, keep: Keep[Any]
) -> None:
    panel = keep(make())
    if hasattr(panel, "fetch"):
        panel.fetch().wait()
        panel.table.select(panel.results.batch_id[0])
    panel.wait()
    n_bytes = len(json.dumps(dependency_state(panel))) + len(panel._saved.html())
    assert 10_000 < n_bytes <= max_bytes
