from __future__ import annotations

from typing import Any

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox_server.app import auth
from llama_batches_nb.sandbox_server.app.routes import files
from llama_batches_nb.sandbox_server.state.uploads import Uploads

from .conftest import Start, new_batch


def test_sample_data_has_eight_directories_and_a_repeated_name(api: LlamaCloud) -> None:
    directories = list(api.beta.directories.list(page_size=2))
    assert len(directories) == 8
    assert [it.name for it in directories].count("Annual reports") == 2
    assert {it.type for it in directories} == {"user"}


def test_directory_is_returned_by_id(api: LlamaCloud) -> None:
    listed = api.beta.directories.list(name="Lease contracts").items
    assert [it.name for it in listed] == ["Lease contracts"]
    assert api.beta.directories.get(listed[0].id).model_dump() == listed[0].model_dump()
    with pytest.raises(llama_cloud.NotFoundError, match="dir-none"):
        api.beta.directories.get("dir-none")


def test_directories_are_filtered_by_type(start: Start) -> None:
    _, api = start()
    created = api.beta.directories.create(name="Scratch", type="ephemeral", description="short")
    assert created.description == "short"
    assert [it.id for it in api.beta.directories.list(type="ephemeral")] == [created.id]
    assert len(api.beta.directories.list(types=["ephemeral", "user"]).items) == 9
    assert api.beta.directories.list(type="index").items == []
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        api.beta.directories.create(name="Index", type="index")  # type: ignore[arg-type]


def test_directory_names_may_repeat(start: Start) -> None:
    _, api = start()
    ids = [api.beta.directories.create(name="Twice").id for _ in range(2)]
    assert [it.id for it in api.beta.directories.list(name="Twice")] == ids
    assert len(set(ids)) == 2


def test_directory_is_updated(start: Start) -> None:
    server, api = start()
    created = api.beta.directories.create(name="Before", description="first")
    server.advance(5)
    renamed = api.beta.directories.update(created.id, name="After")
    assert (renamed.id, renamed.name, renamed.description) == (created.id, "After", "first")
    assert renamed.updated_at
    assert created.updated_at
    assert renamed.updated_at > created.updated_at
    assert api.beta.directories.update(created.id, description="second").name == "After"
    assert api.beta.directories.get(created.id).description == "second"
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        api.beta.directories.update(created.id, name="")


def test_deleted_directory_is_listed_only_with_include_deleted(start: Start) -> None:
    server, api = start()
    created = api.beta.directories.create(name="Gone")
    api.beta.directories.files.upload(created.id, upload_file=("a.pdf", b"%PDF"))
    batch = new_batch(api, "Gone")
    server.advance(60)
    api.beta.directories.delete(created.id)
    assert api.beta.directories.list(name="Gone").items == []
    listed = api.beta.directories.list(name="Gone", include_deleted=True).items
    assert [it.id for it in listed if it.deleted_at] == [created.id]
    for call in (api.beta.directories.get, api.beta.directories.delete):
        with pytest.raises(llama_cloud.NotFoundError):
            call(created.id)
    assert api.batches.get(batch.id).status == "COMPLETED"


def test_connector_subscription_has_one_directory(start: Start) -> None:
    _, api = start()
    create = api.beta.directories.create
    first = create(name="Synced", connector_subscription_id="csub-1", system_metadata={"a": 1})
    assert (first.connector_subscription_id, first.system_metadata) == ("csub-1", {"a": 1})
    with pytest.raises(llama_cloud.ConflictError) as caught:
        create(name="Again", connector_subscription_id="csub-1")
    assert caught.value.response.json()["detail"]["directory_id"] == first.id
    api.beta.directories.delete(first.id)
    assert create(name="Again", connector_subscription_id="csub-1").id != first.id


def test_ephemeral_directory_expires(start: Start) -> None:
    server, api = start()
    created = api.beta.directories.create(name="Scratch", type="ephemeral")
    assert created.expires_at
    server.advance(3 * 86400)
    assert "Scratch" not in {it.name for it in api.beta.directories.list()}
    deleted = {it.name: it.deleted_at for it in api.beta.directories.list(include_deleted=True)}
    assert deleted["Scratch"] == created.expires_at
    with pytest.raises(llama_cloud.NotFoundError):
        api.beta.directories.files.list(created.id)
    api.beta.directories.create(name="Scratch")


