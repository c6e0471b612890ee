from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from .conftest import END, Start, new_batch, total


def test_paging_gives_every_batch_once_newest_first(api: LlamaCloud) -> None:
    paged = list(api.batches.list(page_size=37))
    whole = api.batches.list(page_size=1000)
    assert whole.next_page_token is None
    assert total(whole) == len(paged) == 320
    assert [it.id for it in paged] == [it.id for it in whole.items]
    moments = [it.created_at for it in paged if it.created_at]
    assert moments == sorted(moments, reverse=True)


def test_a_page_has_fifty_unless_told_and_a_thousand_at_most(api: LlamaCloud) -> None:
    assert len(api.batches.list().items) == 50
    assert len(api.batches.list(page_size=5000).items) == 320


def test_lists_never_carry_results(api: LlamaCloud) -> None:
    assert {it.results for it in api.batches.list(page_size=1000).items} == {None}


def test_each_status_filters(api: LlamaCloud) -> None:
    counts = Counter(it.status for it in api.batches.list(page_size=1000).items)
    for status, count in counts.items():
        page = api.batches.list(status=status, page_size=1000)
        assert [it.status for it in page.items] == [status] * count
        assert total(page) == count


def test_a_directory_filters(api: LlamaCloud) -> None:
    every = api.batches.list(page_size=1000).items
    wanted = every[5].source_directory_id
    found = api.batches.list(source_directory_id=wanted, page_size=1000).items
    assert [it.id for it in found] == [it.id for it in every if it.source_directory_id == wanted]
    assert api.batches.list(source_directory_id="dir-none").items == []


def test_times_of_creation_filter_and_include_their_ends(api: LlamaCloud) -> None:
    every = api.batches.list(page_size=1000).items
    last, first = every[10].created_at, every[20].created_at
    found = api.batches.list(created_at_on_or_after=first, created_at_on_or_before=last)
    assert [it.id for it in found.items] == [it.id for it in every[10:21]]
    assert total(found) == 11
    assert api.batches.list(created_at_on_or_after=END + timedelta(1)).items == []


def test_filters_combine_over_pages(api: LlamaCloud) -> None:
    since = END - timedelta(60)
    found = list(api.batches.list(status="FAILED", created_at_on_or_after=since, page_size=2))
    every = api.batches.list(page_size=1000).items
    wanted = [
        it.id for it in every if it.status == "FAILED" and it.created_at and it.created_at >= since
    ]
    assert [it.id for it in found] == wanted
    assert len(wanted) > 2


def test_the_project_may_be_named_and_no_other(api: LlamaCloud) -> None:
    project_id = api.batches.list(page_size=1).items[0].project_id
    page = api.batches.list(project_id=project_id, organization_id="org-any", page_size=1)
    assert total(page) == 320
    with pytest.raises(llama_cloud.NotFoundError, match="prj-other"):
        api.batches.list(project_id="prj-other")


def test_paging_is_stable_while_batches_are_created(start: Start) -> None:
    _, api = start()
    before = [it.id for it in api.batches.list(page_size=1000).items]
    page = api.batches.list(page_size=10)
    seen = [it.id for it in page.items]
    while page.has_next_page():
        new_batch(api)
        page = page.get_next_page()
        seen += [it.id for it in page.items]
    assert seen == before


@pytest.mark.parametrize("token", ["x", "0", "9ac197ec-7912-443c-83ad-27fa9dc7c5e5", "é"])
def test_a_malformed_page_token_is_400(api: LlamaCloud, token: str) -> None:
    with pytest.raises(llama_cloud.BadRequestError, match="page_token"):
        api.batches.list(page_token=token)


def test_a_token_of_another_list_is_400(api: LlamaCloud) -> None:
    token = api.batches.list(page_size=1).next_page_token
    with pytest.raises(llama_cloud.BadRequestError):
        api.beta.directories.list(page_token=token)


@pytest.mark.parametrize(
    "bad",
    [
        {"page_size": 0},
        {"page_size": -1},
        {"page_size": "many"},
        {"status": "DONE"},
        {"created_at_on_or_after": "yesterday"},
    ],
)
def test_a_bad_parameter_is_422_with_a_list_of_details(
    api: LlamaCloud, bad: dict[str, Any]
) -> None:
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        api.batches.list(**bad)
    (detail,) = caught.value.body["detail"]  # type: ignore[index]
    assert detail["loc"] == ["query", *bad]
    assert {"loc", "msg", "type"} <= set(detail)


