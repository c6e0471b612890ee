"""fetch_pages: a row per page, inline or from presigned URLs, and what is left out."""

from __future__ import annotations

import json
import threading
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from llama_batches_nb.tables.schema import PAGES, STRING_DTYPE
from tests.conftest import Serve
from tests.output_api import OutputApi, failed_page, markdown_page
from tests.servers import Request, Response, Server, interrupt

KEY = "llx-secret"


@pytest.fixture
def api() -> OutputApi:
    return OutputApi()


@pytest.fixture
def server(api: OutputApi, serve: Serve) -> Server:
    server = serve(api, max_retries=1)
    api.url = server.url
    return server


def test_each_page_of_each_completed_job_is_a_row(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "# A\n\n| x |"), failed_page(2, "OCR failed"))
    api.add_parse_job("pjb-2", markdown_page(1, "ж 漢字 👍"))
    pages = lb.fetch_pages(["pjb-1", "pjb-2"])
    expected = pd.DataFrame(
        {
            "job_id": pd.Series(["pjb-1", "pjb-1", "pjb-2"], dtype=STRING_DTYPE),
            "page_number": pd.Series([1, 2, 1], dtype="Int64"),
            "success": pd.Series([True, False, True], dtype="boolean"),
            "content": pd.Series(["# A\n\n| x |", None, "ж 漢字 👍"], dtype=STRING_DTYPE),
            "error_message": pd.Series([None, "OCR failed", None], dtype=STRING_DTYPE),
        }
    )
    pd.testing.assert_frame_equal(pages, expected)
    assert {tuple(r.query["expand"]) for r in server.requests} == {("markdown",)}


def test_empty_frame_has_the_documented_dtypes(server: Server) -> None:
    for confidence in (False, True):
        pages = lb.fetch_pages([], confidence=confidence)
        expected = [*PAGES.names, *(["confidence", "document_confidence"] if confidence else [])]
        assert pages.columns.tolist() == expected
        assert pages.dtypes.astype(str).to_dict()["page_number"] == "Int64"
        assert pages.success.dtype == "boolean"
    assert not server.requests


def test_text_pages_succeed_and_items_are_json_as_sent(api: OutputApi, server: Server) -> None:
    items = [{"type": "table", "rows": [["1.10", 12345678901234567890]], "md": "ü"}]
    api.add_parse_job(
        "pjb-1",
        text={"pages": [{"page_number": 1, "text": ""}]},
        items={"pages": [{"page_number": 1, "page_width": 612.0, "success": True, "items": items}]},
    )
    text = lb.fetch_pages("pjb-1", content="text")
    assert text.content.tolist() == [""]
    assert text.success.tolist() == [True]
    (content,) = lb.fetch_pages("pjb-1", content="items").content
    assert json.loads(content) == items


def test_confidence_adds_columns(api: OutputApi, server: Server) -> None:
    api.add_parse_job(
        "pjb-1",
        *(markdown_page(n) for n in (1, 2)),
        metadata={
            "pages": [{"page_number": 2, "confidence": 0.5}],
            "document": {"confidence": 0.75, "confidence_breakdown": None},
        },
    )
    api.add_parse_job("pjb-2", markdown_page(1), metadata={"pages": [], "document": None})
    pages = lb.fetch_pages(["pjb-1", "pjb-2"], confidence=True)
    assert pages.confidence.tolist() == [pd.NA, 0.5, pd.NA]
    assert pages.document_confidence.tolist() == [0.75, 0.75, pd.NA]
    assert str(pages.confidence.dtype) == "Float64"