def test_files_are_paginated(api: LlamaCloud) -> None:
    directory = api.beta.directories.list(name="Invoices 2026").items[0]
    paged = list(api.beta.directories.files.list(directory.id, page_size=300))
    assert len({it.id for it in paged}) == len(paged) == 1000
    assert {it.directory_id for it in paged} == {directory.id}


def test_files_are_filtered(api: LlamaCloud) -> None:
    directory = api.beta.directories.list(name="Lease contracts").items[0]
    every = api.beta.directories.files.list(directory.id, page_size=1000).items
    one = every[17]

    def found(**filters: Any) -> list[str]:
        return [it.id for it in api.beta.directories.files.list(directory.id, **filters)]

    assert found(display_name=one.display_name) == [one.id]
    assert found(file_id=one.file_id) == [one.id]
    assert found(unique_id=one.unique_id) == [one.id]
    assert found(unique_id="none") == found(file_id="none") == []
    assert found(display_name_contains="signed") == [
        it.id for it in every if "signed" in it.display_name
    ]
    assert found(updated_at_on_or_after=one.updated_at, updated_at_on_or_before=one.updated_at) == [
        one.id
    ]


def test_file_is_returned_from_its_own_directory_only(api: LlamaCloud) -> None:
    first, second = api.beta.directories.list().items[:2]
    one = api.beta.directories.files.list(first.id).items[0]
    got = api.beta.directories.files.get(one.id, directory_id=first.id)
    assert got.model_dump() == one.model_dump()
    with pytest.raises(llama_cloud.NotFoundError):
        api.beta.directories.files.get(one.id, directory_id=second.id)


def test_upload_adds_a_file(start: Start) -> None:
    _, api = start()
    directory = api.beta.directories.create(name="New")
    upload = api.beta.directories.files.upload
    plain = upload(directory.id, upload_file=("ein Brief, geprüft.pdf", b"%PDF"))
    named = upload(directory.id, upload_file=("b.pdf", b"%PDF"), display_name="B", unique_id="b-1")
    assert (plain.display_name, plain.unique_id) == ("ein Brief, geprüft.pdf",) * 2
    assert (named.display_name, named.unique_id) == ("B", "b-1")
    listed = api.beta.directories.files.list(directory.id).items
    assert [it.id for it in listed] == [plain.id, named.id]


def test_download_url_gives_the_uploaded_bytes_until_it_expires(start: Start) -> None:
    server, api = start(url_lifetime=60, retention=48)
    files, directory = api.beta.directories.files, api.beta.directories.create(name="New")
    uploaded = files.upload(directory.id, upload_file=("a.pdf", b"%PDF 1"))
    other = api.beta.directories.create(name="Other")
    added = files.add(other.id, file_id=str(uploaded.file_id))
    assert uploaded.download_url is None
    (listed,) = files.list(directory.id, expand=["download_url"]).items
    got = files.get(added.id, directory_id=other.id, expand=["download_url"])
    assert listed.download_url
    assert got.download_url
    for url in (listed.download_url.url, got.download_url.url):
        response = httpx.get(url)
        assert (response.content, response.headers["content-type"]) == (
            b"%PDF 1",
            "application/pdf",
        )
    assert files.list(directory.id).items[0].download_url is None
    server.advance(61)
    assert httpx.get(url).status_code == 403
    server.advance(47 * 3600)
    server.advance(3600)
    (expired,) = files.list(directory.id, expand=["download_url"]).items
    assert expired.download_url is None


def test_latest_uploads_are_kept_up_to_a_size() -> None:
    uploads = Uploads(max_bytes=5)
    for number in range(3):
        uploads.add((0, number), b"%d2" % number)
    assert [uploads.get((0, number)) for number in range(3)] == [None, b"12", b"22"]


def test_duplicate_unique_id_gets_409(start: Start) -> None:
    _, api = start()
    directory = api.beta.directories.create(name="New")
    api.beta.directories.files.upload(directory.id, upload_file=("a.pdf", b"%PDF"))
    with pytest.raises(llama_cloud.ConflictError, match=r"a\.pdf"):
        api.beta.directories.files.upload(directory.id, upload_file=("a.pdf", b"%PDF"))


