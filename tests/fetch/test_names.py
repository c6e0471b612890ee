"""add_names: names for ids, in frames of any engine."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import llama_batches_nb as lb
from llama_batches_nb.tables.schema import STRING_DTYPE
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.servers import Request, Response, page


@pytest.fixture
def api() -> FakeApi:
    configurations = [
        {"id": "cfg-1", "name": "Invoices", "product_type": "parse_v2"},
        {"id": "cfg-2", "name": "Receipts", "product_type": "parse_v2"},
        {"id": "cfg-3", "name": "Receipts", "product_type": "extract_v2"},
    ]
    api = FakeApi({"scans": 2, "mail": 1}, configurations=configurations)
    api.add_directory("dir-noname", " ")
    return api


def test_names_of_directories_configurations_and_files_are_added(
    api: FakeApi, serve: Serve
) -> None:
    server = serve(api)
    frame = pd.DataFrame(
        {
            "source_directory_id": ["scans", "mail", "dir-noname", "dir-gone", None],
            "configuration_id": ["cfg-1", "cfg-2", "cfg-3", "cfg-PARSE_AGENTIC", None],
            "source_directory_file_id": ["scans-1", "mail-0", "dfl-9", "dfl-8", None],
        },
        index=[7, 7, 3, 2, 1],
    )
    before = frame.copy(deep=True)
    named = lb.add_names(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(named[frame.columns], before)
    assert named.directory.tolist()[:4] == ["SCANS", "MAIL", "dir-noname", "dir-gone"]
    assert named.configuration.tolist()[:4] == [
        "Invoices",
        "Receipts (cfg-2)",
        "Receipts (cfg-3)",
        "cfg-PARSE_AGENTIC",
    ]
    assert named.display_name.tolist()[:4] == ["1.pdf", "0.pdf", "dfl-9", "dfl-8"]
    assert named.iloc[4].isna().all()
    assert api.requests == {"GET directories": 1, "GET configurations": 1, "GET files": 4}
    assert {request.param("include_deleted") for request in server.requests} == {"true", None}


@pytest.mark.parametrize("index", ["source_directory_id", "month"])
def test_named_index_is_kept(api: FakeApi, serve: Serve, index: str) -> None:
    serve(api)
    frame = pd.DataFrame({"source_directory_id": ["scans", "mail"], "month": [1, 2]})
    frame = frame.set_index(index)
    named = lb.add_names(frame)
    pd.testing.assert_frame_equal(named[frame.columns], frame)
    assert named.directory.tolist() == ["SCANS", "MAIL"]


def test_only_names_of_existing_columns_are_looked_up(api: FakeApi, serve: Serve) -> None:
    serve(api)
    named = lb.add_names(pd.DataFrame({"configuration_id": ["cfg-1"], "failure_rate": [0.5]}))
    assert named.columns.tolist() == ["configuration_id", "failure_rate", "configuration"]
    assert api.requests == {"GET configurations": 1}


def test_display_name_that_is_known_is_kept_without_a_request(api: FakeApi, serve: Serve) -> None:
    serve(api)
    frame = pd.DataFrame(
        {
            "source_directory_id": ["scans", "mail"],
            "source_directory_file_id": ["scans-0", "mail-0"],
            "display_name": ["mine.pdf", None],
        }
    )
    assert lb.add_names(frame).display_name.tolist() == ["mine.pdf", "0.pdf"]
    assert api.requests["GET files"] == 1


@pytest.mark.parametrize("engine", ["polars", "polars lazy", "arrow", "duckdb"])
def test_frame_of_each_engine_is_named(api: FakeApi, serve: Serve, engine: str) -> None:
    serve(api)
    table = pa.table({"source_directory_id": ["scans", None], "n": [1, 2]})
    with duckdb.connect() as connection:
        frames: dict[str, Any] = {
            "polars": pl.from_arrow(table),
            "polars lazy": pl.LazyFrame({"source_directory_id": ["scans", None], "n": [1, 2]}),
            "arrow": table,
            "duckdb": connection.from_arrow(table),
        }
        named = lb.add_names(frames[engine])
    assert isinstance(named, pl.DataFrame if engine.startswith("polars") else pa.Table)
    in_polars = named if isinstance(named, pl.DataFrame) else pl.DataFrame(named)
    assert in_polars.to_dict(as_series=False) == {
        "source_directory_id": ["scans", None],
        "n": [1, 2],
        "directory": ["SCANS", None],
    }


def test_frame_without_ids_raises_before_any_request(api: FakeApi, serve: Serve) -> None:
    serve(api)
    with pytest.raises(ValueError, match="no column 'source_directory_id'"):
        lb.add_names(pd.DataFrame({"n": [1]}))
    assert not api.requests


def test_empty_frame_gets_text_columns(api: FakeApi, serve: Serve) -> None:
    serve(api)
    named = lb.add_names(pd.DataFrame({"configuration_id": pd.Series([], dtype="str")}))
    assert named.configuration.dtype == STRING_DTYPE


def test_error_has_frame_with_the_names_so_far(serve: Serve) -> None:
    def script(request: Request) -> Any:
        if request.path.endswith("/directories"):
            return page([{"id": "dir-1", "name": "Invoices"}])
        if request.path.endswith("dir-1/files"):
            return page([{"id": "dfl-1", "display_name": "a.pdf"}])
        return Response(status=500)

    serve(script, max_retries=0, max_workers=1)
    frame = pd.DataFrame(
        {
            "source_directory_id": ["dir-1", "dir-2"],
            "source_directory_file_id": ["dfl-1", "dfl-2"],
        }
    )
    with pytest.raises(lb.ServerError) as caught:
        lb.add_names(frame)
    expected = frame.head(1).assign(directory=["Invoices"], display_name=["a.pdf"])
    assert caught.value.partial is not None
    assert caught.value.partial.to_dict("list") == expected.to_dict("list")
