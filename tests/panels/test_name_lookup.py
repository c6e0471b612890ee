"""A name chosen or typed means one id, or is refused."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from tests.strategies import some, texts

SHARED = ["Invoices", "invoices", " Invoices ", "", None]
SLY = ["dir-0", "dir-1", "Invoices (dir-0)", "Invoices (dir-1)", "Invoices (dir-0) (dir-1)"]


def _names(*names: str | None) -> NameIndex:
    ids = [f"dir-{n}" for n in range(len(names))]
    frame = pd.DataFrame({"source_directory_id": ids, "name": pd.Series(names, dtype="string")})
    return NameIndex("directory", "dir-", frame)


@given(st.lists(st.sampled_from(SHARED + SLY) | texts, max_size=6))
@some
def test_every_choice_stands_for_one_id(given_names: list[str | None]) -> None:
    names = _names(*given_names)
    assert len(names.choices) == len(given_names)
    assert {names.id_of(choice) for choice in names.choices} == set(names.by_id)
    assert all(names.id_of(one) == one for one in names.by_id)


def test_shared_names_get_their_ids_added() -> None:
    names = _names("Invoices", "Invoices", "Claims")
    assert names.choices == ["Claims", "Invoices (dir-0)", "Invoices (dir-1)"]
    with pytest.raises(ValueError, match=r"No directory is named 'Invoices'\. Did you mean 'Inv"):
        names.id_of("Invoices")


def test_shared_names_stay_different_where_they_are_cut() -> None:
    html = _names("Invoices", "Invoices").html("dir-1")
    assert '<span>Invoices</span><span class="lb-whole">&nbsp;…ir-1</span>' in html
    assert 'title="Invoices (dir-1)"' in html


@pytest.mark.parametrize("word", ["", "invoices", "Invoices of the northern region, "])
def test_names_that_differ_late_are_cut_before_the_difference(word: str) -> None:
    start = f"{word}{'x' * 40}"
    one, other = (
        _names(f"{start}1 paid", f"{start}2 paid").html(id_) for id_ in ("dir-0", "dir-1")
    )
    assert "</span><span>xxxxxxxx1 paid</span>" in one
    assert "</span><span>xxxxxxxx2 paid</span>" in other


def test_name_equal_to_another_id_gets_its_id_added() -> None:
    names = _names("Invoices", "dir-0")
    assert names.choices == ["dir-0 (dir-1)", "Invoices"]
    assert names.id_of("dir-0") == "dir-0"


def test_name_that_looks_like_one_with_an_id_gets_its_id_added() -> None:
    names = _names("Invoices", "Invoices", "Invoices (dir-1)")
    assert names.id_of("Invoices (dir-1)") == "dir-1"
    assert names.id_of("Invoices (dir-1) (dir-2)") == "dir-2"


@pytest.mark.parametrize("typed", ["Claims", "claims", "  CLAIMS "])
def test_names_match_without_case_and_outer_spaces(typed: str) -> None:
    assert _names("Invoices", "Claims").id_of(typed) == "dir-1"


@pytest.mark.parametrize("nothing", ["", "   "])
def test_empty_text_is_no_filter(nothing: str) -> None:
    assert _names("Claims").id_of(nothing) is None


def test_unlisted_id_is_accepted() -> None:
    assert _names("Claims").id_of(" dir-elsewhere") == "dir-elsewhere"


def test_unknown_name_raises_with_advice() -> None:
    with pytest.raises(ValueError, match=r"No directory is named 'xyz'\. Choose .* \(dir-…\)\."):
        _names("Claims").id_of("xyz")


def test_any_text_is_accepted_before_names_load() -> None:
    assert NameIndex("directory", "dir-").id_of("my-own") == "my-own"