def test_jobs_known_to_have_failed_are_left_out_without_a_request(
    api: OutputApi, server: Server
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    jobs = pd.DataFrame(
        {
            "job_id": ["pjb-1", "pjb-2", "pjb-3", "ejb-1", None],
            "job_type": ["parse_v2", "parse_v2", "parse_v2", "extract_v2", "parse_v2"],
            "status": ["COMPLETED", "FAILED", "CANCELLED", "COMPLETED", None],
        }
    )
    with pytest.warns(UserWarning, match=r"4 jobs are left out: .*1 FAILED.*1 of type extract_v2"):
        pages = lb.fetch_pages(jobs)
    assert pages.job_id.tolist() == ["pjb-1"]
    assert server.paths() == ["/api/v2/parse/pjb-1"]


def test_outcomes_that_failed_are_left_out_without_a_request(
    api: OutputApi, server: Server
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    files = pd.DataFrame(
        {
            "job_id": ["pjb-1", "pjb-2", None],
            "outcome": ["succeeded", "job_failed", "mapping_error"],
        }
    )
    with pytest.warns(UserWarning, match="2 jobs are left out: 1 without a job, 1 job_failed"):
        assert len(lb.fetch_pages(files)) == 1
    assert len(server.requests) == 1


def test_running_job_is_left_out_and_one_that_ended_since_is_not(
    api: OutputApi, server: Server
) -> None:
    api.add_parse_job("pjb-1", status="RUNNING")
    api.add_parse_job("pjb-2", markdown_page(1))
    jobs = pd.DataFrame({"job_id": ["pjb-1", "pjb-2"], "status": "RUNNING"})
    with pytest.warns(UserWarning, match="1 job is left out: 1 RUNNING"):
        assert lb.fetch_pages(jobs).job_id.tolist() == ["pjb-2"]


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "FAILED", "CANCELLED"])
def test_pages_of_a_job_that_has_not_completed_are_left_out(
    api: OutputApi, server: Server, status: str
) -> None:
    api.add_parse_job("pjb-1", status=status, markdown={"pages": [markdown_page(1, "a part")]})
    with pytest.warns(UserWarning, match=f"1 job is left out: 1 {status}"):
        assert lb.fetch_pages("pjb-1").empty
    api.too_large["pjb-1"] = 413
    with pytest.warns(UserWarning, match=f"1 job is left out: 1 {status}"):
        assert lb.fetch_pages("pjb-1").empty
    assert not api.downloads


def test_response_with_another_job_raises(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    api.parse_jobs["pjb-1"]["job"]["id"] = "pjb-2"
    with pytest.raises(lb.ResponseError, match=r"Expected job 'pjb-1'.*'pjb-2'"):
        lb.fetch_pages("pjb-1")


@pytest.mark.parametrize("form", ["index", "polars", "arrow", "row", "generator"])
def test_jobs_are_accepted_in_each_form(api: OutputApi, server: Server, form: str) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    frame = pd.DataFrame({"job_id": ["pjb-1"], "job_type": ["parse_v2"]})
    forms: dict[str, Any] = {
        "index": frame.set_index("job_id"),
        "polars": pl.from_pandas(frame),
        "arrow": pl.from_pandas(frame).to_arrow(),
        "row": frame.iloc[0],
        "generator": (job_id for job_id in ["pjb-1", "pjb-1"]),
    }
    assert len(lb.fetch_pages(forms[form])) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jobs": pd.DataFrame({"id": ["pjb-1"]})}, "no column 'job_id'"),
        ({"jobs": "pjb-1", "content": "pdf"}, "content='pdf' must be one of"),
        ({"jobs": "pjb-1", "errors": "ignore"}, "errors='ignore' must be one of"),
        ({"jobs": ["..", "pjb-1"]}, "not an id"),
    ],
)
def test_invalid_argument_sends_no_request(
    server: Server, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lb.fetch_pages(**arguments)
    assert not server.requests


@pytest.mark.parametrize("status", [413, 422, 400, 500, None])
def test_output_too_large_for_a_response_is_downloaded_without_the_key(
    api: OutputApi, server: Server, status: int | None
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "large"), failed_page(2))
    api.too_large["pjb-1"] = status
    pages = lb.fetch_pages("pjb-1")
    assert pages.content.tolist()[0] == "large"
    assert pages.success.tolist() == [True, False]
    (download,) = api.downloads
    assert "authorization" not in download.headers
    assert KEY not in str(download)


def test_response_over_our_limit_is_downloaded(
    api: OutputApi, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1000)
    api.add_parse_job("pjb-1", markdown_page(1, "x" * 5000))
    assert lb.fetch_pages("pjb-1").content.str.len().tolist() == [5000]
    assert len(api.downloads) == 1


def test_confidence_of_a_downloaded_output_is_kept(api: OutputApi, server: Server) -> None:
    metadata = {"pages": [{"page_number": 1, "confidence": 0.5}], "document": None}
    api.add_parse_job("pjb-1", markdown_page(1), metadata=metadata)
    api.too_large["pjb-1"] = 413
    assert lb.fetch_pages("pjb-1", confidence=True).confidence.tolist() == [0.5]


