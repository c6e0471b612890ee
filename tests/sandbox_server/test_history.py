from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from llama_batches_nb.sandbox_server.app.serializers import (
    ResultsCache,
    batch,
    configuration,
    directory,
    encode,
)
from llama_batches_nb.sandbox_server.app.serializers import file as file_json
from llama_batches_nb.sandbox_server.app.serializers import job as job_json
from llama_batches_nb.sandbox_server.state.clock import DAY, to_microseconds
from llama_batches_nb.sandbox_server.state.sample_data import PRESETS, SHELVES
from llama_batches_nb.sandbox_server.state.world import SandboxState

from .conftest import END, still

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state import simulation

NOW = to_microseconds(END)
DRIFTING = 1


@pytest.fixture(scope="module")
def world() -> SandboxState:
    return SandboxState(still())


@pytest.fixture(scope="module")
def jobs(world: SandboxState) -> list[simulation.Job]:
    return [
        job
        for it in world.batches
        for index in range(it.files)
        if (job := world.job(it, index, world.odds(it), NOW))
    ]


def everything(**options: Any) -> bytes:
    world = SandboxState(still(**({"batches": 40, "files": (1, 50)} | options)))
    expanded, parts = ResultsCache(world), []
    for it in world.batches:
        parts += [encode(batch(world, it, NOW)), expanded.body(it, NOW)]
        for index in range(it.files):
            if job := world.job(it, index, world.odds(it), NOW):
                parts.append(encode(job_json(world, job, NOW)))
    for place, each in enumerate(world.directories):
        parts.append(encode(directory(world, place)))
        parts += [encode(file_json(world, place, index)) for index in range(len(each.files))]
    parts += [encode(configuration(it)) for it in world.configurations]
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


def test_the_history_has_the_size_asked_for(world: SandboxState) -> None:
    assert len(world.batches) == 320
    assert 40_000 < sum(it.files for it in world.batches) < 65_000
    assert len({it.created for it in world.batches}) == 320
    assert NOW - 120 * DAY <= world.batches[0].created < NOW - 115 * DAY
    assert world.batches[-1].created < NOW


def test_most_batches_are_of_middle_size(world: SandboxState) -> None:
    middle = sum(20 <= it.files <= 300 for it in world.batches)
    assert middle > 0.6 * len(world.batches)
    assert min(it.files for it in world.batches) < 10
    assert max(it.files for it in world.batches) > 800


def test_batches_are_in_the_order_of_their_creation(world: SandboxState) -> None:
    assert [it.created for it in world.batches] == sorted(it.created for it in world.batches)


def test_a_number_of_files_is_kept_by_every_batch() -> None:
    assert {it.files for it in SandboxState(still(files=30)).batches} == {30}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_a_history_may_be_small(count: int) -> None:
    assert len(SandboxState(still(batches=count, days=1, files=1)).batches) == count


