from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, get_type_hints

import pytest

from llama_batches_nb.sandbox_server.options import HELP, YEARS, Options, SandboxOptions
from llama_batches_nb.sandbox_server.process import Server

from .conftest import connect


@pytest.mark.parametrize(
    "bad",
    [
        {"api_key": ""},
        {"api_key": "two words"},
        {"api_key": "line\nbreak"},
        {"port": 70_000},
        {"batches": -1},
        {"days": 0},
        {"now": datetime(1, 1, 1)},
        {"now": datetime(9999, 12, 31)},
        {"files": 0},
        {"files": 1001},
        {"files": (5, 4)},
        {"files": "1-10"},
        {"files": (1, 2, 3)},
        {"files": None},
        {"files": (1.5, 2.0)},
        {"plan": ["pro"]},
        {"total_size": {}},
        {"api_key": b"key"},
        {"speed": -1},
        {"speed": float("nan")},
        {"latency": -0.1},
        {"job_delay": -1},
        {"results_delay": float("nan")},
        {"billing_delay": -0.5},
        {"retention": -1},
        {"url_lifetime": -1},
        {"failed_pages": 1.5},
        {"plan": "gold"},
        {"usage_limit": -1},
        {"max_page_size": 0},
        {"max_page_size": 1001},
        {"total_size": "wrong"},
        {"rate_limit": 0},
        {"retry_after": -1},
        {"error_rate": 1.5},
        {"drop_rate": -0.1},
        {"throttle_rate": 2},
        {"error_rate": 0.6, "drop_rate": 0.6},
    ],
)
def test_invalid_value_raises_error_that_names_the_option(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Options(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"batches": 2.5},
        {"port": "80"},
        {"seed": 0.5},
        {"now": "2026-08-01"},
        {"usage_in_lists": "no"},
        {"bill_failed_jobs": 1},
        {"object_details": None},
        {"latency": "x"},
        {"speed": None},
        {"error_rate": [0.1]},
        {"retention": {}},
        {"rate_limit": True},
    ],
    ids=str,
)
def test_invalid_type_raises_error_that_names_the_option(bad: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(bad))):
        Options(**bad)


@pytest.mark.parametrize("year", [YEARS[0], YEARS[-1]])
def test_history_ends_in_first_and_last_supported_year(year: int) -> None:
    options = Options(now=datetime(year, 1, 1), days=3650, batches=3, files=3)
    with Server.start(options, thread=True) as server, connect(server) as api:
        assert len(list(api.batches.list())) == 3
        created = api.beta.directories.create(name="New", type="ephemeral")
        assert created.created_at is not None
        assert created.created_at.year == year


def test_error_about_api_key_does_not_contain_it() -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        Options(api_key="secret key")
    assert "secret" not in str(caught.value)


def test_repr_does_not_contain_api_key() -> None:
    assert repr(Options(api_key="secret", batches=5)).startswith("Options(seed=0, port=0, batches=")


def test_files_accepts_a_number_or_a_range() -> None:
    assert Options(files=7).file_range == (7, 7)
    assert Options(files=(2, 9)).file_range == (2, 9)


def test_typed_dict_has_the_fields_of_options() -> None:
    fields = {it.name: it.type for it in dataclasses.fields(Options)}
    assert get_type_hints(SandboxOptions) == fields


def test_docstring_documents_every_option() -> None:
    assert Options.__doc__ is not None
    for option in dataclasses.fields(Options):
        assert f"\n{option.name} : " in Options.__doc__
        assert HELP[option.name].split(". ")[0][:60] in Options.__doc__
