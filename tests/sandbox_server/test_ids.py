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
def test_decode_inverts_encode(seed: int, kind: IdKind, major: int, minor: int) -> None:
    ids = IdCodec(seed)
    assert ids.decode(kind, ids.encode(kind, major, minor)) == (major, minor)


@given(kinds, kinds, majors)
def test_id_decodes_as_its_own_kind_only(one: IdKind, other: IdKind, major: int) -> None:
    ids = IdCodec(0)
    assert (ids.decode(other, ids.encode(one, major)) is not None) == (one == other)


@given(kinds, st.text())
def test_arbitrary_text_does_not_decode(kind: IdKind, text: str) -> None:
    assert IDS.decode(kind, text) is None


def test_id_does_not_decode_with_another_seed() -> None:
    assert IdCodec(1).decode("batch", IdCodec(0).encode("batch", 3)) is None


def test_uppercase_id_does_not_decode() -> None:
    assert IdCodec(0).decode("batch", "bat-" + IdCodec(0).encode("batch", 3)[4:].upper()) is None


def test_encode_range_equals_single_encodes() -> None:
    ids = IdCodec(0)
    assert ids.encode_range("file", 2, range(4)) == [
        ids.encode("file", 2, minor) for minor in range(4)
    ]