def test_stored_file_is_added_to_another_directory(start: Start) -> None:
    _, api = start()
    source = api.beta.directories.list().items[0]
    file = api.beta.directories.files.list(source.id).items[2]
    target = api.beta.directories.create(name="Again", type="ephemeral")
    added = api.beta.directories.files.add(target.id, file_id=str(file.file_id))
    assert added.id != file.id
    assert (added.file_id, added.display_name) == (file.file_id, file.display_name)
    with pytest.raises(llama_cloud.ConflictError):
        api.beta.directories.files.add(target.id, file_id=str(file.file_id))
    with pytest.raises(llama_cloud.NotFoundError, match="none"):
        api.beta.directories.files.add(target.id, file_id="none")


def test_metadata_of_a_file_are_kept(start: Start) -> None:
    _, api = start()
    directory = api.beta.directories.create(name="New")
    files = api.beta.directories.files
    text = '{"source": "web", "priority": 1, "tags": ["a", "b"], "done": true, "rest": null}'
    uploaded = files.upload(directory.id, upload_file=("a.pdf", b"%PDF"), metadata=text)
    expected = {"source": "web", "priority": 1, "tags": ["a", "b"], "done": True, "rest": None}
    assert uploaded.metadata == expected
    assert files.get(uploaded.id, directory_id=directory.id).metadata == expected
    other = api.beta.directories.create(name="Other")
    added = files.add(other.id, file_id=str(uploaded.file_id), metadata={"source": "store"})
    assert added.metadata == {"source": "store"}
    for invalid in ("[]", "{", '{"a": {"b": 1}}', '{"a": [1]}', '{"a": NaN}', '{"a": 1e999}'):
        with pytest.raises(llama_cloud.BadRequestError, match="metadata must be"):
            files.upload(directory.id, upload_file=("b.pdf", b"%PDF"), metadata=invalid)


def test_file_is_updated(start: Start) -> None:
    server, api = start()
    directory = api.beta.directories.create(name="New")
    files = api.beta.directories.files
    first, second = (
        files.upload(directory.id, upload_file=(name, b"%PDF"), metadata='{"a": 1}')
        for name in ("a.pdf", "b.pdf")
    )
    server.advance(5)
    renamed = files.update(first.id, directory_id=directory.id, display_name="A", unique_id="u")
    assert (renamed.id, renamed.display_name, renamed.unique_id) == (first.id, "A", "u")
    assert renamed.metadata == {"a": 1}
    changed = files.update(first.id, directory_id=directory.id, metadata={"b": "2"})
    assert changed.metadata == {"b": "2"}
    after = files.list(directory.id, updated_at_on_or_after=changed.updated_at).items
    assert [it.id for it in after] == [first.id]
    with pytest.raises(llama_cloud.ConflictError, match="unique_id 'u'"):
        files.update(second.id, directory_id=directory.id, unique_id="u")
    files.update(second.id, directory_id=directory.id, unique_id="a.pdf")


def test_moved_file_keeps_its_id(start: Start) -> None:
    server, api = start()
    source, target = (api.beta.directories.create(name=name) for name in ("From", "To"))
    files = api.beta.directories.files
    moving, staying = (
        files.upload(source.id, upload_file=(name, b"%PDF")) for name in ("a.pdf", "b.pdf")
    )
    before = new_batch(api, "From")
    moved = files.update(moving.id, directory_id=source.id, target_directory_id=target.id)
    assert (moved.id, moved.directory_id) == (moving.id, target.id)
    assert [it.id for it in files.list(source.id)] == [staying.id]
    assert [it.id for it in files.list(target.id)] == [moving.id]
    assert files.get(moving.id, directory_id=target.id).model_dump() == moved.model_dump()
    with pytest.raises(llama_cloud.NotFoundError):
        files.get(moving.id, directory_id=source.id)
    after = [new_batch(api, name) for name in ("From", "To")]
    server.advance(60)
    results = [api.batches.get(it.id, expand=["results"]).results for it in (before, *after)]
    assert [[it.source_directory_file_id for it in each or []] for each in results] == [
        [moving.id, staying.id],
        [staying.id],
        [moving.id],
    ]
    back = files.update(moving.id, directory_id=target.id, target_directory_id=source.id)
    assert (back.id, back.directory_id) == (moving.id, source.id)
    assert files.list(target.id).items == []


