"""BatchFilters: the signatures of functions that take them, and unknown names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.fake_api import FakeApi
from tests.servers import Response


@pytest.mark.parametrize("function", [lb.fetch_results, lb.sync_dataset])
def test_signature_lists_each_filter_of_fetch_batches(function: Callable[..., Any]) -> None:
    expected = inspect.signature(lb.fetch_batches).parameters
    parameters = inspect.signature(function).parameters
    for name in expected.keys() - {"limit", "raw", "progress", "client"}:
        assert parameters[name] == expected[name]
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]


def test_unknown_filter_raises() -> None:
    with pytest.raises(TypeError, match=r"^sync_dataset\(\) got an unexpected .* 'colour'"):
        lb.sync_dataset("anywhere", colour="red")  # type: ignore[call-arg]


def test_period_that_ends_before_its_start_raises() -> None:
    start, end = "2026-08-02", "2026-08-01"
    with pytest.raises(ValueError, match=r"2026-08-02.* is later than .*2026-08-01"):
        lb.fetch_batches(created_at_on_or_after=start, created_at_on_or_before=end)
    with pytest.raises(ValueError, match=r"2026-08-02.* is later than .*2026-08-01"):
        lb.fetch_results(created_at_on_or_after=start, created_at_on_or_before=end)


@pytest.mark.parametrize("function", [lb.fetch_batches, lb.fetch_results])
@pytest.mark.parametrize("filters", [{}, {"created_at_on_or_after": "2025-01-01"}])
def test_filter_by_unknown_directory_raises(
    serve: Serve, function: Callable[..., Any], filters: dict[str, str]
) -> None:
    api = FakeApi({"dir-1": 0, "dir-2": 0})
    api.directories["dir-2"]["name"] = "Invoices 2026"
    serve(api)
    with pytest.raises(lb.NotFoundError, match="no directory 'dir-3'; pass an id"):
        function(source_directory_id="dir-3", **filters)
    with pytest.raises(lb.NotFoundError, match="with that name has the id 'dir-2'"):
        function(source_directory_id="Invoices 2026", **filters)
    assert function(source_directory_id="dir-1", **filters).empty


@pytest.mark.parametrize("name", ["Caf\u00e9", "Cafe\u0301", "  CAF\u00c9 "])
def test_name_instead_of_the_id_of_a_directory_raises_with_the_id(
    serve: Serve, tmp_path: Path, name: str
) -> None:
    api = FakeApi({"dir-1": 1})
    api.directories["dir-1"]["name"] = "Cafe\u0301"
    serve(api)
    calls: list[Callable[[], Any]] = [
        lambda: lb.fetch_batches(source_directory_id=name),
        lambda: lb.sync_dataset(tmp_path / "kept", source_directory_id=name),
        lambda: lb.fetch_files(name),
        lambda: lb.create_batch(name, "cfg-1"),
        lambda: lb.estimate_batch(name, "cfg-1"),
        lambda: lb.upload_files(__file__, source_directory_id=name),
        lambda: lb.delete_directories(name),
    ]
    for call in calls:
        with pytest.raises(lb.NotFoundError, match="with that name has the id 'dir-1'"):
            call()
    assert not api.create_bodies
    assert not api.requests["POST upload"]


def test_name_instead_of_the_id_of_a_configuration_raises_with_the_id(serve: Serve) -> None:
    api = FakeApi({"dir-1": 1}, configurations=[{"id": "cfg-1", "name": "Agentic"}])
    serve(api)
    with pytest.raises(lb.NotFoundError, match=r"with that name has the id 'cfg-1'.* No batch"):
        lb.create_batch("dir-1", "agentic")
    with pytest.raises(lb.NotFoundError, match="with that name has the id 'cfg-1'"):
        lb.estimate_batch("dir-1", "Agentic")
    assert not api.create_bodies


def test_directory_is_not_checked_if_it_need_not_or_cannot_be(serve: Serve) -> None:
    api = FakeApi({"dir-0": 1})
    api.add()
    serve(api)
    assert len(lb.fetch_batches(source_directory_id="dir-0")) == 1
    assert lb.fetch_batches(source_directory_id="dir-9", limit=0).empty
    assert api.requests["GET directories"] == 0
    api.faults["GET directories"] = Response({"detail": "Not Found"}, 404)
    assert lb.fetch_batches(source_directory_id="dir-9").empty
