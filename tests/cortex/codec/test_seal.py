"""What is sealed opens with its key for its event, and with nothing else."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.codec.seal import (
    MasterKey,
    NotOpened,
    SubjectCipher,
    generation_of,
    is_sealed,
    load_master_key,
)
from planaria.cortex.errors import SealError
from planaria.cortex.store import SubjectKey

MASTER = MasterKey(bytes(32))
CIPHER = SubjectCipher(b"k" * 32, 3)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300), st.binary(max_size=60), st.data())
def test_a_payload_opens_as_it_was_and_nothing_else_does(
    packed: bytes, header: bytes, data: st.DataObject
) -> None:
    sealed = CIPHER.seal(packed, header)
    assert is_sealed(sealed) and generation_of(sealed) == 3
    assert CIPHER.open(sealed, header) == packed
    if len(packed) > 3:
        assert packed not in sealed
    place = data.draw(st.integers(3, len(sealed) - 1))
    changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
    for kept, named in ((changed, header), (sealed, header + b"x"), (sealed[:-1], header)):
        with pytest.raises(NotOpened):
            CIPHER.open(kept, named)
    with pytest.raises(NotOpened):
        SubjectCipher(b"j" * 32, 3).open(sealed, header)


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_content_opens_under_its_address_alone(text: bytes, other: bytes) -> None:
    address = CIPHER.address(text)
    sealed = CIPHER.seal_content(text, address)
    assert CIPHER.open_content(sealed, address) == text
    assert CIPHER.seal_content(text, address) == sealed
    if text != other:
        assert CIPHER.address(other) != address
        with pytest.raises(NotOpened):
            CIPHER.open_content(sealed, CIPHER.address(other))
    assert SubjectCipher(b"j" * 32, 3).address(text) != address


def test_a_subjects_key_opens_with_its_master_for_itself_alone() -> None:
    key = MASTER.new_key("person:ada", 1)
    cipher = MASTER.cipher(key)
    again = MASTER.cipher(key)
    assert cipher is not None and again is not None
    assert again.open(cipher.seal(b"{}", b"h"), b"h") == b"{}"
    assert MASTER.cipher(SubjectKey("person:ada", 1, None)) is None
    for wrong in (SubjectKey("person:bob", 1, key.wrapped), SubjectKey("person:ada", 2, key.wrapped)):
        with pytest.raises(SealError, match="does not open the key of 'person:"):
            MASTER.cipher(wrong)
    with pytest.raises(SealError, match="put back the master key this journal was written with"):
        MasterKey(b"x" * 32).cipher(key)


def test_a_master_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = load_master_key(path).new_key("person:ada", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_master_key(path).cipher(key) is not None
    assert path.read_text().strip() not in repr(load_master_key(path))


@pytest.mark.parametrize("content", ["", "abc", "zz" * 32, "00" * 31, "é"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(content)
    with pytest.raises(SealError, match=r"master\.key .*; put the right file back"):
        load_master_key(path)


def test_a_key_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(SealError, match=r"master\.key cannot be used"):
        load_master_key(tmp_path / "nowhere" / "master.key")
    assert os.listdir(tmp_path) == []
