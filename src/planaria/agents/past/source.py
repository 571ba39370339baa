"""Where a session's trace is read from: a journal, or events in a file; and the talk of a room by places."""

from collections.abc import Iterable
from typing import Protocol

from planaria.agents.turn.events import Talk
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import Server
from planaria.rooms.events import RoomForked
from planaria.rooms.message import RoomMessage, room_name
from planaria.rooms.transcript import SAYING, message_of


class Reads(Protocol):
    """Events by query."""

    async def read(self, query: Query) -> list[Event]:
        """The events the query asks for, in its order."""
        ...


class Source(Reads, Protocol):
    """Events by query and by id."""

    async def find(self, id: str) -> Event | None:
        """The event of this id."""
        ...


class JournalSource:
    """The journal of this node.

    Raises, in both methods: JournalUnavailable, CallError.
    """

    def __init__(self, journal: Server = "journal") -> None:
        self._journal = journal

    async def read(self, query: Query) -> list[Event]:
        """See `Source.read`."""
        return await Journal.read(self._journal, query)

    async def find(self, id: str) -> Event | None:
        """See `Source.find`."""
        return await Journal.find(self._journal, id)


class StoredSource:
    """Events in memory, such as an exported file has.

    Args:
        events: in any order.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.seq)
        self._by_id = {event.id: event for event in self.events}
        self._sessions: dict[str, list[Event]] = {}
        for event in self.events:
            self._sessions.setdefault(event.session, []).append(event)

    async def read(self, query: Query) -> list[Event]:
        """See `Source.read`."""
        among = self.events if query.session is None else self._sessions.get(query.session, [])
        found = [event for event in among if _matches(query, event)]
        if query.newest_first:
            found.reverse()
        return found if query.limit is None else found[: query.limit]

    async def find(self, id: str) -> Event | None:
        """See `Source.find`."""
        return self._by_id.get(id)


def _matches(query: Query, event: Event) -> bool:
    return (
        event.seq > query.after_seq
        and (query.before_seq is None or event.seq < query.before_seq)
        and (query.trace_id is None or event.trace_id == query.trace_id)
        and (not query.kinds or event.kind in query.kinds)
    )


async def stretch(source: Reads, room: str, talk: Talk) -> tuple[list[RoomMessage], list[str]]:
    """The messages of a stretch of a room's transcript, oldest first, and what of it cannot be read.

    A room that was forked off another begins with that one's messages, so they are looked for there.
    """
    found: list[RoomMessage] = []
    problems: list[str] = []
    before = talk.last + 1
    while talk.last:
        query = Query(
            session=room_name(room), kinds=SAYING, after_seq=max(talk.first - 1, 0), before_seq=before
        )
        events = [event for event in await source.read(query) if event.id not in talk.left_out]
        found[:0] = [message_of(room, event) for event in events]
        problems += [
            f"message {event.id} of {event.session} was {event.state}"
            for event in events
            if event.state != "whole"
        ]
        if found and found[0].seq == talk.first:
            break
        origin = await _origin(source, room)
        if origin is None or origin.until_seq < talk.first:
            problems.append(f"event {talk.first} of {room_name(room)}, where the talk began, is not there")
            break
        room, before = origin.from_room, min(before, origin.until_seq + 1)
    return found, problems


async def _origin(source: Reads, room: str) -> RoomForked | None:
    for event in await source.read(Query(session=room_name(room), kinds=(RoomForked.kind,), limit=1)):
        try:
            return RoomForked.of(event)
        except EventMismatch:
            return None
    return None
