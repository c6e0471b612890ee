from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from .conftest import END, Start, new_batch, total


def test_pagination_returns_every_batch_once_newest_first(api: LlamaCloud) -> None:
    paged = list(api.batches.list(page_size=37))
    whole = api.batches.list(page_size=1000)
    assert whole.next_page_token is None
    assert total(whole) == len(paged) == 320
    assert [it.id for it in paged] == [it.id for it in whole.items]
    times = [it.created_at for it in paged if it.created_at]
    assert times == sorted(times, reverse=True)


def test_page_size_is_50_by_default_and_at_most_1000(api: LlamaCloud) -> None:
    assert len(api.batches.list().items) == 50
    assert len(api.batches.list(page_size=5000).items) == 320
    assert len(api.batches.list(page_size=0).items) == 50


def test_listed_batches_have_no_results(api: LlamaCloud) -> None:
    assert {it.results for it in api.batches.list(page_size=1000).items} == {None}


def test_batches_are_filtered_by_status(api: LlamaCloud) -> None:
    counts = Counter(it.status for it in api.batches.list(page_size=1000).items)
    for status, count in counts.items():
        page = api.batches.list(status=status, page_size=1000)
        assert [it.status for it in page.items] == [status] * count
        assert total(page) == count


def test_batches_are_filtered_by_directory(api: LlamaCloud) -> None:
    every = api.batches.list(page_size=1000).items
    expected = every[5].source_directory_id
    found = api.batches.list(source_directory_id=expected, page_size=1000).items
    assert [it.id for it in found] == [it.id for it in every if it.source_directory_id == expected]
    assert api.batches.list(source_directory_id="dir-none").items == []


def test_batches_are_filtered_by_inclusive_creation_times(api: LlamaCloud) -> None:
    every = api.batches.list(page_size=1000).items
    last, first = every[10].created_at, every[20].created_at
    found = api.batches.list(created_at_on_or_after=first, created_at_on_or_before=last)
    assert [it.id for it in found.items] == [it.id for it in every[10:21]]
    assert total(found) == 11
    assert api.batches.list(created_at_on_or_after=END + timedelta(1)).items == []


def test_combined_filters_apply_across_pages(api: LlamaCloud) -> None:
    since = END - timedelta(60)
    found = list(api.batches.list(status="FAILED", created_at_on_or_after=since, page_size=2))
    every = api.batches.list(page_size=1000).items
    expected = [
        it.id for it in every if it.status == "FAILED" and it.created_at and it.created_at >= since
    ]
    assert [it.id for it in found] == expected
    assert len(expected) > 2


def test_own_project_id_is_accepted_and_another_gets_404(api: LlamaCloud) -> None:
    project_id = api.batches.list(page_size=1).items[0].project_id
    page = api.batches.list(project_id=project_id, organization_id="org-any", page_size=1)
    assert total(page) == 320
    with pytest.raises(llama_cloud.NotFoundError, match="prj-other"):
        api.batches.list(project_id="prj-other")


def test_pagination_is_stable_while_batches_are_created(start: Start) -> None:
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
def test_malformed_page_token_gets_400(api: LlamaCloud, token: str) -> None:
    with pytest.raises(llama_cloud.BadRequestError, match="page_token"):
        api.batches.list(page_token=token)


def test_page_token_of_another_list_gets_400(api: LlamaCloud) -> None:
    token = api.batches.list(page_size=1).next_page_token
    with pytest.raises(llama_cloud.BadRequestError):
        api.beta.directories.list(page_token=token)


@pytest.mark.parametrize(
    "bad",
    [
        {"page_size": -1},
        {"page_size": "many"},
        {"status": "DONE"},
        {"created_at_on_or_after": "yesterday"},
    ],
)
def test_invalid_parameter_gets_422_with_details(api: LlamaCloud, bad: dict[str, Any]) -> None:
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        api.batches.list(**bad)
    (detail,) = caught.value.body["detail"]  # type: ignore[index]
    assert detail["loc"] == ["query", *bad]
    assert {"loc", "msg", "type"} <= set(detail)


def test_unknown_parameters_are_ignored(api: LlamaCloud) -> None:
    assert api.batches.list(extra_query={"colour": "red"}).items


def test_unknown_expand_value_gets_422(api: LlamaCloud) -> None:
    batch = api.batches.list(page_size=1).items[0]
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="expand"):
        api.batches.get(batch.id, expand=["results", "jobs"])


