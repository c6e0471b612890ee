"""Open create panels and parts of them, and read what they show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import ipywidgets as widgets
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.client import get_client
from llama_batches_nb.lifecycle import lost_response, polling
from llama_batches_nb.panels.create.create_panel import CreatePanel
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as Sandbox
from tests.conftest import Serve
from tests.fake_api import FakeApi, Fault
from tests.panels.conftest import Keep, texts
from tests.servers import page

HOSTILE_NAME = """<img src=x onerror="document.title='pwned'">"""
AGENTIC = "cfg-PARSE_AGENTIC"
EXTRACT_CONFIGURATION = "cfg-11111111-2222-4333-8444-555555555555"
TIMEOUT = 20.0  # seconds until an expected change has failed to happen
ONE_HOUR = 3600.0  # seconds in which a batch finishes, and no directory expires


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))
    monkeypatch.setattr(polling, "MIN_INTERVAL", 0.01)


def fake_api(n_files: Mapping[str, int] | None = None, **options: Any) -> FakeApi:
    """Return a project with two configurations and, by default, two files in dir-1."""
    configurations = [
        {"id": AGENTIC, "name": "Agentic", "product_type": "parse_v2"},
        {"id": EXTRACT_CONFIGURATION, "name": "Key facts", "product_type": "extract_v2"},
    ]
    n_files = {"dir-1": 2} if n_files is None else n_files
    return FakeApi(n_files, configurations=configurations, **options)


def jobs_with(**fields: Any) -> Fault:
    """Return a fault that gives all jobs these fields."""
    return lambda response: page([job | fields for job in response["items"]])


OpenPanel = Callable[..., CreatePanel]


@pytest.fixture
def open_panel(serve: Serve, keep: Keep[CreatePanel]) -> OpenPanel:
    """Return a function that opens a panel on a project and waits until it has counted."""

    def open_panel(script: Any, directory: str | None = "dir-1", **options: Any) -> CreatePanel:
        serve(script)
        options = {"configuration_id": AGENTIC, **options}
        panel = keep(lb.create_panel(source_directory_id=directory, **options))
        panel.wait()
        return panel

    return open_panel


@pytest.fixture
def paused_sandbox(keep: Keep[CreatePanel]) -> Iterator[Sandbox]:
    """Connect to a new sandbox whose clock is stopped; panels close before it does."""
    with (
        Sandbox.start(Options(batches=3, files=(20, 40), speed=0), thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        yield server


class Part:
    """What a part of a panel needs when it is tested without the panel."""

    def __init__(self, client: lb.Client) -> None:
        self.client = client
        self.errors: list[Exception | None] = []
        self.changes: list[None] = []
        self.runner = TaskRunner(on_error=self.on_error, on_warning=self.on_warning)

    def on_error(self, error: Exception | None) -> None:
        self.errors.append(error)

    def on_warning(self, text: str) -> None:
        raise AssertionError(text)

    def on_change(self) -> None:
        self.changes.append(None)


@pytest.fixture
def part(serve: Serve) -> Iterator[Callable[[Any], Part]]:
    """Return a function that serves a script and returns what a part of a panel needs."""
    parts: list[Part] = []

    def part(script: Any) -> Part:
        serve(script)
        parts.append(Part(get_client()))
        return parts[-1]

    yield part
    for each in parts:
        each.runner.close()
        each.runner.wait(TIMEOUT)


ServePart = Callable[[Any], Part]


def html_of(panel: widgets.Widget) -> str:
    """Return all HTML that a widget shows."""
    return " ".join(texts(panel))


def summary_of(panel: CreatePanel) -> str:
    """Return the sentence about what the next click creates."""
    return next(text for text in texts(panel) if text.startswith('<span role="status">'))


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)


def visible_buttons(widget: widgets.Widget) -> dict[str, widgets.Button]:
    """Return the visible buttons by their labels."""
    if widget.layout.display == "none":
        return {}
    buttons = {}
    if isinstance(widget, widgets.Button):  # a row's button is named in its tooltip
        buttons[widget.description or widget.tooltip] = widget
    for child in getattr(widget, "children", ()):
        buttons |= visible_buttons(child)
    return buttons


def click(panel: CreatePanel, label: str) -> None:
    """Click a visible button and wait for what it starts."""
    visible_buttons(panel)[label].click()
    panel.wait()


def upload_value(*names: str, content: bytes = b"fine") -> tuple[dict[str, Any], ...]:
    """Return files as the value of an upload widget."""
    return tuple(
        {
            "name": name,
            "type": "",
            "size": len(content),
            "last_modified": datetime(2026, 8, 1, tzinfo=UTC),
            "content": memoryview(content),
        }
        for name in names
    )