def test_deleted_file_is_not_processed(start: Start) -> None:
    server, api = start()
    directory = api.beta.directories.create(name="New")
    files = api.beta.directories.files
    first, second = (
        files.upload(directory.id, upload_file=(name, b"%PDF")) for name in ("a.pdf", "b.pdf")
    )
    files.delete(first.id, directory_id=directory.id)
    assert [it.id for it in files.list(directory.id)] == [second.id]
    listed = files.list(directory.id, include_deleted=True).items
    assert [(it.id, it.deleted_at is not None) for it in listed] == [
        (first.id, True),
        (second.id, False),
    ]
    for call in (files.get, files.delete):
        with pytest.raises(llama_cloud.NotFoundError):
            call(first.id, directory_id=directory.id)
    batch = new_batch(api, "New")
    server.advance(60)
    (result,) = api.batches.get(batch.id, expand=["results"]).results or []
    assert result.source_directory_file_id == second.id
    assert result.job_reference
    assert api.parsing.get(result.job_reference.id).job.name == "b.pdf"
    files.upload(directory.id, upload_file=("a.pdf", b"%PDF"))


def test_content_and_name_of_a_file_determine_its_outcome(start: Start) -> None:
    server, api = start()
    directory = api.beta.directories.create(name="Mixed")
    for name, text in [
        ("good.txt", b"fine"),
        ("bad.txt", b"x" * 65533 + b"CorrUPT" + b"x" * 10),
        ("corrupt.pdf", b"%PDF"),
        ("setup.exe", b"MZ"),
        ("empty.txt", b""),
    ]:
        api.beta.directories.files.upload(directory.id, upload_file=(name, text))
    batch = new_batch(api, "Mixed")
    server.advance(60)
    results = api.batches.get(batch.id, expand=["results"]).results or []
    jobs = [it.job_reference and api.parsing.get(it.job_reference.id).job for it in results]
    assert [job and job.status for job in jobs] == ["COMPLETED", "FAILED", "FAILED", None, None]
    assert "bad.txt" in str(jobs[1] and jobs[1].error_message)
    assert [it.error_message and "setup.exe" in it.error_message for it in results[2:4]] == [
        None,
        True,
    ]


def test_upload_without_file_or_directory_is_rejected(start: Start) -> None:
    server, api = start()
    url = f"{server.url}/api/v1/beta/directories"
    headers = {"Authorization": f"Bearer {server.api_key}"}
    directory = api.beta.directories.list().items[0]
    response = httpx.post(f"{url}/{directory.id}/files/upload", headers=headers, data={"x": "y"})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "upload_file"]
    with pytest.raises(llama_cloud.NotFoundError):
        api.beta.directories.files.upload("dir-none", upload_file=("a.pdf", b"%PDF"))