def test_unknown_parameters_and_fields_are_passed_over(start: Start) -> None:
    _, api = start()
    assert api.batches.list(extra_query={"colour": "red"}).items
    directory = api.beta.directories.create(name="New", extra_body={"colour": "red"})
    assert directory.name == "New"


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
def test_a_batch_that_ended_has_results_when_expanded(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    assert api.batches.get(batch.id).results is None
    assert api.batches.get(batch.id, expand=["other"]).results is None
    results = api.batches.get(batch.id, expand=["results"]).results
    assert results
    files = {
        it.id for it in api.beta.directories.files.list(batch.source_directory_id, page_size=1000)
    }
    assert {it.source_directory_file_id for it in results} <= files
    assert all(not (it.error_message and it.job_reference) for it in results)


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "FAILED"])
def test_results_are_null_until_the_end_and_when_failed(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    got = api.batches.get(batch.id, expand=["results"])
    assert got.status == status
    assert got.results is None


def test_an_expanded_body_is_the_same_every_time(api: LlamaCloud) -> None:
    batch = api.batches.list(status="COMPLETED").items[3]
    bodies = [
        api.batches.with_raw_response.get(batch.id, expand=["results"]).read() for _ in range(2)
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("name", ["bat-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "x", "bat-", "ü"])
def test_an_unknown_batch_is_404(api: LlamaCloud, name: str) -> None:
    with pytest.raises(llama_cloud.NotFoundError) as caught:
        api.batches.get(name, expand=["results"])
    assert isinstance(caught.value.body, dict)
    with pytest.raises(llama_cloud.NotFoundError):
        api.batches.cancel(name)


def test_a_new_batch_runs_to_its_end_as_the_clock_is_stepped(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    assert (batch.status, batch.results) == ("PENDING", None)
    seen = ["PENDING"]
    while seen[-1] != "COMPLETED":
        server.advance(0.5)
        seen.append(api.batches.get(batch.id).status)
        assert len(seen) < 100
    assert list(dict.fromkeys(seen)) in (
        ["PENDING", "RUNNING", "COMPLETED"],
        ["PENDING", "THROTTLED", "RUNNING", "COMPLETED"],
    )
    files = api.beta.directories.files.list(batch.source_directory_id, page_size=1000).items
    results = api.batches.get(batch.id, expand=["results"]).results or []
    assert [it.source_directory_file_id for it in results] == [it.id for it in files]


def test_some_new_batches_are_throttled(start: Start) -> None:
    server, api = start()
    made = {new_batch(api).id for _ in range(20)}
    server.advance(1.5)
    throttled = {it.id for it in api.batches.list(status="THROTTLED")}
    assert 0 < len(made & throttled) < 20


def test_a_small_batch_ends_within_a_second_or_so_at_speed_20(start: Start) -> None:
    _, api = start(speed=20)
    directory = api.beta.directories.create(name="Two")
    for name in ("a.txt", "b.txt"):
        api.beta.directories.files.upload(directory.id, upload_file=(name, b"text"))
    batch = new_batch(api, "Two")
    began = time.monotonic()
    while api.batches.get(batch.id).status != "COMPLETED":
        time.sleep(0.03)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"directory": "dir-none"}, llama_cloud.NotFoundError, "dir-none"),
        ({"configuration": "cfg-none"}, llama_cloud.NotFoundError, "cfg-none"),
        ({"type": "extract_v2"}, llama_cloud.BadRequestError, "parse_v2"),
        ({"type": "split_v1"}, llama_cloud.UnprocessableEntityError, "type"),
    ],
)
def test_a_batch_that_cannot_be_made_is_refused(
    api: LlamaCloud, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    directory = api.beta.directories.list().items[0].id
    with pytest.raises(error, match=says):
        api.batches.create(
            source_directory_id=change.get("directory", directory),
            config={
                "job": {
                    "type": change.get("type", "parse_v2"),
                    "configuration_id": change.get("configuration", "cfg-PARSE_AGENTIC"),
                }
            },
        )


def test_a_body_without_its_fields_is_422(api: LlamaCloud) -> None:
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        api.post("/api/v2/batches", cast_to=object, body={"config": {"job": {}}})
    assert {tuple(each["loc"]) for each in caught.value.body["detail"]} == {  # type: ignore[index]
        ("body", "config", "job", "configuration_id"),
        ("body", "config", "job", "type"),
        ("body", "source_directory_id"),
    }


def test_an_empty_directory_is_400(start: Start) -> None:
    _, api = start()
    api.beta.directories.create(name="Empty")
    with pytest.raises(llama_cloud.BadRequestError, match="no files"):
        new_batch(api, "Empty")


def test_more_than_a_thousand_files_are_400(start: Start) -> None:
    _, api = start(files=1000)
    new_batch(api)
    directory = api.beta.directories.list(name="Insurance claims").items[0]
    api.beta.directories.files.upload(directory.id, upload_file=("one more.txt", b"text"))
    with pytest.raises(llama_cloud.BadRequestError, match="1001 files"):
        new_batch(api)


def test_webhooks_are_taken(start: Start) -> None:
    _, api = start()
    directory = api.beta.directories.list().items[0]
    batch = api.batches.create(
        source_directory_id=directory.id,
        config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        webhook_configurations=[
            {"webhook_url": "https://example.com", "webhook_events": ["batch.success"]}
        ],
        webhook_configuration_ids=["whc-1"],
    )
    assert batch.status == "PENDING"


def test_cancel_answers_at_once_and_takes_effect_a_moment_later(start: Start) -> None:
    server, api = start()
    batch = new_batch(api, "Invoices 2026")
    server.advance(6)
    assert api.batches.cancel(batch.id).status == "RUNNING"
    assert api.batches.get(batch.id).status == "RUNNING"
    server.advance(1)
    assert api.batches.get(batch.id).status == "CANCELLED"
    server.advance(1000)
    assert api.batches.get(batch.id).status == "CANCELLED"


def test_a_pending_batch_can_be_cancelled(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    api.batches.cancel(batch.id)
    server.advance(1)
    results = api.batches.get(batch.id, expand=["results"]).results or []
    assert results
    assert {(it.job_reference, it.error_message) for it in results} == {(None, None)}


def test_a_second_cancel_changes_nothing(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    api.batches.cancel(batch.id)
    server.advance(0.9)
    api.batches.cancel(batch.id)
    server.advance(0.1)
    assert api.batches.get(batch.id).status == "CANCELLED"


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_a_batch_that_ended_cannot_be_cancelled(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    with pytest.raises(llama_cloud.ConflictError, match=status):
        api.batches.cancel(batch.id)
