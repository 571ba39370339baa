"""The state of a room, folded from its events: what was said, who is there, what waits for an answer. Pure.

Kinds: `room.joined` {agent, host}, `room.left` {agent}, `room.message` {author, author_kind, text, to, model,
client_id}. A message counts as answered by an agent when a message of that agent has it as its cause.
"""

from collections import OrderedDict
from typing import Any

from planaria.cortex.event import Event
from planaria.rooms.message import Accepted, RoomMessage, room_name

JOINED, LEFT, MESSAGE = "room.joined", "room.left", "room.message"
KINDS = (JOINED, LEFT, MESSAGE)
REMEMBERED = 1000
"""Messages kept in memory; older ones are in the journal."""
CLIENT_IDS = 10_000
"""Ids of senders kept in memory; the journal refuses older repeats."""


class Transcript:
    """What a room knows."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.messages: OrderedDict[str, RoomMessage] = OrderedDict()
        self.members: dict[str, bool] = {}  # agent -> whether it is the host
        self.pending: dict[str, OrderedDict[str, RoomMessage]] = {}  # agent -> what it has not answered
        self.by_client: OrderedDict[str, Accepted] = OrderedDict()

    def take(self, event: Event) -> RoomMessage | None:
        """Take one event in; the message it is, if it is one."""
        payload = event.payload
        if event.kind == JOINED:
            self.members[payload["agent"]] = bool(payload.get("host"))
        elif event.kind == LEFT:
            self.members.pop(payload["agent"], None)
            self.pending.pop(payload["agent"], None)
        elif event.kind == MESSAGE:
            return self._said(event, payload)
        return None

    def _said(self, event: Event, payload: dict[str, Any]) -> RoomMessage:
        message = RoomMessage(
            id=event.id,
            seq=event.seq,
            at=event.at,
            room=self.room,
            author=payload["author"],
            author_kind=payload["author_kind"],
            text=payload["text"],
            to=tuple(payload.get("to", ())),
            cause_id=event.cause_id,
            trace_id=event.trace_id,
            model=payload.get("model"),
        )
        self.messages[message.id] = message
        if len(self.messages) > REMEMBERED:
            self.messages.popitem(last=False)
        for agent in message.to:
            self.pending.setdefault(agent, OrderedDict())[message.id] = message
        if payload.get("client_id"):
            self.by_client[payload["client_id"]] = Accepted(event.id, event.seq)
            if len(self.by_client) > CLIENT_IDS:
                self.by_client.popitem(last=False)
        if event.cause_id is not None and payload.get("final", True):
            self.pending.get(message.author, OrderedDict()).pop(event.cause_id, None)
        return message

    @property
    def host(self) -> str | None:
        """Who answers what is addressed to nobody: the member that asked to, else the first that came."""
        hosts = [name for name, host in self.members.items() if host]
        return next(iter(hosts or self.members), None)

    def page(self, after_seq: int, limit: int) -> list[RoomMessage]:
        """Messages after a place; the latest `limit` of them, oldest first."""
        found = [message for message in self.messages.values() if message.seq > after_seq]
        return found[-limit:] if limit > 0 else []

    @property
    def session(self) -> str:
        """The room's stream in the journal."""
        return room_name(self.room)
