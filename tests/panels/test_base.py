"""What all panels do: show errors and warnings, close, and leave a saved copy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import ipywidgets as widgets
import pytest
from ipywidgets.widgets.widget import _instances

import llama_batches_nb as lb
from llama_batches_nb import messages
from llama_batches_nb.http import workers
from llama_batches_nb.panels import base as panels
from llama_batches_nb.panels import saved_html
from llama_batches_nb.panels.base import Panel
from tests.panels.conftest import Keep, alert_of
from tests.threads import threads_left

KEY = "llx-very-secret"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def client() -> Iterator[lb.Client]:
    """A client without a server: these panels send no request."""
    with lb.connect(KEY, base_url="http://127.0.0.1:9", project_id=HOSTILE) as client:
        yield client


@pytest.fixture
def panel(client: lb.Client, keep: Keep[Panel]) -> Panel:
    panel = keep(Panel(client))
    panel.set_content(panel._alert)
    return panel


def test_task_error_is_shown_and_later_tasks_run(panel: Panel) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    panel.runner.start("work", broken)
    panel.wait()
    assert "ZeroDivisionError: division by zero" in alert_of(panel)
    done: list[int] = []
    panel.runner.start("work", lambda: done.append(1))
    panel.wait()
    assert done == [1]
    panel.show_message("")
    assert not alert_of(panel)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lb.ServerError(HOSTILE), "&lt;img src=x onerror=alert(1)&gt;"),
        (ValueError("limit must be"), ">limit must be<"),
        (OSError(28, "No space left"), "No space left"),
        (KeyError("x"), "KeyError: &#x27;x&#x27;"),
        (lb.AuthenticationError("refused"), "refused\nSet the key with lb.connect() in a cell"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_text_is_escaped_and_says_what_to_do(
    panel: Panel, error: Exception, words: str
) -> None:
    panel.show_error(error)
    assert words in alert_of(panel)
    assert "<img" not in alert_of(panel)


def test_warnings_are_shown_once_each(panel: Panel) -> None:
    def work() -> None:
        for words in ("one thing", "another", "one thing"):
            messages.warn(words)

    panel.runner.start("work", work)
    panel.wait()
    assert ">one thing\nanother<" in alert_of(panel)


def test_close_leaves_no_widget_and_no_thread(client: lb.Client) -> None:
    before = set(_instances)
    panel = Panel(client)
    box = widgets.VBox([widgets.Button(), widgets.HBox([widgets.Text(), widgets.HTML()])])
    panel.set_content(panel._alert, box)
    panel.runner.start("work", lambda: workers.sleep(60))
    panel.close()
    panel.close()
    assert not threads_left()
    assert set(_instances) == before


def test_new_view_receives_the_whole_state(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[widgets.Widget] = []
    monkeypatch.setattr(widgets.Widget, "send_state", lambda one, key=None: sent.append(one))
    panel._view_count = 1
    assert {panel, panel._alert, panel._alert.layout} <= set(sent)


def test_closed_panel_displays_its_saved_copy(
    client: lb.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(saved_html, "display", lambda what, **_: shown.append(what))
    panel = Panel(client)
    panel.close()
    panel._ipython_display_()
    [saved] = shown
    assert "<b>Panel</b>, as last shown:" in saved._repr_html_()


def test_missing_key_raises_authentication_error_only() -> None:
    with pytest.raises(lb.AuthenticationError, match="LLAMA_CLOUD_API_KEY"):
        Panel(None)  # ipywidgets closes the half-made widget, which must not raise


# Rerunning a cell


class Shell:
    """A kernel's shell, which knows the cell that it runs."""

    parent: dict[str, Any]

    def get_parent(self) -> dict[str, Any]:
        return self.parent

    def run(self, cell: str | None, run: str) -> None:
        self.parent = {"header": {"msg_id": run}, "metadata": {"cellId": cell} if cell else {}}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setattr(panels, "get_ipython", lambda: shell)
    monkeypatch.setattr(panels, "_panels_by_cell", {})
    return shell


def test_rerunning_a_cell_closes_its_earlier_panels(shell: Shell, client: lb.Client) -> None:
    shell.run("cell-1", "run-1")
    first, beside = Panel(client), Panel(client)
    first.runner.start("work", lambda: workers.sleep(60))
    shell.run("cell-2", "run-2")
    elsewhere = Panel(client)
    assert not first._closed
    shell.run("cell-1", "run-3")
    again = Panel(client)
    assert (first._closed, beside._closed) == (True, True)
    assert (elsewhere._closed, again._closed) == (False, False)
    assert not threads_left()
    for panel in (elsewhere, again):
        panel.close()


def test_panels_of_cells_without_id_stay_open(shell: Shell, client: lb.Client) -> None:
    found = []
    for run in ("run-1", "run-2"):
        shell.run(None, run)
        found.append(Panel(client))
    assert not any(panel._closed for panel in found)
    for panel in found:
        panel.close()


# The saved copy


def test_mimebundle_has_the_view_and_the_saved_copy(panel: Panel) -> None:
    bundle = panel._repr_mimebundle_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel.model_id
    assert bundle["text/plain"] == "<Panel: Panel>"
    assert "<p>Panel</p>" in bundle["text/html"]


def test_saved_text_escapes_control_characters(client: lb.Client, keep: Keep[Panel]) -> None:
    class Sly(Panel):
        def _text(self) -> str:
            return "bat-1 is \x1b[2J"

    panel = keep(Sly(client))
    panel.set_content(panel._alert)
    assert panel._repr_mimebundle_()["text/plain"] == r"<Panel: bat-1 is \x1b[2J>"


def test_saved_copy_is_hidden_beside_its_live_panel(panel: Panel) -> None:
    saved = panel._repr_mimebundle_()["text/html"]
    assert f"lb-{panel.model_id}" in panel._dom_classes
    assert f"body:has(.lb-{panel.model_id}) .lb-saved.of-lb-{panel.model_id}" in saved
    assert f'class="lb-saved of-lb-{panel.model_id} ' in saved


def test_saved_copy_is_updated_with_every_change(panel: Panel, monkeypatch: Any) -> None:
    shown: list[Any] = []
    texts: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html._repr_html_())
            texts.append(repr(html))

    handle: Any = Handle()
    panel._saved._outputs = [handle, handle]  # shown in two cells
    monkeypatch.setattr(type(panel), "_html", lambda self: "Changed")
    panel.runner.update_ui(lambda: None)
    assert len(shown) == 2
    assert "Changed" in shown[0]
    assert shown[0] == shown[1]
    assert texts == ["<Panel: Panel>"] * 2


def test_saved_copy_is_not_typeset_and_says_what_it_is_of(panel: Panel) -> None:
    saved = panel._saved.html()
    assert 'tex2jax_ignore mathjax_ignore"' in saved
    assert "project &lt;img src=x onerror=alert(1)&gt; · 127.0.0.1:9</p>" in saved
    panel._as_of = datetime(2026, 8, 1, 14, 3, tzinfo=UTC)
    assert "· as of 2026-08-01 14:03 UTC</p>" in panel._saved.html()


def test_heading_is_escaped_and_omits_the_key(panel: Panel) -> None:
    head = panel._header.value
    assert "project &lt;img src=x" in head
    assert "127.0.0.1:9" in head
    assert KEY not in head + str(panel._repr_mimebundle_())
