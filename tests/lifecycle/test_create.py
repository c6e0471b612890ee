"""Create one batch, also if the response is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import lost_response
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.servers import Request, Response, batch, page

RECOVERY_DELAYS = lost_response.RECOVERY_DELAYS


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))


def fake_api(*, n_created: int = 1) -> FakeApi:
    """Return a project with two old batches."""
    api = FakeApi({"dir-1": 2}, n_created=n_created)
    for batch_id in ("bat-older", "bat-old"):
        api.batches[batch_id] = batch(batch_id)
    return api


def lost(created: Any) -> Response:
    return Response(drop=True)


def test_create_sends_all_arguments(serve: Serve) -> None:
    api = fake_api()
    server = serve(api)
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
    assert api.create_bodies == [
        {
            "source_directory_id": "dir-1",
            "config": {"job": {"type": "extract_v2", "configuration_id": "cfg-9"}},
            "webhook_configurations": [webhook],
            "webhook_configuration_ids": ["whc-1"],
        }
    ]
    assert {request.param("project_id") for request in server.requests} == {"prj-9"}


@pytest.mark.parametrize(
    "response",
    [
        Response(drop=True),
        Response(batch("bat-new-0"), cut=50),
        Response(status=500, body={"detail": "Oops"}),
        Response(status=502, raw=b"<html>"),
        Response(status=504),
        Response(raw=b"<html>fine</html>", headers={"Content-Type": "text/html"}),
        Response([]),
    ],
)
def test_create_finds_batch_after_lost_response(serve: Serve, response: Response) -> None:
    api = fake_api()
    api.faults["POST batches"] = lambda created: response
    serve(api)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(api.create_bodies) == 1


@pytest.mark.parametrize("fault", [Response(drop=True), Response(status=503)])
def test_create_lists_earlier_batches_again_after_a_fault(serve: Serve, fault: Response) -> None:
    api = fake_api()
    api.faults["GET batches"] = [fault]
    api.faults["POST batches"] = lost
    serve(api)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(api.create_bodies) == 1


@pytest.mark.parametrize("n_created", [0, 2])
def test_create_is_unconfirmed_unless_one_batch_appears(serve: Serve, n_created: int) -> None:
    api = fake_api(n_created=n_created)
    api.faults["POST batches"] = lost
    serve(api)
    with pytest.raises(
        lb.UnconfirmedCreateError,
        match=rf"may have been created and may be billed; {n_created} of .*\.candidates"
        r".* check fetch_batches\(source_directory_id='dir-1'\)",
    ) as caught:
        lb.create_batch("dir-1", "cfg-1")
    newest_first = ["bat-new-1", "bat-new-0"][:n_created]
    assert caught.value.candidates.batch_id.tolist() == newest_first
    assert len(api.create_bodies) == 1


@pytest.mark.parametrize("configuration", ["cfg-1", "cfg-2"])
def test_create_never_returns_the_batch_of_another_user(serve: Serve, configuration: str) -> None:
    job = {"type": "parse_v2", "configuration_id": configuration}
    api = fake_api()
    api.faults["POST batches"] = lost
    other = batch("bat-other", config={"job": job})

    def before_ours(response: Record) -> Record:
        return page([other, *response["items"][1:]])

    def after_ours(response: Record) -> Record:
        ours, *old = response["items"]
        return page([ours, other, *old])

    api.faults["GET batches"] = [None, before_ours, *[after_ours] * len(RECOVERY_DELAYS)]
    serve(api)
    if configuration == "cfg-1":
        with pytest.raises(lb.UnconfirmedCreateError) as caught:
            lb.create_batch("dir-1", "cfg-1")
        assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-other"]
    else:
        assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert len(api.create_bodies) == 1


def test_second_of_two_creates_names_the_running_batch(serve: Serve) -> None:
    serve(FakeApi({"dir-1": 2}))
    lb.create_batch("dir-1", "cfg-1")
    lb.create_batch("dir-1", "cfg-2")
    with pytest.warns(UserWarning, match=r"other batches .* 'bat-new-0'\. .*cancel bat-new-2"):
        lb.create_batch("dir-1", "cfg-1")


def test_creates_at_the_same_time_name_each_other(serve: Serve) -> None:
    serve(FakeApi({"dir-1": 2}, n_created=2))  # the second one is that of another call
    with pytest.warns(UserWarning, match=r"at the same time: 'bat-new-1'\. .*cancel bat-new-0"):
        lb.create_batch("dir-1", "cfg-1")


def test_create_finds_batch_that_appears_after_seven_seconds(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays = [seconds / 100 for seconds in RECOVERY_DELAYS]
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", delays)
    api = fake_api()
    api.faults["POST batches"] = lost

    is_hidden = [seconds < 7 for seconds in itertools.accumulate(RECOVERY_DELAYS)]

    def hide_new(response: Record) -> Record:
        return page(response["items"][1:])

    api.faults["GET batches"] = [None, *(hide_new if hidden else None for hidden in is_hidden)]
    serve(api)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]


def test_create_is_unconfirmed_if_earlier_batches_are_unknown(serve: Serve) -> None:
    api = fake_api()
    api.faults["POST batches"] = lost
    api.faults["GET batches"] = [Response(status=404)]
    serve(api)
    with pytest.raises(lb.UnconfirmedCreateError) as caught:
        lb.create_batch("dir-1", "cfg-1")
    assert caught.value.candidates.batch_id.tolist() == ["bat-new-0", "bat-old", "bat-older"]
    assert len(api.create_bodies) == 1


def test_create_raises_server_error_if_no_batch_appears(serve: Serve) -> None:
    api = fake_api()
    api.faults["POST batches"] = Response({"detail": "Oops"}, 500)
    serve(api)
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
    api = fake_api()
    api.faults["POST batches"] = Response({"detail": "No"}, status)
    serve(api)
    with pytest.raises(error):
        lb.create_batch("dir-1", "cfg-1")
    assert api.requests["POST batches"] == 1


def test_create_is_sent_again_after_rate_limit(serve: Serve) -> None:
    api = fake_api()
    api.faults["POST batches"] = [Response(status=429, headers={"Retry-After": "0"})]
    serve(api)
    assert lb.create_batch("dir-1", "cfg-1").batch_id.tolist() == ["bat-new-0"]
    assert api.requests["POST batches"] == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source_directory_id": ""}, ValueError, "source_directory_id"),
        ({"source_directory_id": []}, ValueError, "source_directory_id"),
        (
            {"source_directory_id": pd.DataFrame({"batch_id": ["bat-1"]})},
            ValueError,
            "source_directory_id",
        ),
        ({"configuration_id": " "}, ValueError, "configuration_id"),
        ({"job_type": "parse"}, ValueError, "job_type"),
        ({"webhook_configurations": [{"webhook_ulr": "https://x.test"}]}, ValueError, "ulr"),
        ({"webhook_configurations": 5}, TypeError, "list of dicts, not int"),
    ],
)
def test_create_rejects_invalid_arguments_without_request(
    serve: Serve, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    server = serve(fake_api())
    with pytest.raises(error, match=message):
        lb.create_batch(
            **{"source_directory_id": "dir-1", "configuration_id": "cfg-1", **arguments}
        )
    assert not server.requests


def test_error_after_first_of_several_directories_keeps_created_batches(serve: Serve) -> None:
    api = FakeApi({"dir-1": 1, "dir-2": 1, "dir-3": 1})
    server = serve(lambda request: _refuse_second_create(api, request))
    with pytest.raises(lb.InvalidRequestError) as caught:
        lb.create_batch(["dir-1", "dir-2", "dir-3"], "cfg-1")
    assert caught.value.partial is not None
    assert caught.value.partial.source_directory_id.tolist() == ["dir-1"]
    (note,) = caught.value.__notes__
    assert note.startswith("1 of 3 batches was created")
    assert note.endswith("dir-2, dir-3.")
    assert [r.method for r in server.requests].count("POST") == 2


def _refuse_second_create(api: FakeApi, request: Request) -> Any:
    if request.method == "POST" and b"dir-2" in request.body:
        return Response({"detail": "refused"}, 400)
    return api(request)
