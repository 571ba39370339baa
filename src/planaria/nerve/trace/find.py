"""Which trace somebody means: a trace id, the id of any event in it, the beginning or end of one, a session, a room."""

import difflib
from collections.abc import Awaitable, Callable

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.nerve.trace.reading import HEADS, Read, beginnings, begins

type Find = Callable[[str], Awaitable[Event | None]]

SHORTEST = 4
"""Characters a piece of an id must have."""
LOOK_BACK = 20_000
"""Newest events that are searched for a piece of an id."""
PAGE = 1000
MOST_NEAR = 5


class NoTrace(LookupError):
    """Nothing is meant, or several things are; `near` are ids to choose from."""

    def __init__(self, what: str, problem: str, near: tuple[str, ...]) -> None:
        self.problem = problem
        self.near = near
        super().__init__(f"{problem} {what!r}" if what else problem)


class Found(msgspec.Struct, frozen=True):
    """A trace, and the event that was named, if one was."""

    trace_id: str
    event_id: str = ""


async def find_trace(read: Read, find: Find, what: str) -> Found:
    """The trace somebody means.

    Args:
        find: gives the event of an id, however old.
        what: an id, at least four characters from the beginning or the end of one, a session or a room, which mean
            the latest trace there, or empty for the latest of all.
    Raises:
        NoTrace: with what comes near.
    """
    what = what.strip().lstrip("…")
    if not what:
        async for trace_id, _ in beginnings(read):
            return Found(trace_id)
        raise NoTrace("", "nothing has been asked yet", ())
    for spelled in dict.fromkeys((what, what.upper())):
        if await read(Query(trace_id=spelled, limit=1, contents=False)):
            return Found(spelled)
        event = await find(spelled)
        if event is not None:
            return Found(event.trace_id, event.id)
    for session in (what, f"room:{what}", f"run:{what}"):
        events = await read(Query(session=session, limit=20, newest_first=True, contents=False))
        # Joining a room is an event of its own; what people mean is what was said or done there.
        done = [
            event
            for event in events
            if not event.kind.startswith(("room.joined", "room.left", "room.opened"))
        ]
        for event in done:
            if event.kind not in HEADS or begins(event):
                return Found(event.trace_id)
        if done:
            return Found(done[0].trace_id)
    return await _by_piece(read, what)


async def _by_piece(read: Read, what: str) -> Found:
    """By a piece of an id, among the newest events."""
    wanted, before, looked = what.upper(), None, 0
    traces: dict[str, str] = {}
    known: dict[str, None] = {}
    while looked < LOOK_BACK:
        page = await read(Query(before_seq=before, limit=PAGE, newest_first=True, contents=False))
        for event in page:
            known[event.trace_id] = None
            if len(wanted) < SHORTEST:
                continue
            if _is_piece(wanted, event.trace_id):
                traces[event.trace_id] = ""
            elif _is_piece(wanted, event.id):
                traces.setdefault(event.trace_id, event.id)
        looked += len(page)
        if len(page) < PAGE:
            break
        before = page[-1].seq
    if len(traces) == 1:
        return Found(*next(iter(traces.items())))
    if traces:
        problem = f"{len(traces)} traces have an id that begins or ends with"
        raise NoTrace(what, problem, tuple(traces)[:MOST_NEAR])
    near = difflib.get_close_matches(wanted, [each.upper() for each in known], n=MOST_NEAR, cutoff=0.5)
    ends = {each[-len(wanted) :].upper(): each for each in known} if wanted else {}
    near += [ends[end] for end in difflib.get_close_matches(wanted, ends, n=MOST_NEAR, cutoff=0.6)]
    by_upper = {each.upper(): each for each in known}
    found = dict.fromkeys(by_upper.get(each, each) for each in near)
    raise NoTrace(what, "there is no trace, message, event, session or room", tuple(found)[:MOST_NEAR])


def _is_piece(wanted: str, id: str) -> bool:
    upper = id.upper()
    return upper.startswith(wanted) or upper.endswith(wanted)
