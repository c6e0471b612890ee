"""The public `sandbox()`: a server and the client that is connected to it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.client import get_client


def test_it_is_connected_to_and_closed() -> None:
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


def test_closing_leaves_a_client_that_came_later() -> None:
    box = lb.sandbox(batches=1, thread=True)
    later = lb.connect("llx-1", base_url="http://127.0.0.1:9")
    box.close()
    assert get_client() is later


def test_its_clock_can_be_set_forward() -> None:
    with lb.sandbox(batches=5, speed=0, thread=True) as box:
        batch = lb.create_batch(lb.fetch_directories(limit=1), "cfg-PARSE_AGENTIC")
        with pytest.raises(lb.WaitTimeoutError):
            lb.wait_for_batches(batch, timeout=0)
        box.advance(3600)
        assert lb.wait_for_batches(batch, timeout=0).status.tolist() == ["COMPLETED"]


def test_it_runs_in_a_process_of_its_own() -> None:
    with lb.sandbox(batches=5) as box:
        assert len(lb.fetch_batches(client=box.client)) == 5


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        lb.sandbox(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="batches"):
        lb.sandbox(batches=-1)


def test_the_main_job_on_a_bad_day() -> None:
    """With every kind of fault at once nothing is lost and nothing comes twice."""
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
