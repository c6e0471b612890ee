from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.sandbox_server.state.ids import KINDS, MAJOR_BITS, MINOR_BITS, Ids, Kind

IDS = Ids(0)
kinds = st.sampled_from(KINDS)
majors = st.integers(0, 2**MAJOR_BITS - 1)
minors = st.integers(0, 2**MINOR_BITS - 1)


@given(st.integers(), kinds, majors, minors)
def test_an_id_can_be_read_back(seed: int, kind: Kind, major: int, minor: int) -> None:
    ids = Ids(seed)
    assert ids.read(kind, ids.make(kind, major, minor)) == (major, minor)


@given(kinds, kinds, majors)
def test_an_id_is_of_one_kind(one: Kind, other: Kind, major: int) -> None:
    ids = Ids(0)
    assert (ids.read(other, ids.make(one, major)) is not None) == (one == other)


@given(kinds, st.text())
def test_any_other_text_is_no_id(kind: Kind, text: str) -> None:
    assert IDS.read(kind, text) is None


def test_another_seed_cannot_read_an_id() -> None:
    assert Ids(1).read("batch", Ids(0).make("batch", 3)) is None


def test_an_id_in_capitals_is_no_id() -> None:
    assert Ids(0).read("batch", "bat-" + Ids(0).make("batch", 3)[4:].upper()) is None


def test_a_series_has_the_ids_of_its_members() -> None:
    ids = Ids(0)
    assert ids.series("file", 2, range(4)) == [ids.make("file", 2, minor) for minor in range(4)]
