"""Between events and rows: ids as bytes, names as numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from planaria.cortex.codec.id_codec import pack_id, unpack_id
from planaria.cortex.store import Stored

ULID_SIZE = 16
_TEXT = b"\xff"
"""Before an id that is no ULID; in UTF-8 no such byte occurs."""
_MOST_NAMES = 100_000


def id_bytes(text: str) -> bytes:
    """An id as it is kept: 16 bytes for a ULID, and never 16 for anything else."""
    packed = pack_id(text)
    if isinstance(packed, bytes):
        return packed
    kept = _TEXT + packed.encode()
    return kept if len(kept) != ULID_SIZE else kept + _TEXT


def id_text(kept: bytes) -> str:
    """The id as it was given."""
    return unpack_id(kept) if len(kept) == ULID_SIZE else kept.strip(_TEXT).decode()


class Names:
    """Numbers of names as this store has met them. A name never changes its number, nor does it go away."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.texts: dict[int, str] = {0: ""}

    def trim(self) -> None:
        """When there are very many, begin anew. Before a use, never within one."""
        if len(self.texts) > _MOST_NAMES:
            self.numbers, self.texts = {}, {0: ""}

    def learn(self, pairs: Iterable[tuple[str, int]]) -> None:
        """Remember."""
        for text, number in pairs:
            self.numbers[text] = number
            self.texts[number] = text

    def unknown(self, rows: Iterable[Sequence[Any]]) -> set[int]:
        """The numbers in these rows of `COLUMNS` that are not known yet."""
        texts = self.texts
        return {
            number
            for row in rows
            for number in (row[5], row[6], row[7], row[8], row[11])
            if number not in texts
        }


def learned(pairs: Iterable[tuple[bytes, int]]) -> Iterator[tuple[str, int]]:
    """Names and their numbers, but for those another program has made into no text."""
    for name, number in pairs:
        with suppress(UnicodeDecodeError):
            yield name.decode(), number


def stored(row: Sequence[Any], texts: Mapping[int, str]) -> Stored:
    """An event from a row of `COLUMNS`."""
    return Stored(
        seq=row[0],
        id=id_text(row[1]),
        at=row[2],
        trace_id=id_text(row[3]),
        cause_id=id_text(row[4]) if row[4] else None,
        node=texts[row[5]],
        process=texts[row[6]],
        session=texts[row[7]],
        kind=texts[row[8]],
        payload=row[9],
        version=row[10],
        subject=texts[row[11]],
        digest=row[12],
        stripped=row[13],
    )


def remains(row: Sequence[Any], texts: Mapping[int, str]) -> Stored:
    """What can be told of a row that is no event: its place, its session and its id, if they can be."""
    try:
        name = id_text(row[1])
    except ValueError:
        name = ""
    session = texts.get(row[7], f"(session {row[7]} without a name)")
    return Stored(row[0], name, 0.0, "", None, "", "", session, "", b"", 0, "", row[12])
