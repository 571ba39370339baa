"""A room: its durable transcript, its members, and what each has still to answer.

Started by `Rooms` under the name `room:<name>`. A message is accepted when it is in the journal; then it is
broadcast on the topic `room:<name>` and delivered to the agents it is addressed to, again and again (when the member
or the room restarts) until the agent has answered it. Writes go one after the other, many to a commit, so the order
of the transcript is the order of acceptance.

Turn-taking: a member takes its messages one at a time, in order (`queue`); other policies belong in the member.
Does badly: keeps the last 1000 messages in memory, older ones are only in the journal.
Emits in the journal, session `room:<name>`: `room.message`, `room.joined`, `room.left`.
"""

from collections import deque
from typing import Any, ClassVar

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.fold import events_of
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    GenServer,
    Pid,
    Task,
    TaskDone,
    TaskRef,
    broadcast,
    call,
    cast,
    demonitor,
    monitor,
    reason_text,
    send,
)
from planaria.rooms.addressing import addressed, strangers
from planaria.rooms.message import (
    Accepted,
    AuthorKind,
    Delivery,
    ReplyDelta,
    RoomMessage,
    TurnState,
    room_name,
)
from planaria.rooms.outbox import Entry, Written, repeatable_id, take_batch, write
from planaria.rooms.transcript import JOINED, KINDS, LEFT, MESSAGE, Transcript

LONGEST_TEXT = 200_000
"""Characters of one message."""


class RoomUnavailable(CallError):
    """The room could not make the message durable; it was not accepted. Send it again with the same client id."""


