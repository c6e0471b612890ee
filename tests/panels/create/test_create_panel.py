"""One click creates one batch, and the panel never loses or repeats it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.panels.conftest import alert_of, texts
from tests.panels.create.conftest import (
    AGENTIC,
    HOSTILE_NAME,
    TIMEOUT,
    OpenPanel,
    click,
    fake_api,
    html_of,
    jobs_with,
    summary_of,
    upload_value,
    visible_buttons,
    wait_until,
)
from tests.servers import Request, Response, batch, mapping
from tests.threads import threads_left


@pytest.mark.parametrize(
    "arguments",
    [{"job_type": "parse"}, {"source_directory_id": " "}, {"configuration_id": ["a", "b"]}],
)
def test_invalid_argument_raises_without_a_request(serve: Serve, arguments: Any) -> None:
    server = serve(fake_api({}))
    with pytest.raises(ValueError, match=next(iter(arguments))):
        lb.create_panel(**arguments)
    assert not server.requests


def test_panel_without_api_key_raises() -> None:
    with pytest.raises(lb.AuthenticationError, match="LLAMA_CLOUD_API_KEY"):
        lb.create_panel()


def test_simultaneous_clicks_create_one_batch(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_panel(api)
    barrier = threading.Barrier(8)

    def click_create() -> None:
        barrier.wait()
        panel.create_button.click()

    threads = [threading.Thread(target=click_create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    panel.wait()
    assert len(api.create_bodies) == 1
    assert panel.batches.batch_id.tolist() == ["bat-new-0"]


def test_same_selection_creates_another_batch_only_after_new_batch(open_panel: OpenPanel) -> None:
    api = fake_api({"dir-1": 2, "dir-2": 3})
    panel = open_panel(api)
    panel.create().wait()
    panel.create().wait()
    panel.create_button.click()
    panel.wait()
    assert len(api.create_bodies) == 1
    assert panel.create_button.disabled
    assert "click New batch" in summary_of(panel)
    panel.new_button.click()
    assert not panel.create_button.disabled
    assert len(api.create_bodies) == 1
    panel.create().wait()
    assert len(api.create_bodies) == 2
    panel.form.directory.value = "DIR-2"  # another selection
    panel.wait()
    panel.create().wait()
    assert [request["source_directory_id"] for request in api.create_bodies] == [
        "dir-1",
        "dir-1",
        "dir-2",
    ]
    panel.form.directory.value = "DIR-1"  # a selection that was created before
    panel.wait()
    panel.create().wait()
    assert len(api.create_bodies) == 3
    assert panel.batches.batch_id.tolist() == ["bat-new-0", "bat-new-1", "bat-new-2"]


@pytest.mark.parametrize("status", [400, 403, 409, 422, 500])
def test_refused_batch_can_be_created_later(open_panel: OpenPanel, status: int) -> None:
    api = fake_api()
    api.faults["POST batches"] = Response({"detail": f"No <b>{HOSTILE_NAME}"}, status)
    panel = open_panel(api)
    panel.create().wait()
    assert "No &lt;b&gt;&lt;img" in alert_of(panel)
    assert not panel.rows.rows
    assert panel.batches.empty
    assert not panel.create_button.disabled
    api.faults.clear()
    panel.create().wait()
    assert panel.batches.batch_id.tolist() == ["bat-new-0"]
    assert not alert_of(panel)


def test_lost_response_is_recovered(open_panel: OpenPanel) -> None:
    api = fake_api()
    api.faults["POST batches"] = lambda created: Response(drop=True)
    panel = open_panel(api)
    panel.create().wait()
    assert len(api.create_bodies) == 1
    assert panel.batches.status.tolist() == ["COMPLETED"]


@pytest.mark.parametrize("n_created", [0, 2])
def test_unconfirmed_batch_is_selected_from_candidates(
    open_panel: OpenPanel, n_created: int
) -> None:
    api = fake_api(n_created=n_created)
    api.faults["POST batches"] = lambda created: Response(drop=True)
    panel = open_panel(api)
    panel.create().wait()
    assert "lost" in alert_of(panel)
    assert panel.create_button.disabled
    panel.create().wait()
    assert len(api.create_bodies) == 1
    if n_created == 0:
        assert "No such batch yet." in html_of(panel)
        late = batch("bat-late", "RUNNING", results=[mapping("dir-1-0", None, "too long")])
        api.batches["bat-late"] = late | api.create_bodies[0]
        api.created.append("bat-late")
        click(panel, "Look again")
    batch_id = "bat-new-1" if n_created else "bat-late"
    click(panel, batch_id)
    assert panel.batches.batch_id.tolist() == [batch_id]
    assert panel.batches.status.tolist() == ["COMPLETED"]
    assert "Look again" not in visible_buttons(panel)
    assert not alert_of(panel)
    panel.new().create().wait()
    assert len(api.create_bodies) == 2


def test_panel_keeps_its_client_after_connect(open_panel: OpenPanel, serve: Serve) -> None:
    api = fake_api()
    panel = open_panel(api)
    other_server = serve(fake_api({}))
    panel.create().wait()
    assert len(api.create_bodies) == 1
    assert not other_server.requests


def test_closed_panel_does_not_cancel_its_batch(serve: Serve) -> None:
    api = fake_api(statuses=["RUNNING"])
    server = serve(api)
    panel = lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC)
    panel.wait()
    panel.create()
    wait_until(lambda: "RUNNING</b>" in html_of(panel))
    panel.close()
    assert not threads_left()
    assert panel.batches.status.tolist() == ["RUNNING"]
    assert not [path for path in server.paths() if path.endswith("/cancel")]


def test_panel_closed_during_create_keeps_the_batch(serve: Serve) -> None:
    api = fake_api()
    received, respond = threading.Event(), threading.Event()

    def script(request: Request) -> Any:
        response = api(request)
        if request.method == "POST":
            received.set()
            respond.wait(TIMEOUT)
        return response

    serve(script)
    panel = lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC)
    panel.wait()
    panel.create()
    assert received.wait(TIMEOUT)
    panel.close()
    respond.set()
    assert not threads_left()
    assert panel.batches.batch_id.tolist() == ["bat-new-0"]
    assert len(api.create_bodies) == 1


def test_saved_notebook_shows_the_batches(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_api())
    assert "no batch created" in panel._saved_text()
    panel.create().wait()
    assert "bat-new-0 COMPLETED" in panel._saved_text()
    saved = panel._repr_mimebundle_()["text/html"]
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in saved
    assert AGENTIC not in panel._text()


def test_names_and_messages_are_escaped(open_panel: OpenPanel) -> None:
    api = fake_api()

    def script(request: Request) -> Any:
        response = api(request)
        for record in response.get("items", ()) if isinstance(response, dict) else ():
            record |= {key: HOSTILE_NAME for key in ("name", "display_name") if key in record}
        return response

    api.faults["GET jobs"] = jobs_with(status="FAILED", error_message=HOSTILE_NAME)
    panel = open_panel(script, configuration_id=None)
    panel.form.configuration.value = panel.form.configuration.options[0]
    panel.form.upload.value = upload_value(HOSTILE_NAME, content=b"")
    assert "Empty files will fail: &#x27;&lt;img" in summary_of(panel)
    assert "<img" not in html_of(panel)
    panel.form.directory.value = "dir-1"
    panel.wait()
    panel.create().wait()
    click(panel, "Show failures")
    assert len(panel.batches) == 1
    assert "&lt;img" in html_of(panel)
    for html in [*texts(panel), panel._repr_mimebundle_()["text/html"]]:
        assert "<img" not in html
