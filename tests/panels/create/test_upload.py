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
    summary_of,
    wait_until,
)
from tests.panels.create.project import Project, upload_value, uploaded_names
from tests.servers import Answer, Asked


def test_files_are_uploaded_before_the_batch_is_created(open_panel: OpenPanel) -> None:
    project = Project(**{"dir-1": 2})
    panel = open_panel(project)
    before = set(Path(tempfile.gettempdir()).iterdir())
    names = ("a.pdf", "../../B.pdf", "C:\\docs\\b.pdf", HOSTILE_NAME)
    panel.form.upload.value = upload_value(*names)
    assert panel.form.directory.value == ""
    assert "from <b>4 files</b> (16 B, uploaded first) with" in summary_of(panel)
    assert "['a.pdf', 'B.pdf', 'b.pdf'" in panel.code
    panel.create().wait()
    base_names = {"a.pdf", "B.pdf", "b.pdf", HOSTILE_NAME.rpartition("/")[2]}
    assert uploaded_names(project.upload_bodies) == base_names
    assert [r["source_directory_id"] for r in project.create_requests] == ["dir-up"]
    assert panel.form.upload.value == ()
    assert panel.form.directory.value == "dir-up"
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
    project = Project()
    panel = open_panel(project, None)
    panel.form.upload.value = upload_value(*names)
    assert message in summary_of(panel)
    assert panel.create_button.disabled
    panel.create().wait()
    assert not project.upload_bodies
    assert not project.create_requests


def test_empty_file_warns_but_can_be_uploaded(open_panel: OpenPanel) -> None:
    project = Project()
    panel = open_panel(project, None)
    panel.form.upload.value = upload_value("empty.pdf", content=b"")
    assert "Empty files will fail: &#x27;empty.pdf&#x27;" in summary_of(panel)
    panel.create().wait()
    assert len(project.create_requests) == 1


def test_selected_directory_replaces_files(open_panel: OpenPanel) -> None:
    project = Project(**{"dir-1": 2})
    panel = open_panel(project, None)
    panel.form.upload.value = upload_value("a.pdf")
    panel.form.directory.value = "DIR-1"
    panel.wait()
    assert panel.form.upload.value == ()
    panel.create().wait()
    assert project.create_requests[0]["source_directory_id"] == "dir-1"
    assert not project.upload_bodies


def test_interrupted_upload_continues_in_the_same_directory(open_panel: OpenPanel) -> None:
    project = Project()
    project.upload_fault = lambda number: Answer({"detail": "Bad"}, 422) if number == 2 else None
    panel = open_panel(project, None)
    panel.form.upload.value = upload_value("0.pdf", "1.pdf", "2.pdf")
    panel.create().wait()
    assert "Bad" in alert_of(panel)
    assert not project.create_requests
    directories = set(project.n_files)
    panel.create().wait()
    assert set(project.n_files) == directories
    assert project.n_files["dir-up"] == 3
    assert len(project.create_requests) == 1


def test_failed_create_does_not_repeat_the_upload(open_panel: OpenPanel) -> None:
    project = Project()
    project.create_response = lambda record: Answer({"detail": "No"}, 422)
    project.n_created = 0
    panel = open_panel(project, None)
    panel.form.upload.value = upload_value("a.pdf")
    panel.create().wait()
    assert "No" in alert_of(panel)
    project.create_response, project.n_created = (lambda record: record), 1
    panel.create().wait()
    assert len(project.upload_bodies) == 1
    assert [r["source_directory_id"] for r in project.create_requests] == ["dir-up"] * 2
    assert panel.batches.status.tolist() == ["COMPLETED"]


def test_cancelled_upload_creates_no_batch(serve: Serve, keep: Keep[Any]) -> None:
    project, respond = Project(), threading.Event()

    def script(asked: Asked) -> Any:
        if asked.path.endswith("/upload"):
            respond.wait(TIMEOUT)
        return project(asked)

    server = serve(script)
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.form.upload.value = upload_value("a.pdf")
    panel.create()
    wait_until(lambda: any(path.endswith("/upload") for path in server.paths()))
    panel.cancel().wait()
    respond.set()
    assert "Stopped; no batch was created." in alert_of(panel)
    assert not project.create_requests
    assert not panel.create_button.disabled


def test_creator_without_panel_creates_each_specification_once(part: ServePart) -> None:
    project = Project()
    creator = BatchCreator(part(project).client)
    files = browser_files.from_upload_widget(upload_value("a.pdf", "b.pdf"))
    spec = BatchSpec(files, AGENTIC, "parse_v2")
    uploads: list[tuple[str, int]] = []
    assert creator.begin(spec)
    assert not creator.begin(spec)
    batch = creator.create(spec, False, lambda *uploaded: uploads.append(uploaded))
    creator.end(created=True)
    assert uploads == [("dir-up", 2)]
    assert batch.source_directory_id.tolist() == ["dir-up"]
    for created in (spec, spec.with_directory("dir-up")):
        assert creator.is_created(created)
        assert not creator.begin(created)
    creator.allow_again(spec)
    assert creator.begin(spec)
