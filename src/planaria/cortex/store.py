"""The contract of a store: where the journal's events are kept.

Stores live in `cortex/stores/`, one file each, and all pass `planaria.testing.stores`. A store is used by one journal
at a time: `append` is never called again before it has answered, `read` may be called at any time.
A store translates every fault of its driver into one of the `StoreError`s.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.query import Query


class Draft(msgspec.Struct, frozen=True):
    """An event that lacks only its place in the journal; `payload` is a JSON object as it will be kept."""

    id: str
    at: float
    trace_id: str
    cause_id: str | None
    node: str
    process: str
    session: str
    kind: str
    payload: bytes


class Written(msgspec.Struct, frozen=True):
    """One append is on disk; its events have the places `first_seq`, `first_seq + 1` and so on."""

    first_seq: int


class Duplicate(msgspec.Struct, frozen=True):
    """Nothing of one append was written, as this id is in the journal already, or twice in the append."""

    id: str


class EventStore(Protocol):
    """Where the journal's events are kept.

    After any `StoreError` the store can be used again: each call tries anew, with a new connection if need be.
    """

    async def open(self) -> None:
        """Connect, create what is missing, and migrate.

        Raises:
            StoreError: it cannot be used; `StoreTooNew` if a later program has changed the schema.
        """
        ...

    async def migrate(self) -> int:
        """Bring the schema up to this program's and answer its number. Part of `open`."""
        ...

    async def append(self, batch: Sequence[Sequence[Draft]]) -> list[Written | Duplicate]:
        """Write several appends in one commit, in order; durable when this returns.

        Each append is written whole or not at all; a duplicate id refuses only its own append.

        Returns:
            One answer for each append, in order.
        Raises:
            StoreError: nothing was acknowledged.
        """
        ...

    async def read(self, query: Query) -> list[Event]:
        """The committed events the query asks for."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. A second close does nothing; `open` may follow."""
        ...
