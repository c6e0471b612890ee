"""Test the usage limit, the plan, and the open points of lists and errors."""

from __future__ import annotations

from typing import Any

import httpx
import llama_cloud
import pytest

from .conftest import Start, new_batch


def test_creates_above_the_usage_limit_get_402_and_reads_work(start: Start) -> None:
    _, api = start(usage_limit=2)
    directory = api.beta.directories.create(name="New")
    file = api.beta.directories.files.upload(directory.id, upload_file=("a.txt", b"text"))
    for create in (
        lambda: api.beta.directories.create(name="Other"),
        lambda: api.beta.directories.files.upload(directory.id, upload_file=("b.txt", b"text")),
        lambda: new_batch(api),
    ):
        with pytest.raises(llama_cloud.APIStatusError, match="usage limit") as caught:
            create()
        assert caught.value.status_code == 402
    assert [each.id for each in api.beta.directories.files.list(directory.id)] == [file.id]
    running = api.batches.list(status="RUNNING").items[0]
    assert api.batches.cancel(running.id).id == running.id


def test_batches_get_403_on_the_free_plan(start: Start) -> None:
    _, api = start(plan="free")
    with pytest.raises(llama_cloud.PermissionDeniedError, match="plan"):
        api.batches.list()
    with pytest.raises(llama_cloud.PermissionDeniedError, match="plan"):
        new_batch(api)
    assert api.parsing.list(page_size=1).items


def test_error_details_are_objects_with_the_option(start: Start) -> None:
    _, api = start(object_details=True)
    with pytest.raises(llama_cloud.NotFoundError) as caught:
        api.batches.get("bat-none")
    assert caught.value.body == {
        "detail": {"message": "Batch 'bat-none' not found", "status_code": 404}
    }


def test_page_size_above_the_maximum_gets_422(start: Start) -> None:
    _, api = start(max_page_size=10)
    assert len(api.batches.list().items) == 10
    assert len(api.batches.list(page_size=10).items) == 10
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        api.batches.list(page_size=11)
    (detail,) = caught.value.body["detail"]  # type: ignore[index]
    assert detail["loc"] == ["query", "page_size"]


@pytest.mark.parametrize(
    ("total_size", "expected"),
    [("exact", {"total_size": 24}), ("null", {"total_size": None}), ("zero", {"total_size": 0})],
)
def test_total_size_can_be_exact_null_or_zero(
    start: Start, total_size: str, expected: dict[str, Any]
) -> None:
    server, _ = start(total_size=total_size)
    headers = {"Authorization": f"Bearer {server.api_key}"}
    body = httpx.get(f"{server.url}/api/v2/batches", headers=headers).json()
    assert expected.items() <= body.items()


def test_total_size_can_be_missing(start: Start) -> None:
    server, _ = start(total_size="missing")
    headers = {"Authorization": f"Bearer {server.api_key}"}
    for path in ("/api/v2/batches", "/api/v1/beta/directories"):
        body = httpx.get(f"{server.url}{path}", headers=headers).json()
        assert set(body) == {"items", "next_page_token"}
