"""BatchFilters: the signatures of functions that take them, and unknown names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import llama_batches_nb as lb


@pytest.mark.parametrize("function", [lb.fetch_results, lb.sync_dataset])
def test_signature_lists_each_filter_of_fetch_batches(function: Callable[..., Any]) -> None:
    expected = inspect.signature(lb.fetch_batches).parameters
    parameters = inspect.signature(function).parameters
    for name in expected.keys() - {"limit", "progress", "client"}:
        assert parameters[name] == expected[name]
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]


def test_unknown_filter_raises() -> None:
    with pytest.raises(TypeError, match=r"^sync_dataset\(\) got an unexpected .* 'colour'"):
        lb.sync_dataset("anywhere", colour="red")  # type: ignore[call-arg]
