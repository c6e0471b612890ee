"""Test the outputs of jobs: pages, presigned URLs and extracted data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox_server.process import Server
from llama_batches_nb.sandbox_server.state.clock import DAY, to_microseconds
from llama_batches_nb.sandbox_server.state.documents import Document
from llama_batches_nb.sandbox_server.state.extractions import extract
from llama_batches_nb.sandbox_server.state.models import Configuration, File
from llama_batches_nb.sandbox_server.state.pages import ParsedPages
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
from llama_batches_nb.sandbox_server.state.simulation import Job

from .conftest import END, Start, connect, stopped_clock_options

NOW = to_microseconds(END)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = stopped_clock_options(batches=40, files=(1, 60), failed_pages=0.5)
    with Server.start(options, thread=True) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[LlamaCloud]:
    with connect(server) as client:
        yield client


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    """Return COMPLETED jobs of different files."""
    state = SandboxState(stopped_clock_options(files=(1, 200)))
    found: dict[tuple[int, int], Job] = {}
    for batch in state.batches[-60:]:
        thresholds = state.failure_thresholds(batch)
        for index in range(batch.file_count):
            job = state.job(batch, index, thresholds, NOW + DAY)
            if job and job.outcome == "succeeded":
                found.setdefault(job.file.stored, job)
    return list(found.values())


def completed_parse_job(api: LlamaCloud, expand: list[str], **conditions: Any) -> Any:
    """Return the first COMPLETED job with several pages, and failed ones if `failed`."""
    for job in api.parsing.list(status="COMPLETED", page_size=100).items:
        got = api.parsing.get(job.id, expand=["markdown", *expand])
        assert got.markdown
        failed = [page for page in got.markdown.pages if not page.success]
        if len(got.markdown.pages) > 2 and bool(failed) == conditions.get("failed", False):
            return got
    raise AssertionError("no such job")


def test_nothing_is_returned_without_expand(api: LlamaCloud) -> None:
    job = api.parsing.list(status="COMPLETED", page_size=1).items[0]
    got = api.parsing.get(job.id).to_dict()
    assert {name for name, value in got.items() if value is not None} == {"job"}


@pytest.mark.parametrize("status", ["FAILED", "RUNNING", "CANCELLED"])
def test_jobs_that_are_not_completed_have_no_outputs(api: LlamaCloud, status: Any) -> None:
    for job in api.parsing.list(status=status, page_size=3).items:
        got = api.parsing.get(job.id, expand=["markdown", "text_content_metadata"])
        assert got.markdown is None
        assert got.result_content_metadata is None
    for extract_job in api.extract.list(status=status, page_size=3).items:
        assert api.extract.get(extract_job.id).extract_result is None


def test_outputs_are_the_same_each_time(api: LlamaCloud) -> None:
    job = api.parsing.list(status="COMPLETED", page_size=1).items[0]
    first, second = (
        api.parsing.get(job.id, expand=["markdown", "items", "metadata"]).to_json()
        for _ in range(2)
    )
    assert first == second


def test_markdown_text_and_items_agree(api: LlamaCloud) -> None:
    got = completed_parse_job(api, ["text", "items", "markdown_full", "text_full"])
    texts = [page.text for page in got.text.pages]
    markdown = [page.markdown for page in got.markdown.pages]
    assert got.markdown_full == "\n\n---\n\n".join(markdown)
    assert got.text_full == "\n\n".join(texts)
    assert markdown[0].startswith("# ")
    assert "| --- |" in markdown[0]
    for page, items in zip(markdown, got.items.pages, strict=True):
        assert "\n\n".join(item.md for item in items.items) == page
    (table,) = [item for item in got.items.pages[0].items if item.type == "table"]
    assert table.csv.count("\n") == len(table.rows)
    assert all(cell in texts[0] for row in table.rows for cell in row)


def test_failed_pages_have_an_error_and_no_content(api: LlamaCloud) -> None:
    expand = ["text", "items", "metadata", "markdown_full"]
    got = completed_parse_job(api, expand, failed=True)
    assert got.job.status == "COMPLETED"
    failed = {page.page_number for page in got.markdown.pages if not page.success}
    assert all(page.error for page in got.markdown.pages if not page.success)
    assert {page.page_number for page in got.items.pages if not page.success} == failed
    assert not failed & {page.page_number for page in got.text.pages}
    scores = {page.page_number: page.confidence for page in got.metadata.pages}
    assert {number for number, score in scores.items() if score is None} == failed
    known = [score for score in scores.values() if score is not None]
    breakdown = got.metadata.document.confidence_breakdown
    assert breakdown.min_page_score == min(known)
    assert breakdown.scored_pages == len(known)
    assert breakdown.total_pages == len(scores)
    assert got.metadata.document.confidence == pytest.approx(sum(known) / len(known), abs=1e-4)


def test_share_of_jobs_with_failed_pages_is_the_option(jobs: list[Job]) -> None:
    several = [job for job in jobs if Document(job.file).page_count > 1]
    for share in (0.0, 0.3, 1.0):
        failed = sum(bool(ParsedPages(job, share).failed) for job in several)
        assert failed / len(several) == pytest.approx(share, abs=0.08)
    assert all(len(ParsedPages(job, 1.0).failed) < Document(job.file).page_count for job in several)


def test_documents_are_in_several_scripts_and_some_are_large(jobs: list[Job]) -> None:
    documents = [Document(job.file) for job in jobs]
    assert {document.language.code for document in documents} >= {"en", "de", "es", "ja", "ar"}
    large = [document for document in documents if document.is_large]
    assert 0 < len(large) < 0.05 * len(documents)
    blocks = large[0].blocks(large[0].page_count)
    assert max(len(block.rows) for block in blocks) > 1000


def test_unknown_expand_value_of_a_parse_job_gets_422(server: Server, api: LlamaCloud) -> None:
    job = api.parsing.list(page_size=1).items[0]
    response = httpx.get(
        f"{server.url}/api/v2/parse/{job.id}",
        params={"expand": "pages"},
        headers={"Authorization": f"Bearer {server.api_key}"},
    )
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "expand", 0]


def stored(api: LlamaCloud, kind: str) -> Any:
    got = completed_parse_job(api, [f"{kind}_content_metadata", f"{kind}_full", "items"][:2])
    return got, got.result_content_metadata[kind]


@pytest.mark.parametrize("kind", ["markdown", "text"])
def test_presigned_url_has_the_whole_document_without_a_key(api: LlamaCloud, kind: str) -> None:
    got, metadata = stored(api, kind)
    response = httpx.get(metadata.presigned_url)
    assert response.status_code == 200
    assert response.text == getattr(got, f"{kind}_full")
    assert len(response.content) == metadata.size_bytes


def test_presigned_url_of_items_has_the_pages_as_json(api: LlamaCloud) -> None:
    got = completed_parse_job(api, ["items", "items_content_metadata"], failed=True)
    body = httpx.get(got.result_content_metadata["items"].presigned_url).json()
    assert [page["page_number"] for page in body["pages"]] == [
        page.page_number for page in got.items.pages
    ]
    assert [page["success"] for page in body["pages"]] == [p.success for p in got.items.pages]


def test_output_that_was_not_made_does_not_exist(api: LlamaCloud) -> None:
    got = completed_parse_job(api, ["xlsx_content_metadata"])
    metadata = got.result_content_metadata["xlsx"]
    assert (metadata.exists, metadata.size_bytes, metadata.presigned_url) == (False, 0, None)


def test_presigned_url_refuses_a_key_and_a_changed_signature(
    server: Server, api: LlamaCloud
) -> None:
    _, metadata = stored(api, "markdown")
    url = metadata.presigned_url
    headers = {"Authorization": f"Bearer {server.api_key}"}
    assert httpx.get(url, headers=headers).status_code == 400
    assert httpx.get(f"{url[:-1]}{'0' if url[-1] != '0' else '1'}").status_code == 403
    assert httpx.get(url.partition("?")[0]).status_code == 403
    assert httpx.get(url.replace("expires=", "expires=9")).status_code == 403
    assert httpx.get(url.replace("/markdown?", "/items?")).status_code == 403


def test_presigned_url_expires(start: Start) -> None:
    server, api = start(url_lifetime=60, failed_pages=0)
    url = stored(api, "markdown")[1].presigned_url
    server.advance(59)
    assert httpx.get(url).status_code == 200
    server.advance(1)
    response = httpx.get(url)
    assert response.status_code == 403
    assert "expired" in response.text


def test_images_have_presigned_urls(api: LlamaCloud) -> None:
    for job in api.parsing.list(status="COMPLETED", page_size=200):
        got = api.parsing.get(job.id, expand=["images_content_metadata"])
        assert got.images_content_metadata
        images = got.images_content_metadata.images
        assert got.images_content_metadata.total_count == len(images)
        if images:
            break
    assert job.tier == "agentic"
    response = httpx.get(str(images[0].presigned_url))
    assert response.headers["Content-Type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    filtered = api.parsing.get(
        job.id, expand=["images_content_metadata"], image_filenames="image_99.png"
    )
    assert filtered.images_content_metadata
    assert filtered.images_content_metadata.images == []


def configuration(schema: dict[str, Any], target: str = "per_doc") -> Configuration:
    parameters = {"data_schema": schema, "extraction_target": target}
    return Configuration("cfg-1", "Test", "extract_v2", "agentic", 0, 0, parameters)


def test_extracted_total_is_on_the_first_page(jobs: list[Job]) -> None:
    schema = {
        "properties": {"total_amount": {"type": "number"}, "vendor": {"type": "string"}},
        "required": ["total_amount", "vendor"],
    }
    for job in jobs[:50]:
        result = extract(job, configuration(schema))
        assert isinstance(result, dict)
        markdown = ParsedPages(job, 0).markdown()[0]["markdown"]
        assert f"{result['total_amount']:,.2f}" in markdown
        assert result["vendor"] in markdown


def test_rows_of_a_table_and_pages_are_lists(jobs: list[Job]) -> None:
    schema = {"properties": {"amount": {"type": "number"}}, "required": ["amount"]}
    for job in jobs[:50]:
        document = Document(job.file)
        rows = extract(job, configuration(schema, "per_table_row"))
        assert [row["amount"] for row in rows if isinstance(row, dict)] == [
            line.amount / 100 for line in document.lines
        ]
        assert len(extract(job, configuration(schema, "per_page"))) == document.page_count


def test_result_fits_the_schema_of_the_configuration(api: LlamaCloud) -> None:
    shapes: set[type] = set()
    names: set[frozenset[str]] = set()
    saved = api.configurations.list(product_type=["extract_v2"]).items
    jobs = [
        job
        for each in saved
        for job in api.extract.list(
            status="COMPLETED", configuration_id=each.id, page_size=15
        ).items
    ]
    for job in jobs:
        got = api.extract.get(job.id, expand=["configuration"])
        assert got.configuration
        shapes.add(type(got.extract_result))
        rows = got.extract_result if isinstance(got.extract_result, list) else [got.extract_result]
        for row in rows:
            assert row is not None
            check_value(row, got.configuration.data_schema)
            names.add(frozenset(row))
    assert shapes == {dict, list}
    assert len(names) > 4, "optional fields should be missing in some results"


def check_value(value: Any, schema: Mapping[str, Any]) -> None:
    """Check a value against the parts of JSON Schema that the sample configurations use."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python_types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": (int, float),  # the SDK reads numbers as float
        "boolean": bool,
        "null": type(None),
    }
    assert any(isinstance(value, python_types[name]) for name in types)
    assert isinstance(value, bool) == (types == ["boolean"])
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value) <= set(schema["properties"])
        for name, field in value.items():
            check_value(field, schema["properties"][name])
    if isinstance(value, list):
        for entry in value:
            check_value(entry, schema["items"])


