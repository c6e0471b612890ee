from __future__ import annotations

from typing import Any

import pytest

from llama_batches_nb.sandbox.options import Options


@pytest.mark.parametrize(
    "bad",
    [
        {"api_key": ""},
        {"api_key": "two words"},
        {"api_key": "line\nbreak"},
        {"port": 70_000},
        {"batches": -1},
        {"days": 0},
        {"files": 0},
        {"files": 1001},
        {"files": (5, 4)},
        {"speed": -1},
        {"speed": float("nan")},
        {"latency": -0.1},
        {"rate_limit": 0},
        {"retry_after": -1},
        {"error_rate": 1.5},
        {"drop_rate": -0.1},
        {"throttle_rate": 2},
        {"error_rate": 0.6, "drop_rate": 0.6},
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_option(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Options(**bad)


def test_the_key_is_not_in_the_message_about_it() -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        Options(api_key="secret key")
    assert "secret" not in str(caught.value)


def test_files_may_be_a_number_or_a_range() -> None:
    assert Options(files=7).file_range == (7, 7)
    assert Options(files=(2, 9)).file_range == (2, 9)
