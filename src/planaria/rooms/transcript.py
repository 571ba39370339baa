"""The state of a room, folded from its events: what was said, who is there, what waits for an answer. Pure.

A message counts as answered by an agent when a message of that agent has it as its cause, or names it in `answers`.
What was erased or pruned is shown as such and waits for nobody: nothing can be answered that cannot be read.
Bounded: the latest 1000 messages, the members, and what waits for an answer.
"""

from collections import OrderedDict

import msgspec

from planaria.cortex.event import FORMER_DIGITS, Event
from planaria.cortex.event_type import EventMismatch
from planaria.rooms.events import MemberJoined, MemberLeft, MessageRedelivered, MessageSaid, RoomForked
from planaria.rooms.message import Delivery, RoomMessage, room_name

KINDS = (
    MemberJoined.kind,
    MemberLeft.kind,
    MessageSaid.kind,
    MessageRedelivered.kind,
    RoomForked.kind,
)
SAYING = (MessageSaid.kind, RoomForked.kind)
"""Kinds that are messages of the transcript."""
REMEMBERED = 1000
"""Messages kept in memory; older ones are in the journal."""
SNAPSHOT = "transcript"
SNAPSHOT_VERSION = 1


class Pending(msgspec.Struct, frozen=True):
    """A message that an agent has not answered; `message` is None until it is read, after a start from a snapshot."""

    id: str
    attempt: int = 1
    message: RoomMessage | None = None


class Standing(msgspec.Struct, frozen=True):
    """What a snapshot keeps of a room. Nothing that anybody said, so erasing a message needs no look at it."""

    members: dict[str, bool]
    pending: dict[str, list[tuple[str, int]]]
    origin: tuple[str, int] | None
    former: bool = False


class Transcript:
    """What a room knows.

    Attributes:
        messages: the latest ones, by id, oldest first.
        members: agent -> whether it is the host.
        pending: agent -> what it has not answered, by id, oldest first.
        origin: the room and the place this one was forked from.
        left: members that left, and what each had not answered; for the room to give up.
        former: whether it has messages whose ids were made by `former_id`.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        self.messages: OrderedDict[str, RoomMessage] = OrderedDict()
        self.members: dict[str, bool] = {}
        self.pending: dict[str, OrderedDict[str, Pending]] = {}
        self.origin: tuple[str, int] | None = None
        self.left: list[tuple[str, Pending]] = []
        self.former = False
        self._lent: dict[str, RoomMessage] = {}

    def take(self, event: Event) -> RoomMessage | None:
        """Take one event in; the message it is, if it is one."""
        if event.kind == MessageSaid.kind:
            return self._said(event)
        if event.kind not in KINDS:
            return None
        try:
            return self._changed(event)
        except EventMismatch:
            return None  # pruned, or of a later program: nobody's membership hangs on it alone

    def _changed(self, event: Event) -> RoomMessage | None:
        if event.kind == MemberJoined.kind:
            joined = MemberJoined.of(event)
            self.members[joined.agent] = joined.host
        elif event.kind == MemberLeft.kind:
            left = MemberLeft.of(event)
            self.members.pop(left.agent, None)
            self.left += [(left.agent, each) for each in self.pending.pop(left.agent, {}).values()]
        elif event.kind == MessageRedelivered.kind:
            again = MessageRedelivered.of(event)
            message = self._lent.pop(again.message, None) or self.messages.get(again.message)
            self._answered(again.agent, again.message, again.attempt)
            if message is None or message.author_kind != "notice":  # those, and what is gone, nobody answers
                self._wait(again.agent, Pending(again.message, again.attempt, message))
        else:
            forked = RoomForked.of(event)
            self.origin = (forked.from_room, forked.until_seq)
            return self._keep(message_of(self.room, event))
        return None

    def _said(self, event: Event) -> RoomMessage:
        said = _read(event)
        self.former = self.former or len(event.id) == FORMER_DIGITS
        message = self._keep(_message(self.room, event, said))
        if said is None:
            self._settle_unread(event.cause_id)
            return message
        for agent in message.to:
            self._wait(agent, Pending(message.id, 1, message))
        if event.cause_id is not None and said.final:
            self._answered(message.author, event.cause_id, said.attempt)
            for taken_in, attempt in said.answers.items():
                self._answered(message.author, taken_in, attempt)
        return message

    def _answered(self, agent: str, message_id: str, attempt: int) -> None:
        waiting = self.pending.get(agent, OrderedDict())
        open_ = waiting.get(message_id)
        if open_ is not None and open_.attempt <= attempt:
            del waiting[message_id]
        self.left = [
            (who, each)
            for who, each in self.left
            if (who, each.id) != (agent, message_id) or each.attempt > attempt
        ]

    def _settle_unread(self, cause_id: str | None) -> None:
        # Who spoke is gone with what was said. Better a question too few than one that is answered, and paid, twice.
        if cause_id is not None:
            for waiting in self.pending.values():
                waiting.pop(cause_id, None)

    def _keep(self, message: RoomMessage) -> RoomMessage:
        self.messages[message.id] = message
        if len(self.messages) > REMEMBERED:
            self.messages.popitem(last=False)
        return message

    def _wait(self, agent: str, pending: Pending) -> None:
        self.pending.setdefault(agent, OrderedDict())[pending.id] = pending

    @property
    def host(self) -> str | None:
        """Who answers what is addressed to nobody: the member that asked to, else the first that came."""
        hosts = [name for name, host in self.members.items() if host]
        return next(iter(hosts or self.members), None)

    def page(self, after_seq: int, limit: int) -> list[RoomMessage]:
        """Messages after a place; the latest `limit` of them, oldest first."""
        found: list[RoomMessage] = []
        for message in reversed(self.messages.values()):
            if len(found) >= limit or message.seq <= after_seq:
                break
            found.append(message)
        return found[::-1]

    def waits(self, agent: str, message_id: str) -> Pending | None:
        """Whether a message waits for an agent's answer."""
        waiting = self.pending.get(agent)
        return None if waiting is None else waiting.get(message_id)

    def deliveries(self, agent: str) -> list[Delivery]:
        """What an agent has not answered, oldest first."""
        waiting = self.pending.get(agent, OrderedDict())
        return [Delivery(each.message, each.attempt) for each in waiting.values() if each.message is not None]

    def lend(self, message: RoomMessage) -> None:
        """Give the message that the next `room.redelivered` is about; memory may not have it."""
        self._lent[message.id] = message

    def unread(self) -> set[str]:
        """Ids of messages that wait for an answer and were not read yet."""
        every = [each for waiting in self.pending.values() for each in waiting.values()]
        return {each.id for each in (*every, *(each for _, each in self.left)) if each.message is None}

    def recall(self, id: str, message: RoomMessage | None) -> None:
        """Give a waiting message its text; None: there is none any more, so nobody waits for an answer."""
        for waiting in self.pending.values():
            if id in waiting and message is None:
                del waiting[id]
            elif id in waiting:
                waiting[id] = msgspec.structs.replace(waiting[id], message=message)
        self.left = [
            (who, msgspec.structs.replace(each, message=message) if each.id == id else each)
            for who, each in self.left
            if each.id != id or message is not None
        ]

    def remember(self, earlier: list[RoomMessage]) -> None:
        """Put messages before all others, oldest first; as many as memory has room for."""
        room = REMEMBERED - len(self.messages)
        known = self.messages
        self.messages = OrderedDict(
            (message.id, message) for message in (earlier[-room:] if room > 0 else ())
        )
        self.messages.update(known)

    def standing(self) -> Standing:
        """What a snapshot keeps."""
        pending = {
            agent: [(each.id, each.attempt) for each in waiting.values()]
            for agent, waiting in self.pending.items()
            if waiting
        }
        return Standing(dict(self.members), pending, self.origin, self.former)

    def stand(self, standing: Standing) -> None:
        """Begin where a snapshot was made. Messages are not in it: see `unread`, `recall`, `remember`."""
        self.members = dict(standing.members)
        self.origin = standing.origin
        self.former = standing.former
        for agent, waiting in standing.pending.items():
            for message_id, attempt in waiting:
                self._wait(agent, Pending(message_id, attempt))

    @property
    def session(self) -> str:
        """The room's stream in the journal."""
        return room_name(self.room)


