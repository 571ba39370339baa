"""What a room reads of its past: earlier messages, back through the rooms it was forked from, and single ones by id."""

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.journal import Journal
from planaria.cortex.patience import PATIENCE
from planaria.cortex.query import Query
from planaria.otp import CallError, sleep
from planaria.rooms.events import MessageSaid, RoomForked
from planaria.rooms.message import Delivery, RoomMessage, room_name
from planaria.rooms.outbox import Refused
from planaria.rooms.transcript import SAYING, message_of


class Unread(msgspec.Struct, frozen=True):
    """The journal could not be read now."""

    problem: str


async def earlier(room: str, before_seq: int, limit: int) -> list[RoomMessage] | Unread:
    """The latest messages before a place, oldest first; those of the rooms it was forked from, up to the fork, too."""
    try:
        return await _earlier(room, before_seq, limit)
    except (JournalUnavailable, CallError) as error:
        return Unread(str(error))


async def _earlier(room: str, before_seq: int, limit: int) -> list[RoomMessage]:
    found: list[RoomMessage] = []
    while len(found) < limit:
        query = Query(
            session=room_name(room),
            kinds=SAYING,
            before_seq=before_seq,
            limit=limit - len(found),
            newest_first=True,
        )
        events = await Journal.read("journal", query)
        found += [message_of(room, event) for event in events]
        # A room's first event says where it comes from; its place is later than all it refers to, so this ends.
        origin = _origin(events[-1]) if events and len(found) < limit else None
        if origin is None:
            break
        room, before_seq = origin.from_room, origin.until_seq + 1
    return found[::-1]


async def messages(ids: set[str]) -> dict[str, RoomMessage | None]:
    """Messages by id; None for one that is not there, or cannot be read any more. Waits while the store fails."""
    found: dict[str, RoomMessage | None] = {}
    left = list(ids)
    while left:
        message_id = left[-1]
        try:
            event = await Journal.find("journal", message_id)
        except JournalUnavailable:
            await sleep(PATIENCE)
            continue
        left.pop()
        message = None if event is None or event.kind != MessageSaid.kind else _message(event)
        # What was said by nobody, or cannot be read, nobody answers.
        found[message_id] = None if message is None or message.author_kind == "notice" else message
    return found


async def again(room: str, message_id: str, agent: str) -> Delivery | Refused | Unread:
    """A message to be delivered to an agent once more."""
    try:
        event = await Journal.find("journal", message_id)
        if event is None or event.kind != MessageSaid.kind or not await _belongs(room, event):
            return Refused(f"there is no message {message_id!r} in this room")
        if event.state != "whole":
            return Refused(f"the message {message_id!r} was {event.state}, so nobody can answer it")
        attempt = 2
        while await Journal.find("journal", redelivery_id(room, message_id, agent, attempt)) is not None:
            attempt += 1
    except (JournalUnavailable, CallError) as error:
        return Unread(str(error))
    message = _message(event)
    if message.author_kind == "notice":
        return Refused(f"the message {message_id!r} is a notice, which nobody answers")
    return Delivery(message, attempt)


def redelivery_id(room: str, message_id: str, agent: str, attempt: int) -> str:
    """The id of the event that makes a message wait again: each attempt is noted once."""
    return repeatable_id(room_name(room), "redeliver", message_id, agent, str(attempt))


def _message(event: Event) -> RoomMessage:
    """A message with the room it was said in."""
    return message_of(event.session.removeprefix("room:"), event)


async def _belongs(room: str, event: Event) -> bool:
    """Whether an event is in a room's transcript, its own or that of a room it was forked from."""
    until: int | None = None
    while True:
        if event.session == room_name(room):
            return until is None or event.seq <= until
        query = Query(session=room_name(room), kinds=(RoomForked.kind,), limit=1)
        events = await Journal.read("journal", query)
        origin = _origin(events[0]) if events else None
        if origin is None:
            return False
        room, until = origin.from_room, origin.until_seq


def _origin(event: Event) -> RoomForked | None:
    try:
        return RoomForked.of(event)
    except EventMismatch:
        return None
