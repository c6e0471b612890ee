from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from llama_batches_nb.sandbox_server.app.serializers import (
    ResultsCache,
    batch_json,
    configuration_json,
    directory_json,
    encode,
    file_json,
    job_json,
)
from llama_batches_nb.sandbox_server.state.clock import DAY, to_microseconds
from llama_batches_nb.sandbox_server.state.sample_data import (
    SAMPLE_CONFIGURATIONS,
    SAMPLE_DIRECTORIES,
)
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

from .conftest import END, still

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state import simulation

NOW = to_microseconds(END)
DRIFTING = 1


@pytest.fixture(scope="module")
def state() -> SandboxState:
    return SandboxState(still())


@pytest.fixture(scope="module")
def jobs(state: SandboxState) -> list[simulation.Job]:
    return [
        job
        for it in state.batches
        for index in range(it.file_count)
        if (job := state.job(it, index, state.failure_thresholds(it), NOW))
    ]


def everything(**options: Any) -> bytes:
    state = SandboxState(still(**({"batches": 40, "files": (1, 50)} | options)))
    expanded, parts = ResultsCache(state), []
    for it in state.batches:
        parts += [encode(batch_json(state, it, NOW)), expanded.body(it, NOW)]
        for index in range(it.file_count):
            if job := state.job(it, index, state.failure_thresholds(it), NOW):
                parts.append(encode(job_json(state, job, NOW)))
    for place, each in enumerate(state.directories):
        parts.append(encode(directory_json(state, place)))
        parts += [encode(file_json(state, place, index)) for index in range(len(each.files))]
    parts += [encode(configuration_json(it)) for it in state.configurations]
    return b"\n".join(parts)


def failure_rate(jobs: list[simulation.Job]) -> float:
    counts = Counter(job.status(NOW) for job in jobs)
    return counts["FAILED"] / (counts["FAILED"] + counts["COMPLETED"])


def test_the_same_options_give_the_same_bytes() -> None:
    assert everything() == everything()


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"now": END + timedelta(1)}, {"batches": 41}, {"days": 90}, {"files": (1, 51)}],
)
def test_other_options_give_other_bytes(other: dict[str, Any]) -> None:
    assert everything() != everything(**other)


def test_the_history_has_the_size_asked_for(state: SandboxState) -> None:
    assert len(state.batches) == 320
    assert 40_000 < sum(it.file_count for it in state.batches) < 65_000
    assert len({it.created for it in state.batches}) == 320
    assert NOW - 120 * DAY <= state.batches[0].created < NOW - 115 * DAY
    assert state.batches[-1].created < NOW


def test_most_batches_are_of_middle_size(state: SandboxState) -> None:
    middle = sum(20 <= it.file_count <= 300 for it in state.batches)
    assert middle > 0.6 * len(state.batches)
    assert min(it.file_count for it in state.batches) < 10
    assert max(it.file_count for it in state.batches) > 800


def test_batches_are_in_the_order_of_their_creation(state: SandboxState) -> None:
    assert [it.created for it in state.batches] == sorted(it.created for it in state.batches)


def test_a_number_of_files_is_kept_by_every_batch() -> None:
    assert {it.file_count for it in SandboxState(still(files=30)).batches} == {30}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_a_history_may_be_small(count: int) -> None:
    assert len(SandboxState(still(batches=count, days=1, files=1)).batches) == count