def test_every_status_is_there_at_the_end(world: SandboxState) -> None:
    counts = Counter(it.status(NOW) for it in world.batches)
    assert set(counts) == {"PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    assert counts["COMPLETED"] > 250
    assert min(counts["FAILED"], counts["CANCELLED"]) >= 5


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_seeds_have_every_status_too(seed: int) -> None:
    assert len({it.status(NOW) for it in SandboxState(still(seed=seed)).batches}) == 6


def test_kept_bodies_are_bounded_and_come_again_the_same(world: SandboxState) -> None:
    ended = [it for it in world.batches if it.end == "COMPLETED" and it.ended < NOW][:20]
    plenty, little = ResultsCache(world), ResultsCache(world, most_bytes=50_000)
    for it in ended * 2:
        assert little.body(it, NOW) == plenty.body(it, NOW)
        assert little.size <= 50_000
    assert plenty.size > 100_000


def test_open_batches_move_on_with_the_clock(world: SandboxState) -> None:
    later = NOW + DAY
    assert {it.status(later) for it in world.batches} == {"COMPLETED", "FAILED", "CANCELLED"}


def test_all_directories_and_configurations_are_used(world: SandboxState) -> None:
    assert {it.directory for it in world.batches} == set(range(len(SHELVES)))
    assert {it.configuration for it in world.batches} == set(range(len(PRESETS)))


def test_a_batch_has_only_files_that_were_there(world: SandboxState) -> None:
    for it in world.batches:
        files = world.directories[it.directory].files
        assert files[it.files - 1].created <= it.created + DAY


def test_files_are_run_by_more_than_one_configuration(jobs: list[simulation.Job]) -> None:
    runs: dict[tuple[int, int], set[int]] = {}
    for job in jobs:
        runs.setdefault((job.batch.directory, job.index), set()).add(job.batch.configuration)
    assert sum(len(each) > 1 for each in runs.values()) > 0.5 * len(runs)


def test_failures_are_in_all_three_layers(world: SandboxState, jobs: list[simulation.Job]) -> None:
    mapped = [row for it in world.batches for row in world.mappings(it) if it.end == "COMPLETED"]
    assert any(it.end == "FAILED" for it in world.batches)
    assert sum(error is not None for _, error, _ in mapped) > 100
    assert sum(job.status(NOW) == "FAILED" for job in jobs) > 1000


def test_jobs_have_every_status(jobs: list[simulation.Job]) -> None:
    counts = Counter(job.status(NOW) for job in jobs)
    assert set(counts) == {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}


def test_completed_batches_have_jobs_still_running(jobs: list[simulation.Job]) -> None:
    assert any(
        job.status(NOW) == "RUNNING" and job.batch.status(NOW) == "COMPLETED" for job in jobs
    )


def test_cancelled_batches_have_files_with_neither_job_nor_message(world: SandboxState) -> None:
    cancelled = [it for it in world.batches if it.end == "CANCELLED"]
    assert any(row[1:] == (None, False) for it in cancelled for row in world.mappings(it))


@pytest.mark.parametrize("choice", range(len(PRESETS)))
def test_only_one_configuration_gets_worse(
    world: SandboxState, jobs: list[simulation.Job], choice: int
) -> None:
    mine = [job for job in jobs if job.batch.configuration == choice]
    before = failure_rate([job for job in mine if job.batch.created < world.drift_from])
    after = failure_rate([job for job in mine if job.batch.created >= world.drift_from])
    if choice == DRIFTING:
        assert before < 0.05
        assert after > 0.11
    else:
        assert abs(after - before) < 0.025


def test_directories_differ(jobs: list[simulation.Job]) -> None:
    by_name = {
        shelf.name: failure_rate([job for job in jobs if job.batch.directory == place])
        for place, shelf in enumerate(SHELVES)
    }
    assert by_name["Medical intake forms"] > 2 * by_name["Research papers"]


def test_a_dozen_kinds_of_messages_carry_names_and_numbers(
    world: SandboxState, jobs: list[simulation.Job]
) -> None:
    said = [
        str(job_json(world, job, NOW)["error_message"]) for job in jobs if job.fate != "succeeded"
    ]
    said += [error for it in world.batches for _, error, _ in world.mappings(it) if error]
    kinds = {" ".join(word for word in text.split()[:2] if word.isalpha()) for text in said}
    assert len(kinds) >= 11
    assert any("'" in text and any(char.isdigit() for char in text) for text in said)
    assert not any("{" in text for text in said)


def test_only_finished_jobs_have_credits_and_only_failed_ones_a_message(
    world: SandboxState, jobs: list[simulation.Job]
) -> None:
    for job in jobs[::7]:
        shown = job_json(world, job, NOW)
        assert (shown["usage"]["credits"] is None) == (
            shown["status"] in ("PENDING", "RUNNING", "CANCELLED")
        )
        assert (shown["error_message"] is not None) == (shown["status"] == "FAILED")


def test_names_are_varied_some_long_some_not_ascii(world: SandboxState) -> None:
    names = [it.display_name for each in world.directories for it in each.files]
    assert len(set(names)) > 0.95 * len(names)
    assert any(len(name) > 100 for name in names)
    assert any(not name.isascii() for name in names)
    assert all("." in name for name in names)
