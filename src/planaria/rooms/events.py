"""What rooms write into the journal: one class for each kind of event.

A room's stream is `room:<name>`, the directory's is `rooms`. An event of a room holds nothing that another holds too:
the message an answer belongs to is its `cause_id`, whose data it is its `subject`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import msgspec

from planaria.cortex.event_type import EventType, with_place
from planaria.rooms.message import Arrivals, AuthorKind

DIRECTORY = "rooms"
"""The stream of the directory of rooms."""


class RoomOpened(EventType, frozen=True):
    """A room exists from now on; in the stream `rooms`."""

    kind: ClassVar[str] = "room.opened"
    room: str


class RoomForked(EventType, frozen=True):
    """This room's transcript begins with another's, up to the place `until_seq`; nothing of it is copied."""

    kind: ClassVar[str] = "room.forked"
    from_room: str
    until_seq: int

    @classmethod
    def moved(cls, payload: dict[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
        """See `EventType.moved`."""
        return with_place(payload, "until_seq", place)


class MemberJoined(EventType, frozen=True):
    """An agent is a member of the room, or changed whether it is the host."""

    kind: ClassVar[str] = "room.joined"
    agent: str
    host: bool = False


class MemberLeft(EventType, frozen=True):
    """An agent is no member any more; what it has not answered is given up."""

    kind: ClassVar[str] = "room.left"
    agent: str


class MessageSaid(EventType, frozen=True, omit_defaults=True):
    """Somebody said something; with a cause and `final` it answers the cause, as the author's answer to `attempt`.

    Attributes:
        to: the agents who are to answer.
        client_id: the sender's own id for the message.
        model: what wrote it; None for people and workflows.
        attempt: the delivery that is answered with it, from 1.
        arrivals: what becomes of it if it arrives while its agent is at work; empty leaves that to the agent.
        answers: further messages that are answered with it, each with its attempt: those the turn took in.
        hops: turns of agents that led to it, each by what the one before had begun.
    """

    kind: ClassVar[str] = "room.message"
    version: ClassVar[int] = 2
    author: str
    author_kind: AuthorKind
    text: str
    to: tuple[str, ...] = ()
    client_id: str = ""
    model: str | None = None
    final: bool = True
    attempt: int = 1
    arrivals: Arrivals | Literal[""] = ""
    answers: dict[str, int] = msgspec.field(default_factory=dict)
    hops: int = 0

    @classmethod
    def upcast(cls, version: int, payload: dict[str, Any]) -> dict[str, Any]:
        """Version 1 had the author before the client's id, parted by a null character."""
        return {**payload, "client_id": str(payload.get("client_id", "")).rpartition("\0")[2]}


class MessageRedelivered(EventType, frozen=True):
    """A message waits for an agent's answer again, as attempt `attempt`."""

    kind: ClassVar[str] = "room.redelivered"
    message: str
    agent: str
    attempt: int