def test_every_status_is_there_at_the_end(state: SandboxState) -> None:
    counts = Counter(it.status(NOW) for it in state.batches)
    assert set(counts) == {"PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    assert counts["COMPLETED"] > 250
    assert min(counts["FAILED"], counts["CANCELLED"]) >= 5


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_seeds_have_every_status_too(seed: int) -> None:
    assert len({it.status(NOW) for it in SandboxState(still(seed=seed)).batches}) == 6


def test_kept_bodies_are_bounded_and_come_again_the_same(state: SandboxState) -> None:
    ended = [it for it in state.batches if it.final_status == "COMPLETED" and it.ended < NOW][:20]
    plenty, little = ResultsCache(state), ResultsCache(state, max_bytes=50_000)
    for it in ended * 2:
        assert little.body(it, NOW) == plenty.body(it, NOW)
        assert little.size <= 50_000
    assert plenty.size > 100_000


def test_open_batches_move_on_with_the_clock(state: SandboxState) -> None:
    later = NOW + DAY
    assert {it.status(later) for it in state.batches} == {"COMPLETED", "FAILED", "CANCELLED"}


def test_all_directories_and_configurations_are_used(state: SandboxState) -> None:
    assert {it.directory for it in state.batches} == set(range(len(SAMPLE_DIRECTORIES)))
    assert {it.configuration for it in state.batches} == set(range(len(SAMPLE_CONFIGURATIONS)))


def test_a_batch_has_only_files_that_were_there(state: SandboxState) -> None:
    for it in state.batches:
        files = state.directories[it.directory].files
        assert files[it.file_count - 1].created <= it.created + DAY


def test_files_are_run_by_more_than_one_configuration(jobs: list[simulation.Job]) -> None:
    runs: dict[tuple[int, int], set[int]] = {}
    for job in jobs:
        runs.setdefault((job.batch.directory, job.index), set()).add(job.batch.configuration)
    assert sum(len(each) > 1 for each in runs.values()) > 0.5 * len(runs)


def test_failures_are_in_all_three_layers(state: SandboxState, jobs: list[simulation.Job]) -> None:
    mapped = [
        row for it in state.batches for row in state.mappings(it) if it.final_status == "COMPLETED"
    ]
    assert any(it.final_status == "FAILED" for it in state.batches)
    assert sum(error is not None for _, error, _ in mapped) > 100
    assert sum(job.status(NOW) == "FAILED" for job in jobs) > 1000


def test_jobs_have_every_status(jobs: list[simulation.Job]) -> None:
    counts = Counter(job.status(NOW) for job in jobs)
    assert set(counts) == {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}


def test_completed_batches_have_jobs_still_running(jobs: list[simulation.Job]) -> None:
    assert any(
        job.status(NOW) == "RUNNING" and job.batch.status(NOW) == "COMPLETED" for job in jobs
    )


def test_cancelled_batches_have_files_with_neither_job_nor_message(state: SandboxState) -> None:
    cancelled = [it for it in state.batches if it.final_status == "CANCELLED"]
    assert any(row[1:] == (None, False) for it in cancelled for row in state.mappings(it))


@pytest.mark.parametrize("choice", range(len(SAMPLE_CONFIGURATIONS)))
def test_only_one_configuration_gets_worse(
    state: SandboxState, jobs: list[simulation.Job], choice: int
) -> None:
    mine = [job for job in jobs if job.batch.configuration == choice]
    before = failure_rate([job for job in mine if job.batch.created < state.drift_start])
    after = failure_rate([job for job in mine if job.batch.created >= state.drift_start])
    if choice == DRIFTING:
        assert before < 0.05
        assert after > 0.11
    else:
        assert abs(after - before) < 0.025


def test_directories_differ(jobs: list[simulation.Job]) -> None:
    by_name = {
        shelf.name: failure_rate([job for job in jobs if job.batch.directory == place])
        for place, shelf in enumerate(SAMPLE_DIRECTORIES)
    }
    assert by_name["Medical intake forms"] > 2 * by_name["Research papers"]


def test_a_dozen_kinds_of_messages_carry_names_and_numbers(
    state: SandboxState, jobs: list[simulation.Job]
) -> None:
    said = [
        str(job_json(state, job, NOW)["error_message"])
        for job in jobs
        if job.outcome != "succeeded"
    ]
    said += [error for it in state.batches for _, error, _ in state.mappings(it) if error]
    kinds = {" ".join(word for word in text.split()[:2] if word.isalpha()) for text in said}
    assert len(kinds) >= 11
    assert any("'" in text and any(char.isdigit() for char in text) for text in said)
    assert not any("{" in text for text in said)


def test_only_finished_jobs_have_credits_and_only_failed_ones_a_message(
    state: SandboxState, jobs: list[simulation.Job]
) -> None:
    for job in jobs[::7]:
        shown = job_json(state, job, NOW)
        assert (shown["usage"]["credits"] is None) == (
            shown["status"] in ("PENDING", "RUNNING", "CANCELLED")
        )
        assert (shown["error_message"] is not None) == (shown["status"] == "FAILED")


def test_names_are_varied_some_long_some_not_ascii(state: SandboxState) -> None:
    names = [it.display_name for each in state.directories for it in each.files]
    assert len(set(names)) > 0.95 * len(names)
    assert any(len(name) > 100 for name in names)
    assert any(not name.isascii() for name in names)
    assert all("." in name for name in names)
