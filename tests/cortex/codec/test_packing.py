"""What is packed comes back, and is never longer by more than a byte."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.codec.id_codec import pack_id, unpack_id
from planaria.cortex.codec.packing import NotPacked, pack, unpack
from planaria.cortex.codec.words import WORDS

ULIDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=25, max_size=25).flatmap(
    lambda tail: st.sampled_from("01234567").map(lambda head: head + tail)
)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200) | st.text(max_size=5000).map(str.encode))
def test_every_text_comes_back(text: bytes) -> None:
    packed = pack(text)
    assert unpack(packed) == text
    assert len(packed) <= len(text) + 1


@pytest.mark.parametrize("size", [0, 1, 39, 40, 2048, 2049, 100_000, 3_000_000])
def test_texts_of_all_sizes_come_back(size: int) -> None:
    text = (b"a moss on a stone, and another; " * (size // 32 + 1))[:size]
    assert unpack(pack(text)) == text


def test_an_ordinary_payload_takes_half_its_place() -> None:
    text = b'{"author":"ada","author_kind":"person","text":"Where do planarians live?","to":["scout"]}'
    assert len(pack(text)) < len(text) / 2


@pytest.mark.parametrize(
    "packed", [b"", b"\x02abc", b"\x01", b"\x01\xff\xff", b"text", pack(b"a" * 100)[:-1]]
)
def test_what_was_not_packed_is_refused(packed: bytes) -> None:
    with pytest.raises(NotPacked):
        unpack(packed)


def test_the_dictionary_is_never_changed() -> None:
    assert (
        hashlib.sha256(WORDS).hexdigest()
        == "ef9fecb36da056e663ce7fc9b2f8b3661e0f531a513460a96c4c4504c7e9ad77"
    )


@settings(deadline=None)
@given(ULIDS)
def test_a_ulid_is_sixteen_bytes_that_sort_alike(id: str) -> None:
    packed = pack_id(id)
    assert isinstance(packed, bytes) and len(packed) == 16
    assert unpack_id(packed) == id


@settings(deadline=None)
@given(ULIDS, ULIDS)
def test_ids_sort_in_bytes_as_in_text(one: str, other: str) -> None:
    assert (pack_id(one) < pack_id(other)) == (one < other)  # type: ignore[operator]


@settings(deadline=None)
@given(
    st.text(max_size=30)
    | st.text("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_ +-٠", min_size=26, max_size=26)
)
def test_ids_of_any_form_come_back(id: str) -> None:
    assert unpack_id(pack_id(id)) == id