def message_of(room: str, event: Event) -> RoomMessage:
    """What an event says in a transcript; if it cannot be read, why.

    Args:
        room: where it was said.
        event: of one of the kinds in `SAYING`.
    """
    if event.kind == RoomForked.kind:
        return _notice(room, event, _forked(event))
    return _message(room, event, _read(event))


def _message(room: str, event: Event, said: MessageSaid | None) -> RoomMessage:
    if said is None:
        return _notice(room, event, gone(event.state))
    return RoomMessage(
        id=event.id,
        seq=event.seq,
        at=event.at,
        room=room,
        author=said.author,
        author_kind=said.author_kind,
        text=said.text,
        to=said.to,
        cause_id=event.cause_id,
        trace_id=event.trace_id,
        model=said.model,
        subject=event.subject,
        arrivals=said.arrivals,
        answers=said.answers,
        hops=said.hops,
    )


def gone(state: str) -> str:
    """What stands in the place of a text: `(erased)`, `(pruned)`."""
    return f"({state})" if state != "whole" else "(this cannot be read)"


def _read(event: Event) -> MessageSaid | None:
    try:
        return MessageSaid.of(event)
    except EventMismatch:
        return None


def _forked(event: Event) -> str:
    try:
        forked = RoomForked.of(event)
    except EventMismatch:
        return gone(event.state)
    return f"This room goes on from {forked.from_room}, as it was at event {forked.until_seq}."


def _notice(room: str, event: Event, text: str) -> RoomMessage:
    return RoomMessage(
        id=event.id,
        seq=event.seq,
        at=event.at,
        room=room,
        author=room,
        author_kind="notice",
        text=text,
        cause_id=event.cause_id,
        trace_id=event.trace_id,
        subject=event.subject,
    )
