"""Payloads and contents made small: deflated, short ones with the help of a dictionary of words events often hold.

What is kept begins with `{` (JSON as it is), 0 (any text as it is) or 1 (deflated with the dictionary below);
2 is a sealed one, see `cortex/codec/seal.py`. A packed text is never longer than the text and one byte.
The dictionary is part of the format: it is never changed; a better one would get a byte of its own.
"""

import zlib

from planaria.cortex.codec.words import WORDS

_PLAIN, _DEFLATED = 0, 1
_SHORTEST = 64
"""Bytes below which deflating saves nothing worth its time."""
_SMALL = 2048
"""Bytes up to which a small window serves as well, at a fraction of the cost."""
MOST = 64 * 1024 * 1024
"""Bytes no packed text unfolds beyond."""

# Copied for each text: to set one up costs more than to deflate 200 bytes.
_small = zlib.compressobj(3, zlib.DEFLATED, -12, 2, zlib.Z_DEFAULT_STRATEGY, WORDS)
_large = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, WORDS)
_inflate = zlib.decompressobj(-15, WORDS)


class NotPacked(ValueError):
    """These bytes are not what `pack` makes."""


def pack(text: bytes) -> bytes:
    """Make a text small. `unpack` gives it back."""
    size = len(text)
    if size >= _SHORTEST:
        deflate = (_small if size <= _SMALL else _large).copy()
        packed = b"\x01" + deflate.compress(text) + deflate.flush()
        if len(packed) < size:
            return packed
    return text if text[:1] == b"{" else b"\x00" + text


def unpack(packed: bytes) -> bytes:
    """The text that was packed.

    Raises:
        NotPacked: nothing that `pack` made.
    """
    match packed[:1]:
        case b"{":
            return packed
        case b"\x01":
            inflate = _inflate.copy()
            try:
                text = inflate.decompress(packed[1:], MOST)
            except zlib.error as error:
                raise NotPacked(str(error)) from error
            if not inflate.eof or inflate.unused_data:
                raise NotPacked("not whole, or too long")
            return text
        case b"\x00":
            return packed[1:]
        case _:
            raise NotPacked(f"begins with {packed[:1]!r}")
