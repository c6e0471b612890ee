"""Test the public `sandbox()`: a server and a connected client."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.client import get_client


def test_sandbox_connects_and_close_restores_previous_client() -> None:
    before = lb.connect("llx-1", base_url="http://127.0.0.1:9")
    with lb.sandbox(batches=5, thread=True) as box:
        assert get_client() is box.client
        assert box.client.base_url == box.url
        assert len(lb.fetch_batches()) == 5
        assert repr(box) == f"Sandbox('{box.url}')"
    assert get_client() is before
    assert repr(box).endswith("closed)")
    box.close()
    with pytest.raises(lb.ConnectionFailedError):
        lb.fetch_batches(client=lb.connect("llx-1", base_url=box.url, max_retries=0))


def test_close_keeps_a_client_that_connected_later() -> None:
    box = lb.sandbox(batches=1, thread=True)
    later = lb.connect("llx-1", base_url="http://127.0.0.1:9")
    box.close()
    assert get_client() is later


def test_advance_lets_a_batch_complete() -> None:
    with lb.sandbox(batches=5, speed=0, thread=True) as box:
        batch = lb.create_batch(lb.fetch_directories(limit=1), "cfg-PARSE_AGENTIC")
        with pytest.raises(lb.WaitTimeoutError):
            lb.wait_for_batches(batch, timeout=0)
        box.advance(3600)
        assert lb.wait_for_batches(batch, timeout=0).status.tolist() == ["COMPLETED"]


def test_sandbox_runs_in_a_separate_process() -> None:
    with lb.sandbox(batches=5) as box:
        assert len(lb.fetch_batches(client=box.client)) == 5


def test_unknown_or_invalid_option_raises() -> None:
    with pytest.raises(TypeError, match="colour"):
        lb.sandbox(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="batches"):
        lb.sandbox(batches=-1)


def test_fetching_under_faults_loses_and_repeats_no_row() -> None:
    """Inject all kinds of faults at once and compare with the rows without faults."""
    options: dict[str, Any] = {
        "batches": 40,
        "files": (1, 60),
        "seed": 3,
        "speed": 0,
        "thread": True,
    }
    options["now"] = dt.datetime(2026, 8, 1)
    with lb.sandbox(**options):
        batches = lb.fetch_batches()
        results = lb.fetch_results(batches)
        jobs = lb.fetch_jobs(results)
    faults: dict[str, Any] = {
        "error_rate": 0.08,
        "drop_rate": 0.08,
        "throttle_rate": 0.05,
        "retry_after": 0.05,
    }
    with lb.sandbox(**options, **faults):
        assert lb.fetch_batches().equals(batches)
        assert lb.fetch_results(batches).equals(results)
        assert lb.fetch_jobs(results).equals(jobs)
