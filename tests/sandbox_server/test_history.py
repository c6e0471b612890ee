from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from llama_batches_nb.sandbox_server.app.job_serializers import job_json
from llama_batches_nb.sandbox_server.app.serializers import (
    ResultsCache,
    batch_json,
    configuration_json,
    directory_json,
    encode,
    file_json,
)
from llama_batches_nb.sandbox_server.state.clock import DAY, to_microseconds
from llama_batches_nb.sandbox_server.state.sample_data import (
    SAMPLE_CONFIGURATIONS,
    SAMPLE_DIRECTORIES,
)
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

from .conftest import END, stopped_clock_options

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state import simulation

NOW = to_microseconds(END)
DRIFTING_CONFIGURATION = 1


@pytest.fixture(scope="module")
def state() -> SandboxState:
    return SandboxState(stopped_clock_options())


@pytest.fixture(scope="module")
def jobs(state: SandboxState) -> list[simulation.Job]:
    return [
        job
        for batch in state.batches
        for index in range(batch.file_count)
        if (job := state.job(batch, index, state.failure_thresholds(batch), NOW))
    ]


def serialized_history(**options: Any) -> bytes:
    state = SandboxState(stopped_clock_options(**({"batches": 40, "files": (1, 50)} | options)))
    cache, parts = ResultsCache(state), []
    for batch in state.batches:
        parts += [encode(batch_json(state, batch, NOW)), cache.body(batch, NOW)]
        for index in range(batch.file_count):
            if job := state.job(batch, index, state.failure_thresholds(batch), NOW):
                parts.append(encode(job_json(state, job, NOW)))
    for number, directory in enumerate(state.directories):
        parts.append(encode(directory_json(state, number)))
        parts += [encode(file_json(state, number, index)) for index in range(len(directory.files))]
    parts += [encode(configuration_json(each)) for each in state.configurations]
    return b"\n".join(parts)


def failure_rate(jobs: list[simulation.Job]) -> float:
    counts = Counter(job.status(NOW) for job in jobs)
    return counts["FAILED"] / (counts["FAILED"] + counts["COMPLETED"])


def test_same_options_give_the_same_bytes() -> None:
    assert serialized_history() == serialized_history()


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"now": END + timedelta(1)}, {"batches": 41}, {"days": 90}, {"files": (1, 51)}],
)
def test_different_options_give_different_bytes(other: dict[str, Any]) -> None:
    assert serialized_history() != serialized_history(**other)


def test_history_has_the_requested_size(state: SandboxState) -> None:
    assert len(state.batches) == 320
    assert 40_000 < sum(batch.file_count for batch in state.batches) < 65_000
    assert len({batch.created for batch in state.batches}) == 320
    assert NOW - 120 * DAY <= state.batches[0].created < NOW - 115 * DAY
    assert state.batches[-1].created < NOW


def test_most_batches_have_medium_size(state: SandboxState) -> None:
    medium = sum(20 <= batch.file_count <= 300 for batch in state.batches)
    assert medium > 0.6 * len(state.batches)
    assert min(batch.file_count for batch in state.batches) < 10
    assert max(batch.file_count for batch in state.batches) > 800


def test_batches_are_sorted_by_creation_time(state: SandboxState) -> None:
    assert [batch.created for batch in state.batches] == sorted(
        batch.created for batch in state.batches
    )


def test_fixed_number_of_files_applies_to_every_batch() -> None:
    assert {
        batch.file_count for batch in SandboxState(stopped_clock_options(files=30)).batches
    } == {30}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_history_can_be_small(count: int) -> None:
    assert len(SandboxState(stopped_clock_options(batches=count, days=1, files=1)).batches) == count


