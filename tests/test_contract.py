"""Every public function that takes a frame checks it by the same rules and never changes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, FILES, JOBS
from tests.conftest import Serve
from tests.servers import Response
from tests.strategies import results_of

Call = tuple[Callable[..., Any], dict[str, pd.DataFrame], dict[str, list[str]]]
"""A function, its frame arguments, and the columns that each of these must have."""

BATCH = {
    "id": "bat-1",
    "status": "COMPLETED",
    "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
    "source_directory_id": "dir-1",
    "created_at": "2026-08-01T00:00:00Z",
    "updated_at": "2026-08-01T01:00:00Z",
    "results": [
        {"source_directory_file_id": f"dfl-{n}", "job_reference": {"id": f"pjb-{n}"}}
        for n in range(3)
    ]
    + [{"source_directory_file_id": "dfl-3", "error_message": "no such file"}],
}
BATCH_FRAME = records.to_pandas(BATCHES, [BATCH])
RESULT_FRAME = results_of(BATCH)
JOB_FRAME = records.to_pandas(
    JOBS,
    [
        {"id": "pjb-0", "status": "COMPLETED"},
        {"id": "pjb-1", "status": "FAILED", "error_message": "Out of memory"},
    ],
)
FILE_FRAME = records.to_pandas(
    FILES, [{"id": f"dfl-{n}", "file_id": f"fil-{n}", "display_name": "a.pdf"} for n in range(4)]
)
TWO_CONFIGURATIONS = pd.concat(
    [lb.outcomes(RESULT_FRAME, JOB_FRAME).assign(configuration_id=name) for name in ("a", "b")],
    ignore_index=True,
)

CALLS: dict[str, Call] = {
    "attempts": (
        lb.attempts,
        {"results": RESULT_FRAME, "files": FILE_FRAME},
        {
            "results": ["source_directory_file_id", "batch_id", "batch_created_at"],
            "files": ["source_directory_file_id", "file_id", "display_name"],
        },
    ),
    "compare_configurations": (
        partial(lb.compare_configurations, a="a", b="b"),
        {"outcomes": TWO_CONFIGURATIONS},
        {
            "outcomes": [
                "outcome",
                "configuration_id",
                "batch_id",
                "batch_created_at",
                "source_directory_file_id",
            ]
        },
    ),
    "error_patterns": (
        partial(lb.error_patterns, by="job_type"),
        {"frame": JOB_FRAME},
        {"frame": ["error_message", "job_type"]},
    ),
    "export_parquet": (
        partial(lb.export_parquet, path="frame.parquet", partition_by="job_type"),
        {"frame": BATCH_FRAME},
        {"frame": ["job_type"]},
    ),
    "failure_rates": (
        partial(lb.failure_rates, by="job_type", freq="D"),
        {"frame": BATCH_FRAME},
        {"frame": ["status", "created_at", "job_type"]},
    ),
    "final_outcomes": (
        lb.final_outcomes,
        {"runs": TWO_CONFIGURATIONS, "files": FILE_FRAME},
        {
            "runs": ["outcome", "batch_id", "job_id", "source_directory_file_id", "error_message"],
            "files": ["source_directory_file_id", "file_id", "display_name"],
        },
    ),
    "ledger": (
        partial(lb.ledger, by="batch_id"),
        {"frame": RESULT_FRAME},
        {"frame": ["job_id", "error_message", "batch_id"]},
    ),
    "outcomes": (
        lb.outcomes,
        {"results": RESULT_FRAME, "jobs": JOB_FRAME},
        {"results": ["job_id", "error_message"], "jobs": ["job_id", "status", "error_message"]},
    ),
    "pattern_ids": (
        lb.pattern_ids,
        {"frame_or_messages": JOB_FRAME},
        {"frame_or_messages": ["error_message"]},
    ),
    "plot_durations": (
        partial(lb.plot_durations, by="job_type"),
        {"batches": BATCH_FRAME},
        {"batches": ["status", "created_at", "updated_at", "job_type"]},
    ),
    "plot_failure_rates": (
        partial(lb.plot_failure_rates, by="job_type", freq="D"),
        {"frame_or_rates": BATCH_FRAME},
        {"frame_or_rates": ["status", "created_at", "job_type"]},
    ),
    "rate_changes": (
        partial(lb.rate_changes, by="job_type", freq="D"),
        {"frame_or_rates": BATCH_FRAME},
        {"frame_or_rates": ["status", "created_at", "job_type"]},
    ),
    "plot_outcomes": (
        partial(lb.plot_outcomes, by="batch_id"),
        {"frame": RESULT_FRAME},
        {"frame": ["job_id", "error_message", "batch_id"]},
    ),
    "summarize": (
        lb.summarize,
        {
            "batches": BATCH_FRAME,
            "results": RESULT_FRAME,
            "jobs": JOB_FRAME,
            "pages": pd.DataFrame({"job_id": ["pjb-0"], "success": [True]}),
        },
        {
            "batches": ["batch_id", "status", "created_at", "updated_at"],
            "results": ["batch_id", "job_id", "error_message"],
            "jobs": ["job_id", "status", "error_message"],
            "pages": ["job_id", "success"],
        },
    ),
    "write_report": (
        partial(lb.write_report, path="report.html"),
        {"source": lb.outcomes(RESULT_FRAME, JOB_FRAME)},
        {"source": ["outcome"]},
    ),
}
REQUESTING: dict[str, Call] = {
    "add_names": (lb.add_names, {"frame": BATCH_FRAME[["source_directory_id"]]}, {"frame": []}),
    "fetch_jobs": (
        lb.fetch_jobs,
        {"results": RESULT_FRAME},
        {"results": ["job_id", "job_type"]},
    ),
    "wait_for_jobs": (
        lb.wait_for_jobs,
        {"results": RESULT_FRAME},
        {"results": ["job_id", "job_type"]},
    ),
    "retry_failed": (
        partial(lb.retry_failed, dry_run=True),
        {"results": RESULT_FRAME},
        {"results": ["job_id", "error_message", "batch_id", "source_directory_file_id"]},
    ),
    "save_outputs": (
        partial(lb.save_outputs, folder="out"),
        {"files": RESULT_FRAME},
        {"files": ["job_id"]},
    ),
}
"""Functions that send requests, after they have checked the frame."""

CHECKED = CALLS | REQUESTING


def arguments(calls: dict[str, Call]) -> list[Any]:
    return [
        pytest.param(*call, argument, id=f"{name}-{argument}")
        for name, call in calls.items()
        for argument in call[1]
    ]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_public_function_that_takes_frames_is_listed() -> None:
    functions = {name: getattr(lb, name) for name in lb.__all__}
    taking = {
        name
        for name, function in functions.items()
        if inspect.isfunction(function)
        and any("IntoFrame" in str(p.annotation) for p in _parameters(function))
    }
    assert taking <= set(CHECKED)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize(("function", "frames", "columns", "argument"), arguments(CHECKED))
@pytest.mark.parametrize("value", ["bat-1", ["bat-1"], 3, {"batch_id": ["bat-1"]}])
def test_value_that_is_not_a_frame_raises_naming_the_argument(
    function: Callable[..., Any],
    frames: dict[str, Any],
    columns: dict[str, list[str]],
    argument: str,
    value: Any,
) -> None:
    if argument == "frame_or_messages" and isinstance(value, list):
        pytest.skip("a list of messages is valid")
    if argument == "source" and isinstance(value, str):
        pytest.skip("a path of a dataset is valid")
    if function is lb.wait_for_jobs:
        pytest.skip("ids of batches are valid; see tests/lifecycle/test_wait_jobs.py")
    with pytest.raises(TypeError, match=rf"^{argument} must be a frame .*, not "):
        function(**{**frames, argument: value})


@pytest.mark.parametrize(("function", "frames", "columns", "argument"), arguments(CHECKED))
def test_missing_column_is_named(
    function: Callable[..., Any],
    frames: dict[str, Any],
    columns: dict[str, list[str]],
    argument: str,
) -> None:
    for column in columns[argument]:
        frame = frames[argument].drop(columns=column)
        with pytest.raises(ValueError, match=rf"no column '{column}'|this one has the columns"):
            function(**{**frames, argument: frame})


@pytest.mark.parametrize(("function", "frames", "columns", "argument"), arguments(CALLS))
def test_frame_is_not_changed(
    function: Callable[..., Any],
    frames: dict[str, Any],
    columns: dict[str, list[str]],
    argument: str,
) -> None:
    frame = frames[argument].set_axis([7] * len(frames[argument]))
    before = frame.copy(deep=True)
    function(**{**frames, argument: frame})
    pd.testing.assert_frame_equal(frame, before)


# --- True or False ------------------------------------------------------------------------------

OTHER_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "add_names": (RESULT_FRAME,),
    "cancel_batch": ("bat-1",),
    "create_batch": ("dir-1", "cfg-1"),
    "delete_directories": ("dir-1",),
    "estimate_batch": ("dir-1", "cfg-1"),
    "fetch_extractions": ("ejb-1",),
    "fetch_files": ("dir-1",),
    "fetch_jobs": (RESULT_FRAME,),
    "fetch_pages": ("pjb-1",),
    "get_batch": ("bat-1",),
    "retry_failed": (RESULT_FRAME,),
    "save_outputs": (RESULT_FRAME, "saved"),
    "sync_dataset": ("kept",),
    "upload_files": (__file__,),
    "wait_for_batches": ("bat-1",),
    "wait_for_jobs": (RESULT_FRAME,),
}
SWITCHES = [
    (name, parameter.name)
    for name in lb.__all__
    if inspect.isfunction(function := getattr(lb, name))
    for parameter in inspect.signature(function).parameters.values()
    if str(parameter.annotation) in ("bool", "bool | None", "Progress")
]


@pytest.mark.parametrize(("name", "switch"), SWITCHES, ids=str)
def test_switch_is_checked_before_any_request(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, switch: str
) -> None:
    monkeypatch.chdir(tmp_path)
    server = serve(lambda request: Response(status=500), max_retries=0)
    for value in (JOB_FRAME, "yes", 1):
        with pytest.raises(TypeError, match=f"{switch}=?.* must be True.*False") as caught:
            getattr(lb, name)(*OTHER_ARGUMENTS.get(name, ()), **{switch: value})
        assert len(str(caught.value)) < 200
    assert not server.requests
