"""Ids as a store keeps them: a ULID is 16 bytes, any other text stays text.

Text and bytes sort alike, so an index of either reads in order of time.
"""

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_PAIRS = [(_ALPHABET[n >> 5 : (n >> 5) + 1] + _ALPHABET[n & 31 : (n & 31) + 1]).decode() for n in range(1024)]
# What `int` reads in base 32; a sign it refuses stands for all else, small letters and spaces included.
_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(n)] if n in _ALPHABET else 33 for n in range(256)
)


def pack_id(text: str) -> bytes | str:
    """16 bytes for a ULID in its canonical form, anything else as it is."""
    if len(text) != _LENGTH or text[0] > "7" or not text.isascii():
        return text
    try:
        return int(text.encode().translate(_DIGITS), 32).to_bytes(16)
    except ValueError:
        return text


def unpack_id(kept: bytes | str) -> str:
    """The id as text."""
    if isinstance(kept, str):
        return kept
    bits = int.from_bytes(kept)
    pairs = _PAIRS
    return (  # written out: an id is made for every event that is read
        pairs[bits >> 120]
        + pairs[bits >> 110 & 1023]
        + pairs[bits >> 100 & 1023]
        + pairs[bits >> 90 & 1023]
        + pairs[bits >> 80 & 1023]
        + pairs[bits >> 70 & 1023]
        + pairs[bits >> 60 & 1023]
        + pairs[bits >> 50 & 1023]
        + pairs[bits >> 40 & 1023]
        + pairs[bits >> 30 & 1023]
        + pairs[bits >> 20 & 1023]
        + pairs[bits >> 10 & 1023]
        + pairs[bits & 1023]
    )
