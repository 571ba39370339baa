"""What is said in rooms, and what rooms tell those who listen on the topic `room:<name>`."""

from typing import Literal

import msgspec

type AuthorKind = Literal["person", "agent", "workflow", "notice"]
type Arrivals = Literal["queue", "steer", "collect", "interrupt"]
"""What becomes of a message that arrives while its agent is at work; see `agents/turn/arrivals.py`."""


class RoomMessage(msgspec.Struct, frozen=True):
    """One message of a transcript; on the topic too, once it is durable.

    Attributes:
        id: of its event in the journal.
        seq: its place in the journal; messages of a room are in this order.
        at: unix seconds.
        author_kind: `notice` is the room or an agent's machinery speaking, not a model.
        to: the agents who are to answer it, decided when it was accepted.
        cause_id: the message this one answers.
        model: what wrote it, `provider/model` or `offline`; None for people and workflows.
        subject: whose data it is: `person:<author>` for what a person says, the same for what answers it; empty for
            nobody's. What was erased has the text `(erased)`.
        arrivals: what becomes of it if it arrives while its agent is at work; empty leaves that to the agent.
        answers: further messages this one answers, each with the attempt at it.
        hops: turns of agents that led to it, each by what the one before had begun; 0 for what people say.
    """

    id: str
    seq: int
    at: float
    room: str
    author: str
    author_kind: AuthorKind
    text: str
    to: tuple[str, ...] = ()
    cause_id: str | None = None
    trace_id: str = ""
    model: str | None = None
    subject: str = ""
    arrivals: Arrivals | Literal[""] = ""
    answers: dict[str, int] = {}
    hops: int = 0


class Accepted(msgspec.Struct, frozen=True):
    """The message is durable: it will be answered, whatever is killed meanwhile."""

    id: str
    seq: int


class ReplyDelta(msgspec.Struct, frozen=True):
    """A piece of an answer being written; the whole follows as a `RoomMessage`. Not durable.

    Attributes:
        again: given, the answer begins again: what was shown of it since its last tool call does not count, for this
            reason. Then `text` may be empty.
        step: which model call of the turn it comes from, from 0.
    """

    room: str
    author: str
    cause_id: str
    text: str
    again: str = ""
    step: int = 0


class TurnState(msgspec.Struct, frozen=True):
    """What an agent does about a message now: `thinking`, `acting`, `waiting`, `idle`.

    Attributes:
        doing: what exactly, where no event tells.
    """

    room: str
    agent: str
    state: str
    cause_id: str
    doing: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """To a member: a message it is to answer. Sent again after either side restarts, until it is answered.

    `attempt` counts how often it was made waiting: 1, and one more with each `Room.redeliver`.
    """

    message: RoomMessage
    attempt: int = 1


class StopAsked(msgspec.Struct, frozen=True):
    """To a member: end what you do, and what waits for you.

    Attributes:
        mode: `cancel` lets work unwind, `kill` does not.
        before: the place of the word in the room, if it has one yet: what was said after it is not meant.
        turn: given, only children that this turn of their parent asked for are meant.
    """

    by: str
    mode: Literal["cancel", "kill"] = "cancel"
    why: str = ""
    before: int = 0
    turn: str = ""


def subject_of(author: str) -> str:
    """Whose data a person's message is."""
    return f"person:{author}"


def room_name(room: str) -> str:
    """Registered name of a room's process, its session in the journal, and its topic."""
    return f"room:{room}"
