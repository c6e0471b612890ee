"""Numbers agree with their nouns and verbs."""

from __future__ import annotations

import pytest

from llama_batches_nb.messages import agree, format_bytes, format_count


@pytest.mark.parametrize(
    ("n", "noun", "words"),
    [
        (1, "file", "1 file"),
        (0, "batch", "0 batches"),
        (1200, "batch", "1,200 batches"),
        (2, "directory", "2 directories"),
        (2, "day", "2 days"),
        (2, "process", "2 processes"),
    ],
)
def test_count_uses_singular_and_plural(n: int, noun: str, words: str) -> None:
    assert format_count(n, noun) == words


def test_verb_agrees_with_the_number() -> None:
    assert [agree(n, "is") for n in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e12, "2,500.0 GB")]
)
def test_format_bytes(n: float, words: str) -> None:
    assert format_bytes(n) == words
