"""What all panels do: work in threads, tell what went wrong, close, and leave a twin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
from tests.panels.conftest import Keep, alert_of, threads_left

KEY = "llx-very-secret"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def client() -> Iterator[lb.Client]:
    """A client of nobody: these panels ask nothing."""
    with lb.connect(KEY, base_url="http://127.0.0.1:9", project_id=HOSTILE) as client:
        yield client


@pytest.fixture
def panel(client: lb.Client, keep: Keep[Panel]) -> Panel:
    panel = keep(Panel(client))
    panel.set_content(panel._alert)
    return panel


def test_an_error_in_a_thread_is_shown_and_the_panel_goes_on(panel: Panel) -> None:
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
def test_errors_are_told_in_words(panel: Panel, error: Exception, words: str) -> None:
    panel.show_error(error)
    assert words in alert_of(panel)
    assert "<img" not in alert_of(panel)


def test_warnings_are_told_each_once(panel: Panel) -> None:
    def work() -> None:
        for words in ("one thing", "another", "one thing"):
            messages.warn(words)

    panel.runner.start("work", work)
    panel.wait()
    assert ">one thing\nanother<" in alert_of(panel)


def test_the_last_of_one_name_replaces_the_others(panel: Panel) -> None:
    begun, go = threading.Event(), threading.Event()
    shown: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(10)
        panel.runner.update_ui(lambda: shown.append("first"))

    panel.runner.start("work", first)
    assert begun.wait(10)
    panel.runner.start("other", lambda: panel.runner.update_ui(lambda: shown.append("other")))
    panel.runner.start("work", lambda: panel.runner.update_ui(lambda: shown.append("second")))
    panel.wait()
    go.set()
    assert not threads_left()
    assert sorted(shown) == ["other", "second"]
    panel.runner.update_ui(lambda: shown.append("by hand"))
    assert shown[-1] == "by hand"


def test_what_is_given_up_shows_nothing_more(panel: Panel) -> None:
    begun, go = threading.Event(), threading.Event()
    shown: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(10)
        panel.runner.update_ui(lambda: shown.append("late"))

    panel.runner.start("work", work)
    assert begun.wait(10)
    panel.runner.cancel_and_discard("work")
    panel.runner.cancel_and_discard("what was never begun")
    go.set()
    panel.wait()
    assert not shown


def test_waiting_includes_what_was_begun_meanwhile(panel: Panel) -> None:
    done: list[str] = []

    def second() -> None:
        workers.sleep(0.05)
        done.append("second")

    panel.runner.start("work", lambda: panel.runner.start("more", second))
    panel.wait()
    assert done == ["second"]


def test_waiting_ends_with_its_time(panel: Panel) -> None:
    panel.runner.start("work", lambda: workers.sleep(60))
    panel.wait(0.01)
    assert panel.runner.is_running("work")
    assert not panel.runner.is_running("nothing")
    panel.stop()
    panel.wait()
    assert not panel.runner.is_running("work")


def test_closing_leaves_no_widget_and_no_thread(client: lb.Client) -> None:
    before = set(_instances)
    panel = Panel(client)
    box = widgets.VBox([widgets.Button(), widgets.HBox([widgets.Text(), widgets.HTML()])])
    panel.set_content(panel._alert, box)
    panel.runner.start("work", lambda: workers.sleep(60))
    panel.close()
    panel.close()
    assert not threads_left()
    assert set(_instances) == before
    panel.runner.start("work", lambda: None)
    assert not threads_left()
    with pytest.raises(workers.Cancelled):
        panel.runner.update_ui(lambda: None)


def test_a_page_that_comes_is_told_what_it_missed(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[widgets.Widget] = []
    monkeypatch.setattr(widgets.Widget, "send_state", lambda one, key=None: told.append(one))
    panel._view_count = 1
    assert {panel, panel._alert, panel._alert.layout} <= set(told)


def test_a_closed_panel_that_is_shown_again_shows_what_it_had(
    client: lb.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(saved_html, "display", lambda what, **_: shown.append(what))
    panel = Panel(client)
    panel.close()
    panel._ipython_display_()
    [twin] = shown
    assert "<b>Panel</b>" in twin._repr_html_()


def test_where_there_is_no_key_the_error_says_so_and_no_more() -> None:
    with pytest.raises(lb.AuthenticationError, match="LLAMA_CLOUD_API_KEY"):
        Panel(None)  # a half-made widget is closed by ipywidgets, which must not stumble


# A cell that is run again


class Shell:
    """What a kernel's shell tells of the cell that it runs."""

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


def test_a_cell_that_is_run_again_closes_its_panels(shell: Shell, client: lb.Client) -> None:
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


def test_where_cells_have_no_id_panels_live_side_by_side(shell: Shell, client: lb.Client) -> None:
    found = []
    for run in ("run-1", "run-2"):
        shell.run(None, run)
        found.append(Panel(client))
    assert not any(panel._closed for panel in found)
    for panel in found:
        panel.close()


# Where no panel lives


def test_the_bundle_has_the_panel_and_its_twin(panel: Panel) -> None:
    bundle = panel._repr_mimebundle_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel.model_id
    assert bundle["text/plain"] == repr(panel) == "<Panel: Panel>"
    assert "<p>Panel</p>" in bundle["text/html"]


def test_its_plain_text_moves_no_cursor(client: lb.Client, keep: Keep[Panel]) -> None:
    class Sly(Panel):
        def _text(self) -> str:
            return "bat-1 is \x1b[2J"

    panel = keep(Sly(client))
    panel.set_content(panel._alert)
    assert repr(panel) == r"<Panel: bat-1 is \x1b[2J>"


def test_the_twin_hides_on_a_page_where_its_panel_lives(panel: Panel) -> None:
    twin = panel._repr_mimebundle_()["text/html"]
    assert f"lb-{panel.model_id}" in panel._dom_classes
    assert f"body:has(.lb-{panel.model_id}) .lb-saved.of-lb-{panel.model_id}" in twin
    assert f'class="lb-saved of-lb-{panel.model_id}"' in twin


def test_the_twin_is_saved_with_every_change(panel: Panel, monkeypatch: Any) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html._repr_html_())

    handle: Any = Handle()
    panel._saved._output = handle
    monkeypatch.setattr(type(panel), "_html", lambda self: "Changed")
    panel.runner.update_ui(lambda: None)
    assert "Changed" in shown[-1]


def test_the_heading_is_text_and_has_no_key(panel: Panel) -> None:
    head = panel.children[0].value
    assert "project &lt;img src=x" in head
    assert "127.0.0.1:9" in head
    assert KEY not in head + str(panel._repr_mimebundle_())
