"""What a room is about to write: entries that wait for one commit, in order, and the ids that make repeats harmless."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.cortex.patience import patiently
from planaria.cortex.telemetry.span import Span
from planaria.otp import Deferred

MOST_AT_ONCE = 200
"""Entries in one commit; each has at most two events."""
LONGEST_WRITE = 20.0
"""Seconds the journal may take for one commit; beyond, the room says that it cannot write."""


@dataclass(slots=True)
class Entry:
    """Events to write together, and who waits for the place of the first.

    Attributes:
        events: at least one.
        answer: who is told; None: nobody.
        keep: whether it is tried until it is written, since nobody would try again.
        value: what they are told; None: the place of the first event, as `Accepted`.
        span: what is over when they are told.
        former: the id under which an earlier build may have written the first of them.
        tail: events of other sessions that are written with them; those that are there already stay as they are.
    """

    events: tuple[NewEvent, ...]
    answer: Deferred[Any] | None = None
    keep: bool = False
    value: object = None
    span: Span | None = None
    former: str = ""
    tail: tuple[NewEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that never can be written, in words."""

    problem: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the entries.

    Attributes:
        outcomes: for each entry its first event, written now or before, or why it never will be.
        events: all that the room has not taken in yet, in order of `seq`.
    """

    outcomes: tuple[Event | Refused, ...]
    events: tuple[Event, ...]


def take_batch(waiting: deque[Entry]) -> list[Entry]:
    """The next entries to write together; no id twice in one append."""
    batch: list[Entry] = []
    ids: set[str] = set()
    while waiting and len(batch) < MOST_AT_ONCE:
        given = {event.id for event in (*waiting[0].events, *waiting[0].tail) if event.id}
        if given & ids:
            break
        ids |= given
        batch.append(waiting.popleft())
    return batch


async def write(
    session: str,
    entries: Sequence[tuple[NewEvent, ...]],
    kinds: tuple[str, ...],
    unsure_after: int | None,
    former: Sequence[str] = (),
    tails: Sequence[tuple[NewEvent, ...]] = (),
) -> Written:
    """Write entries in order, in one commit; one that is in the journal already is looked up instead.

    Args:
        session: the stream, which has no other writer.
        entries: the events of each.
        kinds: what the room takes in.
        unsure_after: the last place the room has taken in, if an earlier write may have come through unseen;
            then everything after it is read too. The journal takes writes in order, so what is not there
            after this one never will be.
        former: for each entry the id under which an earlier build may have written it, or nothing.
        tails: for each entry what of other sessions is written with it, or after it where it was there before.
    Raises:
        JournalUnavailable, CallError: nothing may be taken for written.
    """
    outcomes: dict[int, Event | Refused] = {}
    for entry, known in enumerate(former):
        if known and (before := await Journal.find("journal", known)) is not None:
            outcomes[entry] = before
    events: list[Event] = []
    open_tails = dict(enumerate(tails))
    together = True
    while left := [number for number in range(len(entries)) if number not in outcomes]:
        batch = left if together else left[:1]
        try:
            written = await Journal.append(
                "journal",
                [event for number in batch for event in (*entries[number], *open_tails.get(number, ()))],
                within=LONGEST_WRITE,
            )
        except EventRefused as error:
            double = error.duplicate_of
            number = next((n for n in batch if any(e.id == double for e in entries[n])), None)
            if double is not None and number is not None:
                outcomes[number] = await _find(entries[number], double)
            elif double is not None and _drop(open_tails, double):
                pass
            elif len(batch) == 1:
                outcomes[batch[0]] = Refused(str(error))
            else:
                together = False  # one of them cannot be written: the others shall not suffer for it
            continue
        place = iter(written)
        for number in batch:
            taken = [next(place) for _ in entries[number]]
            events += taken
            outcomes[number] = taken[0]
            for _ in open_tails.pop(number, ()):
                next(place)
    for number, tail in open_tails.items():
        if not isinstance(outcomes[number], Refused):
            await _write_tail(tail)
    if unsure_after is not None:
        events = await _since(session, kinds, unsure_after)
    return Written(tuple(outcomes[number] for number in range(len(entries))), tuple(events))


def placed(entries: Sequence[Entry], written: Sequence[Event]) -> Written:
    """What became of entries that were written at one go."""
    outcomes: list[Event] = []
    events: list[Event] = []
    first = 0
    for entry in entries:
        outcomes.append(written[first])
        events += written[first : first + len(entry.events)]
        first += len(entry.events) + len(entry.tail)
    return Written(tuple(outcomes), tuple(events))


def _drop(tails: dict[int, tuple[NewEvent, ...]], id: str) -> bool:
    """Take an event that is in the journal already out of the tails; whether there was one."""
    for number, tail in tails.items():
        left = tuple(event for event in tail if event.id != id)
        if len(left) < len(tail):
            tails[number] = left
            return True
    return False


async def _write_tail(tail: tuple[NewEvent, ...]) -> None:
    """Write what should have been written with an entry that was there before."""
    tails = {0: tail}
    while tails[0]:
        try:
            await Journal.append("journal", tails[0], within=LONGEST_WRITE)
            return
        except EventRefused as error:
            if error.duplicate_of is None or not _drop(tails, error.duplicate_of):
                raise


async def _since(session: str, kinds: tuple[str, ...], after: int) -> list[Event]:
    """All events after a place. What was just written is on disk and must be known, so this does not give up."""

    async def read() -> list[Event]:
        return [event async for event in events_of("journal", session, kinds=kinds, after_seq=after)]

    return await patiently(read)


async def _find(entry: Sequence[NewEvent], id: str) -> Event:
    event = await Journal.find("journal", id)
    session = next(each.session for each in entry if each.id == id)
    if event is None or event.session != session:
        raise LookupError(f"event {id} is in the journal, but not in session {session}")
    return event
