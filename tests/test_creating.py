"""Creating a batch once, whatever becomes of the answer; and cancelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb import creating
from tests.conftest import Serve
from tests.servers import Answer, Asked, batch, page


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "LOOKS", (0.0, 0.01, 0.01))


class World:
    """Batches that are really made, and an answer that may be lost."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any], *, makes: int = 1) -> None:
        self.batches = [batch("bat-old"), batch("bat-older")]
        self.posts: list[Any] = []
        self._answer, self._makes = answer, makes

    def __call__(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return page(self.batches)
        self.posts.append(asked.json)
        config = asked.json["config"]
        new = [batch(f"bat-new-{n}", "PENDING", config=config) for n in range(self._makes)]
        self.batches = [*new, *self.batches]
        return self._answer(new[0] if new else {})


def test_the_request_is_what_the_api_wants(serve: Serve) -> None:
    world = World(lambda made: made)
    server = serve(world)
    hook = {"webhook_url": "https://example.com", "webhook_events": ["batch.success"]}
    made = lb.create_batch(
        pd.DataFrame({"source_directory_id": ["dir-1", "dir-1"]}),
        "cfg-9",
        job_type="extract_v2",
        webhook_configurations=[hook],
        webhook_configuration_ids=["whc-1"],
        project_id="prj-9",
    )
    assert made.batch_id.tolist() == ["bat-new-0"]
    assert world.posts == [
        {
            "source_directory_id": "dir-1",
            "config": {"job": {"type": "extract_v2", "configuration_id": "cfg-9"}},
            "webhook_configurations": [hook],
            "webhook_configuration_ids": ["whc-1"],
        }
    ]
    assert {asked.one("project_id") for asked in server.asked} == {"prj-9"}


LOST = [
    Answer(drop=True),
    Answer(batch("bat-new-0"), cut=50),
    Answer(status=500, body={"detail": "Oops"}),
    Answer(status=502, raw=b"<html>"),
    Answer(status=504),
    Answer(raw=b"<html>fine</html>", headers={"Content-Type": "text/html"}),
    Answer([]),
]


@pytest.mark.parametrize("answer", LOST)
def test_if_the_answer_is_lost_the_batch_is_found_and_not_made_again(
    serve: Serve, answer: Answer
) -> None:
    world = World(lambda made: answer)
    serve(world)
    made = lb.create_batch("dir-1", "cfg-1")
    assert made.batch_id.tolist() == ["bat-new-0"]
    assert len(world.posts) == 1


def test_if_it_cannot_be_told_which_it_is_the_candidates_are_given(serve: Serve) -> None:
    world = World(lambda made: Answer(drop=True), makes=2)
    serve(world)
    with pytest.raises(lb.UnconfirmedCreateError, match="candidates") as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-new-1"]
    assert len(world.posts) == 1


def test_if_none_appears_it_is_unconfirmed_without_candidates(serve: Serve) -> None:
    world = World(lambda made: Answer(drop=True), makes=0)
    serve(world)
    with pytest.raises(lb.UnconfirmedCreateError) as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.empty
    assert len(world.posts) == 1


def test_if_it_was_not_seen_what_there_was_before_nothing_is_taken_for_granted(
    serve: Serve,
) -> None:
    world = World(lambda made: Answer(drop=True))
    server = serve(lambda asked: Answer(status=404) if len(server.asked) == 1 else world(asked))
    with pytest.raises(lb.UnconfirmedCreateError) as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-old", "bat-older"]
    assert len(world.posts) == 1


def test_a_server_that_failed_and_made_nothing_is_a_server_error(serve: Serve) -> None:
    serve(World(lambda made: Answer({"detail": "Oops"}, 500), makes=0))
    with pytest.raises(lb.ServerError, match="Oops"):
        lb.create_batch("dir-1", "cfg-1")


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
def test_a_refusal_is_raised(serve: Serve, status: int, error: type[lb.BatchesError]) -> None:
    world = World(lambda made: Answer({"detail": "No"}, status), makes=0)
    serve(world)
    with pytest.raises(error):
        lb.create_batch("dir-1", "cfg-1")
    assert len(world.posts) == 1


def test_a_refusal_by_the_rate_limit_is_sent_again(serve: Serve) -> None:
    answers = iter([Answer(status=429, headers={"Retry-After": "0"}), batch("bat-1")])
    world = World(lambda made: next(answers), makes=0)
    serve(world)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-1"]
    assert len(world.posts) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"source_directory_id": ""},
        {"source_directory_id": ["dir-1", "dir-2"]},
        {"source_directory_id": pd.DataFrame({"batch_id": ["bat-1"]})},
        {"configuration_id": " "},
        {"job_type": "parse"},
    ],
)
def test_bad_arguments_make_no_batch(serve: Serve, arguments: dict[str, Any]) -> None:
    server = serve(World(lambda made: made))
    with pytest.raises(ValueError, match=next(iter(arguments))):
        lb.create_batch(
            **{"source_directory_id": "dir-1", "configuration_id": "cfg-1", **arguments}
        )
    assert not server.asked


def test_cancelled_batches_are_returned_as_they_stand(serve: Serve) -> None:
    server = serve(lambda asked: batch(asked.path.split("/")[-2], "RUNNING"))
    stands = lb.cancel_batch(["bat-2", "bat-1"])
    assert stands.batch_id.tolist() == ["bat-2", "bat-1"]
    assert stands.status.tolist() == ["RUNNING", "RUNNING"]
    assert {(asked.method, asked.path) for asked in server.asked} == {
        ("POST", "/api/v2/batches/bat-1/cancel"),
        ("POST", "/api/v2/batches/bat-2/cancel"),
    }


def test_those_that_have_ended_do_not_keep_the_others_from_being_cancelled(serve: Serve) -> None:
    def script(asked: Asked) -> Any:
        name = asked.path.split("/")[-2]
        return Answer({"detail": "Ended"}, 409) if name == "bat-2" else batch(name, "RUNNING")

    server = serve(script)
    with pytest.raises(lb.ConflictError, match="bat-2") as caught:
        lb.cancel_batch([f"bat-{n}" for n in range(1, 7)])
    assert len(server.asked) == 6
    assert caught.value.partial is not None
    assert caught.value.partial.batch_id.tolist() == ["bat-1", "bat-3", "bat-4", "bat-5", "bat-6"]


def test_an_ended_batch_cannot_be_cancelled(on_sandbox: lb.Client) -> None:
    ended = lb.fetch_batches(status="COMPLETED", limit=1)
    with pytest.raises(lb.ConflictError, match=ended.batch_id[0]):
        lb.cancel_batch(ended)