scalars = st.sampled_from([{"type": name} for name in ("string", "number", "integer", "boolean")])
schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.dictionaries(st.sampled_from(["date", "items", "total", "x"]), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties}
        ),
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "lines", "total", "paid"]), schemas), st.integers(0, 9)
)
def test_any_schema_is_filled_in(properties: dict[str, Any], index: int) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    file = File("a.pdf", "a.pdf", NOW, "normal", (0, index))
    job = Job("extract_v2", None, 0, file, "succeeded", 1, 0, 0, 0)  # type: ignore[arg-type]
    check_value(extract(job, configuration(schema)), schema)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"enum": ["a"]}, ["a"]),
        ({"const": 3}, [3]),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, [True, False]),
        ({"$ref": "#/$defs/Flag"}, [True, False]),
        ({"$ref": "#/$defs/Missing"}, None),
        ({"type": "null"}, [None]),
    ],
    ids=str,
)
def test_references_and_alternatives_are_followed(
    jobs: list[Job], field: dict[str, Any], expected: list[Any] | None
) -> None:
    schema = {
        "properties": {"x": field},
        "required": ["x"],
        "$defs": {"Flag": {"type": "boolean"}},
    }
    result = extract(jobs[0], configuration(schema))
    assert isinstance(result, dict)
    assert result["x"] in expected if expected else isinstance(result["x"], str)


