"""Failed files are retried by a second click, once, and nothing else is."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.panels.create.candidates import CandidateBatches
from llama_batches_nb.panels.create.create_panel import CreatePanel
from llama_batches_nb.panels.create.retry_prompt import RetryPrompt, plan_text
from llama_batches_nb.sandbox_server.process import Server as Sandbox
from tests.panels.conftest import Keep, alert_of
from tests.panels.create.conftest import (
    AGENTIC,
    ONE_HOUR,
    OpenPanel,
    ServePart,
    click,
    fake_api,
    html_of,
    upload_value,
    visible_buttons,
    wait_until,
)
from tests.panels.create.test_code import check_code
from tests.servers import Response


def test_failed_files_are_retried_by_a_second_click(
    paused_sandbox: Sandbox, keep: Keep[CreatePanel]
) -> None:
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    files = upload_value("bad.pdf", content=b"corrupt") + upload_value("good.pdf")
    panel.form.upload.value = files
    panel.create()
    wait_until(lambda: len(panel.batches))
    paused_sandbox.advance(ONE_HOUR)
    panel.wait()
    n_batches = len(lb.fetch_batches())
    click(panel, "Retry failed")
    assert "Would retry 1 file in 1 new batch; no upload needed." in html_of(panel)
    assert len(lb.fetch_batches()) == n_batches
    button = visible_buttons(panel)["Retry 1 file"]
    threads = [threading.Thread(target=button.click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(panel.batches) == 2)
    paused_sandbox.advance(ONE_HOUR)
    panel.wait()
    assert len(lb.fetch_batches()) == n_batches + 1
    assert panel.batches.status.tolist() == ["COMPLETED", "COMPLETED"]
    assert panel.results is not None
    assert panel.files is not None
    assert panel.results.batch_id.value_counts().tolist() == [2, 1]
    assert "retry_failed" in panel.code
    check_code(panel)
    assert lb.attempts(panel.files, lb.fetch_files(panel.batches)).attempt.max() == 2


def test_refused_retry_can_be_repeated(open_panel: OpenPanel) -> None:
    api = fake_api()
    panel = open_panel(api)
    panel.create().wait()
    click(panel, "Retry failed")
    api.faults["POST batches"] = Response({"detail": "No"}, 422)
    click(panel, "Retry 1 file")
    assert "No" in alert_of(panel)
    assert len(panel.rows.rows) == 1
    api.faults.clear()
    click(panel, "Retry failed")
    click(panel, "Retry 1 file")
    assert len(panel.batches) == 2
    assert not alert_of(panel)


def test_batch_without_failures_has_nothing_to_retry(
    on_sandbox: lb.Client, keep: Keep[CreatePanel]
) -> None:
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.form.upload.value = upload_value("good.txt")
    panel.create().wait()
    assert "1 succeeded, 0 failed" in html_of(panel)
    click(panel, "Retry failed")
    assert "Nothing to retry." in html_of(panel)
    assert not [label for label in visible_buttons(panel) if label.startswith("Retry 0")]


# Without a panel


def test_prompt_without_panel_shows_the_plan_and_retries_once(part: ServePart) -> None:
    parts = part(fake_api())
    batch = lb.create_batch("dir-1", AGENTIC).pipe(lb.wait_for_batches)
    results = lb.fetch_results(batch)
    files = lb.outcomes(results, lb.fetch_jobs(results))
    retries: list[None] = []
    prompt = RetryPrompt(
        parts.client,
        parts.runner,
        "retry",
        files=lambda: files,
        on_retry=lambda: retries.append(None),
        on_error=parts.on_error,
    )
    prompt.button.click()
    assert not retries
    prompt.refresh()
    parts.runner.wait()
    assert "Would retry 1 file in 1 new batch" in html_of(prompt)
    prompt.button.click()
    prompt.button.click()
    assert len(retries) == 1
    assert parts.errors == [None]


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        ([], "Nothing to retry."),
        ([None, None], "Would retry 2 files in 1 new batch; no upload needed."),
        (["succeeded"], "Nothing to retry. Skipped 1 file: succeeded."),
        (list("abcde"), "For 2 more reasons, see retry_failed(…, dry_run=True)."),
    ],
)
def test_plan_text_counts_retried_and_skipped_files(reasons: list[str | None], text: str) -> None:
    plan = pd.DataFrame(
        {
            "action": ["skip" if reason else "retry" for reason in reasons],
            "reason": pd.Series(reasons, dtype="object"),
            "new_batch": [None if reason else 1 for reason in reasons],
        }
    )
    assert text in plan_text(plan)


@pytest.mark.filterwarnings("ignore:Directory dir-1 has other batches")
def test_candidates_without_panel_return_the_selected_batch(part: ServePart) -> None:
    parts = part(fake_api())
    selected: list[pd.DataFrame] = []
    candidates = CandidateBatches(
        parts.client, parts.runner, on_select=selected.append, on_error=parts.on_error
    )
    assert not visible_buttons(candidates)
    batches = [lb.create_batch("dir-1", AGENTIC) for _ in range(2)]
    candidates.show("dir-1", batches[0])
    candidates.refresh()
    parts.runner.wait()
    candidates.table.select("bat-new-1")
    [batch] = selected
    pd.testing.assert_frame_equal(batch, lb.fetch_batches()[:1].reset_index(drop=True))
    assert parts.errors == [None]