class Room(GenServer):
    """One room."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = 30.0  # an answer waits for the disk

    async def init(self, name: str) -> None:
        """Rebuild the room from the journal."""
        self.name = name
        self.topic = room_name(name)
        self.transcript_ = Transcript(name)
        self.present: dict[str, tuple[Pid, Any]] = {}
        self.waiting: deque[Entry] = deque()
        self.writing: list[Entry] = []
        self.task: TaskRef | None = None
        async for event in events_of("journal", self.topic, kinds=KINDS):
            self.transcript_.take(event)

    # --- people, gateways, workflows ----------------------------------------------------------------------------

    @call
    def post(
        self,
        author: str,
        text: str,
        client_id: str = "",
        author_kind: AuthorKind = "person",
        to: tuple[str, ...] | None = None,
    ) -> Deferred[Accepted]:
        """Say something; answered when it is durable.

        Args:
            author: who speaks.
            text: at most 200 000 characters; `@name` addresses a member.
            client_id: the sender's own id for the message. Sent twice with the same one it is one message, and
                both get the same answer.
            to: who is to answer, instead of what the text says.
        Raises:
            RoomUnavailable: it is not accepted.
        """
        answer: Deferred[Accepted] = self.defer()
        if not text.strip() or len(text) > LONGEST_TEXT:
            problem = f"a message has 1 to {LONGEST_TEXT} characters, this one has {len(text)}"
            answer.fail(RoomUnavailable(self.topic, "refused", problem))
            return answer
        known = self.transcript_.by_client.get(f"{author}\0{client_id}") if client_id else None
        if known is not None:
            answer.reply(known)
            return answer
        room = self.transcript_
        asked = addressed(text, list(room.members), room.host) if author_kind == "person" else ()
        payload: dict[str, Any] = {
            "author": author,
            "author_kind": author_kind,
            "text": text,
            "to": list(asked if to is None else to),
            "client_id": f"{author}\0{client_id}" if client_id else "",
        }
        event_id = repeatable_id(self.topic, "post", author, client_id) if client_id else ""
        self._write(NewEvent(MESSAGE, payload, session=self.topic, id=event_id), answer)
        missing = strangers(text, list(room.members)) if author_kind == "person" and to is None else ()
        if missing and not payload["to"]:
            names = ", ".join(f"@{name}" for name in missing)
            here = ", ".join(f"@{name}" for name in room.members) or "nobody"
            self._notice(f"{names} is not in this room; here: {here}", payload["client_id"])
        return answer

    @call
    def say(
        self,
        author: str,
        text: str,
        cause_id: str | None = None,
        author_kind: AuthorKind = "agent",
        model: str | None = None,
        trace_id: str = "",
        final: bool = True,
        key: str = "",
    ) -> Deferred[Accepted]:
        """Let an agent or a workflow speak.

        Args:
            cause_id: the message this answers. An agent answers a message once: saying it again changes nothing.
            final: whether the message is answered with it; False for a remark on the way.
            key: makes a remark, or a message of a workflow, harmless to repeat.
        Raises:
            RoomUnavailable: it is not durable; say it again.
        """
        answer: Deferred[Accepted] = self.defer()
        if cause_id is not None and final:
            event_id = repeatable_id(self.topic, "reply", author, cause_id)
        else:
            event_id = repeatable_id(self.topic, "key", author, key) if key else ""
        payload = {"author": author, "author_kind": author_kind, "text": text, "model": model, "final": final}
        event = NewEvent(
            MESSAGE, payload, session=self.topic, trace_id=trace_id, cause_id=cause_id, id=event_id
        )
        self._write(event, answer)
        return answer

    @call
    def transcript(self, after_seq: int = 0, limit: int = 200) -> list[RoomMessage]:
        """The latest messages after a place, oldest first."""
        return self.transcript_.page(after_seq, limit)

    @call
    def members(self) -> list[str]:
        """The agents of this room."""
        return list(self.transcript_.members)

    @call
    def pending(self, agent: str) -> list[RoomMessage]:
        """What an agent has not answered, oldest first."""
        return list(self.transcript_.pending.get(agent, {}).values())

    # --- members --------------------------------------------------------------------------------------------------

    @call
    def join(self, agent: str, pid: Pid, host: bool = False) -> list[RoomMessage]:
        """Become a member, or come back as one after a restart.

        Returns:
            What the agent has not answered yet, oldest first; what comes later arrives as `Delivery`.
        """
        before = self.present.get(agent)
        if before is not None:
            demonitor(before[1], flush=True)
        self.present[agent] = (pid, monitor(pid))
        if self.transcript_.members.get(agent) is not host:
            self.transcript_.members[agent] = host
            self._write(NewEvent(JOINED, {"agent": agent, "host": host}, session=self.topic))
        return list(self.transcript_.pending.get(agent, {}).values())

    @call
    def leave(self, agent: str) -> None:
        """Stop being a member: what it has not answered stays unanswered, with a notice."""
        before = self.present.pop(agent, None)
        if before is not None:
            demonitor(before[1], flush=True)
        if agent in self.transcript_.members:
            left = len(self.transcript_.pending.get(agent, {}))
            self._write(NewEvent(LEFT, {"agent": agent}, session=self.topic))
            if left:
                self._notice(f"{agent} has left; {left} of your messages to it stay unanswered", "")

    @cast
    def delta(self, author: str, cause_id: str, text: str) -> None:
        """A piece of an answer being written."""
        broadcast(self.topic, ReplyDelta(self.name, author, cause_id, text))

    @cast
    def state(self, agent: str, state: str, cause_id: str) -> None:
        """What a member does now."""
        broadcast(self.topic, TurnState(self.name, agent, state, cause_id))

    # --- writing ----------------------------------------------------------------------------------------------------

    def _notice(self, text: str, key: str) -> None:
        payload = {"author": self.name, "author_kind": "notice", "text": text}
        event_id = repeatable_id(self.topic, "notice", key) if key else ""
        self._write(NewEvent(MESSAGE, payload, session=self.topic, id=event_id))

    def _write(self, event: NewEvent, answer: Deferred[Any] | None = None) -> None:
        self.waiting.append(Entry(event, answer))
        self._begin()

    def _begin(self) -> None:
        if self.task is None and self.waiting:
            self.writing = take_batch(self.waiting)
            events = tuple(entry.event for entry in self.writing)
            self.task = Task.start_link(_write_or_say, self.topic, events, label=f"{self.topic} write")

    def handle_info(self, message: Any) -> None:
        """A write is over, a member is gone."""
        match message:
            case TaskDone(ref=ref, value=Written() | str() as value) if ref is self.task:
                self.task = None
                self._written(value)
                self._begin()
            case Down(ref=ref, reason=reason) if ref is self.task:
                self.task = None
                self._written(f"writing ended with {reason_text(reason)}")
                self._begin()
            case Down(ref=ref):
                for agent, (_, watched) in list(self.present.items()):
                    if watched is ref:
                        del self.present[agent]
            case _:
                pass  # the exit of a task that has said how it went

    def _written(self, outcome: Written | str) -> None:
        entries, self.writing = self.writing, []
        if isinstance(outcome, str):
            for entry in entries:
                if entry.answer is not None:
                    entry.answer.fail(RoomUnavailable(self.topic, "unavailable", outcome))
            return
        for entry, event, new in zip(entries, outcome.events, outcome.new, strict=True):
            if new or event.id not in self.transcript_.messages:
                self._take(event, tell=new)
            if entry.answer is not None:
                entry.answer.reply(Accepted(event.id, event.seq))

    def _take(self, event: Event, *, tell: bool) -> None:
        message = self.transcript_.take(event)
        if message is None or not tell:
            return
        broadcast(self.topic, message)
        for agent in message.to:
            member = self.present.get(agent)
            if member is not None:
                send(member[0], Delivery(message))


async def _write_or_say(session: str, events: tuple[NewEvent, ...]) -> Written | str:
    """Write; the reason in words if that is not possible now."""
    try:
        return await write(session, events)
    except (JournalUnavailable, EventRefused, CallError, LookupError) as error:
        return str(error)