def test_file_that_is_too_large_gets_413(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100_000)
    _, api = start()
    directory = api.beta.directories.create(name="New")
    upload = api.beta.directories.files.upload
    upload(directory.id, upload_file=("just.txt", b"x" * 100_000))
    with pytest.raises(llama_cloud.APIStatusError) as caught:
        upload(directory.id, upload_file=("more.txt", b"x" * 100_001))
    assert caught.value.status_code == 413
    assert len(api.beta.directories.files.list(directory.id).items) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_large_body_gets_413_with_and_without_content_length(
    start: Start, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(auth, "MAX_JSON_BYTES", 1000)
    server, _ = start()
    body = b'{"name": "' + b"x" * 500_000 + b'"}'
    content: Any = (body[n : n + 1000] for n in range(0, len(body), 1000)) if chunked else body
    response = httpx.post(
        f"{server.url}/api/v1/beta/directories",
        headers={"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"},
        content=content,
    )
    assert response.status_code == 413
    assert "1000 bytes" in response.json()["detail"]


def test_configurations_have_both_job_types(api: LlamaCloud) -> None:
    every = list(api.configurations.list(page_size=1))
    assert [it.id for it in every][:2] == ["cfg-PARSE_AGENTIC", "cfg-PARSE_COST_EFFECTIVE"]
    assert [it.product_type for it in every] == ["parse_v2"] * 2 + ["extract_v2"] * 2
    assert all(it.id.startswith("cfg-") for it in every)


def test_configurations_are_filtered(api: LlamaCloud) -> None:
    def names(**filters: Any) -> list[str]:
        return [it.name for it in api.configurations.list(**filters)]

    assert names(product_type=["extract_v2"]) == ["Key facts", "Tables and totals"]
    assert len(names(product_type=["extract_v2", "parse_v2"])) == 4
    assert names(product_type=["split_v1"]) == []
    assert names(name="Agentic") == ["Agentic"]
    assert len(names(latest_only=True)) == 4


def test_configuration_is_returned_by_id(api: LlamaCloud) -> None:
    for each in api.configurations.list():
        assert api.configurations.retrieve(each.id) == each
    with pytest.raises(llama_cloud.NotFoundError, match="cfg-none"):
        api.configurations.retrieve("cfg-none")


PARSE_PARAMETERS: Any = {"product_type": "parse_v2", "tier": "agentic_plus", "version": "latest"}


def test_configuration_is_created_updated_and_deleted(start: Start) -> None:
    server, api = start()
    created = api.configurations.create(name="Thorough", parameters=PARSE_PARAMETERS)
    assert (created.name, created.product_type) == ("Thorough", "parse_v2")
    assert api.configurations.retrieve(created.id) == created
    server.advance(5)
    renamed = api.configurations.update(created.id, name="Very thorough")
    assert (renamed.id, renamed.created_at) == (created.id, created.created_at)
    assert renamed.parameters == created.parameters
    assert renamed.version > created.version
    assert [it.id for it in api.configurations.list()].count(created.id) == 1
    api.configurations.delete(created.id)
    assert created.id not in {it.id for it in api.configurations.list()}
    with pytest.raises(llama_cloud.NotFoundError):
        api.configurations.retrieve(created.id)


def test_configuration_with_existing_name_and_type_is_replaced(start: Start) -> None:
    _, api = start()
    first = api.configurations.create(name="Mine", parameters=PARSE_PARAMETERS)
    fast = PARSE_PARAMETERS | {"tier": "fast"}
    second = api.configurations.create(name="Mine", parameters=fast)
    assert second.id == first.id
    assert second.to_dict()["parameters"]["tier"] == "fast"  # type: ignore[index]
    schema: Any = {"product_type": "extract_v2", "data_schema": {"type": "object"}}
    assert api.configurations.create(name="Mine", parameters=schema).id != first.id


def test_batch_keeps_the_configuration_that_it_was_created_with(start: Start) -> None:
    server, api = start()
    directory = api.beta.directories.create(name="New")
    api.beta.directories.files.upload(directory.id, upload_file=("a.pdf", b"%PDF"))
    saved = api.configurations.create(name="Mine", parameters=PARSE_PARAMETERS)
    job: Any = {"type": "parse_v2", "configuration_id": saved.id}
    batch = api.batches.create(source_directory_id=directory.id, config={"job": job})
    api.configurations.update(saved.id, parameters=PARSE_PARAMETERS | {"tier": "fast"})
    server.advance(60)
    (result,) = api.batches.get(batch.id, expand=["results"]).results or []
    assert result.job_reference
    assert api.parsing.get(result.job_reference.id).job.tier == "agentic_plus"
    api.configurations.delete(saved.id)
    assert api.batches.get(batch.id).config.job.configuration_id == saved.id
    with pytest.raises(llama_cloud.NotFoundError, match=saved.id):
        api.batches.create(source_directory_id=directory.id, config={"job": job})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "product_type"),
        ({"product_type": "parse_v3"}, "product_type"),
        ({"product_type": "parse_v2", "tier": "fast"}, "version"),
        ({"product_type": "extract_v2"}, "data_schema"),
        ({"product_type": "parse_v2", "tier": "best", "version": "latest"}, "cost_effective"),
        ({"product_type": "parse_v2", "tier": "fast", "version": "latest", "x": 1}, "forbidden"),
    ],
)
def test_invalid_configuration_gets_422(
    start: Start, parameters: dict[str, Any], message: str
) -> None:
    _, api = start()
    with pytest.raises(llama_cloud.UnprocessableEntityError, match=message):
        api.configurations.create(name="Mine", parameters=parameters)  # type: ignore[arg-type]


def test_preset_cannot_be_changed(api: LlamaCloud) -> None:
    for change in (api.configurations.update, api.configurations.delete):
        with pytest.raises(llama_cloud.BadRequestError, match="preset"):
            change("cfg-PARSE_AGENTIC")
