"""Messages that an agent never will answer by itself: the dead letters about them, and the ids of answers."""

from typing import Any, Literal

from planaria.cortex.durable.letters import letter
from planaria.cortex.event import FORMER_DIGITS, NewEvent, former_id, repeatable_id
from planaria.rooms.message import RoomMessage, room_name

LETTER: Literal["room.message"] = "room.message"
"""The kind of the dead letters of messages that were given up."""


def given_up(
    room: str,
    message: RoomMessage,
    agent: str,
    reason: str,
    *,
    attempt: int = 1,
    turn: str = "",
    **evidence: Any,
) -> NewEvent:
    """The letter about a message. However often it is written, and by whom, one for each attempt.

    Args:
        room: where the agent was to answer; the message may have been said in one this was forked from.
        turn: the turn that gave it up, if one was begun.
    """
    known = {"room": room, "message": message.id, "agent": agent, "author": message.author, **evidence}
    if turn:
        known["turn"] = turn
    target = f"{room_name(room)}/{message.id}/{agent}"
    dead = letter(LETTER, reason, target=target, evidence=known, attempt=attempt)
    return dead.new(trace_id=message.trace_id, cause_id=turn or message.id, subject=message.subject)


def reply_id(room: str, agent: str, message_id: str, attempt: int = 1) -> str:
    """The id of an agent's answer to a message: each attempt is answered once."""
    made = former_id if len(message_id) == FORMER_DIGITS else repeatable_id
    count = () if attempt == 1 else (str(attempt),)
    return made(room_name(room), "reply", agent, message_id, *count)