@pytest.mark.parametrize(
    "stored",
    [
        {"pages": [markdown_page(1, "a")]},
        {"markdown": {"pages": [markdown_page(1, "a")]}},
        [markdown_page(1, "a")],
    ],
)
def test_stored_output_is_read_in_each_json_form(
    api: OutputApi, server: Server, stored: Any
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    api.too_large["pjb-1"] = 413
    api.stored["pjb-1"] = json.dumps(stored).encode()
    pages = lb.fetch_pages("pjb-1")
    assert pages[["page_number", "content"]].to_numpy().tolist() == [[1, "a"]]


@pytest.mark.parametrize("text", ["# Title\n\nText ж", "12", "[1, 2]", "{}"])
def test_stored_text_without_pages_is_one_row_without_a_number(
    api: OutputApi, server: Server, text: str
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    api.too_large["pjb-1"] = 413
    api.stored["pjb-1"] = text.encode()
    pages = lb.fetch_pages("pjb-1")
    assert pages.content.tolist() == [text]
    assert pages.page_number.isna().all()


def test_expired_url_is_requested_again_once(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "a"))
    api.too_large["pjb-1"] = 413
    api.expired_urls = 1
    assert lb.fetch_pages("pjb-1").content.tolist() == ["a"]
    api.expired_urls = 2
    with pytest.raises(lb.NotFoundError, match="48 hours"):
        lb.fetch_pages("pjb-1")


def test_redirected_download_is_followed_without_the_key(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "a"))
    api.too_large["pjb-1"] = 413
    api.redirects = 2
    assert lb.fetch_pages("pjb-1").content.tolist() == ["a"]
    assert len(api.downloads) == 3
    assert not any("authorization" in request.headers for request in api.downloads)


@pytest.mark.parametrize("location", ["http://[bad", "file:///etc/passwd", "http://host.invalid/"])
def test_redirect_to_another_kind_of_address_is_refused(
    api: OutputApi, server: Server, location: str
) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "a"))
    api.too_large["pjb-1"] = 413
    redirect = Response(raw=b"", status=307, headers={"Location": location})
    api._download = lambda request, job_id: redirect  # type: ignore[method-assign]
    with pytest.raises(lb.ResponseError, match="is not opened"):
        lb.fetch_pages("pjb-1")


def test_endless_redirects_end_with_an_error(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    api.too_large["pjb-1"] = 413
    api.redirects = 100
    with pytest.raises(lb.ResponseError, match="redirected more than 5 times"):
        lb.fetch_pages("pjb-1")


def test_download_is_retried_and_its_url_is_not_shown(
    api: OutputApi, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "llama_batches_nb")
    api.add_parse_job("pjb-1", markdown_page(1, "a"))
    api.too_large["pjb-1"] = 413
    real = api._download
    failures = [503]
    api._download = lambda request, job_id: (  # type: ignore[method-assign]
        Response(status=failures.pop()) if failures else real(request, job_id)
    )
    assert lb.fetch_pages("pjb-1").content.tolist() == ["a"]
    failures += [503] * 9
    with pytest.raises(lb.ServerError, match="503") as caught:
        lb.fetch_pages("pjb-1")
    assert "signature" not in f"{caught.value!r}{caplog.text}"


def test_too_large_without_a_url_raises_the_first_error(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown=None)
    api.too_large["pjb-1"] = 413
    with pytest.raises(lb.InvalidRequestError, match="too large"):
        lb.fetch_pages("pjb-1")


def test_completed_job_without_content_is_left_out(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown=None)
    with pytest.warns(UserWarning, match="1 job is left out: 1 without markdown"):
        assert lb.fetch_pages("pjb-1").empty


def test_expired_job_names_the_retention(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1))
    with pytest.raises(lb.NotFoundError, match=r"pjb-9.*48 hours") as caught:
        lb.fetch_pages(["pjb-1", "pjb-9"])
    assert caught.value.status_code == 404
    assert caught.value.partial is not None
    assert caught.value.partial.columns.tolist() == PAGES.names
    with pytest.warns(UserWarning, match="1 job could not be fetched.*pjb-9"):
        assert lb.fetch_pages(["pjb-9", "pjb-1"], errors="warn").job_id.tolist() == ["pjb-1"]


