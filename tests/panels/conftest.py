"""Fixtures: a sandbox whose history is fixed, and panels closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

import ipywidgets as widgets
import pytest
from ipywidgets.widgets.widget import _instances

import llama_batches_nb as lb
from llama_batches_nb.panels.base import Panel
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.sandbox_options import SETTLED
from tests.threads import threads_left

P = TypeVar("P", bound=Panel)
Keep = Callable[[P], P]

END = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def history() -> Iterator[Server]:
    """A sandbox whose clock stands still, so that its batches never change."""
    options = Options(batches=60, files=(1, 60), speed=0, now=END, **SETTLED)
    with Server.start(options, thread=True) as server:
        yield server


@pytest.fixture
def on_history(history: Server) -> Iterator[lb.Client]:
    """A client of the fixed history, set as the default."""
    with lb.connect(history.api_key, base_url=history.url) as client:
        yield client


@pytest.fixture
def keep() -> Iterator[Callable[[Panel], Panel]]:
    """Close panels after the test, and check that no widget and no thread remains."""
    with closing_panels() as keep:
        yield keep


@contextmanager
def closing_panels() -> Iterator[Callable[[Panel], Panel]]:
    """Close the panels given, and check that no widget and no thread remains."""
    before = set(_instances)
    panels: list[Panel] = []

    def keep(panel: Panel) -> Panel:
        panels.append(panel)
        return panel

    yield keep
    for panel in panels:
        panel.close()
    assert not threads_left()
    assert not [type(one).__name__ for name, one in _instances.items() if name not in before]


def texts(panel: widgets.Widget) -> list[str]:
    """Return the HTML of every HTML widget in a panel."""
    inside = [html for child in getattr(panel, "children", ()) for html in texts(child)]
    return [*([panel.value] if isinstance(panel, widgets.HTML) else []), *inside]


def alert_of(panel: Panel) -> str:
    """Return the HTML of the panel's alert, or an empty text."""
    [alert] = [html for html in texts(panel) if 'role="alert"' in html] or [""]
    return alert
