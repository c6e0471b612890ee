"""The code of a panel gives the panel's frames."""

from __future__ import annotations

from typing import Any

from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.panels.create.create_panel import CreatePanel
from llama_batches_nb.sandbox_server.process import Server as Sandbox
from tests.panels.conftest import Keep
from tests.panels.create.conftest import (
    AGENTIC,
    ONE_HOUR,
    click,
    html_of,
    upload_value,
    wait_until,
)
from tests.panels.queries import assert_only_public_names


def check_code(panel: CreatePanel, **names: Any) -> None:
    """Check that the panel's code gives the panel's frames, and creates no batch."""
    assert_only_public_names(panel.code)
    n_batches = len(lb.fetch_batches())
    exec(panel.code, names)
    for name in ("batches", "results", "jobs", "files"):
        expected, actual = getattr(panel, name), names[name]
        if name == "jobs":  # the API returns jobs in an order of its own
            expected = expected.sort_values("job_id", ignore_index=True)
            actual = actual.sort_values("job_id", ignore_index=True)
        assert_frame_equal(expected, actual)
    assert len(lb.fetch_batches()) == n_batches


def test_code_of_a_finished_batch_gives_its_frames(
    paused_sandbox: Sandbox, keep: Keep[CreatePanel]
) -> None:
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.form.upload.value = (
        *upload_value("1.txt", "2.txt"),
        *upload_value("corrupt.pdf", content=b"corrupt"),
        *upload_value("empty.pdf", content=b""),
    )
    assert "batches = lb.create_batch(" in panel.code
    panel.create()
    wait_until(lambda: len(panel.batches))
    paused_sandbox.advance(ONE_HOUR)
    panel.wait()
    assert panel.files is not None
    assert "COMPLETED</b>: 2 succeeded, 2 failed" in html_of(panel)
    check_code(panel)
    click(panel, "Show failures")
    frame = panel._batch_files.frame
    assert frame is not None
    assert len(frame) == len(panel.files)
    assert frame.display_name.notna().all()
    failures = panel._batch_files.table.frame
    assert set(failures.display_name) == {"corrupt.pdf", "empty.pdf"}


def test_code_before_the_batch_creates_it(on_sandbox: lb.Client, keep: Keep[CreatePanel]) -> None:
    directory = lb.fetch_directories(name="Delivery notes")
    panel = keep(lb.create_panel(source_directory_id=directory, configuration_id=AGENTIC))
    panel.wait()
    n_batches = len(lb.fetch_batches())
    names: dict[str, Any] = {}
    assert_only_public_names(panel.code)
    exec(panel.code, names)
    assert len(lb.fetch_batches()) == n_batches + 1
    assert names["batches"].status.tolist() == ["COMPLETED"]


def test_code_passes_the_client_argument(on_sandbox: lb.Client, keep: Keep[CreatePanel]) -> None:
    directory = lb.fetch_directories(name="Delivery notes")
    panel = keep(
        lb.create_panel(on_sandbox, source_directory_id=directory, configuration_id=AGENTIC)
    )
    panel.wait()
    assert panel.code.count("client=client") == 4
    panel.create().wait()
    check_code(panel, client=on_sandbox)