def test_interrupt_keeps_the_pages_fetched_so_far(serve: Serve) -> None:
    api = OutputApi()
    for n in range(40):
        api.add_parse_job(f"pjb-{n}", markdown_page(1))
    lock, seen = threading.Lock(), []

    def script(request: Request) -> Any:
        with lock:
            seen.append(request)
        if len(seen) == 20:
            interrupt()
        return api(request)

    serve(script, max_workers=2)
    with pytest.raises(KeyboardInterrupt) as caught:
        lb.fetch_pages(list(api.parse_jobs))
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert 0 < len(partial) < 40
    assert partial.columns.tolist() == PAGES.names


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (
            b'{"job":{"status":"COMPLETED"},"markdown":{"pages":[{"page_number":1,"markdown":"\\ud800"}]}}',
            "?",
        ),
        (
            b'{"job":{"status":null},"markdown":{"pages":[{"page_number":1,"markdown":"\\u0000"}]}}',
            "\0",
        ),
    ],
)
def test_text_that_utf8_cannot_hold_is_replaced(serve: Serve, body: bytes, content: str) -> None:
    serve(lambda request: Response(raw=body))
    assert lb.fetch_pages("pjb-1").content.tolist() == [content]


@pytest.mark.parametrize(
    "body",
    [
        {"status": "COMPLETED"},
        [],
    ],
)
def test_unexpected_structure_is_a_response_error(serve: Serve, body: Any) -> None:
    serve(lambda request: body, max_retries=0)
    with pytest.raises(lb.ResponseError):
        lb.fetch_pages("pjb-1")


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"page_number": "one"}, {"success", "content"}),
        ({"page_number": 2**70}, {"success", "content"}),
        ({"success": "yes"}, {"page_number", "success", "content"}),  # as it has content
        ({"markdown": {"a": 1}}, {"page_number", "success"}),
        ({"error": ["a"]}, {"page_number", "success", "content"}),
    ],
)
def test_odd_value_of_a_page_costs_only_itself(
    api: OutputApi, server: Server, change: Any, kept: set[str]
) -> None:
    odd = markdown_page(2) | change
    api.add_parse_job("pjb-1", markdown_page(1), odd, markdown_page(3, "\ud800"))
    with pytest.warns(UserWarning, match=rf"job pjb-1; left out: .*{next(iter(change))}"):
        pages = lb.fetch_pages("pjb-1")
    whole = ["page_number", "success", "content"]
    assert pages[whole].notna().to_numpy().tolist() == [
        [True] * 3, [name in kept for name in whole], [True] * 3
    ]  # fmt: skip
    lb.export_parquet(pages, "memory://odd-pages.parquet")
    pd.testing.assert_frame_equal(lb.read_parquet("memory://odd-pages.parquet"), pages)


def test_page_that_is_no_object_is_left_out(api: OutputApi, server: Server) -> None:
    api.add_parse_job("pjb-1", markdown_page(1), "page")  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match=r"left out: '\$.markdown.pages\[1\]'"):
        assert lb.fetch_pages("pjb-1").page_number.tolist() == [1]


def test_bar_shows_files_pages_and_megabytes(api: OutputApi, server: Server, capsys: Any) -> None:
    api.add_parse_job("pjb-1", markdown_page(1, "x" * 2_000_000), markdown_page(2))
    lb.fetch_pages("pjb-1", progress=True)
    shown = capsys.readouterr().err
    assert "1/1" in shown
    assert "2 pages, 2.0 MB" in shown


def test_bodies_in_memory_are_at_most_max_workers(serve: Serve) -> None:
    api = OutputApi()
    for n in range(30):
        api.add_parse_job(f"pjb-{n}", markdown_page(1))
    server = serve(api, max_workers=3)
    assert len(lb.fetch_pages(list(api.parse_jobs))) == 30
    assert server.max_concurrent <= 3


def test_stored_output_of_the_sandbox_is_downloaded(
    on_sandbox: lb.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = lb.fetch_batches(status="COMPLETED")
    parsed = batches[batches.job_type == "parse_v2"].head(1)
    jobs = lb.fetch_jobs(lb.fetch_results(parsed)).query("status == 'COMPLETED'").head(2)
    inline = lb.fetch_pages(jobs, content="items")
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2000)
    stored = lb.fetch_pages(jobs, content="items", client=on_sandbox)
    pd.testing.assert_frame_equal(stored, inline)
    assert inline.content.str.len().max() > 2000
