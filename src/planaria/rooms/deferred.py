"""Work in rooms that is done later, or done again: handlers for the queue and for dead letters.

What is said is keyed by the job, so that an attempt that is made again is still one message.
"""

from typing import Literal

import msgspec

from planaria.cortex.durable.job import Job
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.journal import Journal
from planaria.otp import whereis
from planaria.rooms.giving_up import LETTER as LETTER
from planaria.rooms.message import AuthorKind, room_name
from planaria.rooms.past import redelivery_id
from planaria.rooms.room import Room, RoomRefused
from planaria.rooms.rooms import list_rooms

SAY: Literal["room.say"] = "room.say"
POST: Literal["room.post"] = "room.post"


class LaterSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `room.say` and `room.post`. With `room.post` those in `to` are to answer."""

    room: str
    author: str
    text: str
    author_kind: AuthorKind = "agent"
    to: tuple[str, ...] = ()
    cause_id: str | None = None
    hops: int = 0


async def say(job: Job) -> dict[str, str]:
    """Say something that nobody is to answer."""
    said = msgspec.convert(job.payload, LaterSaid)
    place = await _place(said.room)
    try:
        accepted = await Room.say(
            place,
            said.author,
            said.text,
            cause_id=said.cause_id,
            author_kind=said.author_kind,
            trace_id=job.trace_id,
            final=False,
            key=job.id,
            subject=job.subject,
        )
    except RoomRefused as error:
        raise GiveUp(str(error)) from error
    return {"message": accepted.id}


async def post(job: Job) -> dict[str, str]:
    """Say something that agents are to answer. If none of them is there any more, nobody would: it is given up."""
    said = msgspec.convert(job.payload, LaterSaid)
    place = await _place(said.room)
    if said.to and not set(said.to) & set(await Room.members(place)):
        raise GiveUp(f"{', '.join(said.to)} sits in the room {said.room!r} no more")
    try:
        accepted = await Room.post(
            *(place, said.author, said.text, job.id, said.author_kind, said.to), hops=said.hops
        )
    except RoomRefused as error:
        raise GiveUp(str(error)) from error
    return {"message": accepted.id}


async def tell(job: Job) -> dict[str, str]:
    """Tell a room what the node has to say, as `say`. Where there is no such room there is nobody to be told."""
    try:
        return await say(job)
    except GiveUp:
        return {}


async def redeliver(dead: DeadLettered, job: Job) -> dict[str, int]:
    """Let an agent answer a message once more that it has given up. Once for each letter, however often it is tried."""
    room, message, agent = (str(dead.evidence.get(name, "")) for name in ("room", "message", "agent"))
    attempt = dead.attempt + 1
    if await Journal.find("journal", redelivery_id(room, message, agent, attempt)) is not None:
        return {"attempt": attempt}
    try:
        return {"attempt": await Room.redeliver(await _place(room), message, agent)}
    except RoomRefused as error:
        raise GiveUp(str(error)) from error


async def _place(room: str) -> str:
    """The registered name of a room.

    Raises:
        GiveUp: there is none of this name.
    """
    place = room_name(room)
    if whereis(place) is None and room not in await list_rooms():
        raise GiveUp(f"there is no room {room!r}")
    return place
