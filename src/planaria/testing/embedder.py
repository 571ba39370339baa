"""Vectors without a model: equal words, near vectors. No network, no clock, no chance.

    embedder = HashEmbedder()
    near = (await embedder.embed("hash", ["moss grows slowly", "slow moss"])).vectors

Does badly: it knows no meaning. Words that are written alike are alike, and nothing else is.
"""

import hashlib
import math
import re
from array import array
from collections.abc import Sequence

from planaria.membrane.provider import Embeddings, Usage

DIMENSIONS = 64
"""Of a vector, unless another number is asked for."""
_WORDS = re.compile(r"\w+")


class HashEmbedder:
    """An `Embedder`; `asked` holds the texts of each call."""

    def __init__(self, name: str = "hash") -> None:
        self.name = name
        self.asked: list[tuple[str, ...]] = []

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None = None) -> Embeddings:
        """See `Embedder.embed`; a token is a word."""
        if not texts or not all(texts):
            raise ValueError("embed needs at least one text, and none that is empty")
        self.asked.append(tuple(texts))
        vectors = tuple(vector_of(text, dimensions or DIMENSIONS) for text in texts)
        return Embeddings(vectors, Usage(sum(len(text.split()) for text in texts)), model, self.name)


def vector_of(text: str, dimensions: int = DIMENSIONS) -> "array[float]":
    """A vector of length 1: each word, and each three letters of it, pushes one coordinate up or down."""
    sums = [0.0] * dimensions
    for word in _WORDS.findall(text.lower()) or [text]:
        pieces = {word, *(word[at : at + 3] for at in range(len(word) - 2))}
        for piece in pieces:
            digest = hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            place = int.from_bytes(digest[:7], "big") % dimensions
            sums[place] += (2.0 if piece == word else 1.0) * (1 if digest[7] & 1 else -1)
    length = math.sqrt(sum(value * value for value in sums)) or 1.0
    return array("f", (value / length for value in sums))
