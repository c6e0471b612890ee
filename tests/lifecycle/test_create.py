"""Create one batch, also if the response is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import lost_response
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.servers import Answer, Asked, Script, batch, page

RECOVERY_DELAYS = lost_response.RECOVERY_DELAYS


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))


class BatchService:
    """A service that creates `n_created` batches per request and responds with `respond`."""

    def __init__(self, respond: Callable[[Record], Any], *, n_created: int = 1) -> None:
        self.batches = [batch("bat-old"), batch("bat-older")]
        self.posts: list[Any] = []
        self._respond, self._n_created = respond, n_created

    def __call__(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return page(self.batches)
        self.posts.append(asked.json)
        config = asked.json["config"]
        new = [batch(f"bat-new-{n}", "PENDING", config=config) for n in range(self._n_created)]
        self.batches = [*new, *self.batches]
        return self._respond(new[0] if new else {})


def lost(_: Record) -> Answer:
    return Answer(drop=True)


def test_create_sends_all_arguments(serve: Serve) -> None:
    service = BatchService(lambda created: created)
    server = serve(service)
    webhook = {"webhook_url": "https://example.com", "webhook_events": ["batch.success"]}
    created = lb.create_batch(
        pd.DataFrame({"source_directory_id": ["dir-1", "dir-1"]}),
        "cfg-9",
        job_type="extract_v2",
        webhook_configurations=[webhook],
        webhook_configuration_ids=["whc-1"],
        project_id="prj-9",
    )
    assert created.batch_id.tolist() == ["bat-new-0"]
    assert service.posts == [
        {
            "source_directory_id": "dir-1",
            "config": {"job": {"type": "extract_v2", "configuration_id": "cfg-9"}},
            "webhook_configurations": [webhook],
            "webhook_configuration_ids": ["whc-1"],
        }
    ]
    assert {asked.one("project_id") for asked in server.asked} == {"prj-9"}


@pytest.mark.parametrize(
    "response",
    [
        Answer(drop=True),
        Answer(batch("bat-new-0"), cut=50),
        Answer(status=500, body={"detail": "Oops"}),
        Answer(status=502, raw=b"<html>"),
        Answer(status=504),
        Answer(raw=b"<html>fine</html>", headers={"Content-Type": "text/html"}),
        Answer([]),
    ],
)
def test_create_finds_batch_after_lost_response(serve: Serve, response: Answer) -> None:
    service = BatchService(lambda created: response)
    serve(service)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(service.posts) == 1


@pytest.mark.parametrize("n_created", [0, 2])
def test_create_is_unconfirmed_unless_one_batch_appears(serve: Serve, n_created: int) -> None:
    service = BatchService(lost, n_created=n_created)
    serve(service)
    with pytest.raises(
        lb.UnconfirmedCreateError,
        match=rf"may have been created and may be billed; {n_created} of .*\.candidates"
        r".* check fetch_batches\(source_directory_id='dir-1'\)",
    ) as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.batch_id.tolist() == [f"bat-new-{n}" for n in range(n_created)]
    assert len(service.posts) == 1


def _after_create(service: BatchService, listed: Callable[[int], list[Record]]) -> Script:
    """Return a script that answers the nth list request after the create with `listed(n)`."""
    list_requests = itertools.count(1)

    def script(asked: Asked) -> Any:
        response = service(asked)
        is_recovery = asked.path == "/api/v2/batches" and asked.method == "GET" and service.posts
        return page(listed(next(list_requests))) if is_recovery else response

    return script


@pytest.mark.parametrize("configuration", ["cfg-1", "cfg-2"])
def test_create_never_returns_the_batch_of_another_user(serve: Serve, configuration: str) -> None:
    job = {"type": "parse_v2", "configuration_id": configuration}
    service = BatchService(lost)
    other = batch("bat-other", config={"job": job})

    def listed(n_requests: int) -> list[Record]:
        ours, *old = service.batches
        return [other, *old] if n_requests == 1 else [ours, other, *old]

    serve(_after_create(service, listed))
    if configuration == "cfg-1":
        with pytest.raises(lb.UnconfirmedCreateError) as caught:
            lb.create_batch("dir-1", "cfg-1")
        assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-other"]
    else:
        assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(service.posts) == 1


def test_create_finds_batch_that_appears_after_seven_seconds(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays = [seconds / 100 for seconds in RECOVERY_DELAYS]
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", delays)
    service = BatchService(lost)

    def listed(n_requests: int) -> list[Record]:
        return service.batches if sum(RECOVERY_DELAYS[:n_requests]) >= 7 else service.batches[1:]

    serve(_after_create(service, listed))
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]


def test_create_is_unconfirmed_if_earlier_batches_are_unknown(serve: Serve) -> None:
    service = BatchService(lost)
    failed: list[Asked] = []

    def script(asked: Asked) -> Any:
        if asked.path == "/api/v2/batches" and not failed:
            failed.append(asked)
            return Answer(status=404)
        return service(asked)

    serve(script)
    with pytest.raises(lb.UnconfirmedCreateError) as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-old", "bat-older"]
    assert len(service.posts) == 1


def test_create_raises_server_error_if_no_batch_appears(serve: Serve) -> None:
    serve(BatchService(lambda created: Answer({"detail": "Oops"}, 500), n_created=0))
    with pytest.raises(lb.ServerError, match="Oops") as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.__notes__ == ["No new batch appeared in directory dir-1."]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, lb.InvalidRequestError),
        (404, lb.NotFoundError),
        (409, lb.ConflictError),
        (422, lb.InvalidRequestError),
        (403, lb.AuthenticationError),
    ],
)
def test_create_raises_rejection_without_retry(
    serve: Serve, status: int, error: type[lb.BatchesError]
) -> None:
    service = BatchService(lambda created: Answer({"detail": "No"}, status), n_created=0)
    serve(service)
    with pytest.raises(error):
        lb.create_batch("dir-1", "cfg-1")
    assert len(service.posts) == 1


def test_create_is_sent_again_after_rate_limit(serve: Serve) -> None:
    responses = iter([Answer(status=429, headers={"Retry-After": "0"}), batch("bat-1")])
    service = BatchService(lambda created: next(responses), n_created=0)
    serve(service)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-1"]
    assert len(service.posts) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source_directory_id": ""}, ValueError, "source_directory_id"),
        ({"source_directory_id": ["dir-1", "dir-2"]}, ValueError, "source_directory_id"),
        (
            {"source_directory_id": pd.DataFrame({"batch_id": ["bat-1"]})},
            ValueError,
            "source_directory_id",
        ),
        ({"configuration_id": " "}, ValueError, "configuration_id"),
        ({"job_type": "parse"}, ValueError, "job_type"),
        ({"webhook_configurations": {"webhook_url": "x"}}, TypeError, "list of dicts"),
        ({"webhook_configurations": 5}, TypeError, "list of dicts"),
        ({"webhook_configurations": ["x"]}, TypeError, "contain dicts"),
        ({"webhook_configurations": [{"webhook_url": float("nan")}]}, ValueError, "JSON"),
        ({"webhook_configurations": [{"webhook_url": object()}]}, TypeError, "JSON"),
    ],
)
def test_create_rejects_invalid_arguments_without_request(
    serve: Serve, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    server = serve(BatchService(lambda created: created))
    with pytest.raises(error, match=message):
        lb.create_batch(
            **{"source_directory_id": "dir-1", "configuration_id": "cfg-1", **arguments}
        )
    assert not server.asked
