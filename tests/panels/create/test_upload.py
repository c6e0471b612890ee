"""Files from the browser are validated, uploaded once and then processed."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.panels.create import browser_files
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.create.creator import BatchCreator
from tests.conftest import Serve
from tests.panels.conftest import Keep, alert_of
from tests.panels.create.conftest import (
    AGENTIC,
    HOSTILE_NAME,
    TIMEOUT,
    OpenPanel,
    ServePart,
    fake_api,
    summary_of,
    upload_value,
    wait_until,
)
from tests.servers import Request, Response


def test_files_are_uploaded_before_the_batch_is_created(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_panel(api)
    before = set(Path(tempfile.gettempdir()).iterdir())
    names = ("a.pdf", "../../B.pdf", "C:\\docs\\b.pdf", HOSTILE_NAME)
    panel.form.upload.value = upload_value(*names)
    assert panel.form.directory.value == ""
    assert "from <b>4 files</b> (16 B, uploaded first) with" in summary_of(panel)
    assert "['a.pdf', 'B.pdf', 'b.pdf'" in panel.code
    panel.create().wait()
    base_names = {"a.pdf", "B.pdf", "b.pdf", HOSTILE_NAME.rpartition("/")[2]}
    assert {file["display_name"] for file in api.files["dir-new-0"]} == base_names
    assert [r["source_directory_id"] for r in api.create_bodies] == ["dir-new-0"]
    assert panel.form.upload.value == ()
    assert panel.form.directory.value == "dir-new-0"
    assert panel.form.file_count.value == "4 files"
    assert panel.create_button.disabled
    new = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not [path for path in new if path.name.startswith("llama_batches_nb_")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"{n}.pdf" for n in range(1001)], "1,001 files exceed the limit of 1,000"),
        (["a.pdf", "x/a.pdf"], "Duplicate file names: &#x27;a.pdf&#x27;"),
        (["a.pdf", ""], "Invalid file names: &#x27;&#x27;"),
        (["..", "a.pdf"], "Invalid file names: &#x27;..&#x27;"),
        (["a\0.pdf"], "Invalid file names: "),
        (["\ud800.pdf"], "Invalid file names: "),
        (["ж" * 128], "Invalid file names: "),
    ],
)
def test_invalid_files_are_not_uploaded(
    open_panel: OpenPanel, names: list[str], message: str
) -> None:
    api = fake_api({})
    panel = open_panel(api, None)
    panel.form.upload.value = upload_value(*names)
    assert message in summary_of(panel)
    assert panel.create_button.disabled
    panel.create().wait()
    assert not api.requests["POST upload"]
    assert not api.create_bodies


def test_empty_file_warns_but_can_be_uploaded(open_panel: OpenPanel) -> None:
    api = fake_api({})
    panel = open_panel(api, None)
    panel.form.upload.value = upload_value("empty.pdf", content=b"")
    assert "Empty files will fail: &#x27;empty.pdf&#x27;" in summary_of(panel)
    panel.create().wait()
    assert len(api.create_bodies) == 1


def test_selected_directory_replaces_files(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_panel(api, None)
    panel.form.upload.value = upload_value("a.pdf")
    panel.form.directory.value = "DIR-1"
    panel.wait()
    assert panel.form.upload.value == ()
    panel.create().wait()
    assert api.create_bodies[0]["source_directory_id"] == "dir-1"
    assert not api.requests["POST upload"]


def test_interrupted_upload_continues_in_the_same_directory(open_panel: OpenPanel) -> None:
    api = fake_api({})
    api.faults["POST upload"] = [None, Response({"detail": "Bad"}, 422)]
    panel = open_panel(api, None)
    panel.form.upload.value = upload_value("0.pdf", "1.pdf", "2.pdf")
    panel.create().wait()
    assert "Bad" in alert_of(panel)
    assert not api.create_bodies
    panel.create().wait()
    assert [len(files) for files in api.files.values()] == [3]
    assert len(api.create_bodies) == 1


def test_failed_create_does_not_repeat_the_upload(open_panel: OpenPanel) -> None:
    api = fake_api({})
    api.faults["POST batches"] = Response({"detail": "No"}, 422)
    panel = open_panel(api, None)
    panel.form.upload.value = upload_value("a.pdf")
    panel.create().wait()
    assert "No" in alert_of(panel)
    api.faults.clear()
    panel.create().wait()
    assert api.requests["POST upload"] == 1
    assert [r["source_directory_id"] for r in api.create_bodies] == ["dir-new-0"] * 2
    assert panel.batches.status.tolist() == ["COMPLETED"]


def test_cancelled_upload_creates_no_batch(serve: Serve, keep: Keep[Any]) -> None:
    api, respond = fake_api({}), threading.Event()

    def script(request: Request) -> Any:
        if request.path.endswith("/upload"):
            respond.wait(TIMEOUT)
        return api(request)

    server = serve(script)
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.form.upload.value = upload_value("a.pdf")
    panel.create()
    wait_until(lambda: any(path.endswith("/upload") for path in server.paths()))
    panel.cancel().wait()
    respond.set()
    assert "Stopped; no batch was created." in alert_of(panel)
    assert not api.create_bodies
    assert not panel.create_button.disabled


def test_creator_without_panel_creates_each_specification_once(part: ServePart) -> None:
    api = fake_api({})
    creator = BatchCreator(part(api).client)
    files = browser_files.from_upload_widget(upload_value("a.pdf", "b.pdf"))
    spec = BatchSpec(files, AGENTIC, "parse_v2")
    uploads: list[tuple[str, int]] = []
    assert creator.begin(spec)
    assert not creator.begin(spec)
    batch = creator.create(spec, False, lambda *uploaded: uploads.append(uploaded))
    creator.end(created=True)
    assert uploads == [("dir-new-0", 2)]
    assert batch.source_directory_id.tolist() == ["dir-new-0"]
    for created in (spec, spec.with_directory("dir-new-0")):
        assert creator.is_created(created)
        assert not creator.begin(created)
    creator.allow_again(spec)
    assert creator.begin(spec)