@pytest.mark.parametrize(
    "extra",
    [
        {"colour": "red"},
        {"webhook_configurations": [{"url": "https://example.com"}]},
        {"config": {"job": {"type": "parse_v2", "configuration_id": "cfg-A", "tier": "fast"}}},
    ],
    ids=str,
)
def test_unknown_body_key_gets_422(api: LlamaCloud, extra: dict[str, Any]) -> None:
    directory = api.beta.directories.list(name="Insurance claims").items[0]
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="extra_forbidden"):
        api.batches.create(
            source_directory_id=directory.id,
            config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
            extra_body=extra,
        )


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
def test_ended_batch_has_results_when_expanded(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    assert api.batches.get(batch.id).results is None
    results = api.batches.get(batch.id, expand=["results"]).results
    assert results
    files = {
        it.id for it in api.beta.directories.files.list(batch.source_directory_id, page_size=1000)
    }
    assert {it.source_directory_file_id for it in results} <= files
    assert all(not (it.error_message and it.job_reference) for it in results)


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "FAILED"])
def test_results_are_null_while_open_and_when_failed(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    got = api.batches.get(batch.id, expand=["results"])
    assert got.status == status
    assert got.results is None


def test_expanded_body_is_the_same_each_time(api: LlamaCloud) -> None:
    batch = api.batches.list(status="COMPLETED").items[3]
    bodies = [
        api.batches.with_raw_response.get(batch.id, expand=["results"]).read() for _ in range(2)
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("name", ["bat-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "x", "bat-", "ü"])
def test_unknown_batch_gets_404(api: LlamaCloud, name: str) -> None:
    with pytest.raises(llama_cloud.NotFoundError) as caught:
        api.batches.get(name, expand=["results"])
    assert isinstance(caught.value.body, dict)
    with pytest.raises(llama_cloud.NotFoundError):
        api.batches.cancel(name)


def test_new_batch_completes_as_the_clock_advances(start: Start) -> None:
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
    created = {new_batch(api).id for _ in range(20)}
    server.advance(1.5)
    throttled = {it.id for it in api.batches.list(status="THROTTLED")}
    assert 0 < len(created & throttled) < 20


def test_small_batch_completes_quickly_at_speed_20(start: Start) -> None:
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
    ("change", "error", "message"),
    [
        ({"directory": "dir-none"}, llama_cloud.NotFoundError, "dir-none"),
        ({"configuration": "cfg-none"}, llama_cloud.NotFoundError, "cfg-none"),
        ({"type": "extract_v2"}, llama_cloud.BadRequestError, "parse_v2"),
        ({"type": "split_v1"}, llama_cloud.UnprocessableEntityError, "type"),
    ],
)
def test_invalid_batch_is_rejected(
    api: LlamaCloud, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    directory = api.beta.directories.list().items[0].id
    with pytest.raises(error, match=message):
        api.batches.create(
            source_directory_id=change.get("directory", directory),
            config={
                "job": {
                    "type": change.get("type", "parse_v2"),
                    "configuration_id": change.get("configuration", "cfg-PARSE_AGENTIC"),
                }
            },
        )


def test_body_without_required_fields_gets_422(api: LlamaCloud) -> None:
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        api.post("/api/v2/batches", cast_to=object, body={"config": {"job": {}}})
    assert {tuple(each["loc"]) for each in caught.value.body["detail"]} == {  # type: ignore[index]
        ("body", "config", "job", "configuration_id"),
        ("body", "config", "job", "type"),
        ("body", "source_directory_id"),
    }


def test_empty_directory_gets_400(start: Start) -> None:
    _, api = start()
    api.beta.directories.create(name="Empty")
    with pytest.raises(llama_cloud.BadRequestError, match="no files"):
        new_batch(api, "Empty")


def test_more_than_1000_files_get_400(start: Start) -> None:
    _, api = start(files=1000)
    new_batch(api)
    directory = api.beta.directories.list(name="Insurance claims").items[0]
    api.beta.directories.files.upload(directory.id, upload_file=("one more.txt", b"text"))
    with pytest.raises(llama_cloud.BadRequestError, match="1001 files"):
        new_batch(api)


def test_webhooks_are_accepted(start: Start) -> None:
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


def test_cancel_returns_at_once_and_takes_effect_later(start: Start) -> None:
    server, api = start()
    batch = new_batch(api, "Invoices 2026")
    server.advance(6)
    assert api.batches.cancel(batch.id).status == "RUNNING"
    assert api.batches.get(batch.id).status == "RUNNING"
    server.advance(1)
    assert api.batches.get(batch.id).status == "CANCELLED"
    server.advance(1000)
    assert api.batches.get(batch.id).status == "CANCELLED"


def test_pending_batch_is_cancelled(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    api.batches.cancel(batch.id)
    server.advance(1)
    results = api.batches.get(batch.id, expand=["results"]).results or []
    assert results
    assert {(it.job_reference, it.error_message) for it in results} == {(None, None)}


def test_second_cancel_changes_nothing(start: Start) -> None:
    server, api = start()
    batch = new_batch(api)
    api.batches.cancel(batch.id)
    server.advance(0.9)
    api.batches.cancel(batch.id)
    server.advance(0.1)
    assert api.batches.get(batch.id).status == "CANCELLED"


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_cancelling_an_ended_batch_gets_409(api: LlamaCloud, status: Any) -> None:
    batch = api.batches.list(status=status).items[0]
    with pytest.raises(llama_cloud.ConflictError, match=status):
        api.batches.cancel(batch.id)
