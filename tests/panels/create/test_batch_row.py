"""A row shows the status of its batch until the files are processed, and can cancel it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.panels.create.batch_row import BatchRow
from llama_batches_nb.panels.create.batch_rows import BatchRows
from llama_batches_nb.panels.create.batch_run import BatchRun, outcome_counts
from llama_batches_nb.panels.create.create_panel import CreatePanel
from llama_batches_nb.sandbox_server.process import Server as Sandbox
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.panels.conftest import Keep, alert_of
from tests.panels.create.conftest import (
    AGENTIC,
    ONE_HOUR,
    TIMEOUT,
    OpenPanel,
    ServePart,
    click,
    fake_api,
    html_of,
    jobs_with,
    visible_buttons,
    wait_until,
)
from tests.servers import Request, Response, batch


def open_running(open_panel: OpenPanel, api: FakeApi) -> CreatePanel:
    """Return a panel with a batch that is running and can be cancelled."""
    api.statuses = ["RUNNING"]
    panel = open_panel(api)
    panel.create()
    wait_until(lambda: "RUNNING</b>" in html_of(panel))
    assert "Cancel batch" in visible_buttons(panel)
    return panel


def test_each_status_is_shown(open_panel: OpenPanel) -> None:
    api = fake_api(statuses=["PENDING"])
    panel = open_panel(api)
    panel.create()
    for status in ("PENDING", "THROTTLED", "RUNNING", "PAUSED"):
        api.statuses = [status]
        wait_until(lambda status=status: f"{status}</b>" in html_of(panel))  # type: ignore[misc]
        wait_until(lambda: "for " in panel.rows.rows[0].status_line.value)
        assert "Cancel batch" in visible_buttons(panel)
        assert panel.batches.status.tolist() == [status]
        assert panel.results is None
    api.statuses = ["COMPLETED"]
    panel.wait()
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in html_of(panel)
    assert 'class="lb-mark"' in html_of(panel)  # the share that failed
    assert "Cancel batch" not in visible_buttons(panel)


def test_failed_poll_is_shown_and_repeated(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_running(open_panel, api)
    api.faults["GET batch"] = Response(status=500)
    wait_until(lambda: "no response, retrying" in html_of(panel))
    api.faults.clear()
    api.statuses = ["COMPLETED"]
    panel.wait()
    assert panel.batches.status.tolist() == ["COMPLETED"]
    assert not alert_of(panel)


def test_wait_again_continues_after_an_error(open_panel: OpenPanel) -> None:
    api = fake_api()
    api.faults["GET batch"] = Response({"detail": "key expired"}, 401)
    panel = open_panel(api)
    panel.create().wait()
    assert "key expired" in alert_of(panel)
    api.faults.clear()
    click(panel, "Wait again")
    assert not alert_of(panel)
    assert "1 succeeded, 1 failed" in html_of(panel)


def test_stop_ends_polling_until_wait_again(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_running(open_panel, api)
    panel.stop()
    panel.wait()
    assert "No longer watching; the batch is still running." in html_of(panel)
    api.requests.clear()
    api.statuses = ["COMPLETED"]
    click(panel, "Wait again")
    assert api.requests["GET batch"] == 2  # a poll, and the results
    assert panel.batches.status.tolist() == ["COMPLETED"]


def test_running_jobs_of_a_completed_batch_are_polled(open_panel: OpenPanel) -> None:
    api = fake_api()
    api.faults["GET jobs"] = jobs_with(status="RUNNING")
    panel = open_panel(api)
    panel.create()
    counts = "0 succeeded, 1 failed, 1 undecided (1 job still running)"
    wait_until(lambda: counts in html_of(panel))
    api.faults["GET jobs"] = jobs_with(status="FAILED")
    panel.wait()
    assert "0 succeeded, 2 failed<" in html_of(panel)


def test_results_that_appear_after_the_end_are_waited_for(open_panel: OpenPanel) -> None:
    api = fake_api()
    late = [lambda record: record | {"results": None}] * 3
    api.faults["bat-new-0"] = [None, *late]  # the first request is a poll of the status
    panel = open_panel(api)
    panel.create().wait()
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in html_of(panel)
    assert api.requests["GET batch"] >= 5
    assert not alert_of(panel)


def test_outputs_are_saved_in_the_folder(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api = fake_api()
    text = {"pages": [{"page_number": 1, "success": True, "markdown": "# Invoice"}]}
    api.faults["GET job"] = lambda job: job | {"markdown": text}
    panel = open_panel(api)
    panel.create().wait()
    panel.rows.rows[0].folder.value = "kept"
    click(panel, "Save outputs")
    assert "Outputs of 1 file saved in kept" in html_of(panel)
    assert (tmp_path / "kept" / "0.md").read_text() == "# Invoice"
    api.faults["GET job"] = Response({"detail": "Gone"}, 404)
    panel.rows.rows[0].folder.value = "kept/0.md"
    click(panel, "Save outputs")
    assert "Cannot write to the folder" in alert_of(panel)
    assert not visible_buttons(panel)["Save outputs"].disabled


def test_files_of_a_failed_batch_are_unreliable(open_panel: OpenPanel) -> None:
    api = fake_api(statuses=["FAILED"])
    panel = open_panel(api)
    panel.create().wait()
    assert "FAILED</b>: file results are unreliable" in html_of(panel)
    assert visible_buttons(panel)["Retry failed"].disabled


# Cancelling


def test_cancel_on_the_sandbox(paused_sandbox: Sandbox, keep: Keep[CreatePanel]) -> None:
    directory = lb.fetch_directories(name="Delivery notes")
    panel = keep(lb.create_panel(source_directory_id=directory, configuration_id=AGENTIC))
    panel.wait()
    panel.create()
    wait_until(lambda: "Cancel batch" in visible_buttons(panel))
    visible_buttons(panel)["Cancel batch"].click()
    wait_until(lambda: "cancellation requested" in html_of(panel))
    paused_sandbox.advance(ONE_HOUR)
    panel.wait()
    assert "CANCELLED</b>: 0 succeeded, 0 failed" in html_of(panel)
    assert panel.batches.status.tolist() == ["CANCELLED"]
    assert lb.get_batch(panel.batches).status.tolist() == ["CANCELLED"]


def test_cancel_during_create_cancels_the_new_batch(serve: Serve, keep: Keep[CreatePanel]) -> None:
    api = fake_api(statuses=["RUNNING"])
    received, respond = threading.Event(), threading.Event()

    def cancel(record: dict[str, Any]) -> Any:
        api.statuses = ["CANCELLED"]
        return record

    def script(request: Request) -> Any:
        response = api(request)
        if request.method == "POST" and not received.is_set():
            received.set()
            respond.wait(TIMEOUT)
        return response

    api.faults["POST cancel"] = cancel
    serve(script)
    panel = keep(lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC))
    panel.wait()
    panel.create()
    assert received.wait(TIMEOUT)
    panel.cancel()
    respond.set()
    panel.wait()
    assert panel.batches.status.tolist() == ["CANCELLED"]


def test_cancel_of_a_finished_batch_shows_its_files(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_running(open_panel, api)

    def refuse(record: dict[str, Any]) -> Response:
        api.statuses = ["COMPLETED"]
        return Response({"detail": "It has ended"}, 409)

    api.faults["POST cancel"] = refuse
    panel.cancel().wait()
    assert "It has ended" in alert_of(panel)
    assert "1 succeeded, 1 failed" in html_of(panel)


def test_failed_cancel_can_be_repeated(open_panel: OpenPanel) -> None:
    api = fake_api()
    api.faults["POST cancel"] = Response({"detail": "No"}, 422)
    panel = open_running(open_panel, api)
    panel.cancel()
    wait_until(lambda: "No" in alert_of(panel))
    assert not visible_buttons(panel)["Cancel batch"].disabled
    cancelled: list[Any] = []

    def cancel(record: dict[str, Any]) -> Any:
        cancelled.append(record)
        api.statuses = ["CANCELLED"]
        return record | {"status": "RUNNING"}

    api.faults["POST cancel"] = cancel
    panel.cancel().cancel().wait()
    assert len(cancelled) == 1
    assert panel.batches.status.tolist() == ["CANCELLED"]
    assert not alert_of(panel)


# Without a panel


def batch_frame(status: str) -> pd.DataFrame:
    return records.to_pandas(BATCHES, [batch("bat-new-0", status)])


def test_run_keeps_its_terminal_status() -> None:
    seconds = iter([0.0, 0.0, 5.0, 65.0])
    run = BatchRun("Invoices", clock=lambda: next(seconds))
    assert not run.is_created
    assert run.update(batch_frame("PENDING"))
    assert run.update(batch_frame("COMPLETED"))
    assert not run.update(batch_frame("RUNNING"))
    assert run.has_finished
    assert run.batch.status.tolist() == ["COMPLETED"]
    assert run.elapsed() == "for 1 min, 1 min 5 s in total"


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        (["succeeded", "job_failed", "mapping_error"], "1 succeeded, 2 failed"),
        (["job_cancelled"], "0 succeeded, 0 failed, 1 undecided"),
        (["job_running"], "0 succeeded, 0 failed, 1 undecided (1 job still running)"),
    ],
)
def test_outcome_counts_add_up(outcomes: list[str], text: str) -> None:
    assert outcome_counts(pd.DataFrame({"outcome": outcomes})) == text


def test_row_without_panel_follows_its_batch(part: ServePart) -> None:
    api = fake_api()
    parts = part(api)
    shown: list[BatchRow] = []
    row = BatchRow(
        parts.client,
        parts.runner,
        "batch 1",
        BatchRun("Invoices"),
        on_error=parts.on_error,
        on_change=parts.on_change,
        on_show_failures=shown.append,
        on_retry=shown.append,
    )
    row.show_preparing("Uploading …", can_stop=True)
    assert list(visible_buttons(row)) == ["Cancel batch"]
    row.show_created(lb.create_batch("dir-1", AGENTIC))
    parts.runner.start(row.task_name, row.follow)
    parts.runner.wait()
    assert list(visible_buttons(row)) == ["Show failures", "Retry failed", "Save outputs"]
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in row.html()
    row.failures_button.click()
    assert shown == [row]
    assert parts.changes
    assert not parts.errors


def test_row_without_panel_reports_an_error(part: ServePart) -> None:
    api = fake_api()
    parts = part(api)
    api.faults["GET batch"] = Response({"detail": "key expired"}, 401)
    rows = BatchRows(
        parts.client,
        parts.runner,
        on_error=parts.on_error,
        on_change=parts.on_change,
        on_show_failures=lambda run: None,
    )
    row = rows.add(BatchRun("Invoices", ["lb.create_batch(…)"]))
    assert rows.code() == ""
    rows.follow(row, lb.create_batch("dir-1", AGENTIC))
    parts.runner.wait()
    assert [str(error) for error in parts.errors if "key expired" in str(error)]
    assert "Wait again" in visible_buttons(row)
    assert rows.batches.batch_id.tolist() == ["bat-new-0"]
    assert rows.results is None
    assert "# lb.create_batch(…)" in rows.code()
