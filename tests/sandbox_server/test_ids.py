from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.sandbox_server.state.ids import (
    ID_KINDS,
    MAJOR_BITS,
    MINOR_BITS,
    IdCodec,
    IdKind,
)

IDS = IdCodec(0)
kinds = st.sampled_from(ID_KINDS)
majors = st.integers(0, 2**MAJOR_BITS - 1)
minors = st.integers(0, 2**MINOR_BITS - 1)


@given(st.integers(), kinds, majors, minors)
def test_an_id_can_be_read_back(seed: int, kind: IdKind, major: int, minor: int) -> None:
    ids = IdCodec(seed)
    assert ids.decode(kind, ids.encode(kind, major, minor)) == (major, minor)


@given(kinds, kinds, majors)
def test_an_id_is_of_one_kind(one: IdKind, other: IdKind, major: int) -> None:
    ids = IdCodec(0)
    assert (ids.decode(other, ids.encode(one, major)) is not None) == (one == other)


@given(kinds, st.text())
def test_any_other_text_is_no_id(kind: IdKind, text: str) -> None:
    assert IDS.decode(kind, text) is None


def test_another_seed_cannot_read_an_id() -> None:
    assert IdCodec(1).decode("batch", IdCodec(0).encode("batch", 3)) is None


def test_an_id_in_capitals_is_no_id() -> None:
    assert IdCodec(0).decode("batch", "bat-" + IdCodec(0).encode("batch", 3)[4:].upper()) is None


def test_a_series_has_the_ids_of_its_members() -> None:
    ids = IdCodec(0)
    assert ids.encode_range("file", 2, range(4)) == [
        ids.encode("file", 2, minor) for minor in range(4)
    ]
