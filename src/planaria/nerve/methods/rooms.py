"""Methods about rooms: reading them, speaking in them, listening."""

import msgspec

from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import receive, subscribe, whereis
from planaria.rooms.message import Accepted, ReplyDelta, RoomMessage, TurnState, room_name
from planaria.rooms.room import Room, RoomRefused
from planaria.rooms.rooms import list_rooms, open_room

MOST_MESSAGES = 1000
SOON = 1.0
"""Seconds without news after which it is asked anew who has yet to answer."""

type Heard = RoomMessage | ReplyDelta | TurnState


class RoomView(msgspec.Struct, frozen=True):
    """A room in one line; `last` is its latest message."""

    name: str
    members: list[str]
    last: RoomMessage | None


class RoomEvent(msgspec.Struct, frozen=True):
    """One thing heard in a room: `message` (durable), `delta` (a piece of an answer on its way), `turn`."""

    type: str
    value: Heard


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A room to open."""

    room: str


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: those after a place, the latest `limit` of them."""

    room: str
    after_seq: int = 0
    limit: int = 50


class Posting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of a person. The same `client_id` twice is one message."""

    room: str
    author: str
    text: str
    client_id: str = ""


class Following(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which room; `after_seq` also gives the messages after that place that are there already."""

    room: str
    after_seq: int | None = None


class Answered(msgspec.Struct, frozen=True):
    """What became of a question: who was to answer, and the place of the last message heard."""

    id: str
    seq: int
    to: tuple[str, ...]


async def rooms(params: Nothing, services: Services, channel: Channel) -> list[RoomView]:
    """All rooms."""
    found = []
    for name in await list_rooms():
        latest = await Room.transcript(room_name(name), 0, 1)
        found.append(RoomView(name, await Room.members(room_name(name)), latest[-1] if latest else None))
    return found


async def open_(params: Opening, services: Services, channel: Channel) -> dict[str, str]:
    """Open a room that may be open already."""
    try:
        await open_room(params.room)
    except ValueError as error:
        raise ControlError("bad_request", str(error), "choose such a name") from error
    return {"room": params.room}


async def transcript(params: Reading, services: Services, channel: Channel) -> list[RoomMessage]:
    """What was said, oldest first."""
    place = await _place(params.room)
    return await Room.transcript(place, params.after_seq, min(max(params.limit, 0), MOST_MESSAGES))


async def post(params: Posting, services: Services, channel: Channel) -> Accepted:
    """Say something; answered when it is durable."""
    return await _post(await _place(params.room), params)


async def follow(params: Following, services: Services, channel: Channel) -> None:
    """What is said in a room from now on, until cancelled."""
    place = await _place(params.room)
    subscribe(place)
    last = 0
    if params.after_seq is not None:
        for message in await Room.transcript(place, params.after_seq, MOST_MESSAGES):
            channel.send(_event(message))
            last = message.seq
    while True:
        heard = await receive((RoomMessage, ReplyDelta, TurnState))
        if not isinstance(heard, RoomMessage) or heard.seq > last:
            channel.send(_event(heard))


async def ask(params: Posting, services: Services, channel: Channel) -> Answered:
    """Say something and hear the room until everybody who is to answer has; events as in `room.follow`."""
    place = await _place(params.room)
    subscribe(place)
    accepted = await _post(place, params)
    mine = await _message(place, accepted)
    waiting = set(mine.to)
    last = accepted.seq
    while waiting:
        try:
            heard: Heard | None = await receive((RoomMessage, ReplyDelta, TurnState), timeout=SOON)
        except TimeoutError:
            heard = None
        if heard is not None:
            channel.send(_event(heard))
        if isinstance(heard, RoomMessage):
            last = max(last, heard.seq)
        # The room knows best: an agent may leave, or have answered before a repeated message was posted.
        if not isinstance(heard, ReplyDelta):
            waiting = {agent for agent in waiting if await _is_pending(place, agent, accepted.id)}
    return Answered(accepted.id, last, mine.to)


async def _post(place: str, params: Posting) -> Accepted:
    try:
        return await Room.post(place, params.author, params.text, params.client_id)
    except RoomRefused as error:
        raise ControlError("bad_request", str(error), "change it and send it again") from error


async def _is_pending(place: str, agent: str, id_: str) -> bool:
    return any(message.id == id_ for message in await Room.pending(place, agent))


async def _message(place: str, accepted: Accepted) -> RoomMessage:
    for message in await Room.transcript(place, accepted.seq - 1, MOST_MESSAGES):
        if message.id == accepted.id:
            return message
    return RoomMessage(accepted.id, accepted.seq, 0.0, place, "", "person", "")  # long ago: answered since


async def _place(room: str) -> str:
    """The registered name of an open room."""
    place = room_name(room)
    if whereis(place) is None:
        names = await list_rooms()
        mend = f"rooms: {', '.join(names)}" if names else "no room is open yet"
        raise ControlError("not_found", f"no room {room!r}", f"{mend}; `planaria rooms open NAME` opens one")
    return place


def _event(heard: Heard) -> RoomEvent:
    match heard:
        case RoomMessage():
            return RoomEvent("message", heard)
        case ReplyDelta():
            return RoomEvent("delta", heard)
        case TurnState():
            return RoomEvent("turn", heard)
