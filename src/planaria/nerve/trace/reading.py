"""Reads traces from a journal: one whole, or the latest in short. The journal is given as a function that reads.

So the same code serves a running node and a stopped garden.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import msgspec

from planaria.cortex.chronicle_events import SESSION
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.nerve.trace.asides import SIDE, names
from planaria.nerve.trace.build import build
from planaria.nerve.trace.shape import Doing, Trace
from planaria.nerve.trace.words import REFERENCE, inner

type Read = Callable[[Query], Awaitable[list[Event]]]
type Look = Callable[[Iterable[str]], Sequence[Doing]]
"""Asks what living processes do for these sessions; None where no node runs."""

HEADS = ("room.message", "workflow.run.started")
"""Kinds that a trace people ask about begins with; see `begins`."""
MOST_EVENTS, MOST_SHORT = 20_000, 2_000
"""Events of one trace that are read: to draw it, and for its line in a list."""
MOST_NOTES = 500
"""Events of the node's own life that are looked through."""
PAGE = 200
FURTHEST = 20_000
"""Events that are looked through for beginnings of traces."""
LATE = 1.0
"""Seconds the node's own life may be written down late."""
PILLARS = ("journal", "models", "rooms", "agents", "workflows", "node")
"""Processes whose ends concern every trace."""


class Reading(msgspec.Struct, frozen=True):
    """A trace with the events it was built from, oldest first, and the notes beside it."""

    trace: Trace
    events: tuple[Event, ...]
    notes: tuple[Event, ...]


async def read_trace(read: Read, trace_id: str, *, now: float, look: Look | None = None) -> Reading | None:
    """One trace as it is now; None if the journal has nothing of it."""
    events = await read_events(read, trace_id)
    if not events:
        return None
    notes = await read_notes(read, events)
    return rebuilt(trace_id, events, notes, now=now, look=look)


def rebuilt(
    trace_id: str,
    events: Sequence[Event],
    notes: Sequence[Event],
    *,
    now: float,
    look: Look | None,
) -> Reading:
    """The trace of events that were read, with the notes that concern it."""
    sessions = {event.session for event in events}
    doing = None if look is None else look(sessions)
    trace = build(trace_id, events, now=now, doing=doing)
    until = float("inf") if trace.ended is None else trace.ended + LATE
    beside = tuple(
        note for note in notes if note.trace_id != trace_id and note.at <= until and concerns(note, sessions)
    )
    if beside:
        trace = build(trace_id, events, now=now, doing=doing, notes=beside)
    return Reading(trace, tuple(events), beside)


async def read_events(
    read: Read, trace_id: str, *, most: int = MOST_EVENTS, contents: bool = True
) -> list[Event]:
    """The events of a trace, oldest first; of one that has too many those at its beginning and its end."""
    query = Query(trace_id=trace_id, limit=most // 2, contents=contents)
    events = await read(query)
    if len(events) < most // 2:
        return events
    last = events[-1].seq
    rest = await read(msgspec.structs.replace(query, after_seq=last, newest_first=True))
    return events + rest[::-1]


async def read_notes(read: Read, events: Sequence[Event]) -> list[Event]:
    """The node's own life from the first of these events on."""
    first = min(event.seq for event in events)
    return await read(Query(session=SESSION, kinds=tuple(SIDE), after_seq=first, limit=MOST_NOTES))


def concerns(note: Event, sessions: set[str]) -> bool:
    """Whether an event of the node's life is about a process that works for one of these sessions."""
    if note.kind == "node.started":
        return True
    payload = note.payload
    about = [note.process, str(payload.get("child", "")), str(payload.get("label", ""))]
    if any(who in PILLARS for who in about[:2]):
        return True
    return any(names(who, session) for who in about if who for session in sessions)


async def latest(
    read: Read,
    limit: int,
    *,
    failed: bool = False,
    before_seq: int | None = None,
    now: float,
    look: Look | None,
) -> list[Trace]:
    """The latest traces that begin with a message or a run, newest first, without their nodes.

    Args:
        failed: only those that failed or were cut off.
        before_seq: only those with a message or run before this place.
    """
    found: list[Trace] = []
    if limit <= 0:
        return found
    async for trace_id, _ in beginnings(read, before_seq):
        trace = await short(read, trace_id, now=now, look=look)
        if trace is not None and (not failed or trace.state in ("failed", "cut_off")):
            found.append(trace)
        if len(found) >= limit:
            break
    return found


async def short(read: Read, trace_id: str, *, now: float, look: Look | None) -> Trace | None:
    """One trace in short: without its nodes, and without long texts being read for it."""
    events = await read_events(read, trace_id, most=MOST_SHORT, contents=False)
    if not events:
        return None
    for place, event in enumerate(events):
        if event.kind in HEADS:  # people know a trace by the words it begins with
            if REFERENCE in inner(event.payload, "text"):
                one = Query(after_seq=event.seq - 1, before_seq=event.seq + 1, limit=1)
                events[place : place + 1] = await read(one)
            break
    doing = None if look is None else look({event.session for event in events})
    trace = build(trace_id, events, now=now, doing=doing)
    return msgspec.structs.replace(trace, nodes=())


def begins(event: Event) -> bool:
    """Whether a trace people ask about may begin here: with a message that is no mere notice, or with a run."""
    return event.kind in HEADS and event.payload.get("author_kind") != "notice"


async def beginnings(read: Read, before_seq: int | None = None) -> AsyncIterator[tuple[str, int]]:
    """Ids of traces that begin with a message or a run, each once with the place of its latest such event."""
    seen: set[str] = set()
    looked = 0
    while looked < FURTHEST:
        page = await read(
            Query(kinds=HEADS, before_seq=before_seq, limit=PAGE, newest_first=True, contents=False)
        )
        for event in page:
            if begins(event) and event.trace_id not in seen:
                seen.add(event.trace_id)
                yield event.trace_id, event.seq
        if len(page) < PAGE:
            return
        looked += len(page)
        before_seq = page[-1].seq
