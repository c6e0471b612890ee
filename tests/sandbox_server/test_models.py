from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.sandbox_server.state import simulation
from llama_batches_nb.sandbox_server.state.models import TERMINAL_STATUSES, Batch, BatchStatus, File

ALLOWED_TRANSITIONS: dict[BatchStatus, set[BatchStatus]] = {
    "PENDING": {"THROTTLED", "RUNNING", "CANCELLED"},
    "THROTTLED": {"RUNNING", "CANCELLED"},
    "RUNNING": {"COMPLETED", "FAILED", "CANCELLED"},
}
FILE = File("a.pdf", "a.pdf", 0, "normal", (0, 0))


@st.composite
def plans(draw: st.DrawFn) -> Batch:
    steps = draw(st.lists(st.integers(1, 1000), min_size=4, max_size=4))
    created, throttled, started, ended = (sum(steps[: n + 1]) for n in range(4))
    batch = Batch(
        number=0,
        directory=0,
        configuration=0,
        job_type="parse_v2",
        file_count=5,
        created=created,
        throttled=draw(st.sampled_from([None, throttled])),
        started=started,
        planned_end=ended,
        ended=ended,
        final_status=draw(st.sampled_from(["COMPLETED", "FAILED"])),
        straggler_delay=draw(st.sampled_from([0, 500])),
    )
    cancel_at = draw(st.none() | st.integers(created + 1, 4100))
    return batch if cancel_at is None else batch.cancelled(cancel_at)


@given(plans())
def test_batch_status_only_moves_forward(batch: Batch) -> None:
    seen = [batch.status(now) for now in range(batch.created, batch.planned_end + 2)]
    for before, after in pairwise(seen):
        assert before == after or after in ALLOWED_TRANSITIONS[before]
    assert seen[0] == "PENDING"
    assert seen[-1] in TERMINAL_STATUSES


@given(plans())
def test_updated_is_when_the_status_was_reached(batch: Batch) -> None:
    for now in range(batch.created, batch.planned_end + 2):
        at = batch.updated(now)
        assert batch.created <= at <= now
        assert batch.status(at) == batch.status(now)
        assert at == batch.created or batch.status(at - 1) != batch.status(now)


@given(plans(), st.integers(0, 4), st.integers(0, 2**64 - 1))
def test_times_of_a_job_are_in_order(batch: Batch, index: int, seed: int) -> None:
    job = simulation.create_job(batch, index, FILE, "succeeded", seed)
    if batch.final_status != "CANCELLED" or job.created < batch.ended:
        assert batch.started <= job.created <= job.started <= job.ended
        assert job.ended <= max(batch.planned_end, batch.ended) + batch.straggler_delay + 1


@given(plans(), st.integers(0, 4), st.integers(0, 2**64 - 1))
def test_cancelled_batch_has_no_running_job(batch: Batch, index: int, seed: int) -> None:
    job = simulation.create_job(batch, index, FILE, "succeeded", seed)
    if batch.final_status == "CANCELLED" and job.created < batch.ended:
        assert job.status(batch.ended) in ("COMPLETED", "CANCELLED")
