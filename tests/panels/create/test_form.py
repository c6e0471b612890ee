"""The form shows what a batch is created from, and why none can be created."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.create.expectation import rounded
from llama_batches_nb.panels.create.file_count import FileCount
from llama_batches_nb.panels.create.form import BatchForm
from tests.conftest import Serve
from tests.panels.conftest import Keep, alert_of
from tests.panels.create.conftest import (
    AGENTIC,
    EXTRACT_CONFIGURATION,
    OpenPanel,
    ServePart,
    fake_api,
    html_of,
    summary_of,
    upload_value,
    visible_buttons,
)
from tests.servers import Response

NAME_PATHS = ("/api/v1/beta/directories", "/api/v1/beta/configurations")


def test_controls_have_their_accessible_names(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_api())
    form = panel.form
    controls = (form.directory, form.upload, form.job_type, form.configuration)
    assert [control.description for control in controls] == [
        "Directory",
        "Upload files",
        "Job type",
        "Configuration",
    ]
    assert "Create batch" in visible_buttons(panel)
    panel.create().wait()
    assert {"Show failures", "Retry failed"} <= visible_buttons(panel).keys()


def test_summary_shows_what_is_missing_and_then_what_is_created(open_panel: OpenPanel) -> None:
    api = fake_api({"dir-1": 482})
    panel = open_panel(api, None, configuration_id=None)
    missing = "Select first: a directory or files to upload, and a configuration."
    assert missing in summary_of(panel)
    assert panel.create_button.disabled
    panel.form.directory.value = "DIR-1"
    panel.wait()
    assert panel.form.file_count.value == "482 files"
    assert "Select first: a configuration." in summary_of(panel)
    panel.form.configuration.value = "Agentic"
    text = "Creates <b>1 batch</b> from <b>482 files</b> of <b>DIR-1</b> with "
    assert text in summary_of(panel)
    assert AGENTIC in summary_of(panel)
    panel.wait()
    assert "Expected credits and time are not known: no earlier batches" in summary_of(panel)
    assert not panel.create_button.disabled
    assert not api.create_bodies


@pytest.mark.parametrize(
    ("directory", "configuration", "message"),
    [
        ("dir-large", AGENTIC, "DIR-LARGE has 1,001 files; the limit is 1,000 per batch"),
        ("dir-empty", AGENTIC, "DIR-EMPTY has no files"),
        ("dir-missing", AGENTIC, "dir-missing not found"),
        ("no such name", AGENTIC, "&#x27;no such name&#x27;"),
        ("dir-1", "no such name", "&#x27;no such name&#x27;"),
        ("dir-1", EXTRACT_CONFIGURATION, "Key facts is for extract_v2, not parse_v2"),
        ("", AGENTIC, "Select first: a directory or files to upload."),
    ],
)
def test_invalid_selection_is_explained_and_creates_nothing(
    open_panel: OpenPanel, directory: str, configuration: str, message: str
) -> None:
    api = fake_api({"dir-1": 1000, "dir-large": 1001, "dir-empty": 0})
    panel = open_panel(api, directory or None, configuration_id=configuration)
    assert message in summary_of(panel)
    assert panel.create_button.disabled
    panel.create()
    assert message in alert_of(panel)
    panel.wait()
    assert not api.create_bodies
    panel.form.directory.value, panel.form.configuration.value = "DIR-1", "Agentic"
    panel.wait()
    panel.create().wait()
    assert len(api.create_bodies) == 1
    assert not alert_of(panel)


def test_configurations_match_the_job_type(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_api({"dir-1": 1}))
    form = panel.form
    assert form.configuration.options == ("Agentic",)
    assert form.configuration.value == "Agentic"
    form.job_type.value = "extract_v2"
    assert form.configuration.options == ("Key facts",)
    assert form.configuration.value == ""
    form.configuration.value = "cfg-UNKNOWN"
    assert "cfg-UNKNOWN" in summary_of(panel)
    form.job_type.value = "parse_v2"
    assert form.configuration.value == "cfg-UNKNOWN"


def test_ids_can_be_typed_when_names_are_refused(serve: Serve, keep: Keep[Any]) -> None:
    api = fake_api({"7d0e": 3})
    serve(lambda request: Response(status=403) if request.path in NAME_PATHS else api(request))
    panel = keep(lb.create_panel())
    panel.wait()
    panel.form.directory.value, panel.form.configuration.value = "7d0e", "cfg-1"
    panel.wait()
    assert "<b>3 files</b> of <b>7d0e</b> with <code>cfg-1</code>" in summary_of(panel)
    assert "HTTP 403" in alert_of(panel)
    panel.create().wait()
    assert api.create_bodies[0]["source_directory_id"] == "7d0e"


def test_names_that_cannot_be_loaded_are_an_error(open_panel: OpenPanel) -> None:
    panel = open_panel(lambda request: Response({"detail": "Broken"}, 400), None)
    assert "Broken" in alert_of(panel)
    assert not panel.form.directory.disabled


def test_failed_count_does_not_prevent_a_batch(open_panel: OpenPanel) -> None:
    api = fake_api({"dir-1": 3})
    files = "/api/v1/beta/directories/dir-1/files"
    panel = open_panel(
        lambda request: Response(status=403) if request.path == files else api(request)
    )
    assert "from the files of <b>DIR-1</b>" in summary_of(panel)
    panel.create().wait()
    assert len(api.create_bodies) == 1


def test_stopped_count_does_not_prevent_a_batch(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_api({"dir-1": 3}), None)
    panel.form.directory.value = "dir-typed"
    panel.stop()
    panel.wait()
    assert "from the files of <b>dir-typed</b>" in summary_of(panel)


def test_typed_id_is_counted_once(serve: Serve, keep: Keep[Any]) -> None:
    server = serve(fake_api({"dir-1234": 3}))
    panel = keep(lb.create_panel())
    panel.wait()
    for end in range(1, len("dir-1234") + 1):
        panel.form.directory.value = "dir-1234"[:end]
    panel.wait()
    assert panel.form.file_count.value == "3 files"
    assert [path for path in server.paths() if path.endswith("/files")] == [
        "/api/v1/beta/directories/dir-1234/files"
    ]


# Without a panel


def test_form_without_panel_returns_the_selection(part: ServePart) -> None:
    parts = part(fake_api())
    form = BatchForm(parts.client, parts.runner, parts.on_change, directory="dir-1")
    with pytest.raises(ValueError, match=r"Select first: a configuration\."):
        form.to_spec()
    form.set_options(lb.fetch_directories(), lb.fetch_configurations())
    form.configuration.value = "Agentic"
    parts.runner.wait()
    spec = form.to_spec()
    assert spec == BatchSpec("dir-1", AGENTIC, "parse_v2")
    assert form.short_title(spec) == "DIR-1 · Agentic"
    assert parts.changes


def test_file_count_without_panel_reports_a_missing_directory(part: ServePart) -> None:
    parts = part(fake_api())
    file_count = FileCount(parts.client, parts.runner, parts.on_change)
    file_count.count("dir-1")
    with pytest.raises(ValueError, match="Counting the files of Invoices"):
        file_count.check("Invoices")
    parts.runner.wait()
    assert file_count.value == "2 files"
    file_count.check("Invoices")
    file_count.count("dir-missing")
    parts.runner.wait()
    assert file_count.value == "? files"
    with pytest.raises(ValueError, match="dir-missing not found"):
        file_count.check("Invoices")
    assert len(parts.changes) == 2


def test_expected_credits_and_time_stand_before_the_click(open_panel: OpenPanel) -> None:
    api = fake_api({"dir-1": 10})
    for n in range(4):
        batch_id = api.add(files=5)
        record = api.batches[batch_id]
        record["config"]["job"]["configuration_id"] = AGENTIC
        end = (datetime.fromisoformat(record["created_at"]) + timedelta(minutes=4)).isoformat()
        record["updated_at"] = end
        for job in api.jobs.values():
            job.setdefault("updated_at", end)
            job.setdefault("usage", {"credits": 3.0 + n % 2})
    panel = open_panel(api)
    row = lb.estimate_batch("dir-1", AGENTIC).iloc[0]
    expected = f"about {row.credits:,.0f} credits ({row.credits_low:,.0f}–{row.credits_high:,.0f}"
    assert f"Expected: {expected}, from 4 earlier batches), " in summary_of(panel)
    assert "in project <b>Invoices</b>." in summary_of(panel)
    assert "project Invoices · " in html_of(panel)
    panel.create().wait()
    assert " of about " in panel.rows.rows[0].run.elapsed()


@pytest.mark.parametrize(
    ("number", "spread", "text"),
    [
        (1452.3, 597.0, "1,450"),
        (1203.0, 97.0, "1,203"),
        (7.4, 0.0, "7"),
        (31415.9, 31415.9, "31,000"),
    ],
)
def test_estimate_is_as_exact_as_it_is_known(number: float, spread: float, text: str) -> None:
    assert rounded(number, spread) == text


def test_refused_key_is_shown_and_nothing_can_be_chosen(open_panel: OpenPanel) -> None:
    panel = open_panel(lambda request: Response({"detail": "Invalid API key"}, 401), None)
    assert "Invalid API key" in alert_of(panel)
    assert panel.create_button.disabled
    assert panel.form.directory.disabled
    assert panel.form.upload.disabled


def test_upload_larger_than_a_page_can_send_names_upload_files(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_api())
    panel.form.upload.value = upload_value("a.pdf", "b.pdf", content=bytes(5_000_001))
    assert "10.0 MB; a page can send 10.0 MB" in summary_of(panel)
    assert "lb.upload_files(" in summary_of(panel)
    assert panel.create_button.disabled
