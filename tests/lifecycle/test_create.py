"""Creating a batch once, whatever becomes of the answer; and cancelling."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import lost_response
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.servers import Answer, Asked, Script, batch, page

LOOKS = lost_response.RECOVERY_DELAYS


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))


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


def _after_the_create(world: World, listed: Callable[[int], list[Record]]) -> Script:
    """Return a script in which each look for the batch that was made finds what is `listed`."""
    looks = itertools.count(1)

    def script(asked: Asked) -> Any:
        answer = world(asked)
        is_look = asked.path == "/api/v2/batches" and asked.method == "GET" and world.posts
        return page(listed(next(looks))) if is_look else answer

    return script


@pytest.mark.parametrize("configuration", ["cfg-1", "cfg-2"])
def test_the_batch_of_somebody_else_is_not_taken_for_ours_that_appears_later(
    serve: Serve, configuration: str
) -> None:
    job = {"type": "parse_v2", "configuration_id": configuration}
    world = World(lambda made: Answer(drop=True))
    others = batch("bat-others", config={"job": job})

    def listed(n_looks: int) -> list[Record]:
        ours, *old = world.batches
        return [others, *old] if n_looks == 1 else [ours, others, *old]

    serve(_after_the_create(world, listed))
    if configuration == "cfg-1":
        with pytest.raises(lb.UnconfirmedCreateError) as caught:
            lb.create_batch("dir-1", "cfg-1")
        assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-others"]
    else:
        assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(world.posts) == 1


def test_one_that_appears_after_seven_seconds_is_found(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", [seconds / 100 for seconds in LOOKS])
    world = World(lambda made: Answer(drop=True))

    def listed(n_looks: int) -> list[Record]:
        return world.batches if sum(LOOKS[:n_looks]) >= 7 else world.batches[1:]

    serve(_after_the_create(world, listed))
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]


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
    refused: list[Asked] = []

    def script(asked: Asked) -> Any:
        if asked.path == "/api/v2/batches" and not refused:
            refused.append(asked)
            return Answer(status=404)
        return world(asked)

    serve(script)
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


def test_what_json_does_not_hold_is_told_before_anything_is_asked(serve: Serve) -> None:
    server = serve(World(lambda made: made))
    for value, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error, match="JSON"):
            lb.create_batch("dir-1", "cfg-1", webhook_configurations=[{"webhook_url": value}])
    assert not server.asked


# --- what is checked before ---------------------------------------------------------------------

SAVED = "cfg-11111111-2222-4333-8444-555555555555"
OTHER = "cfg-99999999-2222-4333-8444-555555555555"


class Project(World):
    """Directories with so many files each, a saved configuration, and batches."""

    def __init__(self, **n_files: int) -> None:
        super().__init__(lambda made: made)
        self.n_files = n_files
        self.asked: list[str] = []

    def __call__(self, asked: Asked) -> Any:
        place = asked.path.split("/")
        if place[-1] == "configurations":
            self.asked.append("configurations")
            saved = {"id": SAVED, "name": "Invoices", "product_type": "extract_v2"}
            return page([saved, {"id": "cfg-of-tomorrow"}])
        if place[-1] == "files":
            self.asked.append("files")
            if place[-2] not in self.n_files:
                return Answer({"detail": f"Directory {place[-2]} not found"}, 404)
            start = int(asked.one("page_token") or 0)
            end = min(start + 400, self.n_files[place[-2]])
            files = [{"id": f"dfl-{n}"} for n in range(start, end)]
            return page(files, str(end) if end < self.n_files[place[-2]] else None)
        return super().__call__(asked)


@pytest.mark.parametrize(
    ("directory", "configuration", "job_type", "error", "words"),
    [
        ("none", "cfg-1", "parse_v2", lb.NotFoundError, "none"),
        ("empty", "cfg-1", "parse_v2", lb.InvalidRequestError, "empty has no files"),
        ("large", "cfg-1", "parse_v2", lb.InvalidRequestError, "large has more than the 1,000"),
        ("full", SAVED, "parse_v2", lb.InvalidRequestError, "Invoices.* for extract_v2"),
        ("full", OTHER, "parse_v2", lb.NotFoundError, OTHER),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_asked_for(
    serve: Serve,
    directory: str,
    configuration: str,
    job_type: str,
    error: type[lb.BatchesError],
    words: str,
) -> None:
    project = Project(empty=0, full=1000, large=1001)
    serve(project)
    with pytest.raises(error, match=words):
        lb.create_batch(directory, configuration, job_type=job_type)
    assert not project.posts
    lb.create_batch(
        directory,
        configuration,
        job_type=job_type,
        check_directory=False,
        check_configuration=False,
    )
    assert len(project.posts) == 1


@pytest.mark.parametrize(("words", "posts"), [("Directory not found", 0), ("Not Found", 1)])
def test_a_directory_that_is_not_there_is_told_from_a_list_that_is_not(
    serve: Serve, words: str, posts: int
) -> None:
    world = World(lambda made: made)
    missing = Answer({"detail": words}, 404)
    serve(lambda asked: world(asked) if asked.path == "/api/v2/batches" else missing)
    with nullcontext() if posts else pytest.raises(lb.NotFoundError, match=words):
        lb.create_batch("dir-1", "cfg-1")
    assert len(world.posts) == posts


@pytest.mark.parametrize(
    ("configuration", "job_type"),
    [(SAVED, "extract_v2"), ("cfg-of-tomorrow", "parse_v2"), ("cfg-PARSE_AGENTIC", "parse_v2")],
)
def test_what_may_work_is_asked_for(serve: Serve, configuration: str, job_type: str) -> None:
    project = Project(full=1000)
    serve(project)
    lb.create_batch("full", configuration, job_type=job_type)
    assert len(project.posts) == 1


def test_each_check_can_be_left_out(serve: Serve) -> None:
    project = Project(full=1)
    serve(project)
    lb.create_batch("full", SAVED, check_configuration=False)
    assert set(project.asked) == {"files"}
    project.asked.clear()
    lb.create_batch("none", SAVED, job_type="extract_v2", check_directory=False)
    assert set(project.asked) == {"configurations"}


@pytest.mark.parametrize("fault", [Answer(status=500), Answer(status=403), Answer(drop=True)])
def test_a_check_that_fails_holds_nothing_up(serve: Serve, fault: Answer) -> None:
    world = World(lambda made: made)
    serve(lambda asked: world(asked) if asked.path == "/api/v2/batches" else fault)
    assert lb.create_batch("dir-1", SAVED).batch_id.tolist() == ["bat-new-0"]


def test_the_sandbox_says_the_same_as_the_checks(on_sandbox: lb.Client) -> None:
    saved = lb.fetch_configurations(job_type="extract_v2").configuration_id[0]
    directory = lb.fetch_directories(limit=1)
    for checked in (True, False):
        with pytest.raises(lb.BatchesError) as caught:
            lb.create_batch(directory, saved, check_configuration=checked)
        assert "extract_v2" in str(caught.value)


# --- cancelling ---------------------------------------------------------------------------------


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