def test_history_ends_with_batches_of_every_status(state: SandboxState) -> None:
    counts = Counter(batch.status(NOW) for batch in state.batches)
    assert set(counts) == {"PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    assert counts["COMPLETED"] > 250
    assert min(counts["FAILED"], counts["CANCELLED"]) >= 5


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_seeds_give_every_status(seed: int) -> None:
    assert (
        len({batch.status(NOW) for batch in SandboxState(stopped_clock_options(seed=seed)).batches})
        == 6
    )


def test_results_cache_is_bounded_and_returns_equal_bodies(state: SandboxState) -> None:
    ended = [
        batch for batch in state.batches if batch.final_status == "COMPLETED" and batch.ended < NOW
    ][:20]
    large, small = ResultsCache(state), ResultsCache(state, max_bytes=50_000)
    for batch in ended * 2:
        assert small.body(batch, NOW) == large.body(batch, NOW)
        assert small.size <= 50_000
    assert large.size > 100_000


def test_open_batches_end_as_the_clock_advances(state: SandboxState) -> None:
    later = NOW + DAY
    assert {batch.status(later) for batch in state.batches} == {"COMPLETED", "FAILED", "CANCELLED"}


def test_all_directories_and_configurations_are_used(state: SandboxState) -> None:
    assert {batch.directory for batch in state.batches} == set(range(len(SAMPLE_DIRECTORIES)))
    assert {batch.configuration for batch in state.batches} == set(
        range(len(SAMPLE_CONFIGURATIONS))
    )


def test_files_of_a_batch_exist_when_it_is_created(state: SandboxState) -> None:
    for batch in state.batches:
        files = state.directories[batch.directory].files
        assert files[batch.file_count - 1].created <= batch.created + DAY


def test_most_files_are_processed_with_several_configurations(jobs: list[simulation.Job]) -> None:
    runs: dict[tuple[int, int], set[int]] = {}
    for job in jobs:
        runs.setdefault((job.batch.directory, job.index), set()).add(job.batch.configuration)
    assert sum(len(each) > 1 for each in runs.values()) > 0.5 * len(runs)


def test_failures_occur_at_all_three_stages(
    state: SandboxState, jobs: list[simulation.Job]
) -> None:
    mapped = [
        row
        for batch in state.batches
        for row in state.mappings(batch, NOW)
        if batch.final_status == "COMPLETED"
    ]
    assert any(batch.final_status == "FAILED" for batch in state.batches)
    assert sum(error is not None for _, error, _ in mapped) > 100
    assert sum(job.status(NOW) == "FAILED" for job in jobs) > 1000


def test_jobs_have_every_status(jobs: list[simulation.Job]) -> None:
    counts = Counter(job.status(NOW) for job in jobs)
    assert {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"} <= set(counts)


def test_some_extract_jobs_are_throttled_before_they_start(jobs: list[simulation.Job]) -> None:
    throttled = [job for job in jobs if job.throttled is not None]
    assert {job.type for job in throttled} == {"extract_v2"}
    assert all(job.created <= job.throttled <= job.started for job in throttled if job.throttled)
    late = next(job for job in throttled if job.throttled and job.throttled < job.started)
    assert late.throttled
    assert [late.status(at) for at in (late.throttled - 1, late.throttled, late.started)] == [
        "PENDING",
        "THROTTLED",
        "RUNNING",
    ]


def test_completed_batches_have_jobs_still_running(jobs: list[simulation.Job]) -> None:
    assert any(
        job.status(NOW) == "RUNNING" and job.batch.status(NOW) == "COMPLETED" for job in jobs
    )


def test_cancelled_batches_have_files_without_job_and_error(state: SandboxState) -> None:
    cancelled = [batch for batch in state.batches if batch.final_status == "CANCELLED"]
    assert any(
        row[1:] == (None, False) for batch in cancelled for row in state.mappings(batch, NOW)
    )


@pytest.mark.parametrize("configuration", range(len(SAMPLE_CONFIGURATIONS)))
def test_failure_rate_of_one_configuration_rises(
    state: SandboxState, jobs: list[simulation.Job], configuration: int
) -> None:
    own = [job for job in jobs if job.batch.configuration == configuration]
    before = failure_rate([job for job in own if job.batch.created < state.drift_start])
    after = failure_rate([job for job in own if job.batch.created >= state.drift_start])
    if configuration == DRIFTING_CONFIGURATION:
        assert before < 0.05
        assert after > 0.11
    else:
        assert abs(after - before) < 0.025


def test_failure_rates_differ_between_directories(jobs: list[simulation.Job]) -> None:
    by_name = {
        sample.name: failure_rate([job for job in jobs if job.batch.directory == index])
        for index, sample in enumerate(SAMPLE_DIRECTORIES)
    }
    assert by_name["Medical intake forms"] > 2 * by_name["Research papers"]


def test_error_messages_are_varied_and_contain_names_and_numbers(
    state: SandboxState, jobs: list[simulation.Job]
) -> None:
    messages = [
        str(job_json(state, job, NOW)["error_message"])
        for job in jobs
        if job.outcome != "succeeded"
    ]
    messages += [
        error for batch in state.batches for _, error, _ in state.mappings(batch, NOW) if error
    ]
    kinds = {" ".join(word for word in text.split()[:2] if word.isalpha()) for text in messages}
    assert len(kinds) >= 11
    assert any("'" in text and any(char.isdigit() for char in text) for text in messages)
    assert not any("{" in text for text in messages)


def test_finished_jobs_have_credits_and_failed_jobs_have_messages(
    state: SandboxState, jobs: list[simulation.Job]
) -> None:
    for job in jobs[::7]:
        record = job_json(state, job, NOW)
        assert (record["usage"]["credits"] is None) == (
            record["status"] not in ("COMPLETED", "FAILED")
        )
        assert (record["error_message"] is not None) == (record["status"] == "FAILED")


def test_file_names_are_varied_long_and_not_only_ascii(state: SandboxState) -> None:
    names = [file.display_name for each in state.directories for file in each.files]
    assert len(set(names)) > 0.95 * len(names)
    assert any(len(name) > 100 for name in names)
    assert any(not name.isascii() for name in names)
    assert all("." in name for name in names)
