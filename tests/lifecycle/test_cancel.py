"""Cancel batches."""

from __future__ import annotations

from typing import Any

import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Request, Response, batch


def test_cancel_returns_current_state_in_order(serve: Serve) -> None:
    server = serve(lambda request: batch(request.path.split("/")[-2], "RUNNING"))
    cancelled = lb.cancel_batch(["bat-2", "bat-1"])
    assert cancelled.batch_id.tolist() == ["bat-2", "bat-1"]
    assert cancelled.status.tolist() == ["RUNNING", "RUNNING"]
    assert {(request.method, request.path) for request in server.requests} == {
        ("POST", "/api/v2/batches/bat-1/cancel"),
        ("POST", "/api/v2/batches/bat-2/cancel"),
    }


def test_cancel_continues_after_finished_batch(serve: Serve) -> None:
    def script(request: Request) -> Any:
        batch_id = request.path.split("/")[-2]
        if batch_id == "bat-2":
            return Response({"detail": "Ended"}, 409)
        return batch(batch_id, "RUNNING")

    server = serve(script)
    with pytest.raises(
        lb.ConflictError, match=r"1 of 6 batches had already finished .*'bat-2'.* others"
    ) as caught:
        lb.cancel_batch([f"bat-{n}" for n in range(1, 7)])
    assert len(server.requests) == 6
    assert caught.value.status_code == 409
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1", "bat-3", "bat-4", "bat-5", "bat-6"]


def test_cancel_finished_batch_raises_conflict(on_sandbox: lb.Client) -> None:
    finished = lb.fetch_batches(status="COMPLETED", limit=1)
    with pytest.raises(lb.ConflictError, match=finished.batch_id[0]):
        lb.cancel_batch(finished)
