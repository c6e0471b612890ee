"""fetch_directories, fetch_files and fetch_configurations."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Request, Response, page


def _file(name: str, directory: str) -> dict[str, Any]:
    return {"id": name, "directory_id": directory, "display_name": f"{name}.pdf", "file_id": None}


def test_files_are_ordered_by_directory(serve: Serve) -> None:
    def script(request: Request) -> Any:
        directory = request.path.split("/")[-2]
        if request.param("page_token"):
            return page([_file(f"{directory}-2", directory)])
        return page([_file(f"{directory}-1", directory)], "more")

    serve(script)
    files = lb.fetch_files(["dir-b", "dir-a", "dir-b"])
    assert files.source_directory_file_id.tolist() == ["dir-b-1", "dir-b-2", "dir-a-1", "dir-a-2"]
    assert files.source_directory_id.tolist() == ["dir-b", "dir-b", "dir-a", "dir-a"]
    assert files.file_id.isna().all()


def test_files_without_a_directory_id_get_the_requested_one(
    serve: Serve,
) -> None:
    serve(
        lambda request: page(
            [{"id": f"dfl-{request.path.split('/')[-2]}", "display_name": "a.pdf"}]
        )
    )
    assert lb.fetch_files(["dir-b", "dir-a"]).source_directory_id.tolist() == ["dir-b", "dir-a"]


def test_missing_directory_raises_or_is_skipped(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if "dir-missing" in request.path:
            time.sleep(0.5)  # let the other response arrive first
            return Response({"detail": "Cleaned up"}, 404)
        return page([_file("dfl-1", "dir-a")])

    serve(script)
    with pytest.raises(lb.NotFoundError, match="Cleaned up") as caught:
        lb.fetch_files(["dir-a", "dir-missing"])
    assert caught.value.partial is not None
    assert len(caught.value.partial) == 1
    with pytest.warns(UserWarning, match=r"1 directory .*dir-missing.*Cleaned up"):
        assert len(lb.fetch_files(["dir-a", "dir-missing"], errors="warn")) == 1
    with pytest.raises(ValueError, match="errors='ignore'"):
        lb.fetch_files("dir-a", errors="ignore")  # type: ignore[arg-type]


def test_directories_are_filtered_by_the_server(serve: Serve) -> None:
    server = serve(lambda request: page([{"id": "dir-1", "name": "A", "type": "folder"}]))
    directories = lb.fetch_directories(
        name="A",
        type=["user", "EPHEMERAL"],  # type: ignore[list-item]  # case is ignored
        limit=5,
    )
    assert directories.type.tolist() == ["folder"]
    assert server.requests[0].query["types"] == ["user", "ephemeral"]
    assert server.requests[0].param("name") == "A"
    with pytest.raises(ValueError, match="type='folder'"):
        lb.fetch_directories(type="folder")  # type: ignore[arg-type]


def test_configurations_are_filtered_by_the_server(serve: Serve) -> None:
    record = {"id": "cfg-1", "name": "A", "product_type": "parse_v2", "version": "3"}
    server = serve(lambda request: page([record]))
    lb.fetch_configurations(job_type=["split_v1", "unknown"])
    assert server.requests.pop().query["product_type"] == ["split_v1", "unknown"]
    configurations = lb.fetch_configurations(job_type="parse_v2", latest_only=True)
    assert configurations.job_type.tolist() == ["parse_v2"]
    assert configurations.version.tolist() == ["3"]
    assert server.requests[0].query["product_type"] == ["parse_v2"]
    assert server.requests[0].param("latest_only") == "true"
    with pytest.raises(TypeError, match="latest_only must be True or False"):
        lb.fetch_configurations(latest_only="yes")  # type: ignore[arg-type]


def test_sandbox_has_eight_directories_and_four_configurations(on_sandbox: lb.Client) -> None:
    directories = lb.fetch_directories(type="user")
    assert len(directories) == 8
    assert len(lb.fetch_configurations()) == 4
    files = lb.fetch_files(directories)
    assert set(files.source_directory_id) == set(directories.source_directory_id)
    results = lb.fetch_results(status="COMPLETED")
    from_directories = results[results.source_directory_id.isin(directories.source_directory_id)]
    assert len(from_directories) > 0
    assert from_directories.source_directory_file_id.isin(files.source_directory_file_id).all()


@pytest.mark.parametrize("include_deleted", [False, True])
def test_deleted_records_are_listed_only_with_include_deleted(
    serve: Serve, include_deleted: bool
) -> None:
    deleted = {"id": "one", "deleted_at": "2026-08-01T12:00:00Z"}
    server = serve(lambda request: page([deleted] if request.param("include_deleted") else []))
    directories = lb.fetch_directories(include_deleted=include_deleted)
    files = lb.fetch_files("dir-1", include_deleted=include_deleted)
    assert len(directories) == len(files) == include_deleted
    assert directories.deleted_at.dtype == files.deleted_at.dtype == "datetime64[us, UTC]"
    sent = [request.param("include_deleted") for request in server.requests]
    assert sent == ["true" if include_deleted else None] * 2


def test_raw_is_the_json_of_each_directory_file_and_configuration(serve: Serve) -> None:
    sent = {"id": "one", "tomorrow": {"ключ": 1}, "parameters": {"tier": "fast"}}
    serve(lambda request: page([sent]))
    fetches = (lb.fetch_directories, lb.fetch_configurations, partial(lb.fetch_files, "dir-1"))
    for fetch in fetches:
        frame = fetch(raw=True)
        assert frame.columns[-1] == "raw"
        assert json.loads(frame.raw[0]) == sent
    assert json.loads(lb.fetch_configurations().parameters[0]) == {"tier": "fast"}


@pytest.mark.parametrize("argument", ["include_deleted", "raw"])
def test_flag_that_is_not_a_bool_raises_before_any_request(serve: Serve, argument: str) -> None:
    server = serve(lambda request: page([]))
    wrong: dict[str, Any] = {argument: "true"}
    for fetch in (lb.fetch_directories, partial(lb.fetch_files, "dir-1")):
        with pytest.raises(TypeError, match=f"{argument} must be True or False"):
            fetch(**wrong)
    assert not server.requests


@pytest.mark.parametrize("fetch", [lb.fetch_directories, lb.fetch_configurations])
def test_name_that_cannot_be_sent_raises_before_any_request(serve: Serve, fetch: Any) -> None:
    server = serve(lambda request: page([]))
    with pytest.raises(ValueError, match=r"^name=.* an unpaired surrogate"):
        fetch(name="a\ud800")
    with pytest.raises(TypeError, match=r"^name must be text, not 5"):
        fetch(name=5)
    assert not server.requests