def test_schema_that_refers_to_itself_ends() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/Node"}},
        "required": ["next"],
    }
    schema = {"properties": {"first": node}, "required": ["first"], "$defs": {"Node": node}}
    file = File("a.pdf", "a.pdf", NOW, "normal", (0, 0))
    job = Job("extract_v2", None, 0, file, "succeeded", 1, 0, 0, 0)  # type: ignore[arg-type]
    assert str(extract(job, configuration(schema))).endswith("None}}}}}}}}}}}}}")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("per_doc", "document_metadata"),
        ("per_page", "page_metadata"),
        ("per_table_row", "row_metadata"),
    ],
)
def test_citations_and_confidences_have_the_structure_of_the_result(
    start: Start, target: Any, kind: str
) -> None:
    server, api = start()
    schema = {"properties": {"total": {"type": "number"}, "title": {"type": "string"}}}
    schema |= {"required": ["total", "title"], "type": "object"}  # type: ignore[dict-item]
    settings: Any = {"data_schema": schema, "tier": "agentic", "extraction_target": target}
    asked = {"cite_sources": True, "confidence_scores": True}
    found: dict[str, Any] = {}
    for name, more in {"plain": {}, "asked": asked}.items():
        parameters: Any = {"product_type": "extract_v2", **settings, **more}
        saved = api.configurations.create(name=name, parameters=parameters)
        directory = api.beta.directories.create(name=name)
        api.beta.directories.files.upload(directory.id, upload_file=("a.pdf", b"%PDF"))
        job: Any = {"type": "extract_v2", "configuration_id": saved.id}
        batch = api.batches.create(source_directory_id=directory.id, config={"job": job})
        server.advance(3600)
        (mapping,) = api.batches.get(batch.id, expand=["results"]).results or []
        assert mapping.job_reference
        found[name] = api.extract.get(mapping.job_reference.id)
    assert found["plain"].extract_metadata is None
    fields = found["asked"].extract_metadata.field_metadata.to_dict()
    entries, result = fields.pop(kind), found["asked"].extract_result
    assert set(fields.values()) == {None}
    if target == "per_doc":
        entries, result = [entries], [result]
    assert [set(entry) for entry in entries] == [set(row) for row in result]
    citations = []
    for entry, row in zip(entries, result, strict=True):
        for name, field in entry.items():
            assert 0 < field["confidence"] <= 1
            text = f"{row[name]:,.2f}" if name == "total" else row[name]
            assert all(each["matching_text"] == text for each in field["citation"])
            citations += field["citation"]
    assert citations or not result
