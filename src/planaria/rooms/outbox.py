"""What a room is about to write: entries that wait for one commit, in order, and the ids that make repeats harmless."""

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Any

from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import Deferred

MOST_AT_ONCE = 200


@dataclass(slots=True)
class Entry:
    """One event to write and who waits for it."""

    event: NewEvent
    answer: Deferred[Any] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the entries: the event of each, in order. `new` tells those written now from repeats."""

    events: tuple[Event, ...]
    new: tuple[bool, ...]


def repeatable_id(*parts: str) -> str:
    """An id that the same parts always give, so that the journal refuses the second of two equal events."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def take_batch(waiting: deque[Entry]) -> list[Entry]:
    """The next entries to write together; no id twice in one append."""
    batch: list[Entry] = []
    ids: set[str] = set()
    while waiting and len(batch) < MOST_AT_ONCE:
        if waiting[0].event.id and waiting[0].event.id in ids:
            break
        entry = waiting.popleft()
        ids.add(entry.event.id)
        batch.append(entry)
    return batch


async def write(session: str, events: tuple[NewEvent, ...]) -> Written:
    """Write events in order; one that is in the journal already is looked up instead.

    Raises:
        JournalUnavailable, CallError: nothing may be taken for written.
    """
    known: dict[str, Event] = {}
    while True:
        fresh = [event for event in events if event.id not in known]
        try:
            written = await Journal.append("journal", fresh)
        except EventRefused as error:
            if error.duplicate_of is None or error.duplicate_of in known:
                raise
            known[error.duplicate_of] = await _find(session, error.duplicate_of)
            continue
        rest = iter(written)
        result = tuple(known[event.id] if event.id in known else next(rest) for event in events)
        return Written(result, tuple(event.id not in known for event in events))


async def _find(session: str, id: str) -> Event:
    before: int | None = None
    while True:
        page = await Journal.read(
            "journal", Query(session=session, before_seq=before, limit=500, newest_first=True)
        )
        for event in page:
            if event.id == id:
                return event
        if not page:
            raise LookupError(f"event {id} is in the journal, but not in session {session}")
        before = page[-1].seq
